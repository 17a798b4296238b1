"""What any fault is made of: what it may know, and the methods in which it happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated

import numpy as np
from annotated_types import Interval

from onwrist.ranges import Checked
from onwrist.signals.pulse.clean import clean_ppg

# How long a fault lasts, and how often it comes: not oftener than bursts do, or it would be another fault.
Seconds = Annotated[float, Interval(ge=0, le=3_600)]
Period = Annotated[float, Interval(ge=0.5, le=86_400)]


@dataclass(frozen=True)
class Burst:
    """One FIFO read-out.

    Attributes:
        sequence: number of the first sample since power-up.
        counts: int32 (n,) of light, (n, 3) of acceleration.
        time_s: when it reaches the ring, seconds since power-up.
    """

    sequence: int
    counts: np.ndarray
    time_s: float


@dataclass(frozen=True)
class Scene:
    """What a fault may know: sampling rate, largest count, length of a round (s), and its light (n,), in counts."""

    rate_hz: float
    full: int
    seconds: float
    light: np.ndarray = field(repr=False, compare=False)

    @cached_property
    def pulse(self) -> float:
        """Standard deviation of the pulse, counts. Few ask, and a day of it takes five times the memory of its light."""
        return float(np.std(clean_ppg(self.light - self.full / 2, self.rate_hz)))


@dataclass(frozen=True)
class Fault(Checked):
    """Something that goes wrong with the light. Each kind overrides the one method in which it happens."""

    def instants(self, t: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
        """Nominal times (n,) to the times at which the converter really samples."""
        return t

    def wave(self, t: np.ndarray, x: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
        """Light (n,) in counts, before it is rounded and clipped."""
        return x

    def deliver(self, bursts: Iterator[Burst], scene: Scene, rng: np.random.Generator) -> Iterator[Burst]:
        """Packets, in order of sampling."""
        return bursts

    def stalls(self, scene: Scene) -> Iterator[tuple[float, float]]:
        """Times (begin, end) in which the consumer does nothing."""
        return iter(())


def stretches(t: np.ndarray, every_s: float, seconds: float) -> np.ndarray:
    """Mask of the last `seconds` of every `every_s`."""
    return t % every_s >= every_s - min(seconds, every_s)


def held_back(bursts: Iterator[Burst], every_s: float, seconds: float) -> Iterator[Burst]:
    """Packets of the last `seconds` of every `every_s` arrive at its end."""
    for burst in bursts:
        into = burst.time_s % every_s
        wait = every_s - into if into >= every_s - seconds else 0.0
        yield replace(burst, time_s=burst.time_s + wait)


@dataclass(frozen=True)
class AccelerationFault(Fault):
    """Something that goes wrong with the acceleration: the same methods, with waves and counts of (n, 3)."""
