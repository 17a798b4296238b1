"""Acceleration at the student's rate, gravity taken out, in steps of an absolute size: as designed, and in integers.

The same rate conversion and high-pass as the light's (`signals.front_end.stages`), each axis by itself, and then no
running magnitude: how much a wrist moves is what the student is to know.

| stage | arithmetic |
|---|---|
| rate conversion, high-pass | as the light's, axis by axis |
| steps | int64 times `gain`, shifted, rounded half away from zero, saturated to int8 |
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
from annotated_types import Interval

from onwrist.errors import ConfigError
from onwrist.ranges import Checked
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ, FrontEndConfig
from onwrist.signals.front_end.stages import (
    TAP_BITS,
    WORD_BITS,
    Conversion,
    HighPass,
    IntegerHighPass,
    highpass_of,
    integer_poles,
    integer_taps,
    phases_of,
)

AXES = 3
# +-2 g in int8: a swinging arm stays within, an impact saturates.
STEP_G = 1 / 64
# Gravity turns with the wrist more slowly than that; steps and strokes are faster.
HIGHPASS_HZ = 0.3
# The conversion's low-pass, 8 Hz, needs twice as much and room to fall.
SLOWEST_HZ, FASTEST_HZ = 20, 1000
# The same low-pass and length as the light's, so that both arrive equally late.
LIGHT = FrontEndConfig()
# The gain has so many bits: steps are exact to far below one, and the product fits 64 bits.
GAIN_BITS = 30


@dataclass(frozen=True)
class AccelerationConfig(Checked):
    """An accelerometer of three axes, and what the student gets of it."""

    rate_hz: Annotated[int, Interval(ge=SLOWEST_HZ, le=FASTEST_HZ)] = 50
    """Its sampling rate: 20 to 1,000."""
    bits: Annotated[int, Interval(ge=8, le=16)] = 16
    """Of a signed count."""
    counts_per_g: Annotated[float, Interval(ge=1, le=65_536)] = 4096.0
    """Counts of one g: 4,096 is +-8 g in 16 bits."""
    highpass_hz: Annotated[float, Interval(gt=0, le=4)] = HIGHPASS_HZ
    """Lower edge: below it is gravity, as the wrist turns."""
    step_g: Annotated[float, Interval(ge=1 / 1024, le=1)] = STEP_G
    """What one int8 step of the student's input is."""


@dataclass(frozen=True)
class AccelerationDesign:
    """Every number of the acceleration's front end; what firmware is given.

    Attributes:
        rate_hz, bits, counts_per_g, highpass_hz, step_g: as given. up, down: the student's rate = rate_hz * up / down.
        fraction: bits below a count in the filtered signal.
        taps: int64 (up, n) in Q29, newest input last. numerator, a1, a2: of the high-pass, Q29.
        gain, shift: steps = (|y| * gain + half) >> shift.
    """

    rate_hz: int
    bits: int
    counts_per_g: float
    highpass_hz: float
    step_g: float
    up: int
    down: int
    fraction: int
    taps: np.ndarray
    numerator: int
    a1: int
    a2: int
    gain: int
    shift: int

    @property
    def config(self) -> AccelerationConfig:
        """What it was made of."""
        return AccelerationConfig(self.rate_hz, self.bits, self.counts_per_g, self.highpass_hz, self.step_g)

    @property
    def lowest(self) -> int:
        """The least count; the largest is -lowest - 1."""
        return -(1 << (self.bits - 1))

    @property
    def state_bytes(self) -> int:
        """RAM: three times FIR history, x1 x2 y1 y2 and the remainder; one phase."""
        return AXES * 4 * (self.taps.shape[1] - 1 + 5) + 4

    @property
    def table_bytes(self) -> int:
        """Flash: taps and the scalars."""
        return self.taps.size * 4 + 4 * 8

    def plain(self) -> dict:
        """As plain values, for the contract."""
        return {**asdict(self), "taps": self.taps.tolist()}


def acceleration_design(config: AccelerationConfig, student_hz: float = STUDENT_RATE_HZ) -> AccelerationDesign:
    """Quantise the coefficients."""
    phases, up, down = phases_of(config.rate_hz, student_hz, LIGHT.lowpass_hz, LIGHT.filter_s)
    numerator, a1, a2 = integer_poles(highpass_of(config.highpass_hz, student_hz))
    fraction = WORD_BITS - config.bits
    per_unit = 1 / (config.counts_per_g * config.step_g * (1 << fraction))
    # The largest gain of GAIN_BITS bits.
    shift = GAIN_BITS - 1 - int(np.floor(np.log2(per_unit)))
    return AccelerationDesign(
        config.rate_hz, config.bits, config.counts_per_g, config.highpass_hz, config.step_g, up, down, fraction,
        integer_taps(phases), numerator, a1, a2, gain=round(per_unit * 2.0**shift), shift=shift,
    )  # fmt: skip


class FixedAcceleration:
    """Streaming front end of three axes in integers; splitting its input in any way changes no bit.

    Args:
        config: the accelerometer. student_hz: rate of the outputs.
    """

    def __init__(self, config: AccelerationConfig, student_hz: float = STUDENT_RATE_HZ):
        self.design = acceleration_design(config, student_hz)
        self.reset()

    @classmethod
    def of(cls, given: AccelerationDesign) -> FixedAcceleration:
        """With given integers, as a contract has them."""
        made = cls.__new__(cls)
        made.design = given
        made.reset()
        return made

    def reset(self) -> None:
        """Forget everything, as after a power-up: the next sample has been there for ever."""
        d = self.design
        self.conversion = Conversion(d.taps, d.up, d.down, TAP_BITS - d.fraction)
        self.highpass = [IntegerHighPass(d.numerator, d.a1, d.a2) for _ in range(AXES)]

    def skip(self, samples: int) -> int:
        """So many samples are missing: what comes next begins anew, on the same clock.

        Returns:
            The outputs that would have come with them.
        """
        ticks = self.conversion.ticks
        outputs = len(ticks.of(samples))
        ticks.move(samples, outputs)
        self.reset()
        self.conversion.ticks = ticks
        return outputs

    def push(self, counts: np.ndarray) -> np.ndarray:
        """Counts (n, 3) in, int8 (m, 3) in steps of `step_g` out. A count beyond the `bits` is taken as at the rail."""
        if len(counts) == 0:
            return np.zeros((0, AXES), np.int8)
        lowest = self.design.lowest
        filtered = self.conversion.push(np.clip(np.asarray(counts, np.int64), lowest, -lowest - 1))
        high = np.array([f.push(x) for f, x in zip(self.highpass, filtered.T.tolist(), strict=True)], np.int64).T
        size = np.abs(high) * self.design.gain + (1 << (self.design.shift - 1)) >> self.design.shift
        return np.clip(np.where(high < 0, -size, size), -128, 127).astype(np.int8)


class Acceleration:
    """The same as designed, in floating point.

    Args:
        rate_hz: of the samples, at least 20.
        config: high-pass and step; its rate, bits and counts per g are not used.

    Raises:
        ConfigError: another rate.
    """

    def __init__(
        self, rate_hz: float, config: AccelerationConfig = AccelerationConfig(), student_hz: float = STUDENT_RATE_HZ
    ):
        if not SLOWEST_HZ <= rate_hz <= FASTEST_HZ:
            cure = f"Use {SLOWEST_HZ} to {FASTEST_HZ:,} Hz"
            raise ConfigError(f"an accelerometer of {rate_hz:g} Hz", field="rate_hz", cure=cure)
        self.phases = phases_of(rate_hz, student_hz, LIGHT.lowpass_hz, LIGHT.filter_s)
        self.sos, self.step_g = highpass_of(config.highpass_hz, student_hz), config.step_g
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.conversion, self.highpass = Conversion(*self.phases), HighPass(self.sos)

    def push(self, samples_g: np.ndarray) -> np.ndarray:
        """g (n, 3) in, float32 (m, 3) in steps, within int8's range, out. NaN is not allowed here."""
        if len(samples_g) == 0:
            return np.zeros((0, AXES), np.float32)
        converted = self.conversion.push(np.asarray(samples_g, np.float64))
        if len(converted) == 0:
            return np.zeros((0, AXES), np.float32)
        return np.clip(self.highpass.push(converted) / self.step_g, -128, 127).astype(np.float32)


def acceleration_float(
    samples_g: np.ndarray, rate_hz: float, *, config: AccelerationConfig = AccelerationConfig(),
    student_hz: float = STUDENT_RATE_HZ,
) -> np.ndarray:  # fmt: skip
    """A whole recording's acceleration as the student gets it, before it is rounded.

    Samples that are missing (NaN in any axis) are all zeros from the first one on; what comes after them begins anew,
    as on the watch.

    Args:
        samples_g: (n, 3) in g, NaN where there is none. rate_hz: of them.

    Returns:
        float32 (m, 3) in steps of `step_g`, within -128 ... 127; m is about n * 25 / rate_hz.

    Raises:
        ConfigError: no three axes, or a rate that is too low.
    """
    samples = np.asarray(samples_g, np.float64)
    if samples.ndim != 2 or samples.shape[1] != AXES:
        raise ConfigError(f"shape {samples.shape}", field="samples_g", cure="Give (n, 3): x, y, z")
    front_end = Acceleration(rate_hz, config, student_hz)
    ticks = front_end.conversion.ticks
    out = np.zeros((len(ticks.of(len(samples))), AXES), np.float32)
    there = np.isfinite(samples).all(axis=1)
    edges = np.flatnonzero(np.diff(there.astype(np.int8), prepend=0, append=0))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        begin = len(ticks.of(int(first)))
        front_end.reset()
        # The outputs' instants are those of the whole, whatever is missing.
        front_end.conversion.ticks.phase = int(begin * ticks.down - first * ticks.up)
        made = front_end.push(samples[first:last])
        out[begin : begin + len(made)] = made
    return out
