"""Offline cleaning, zero-phase: what the teacher is trained on and probed with.

The watch cannot look into the future; its causal counterpart is `signals.frontend`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy.signal import butter, resample_poly, sosfiltfilt

from onwrist.errors import RecordingError

# The pulse band of the xMAE paper (NeuroKit's `ppg_clean`: third-order Butterworth, 0.5-8 Hz).
PPG_BAND_HZ = (0.5, 8.0)
# NeuroKit's `ecg_clean`: fifth-order high-pass at 0.5 Hz, then one moving average over a mains period.
ECG_HIGHPASS_HZ = 0.5
POWERLINE_HZ = 50.0
# The teacher's rate and window (xMAE: 1000 samples at 100 Hz).
TEACHER_RATE_HZ = 100.0
WINDOW_S = 10.0


@lru_cache(maxsize=64)
def _sos(order: int, band: float | tuple[float, float], kind: str, rate_hz: float) -> np.ndarray:
    return butter(order, band, btype=kind, fs=rate_hz, output="sos")


def fill_gaps(x: np.ndarray) -> np.ndarray:
    """Linear interpolation over NaN, along the last axis of a 1-D signal; ends hold the nearest value.

    Raises:
        RecordingError: there is nothing to interpolate between.
    """
    x = np.asarray(x)
    bad = ~np.isfinite(x)
    if not bad.any():
        return x.astype(np.float32, copy=False)
    if bad.all():
        raise RecordingError("every sample is missing", cure="Choose another channel or another stretch")
    at = np.flatnonzero(bad)
    # The sound samples beside the gaps are all that counts; a day has few of them and many others.
    edges = np.flatnonzero(bad[1:] != bad[:-1])
    knots = np.unique(np.concatenate([edges, edges + 1]))
    knots = knots[~bad[knots]]
    out = x.astype(np.float32)
    out[at] = np.interp(at, knots, x[knots])
    return out


def clean_ppg(x: np.ndarray, rate_hz: float) -> np.ndarray:
    """Band-pass 0.5-8 Hz, zero phase. Shape (..., n) in, same out; NaN must be filled first.

    At rates of 16 Hz and below the upper edge is already beyond Nyquist and only the high-pass acts.
    """
    low, high = PPG_BAND_HZ
    if rate_hz > 2.0 * high * 1.02:
        sos = _sos(3, (low, high), "bandpass", rate_hz)
    else:
        sos = _sos(3, low, "highpass", rate_hz)
    return sosfiltfilt(sos, x, axis=-1, padlen=_padlen(x, rate_hz)).astype(np.float32)


def clean_ecg(x: np.ndarray, rate_hz: float, powerline_hz: float = POWERLINE_HZ) -> np.ndarray:
    """High-pass 0.5 Hz, then a moving average of one mains period, as the paper's NeuroKit call does.

    Shape (..., n) in, same out. `powerline_hz` is 50 or 60.
    """
    y = sosfiltfilt(_sos(5, ECG_HIGHPASS_HZ, "highpass", rate_hz), x, axis=-1, padlen=_padlen(x, rate_hz))
    width = max(1, int(rate_hz / powerline_hz))
    if width > 1:
        kernel = np.ones(width) / width
        y = np.apply_along_axis(lambda row: np.convolve(row, kernel, mode="same"), -1, y)
    return y.astype(np.float32)


def _padlen(x: np.ndarray, rate_hz: float) -> int:
    return min(int(2 * rate_hz), np.shape(x)[-1] - 1)


def resample(x: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Polyphase rate conversion along the last axis, zero phase, with its own anti-alias filter."""
    if from_hz == to_hz:
        return np.asarray(x, np.float32)
    # Phone cameras and counters have odd rates; 1/1000 Hz is finer than any clock they have.
    ratio = Fraction(to_hz).limit_denominator(1000) / Fraction(from_hz).limit_denominator(1000)
    ratio = ratio.limit_denominator(2000)
    return resample_poly(x, ratio.numerator, ratio.denominator, axis=-1, padtype="line").astype(np.float32)


def min_max(windows: np.ndarray) -> np.ndarray:
    """Each window to [-1, 1] by its own extremes (the authors' trainer); a flat window becomes zeros."""
    low = windows.min(axis=-1, keepdims=True)
    span = windows.max(axis=-1, keepdims=True) - low
    return np.where(span > 0, 2.0 * (windows - low) / np.where(span > 0, span, 1.0) - 1.0, 0.0).astype(np.float32)


def teacher_input(ppg: np.ndarray, rate_hz: float) -> np.ndarray:
    """A recording's PPG to the teacher's signal: gaps filled, 0.5-8 Hz, 100 Hz. Not yet cut or scaled."""
    return resample(clean_ppg(fill_gaps(ppg), rate_hz), rate_hz, TEACHER_RATE_HZ)
