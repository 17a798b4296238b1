"""The momentum teacher: a slow copy of a network that no gradient reaches (He et al. 2020, arXiv 1911.05722)."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn


class Momentum(nn.Module):
    """`slow <- m slow + (1 - m) fast`, for weights and for the statistics of batch norms."""

    def __init__(self, fast: nn.Module):
        super().__init__()
        self.slow = copy.deepcopy(fast)
        self.slow.requires_grad_(False)

    @torch.no_grad()
    def forward(self, *inputs, **named):
        """What the slow copy answers, without gradient."""
        return self.slow(*inputs, **named)

    @torch.no_grad()
    def update(self, fast: nn.Module, momentum: float) -> None:
        """Move towards `fast`; counters are copied."""
        for old, new in zip(self.slow.state_dict().values(), fast.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1.0 - momentum)
            else:
                old.copy_(new)


def rising(start: float, progress: float) -> float:
    """Cosine from `start` to 1 over the run, `progress` in [0, 1] (Grill et al. 2020, arXiv 2006.07733)."""
    return 1.0 - (1.0 - start) * 0.5 * (1.0 + math.cos(math.pi * progress))
