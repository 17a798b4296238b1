"""Pretrain an encoder: xMAE, or any of the eight systems that it is compared with, at an equal budget."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from onwrist.errors import ConfigError
from onwrist.models.encoders.checkpoint import save_encoder
from onwrist.models.objectives.base import Objective, effective_rank
from onwrist.models.objectives.sampler import Sampler, split_tracks
from onwrist.models.objectives.settings import PretrainConfig
from onwrist.models.objectives.zoo import build
from onwrist.signals.people.cohort import Track

VALIDATE_EVERY, VALIDATION_BATCHES = 100, 4

SEED_STRIDE = 1_000_003


def learning_rate(step: int, config: PretrainConfig, peak: float) -> float:
    """Linear warm-up to `peak`, then cosine to zero."""
    warm = max(1, int(config.warmup * config.steps))
    if step < warm:
        return peak * (step + 1) / warm
    return 0.5 * peak * (1 + math.cos(math.pi * (step - warm) / max(1, config.steps - warm)))


@dataclass
class Step:
    """One row of the log: loss, its parts, and on some rows the same on validation people."""

    step: int
    seconds: float
    loss: float
    parts: dict[str, float]
    validation: dict[str, float] | None = None


def pretrain(config: PretrainConfig, tracks: list[Track], motion: Sequence[np.ndarray] = ()) -> Iterator[Step]:
    """Train; yields a `Step` after every optimiser step and leaves last.pt, log.jsonl and encoder.safetensors.

    Args:
        config: see `PretrainConfig`.
        tracks: prepared recordings; only the training role with ECG is used.
        motion: wrist artefacts, for a method that disturbs its windows.

    Raises:
        ConfigError: nothing to train on, or `resume` with another config.
    """
    torch.manual_seed(config.seed)
    objective = build(config.method)
    objective.bf16 = config.bf16
    parameters = [p for p in objective.parameters() if p.requires_grad]
    peak = objective.lr if config.lr is None else config.lr
    decay = objective.weight_decay if config.weight_decay is None else config.weight_decay
    optimiser = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.95), weight_decay=decay)
    train, held = split_tracks(tracks)
    sampler = Sampler(train, objective.align, motion)
    validation = Sampler(held, objective.align) if held else None
    folder, checkpoint = config.folder, config.folder / "last.pt"
    folder.mkdir(parents=True, exist_ok=True)
    first = _resume(checkpoint, config, objective, optimiser) if config.resume else 0
    log = (folder / "log.jsonl").open("a" if first else "w")
    saved, began = time.monotonic(), time.monotonic()
    for step in range(first, config.steps):
        rng = np.random.default_rng([config.seed, step])
        torch.manual_seed(SEED_STRIDE * config.seed + step)  # dropout, where a method has it
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, config, peak)
        objective.train()
        batch = sampler.batch(rng, config.batch, disturb=objective.disturb, pairs=objective.pairs)
        # At 25 tokens plain attention is twice as fast as the blocked kernel that torch would choose on a CPU.
        with sdpa_kernel(SDPBackend.MATH):
            loss, parts = objective.loss(batch, rng)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        objective.after_step((step + 1) / config.steps)
        row = Step(step, time.monotonic() - began, float(loss.detach()), parts)
        last = step + 1 == config.steps
        if validation and (step % VALIDATE_EVERY == VALIDATE_EVERY - 1 or last):
            row.validation = validate(objective, validation, config.batch)
        log.write(json.dumps(asdict(row)) + "\n")
        log.flush()
        if last or time.monotonic() - saved > config.save_every_s:
            _save(checkpoint, step + 1, config, objective, optimiser)
            saved = time.monotonic()
        yield row
    log.close()
    recipe = {"windows": config.windows, "batch": config.batch, "seed": config.seed}
    save_encoder(folder / "encoder.safetensors", objective.encoder, {"method": config.method, **recipe})


@torch.no_grad()
def validate(objective: Objective, sampler: Sampler, count: int) -> dict[str, float]:
    """Loss and parts on the validation people, always the same windows, and how many dimensions embeddings fill."""
    objective.eval()
    rows, embeddings = [], []
    for i in range(VALIDATION_BATCHES):
        rng = np.random.default_rng([7, i])
        batch = sampler.batch(rng, count, pairs=objective.pairs)
        loss, parts = objective.loss(batch, rng)
        rows.append({"loss": float(loss), **parts})
        with objective.fast():
            embeddings.append(objective.encoder(batch.ppg).float())
    return {
        **{name: float(np.mean([row[name] for row in rows])) for name in rows[0]},
        "rank": effective_rank(torch.cat(embeddings)),
    }


def _save(path: Path, step: int, config: PretrainConfig, objective: Objective, optimiser) -> None:
    part = path.with_suffix(".part")
    torch.save(
        {
            "step": step,
            "config": _identity(config),
            "objective": objective.state_dict(),
            "optimiser": optimiser.state_dict(),
        },
        part,
    )
    os.replace(part, path)


def _identity(config: PretrainConfig) -> dict:
    """What must agree for a resumed run to be the same run."""
    free = {"out", "resume", "save_every_s", "data", "bf16"}
    return {k: v for k, v in asdict(config).items() if k not in free}


def _resume(path: Path, config: PretrainConfig, objective: Objective, optimiser) -> int:
    if not path.exists():
        raise ConfigError("nothing to resume", where=path, cure="Start without --resume")
    state = torch.load(path, weights_only=True)
    differs = [k for k, v in _identity(config).items() if state["config"].get(k) != v]
    if differs:
        raise ConfigError(
            f"other settings: {', '.join(differs)}", where=path, cure="Resume with the run's own settings"
        )
    objective.load_state_dict(state["objective"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"]
