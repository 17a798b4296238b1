"""The momentum teacher: a slow copy of a network that no gradient reaches (He et al. 2020, arXiv 1911.05722)."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from onwrist.models.objectives.base import Objective
from onwrist.models.objectives.views import Views

FIRST_MOMENTUM = 0.996


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


class SelfDistilled(Objective):
    """A student beside its slow copy, which follows with a momentum from 0.996 to 1 and is what is kept.

    The settings that DINO and MSN share; `student` has an `encoder`.
    """

    lr, weight_decay = 5e-4, 0.04
    views = Views(noise=0.5, scale=0.4)

    def __init__(self, student: nn.Module):
        super().__init__()
        self.student = student
        self.teacher = Momentum(student)

    @property
    def encoder(self):
        return self.teacher.slow.encoder

    def after_step(self, progress: float) -> None:
        """Move the slow copy."""
        self.teacher.update(self.student, rising(FIRST_MOMENTUM, progress))


def rising(start: float, progress: float) -> float:
    """Cosine from `start` to 1 over the run, `progress` in [0, 1] (Grill et al. 2020, arXiv 2006.07733)."""
    return 1.0 - (1.0 - start) * 0.5 * (1.0 + math.cos(math.pi * progress))
