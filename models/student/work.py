"""What a student costs in multiply-accumulates, counted from its graph."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from onwrist.models.student.graph import graph_of
from onwrist.signals.pulse.clean import WINDOW_S


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates per 10 s of signal.

    Attributes:
        windowed: recomputing the whole window at every hop.
        streamed: new frames only; what follows a pool once a hop.
    """

    windowed: int
    streamed: int

    def of_hop(self, hop_s: float) -> float:
        """MACs of one hop of the stream."""
        return self.streamed * hop_s / WINDOW_S


def work(student: nn.Module, hop_s: float = 1.0) -> Work:
    """MACs of a float student at a hop."""
    graph = graph_of(student)
    timing, samples = graph.timing, int(graph.sees.rate_hz * WINDOW_S)
    window = timing.window_of(timing.samples(graph.window)).frames
    per_window = frames = per_hop = 0
    for i, weights in graph.weights().items():
        per_window += weights * window[i]
        if timing.once[i]:
            per_hop += weights
        else:
            frames += int(weights * samples / timing.period[i])
    hops = WINDOW_S / hop_s
    return Work(int(per_window * hops), int(frames + per_hop * hops))
