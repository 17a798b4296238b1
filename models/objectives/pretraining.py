"""Pretrain an encoder: xMAE, or any of the eight systems that it is compared with, at an equal budget."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from onwrist.errors import CheckpointError, ConfigError, ExportError
from onwrist.models.encoders.checkpoint import save_encoder
from onwrist.models.objectives.base import Objective, effective_rank
from onwrist.models.objectives.sampler import Sampler, split_tracks
from onwrist.models.objectives.settings import PretrainConfig
from onwrist.models.objectives.zoo import build
from onwrist.signals.people.cohort import Track
from onwrist.writing import claim, write_whole

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
    """One row of the log: seconds of training, loss, its parts, and on some rows the same on validation people."""

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

    A killed run is resumed as if it had never ended: the log has each step once, and its seconds go on.

    Raises:
        ConfigError: nothing to train on, or `resume` with another config.
        CheckpointError: `resume` with a damaged checkpoint.
        ExportError: another run writes to the folder, or the disk is full: the last checkpoint and the log stay.
    """
    with claim(config.folder):
        yield from _pretrain(config, tracks, motion)


def _pretrain(config: PretrainConfig, tracks: list[Track], motion: Sequence[np.ndarray]) -> Iterator[Step]:
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
    log = folder / "log.jsonl"
    before = _log_up_to(log, first)
    saved = time.monotonic()
    began = saved - before
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
        _append(log, json.dumps(asdict(row)))
        if last or time.monotonic() - saved > config.save_every_s:
            _save(checkpoint, step + 1, config, objective, optimiser)
            saved = time.monotonic()
        yield row
    said = {"method": config.method, "windows": config.windows, "recipe": _identity(config)}
    save_encoder(folder / "encoder.safetensors", objective.encoder, said)


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
    state = io.BytesIO()
    torch.save(
        {
            "step": step,
            "config": _identity(config),
            "objective": objective.state_dict(),
            "optimiser": optimiser.state_dict(),
        },
        state,
    )
    write_whole(path, state.getvalue())


def _append(log: Path, row: str) -> None:
    try:
        with log.open("a") as file:
            file.write(row + "\n")
    except OSError as error:
        cure = "Make room, then go on with --resume"
        raise ExportError(f"cannot be written ({error.strerror})", where=log, cure=cure) from error


def _log_up_to(log: Path, first: int) -> float:
    """Leave the rows of steps before `first`, whose work was kept; returns the seconds that they took.

    A killed run has logged steps that no checkpoint holds, and perhaps half a row.
    """
    kept: list[tuple[str, float]] = []
    for line in log.read_text(errors="replace").splitlines() if first and log.exists() else ():
        try:
            row = json.loads(line)
            if len(kept) == row["step"] < first:
                kept.append((line, float(row["seconds"])))
        except (ValueError, KeyError, TypeError):
            break
    write_whole(log, "".join(line + "\n" for line, _ in kept).encode())
    return kept[-1][1] if kept else 0.0


def _identity(config: PretrainConfig) -> dict:
    """What must agree for a resumed run to be the same run."""
    free = {"out", "resume", "save_every_s", "data", "bf16"}
    return {k: v for k, v in asdict(config).items() if k not in free}


def _resume(path: Path, config: PretrainConfig, objective: Objective, optimiser) -> int:
    if not path.exists():
        raise ConfigError("nothing to resume", where=path, cure="Start without --resume")
    cure = "Start without --resume"
    try:
        state = torch.load(path, weights_only=True)
        was, step = dict(state["config"]), int(state["step"])
    except Exception as error:  # a damaged file may raise anything
        raise CheckpointError(f"cannot be read ({type(error).__name__})", where=path, cure=cure) from error
    differs = [k for k, v in _identity(config).items() if was.get(k) != v]
    if differs:
        raise ConfigError(
            f"other settings: {', '.join(differs)}", where=path, cure="Resume with the run's own settings"
        )
    try:
        objective.load_state_dict(state["objective"])
        optimiser.load_state_dict(state["optimiser"])
    except Exception as error:
        raise CheckpointError(f"does not fit ({type(error).__name__})", where=path, cure=cure) from error
    return step
