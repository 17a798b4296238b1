"""Distil the teacher into a streaming student.

    python quantize/distill.py                  # the watch student
    python quantize/distill.py --size band
    python quantize/distill.py --teacher dino          # any pretrained system, or my_encoder.py:make

The student sees a watch-like version of a recording through the causal front end and learns the teacher's
(standardised) embedding of the undisturbed 10 s, and heart rate, quality and rhythm as the ECG tells them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.errors import CheckpointError
from onwrist.models.encoders.checkpoint import load_encoder, load_strict, read_state, save_weights
from onwrist.models.student.network import LADDER, LOGIT_SPAN, Student, StudentConfig, describe, layers_of
from onwrist.quantize.teaching.examples import Examples, Standard, build

# Quality and rhythm are few labels of few people: at weight 1 the student learns the people by heart (AUROC on
# training people 0.99, on others 0.87). At 0.1 they shape their head and hardly the embedding.
CLASS_WEIGHT = 0.1


@dataclass(frozen=True)
class DistillConfig:
    """Distillation of one student."""

    size: Literal["watch", "band"] = "watch"
    """Which student of the ladder."""
    teacher: str | None = None
    """A pretrained system by name, a checkpoint, or my_encoder.py:make (default: the shipped teacher)."""
    out: Path | None = None
    """File to write (default: runs/distill/SIZE.safetensors, or in a folder of the teacher's name there)."""
    steps: int = 4000
    """Optimiser steps."""
    batch: int = 256
    """Windows per step."""
    lr: float = 2e-3
    """Peak learning rate; warm-up over 5 %, then cosine."""
    weight_decay: float = 0.05
    """AdamW weight decay."""
    versions: int = 3
    """Watch-like versions of each recording."""
    hop_s: float = 8.0
    """Seconds between windows of one version."""
    seed: int = 0
    """Seed of weights, versions and batches."""
    bf16: bool = True
    """bfloat16 autocast."""
    data: Path | None = None
    """Folder of the sets (default: $ONWRIST_DATA, then ../shared/data)."""

    @property
    def path(self) -> Path:
        """Where the student is written."""
        return self.out or runs_of("distill", self.teacher) / f"{self.size}.safetensors"


def runs_of(step: str, teacher: str | None) -> Path:
    """Folder of what a step made of a teacher: runs/STEP, and in it one for each teacher that was named."""
    return Path("runs", step, re.sub(r"[^A-Za-z0-9]+", "-", teacher or "").strip("-"))


def answer_loss(predicted: Tensor, labels: Tensor) -> Tensor:
    """Heart rate by smooth L1, quality and rhythm by weighted cross-entropy; (B, 3) both, NaN labels left out."""
    known = torch.isfinite(labels)
    safe = torch.where(known, labels, torch.zeros_like(labels))
    rate = F.smooth_l1_loss(predicted[:, :1], safe[:, :1], reduction="none", beta=0.1)
    classes = CLASS_WEIGHT * F.binary_cross_entropy_with_logits(
        LOGIT_SPAN * predicted[:, 1:], safe[:, 1:], reduction="none"
    )
    each = torch.cat([rate, classes], dim=1) * known
    return (each.sum(0) / known.sum(0).clamp(min=1)).sum()


def imitation_loss(embedding: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Half squared error plus cosine distance to the teacher; (B, 256) both, (B,) weight."""
    error = 0.5 * ((embedding - target) ** 2).mean(1) + (1 - F.cosine_similarity(embedding, target, dim=1))
    return (error * weight).sum() / weight.sum().clamp(min=1)


def train(
    model: nn.Module,
    examples: Examples,
    *,
    steps: int,
    batch: int,
    lr: float,
    weight_decay: float,
    seed: int,
    bf16: bool,
    warmup: float = 0.05,
) -> Iterator[dict[str, float]]:
    """Fit a (float or fake-quantised) student to examples, in place; yields the losses of each step."""
    x, target, labels, weight = (
        torch.from_numpy(a) for a in (examples.x, examples.embedding, examples.labels, examples.weight)
    )
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    for step in range(steps):
        rows = torch.from_numpy(np.random.default_rng([seed, step]).integers(0, len(x), batch))
        warm = max(1, int(warmup * steps))
        share = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
        for group in optimiser.param_groups:
            group["lr"] = lr * share
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            embedding, answers = model(x[rows])
        imitation = imitation_loss(embedding.float(), target[rows], weight[rows])
        answer = answer_loss(answers.float(), labels[rows])
        optimiser.zero_grad(set_to_none=True)
        (imitation + answer).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        yield {"imitation": float(imitation.detach()), "answers": float(answer.detach())}


def distill(config: DistillConfig, examples: Examples, student: Student) -> Iterator[dict[str, float]]:
    """Train a student in place; yields the losses of each step."""
    student.train()
    yield from train(
        student,
        examples,
        steps=config.steps,
        batch=config.batch,
        lr=config.lr,
        weight_decay=config.weight_decay,
        seed=config.seed,
        bf16=config.bf16,
    )
    student.eval()


def save_student(path: Path, student: Student, standard: Standard, metadata: dict) -> None:
    """Student weights, the standardisation of its embedding, and its config in one safetensors file."""
    state = student.state_dict()
    state["standard.mean"] = torch.from_numpy(np.asarray(standard.mean, np.float32))
    state["standard.std"] = torch.from_numpy(np.asarray(standard.std, np.float32))
    if standard.basis is not None:
        state["standard.basis"] = torch.from_numpy(np.asarray(standard.basis, np.float32))
    save_weights(path, state, {"student": describe(student.config), **metadata})


def load_student(path: Path | str) -> tuple[Student, Standard]:
    """A student in eval mode and its standardisation.

    Raises:
        CheckpointError: not a student, or not its shape.
    """
    state, metadata = read_state(path)
    student = Student(student_config(metadata, path))
    basis = state.pop("standard.basis", None)
    standard = Standard(
        state.pop("standard.mean").numpy(),
        state.pop("standard.std").numpy(),
        None if basis is None else basis.numpy(),
    )
    load_strict(student, state, path)
    return student.eval(), standard


def student_config(metadata: dict[str, str], where) -> StudentConfig:
    """The config that a student file carries."""
    if "student" not in metadata:
        raise CheckpointError("is not a student", where=where, cure="Make one with quantize/distill.py")
    values: dict[str, Any] = json.loads(metadata["student"])
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return StudentConfig(**fields)


def main(config: DistillConfig) -> None:
    """Distil the teacher into a streaming student."""
    from onwrist.command import bar, say

    torch.manual_seed(config.seed)
    shape = LADDER[config.size]
    examples, standard = build(
        load_encoder(config.teacher),
        shape.context,
        versions=config.versions,
        hop_s=config.hop_s,
        seed=config.seed,
        root=config.data,
        progress=bar,
    )
    student = Student(shape)
    steps = bar(distill(config, examples, student), f"distil {config.size}", total=config.steps)
    for row in steps:
        steps.set_postfix({k: f"{v:.3f}" for k, v in row.items()})
    recipe = {
        "teacher": config.teacher,
        "steps": config.steps,
        "batch": config.batch,
        "seed": config.seed,
        "windows": len(examples),
    }
    save_student(config.path, student, standard, {"recipe": recipe})
    count = sum(layer.weight.numel() for _, layer in layers_of(student))
    say(f"{config.path}: {count:,} weights, {len(examples):,} windows")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, DistillConfig)
