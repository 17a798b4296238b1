"""What a student sees of a pulse: how often, how long, which band. One object, from the spec to the C.

    sees = StudentInput(rate_hz=50, window_s=30.0)
    design(100, 24, sees.counts)        # the front end of a 100 Hz sensor of 24 bits for it
    condition(ppg, 64.0, sees.floating) # the same over a recording in units of its own

A student carries its own; where a file says nothing, it is `USUAL`: 25 Hz, 10 s, 0.5-8 Hz, as shipped.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from annotated_types import Interval

from onwrist.errors import ConfigError
from onwrist.ranges import Checked
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ, FrontEndConfig

# Half an ADC count of mean magnitude: what is quieter is the converter's own noise, and must not be blown up.
FLOOR_COUNTS = 0.5
# The low-pass of 0.4 s falls off over some 6 Hz: from here on what is left above half the rate would fold into the band.
MOST_OF_RATE = 0.4


@dataclass(frozen=True)
class StudentInput(Checked):
    """The signal that a student is fed.

    Raises:
        ConfigError: out of range, no whole number of samples, a band that the rate does not hold, a clip that is no power of
        two.
    """

    rate_hz: Annotated[int, Interval(ge=20, le=100)] = STUDENT_RATE_HZ
    """Samples a second behind the front end."""
    window_s: Annotated[float, Interval(ge=4, le=60)] = 10.0
    """Seconds that its teacher sees, that labels speak of, and that it is judged on."""
    low_hz: Annotated[float, Interval(ge=0.2, le=4)] = 0.5
    """Lower edge of the band."""
    high_hz: Annotated[float, Interval(ge=2, le=40)] = 8.0
    """Upper edge."""
    floor: Annotated[float, Interval(ge=0.01, le=1e6)] = FLOOR_COUNTS
    """Least mean magnitude, in counts of the sensor."""
    clip: Annotated[float, Interval(ge=1, le=64)] = 4.0
    """Mean magnitudes that int8 reaches to; a power of two, so that scaling is a shift."""

    def __post_init__(self) -> None:
        super().__post_init__()
        samples = self.window_s * self.rate_hz
        if abs(samples - round(samples)) > 1e-9:
            raise ConfigError(
                f"{self.window_s:g} s are {samples:g} samples at {self.rate_hz} Hz", field="window_s",
                cure="Use a whole number of samples",
            )  # fmt: skip
        if self.high_hz > MOST_OF_RATE * self.rate_hz:
            raise ConfigError(
                f"{self.high_hz:g} Hz at {self.rate_hz} samples a second", field="high_hz",
                cure=f"Use at most {MOST_OF_RATE * self.rate_hz:g} Hz, or a higher rate",
            )  # fmt: skip
        if 2 * self.low_hz > self.high_hz:
            raise ConfigError(
                f"a band of {self.low_hz:g}-{self.high_hz:g} Hz", field="low_hz", cure="Use an octave at least"
            )
        if math.log2(self.clip) % 1:
            raise ConfigError(
                f"clip {self.clip:g}", field="clip", cure="Use a power of two, so that scaling is a shift"
            )

    @property
    def samples(self) -> int:
        """Of a window."""
        return round(self.window_s * self.rate_hz)

    @property
    def scale(self) -> float:
        """Units of the front end per step of the student's int8 input."""
        return self.clip / 128

    @property
    def floating(self) -> FrontEndConfig:
        """The front end over a recording in units of its own, whose floor is next to nothing."""
        return FrontEndConfig(self.low_hz, self.high_hz, clip=self.clip, student_hz=self.rate_hz)

    @property
    def counts(self) -> FrontEndConfig:
        """The front end of a watch, whose signal is in counts, so that its floor is too."""
        return replace(self.floating, floor=self.floor)

    @property
    def finds_beats(self) -> bool:
        """Whether a watch tells beats beside it: their rules are of the usual rate, band and scale."""
        return replace(self, window_s=USUAL.window_s) == USUAL

    @property
    def plain(self) -> dict[str, Any]:
        """As plain values, for a student's file; empty where it is the usual one, of which files say nothing."""
        return {} if self == USUAL else asdict(self)

    @classmethod
    def of(cls, values: Any) -> StudentInput:
        """What `plain` gave.

        Raises:
            ConfigError: it is something else.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"is no input ({error})"[:120], field="input", cure="Make the student anew") from None


USUAL = StudentInput()
