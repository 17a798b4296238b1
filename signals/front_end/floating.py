"""The causal front end: watch-rate counts in, student input out, sample by sample.

One design serves training and the simulated watch, so that the student is trained on exactly what it
will be fed. Three stages, all with left context only:

1. polyphase FIR rate conversion to the student's rate, 25 Hz unless a spec says another (its low-pass is also the 8 Hz upper edge of the pulse band),
2. second-order Butterworth high-pass at 0.5 Hz,
3. division by a running mean magnitude, clipped to +-4.

Per-window min-max, which the teacher uses, needs the end of a window to scale its start and therefore
cannot stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from annotated_types import Interval
from scipy.signal import lfilter

from onwrist.errors import ConfigError
from onwrist.ranges import Checked
from onwrist.signals.front_end.stages import Conversion, HighPass, highpass_of, phases_of

STUDENT_RATE_HZ = 25
WATCH_RATES_HZ = (25, 32, 50, 64, 100, 125)


def hop_samples(hop_s: float, multiple: int, rate_hz: int = STUDENT_RATE_HZ) -> int:
    """Student samples in a hop of `hop_s` seconds.

    Args:
        rate_hz: of the student.
        multiple: samples between two outputs of the student at its fastest: its total stride.

    Raises:
        ConfigError: not a whole number of `multiple` samples, or none at all.
    """
    steps = hop_s * rate_hz / multiple
    if not 1 <= steps < math.inf or abs(steps - round(steps)) > 1e-9:
        cure = f"Use a multiple of {multiple / rate_hz:g} s"
        raise ConfigError(f"hop {hop_s:g} s", field="hop_s", cure=cure)
    return round(steps) * multiple


@dataclass(frozen=True)
class FrontEndConfig(Checked):
    """Contract of the front end; exported with every model."""

    highpass_hz: Annotated[float, Interval(gt=0, le=4)] = 0.5
    """Lower edge: below it is breathing, posture and sensor drift."""
    lowpass_hz: Annotated[float, Interval(gt=0, le=50)] = 8.0
    """Upper edge of the pulse band (xMAE, NeuroKit)."""
    filter_s: Annotated[float, Interval(ge=0.04, le=10)] = 0.4
    """Length of the rate-conversion FIR, seconds; its delay is half of it."""
    scale_tau_s: Annotated[float, Interval(ge=0.04, le=3_600)] = 4.0
    """Time constant of the running mean magnitude: a few beats, faster than a gain step matters."""
    clip: Annotated[float, Interval(gt=0, le=1_000)] = 4.0
    """Output range: +-4 mean magnitudes hold a pulse with margin; INT8 then has a step of 1/32."""
    floor: Annotated[float, Interval(gt=0, le=1e6)] = 1e-6
    """Least mean magnitude, in input units: keeps a flat line from dividing by zero. For a recording in units of its
    own next to nothing; a watch's counts have a floor of half a count (`fixed.IN_COUNTS`)."""
    student_hz: Annotated[int, Interval(ge=20, le=100)] = STUDENT_RATE_HZ
    """Samples a second that come out."""


@lru_cache(maxsize=32)
def polyphase(rate_hz: float, config: FrontEndConfig = FrontEndConfig()) -> tuple[np.ndarray, int, int]:
    """FIR phases of the conversion `rate_hz` -> the student's rate.

    Returns (phases, up, down): phases has shape (up, taps), newest input sample last.

    Raises:
        ConfigError: the rate is below the student's.
    """
    if rate_hz < config.student_hz:
        raise ConfigError(
            f"{rate_hz:g} Hz is below the student's {config.student_hz} Hz",
            field="rate_hz",
            cure=f"Resample to {config.student_hz} Hz first (signals.resample); "
            f"content above {config.lowpass_hz:g} Hz is not needed",
        )
    return phases_of(rate_hz, config.student_hz, config.lowpass_hz, config.filter_s)


class FrontEnd:
    """Streaming front end; `push` any burst of samples, get the samples at the student's rate that became ready.

    Splitting a recording into bursts in any way gives the same output (to rounding of float64).

    Args:
        rate_hz: sensor rate, the student's or above.
        config: the contract.
    """

    def __init__(self, rate_hz: float, config: FrontEndConfig = FrontEndConfig()):
        self.config, self.rate_hz = config, rate_hz
        self.keep = float(np.exp(-1.0 / (config.scale_tau_s * config.student_hz)))
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a power-up or a gap that was too long to bridge."""
        self.conversion = Conversion(*polyphase(self.rate_hz, self.config))
        self.highpass = HighPass(highpass_of(self.config.highpass_hz, self.config.student_hz))
        self.sum = self.weight = 0.0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Shape (n,) counts in, shape (m,) float32 within +-clip out. NaN is not allowed here."""
        x = np.asarray(samples, np.float64)
        if len(x) == 0:
            return np.zeros(0, np.float32)
        y = self.conversion.push(x)
        if len(y) == 0:
            return y.astype(np.float32)
        y = self.highpass.push(y)
        magnitude = self._running_magnitude(np.abs(y))
        return np.clip(y / magnitude, -self.config.clip, self.config.clip).astype(np.float32)

    def _running_magnitude(self, magnitude: np.ndarray) -> np.ndarray:
        # A bias-corrected exponential mean: right from the first sample on, no warm-up constant.
        keep = self.keep
        sums = lfilter([1.0], [1.0, -keep], magnitude, zi=[keep * self.sum])[0]
        weights = lfilter([1.0], [1.0, -keep], np.ones_like(magnitude), zi=[keep * self.weight])[0]
        self.sum, self.weight = float(sums[-1]), float(weights[-1])
        return np.maximum(sums / weights, self.config.floor)


def condition(ppg: np.ndarray, rate_hz: float, config: FrontEndConfig = FrontEndConfig()) -> np.ndarray:
    """A whole recording through the front end: shape (n,) in, about n * student_hz / rate out, float32."""
    return FrontEnd(rate_hz, config).push(ppg)
