"""Pretrain xMAE: reconstruct the masked ECG from the PPG.

    python models/pretrain.py                        # the recipe of the shipped teacher
    python models/pretrain.py --recipe published     # the paper's settings
    python models/pretrain.py --resume True          # go on from the last checkpoint

Every step's batch is drawn from a generator seeded by (seed, step): a resumed run sees what an uninterrupted
one would have seen.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import deployable, save_weights
from models.rhythm import BIN_S, TARGETS, RhythmHead, beat_loss, beat_map, rhythm_loss, targets
from models.xmae import XMAE, XMAEConfig
from signals.beats import agreement
from signals.clean import TEACHER_RATE_HZ, WINDOW_S, min_max
from signals.cohort import COMMON_DELAY_S, Track, load_tracks
from signals.errors import ConfigError
from signals.people import challenge_number

SAMPLES = int(WINDOW_S * TEACHER_RATE_HZ)
BINS = round(WINDOW_S / BIN_S)
# Validation people, inside the training role: one block of record numbers, with the neighbour gap around it.
VALIDATION_NUMBERS = range(400, 450)
VALIDATION_GAP = 8
# Reconstruction is only asked for where the pulse follows the ECG.
RECONSTRUCT_RECALL = 0.6


@dataclass(frozen=True)
class PretrainConfig:
    """Pretraining of the teacher."""

    recipe: Literal["rhythm", "aligned", "published"] = "rhythm"
    """rhythm: aligned ECG, sinusoidal positions, augmentation, and R-peak targets on the embedding (ships).
    aligned: the same without the R-peak targets and augmentation. published: as in the paper."""
    out: Path = Path("runs/pretrain")
    """Folder of checkpoints and log."""
    steps: int = 4000
    """Optimiser steps; 0.6 s each on two cores."""
    batch: int = 64
    """Windows per step."""
    lr: float = 1e-3
    """Peak learning rate (published: 3e-4 at batch 512)."""
    weight_decay: float = 0.01
    """AdamW weight decay."""
    warmup: float = 0.05
    """Share of steps with rising learning rate; then cosine (published: 0.1)."""
    mask_ratio: float = 0.8
    """Share of ECG patches that are hidden; the visible ones are one run ("anchor")."""
    rhythm_weight: float = 1.0
    """Weight of the R-peak targets against the reconstruction."""
    seed: int = 0
    """Seed of weights and batches."""
    resume: bool = False
    """Go on from `out`/last.pt."""
    bf16: bool = True
    """bfloat16 autocast: twice as fast where the CPU has AVX512-BF16."""
    save_every_s: float = 180.0
    """Seconds between checkpoints."""
    data: Path | None = None
    """Folder of the sets (default: $ONWRIST_DATA, then ../shared/data)."""

    @property
    def rhythm(self) -> bool:
        """Whether R-peak targets and augmentation are on."""
        return self.recipe == "rhythm"


def split_tracks(tracks: list[Track]) -> tuple[list[Track], list[Track]]:
    """(train, validation) tracks of the training role that have ECG and a known pulse delay."""
    usable = [t for t in tracks if t.role == "train" and t.beats is not None and np.isfinite(t.beats.delay_s)]
    numbers = {t.name: challenge_number(t.name) or -1 for t in usable}
    near = range(VALIDATION_NUMBERS.start - VALIDATION_GAP, VALIDATION_NUMBERS.stop + VALIDATION_GAP)
    train = [t for t in usable if numbers[t.name] not in near]
    return train, [t for t in usable if numbers[t.name] in VALIDATION_NUMBERS]


class Sampler:
    """Draws windows at random times from tracks, so that no two epochs see the same cut.

    Args:
        tracks: with ECG and beats.
        config: recipe and augmentation.
        motion: 100 Hz wrist PPG without a usable pulse, added as artefact; may be empty.
    """

    def __init__(self, tracks: list[Track], config: PretrainConfig, motion: Sequence[np.ndarray] = ()):
        if not tracks:
            raise ConfigError("no training recordings", field="data", cure="Point --data at the sets")
        self.tracks, self.config, self.motion = tracks, config, list(motion)

    def batch(self, rng: np.random.Generator, count: int, augment: bool) -> tuple[np.ndarray, ...]:
        """(ppg, ecg, targets, beat map, weight): (n, 1000) twice, (n, TARGETS), (n, BINS), and (n,) which is 0 where
        the pulse cannot be followed."""
        ppg, ecg = np.empty((count, SAMPLES), np.float32), np.empty((count, SAMPLES), np.float32)
        target, weight = np.empty((count, len(TARGETS)), np.float32), np.zeros(count, np.float32)
        beats = np.empty((count, BINS), np.float32)
        for row in range(count):
            track, start, stretch = self._place(rng, augment)
            ppg[row], ecg[row] = self._waves(track, start, stretch)
            end = start + WINDOW_S * stretch
            target[row] = targets(track.beats, start, end, stretch)
            beats[row] = beat_map(track.beats, start, end, BINS)
            weight[row] = agreement(track.beats, start, end)[0] >= RECONSTRUCT_RECALL
            if augment:
                weight[row] *= self._disturb(rng, ppg[row], target[row])
        return min_max(ppg), ecg, target, beats, weight

    def _place(self, rng: np.random.Generator, augment: bool) -> tuple[Track, float, float]:
        for _ in range(50):
            track = self.tracks[rng.integers(len(self.tracks))]
            stretch = float(np.exp(rng.uniform(-0.25, 0.25))) if augment else 1.0
            room = len(track.teacher) / TEACHER_RATE_HZ - WINDOW_S * stretch - 1.0
            if room <= 0:
                continue
            start = float(rng.uniform(0, room))
            first, last = int(start * TEACHER_RATE_HZ), int((start + WINDOW_S * stretch) * TEACHER_RATE_HZ)
            if track.missing[first:last].mean() < 0.05 and np.ptp(track.teacher[first:last]) > 0:
                return track, start, stretch
        raise ConfigError("no usable window found", field="data", cure="The recordings are too short or empty")

    def _waves(self, track: Track, start: float, stretch: float) -> tuple[np.ndarray, np.ndarray]:
        t = start * TEACHER_RATE_HZ + np.arange(SAMPLES) * stretch
        grid = np.arange(len(track.teacher))
        low, high = int(t[0]) - 1, int(t[-1]) + 2
        low = max(0, low)
        ppg = np.interp(t, grid[low:high], track.teacher[low:high])
        shift = 0.0
        if self.config.recipe != "published":
            shift = (track.beats.delay_s - COMMON_DELAY_S * stretch) * TEACHER_RATE_HZ
        te = np.clip(t - shift, 0, len(track.ecg) - 1)
        low = max(0, int(te[0]) - 1)
        ecg = np.interp(te, grid[low : int(te[-1]) + 2], track.ecg[low : int(te[-1]) + 2])
        if self.config.recipe == "published":
            return ppg, min_max(ecg)
        ecg = ecg - np.median(ecg)
        return ppg, np.clip(ecg / (2.0 * ecg.std() + 1e-6), -4.0, 4.0)

    def _disturb(self, rng: np.random.Generator, ppg: np.ndarray, target: np.ndarray) -> float:
        """Noise, wander and motion, in place; returns 0 where the pulse was drowned, else 1."""
        spread = ppg.std() + 1e-9
        kind = rng.random()
        if kind < 0.4:
            return 1.0
        heavy = kind > 0.92
        level = spread * (rng.uniform(1.5, 4.0) if heavy else rng.uniform(0.02, 0.5))
        ppg += level * self._artefact(rng)
        if heavy:
            target[:] = np.nan
            target[TARGETS.index("quality")] = 0.0
        return 0.0 if heavy else 1.0

    def _artefact(self, rng: np.random.Generator) -> np.ndarray:
        if self.motion and rng.random() < 0.5:
            source = self.motion[rng.integers(len(self.motion))]
            first = rng.integers(0, len(source) - SAMPLES)
            wave = source[first : first + SAMPLES]
        else:
            knots = rng.integers(8, 200)
            wave = np.interp(np.linspace(0, 1, SAMPLES), np.linspace(0, 1, knots), rng.standard_normal(knots))
        return (wave - wave.mean()) / (wave.std() + 1e-9)


def anchor(rng: np.random.Generator, count: int, patches: int, mask_ratio: float) -> Tensor:
    """Visible patch indices (count, K): one contiguous run at a random place (the paper's mode "anchor")."""
    keep = patches - round(mask_ratio * patches)
    if not 0 < keep < patches:
        raise ConfigError(
            f"mask ratio {mask_ratio} leaves {keep} of {patches} patches", field="mask_ratio", cure="Use 0.8"
        )
    starts = rng.integers(0, patches - keep + 1, size=count)
    return torch.from_numpy(starts[:, None] + np.arange(keep))


def masked_error(predicted: Tensor, ecg: Tensor, visible: Tensor, patch: int, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, correlation): squared error over the hidden samples only, and the median correlation there.

    Args:
        predicted, ecg: (B, samples).
        visible: (B, K) patch indices.
        weight: (B,) 0 leaves a window out.
    """
    patches = ecg.shape[1] // patch
    hidden = torch.ones(len(ecg), patches).scatter_(1, visible, 0.0).repeat_interleave(patch, dim=1)
    hidden = hidden * weight[:, None]
    loss = ((predicted - ecg) ** 2 * hidden).sum() / hidden.sum().clamp(min=1)
    with torch.no_grad():
        n = hidden.sum(1, keepdim=True).clamp(min=1)
        a = (predicted - (predicted * hidden).sum(1, keepdim=True) / n) * hidden
        b = (ecg - (ecg * hidden).sum(1, keepdim=True) / n) * hidden
        r = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)
        r = r[weight > 0].median() if bool((weight > 0).any()) else torch.tensor(float("nan"))
    return loss, r


def learning_rate(step: int, config: PretrainConfig) -> float:
    """Linear warm-up, then cosine to zero."""
    warm = max(1, int(config.warmup * config.steps))
    if step < warm:
        return config.lr * (step + 1) / warm
    return 0.5 * config.lr * (1 + math.cos(math.pi * (step - warm) / max(1, config.steps - warm)))


def motion_of(tracks: list[Track]) -> list[np.ndarray]:
    """Wrist PPG of training people, as a store of real artefacts."""
    return [t.teacher for t in tracks if t.role == "train" and len(t.teacher) > 10 * SAMPLES]


@dataclass
class Step:
    """One row of the log."""

    step: int
    seconds: float
    loss: float
    ecg: float
    rhythm: float
    correlation: float
    validation: dict[str, float] | None = None


def pretrain(config: PretrainConfig, tracks: list[Track], motion: Sequence[np.ndarray] = ()) -> Iterator[Step]:
    """Train; yields a `Step` after every optimiser step and leaves `out`/last.pt, log.jsonl, teacher.safetensors.

    Args:
        config: see `PretrainConfig`.
        tracks: prepared recordings; only the training role with ECG is used.
        motion: wrist artefacts for the augmentation.

    Raises:
        ConfigError: nothing to train on, or `resume` with another config.
    """
    torch.manual_seed(config.seed)
    shape = XMAEConfig(
        sinusoidal_start=config.recipe != "published", dropout=0.1 if config.recipe == "published" else 0.0
    )
    model = XMAE(shape)
    head = RhythmHead(shape.embedding, shape.width, BINS // shape.patches)
    parameters = [*model.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay)
    train, validation = split_tracks(tracks)
    sampler = Sampler(train, config, motion)
    checkpoint = config.out / "last.pt"
    config.out.mkdir(parents=True, exist_ok=True)
    first = 0
    if config.resume:
        first = _resume(checkpoint, config, model, head, optimiser)
    log = (config.out / "log.jsonl").open("a" if first else "w")
    saved, began = time.monotonic(), time.monotonic()
    for step in range(first, config.steps):
        rng = np.random.default_rng([config.seed, step])
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, config)
        model.train()
        loss, parts = _loss(model, head, sampler.batch(rng, config.batch, augment=config.rhythm), rng, config)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        row = Step(step, time.monotonic() - began, float(loss.detach()), *parts)
        last = step + 1 == config.steps
        if validation and (step % 200 == 199 or last):
            row.validation = validate(model, head, validation, config)
        log.write(json.dumps(asdict(row)) + "\n")
        log.flush()
        if last or time.monotonic() - saved > config.save_every_s:
            _save(checkpoint, step + 1, config, model, head, optimiser)
            saved = time.monotonic()
        yield row
    log.close()
    save_weights(
        config.out / "teacher.safetensors",
        deployable(model.ppg_path),
        {"recipe": config.recipe, "steps": config.steps, "batch": config.batch, "seed": config.seed},
    )


def _loss(model: XMAE, head: RhythmHead, batch: tuple, rng: np.random.Generator, config: PretrainConfig):
    ppg, ecg, target, beats, weight = (torch.from_numpy(part) for part in batch)
    visible = anchor(rng, len(ppg), model.config.patches, config.mask_ratio)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
        out = model(ppg, ecg, visible)
    reconstruction, r = masked_error(out.ecg.float(), ecg, visible, model.config.patch, weight)
    predicted, beat_logits = head(out.embedding.float(), out.tokens.float())
    rhythm = rhythm_loss(predicted, target) + beat_loss(beat_logits, beats, weight)
    loss = reconstruction + (config.rhythm_weight * rhythm if config.rhythm else 0.0 * rhythm)
    return loss, (float(reconstruction.detach()), float(rhythm.detach()), float(r))


@torch.no_grad()
def validate(
    model: XMAE, head: RhythmHead, tracks: list[Track], config: PretrainConfig, batches: int = 4
) -> dict[str, float]:
    """Losses on the validation people, always the same windows."""
    model.eval()
    rows = []
    for i in range(batches):
        rng = np.random.default_rng([7, i])
        batch = Sampler(tracks, config).batch(rng, 128, augment=False)
        rows.append(_loss(model, head, batch, rng, config)[1])
    ecg, rhythm, r = np.mean(rows, axis=0)
    return {"ecg": float(ecg), "rhythm": float(rhythm), "correlation": float(r)}


def _save(path: Path, step: int, config: PretrainConfig, model, head, optimiser) -> None:
    part = path.with_suffix(".part")
    torch.save(
        {
            "step": step,
            "config": _identity(config),
            "model": model.state_dict(),
            "head": head.state_dict(),
            "optimiser": optimiser.state_dict(),
        },
        part,
    )
    os.replace(part, path)


def _identity(config: PretrainConfig) -> dict:
    """What must agree for a resumed run to be the same run."""
    free = {"out", "resume", "save_every_s", "data", "bf16"}
    return {k: v for k, v in asdict(config).items() if k not in free}


def _resume(path: Path, config: PretrainConfig, model, head, optimiser) -> int:
    if not path.exists():
        raise ConfigError("nothing to resume", where=path, cure="Start without --resume")
    state = torch.load(path, weights_only=True)
    differs = [k for k, v in _identity(config).items() if state["config"].get(k) != v]
    if differs:
        raise ConfigError(
            f"other settings: {', '.join(differs)}", where=path, cure="Resume with the run's own settings"
        )
    model.load_state_dict(state["model"])
    head.load_state_dict(state["head"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"]


def main(config: PretrainConfig) -> None:
    """Pretrain the xMAE teacher: masked ECG from PPG."""
    from signals.cli import bar, say

    tracks = load_tracks("cinc2015_125hz", config.data, bar)
    motion = motion_of(load_tracks("stress_predict", config.data, bar)) if config.rhythm else []
    if config.recipe == "published":
        config = replace(config, rhythm_weight=0.0)
    steps = bar(pretrain(config, tracks, motion), "pretrain", total=config.steps)
    for row in steps:
        steps.set_postfix(ecg=f"{row.ecg:.3f}", rhythm=f"{row.rhythm:.3f}", r=f"{row.correlation:.2f}")
        if row.validation:
            say(f"step {row.step + 1}: " + ", ".join(f"{k} {v:.3f}" for k, v in row.validation.items()))
    say(f"weights: {config.out / 'teacher.safetensors'}")


if __name__ == "__main__":
    from signals.cli import run

    run(main, PretrainConfig)
