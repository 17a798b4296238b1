"""What goes wrong with an accelerometer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Interval

from onwrist.firmware_sim.watch.fault import AccelerationFault, Fault, Period, Seconds, held_back, stretches
from onwrist.ranges import Share


@dataclass(frozen=True)
class Lost(AccelerationFault):
    """Packets of acceleration that never arrive."""

    share: Share = 0.02
    """Of the packets."""

    def deliver(self, bursts, scene, rng):
        return (b for b in bursts if rng.random() >= self.share)


@dataclass(frozen=True)
class Late(AccelerationFault):
    """No acceleration arrives for a while, then everything at once."""

    seconds: Seconds = 1.5
    """Length of each silence."""
    every_s: Period = 60.0
    """Seconds from one to the next."""

    def deliver(self, bursts, scene, rng):
        return held_back(bursts, self.every_s, self.seconds)


@dataclass(frozen=True)
class Clock(AccelerationFault):
    """The accelerometer's clock is another than the light's: its rate is not quite what is said."""

    ppm: Annotated[float, Interval(ge=-100_000, le=100_000)] = 10_000.0
    """Parts per million; positive: samples are taken farther apart than said. Oscillators in accelerometers are 1 % off."""

    def instants(self, t, scene, rng):
        return t * (1 + self.ppm * 1e-6)

    def deliver(self, bursts, scene, rng):
        for burst in bursts:
            yield replace(burst, time_s=burst.time_s * (1 + self.ppm * 1e-6))


@dataclass(frozen=True)
class Saturation(AccelerationFault):
    """Blows beyond the range."""

    factor: Annotated[float, Interval(ge=0, le=1_000)] = 16.0
    """Of the acceleration."""
    seconds: Seconds = 10.0
    """Length of each stretch."""
    every_s: Period = 120.0
    """Seconds from one to the next."""

    def wave(self, t, x, scene, rng):
        return np.where(stretches(t, self.every_s, self.seconds)[:, None], x * self.factor, x)


@dataclass(frozen=True)
class Swap(AccelerationFault):
    """It is mounted another way: x and y change places, z points down."""

    def wave(self, t, x, scene, rng):
        return x[:, [1, 0, 2]] * np.array([1, 1, -1])


@dataclass(frozen=True)
class Absent(AccelerationFault):
    """It falls silent for good."""

    after_s: Annotated[float, Interval(ge=0, le=1e6)] = 0.0
    """Seconds since power-up."""

    def deliver(self, bursts, scene, rng):
        return (b for b in bursts if b.time_s < self.after_s)


KINDS: dict[str, type[Fault]] = {
    "acc_lost": Lost, "acc_late": Late, "acc_clock": Clock, "acc_saturation": Saturation, "acc_swap": Swap, "acc_absent": Absent,
}  # fmt: skip
