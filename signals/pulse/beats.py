"""Beats: R-peaks of the ECG, upslopes of the PPG, and the window labels that follow from them.

Every label that a shipped head is trained on comes from here, so from the ECG of the open sets and from
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

# Beat intervals outside this range are detector faults or asystole, not rhythm.
MIN_RR_S, MAX_RR_S = 0.27, 2.5
# A beat needs at least this many intervals beside it before variability means anything.
MIN_INTERVALS = 4
# Two detectors agree on a beat within this time (half the width of an upslope).
MATCH_S = 0.12
# Irregular: RMSSD above 12 % of the mean interval (AF and frequent ectopy lie above 0.1-0.15 in the
# literature); regular: below 7 %. Between the two lies respiratory arrhythmia, which gets no label.
IRREGULAR_ABOVE, REGULAR_BELOW = 0.12, 0.07
# A window is good when nearly every R-peak has its pulse and hardly a pulse comes from nowhere; bad when
# not even chance agreement is beaten by much (chance is about 0.3, see the data's manifests).
GOOD_RECALL, GOOD_PRECISION, BAD_RECALL = 0.9, 0.8, 0.55
# Rhythm is only labelled where the pulse follows the ECG at all.
RHYTHM_RECALL = 0.6

LABELS = ("hr", "rmssd", "sdnn", "irregular", "quality")


@dataclass(frozen=True)
class Beats:
    """Beat times of one recording, seconds from its start.

    Attributes:
        r: R-peak times.
        upslope: times of steepest rise in the PPG.
        delay_s: median R-peak to upslope time: a constant of monitor and person, used for alignment only.
    """

    r: np.ndarray
    upslope: np.ndarray
    delay_s: float


def detect_r_peaks(ecg: np.ndarray, rate_hz: float) -> np.ndarray:
    """R-peak times in seconds. NaN must be filled first.

    GQRS of the `wfdb` package: on BIDMC it is within one beat a minute of the monitor in every record, where the
    package's XQRS counts T-waves in two of them.
    """
    from wfdb.processing import gqrs_detect

    return np.asarray(gqrs_detect(sig=np.asarray(ecg, np.float64), fs=rate_hz), np.float64) / rate_hz


def upslopes(ppg: np.ndarray, rate_hz: float) -> np.ndarray:
    """Times of steepest rise of a cleaned PPG, seconds: one per pulse."""
    slope = np.gradient(np.asarray(ppg, np.float64))
    # Local scale over 4 s, so that one artefact does not hide the pulses of an hour.
    width = max(1, int(4 * rate_hz))
    scale = np.sqrt(np.convolve(slope**2, np.ones(width) / width, mode="same")) + 1e-12
    peaks, _ = find_peaks(slope / scale, height=0.8, prominence=1.0, distance=max(1, int(MIN_RR_S * rate_hz)))
    return peaks / rate_hz


def pulse_delay(r: np.ndarray, rise: np.ndarray) -> float:
    """Median time from an R-peak to the upslope that follows it, around the most frequent such time; NaN if none."""
    if len(r) == 0 or len(rise) == 0:
        return float("nan")
    lags = np.concatenate([rise[(rise > t) & (rise < t + 1.0)] - t for t in r])
    if len(lags) == 0:
        return float("nan")
    counts, edges = np.histogram(lags, bins=np.arange(0.0, 1.02, 0.02))
    mode = edges[int(np.argmax(np.convolve(counts, np.ones(5), mode="same")))] + 0.01
    return float(np.median(lags[np.abs(lags - mode) < 0.1]))


def agreement(beats: Beats, start_s: float, end_s: float) -> tuple[float, float]:
    """(recall, precision) of PPG pulses against R-peaks shifted by the record's delay, within a window."""
    expected = beats.r + beats.delay_s
    expected = expected[(expected >= start_s + MATCH_S) & (expected < end_s - MATCH_S)]
    seen = beats.upslope[(beats.upslope >= start_s) & (beats.upslope < end_s)]
    if len(expected) == 0 or len(seen) == 0:
        return 0.0, 0.0
    distance = np.abs(expected[:, None] - seen[None, :])
    inner = (seen >= start_s + 2 * MATCH_S) & (seen < end_s - 2 * MATCH_S)
    precision = float(np.mean(distance.min(axis=0)[inner] < MATCH_S)) if inner.any() else 0.0
    return float(np.mean(distance.min(axis=1) < MATCH_S)), precision


def intervals(beat_s: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    """Beat-to-beat intervals (s) inside a window; empty where one of them is not a heartbeat's."""
    inside = beat_s[(beat_s >= start_s) & (beat_s < end_s)]
    rr = np.diff(inside)
    if len(rr) < MIN_INTERVALS or rr.min() < MIN_RR_S or rr.max() > MAX_RR_S:
        return np.zeros(0)
    return rr


def window_labels(beats: Beats, start_s: float, end_s: float) -> dict[str, float]:
    """ECG-derived labels of a window; NaN where there is none.

    Returns:
        hr (beats/min, from the mean interval), rmssd and sdnn (ms), irregular (0/1), quality (0/1).
        The R-peaks are those whose pulses fall into the window.
    """
    label = dict.fromkeys(LABELS, float("nan"))
    if not np.isfinite(beats.delay_s):
        return label
    recall, precision = agreement(beats, start_s, end_s)
    if recall >= GOOD_RECALL and precision >= GOOD_PRECISION:
        label["quality"] = 1.0
    elif recall < BAD_RECALL:
        label["quality"] = 0.0
    rr = intervals(beats.r, start_s - beats.delay_s, end_s - beats.delay_s)
    if len(rr) == 0 or recall < RHYTHM_RECALL:
        return label
    rmssd = float(np.sqrt(np.mean(np.diff(rr) ** 2)))
    label["hr"] = 60.0 / float(rr.mean())
    label["rmssd"] = 1e3 * rmssd
    label["sdnn"] = 1e3 * float(rr.std(ddof=1))
    relative = rmssd / float(rr.mean())
    if relative > IRREGULAR_ABOVE:
        label["irregular"] = 1.0
    elif relative < REGULAR_BELOW:
        label["irregular"] = 0.0
    return label
