"""Heart rate from ten seconds of PPG by the methods that a user would take instead of a student.

Every method is one function `(ppg window, rate in Hz) -> Estimate`: beats/min and how sure it is, NaN where it finds no
pulse. A window is all that a method sees, so that at its end none has looked ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from scipy.signal import detrend, find_peaks, periodogram

from onwrist.signals.pulse.clean import WINDOW_S, clean_ppg, resample

# Rates that a heart has at rest and in sport; outside, a method has counted something else.
MIN_BPM, MAX_BPM = 30.0, 230.0
# Fewer intervals than this are no rate.
MIN_BEATS = 3
# Zero padding of the spectrum: bins of 0.4 beats/min.
PADDED_S = 150.0
# Share of the power within this of the peak is how sure a spectral peak is: its own width in ten seconds.
PEAK_WIDTH_HZ = 0.15
# A pulse stands out of a cleaned window by at least this part of its spread.
PROMINENCE = 0.5
# MSPTDfast looks at 20 samples a second: enough to tell pulses apart, an eighth of the work.
MSPTD_RATE_HZ = 20.0
# Of each window, what is kept of a long signal; beats of two windows nearer than this at their seam are one.
KEPT_S, SEAM_S = 6.0, 0.15


class Estimate(NamedTuple):
    """Beats/min and a confidence of the method's own (any unit, more is surer); NaN and -inf without a pulse."""

    bpm: float
    confidence: float


Method = Callable[[np.ndarray, float], Estimate]
BeatMethod = Callable[[np.ndarray, float], np.ndarray]
NO_PULSE = Estimate(float("nan"), float("-inf"))


def spectral_peak(window: np.ndarray, rate_hz: float) -> Estimate:
    """The strongest frequency of the window; surer the more of the power lies near it.

    Args:
        window: (n,) PPG, any unit, no NaN. rate_hz: samples per second.
    """
    if not _moves(window):
        return NO_PULSE
    padded = max(len(window), int(PADDED_S * rate_hz))
    f, power = periodogram(clean_ppg(window, rate_hz), rate_hz, "hann", padded)
    inside = (f >= MIN_BPM / 60) & (f <= MAX_BPM / 60)
    f, power = f[inside], power[inside]
    if not power.any():
        return NO_PULSE
    peak = f[np.argmax(power)]
    return Estimate(60.0 * float(peak), float(power[abs(f - peak) < PEAK_WIDTH_HZ].sum() / power.sum()))


def counted_peaks(window: np.ndarray, rate_hz: float) -> Estimate:
    """`scipy.signal.find_peaks` on the cleaned window, with the settings that a careful user gives it."""
    return from_beats(counted_beats(window, rate_hz))


def counted_beats(window: np.ndarray, rate_hz: float) -> np.ndarray:
    """The times (s) that `counted_peaks` counts."""
    if not _moves(window):
        return np.zeros(0)
    x = clean_ppg(window, rate_hz)
    peaks, _ = find_peaks(x, prominence=PROMINENCE * x.std(), distance=max(1, int(60.0 / MAX_BPM * rate_hz)))
    return peaks / rate_hz


def msptd_fast(window: np.ndarray, rate_hz: float) -> Estimate:
    """The rate of `msptd_beats`."""
    return from_beats(msptd_beats(window, rate_hz))


def msptd_beats(window: np.ndarray, rate_hz: float) -> np.ndarray:
    """Multi-scale peak and trough detection, the fast version, times in s: peaks that are peaks at every scale.

    A sample is a local maximum at scale k if it exceeds the samples k before and behind it. The scale with most local
    maxima is about half a pulse; what is a maximum at all scales up to it is a pulse (Bishop and Ercole 2018, doi
    10.1007/978-3-319-65798-1_39). As in MSPTDfast (Charlton et al. 2024) at 20 Hz and only up to the scale of the
    slowest heart; each beat is then put back onto the highest sample of the window itself.
    """
    if not _moves(window):
        return np.zeros(0)
    original = detrend(clean_ppg(window, rate_hz))
    fast = min(rate_hz, MSPTD_RATE_HZ)
    x = detrend(resample(original, rate_hz, fast)) if fast < rate_hz else original
    scales = min(int(60.0 / MIN_BPM * fast / 2), (len(x) - 1) // 2)
    if scales < 1:
        return np.zeros(0)
    maxima = np.zeros((scales, len(x)), bool)
    for k in range(1, scales + 1):
        middle = x[k:-k]
        maxima[k - 1, k:-k] = (middle > x[: -2 * k]) & (middle > x[2 * k :])
    best = int(np.argmax(maxima.sum(axis=1)))
    found = np.flatnonzero(maxima[: best + 1].all(axis=0)) / fast
    reach = 1.0 / fast
    beats = []
    for t in found:
        first, last = max(0, int((t - reach) * rate_hz)), int((t + reach) * rate_hz) + 1
        beats.append((first + int(np.argmax(original[first:last]))) / rate_hz)
    return np.unique(beats)


def neurokit(window: np.ndarray, rate_hz: float) -> Estimate:
    """The rate of `neurokit_beats`.

    Raises:
        ImportError: the package is not installed (an extra of this one).
    """
    return from_beats(neurokit_beats(window, rate_hz))


def neurokit_beats(window: np.ndarray, rate_hz: float) -> np.ndarray:
    """NeuroKit2's own way, times in s: `ppg_clean` and `ppg_findpeaks` with their defaults (Elgendi et al. 2013).

    Raises:
        ImportError: the package is not installed (an extra of this one).
    """
    import neurokit2

    if not _moves(window):
        return np.zeros(0)
    try:
        cleaned = neurokit2.ppg_clean(window, sampling_rate=rate_hz)
        peaks = neurokit2.ppg_findpeaks(cleaned, sampling_rate=rate_hz)["PPG_Peaks"]
    except (ValueError, IndexError, ZeroDivisionError):
        return np.zeros(0)  # what it raises where there is nothing to find
    return np.asarray(peaks, float) / rate_hz


def from_beats(beat_s: np.ndarray) -> Estimate:
    """Beat times (s) to their mean rate; surer the more alike the intervals are."""
    intervals = np.diff(beat_s)
    if len(intervals) < MIN_BEATS:
        return NO_PULSE
    bpm = 60.0 / float(intervals.mean())
    if not MIN_BPM <= bpm <= MAX_BPM:
        return NO_PULSE
    return Estimate(bpm, -float(intervals.std() / intervals.mean()))


def _moves(window: np.ndarray) -> bool:
    return len(window) > 8 and bool(np.isfinite(window).all()) and float(np.ptp(window)) > 0


def over_windows(find: BeatMethod, signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """Beats (s) of a whole signal (n,) by a method for windows: 10 s each, of which the middle 6 are kept.

    On the training people of the Challenge 2015 that is as good as the whole signal at once or better, for every method.
    """
    length, hop = int(WINDOW_S * rate_hz), int(KEPT_S * rate_hz)
    if len(signal) <= length:
        return find(signal, rate_hz)
    margin, last = (length - hop) // 2, len(signal) - length
    starts = [*range(0, last, hop), last]
    found, done = [], 0
    for start in starts:
        until = len(signal) if start == last else start + length - margin
        beats = find(signal[start : start + length], rate_hz) + start / rate_hz
        found.append(beats[(beats >= done / rate_hz) & (beats < until / rate_hz)])
        done = until
    whole = np.concatenate(found)
    # Two windows may put one beat on either side of their seam.
    return whole[np.append(True, np.diff(whole) > SEAM_S)] if len(whole) else whole


def beat_methods() -> dict[str, BeatMethod]:
    """Name -> beats of a window, of all that can run here."""
    found: dict[str, BeatMethod] = {"find_peaks": counted_beats, "MSPTDfast": msptd_beats}
    if find_spec("neurokit2"):
        found["NeuroKit2"] = neurokit_beats
    return found


def methods() -> dict[str, Method]:
    """Name -> method, of all that can run here."""
    found: dict[str, Method] = {
        "spectral peak": spectral_peak, "find_peaks": counted_peaks, "MSPTDfast": msptd_fast,
    }  # fmt: skip
    if find_spec("neurokit2"):
        found["NeuroKit2"] = neurokit
    return found
