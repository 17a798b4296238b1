"""What a pretraining run is told: apart from its code, so that `--help` need not wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from onwrist.ranges import Checked, Seed, Share
from onwrist.settings import Bf16, Data


@dataclass(frozen=True)
class PretrainConfig(Checked):
    """Pretraining of one system."""

    method: Literal[
        "xmae-rhythm", "xmae", "mae", "msn", "papagei", "apple", "dino", "lsm", "simclr", "apple-m", "xmae-published"
    ] = "xmae-rhythm"
    """Which system; the nine of the bench are xmae to apple-m. xmae-rhythm is the shipped teacher: xMAE with R-peak
    targets and disturbed windows. xmae-published has the paper's settings and does not learn on the open data."""
    out: Path | None = None
    """Folder of checkpoints and log (default: runs/pretrain/METHOD)."""
    windows: Annotated[int, Interval(ge=1, le=1_000_000_000)] = 64_000
    """Windows to see in all: the budget that is equal for all systems."""
    batch: Annotated[int, Interval(ge=1, le=65_536)] = 64
    """Windows per step."""
    lr: Annotated[float, Interval(gt=0, le=1)] | None = None
    """Peak learning rate (default: the method's)."""
    weight_decay: Annotated[float, Interval(ge=0, le=1)] | None = None
    """AdamW weight decay (default: the method's)."""
    warmup: Share = 0.05
    """Share of steps with rising learning rate; then cosine."""
    seed: Seed = 0
    """Seed of weights and batches."""
    resume: bool = False
    """Go on from `out`/last.pt."""
    bf16: Bf16 = True
    save_every_s: Annotated[float, Interval(ge=0, le=86_400)] = 180.0
    """Seconds between checkpoints."""
    data: Data = None

    @property
    def folder(self) -> Path:
        """Where checkpoints and log are written."""
        from onwrist.models.encoders.checkpoint import encoder_weights

        return self.out or encoder_weights(self.method).parent

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return self.windows // self.batch
