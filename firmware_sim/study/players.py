"""What plays a sensor's counts through the watch: arrays out. One interface, so that the exact runtimes are exchangeable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Protocol

import numpy as np

from onwrist.firmware_sim.study.kit import Kit
from onwrist.firmware_sim.study.light import Light
from onwrist.firmware_sim.study.plan import Setting
from onwrist.firmware_sim.watch.faults import Burst, Faults
from onwrist.firmware_sim.watch.script import ALL, Script

# Outputs per block, or bursts: what is held at once of a recording.
BLOCK = 1 << 12
# What both watches count alike, however the samples come.
COUNTERS = ("received", "dropped", "discarded", "used", "gated", "pending", "bridged", "resets", "hops", "shown")


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


class NativePlayer:
    """The exported watch in C, compiled for this machine: what a device runs, and the fastest there is.

    Raises:
        ExportError: it does not compile.
    """

    name = "watch in C, native"

    def __init__(self, kit: Kit, setting: Setting):
        from onwrist.firmware_sim.runtimes.native import WatchInC

        self.watch = WatchInC(kit.firmware(), gap=setting.gap)
        self.rate = setting.sensor_hz

    def play(self, pieces: Iterable[Light]) -> Iterator[Outputs]:
        self.watch.init()
        for piece in pieces:
            for part in _stretches(piece, BLOCK * self.watch.burst):
                script = Script()
                for sequence, counts in _bursts(part, self.watch.burst):
                    script.push(sequence, counts, ALL)
                found = self.watch.play(script)
                if len(found):
                    time_s = found.sequence / self.rate
                    why = found.reasons.astype(np.uint8)
                    yield Outputs(time_s, why, found.first, found.embedding, found.answers)

    def counters(self) -> dict[str, int]:
        books = self.watch.books
        return {name: books[name] for name in COUNTERS}


class SimulatedPlayer:
    """The simulated watch with LiteRT's reference kernels: the same bytes, for tests."""

    name = "simulated watch, LiteRT reference"

    def __init__(self, kit: Kit, setting: Setting):
        from onwrist.firmware_sim.runtimes.hop import LiteRTStep
        from onwrist.firmware_sim.watch.sensor import SensorConfig
        from onwrist.firmware_sim.watch.watch import WatchConfig

        sensor = SensorConfig(setting.sensor_hz, bits=setting.bits)
        self.config = WatchConfig(setting.hop_s, sensor, setting.gap)
        # All that the watch asks of a model is its geometry, and which answer decides what is shown.
        answers = SimpleNamespace(gate=kit.gate, framed=False)
        light = (SimpleNamespace(name="ppg", channels=1, period=1),)
        self.model = SimpleNamespace(window=kit.window, stride=kit.stride, answers=answers, sees=kit.sees, inputs=light)
        self.step = LiteRTStep(kit.step, kit.first_state())

    def play(self, pieces: Iterable[Light]) -> Iterator[Outputs]:
        from onwrist.firmware_sim.watch.watch import Watch

        self.watch = Watch(self.model, self.step, self.config)  # type: ignore[arg-type]
        block = []
        for hop in self.watch.run(_Sensor(pieces, self.config.sensor)):  # type: ignore[arg-type]
            block.append(hop)
            if len(block) == BLOCK:
                yield self._outputs(block)
                block = []
        if block:
            yield self._outputs(block)

    def _outputs(self, hops: list) -> Outputs:
        return Outputs(
            np.array([h.sequence for h in hops]) / self.config.sensor.rate_hz, np.array([int(h.why) for h in hops], np.uint8),
            np.array([h.first for h in hops], bool), np.stack([h.embedding for h in hops]), np.stack([h.answers for h in hops]),
        )  # fmt: skip

    def counters(self) -> dict[str, int]:
        books = asdict(self.watch.counters)
        return {name: books[name] for name in COUNTERS}


class _Sensor:
    """What the simulated watch asks of a sensor, over pieces of counts."""

    def __init__(self, pieces: Iterable[Light], config):
        self.pieces, self.config, self.faults, self.scene = pieces, config, Faults(), None

    def bursts(self) -> Iterator[Burst]:
        for piece in self.pieces:
            for sequence, counts in _bursts(piece, self.config.fifo):
                yield Burst(sequence, counts, (sequence + len(counts)) / self.config.rate_hz)


def _stretches(piece: Light, samples: int) -> Iterator[Light]:
    for i in range(0, len(piece.counts), samples):
        yield Light(piece.first + i, piece.counts[i : i + samples], piece.present[i : i + samples])


def _bursts(piece: Light, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """(sequence number, counts) of at most `size` samples each; what is not present is not sent."""
    edges = np.flatnonzero(np.diff(piece.present.astype(np.int8), prepend=0, append=0))
    for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        for i in range(a, b, size):
            yield piece.first + i, piece.counts[i : min(i + size, b)]


def make_player(kit: Kit, setting: Setting) -> Player:
    """The fastest exact player of this machine."""
    return NativePlayer(kit, setting)
