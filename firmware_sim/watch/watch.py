"""The simulated watch: sensor -> ring buffer -> fixed-point front end -> INT8 model, one hop at a time.

Time is discrete-event: a burst enters the ring when it arrives, the processor takes it out when it is free, and a hop
keeps the processor busy for as long as the part needs. Nothing waits for anything else, so that a late consumer loses
what a late consumer loses; light alone waits, for a short while, for acceleration of the same time (`watch.acceleration`).
"""

from __future__ import annotations

import enum
import itertools
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval

from onwrist.errors import ConfigError
from onwrist.export.sources.acceleration_rules import acceleration_of, acceleration_rules
from onwrist.export.sources.watch_rules import NO_GATE, SEQUENCE_SPAN, bridge_line, distance, watch_rules
from onwrist.firmware_sim.runtimes.hop import Stepped
from onwrist.firmware_sim.watch.acceleration import AccelerationLine, Light
from onwrist.firmware_sim.watch.ring import RingBuffer, Taken
from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.ranges import Checked
from onwrist.signals.front_end.fixed import FixedDesign, FixedFrontEnd, design
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ, FrontEnd, hop_samples
from onwrist.signals.pulse.onsets import Beat
from onwrist.signals.pulse.stream import BeatStream


class Why(enum.IntFlag):
    """Why an output is not shown; 0 is a good one."""

    WARMING = 1
    """The window reaches back before the last (re)start."""
    BRIDGED = 2
    """Too much of it was made up over gaps."""
    CLIPPED = 4
    """Too much of it was at a rail of the converter."""
    FLAT = 8
    """Nothing moves: the running magnitude is below half a count."""
    POOR = 16
    """The model itself calls the signal bad."""


@dataclass(frozen=True)
class WatchConfig(Checked):
    """The watch's side of the contract."""

    hop_s: Annotated[float, Interval(ge=0.02, le=60)] = 1.0
    """Seconds between outputs; a whole number of the student's frames (of 0.2 s, as shipped), at most its pool."""
    sensor: SensorConfig = field(default_factory=SensorConfig)
    """The sensor."""
    gap: Literal["interpolate", "hold", "reset"] = "interpolate"
    """What bridges a gap of up to a second; a longer one always starts anew."""
    service_s: Annotated[float, Interval(ge=0, le=3_600)] = 0.0
    """Seconds that a hop keeps the processor busy (firmware_sim/parts.py has them by part)."""

    def hop_samples(self, stride: int, rate_hz: int = STUDENT_RATE_HZ) -> int:
        """Student samples per hop, at the student's rate.

        Raises:
            ConfigError: not a whole number of strides.
        """
        return hop_samples(self.hop_s, stride, rate_hz)


@dataclass
class Counters:
    """Where every sample went: received = dropped + discarded + used + gated + pending, at any time.

    Attributes:
        received: entered the ring.
        dropped: overwritten there before the processor came.
        discarded: late or repeated.
        used: went into a hop whose output was shown; gated: into one that was not, or into none before a restart.
        pending: of the hop that is not complete.
        bridged: made up over gaps (not received). resets: starts anew.
        hops, shown: outputs. missed: hops that were not done when the next was due. backlog: most hops that waited.
    """

    received: int = 0
    dropped: int = 0
    discarded: int = 0
    used: int = 0
    gated: int = 0
    pending: int = 0
    bridged: int = 0
    resets: int = 0
    hops: int = 0
    shown: int = 0
    missed: int = 0
    backlog: int = 0

    @property
    def accounted(self) -> bool:
        """Whether no sample is missing from the books."""
        return self.received == self.dropped + self.discarded + self.used + self.gated + self.pending


@dataclass
class Hop:
    """One output.

    Attributes:
        time_s: arrival of the sample that made the hop due. done_s: when the output was there.
        chunk: int8 (hop,) that went into the model. first: whether the model started anew with it.
        embedding, answers: int8.
        why: reasons not to show it.
        sequence: number of the sample that completed the hop, modulo 2^32.
        latency_s: host time of the model.
        frames: int8 (frames, answers), the answers of every frame, oldest first; of a student that answers at frame rate.
        beats: found during the hop, oldest first; of a watch that has beats.
        acceleration: int8 (hop, 3) that went in beside the chunk; unmoved: rows of it that are 0 for want of acceleration. Of
            a student that takes it.
        real: float32 (hop,), the float front end's chunk. counts: what went into the front end since the hop before. With
            `witness` only.
    """

    time_s: float
    done_s: float
    chunk: np.ndarray
    first: bool
    embedding: np.ndarray
    answers: np.ndarray
    why: Why
    sequence: int
    latency_s: float
    beats: tuple[Beat, ...] = ()
    frames: np.ndarray | None = None
    acceleration: np.ndarray | None = None
    unmoved: int = 0
    real: np.ndarray | None = None
    counts: np.ndarray | None = None

    @property
    def valid(self) -> bool:
        """The window is real signal; the model may still call it poor."""
        return not self.why & ~Why.POOR

    @property
    def shown(self) -> bool:
        """Valid, and good in the model's own eyes."""
        return not self.why


def witnessed(hops: Iterable[Hop], name: Literal["real", "counts", "acceleration"]) -> list[np.ndarray]:
    """What a watch with a witness kept of each output.

    Raises:
        ConfigError: it had none.
    """
    found = [getattr(h, name) for h in hops]
    if any(x is None for x in found):
        raise ConfigError("a watch without a witness keeps none", field=name, cure="Make it with witness=True")
    return found


class Watch:
    """Runs a model on a sensor.

    Args:
        model: integers (window length, scales).
        runtime: what computes them, hop by hop.
        config: hop, sensor, gap policy, service time.
        witness: also run the float front end and keep what went in, for parity; costs time and memory.
        beats: also find beats, as a firmware with `onwrist_beats.h` does, where its input is one that beats are found in.
    """

    def __init__(
        self,
        model: IntegerModel,
        runtime: Stepped,
        config: WatchConfig = WatchConfig(),
        *,
        witness: bool = False,
        beats: bool = False,
    ):
        self.model, self.runtime, self.config = model, runtime, config
        self.hop = config.hop_samples(model.stride, model.sees.rate_hz)
        rate, sees = config.sensor.rate_hz, model.sees
        fixed = design(rate, config.sensor.bits, sees.counts, acceleration=config.sensor.acceleration)
        self.motion = self._accelerometer(fixed)
        patience = self.motion.rules.patience if self.motion else 0
        fifo, bits = config.sensor.fifo, config.sensor.bits
        self.rules = watch_rules(rate, bits, model.window, self.hop, fifo, model.answers, sees, patience)
        self.ring = RingBuffer(self.rules.ring)
        self.front_end = FixedFrontEnd.of(fixed)
        self.pulse = BeatStream(self.front_end) if beats and sees.finds_beats else None
        self.witness = FrontEnd(rate, sees.counts) if witness else None
        self.counters = Counters()
        self.expected: int | None = None
        self.last_count = self.number = self.newest = 0
        self.free_at = self.now = 0.0
        self.arrivals: deque[tuple[int, float]] = deque()
        self.finishing: deque[float] = deque()
        self._start_anew()

    def _accelerometer(self, fixed: FixedDesign) -> AccelerationLine | None:
        acceleration, sensor = acceleration_of(self.model, fixed), self.config.sensor
        if acceleration is None or sensor.acceleration is None:
            return None
        return AccelerationLine(
            acceleration, acceleration_rules(fixed, self.hop, sensor.acceleration.fifo, sensor.fifo)
        )

    def _start_anew(self) -> None:
        self.front_end.reset()
        if self.motion:
            self.motion.unpair()
        if self.pulse:
            self.pulse.reset()
        self.runtime.reset()
        self.counters.gated += self.counters.pending
        self.counters.pending = self.seen = 0
        self.chunk = np.zeros(0, np.int8)
        self.real_chunk = np.zeros(0, np.float32)
        self.first = True
        self.tally = [0, 0, 0]
        # (samples, bridged, clipped) of the hops that one window spans.
        self.recent: deque[list[int]] = deque(maxlen=self.rules.span)
        if self.witness:
            self.witness.reset()
            self.fed: list[np.ndarray] = []

    def run(self, sensor: Sensor) -> Iterator[Hop]:
        """Play the whole sensor; yields an output per hop."""
        # Stalls that follow each other without a break would have no end: none begins after the last sample.
        stalls = itertools.takewhile(lambda s: s[0] <= sensor.seconds, sensor.faults.stalls(sensor.scene))
        self.stall = next(stalls, None)
        for burst in sensor.bursts():
            yield from self._work(burst.time_s, stalls)
            self.receive(burst.sequence, burst.counts)
            if burst.counts.ndim == 1:
                self.arrivals.append((self.ring.head, burst.time_s))
        yield from self._work(math.inf, stalls)

    def receive(self, sequence: int, counts: np.ndarray) -> None:
        """A burst enters the ring of its sensor: (n,) of light, (n, 3) of acceleration, which not every student takes."""
        if counts.ndim == 1:
            self.ring.push(sequence, counts)
            self.counters.received += len(counts)
        elif self.motion:
            self.motion.ring.push(sequence, counts)
            self.motion.counters.received += len(counts)

    @property
    def ready(self) -> bool:
        """Whether light waits that may be taken."""
        if not len(self.ring):
            return False
        return self.motion is None or self.motion.ready(self._light())

    def take(self) -> Taken:
        """A burst of light out of the ring; before it, all acceleration out of its own."""
        if self.motion and len(self.ring):
            self.motion.take(self._light())
        return self.ring.pop(self.config.sensor.fifo)

    def _light(self) -> Light:
        burst, waiting = self.config.sensor.fifo, len(self.ring)
        coming = len(self.front_end.due(min(burst, waiting)))
        last, ticks = self.ring.last(burst), self.front_end.conversion.ticks
        return Light(len(self.chunk), coming, waiting, burst, self.expected, last, ticks)

    def _work(self, until: float, stalls: Iterator[tuple[float, float]]) -> Iterator[Hop]:
        """The processor, up to a moment."""
        while self.arrivals:
            at = max(self.free_at, self.arrivals[0][1])
            while self.stall and self.stall[0] <= at:
                at = max(at, self.stall[1])
                self.stall = next(stalls, None)
            self.free_at = at
            if at >= until:
                return
            if not self.ready:
                # Nothing changes before something comes.
                self.free_at = max(at, until) if math.isfinite(until) else at
                return
            taken = self.take()
            # The burst of the newest sample that was taken; after an overrun that may be in its middle.
            while self.arrivals[0][0] < self.ring.tail:
                self.arrivals.popleft()
            end, arrived = self.arrivals[0]
            if end == self.ring.tail:
                self.arrivals.popleft()
            self.now = at
            yield from self.process(taken, arrived)
            self.free_at = self.now

    @property
    def accounted(self) -> bool:
        """Whether no sample of light is missing from the books; at the end some may wait for acceleration that does not come."""
        waiting = self.ring.head - self.ring.tail
        return replace(self.counters, received=self.counters.received - waiting).accounted

    def restart(self) -> None:
        """The next sample is the first, as after a change of the LED's current."""
        self.expected = None

    def process(self, taken: Taken, arrived: float = 0.0) -> Iterator[Hop]:
        """What the processor took from the ring, in runs of consecutive sequence numbers."""
        self.counters.dropped = self.ring.dropped
        if len(taken) == 0:
            return
        breaks = np.flatnonzero(np.diff(taken.sequence) % SEQUENCE_SPAN != 1) + 1
        inside = np.clip(taken.counts, 0, self.rules.full)
        for numbers, counts in zip(np.split(taken.sequence, breaks), np.split(inside, breaks), strict=True):
            fresh = self._in_order(int(numbers[0]), counts)
            if len(fresh):
                first = int(numbers[-1]) + 1 - len(fresh)
                yield from self._bridge(first, int(fresh[0]), arrived)
                self.expected = int(numbers[-1]) + 1
                self.last_count = int(fresh[-1])
                self.number = first
                yield from self._advance(fresh, True, arrived)

    def _in_order(self, first: int, counts: np.ndarray) -> np.ndarray:
        """The samples that are news; late and repeated ones are discarded."""
        behind = 0 if self.expected is None else distance(self.expected, first)
        if behind <= 0:
            return counts
        if behind > self.rules.late:
            self.expected = None  # the sensor counts anew
            return counts
        self.counters.discarded += min(behind, len(counts))
        return counts[behind:]

    def _bridge(self, first: int, value: int, arrived: float) -> Iterator[Hop]:
        """Samples are missing before number `first`, whose count is `value`."""
        expected = self.expected
        gap = 0 if expected is None else distance(first, expected)
        if expected is not None and gap == 0:
            return
        short = 0 < gap <= self.rules.bridge
        if expected is None or not short or self.config.gap == "reset":
            if self.seen or self.counters.pending:
                self.counters.resets += 1
            self._start_anew()
            return
        self.counters.bridged += gap
        self.number = expected
        held = self.config.gap == "hold"
        made_up = [self.last_count] * gap if held else bridge_line(self.last_count, value, gap)
        yield from self._advance(np.array(made_up, np.int32), False, arrived)

    def _advance(self, counts: np.ndarray, real: bool, arrived: float) -> Iterator[Hop]:
        while len(counts):
            # Up to the sample that completes the hop, so that the books say which sample went into which hop.
            upto = self.front_end.inputs_for(self.hop - len(self.chunk))
            part, counts = counts[:upto], counts[upto:]
            self.tally[0] += len(part)
            self.number += len(part)
            self.newest = int(part[-1])
            if real:
                self.counters.pending += len(part)
                self.tally[2] += int(np.count_nonzero((part <= 0) | (part >= self.rules.full)))
            else:
                self.tally[1] += len(part)
            made = self.pulse.push(part, not real) if self.pulse else self.front_end.push(part)
            self.chunk = np.concatenate([self.chunk, made])
            if self.witness:
                self.fed.append(part)
                self.real_chunk = np.concatenate([self.real_chunk, self.witness.push(part)])
            if len(self.chunk) == self.hop:
                yield self._infer(arrived)

    def _infer(self, arrived: float) -> Hop:
        chunk, self.chunk = self.chunk, np.zeros(0, np.int8)
        began = time.perf_counter()
        acceleration, unmoved = self.motion.hop() if self.motion else (None, 0)
        rows = (chunk,) if acceleration is None else (chunk, np.ascontiguousarray(acceleration.T))
        embedding, answers, *more = self.runtime.step(*rows)
        frames = more[0].reshape(-1, len(answers)) if more and self.model.answers.framed else None
        latency = time.perf_counter() - began
        self.seen += self.hop
        why = self._reasons(answers)
        self._keep_time(arrived)
        sequence = (self.number - 1) % SEQUENCE_SPAN
        beats = self.pulse.take() if self.pulse else ()
        hop = Hop(arrived, self.now, chunk, self.first, embedding, answers, why, sequence, latency, beats, frames)
        hop.acceleration, hop.unmoved = acceleration, unmoved
        self.first = False
        counters = self.counters
        counters.hops += 1
        if hop.shown:
            counters.shown += 1
            counters.used += counters.pending
        else:
            counters.gated += counters.pending
        counters.pending = 0
        if self.witness:
            real, self.real_chunk = self.real_chunk, np.zeros(0, np.float32)
            hop.real, hop.counts = real, np.concatenate(self.fed)
            self.fed = []
        return hop

    def _reasons(self, answers: np.ndarray) -> Why:
        self.recent.append(self.tally)
        self.tally = [0, 0, 0]
        samples, bridged, clipped = (sum(t[i] for t in self.recent) for i in range(3))
        why = Why(0)
        if self.seen < self.model.window:
            why |= Why.WARMING
        if 100 * bridged > self.rules.bridged_percent * samples:
            why |= Why.BRIDGED
        if 100 * clipped > self.rules.clipped_percent * samples:
            why |= Why.CLIPPED
        if self.front_end.flat:
            why |= Why.FLAT
        gate = self.rules.gate_answer
        if gate != NO_GATE and answers[gate] <= self.rules.gate_above:
            why |= Why.POOR
        return why

    def _keep_time(self, arrived: float) -> None:
        """The hop was due when its last sample arrived; its deadline is when the next one is due."""
        while self.finishing and self.finishing[0] <= arrived:
            self.finishing.popleft()
        self.now += self.config.service_s
        self.finishing.append(self.now)
        self.counters.backlog = max(self.counters.backlog, len(self.finishing))
        self.counters.missed += self.now - arrived > self.config.hop_s
