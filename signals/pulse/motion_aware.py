"""Heart rate from ten seconds of PPG and acceleration by the classic methods: what the wrist did is taken out of the light.

Both get a window of each that ends at the same moment; at its end none has looked ahead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import periodogram

from onwrist.signals.pulse.baselines import MAX_BPM, MIN_BPM, NO_PULSE, PADDED_S, PEAK_WIDTH_HZ, Estimate, spectral_peak
from onwrist.signals.pulse.clean import WINDOW_S, clean_ppg, resample

# Both are brought to this: eight times the fastest pulse.
COMMON_RATE_HZ = 25.0
# Below this spread of the three axes together (g) a wrist is at rest, and nothing is taken out.
STILL_G = 0.02
# Taps of the adaptive filter (0.6 s: more than the tissue rings), its step and its passes over a window.
TAPS, STEP, PASSES = 15, 0.05, 3
# Rates of the spectrum (beats/min) that `subtracted_spectrum` gives.
GRID_BPM = np.arange(MIN_BPM, MAX_BPM)


def subtracted_spectrum(window: np.ndarray, rate_hz: float, acceleration: np.ndarray, acc_rate_hz: float) -> np.ndarray:
    """Power of the light less that of the acceleration, at `GRID_BPM`: (200,) at least 0; all zeros without a pulse.

    Each spectrum is scaled to its largest value, that of the acceleration is the mean over its axes, and what is left is what
    a Wiener filter of that noise would pass (Temko 2017, doi 10.1109/TBME.2017.2676243, without its phase vocoder).

    Args:
        window: (n,) PPG. acceleration: (m, 3) g, of the same ten seconds, no NaN in either.
    """
    f, light = _spectrum(window, rate_hz)
    if light is None:
        return np.zeros(len(GRID_BPM))
    rest = light / light.max()
    if _moving(acceleration):
        axes = [_spectrum(axis, acc_rate_hz) for axis in acceleration.T]
        noise = np.mean([np.interp(f, g, p / p.max()) for g, p in axes if p is not None], axis=0)
        rest = np.maximum(rest - noise, 0.0)
    return np.interp(GRID_BPM / 60, f, rest)


def spectral_subtraction(window: np.ndarray, rate_hz: float, acceleration: np.ndarray, acc_rate_hz: float) -> Estimate:
    """The peak of `subtracted_spectrum`; surer the more of what is left lies near it."""
    return peak_of(subtracted_spectrum(window, rate_hz, acceleration, acc_rate_hz))


def peak_of(spectrum: np.ndarray) -> Estimate:
    """The peak of a spectrum at `GRID_BPM`; surer the more of it lies near."""
    if not spectrum.any():
        return NO_PULSE
    peak = GRID_BPM[int(np.argmax(spectrum))]
    near = np.abs(GRID_BPM - peak) < 60 * PEAK_WIDTH_HZ
    return Estimate(float(peak), float(spectrum[near].sum() / spectrum.sum()))


def adaptive_filter(window: np.ndarray, rate_hz: float, acceleration: np.ndarray, acc_rate_hz: float) -> Estimate:
    """Spectral peak of the light that is left when normalised LMS filters of the three axes have been taken out, one behind the
    other (as in Ram et al. 2012, doi 10.1109/TIM.2011.2175832, with the axes for the noise)."""
    return adaptive_filters([window], rate_hz, [acceleration], acc_rate_hz)[0]


def adaptive_filters(
    windows: Sequence[np.ndarray], rate_hz: float, accelerations: Sequence[np.ndarray], acc_rate_hz: float
) -> list[Estimate]:
    """`adaptive_filter` of many windows side by side."""
    lights = np.stack([_common(window, rate_hz) for window in windows])
    for axis in range(accelerations[0].shape[1]):
        moves = [a[:, axis] if _moving(a) else np.zeros(0) for a in accelerations]
        lights = _without(lights, np.stack([_common(move, acc_rate_hz) for move in moves]))
    return [spectral_peak(light, COMMON_RATE_HZ) for light in lights]


def _common(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """(250,) of unit spread at the common rate; zeros of what does not move."""
    found = np.zeros(int(WINDOW_S * COMMON_RATE_HZ))
    if len(signal) > 8 and np.ptp(signal) > 0:
        x = resample(clean_ppg(signal, rate_hz), rate_hz, COMMON_RATE_HZ)[: len(found)]
        found[: len(x)] = x / (x.std() + 1e-12)
    return found


def _without(lights: np.ndarray, noises: np.ndarray) -> np.ndarray:
    """Lights (k, n) less what a normalised LMS filter each makes of its noise (k, n), the filter of one pass being the next
    one's start."""
    k, n = lights.shape
    padded = np.concatenate([np.zeros((k, TAPS - 1)), noises], axis=1)
    lines = np.lib.stride_tricks.sliding_window_view(padded, TAPS, axis=1)
    power = np.sum(lines**2, axis=2) + 1e-6
    weights, left = np.zeros((k, TAPS)), lights.copy()
    for _ in range(PASSES):
        for i in range(n):
            left[:, i] = lights[:, i] - np.sum(weights * lines[:, i], axis=1)
            weights += (STEP * left[:, i] / power[:, i])[:, None] * lines[:, i]
    return left


def _spectrum(signal: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray | None]:
    """(frequencies, power) within the rates of a heart; None where nothing moves."""
    if len(signal) < 9 or not np.ptp(signal):
        return np.zeros(0), None
    padded = max(len(signal), int(PADDED_S * rate_hz))
    f, power = periodogram(clean_ppg(signal, rate_hz), rate_hz, "hann", padded)
    inside = (f >= MIN_BPM / 60 - 0.02) & (f <= MAX_BPM / 60 + 0.02)
    return f[inside], power[inside] if power[inside].any() else None


def _moving(acceleration: np.ndarray) -> bool:
    return len(acceleration) > 8 and float(np.sqrt(np.sum(acceleration.std(axis=0) ** 2))) > STILL_G
