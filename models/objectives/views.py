"""Random views of a window: what an objective calls the same window.

The disturbances, their strengths and their order are those of PaPaGei's public code (Pillai et al. 2024): noise of 0.05
of the window's unit, upside down, backwards, scaled by 1 +- 0.1, and a crop that keeps one run of the window and blanks
the rest, the share kept being the larger part of a Beta(0.5, 0.5) split.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NOISE, SCALE, CROP_BETA = 0.05, 0.1, 0.5


@dataclass(frozen=True)
class Views:
    """Probability of each disturbance, window by window."""

    noise: float = 0.0
    negate: float = 0.0
    flip: float = 0.0
    scale: float = 0.0
    crop: float = 0.0

    def __call__(self, windows: Tensor, draw: torch.Generator) -> Tensor:
        """(B, L) to a disturbed copy (B, L)."""
        count, length = windows.shape

        def chosen(probability: float) -> Tensor:
            return torch.rand(count, 1, generator=draw) < probability

        out = windows + NOISE * chosen(self.noise) * torch.randn(count, length, generator=draw)
        out = torch.where(chosen(self.negate), -out, out)
        out = torch.where(chosen(self.flip), out.flip(1), out)
        out = out * (1.0 + SCALE * chosen(self.scale) * torch.randn(count, 1, generator=draw))
        return torch.where(chosen(self.crop), out * _run(count, length, draw), out)


def _run(count: int, length: int, draw: torch.Generator) -> Tensor:
    """(count, length) of one run of ones a row."""
    # Beta(1/2, 1/2) is the law of sin^2 of a uniform angle.
    share = torch.sin(0.5 * torch.pi * torch.rand(count, 1, generator=draw)) ** 2
    kept = (torch.maximum(share, 1 - share) * length).round()
    start = (torch.rand(count, 1, generator=draw) * (length - kept)).floor()
    at = torch.arange(length)
    return ((at >= start) & (at < start + kept)).float()


def crops(windows: Tensor, samples: int, draw: torch.Generator) -> Tensor:
    """One run of `samples` at a random place of each window: (B, L) to (B, samples)."""
    start = torch.randint(0, windows.shape[1] - samples + 1, (len(windows), 1), generator=draw)
    return windows.gather(1, start + torch.arange(samples))
