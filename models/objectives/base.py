"""What an objective is to the trainer, and the sign that one has collapsed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from onwrist.errors import ConfigError


@dataclass(frozen=True)
class Batch:
    """Windows of training people.

    Attributes:
        ppg: (B, 1000), each window min-max scaled to [-1, 1].
        ecg: (B, 1000), simultaneous; see `models.sampler.Sampler`.
        person: (B,) int64, which recording a window is of.
        target: (B, len(models.rhythm.TARGETS)), NaN where unknown.
        beats: (B, 250), beat map.
        weight: (B,) 0 where the pulse cannot be followed.
    """

    ppg: Tensor
    ecg: Tensor
    person: Tensor
    target: Tensor
    beats: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.ppg)


class Objective(nn.Module):
    """A loss with everything that it trains; `encoder` is what is kept.

    Attributes:
        encoder: (B, 1000) to (B, d), the deployable part.
        bf16: whether networks run in bfloat16; losses are always float32.
        lr, weight_decay: of AdamW (0.9, 0.95), the method's defaults.
        pairs: rows 2i and 2i + 1 of a batch are two windows of one person, and no person comes twice.
        align: the ECG is moved to a common delay, turned upright and scaled by its spread; else min-max only.
        disturb: windows are stretched in time and disturbed by noise and motion.
    """

    encoder: nn.Module
    bf16 = False
    lr, weight_decay = 1e-3, 0.01
    pairs, align, disturb = False, True, False

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss to descend, and what a log should show of it."""
        raise NotImplementedError

    def after_step(self, progress: float) -> None:
        """Called after each optimiser step; `progress` rises from 0 to 1 over the run."""

    def fast(self) -> AbstractContextManager:
        """bfloat16 for the networks inside, if the run asks for it."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16)


def generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator that continues a numpy one, so that a resumed run draws what the whole run drew."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def kept_count(patches: int, mask_ratio: float) -> int:
    """How many patches stay visible.

    Raises:
        ConfigError: none or all would.
    """
    keep = patches - round(mask_ratio * patches)
    if not 0 < keep < patches:
        raise ConfigError(
            f"mask ratio {mask_ratio} leaves {keep} of {patches} patches", field="mask_ratio", cure="Use 0.8"
        )
    return keep


def scatter_visible(count: int, patches: int, mask_ratio: float, draw: torch.Generator) -> Tensor:
    """Ascending indices (count, K) of visible patches, drawn without order ("random" masking)."""
    keep = kept_count(patches, mask_ratio)
    return torch.rand(count, patches, generator=draw).argsort(dim=1)[:, :keep].sort(dim=1).values


def hidden_patches(visible: Tensor, patches: int) -> Tensor:
    """(B, K) visible indices to (B, patches), 1 where hidden."""
    return torch.ones(len(visible), patches).scatter_(1, visible, 0.0)


def effective_rank(embeddings: Tensor) -> float:
    """How many dimensions a set of embeddings (n, d) fills: exp of the entropy of its singular values.

    Roy and Vetterli 2007; on centred embeddings, as a sign of collapse (1: a line, 0: a point).
    """
    centred = embeddings.double() - embeddings.double().mean(0)
    values = torch.linalg.svdvals(centred)
    if float(values.sum()) < 1e-9:
        return 0.0
    p = values / values.sum()
    return float(torch.exp(torch.special.entr(p).sum()))
