"""What plays a sensor's counts through the watch: arrays out. One interface, so that the exact runtimes are exchangeable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from onwrist.firmware_sim.study.kit import Kit
from onwrist.firmware_sim.study.light import Light
from onwrist.firmware_sim.study.plan import Setting

# Outputs per block: what is held at once of a recording.
BLOCK = 1 << 14


@dataclass(frozen=True)
class Outputs:
    """Outputs in order.

    Attributes:
        time_s: (n,) seconds since power-up. why: uint8 (n,), reasons not to show it. first: bool (n,), whether the model
            started anew with it.
        embedding, answers: int8 (n, width).
    """

    time_s: np.ndarray
    why: np.ndarray
    first: np.ndarray
    embedding: np.ndarray
    answers: np.ndarray

    def __len__(self) -> int:
        return len(self.time_s)


class Player(Protocol):
    """Plays recordings one after the other.

    Attributes:
        name: for the manifest.
    """

    name: str

    def play(self, pieces: Iterable[Light]) -> Iterator[Outputs]:
        """One recording from power-up on, its outputs in blocks."""
        ...

    def counters(self) -> dict[str, int]:
        """Where the samples of the last recording went, by the names of the watch's books."""
        ...


class SimulatedPlayer:
    """The simulated watch with LiteRT's reference kernels."""

    name = "simulated watch, LiteRT reference"

    def __init__(self, kit: Kit, setting: Setting):
        from types import SimpleNamespace

        from onwrist.firmware_sim.runtimes.hop import LiteRTStep
        from onwrist.firmware_sim.watch.sensor import SensorConfig
        from onwrist.firmware_sim.watch.watch import WatchConfig

        sensor = SensorConfig(setting.sensor_hz, setting.fifo, setting.bits)
        self.config = WatchConfig(setting.hop_s, sensor, setting.gap)  # type: ignore[arg-type]
        # All that the watch asks of a model is its geometry.
        self.model = SimpleNamespace(window=kit.window, stride=kit.stride)
        self.step = LiteRTStep(kit.step, kit.first_state())

    def play(self, pieces: Iterable[Light]) -> Iterator[Outputs]:
        from onwrist.firmware_sim.watch.watch import Watch

        self.watch = Watch(self.model, self.step, self.config)  # type: ignore[arg-type]
        block = []
        for hop in self.watch.run(_Bursts(pieces, self.config.sensor)):  # type: ignore[arg-type]
            block.append(hop)
            if len(block) == BLOCK:
                yield _outputs(block)
                block = []
        if block:
            yield _outputs(block)

    def counters(self) -> dict[str, int]:
        return asdict(self.watch.counters)


def _outputs(hops: list) -> Outputs:
    return Outputs(
        np.array([h.time_s for h in hops]), np.array([int(h.why) for h in hops], np.uint8),
        np.array([h.first for h in hops], bool), np.stack([h.embedding for h in hops]), np.stack([h.answers for h in hops]),
    )  # fmt: skip


class _Bursts:
    """What the simulated watch asks of a sensor, over pieces of counts."""

    def __init__(self, pieces: Iterable[Light], config):
        from onwrist.firmware_sim.watch.faults import Faults

        self.pieces, self.config, self.faults, self.scene = pieces, config, Faults(), None

    def bursts(self) -> Iterator:
        from onwrist.firmware_sim.watch.faults import Burst

        for piece in self.pieces:
            for begin in range(0, len(piece.counts), self.config.fifo):
                end = min(begin + self.config.fifo, len(piece.counts))
                edges = np.flatnonzero(np.diff(piece.present[begin:end].astype(np.int8), prepend=0, append=0))
                for a, b in zip(edges[::2], edges[1::2], strict=True):
                    counts = piece.counts[begin + int(a) : begin + int(b)]
                    yield Burst(piece.first + begin + int(a), counts, (piece.first + end) / self.config.rate_hz)


def make_player(kit: Kit, setting: Setting) -> Player:
    """The fastest exact player of this machine."""
    return SimulatedPlayer(kit, setting)
