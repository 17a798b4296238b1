"""INT8 quantisation of a student: post-training as the baseline, then quantisation-aware training.

    python quantize/qat.py                 # the shipped watch student
    python quantize/qat.py --size band --student runs/distill/band.safetensors
    python quantize/qat.py --teacher dino             # what quantize/distill.py --teacher dino left

The quantised student imitates its own float parent on training people; both are then judged on people whom neither
has seen. Calibration and training use the training role only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onwrist.errors import CheckpointError
from onwrist.models.encoders.checkpoint import SHIPPED_TEACHER, read_state, save_weights
from onwrist.models.student.network import Student, describe
from onwrist.quantize.distill import load_student, runs_of, student_config
from onwrist.quantize.integers.arithmetic import IntegerModel, read_integers
from onwrist.quantize.integers.fake_quant import QuantStudent, quantise
from onwrist.quantize.judging.evaluate import compare, evaluation, run_integers, run_torch
from onwrist.quantize.teaching.examples import build
from onwrist.resources import WEIGHTS

CALIBRATION_BATCHES, CALIBRATION_BATCH = 8, 256
# The gate asks for the worst window, not only the median: the worst of each batch count as much as all of it.
TAIL_SHARE = 0.03
# Distances are of the order 1e-3, squared errors of 1e-2.
DISTANCE_WEIGHT = 20.0


@dataclass(frozen=True)
class QATConfig:
    """Quantisation of one student."""

    size: Literal["watch", "band"] = "watch"
    """Which student of the ladder."""
    teacher: str | None = None
    """The teacher that was named to quantize/distill.py (default: the shipped one)."""
    student: Path | None = None
    """Float student (default: the teacher's of that size)."""
    out: Path | None = None
    """File to write (default: runs/qat/SIZE.int8.safetensors, or in a folder of the teacher's name there)."""
    steps: int = 900
    """Optimiser steps of QAT; 0 stops at post-training quantisation."""
    batch: int = 256
    """Windows per step."""
    lr: float = 1.5e-4
    """Peak learning rate, cosine to zero."""
    hop_s: float = 8.0
    """Seconds between training windows."""
    seed: int = 0
    """Seed of batches."""
    data: Path | None = None
    """Folder of the sets (default: $ONWRIST_DATA, then ../shared/data)."""

    @property
    def path(self) -> Path:
        """Where the quantised student is written."""
        return self.out or runs_of("qat", self.teacher) / f"{self.size}.int8.safetensors"


def float_weights(size: str, teacher: str | None = None) -> Path:
    """The float student of a size: the shipped one, or what quantize/distill.py left for a teacher."""
    return _of_teacher("distill", f"{size}.safetensors", teacher)


def int8_weights(size: str, teacher: str | None = None) -> Path:
    """The quantised student of a size: the shipped one, or what quantize/qat.py left for a teacher."""
    return _of_teacher("qat", f"{size}.int8.safetensors", teacher)


def _of_teacher(step: str, name: str, teacher: str | None) -> Path:
    path = runs_of(step, teacher) / name
    if not teacher or (teacher == SHIPPED_TEACHER and not path.exists()):
        return WEIGHTS / name
    if not path.exists():
        raise CheckpointError(
            f"no student of {teacher}", where=path, cure=f"Run python quantize/{step}.py --teacher {teacher}"
        )
    return path


def calibration_batches(x: np.ndarray, seed: int) -> list[Tensor]:
    """Batches of training windows for the activation ranges."""
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(x[rng.integers(0, len(x), CALIBRATION_BATCH)]) for _ in range(CALIBRATION_BATCHES)]


def train_quantised(
    quantised: QuantStudent, parent: Student, x: np.ndarray, config: QATConfig
) -> Iterator[dict[str, float]]:
    """QAT in place: imitate the float parent's embedding and answers; yields the loss of each step."""
    parameters = [p for p in quantised.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    parent.eval()
    quantised.train()
    for step in range(config.steps):
        rows = np.random.default_rng([config.seed, step]).integers(0, len(x), config.batch)
        batch = torch.from_numpy(x[rows])
        batch[0] = 0.0  # silence: what a watch sees off the wrist and at start-up, and recordings hardly hold
        with torch.no_grad():
            target, answers = parent(batch)
        embedding, given = quantised(batch)
        distances = 1 - F.cosine_similarity(embedding, target, dim=1)
        distance = distances.mean()
        tail = distances.topk(max(1, int(TAIL_SHARE * len(rows)))).values.mean()
        loss = DISTANCE_WEIGHT * (distance + tail) + F.mse_loss(embedding, target) + F.mse_loss(given, answers)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        yield {"loss": float(loss.detach()), "distance": float(distance.detach())}
    quantised.eval()


def save_quantised(path: Path, student: QuantStudent, metadata: dict) -> None:
    """The QAT state (weights and learnt scales) in safetensors."""
    state = {n: v for n, v in student.state_dict().items() if isinstance(v, Tensor)}
    digest = read_integers(student).digest()
    save_weights(path, state, {"student": describe(student.config), "digest": digest, **metadata})


def load_quantised(path: Path | str) -> QuantStudent:
    """A quantised student in eval mode, its integers checked against the digest in the file.

    Raises:
        CheckpointError: not a quantised student, or its integers are not those that were saved.
    """
    state, metadata = read_state(path)
    student = QuantStudent(student_config(metadata, path))
    try:
        student.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"does not fit ({error})"[:300], where=path, cure="Make it anew with quantize/qat.py"
        ) from None
    student.pool.weight.requires_grad_(False)
    student.eval()
    if read_integers(student).digest() != json.loads(metadata["digest"]):
        raise CheckpointError(
            "holds other integers than were saved", where=path, cure="Make it anew with quantize/qat.py"
        )
    return student


def load_integers(size_or_path: str | Path) -> IntegerModel:
    """The integers of a shipped size ('watch', 'band') or of a file."""
    path = int8_weights(str(size_or_path)) if str(size_or_path) in ("watch", "band") else Path(size_or_path)
    return read_integers(load_quantised(path))


def main(config: QATConfig) -> None:
    """Quantise a student to INT8: PTQ, then QAT, both judged on held-out people."""
    from onwrist.command import bar, say

    parent, _ = load_student(config.student or float_weights(config.size, config.teacher))
    examples, _ = build(
        None,
        parent.config.context,
        versions=1,
        hop_s=config.hop_s,
        seed=config.seed + 1,
        root=config.data,
        progress=bar,
    )
    batches = calibration_batches(examples.x, config.seed)
    data = evaluation(parent.config.context, config.data, bar)
    reference = run_torch(parent, data.x)
    ptq = quantise(parent, batches)
    found = {"ptq": compare(reference, run_integers(read_integers(ptq), data.x), data)}
    quantised = ptq
    if config.steps:
        steps = bar(train_quantised(quantised, parent, examples.x, config), f"QAT {config.size}", total=config.steps)
        for row in steps:
            steps.set_postfix({k: f"{v:.4f}" for k, v in row.items()})
        found["qat"] = compare(reference, run_integers(read_integers(quantised), data.x), data)
    save_quantised(config.path, quantised, {"steps": config.steps, "seed": config.seed})
    config.path.with_suffix(".json").write_text(json.dumps(found, indent=1))
    print(table(found))
    say(f"{config.path}")


def table(found: dict[str, dict]) -> str:
    """PTQ and QAT side by side, Markdown."""
    lines = [
        "| | cosine median | cosine worst | heart rate MAE (BPM) | quality AUROC | irregular AUROC |",
        "|---|---|---|---|---|---|",
    ]
    first = next(iter(found.values()))
    lines.append(
        f"| float | 1 | 1 | {first['heart_rate']['reference']:.2f} | {first['quality']['reference']:.4f} "
        f"| {first['irregular']['reference']:.4f} |"
    )
    for name, c in found.items():
        cells = []
        for key, digits in (("heart_rate", 2), ("quality", 4), ("irregular", 4)):
            d, low, high = c[key]["difference"]
            cells.append(f"{c[key]['other']:.{digits}f} ({d:+.4f} [{low:+.4f}, {high:+.4f}])")
        lines.append(
            f"| {name.upper()} | {c['cosine']['median']:.5f} | {c['cosine']['worst']:.5f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    from onwrist.command import run

    run(main, QATConfig)
