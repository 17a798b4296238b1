"""A student that moves on by one hop: new samples and its state in, an embedding and the next state out.

    step = Step(student, hop=25)
    state = step.start()
    embedding, answers, *state = step(samples, *state)     # samples: (1, 25)

The same weights as the window, float or under fake quantisation. Nothing is hidden in the module: the state is what
the caller hands in and gets back, one tensor per layer with left context.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from onwrist.errors import ConfigError
from onwrist.models.student.network import StudentConfig


class Staged(Protocol):
    """A student as a chain: `stages` look back along time, `answer` turns the pool's output into outputs."""

    config: StudentConfig

    def stages(self) -> list[nn.Module]:
        """The layers with an extent in time, the pool last; each takes and gives (B, channels, frames)."""
        ...

    def answer(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, m) to embedding (B, 256, m) and answers (B, 3, m)."""
        ...


class Step(nn.Module):
    """One hop of a student.

    Args:
        student: float or fake-quantised.
        hop: samples, a multiple of the student's stride, at most its pool (10 s).

    Raises:
        ConfigError: another hop.
    """

    def __init__(self, student: Staged, hop: int):
        super().__init__()
        config = student.config
        most = config.pool * config.stride
        if not 1 <= hop <= most or hop % config.stride:
            cure = f"Use a multiple of {config.stride} samples (the total stride) up to {most}"
            raise ConfigError(f"hop of {hop} samples", field="hop", cure=cure)
        self.student, self.hop = student, hop
        self.contexts = [_context(stage) for stage in student.stages()]
        # The pool is computed once a hop: it moves on by as many frames as the hop has.
        self.contexts[-1] = config.pool - hop // config.stride

    @torch.no_grad()
    def start(self, batch: int = 1) -> list[Tensor]:
        """The state of a stream whose input has been 0 for ever: (batch, channels, context) per layer that keeps any."""
        state, column = [], torch.zeros(batch, 1, 1)
        for stage, context in zip(self.student.stages(), self.contexts, strict=True):
            if context:
                state.append(column.repeat(1, 1, context))
            column = stage(column.repeat(1, 1, _reach(stage) + 1))[..., -1:]
        return state

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """(B, hop) and the state to embedding (B, 256), answers (B, 3) and the next state."""
        held, kept = list(state), []
        frames = x.unsqueeze(1)
        for stage, context in zip(self.student.stages(), self.contexts, strict=True):
            if context:
                frames = torch.cat([held.pop(0), frames], dim=-1)
                kept.append(frames[..., frames.shape[-1] - context :])
            frames = stage(frames)
        embedding, answers = self.student.answer(frames)
        return embedding[..., -1], answers[..., -1], *kept


def _convolution(stage: nn.Module) -> nn.Conv1d:
    return next(m for m in stage.modules() if isinstance(m, nn.Conv1d))


def _reach(stage: nn.Module) -> int:
    conv = _convolution(stage)
    return conv.dilation[0] * (conv.kernel_size[0] - 1)


def _context(stage: nn.Module) -> int:
    return max(0, _reach(stage) + 1 - _convolution(stage).stride[0])
