"""When each part of a student's graph sees what: one sentence about time, from which windows and streams follow.

No frame knows the future, and the newest frame of everything ends with the newest sample. Parts of different reach meet
there: what has more of the past than its reader needs is cut at its oldest end. From that follow the window that one
output sees, the frames that a stream keeps of each tensor, and who is computed once a hop only.

A place is a node (0, 1, ...) or an input (-1, -2, ...).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Protocol

from onwrist.errors import ConfigError


class Timed(Protocol):
    """What a node is in time.

    Attributes:
        reach: frames of its source that one of its frames sees, less one. stride: by which it moves on.
    """

    @property
    def reach(self) -> int:
        """Frames before the newest one that it sees."""
        ...

    @property
    def stride(self) -> int:
        """Frames of its source per frame of its own."""
        ...


@dataclass(frozen=True)
class Output:
    """What leaves a graph: a node's frames, or the newest of them once a hop."""

    name: str
    place: int
    per_hop: bool


@dataclass(frozen=True)
class Edge:
    """What a node reads of a source at once: its `frames` newest frames, moving on by `stride`."""

    source: int
    frames: int
    stride: int


@dataclass(frozen=True)
class Schedule:
    """One run of a graph.

    Attributes:
        frames: place -> new frames. context: place -> frames kept from before. edges: node -> what it reads.
    """

    frames: dict[int, int]
    context: dict[int, int]
    edges: tuple[tuple[Edge, ...], ...]

    @property
    def kept(self) -> tuple[int, ...]:
        """Places of which frames are kept, in the order of first use: that of the state tensors in every format."""
        return tuple(dict.fromkeys(e.source for edges in self.edges for e in edges if self.context[e.source]))


@dataclass(frozen=True)
class Timing:
    """The time of a graph.

    Attributes:
        nodes, sources: in order of execution. periods: of the inputs, samples of the first input per sample.
    """

    nodes: tuple[Timed, ...]
    sources: tuple[tuple[int, ...], ...]
    periods: tuple[Fraction, ...]
    outputs: tuple[Output, ...]

    @cached_property
    def once(self) -> tuple[bool, ...]:
        """Nodes of which nobody wants more than the newest frame: they are computed once a hop."""
        wanted = [False] * len(self.nodes)
        for output in self.outputs:
            if output.place >= 0:
                wanted[output.place] |= not output.per_hop
        for i in reversed(range(len(self.nodes))):
            several = wanted[i] or self.nodes[i].reach > 0 or self.nodes[i].stride > 1
            for source in self.sources[i]:
                if source >= 0:
                    wanted[source] |= several
        return tuple(not w for w in wanted)

    @cached_property
    def period(self) -> dict[int, Fraction]:
        """Place -> samples of the first input per frame."""
        found = {-1 - k: period for k, period in enumerate(self.periods)}
        for i, node in enumerate(self.nodes):
            found[i] = found[self.sources[i][0]] * node.stride
        return found

    @cached_property
    def stride(self) -> int:
        """Samples of the first input of which a hop is a multiple."""
        periods = [*self.periods, *(self.period[i] for i, once in enumerate(self.once) if not once)]
        return _common(periods)

    @cached_property
    def longest_hop(self) -> int:
        """Samples of the first input beyond which some would go unseen."""
        pools = [
            (node.reach + 1) * self.period[self.sources[i][0]]
            for i, node in enumerate(self.nodes)
            if self.once[i] and node.reach and not self._is_once(self.sources[i][0])
        ]
        # Strides that leave gaps may see less than they move on by.
        return max(int(max(pools, default=Fraction(self.window))), self.stride)

    @cached_property
    def window(self) -> int:
        """Samples of the first input that the newest frame of every output sees."""
        need: dict[int, int] = {output.place: 1 for output in self.outputs}
        for i in reversed(range(len(self.nodes))):
            frames = (need.get(i, 1) - 1) * self.nodes[i].stride + self.nodes[i].reach + 1
            for source in self.sources[i]:
                need[source] = max(need.get(source, 1), frames)
        seen = max(need.get(-1 - k, 1) * period for k, period in enumerate(self.periods))
        unit = _common(self.periods)
        return math.ceil(seen / unit) * unit

    def samples(self, span: int) -> list[int]:
        """Samples of each input in `span` samples of the first."""
        return [int(span / period) for period in self.periods]

    def check_hop(self, hop: int) -> None:
        """Raise where `hop` samples of the first input are no hop of this graph.

        Raises:
            ConfigError: not a whole number of strides, or longer than its pool (samples would go unseen).
        """
        if not 1 <= hop <= self.longest_hop or hop % self.stride:
            cure = f"Use a multiple of {self.stride} samples (the total stride) up to {self.longest_hop}"
            raise ConfigError(f"hop of {hop} samples", field="hop", cure=cure)

    def step(self, hop: int) -> Schedule:
        """One hop of a stream.

        Raises:
            ConfigError: no hop of this graph.
        """
        self.check_hop(hop)
        frames = {place: int(hop / period) for place, period in self.period.items()}
        frames |= {i: 1 for i, once in enumerate(self.once) if once}
        context = dict.fromkeys(frames, 0)
        edges = []
        for i in range(len(self.nodes)):
            edges.append(tuple(self._edge(i, source, frames[i], hop) for source in self.sources[i]))
            for edge in edges[-1]:
                context[edge.source] = max(context[edge.source], edge.frames - frames[edge.source])
        return Schedule(frames, context, tuple(edges))

    def window_of(self, lengths: Sequence[int], hop: int | None = None) -> Schedule:
        """All at once over `lengths` samples of each input: with a `hop` at every hop's end, else at the end only.

        Raises:
            ConfigError: fewer samples than one output sees.
        """
        frames = {-1 - k: n for k, n in enumerate(lengths)}
        edges = []
        for i, node in enumerate(self.nodes):
            moves = [self._edge(i, source, 1, hop).stride for source in self.sources[i]]
            most = [
                (frames[source] - node.reach - 1) // move + 1
                for source, move in zip(self.sources[i], moves, strict=True)
            ]
            frames[i] = 1 if self.once[i] and hop is None and min(most) > 0 else min(most)
            if frames[i] < 1:
                shortest = self.samples(self.window)
                raise ConfigError(
                    f"{list(lengths)} samples are fewer than one output sees", field="window",
                    cure=f"Give at least {shortest}",
                )  # fmt: skip
            edges.append(tuple(self._edge(i, source, frames[i], hop) for source in self.sources[i]))
        return Schedule(frames, dict.fromkeys(frames, 0), tuple(edges))

    def _is_once(self, place: int) -> bool:
        return place >= 0 and self.once[place]

    def _edge(self, i: int, source: int, frames: int, hop: int | None) -> Edge:
        node = self.nodes[i]
        leaps = self.once[i] and hop is not None and not self._is_once(source)
        stride = int(hop / self.period[source]) if leaps and hop else node.stride
        return Edge(source, (frames - 1) * stride + node.reach + 1, stride)


def _common(periods: Sequence[Fraction]) -> int:
    """The least whole number of samples that is a whole number of each period."""
    return math.lcm(*(Fraction(p).numerator for p in periods))
