"""The front end in integers: ADC counts in, the student's int8 input out, as a Cortex-M computes it.

The same three stages as `signals.front_end.floating`, which stays their design and their witness:

| stage | arithmetic |
|---|---|
| rate conversion, high-pass | `signals.front_end.stages` |
| running magnitude | int64 with 12 more bits; its weight is the bias-corrected exponential mean's own, from a recursion |
| scale and quantise | one int64 division per output, rounded half away from zero, saturated to int8 |

Every width holds for every input of `bits` bits: the l1 norms of the filters are the proof, and a test of this module.
Direct form I keeps the filter's past in the signal's own units, so that a start from a constant is exact, and its
numerator is b0 * (1, -2, 1) in integers too, so that a constant gives exactly nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from onwrist.errors import ConfigError
from onwrist.signals.front_end.acceleration import AccelerationConfig, AccelerationDesign, acceleration_design
from onwrist.signals.front_end.floating import FrontEnd, FrontEndConfig, polyphase
from onwrist.signals.front_end.stages import (
    TAP_BITS,
    WORD_BITS,
    Conversion,
    IntegerHighPass,
    highpass_of,
    integer_poles,
    integer_taps,
)
from onwrist.signals.front_end.student_input import USUAL

MAX_BITS = 24
# Samples that two front ends are compared over at once: more than an hour of them.
COMPARED = 1 << 17
# The running magnitude moves by a hundredth of a difference: finer than the signal by more than that.
MAGNITUDE_BITS = 12
WEIGHT_BITS, KEEP_BITS, ALPHA_BITS = 20, 24, 20
# The contract of a shipped student's watch.
IN_COUNTS = USUAL.counts


@dataclass(frozen=True)
class FixedDesign:
    """Every number of the fixed-point front end; what firmware is given.

    Attributes:
        rate_hz, bits: of the sensor. up, down: student's rate = rate * up / down.
        fraction: bits below a count in the filtered signal.
        taps: int32 (up, n) in Q29, newest input last; each phase sums to exactly one.
        numerator: b0 of b0 * (1, -2, 1), Q29. a1, a2: Q29, of y = ... - a1 y1 - a2 y2.
        keep: factor of the running weight, Q24. floor: least magnitude, in its own units.
        steps: log2 of int8 steps per mean magnitude.
        acceleration: of an accelerometer beside the light, where there is one.
    """

    rate_hz: float
    bits: int
    up: int
    down: int
    fraction: int
    taps: np.ndarray
    numerator: int
    a1: int
    a2: int
    keep: int
    floor: int
    steps: int
    acceleration: AccelerationDesign | None = None

    @property
    def student_hz(self) -> int:
        """Samples a second that come out."""
        return round(self.rate_hz * self.up / self.down)

    @property
    def state_bytes(self) -> int:
        """RAM: FIR history, phase, x1 x2 y1 y2 and the remainder, magnitude (8) and weight."""
        return 4 * (self.taps.shape[1] - 1) + 4 + 4 * 5 + 8 + 4

    @property
    def table_bytes(self) -> int:
        """Flash: taps and the scalars."""
        return self.taps.size * 4 + 4 * 8

    def plain(self) -> dict:
        """As plain values, for the contract; the accelerometer's are for themselves."""
        return {n: v for n, v in {**asdict(self), "taps": self.taps.tolist()}.items() if n != "acceleration"}


def design(
    rate_hz: float, bits: int, config: FrontEndConfig = IN_COUNTS, acceleration: AccelerationConfig | None = None
) -> FixedDesign:
    """Quantise the float front end's coefficients; the config's floor is in counts.

    Args:
        acceleration: an accelerometer beside it.

    Raises:
        ConfigError: more than 24 bits, or a rate below the student's.
    """
    if not 8 <= bits <= MAX_BITS:
        raise ConfigError(f"{bits} bits", field="bits", cure=f"Use 8 to {MAX_BITS}")
    phases, up, down = polyphase(rate_hz, config)
    numerator, a1, a2 = integer_poles(highpass_of(config.highpass_hz, config.student_hz))
    fraction = WORD_BITS - bits
    keep = np.exp(-1.0 / (config.scale_tau_s * config.student_hz))
    if config.floor * (1 << (fraction + MAGNITUDE_BITS)) < 1:
        raise ConfigError(
            f"a floor of {config.floor:g} counts",
            field="floor",
            cure="The floor is in ADC counts here: 0.5 is the converter's noise",
        )
    steps = 128 / config.clip
    if steps != 1 << int(np.log2(steps)):
        raise ConfigError(f"clip {config.clip:g}", field="clip", cure="Use a power of two, so that scaling is a shift")
    return FixedDesign(
        rate_hz, bits, up, down, fraction, integer_taps(phases), numerator=numerator, a1=a1, a2=a2,
        keep=round(keep * (1 << KEEP_BITS)), floor=round(config.floor * (1 << (fraction + MAGNITUDE_BITS))),
        steps=int(np.log2(steps)), acceleration=None if acceleration is None else acceleration_design(acceleration),
    )  # fmt: skip


class FixedFrontEnd:
    """Streaming front end in integers; splitting its input in any way changes no bit.

    Args:
        rate_hz: sensor rate. bits: ADC resolution; counts are 0 ... 2^bits - 1.
        config: the contract.
    """

    def __init__(self, rate_hz: float, bits: int, config: FrontEndConfig = IN_COUNTS):
        self.design = design(rate_hz, bits, config)
        self.reset()

    @classmethod
    def of(cls, given: FixedDesign) -> FixedFrontEnd:
        """With given integers, as a contract has them."""
        made = cls.__new__(cls)
        made.design = given
        made.reset()
        return made

    def reset(self) -> None:
        """Forget everything, as after a power-up."""
        d = self.design
        self.conversion = Conversion(d.taps, d.up, d.down, TAP_BITS - d.fraction)
        self.highpass = IntegerHighPass(d.numerator, d.a1, d.a2)
        self.magnitude = self.weight = 0
        # (high-passed, running magnitude) of each output of the last push: what beats are found in.
        self.band: list[tuple[int, int]] = []

    @property
    def flat(self) -> bool:
        """Whether the running magnitude is at its floor: there is nothing to see."""
        return self.highpass.started and self.magnitude <= self.design.floor

    def inputs_for(self, outputs: int) -> int:
        """Samples from now until that many outputs are there."""
        return self.conversion.ticks.inputs_for(outputs)

    def due(self, inputs: int) -> np.ndarray:
        """Which of the next samples an output comes with: int (m,), indices below `inputs`."""
        return self.conversion.ticks.of(inputs) // self.design.up

    def push(self, counts: np.ndarray) -> np.ndarray:
        """Counts (n,) in, int8 (m,) in steps of 1/32 mean magnitude out."""
        self.band = []
        if len(counts) == 0:
            return np.zeros(0, np.int8)
        filtered = self.conversion.push(np.asarray(counts, np.int64))
        return np.array(self._scale(self.highpass.push(filtered.tolist())), np.int8)

    def _scale(self, filtered: list[int]) -> list[int]:
        # Plain integers in a loop: each output needs the one before it.
        d = self.design
        keep, floor = d.keep, d.floor
        magnitude, weight = self.magnitude, self.weight
        lift = MAGNITUDE_BITS + d.steps
        out = []
        for y in filtered:
            size = abs(y)
            weight = (1 << WEIGHT_BITS) + (weight * keep >> KEEP_BITS)
            alpha = ((1 << (ALPHA_BITS + WEIGHT_BITS)) + (weight >> 1)) // weight
            magnitude += ((size << MAGNITUDE_BITS) - magnitude) * alpha >> ALPHA_BITS
            self.band.append((y, magnitude))
            scale = max(magnitude, floor)
            steps = min(((size << lift) + (scale >> 1)) // scale, 128)
            out.append(min(steps, 127) if y >= 0 else -steps)
        self.magnitude, self.weight = magnitude, weight
        return out


@dataclass(frozen=True)
class FrontEndParity:
    """Fixed point against float, over the samples of a stream.

    Attributes:
        snr_db: of the int8 output against the float output before its quantisation. float_snr_db: the same for the
            quantised float output: what int8 alone costs.
        equal: share of samples with the same int8. largest: max difference in int8 steps.
    """

    snr_db: float
    float_snr_db: float
    equal: float
    largest: int


def front_end_parity(
    counts: np.ndarray, rate_hz: float, bits: int, config: FrontEndConfig = IN_COUNTS
) -> FrontEndParity:
    """Run counts (n,) through both front ends."""
    fixed = FixedFrontEnd(rate_hz, bits, config).push(counts).astype(np.float64)
    real = FrontEnd(rate_hz, config).push(counts).astype(np.float64)
    return compare_front_ends(fixed, real, config)


def compare_front_ends(fixed: np.ndarray, real: np.ndarray, config: FrontEndConfig = IN_COUNTS) -> FrontEndParity:
    """int8 output (n,) of the fixed front end against the float one's output (n,) in real units."""
    steps = 128 / config.clip
    power, noise, int8_noise = real.dtype.type(0), 0.0, 0.0
    equal = largest = 0
    for i in range(0, len(real), COMPARED):
        ours, wanted = fixed[i : i + COMPARED], real[i : i + COMPARED]
        quantised = np.clip(np.rint(wanted * steps), -128, 127)
        difference = np.abs(ours.astype(np.float64) - quantised)
        power += np.sum(wanted**2)
        noise += float(np.sum((wanted - ours / steps) ** 2))
        int8_noise += float(np.sum((wanted - quantised / steps) ** 2))
        equal += int(np.count_nonzero(difference == 0))
        largest = max(largest, int(difference.max()))
    return FrontEndParity(_snr(power, noise), _snr(power, int8_noise), equal / max(1, len(real)), largest)


def _snr(power: np.floating, noise: float) -> float:
    return float("inf") if noise == 0 else float(10 * np.log10(power / noise))
