"""What is true of a recording, at any moment: heart rate and rhythm of the last ten seconds, and movement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onwrist.signals.pulse.beats import (
    IRREGULAR_ABOVE,
    MAX_RR_S,
    MIN_INTERVALS,
    MIN_RR_S,
    REGULAR_BELOW,
    detect_r_peaks,
)
from onwrist.signals.pulse.clean import WINDOW_S, fill_gaps, resample
from onwrist.signals.recordings.recording import Channel, Recording

# A device leaves out the intervals that it does not trust: what is left has to be most of the ten seconds.
LEAST_COVER = 0.6
# Interval that begins where the one before ended, to the resolution of the coarsest device clock (1/64 s).
JOINED_S = 0.02


# GQRS refuses less than some 60 Hz; it knows volts and counts of converters, and its integers overflow beyond them.
LEAST_ECG_HZ, MOST_ECG, ECG_SPREAD = 100.0, 1e6, 1e3


@dataclass(frozen=True)
class Intervals:
    """Beat-to-beat intervals of a recording.

    Attributes:
        begin, end: (n,) seconds from the start of the PPG, sorted.
        source: 'ECG', 'IBI' (the device's own), or '' where there is none.
        rhythm: whether they are fine enough to tell rhythm.
    """

    begin: np.ndarray
    end: np.ndarray
    source: str
    rhythm: bool


def find_intervals(recording: Recording) -> Intervals:
    """From the file's R-peaks, else from its ECG, else the device's own intervals."""
    labels, ecg = recording.labels, recording.ecg
    if ecg is not None:
        peaks = labels.get("rpeaks")
        r = np.asarray(peaks, np.float64) / ecg.rate_hz if peaks is not None else _r_peaks(ecg)
        r = np.sort(r) + ecg.start_s
        return Intervals(r[:-1], r[1:], "ECG", True)
    if "ibi_t" in labels and "ibi_s" in labels:
        start = recording.start_unix or 0.0
        offset = float(labels["ibi_t0_unix"]) - start if "ibi_t0_unix" in labels and start else 0.0
        end = np.asarray(labels["ibi_t"], np.float64) + offset
        order = np.argsort(end, kind="stable")
        end, length = end[order], np.asarray(labels["ibi_s"], np.float64)[order]
        return Intervals(end - length, end, "IBI", False)
    return Intervals(np.zeros(0), np.zeros(0), "", False)


def _r_peaks(ecg: Channel) -> np.ndarray:
    """R-peaks, seconds, of an ECG at any rate and in any unit: the detector refuses slow ones and fails on numbers beyond
    what converters give."""
    samples, rate = fill_gaps(ecg.samples), ecg.rate_hz
    if rate < LEAST_ECG_HZ:
        samples, rate = resample(samples, rate, 4 * rate), 4 * rate
    low, high = np.percentile(samples, (1, 99))
    if high - low > MOST_ECG:
        samples = samples * (ECG_SPREAD / (high - low))
    return detect_r_peaks(samples, rate)


def truth(found: Intervals, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heart rate (n,) in beats/min and irregular (n,) 0 or 1 of the ten seconds before each time; NaN where unknown.

    The rules are those of the labels that students are trained on (`signals.pulse.beats`).
    """
    rate, irregular = np.full(len(time_s), np.nan), np.full(len(time_s), np.nan)
    if len(found.end) == 0:
        return rate, irregular
    length = found.end - found.begin
    low = np.searchsorted(found.begin, time_s - WINDOW_S, "left")
    high = np.maximum(np.searchsorted(found.end, time_s, "left"), low)
    bad = _sums((length < MIN_RR_S) | (length > MAX_RR_S))
    covered = _sums(length)
    count, seconds = high - low, covered[high] - covered[low]
    good = (count >= MIN_INTERVALS) & (bad[high] == bad[low]) & (seconds >= LEAST_COVER * WINDOW_S)
    rate[good] = 60.0 * count[good] / seconds[good]
    if found.rhythm and len(length) > 1:
        change = np.diff(length)
        joined = np.abs(found.begin[1:] - found.end[:-1]) < JOINED_S
        squares, pairs = _sums(np.where(joined, change**2, 0.0)), _sums(joined)
        # Sums over pairs are one shorter than over intervals, and a window may begin behind the last of them.
        begin = np.minimum(low, len(length) - 1)
        last = np.maximum(high - 1, begin)
        some = np.maximum(pairs[last] - pairs[begin], 1)
        relative = np.sqrt(np.maximum(squares[last] - squares[begin], 0.0) / some) / np.where(
            good, seconds / np.maximum(count, 1), 1.0
        )
        irregular[good & (relative > IRREGULAR_ABOVE)] = 1.0
        irregular[good & (relative < REGULAR_BELOW)] = 0.0
    return rate, irregular


def movement(recording: Recording, time_s: np.ndarray, hop_s: float) -> np.ndarray:
    """Standard deviation of the acceleration's magnitude over each hop, g (n,); NaN where there is none."""
    acc = recording.acc
    if acc is None:
        return np.full(len(time_s), np.nan)
    samples = acc.samples
    size = np.sqrt(np.einsum("ij,ij->i", samples, samples, dtype=np.float64)) if samples.ndim == 2 else np.abs(samples)
    known = np.isfinite(size)
    size = np.where(known, size - np.mean(size[known]) if known.any() else 0.0, 0.0)
    count, total, squares = _sums(known), _sums(size), _sums(size**2)
    at = np.clip(np.rint((time_s - acc.start_s) * acc.rate_hz).astype(int), 0, len(size))
    before = np.clip(np.rint((time_s - hop_s - acc.start_s) * acc.rate_hz).astype(int), 0, len(size))
    n = count[at] - count[before]
    some = np.maximum(n, 1)
    mean = (total[at] - total[before]) / some
    spread = np.sqrt(np.maximum((squares[at] - squares[before]) / some - mean**2, 0.0))
    return np.where(n > 1, spread, np.nan)


def _sums(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(values)])
