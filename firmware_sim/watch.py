"""The simulated watch: sensor -> ring buffer -> causal front end -> INT8 model, once a hop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from firmware_sim.ring import RingBuffer, Taken, capacity_for
from firmware_sim.runtimes import Runtime
from firmware_sim.sensor import Sensor, SensorConfig
from quantize.integers import IntegerModel
from signals.errors import ConfigError
from signals.frontend import STUDENT_RATE_HZ, FrontEnd

# A shorter hole in the samples is held at the last value, a longer one starts the front end anew: beyond it the
# high-pass would ring on a made-up plateau.
MAX_HOLD_S = 1.0


@dataclass(frozen=True)
class WatchConfig:
    """The watch's side of the contract."""

    hop_s: float = 1.0
    """Seconds between outputs; a multiple of 0.2 s (the student's total stride)."""
    sensor: SensorConfig = field(default_factory=SensorConfig)
    """The sensor."""

    def hop_samples(self, stride: int) -> int:
        """Student samples per hop.

        Raises:
            ConfigError: not a whole number of strides.
        """
        samples = self.hop_s * STUDENT_RATE_HZ
        if samples < stride or abs(samples / stride - round(samples / stride)) > 1e-9:
            step = stride / STUDENT_RATE_HZ
            raise ConfigError(f"hop {self.hop_s:g} s", field="hop_s", cure=f"Use a multiple of {step:g} s")
        return round(samples)


@dataclass
class Counters:
    """Where every sample went."""

    received: int = 0
    dropped: int = 0
    held: int = 0
    resets: int = 0


@dataclass
class Hop:
    """One output.

    Attributes:
        time_s: of the newest sample it is based on.
        window: int8 (window,) that went into the model.
        real: float32 (window,) before quantisation.
        embedding, answers: int8.
        valid: the whole window is of samples since the last (re)start.
        latency_s: host time of the model.
    """

    time_s: float
    window: np.ndarray
    real: np.ndarray
    embedding: np.ndarray
    answers: np.ndarray
    valid: bool
    latency_s: float


class Watch:
    """Runs a model on a sensor.

    Args:
        model: integers (window length, scales).
        runtime: what computes them.
        config: hop and sensor.
        stride: total stride of the student.
    """

    def __init__(self, model: IntegerModel, runtime: Runtime, config: WatchConfig = WatchConfig(), stride: int = 5):
        self.model, self.runtime, self.config = model, runtime, config
        self.hop = config.hop_samples(stride)
        rate = config.sensor.rate_hz
        self.ring = RingBuffer(capacity_for(rate, config.sensor.fifo, config.hop_s))
        self.front_end = FrontEnd(rate)
        self.counters = Counters()
        self.expected = 0
        self.last_count = 0
        self._clear()

    def _clear(self) -> None:
        self.real = np.zeros(self.model.window, np.float32)
        self.seen = 0
        self.pending = 0

    def run(self, sensor: Sensor) -> Iterator[Hop]:
        """Play the whole sensor; yields an output per hop."""
        for burst in sensor.bursts():
            self.ring.push(burst.sequence, burst.counts)
            yield from self.process(self.ring.pop())

    def process(self, taken: Taken) -> Iterator[Hop]:
        """Consumer side: whatever the ring had, in runs of consecutive sequence numbers."""
        self.counters.received += len(taken)
        self.counters.dropped = self.ring.dropped
        if len(taken) == 0:
            return
        breaks = np.flatnonzero(np.diff(taken.sequence) != 1) + 1
        for numbers, counts in zip(np.split(taken.sequence, breaks), np.split(taken.counts, breaks), strict=True):
            self._bridge(int(numbers[0]) - self.expected)
            self.expected = int(numbers[-1]) + 1
            self.last_count = int(counts[-1])
            yield from self._advance(counts)

    def _bridge(self, gap: int) -> None:
        if gap <= 0:
            return
        if self.counters.received and gap <= MAX_HOLD_S * self.config.sensor.rate_hz:
            self.counters.held += gap
            # The held samples move time on; outputs that fall due inside them wait for the next real sample.
            self._take(self.front_end.push(np.full(gap, self.last_count)))
            return
        self.counters.resets += 1
        self.front_end.reset()
        self._clear()

    def _take(self, fresh: np.ndarray) -> None:
        if len(fresh):
            self.real = np.concatenate([self.real, fresh])[-self.model.window :]
            self.seen += len(fresh)
            self.pending += len(fresh)

    def _advance(self, counts: np.ndarray) -> Iterator[Hop]:
        fresh = self.front_end.push(counts)
        while len(fresh):
            need = max(0, self.hop - self.pending)
            part, fresh = fresh[:need], fresh[need:]
            self._take(part)
            if self.pending < self.hop:
                return
            self.pending -= self.hop
            yield self._infer()

    def _infer(self) -> Hop:
        window = self.model.quantise_input(self.real)
        began = time.perf_counter()
        embedding, answers = self.runtime.run(window[None])
        latency = time.perf_counter() - began
        return Hop(
            self.expected / self.config.sensor.rate_hz,
            window,
            self.real.copy(),
            embedding[0],
            answers[0],
            self.seen >= self.model.window,
            latency,
        )
