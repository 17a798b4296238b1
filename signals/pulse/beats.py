"""Beats: R-peaks of the ECG, upslopes of the PPG, and the window labels that follow from them.

Every label that a shipped head is trained on comes from here: from the ECG of the open sets, and on wrists without
one from the intervals that the wristband itself was sure of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

# Beat intervals outside this range are detector faults or asystole, not rhythm.
MIN_RR_S, MAX_RR_S = 0.24, 2.5
# A beat needs at least this many intervals beside it before variability means anything.
MIN_INTERVALS = 4
# Two detectors agree on a beat within this time (half the width of an upslope), and in fast pulses within this share
# of the beat: at 200/min 0.12 s either way would agree with two thirds of anything.
MATCH_S, MATCH_SHARE = 0.12, 0.2
# Irregular: RMSSD above 12 % of the mean interval (AF and frequent ectopy lie above 0.1-0.15 in the
# literature); regular: below 7 %. Between the two lies respiratory arrhythmia, which gets no label.
IRREGULAR_ABOVE, REGULAR_BELOW = 0.12, 0.07
# A window is good when its pulses are the ECG's: hardly one comes from nowhere (precision), and most beats have one
# (recall; a beat too weak or too early to be felt at the finger is a sign of the heart, not of a bad signal). It is bad
# when half of its pulses are explained by no beat. How irregular the beats are plays no part.
GOOD_RECALL, GOOD_PRECISION, BAD_PRECISION = 0.6, 0.8, 0.5
# A wristband's own intervals are a reference where they fill DEVICE_COVER of a window (DEVICE_CALM for variability), and
# the pulses found agree with them when their mean intervals differ by less than DEVICE_AGREES. Half of the pulse
# intervals straying by more than STRAY from their median, where the band gave none at all, is noise.
DEVICE_COVER, DEVICE_CALM, DEVICE_AGREES, STRAY = 0.4, 0.85, 0.05, 0.25
# Times from R-peak to pulse are counted in steps of this, s.
DELAY_BIN_S = 0.02
# Rhythm is only labelled where the pulse follows the ECG at all.
RHYTHM_RECALL = 0.6
# An even pulse that the ECG's beats do not count is an ECG with missed beats, and says nothing about rate or rhythm.
BOTH_AGREE = 0.08

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


@dataclass(frozen=True)
class DeviceIntervals:
    """Beat-to-beat intervals that a wristband gave, where it was sure of them.

    Attributes:
        at: time of the beat that ends the interval, seconds from the recording's start.
        rr: the interval, seconds.
        upslope: times of steepest rise in the PPG.
    """

    at: np.ndarray
    rr: np.ndarray
    upslope: np.ndarray


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


def pulse_delay(r: np.ndarray, rise: np.ndarray, between_s: tuple[float, float] = (0.0, 1.0)) -> float:
    """Median time from an R-peak to the upslope that follows it, around the most frequent such time; NaN if none."""
    low, high = between_s
    lags = np.concatenate([np.zeros(0), *(rise[(rise > t + low) & (rise < t + high)] - t for t in r)])
    if len(lags) == 0:
        return float("nan")
    counts, edges = np.histogram(lags, bins=np.arange(low, high + DELAY_BIN_S, DELAY_BIN_S))
    mode = edges[int(np.argmax(np.convolve(counts, np.ones(5), mode="same")))] + DELAY_BIN_S / 2
    return float(np.median(lags[np.abs(lags - mode) < 5 * DELAY_BIN_S]))


def agreement(beats: Beats, start_s: float, end_s: float) -> tuple[float, float]:
    """(recall, precision) of PPG pulses against R-peaks shifted by the record's delay, within a window."""
    expected = beats.r + beats.delay_s
    expected = expected[(expected >= start_s + MATCH_S) & (expected < end_s - MATCH_S)]
    seen = beats.upslope[(beats.upslope >= start_s) & (beats.upslope < end_s)]
    if len(expected) == 0 or len(seen) == 0:
        return 0.0, 0.0
    distance = np.abs(expected[:, None] - seen[None, :])
    near = min(MATCH_S, MATCH_SHARE * float(np.median(np.diff(expected)))) if len(expected) > 1 else MATCH_S
    inner = (seen >= start_s + 2 * MATCH_S) & (seen < end_s - 2 * MATCH_S)
    precision = float(np.mean(distance.min(axis=0)[inner] < near)) if inner.any() else 0.0
    return float(np.mean(distance.min(axis=1) < near)), precision


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
    elif precision < BAD_PRECISION:
        label["quality"] = 0.0
    rr = intervals(beats.r, start_s - beats.delay_s, end_s - beats.delay_s)
    if len(rr) == 0 or recall < RHYTHM_RECALL or precision < BAD_PRECISION:
        return label
    found = np.diff(beats.upslope[(beats.upslope >= start_s) & (beats.upslope < end_s)])
    calm = len(found) >= MIN_INTERVALS and relative_rmssd(found) < REGULAR_BELOW
    if calm and abs(float(rr.mean()) / float(found.mean()) - 1) > BOTH_AGREE:
        return label
    label["hr"] = 60.0 / float(rr.mean())
    _variability(label, rr)
    if calm and label["irregular"] == 1.0:
        label["irregular"] = float("nan")
    return label


def device_labels(device: DeviceIntervals, start_s: float, end_s: float) -> dict[str, float]:
    """Labels of a window from the wristband's own intervals; NaN where there is none.

    Good and a heart rate where the band's intervals fill the window and the pulses found have the same mean; bad where
    the band gave none and the pulses found follow no pace either.
    """
    label = dict.fromkeys(LABELS, float("nan"))
    inside = (device.at > start_s) & (device.at <= end_s)
    rr = device.rr[inside]
    seen = device.upslope[(device.upslope >= start_s) & (device.upslope < end_s)]
    found = np.diff(seen)
    if len(rr) == 0:
        if len(found) < MIN_INTERVALS or np.mean(np.abs(found / np.median(found) - 1) > STRAY) > 0.5:
            label["quality"] = 0.0
        return label
    if rr.sum() < DEVICE_COVER * (end_s - start_s) or len(found) < MIN_INTERVALS:
        return label
    label["hr"] = 60.0 / float(rr.mean())
    if abs(float(found.mean()) / float(rr.mean()) - 1) < DEVICE_AGREES:
        label["quality"] = 1.0
    if len(rr) >= MIN_INTERVALS and rr.sum() > DEVICE_CALM * (end_s - start_s):
        _variability(label, rr)
        # The band leaves out what it does not trust, beats before and after an ectopic among it: calm can be read
        # from its intervals, irregular cannot.
        label["irregular"] = 0.0 if label["irregular"] == 0.0 else float("nan")
    return label


def relative_rmssd(rr: np.ndarray) -> float:
    """RMSSD of intervals (s) as a share of their mean."""
    return float(np.sqrt(np.mean(np.diff(rr) ** 2))) / float(rr.mean())


def _variability(label: dict[str, float], rr: np.ndarray) -> None:
    relative = relative_rmssd(rr)
    label["rmssd"] = 1e3 * relative * float(rr.mean())
    label["sdnn"] = 1e3 * float(rr.std(ddof=1))
    if relative > IRREGULAR_ABOVE:
        label["irregular"] = 1.0
    elif relative < REGULAR_BELOW:
        label["irregular"] = 0.0
