"""The heart's own beats, where an ECG is sure of them: R-peaks that two of three detectors agree on, half a minute at a time.

What beats at the wrist are judged by. One detector alone counts T-waves in some leads and misses beats in others; none of
the three is told what the pulse says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt

from onwrist.signals.pulse.beats import (
    IRREGULAR_ABOVE,
    MAX_RR_S,
    MIN_RR_S,
    REGULAR_BELOW,
    detect_r_peaks,
    relative_rmssd,
)
from onwrist.signals.pulse.clean import clean_ecg, fill_gaps, resample
from onwrist.signals.recordings.recording import Channel, Recording

STRETCH_S = 30.0
# Two detectors mean the same beat within this, and agree on a stretch when hardly a beat is one's alone.
SAME_S, SAME_SHARE = 0.04, 0.97
# Near a stretch's ends a beat may lie beyond the other's.
EDGE_S = 0.2
FEWEST_BEATS = 12
MOST_MISSING = 0.01
# R-peaks are put back onto the highest point of the ECG this near, on a grid four times finer.
NEAR_S, FINER = 0.06, 4
# How far a complex is moved to lie on the median one, and the least correlation at which it is one of its kind.
SHIFT_S, SAME_SHAPE = 0.03, 0.8
# GQRS and XQRS refuse less than this.
LEAST_RATE_HZ = 100.0
# GQRS counts T-waves where the ECG is not about as large as in mV.
GQRS_SPREAD = 1.0
# QRS complexes against T-waves: their energy in this band, over a tenth of a second, against the local highest.
QRS_BAND_HZ, QRS_S, QRS_SHARE, LOCAL_S = (8.0, 25.0), 0.1, 0.35, 2.5
# Uneven, and yet most intervals within 8 % of the median: beats out of turn on an even rhythm. Else no rhythm is left,
# as in fibrillation.
IN_TURN, MOST = 0.08, 0.5
RHYTHMS = ("even", "between", "ectopy", "irregular")


@dataclass(frozen=True)
class Stretch:
    """Half a minute whose heartbeats are known.

    Attributes:
        start_s: in the recording. r: R-peaks, s from the recording's start. rhythm: one of RHYTHMS, by the ECG alone.
    """

    start_s: float
    r: np.ndarray
    rhythm: str


def sure_stretches(recording: Recording) -> list[Stretch]:
    """The half minutes of a recording in which two of three readings of its ECG agree, and the PPG has its samples."""
    if recording.ecg is None:
        return []
    first, *others = _readings(recording.ecg, recording.labels.get("rpeaks"))
    pairs = [(first, others[1]), (others[1], others[0]), (first, others[0])]
    ppg, rate = recording.ppg.samples, recording.ppg.rate_hz
    found = []
    for start in np.arange(0, min(recording.seconds, recording.ecg.seconds) - STRETCH_S + 1e-9, STRETCH_S):
        part = ppg[int(start * rate) : int((start + STRETCH_S) * rate)]
        if np.mean(~np.isfinite(part)) > MOST_MISSING:
            continue
        agreed = next((a for a, b in pairs if _agree(_inside(a, start), _inside(b, start), start)), None)
        if agreed is None:
            continue
        r = _inside(agreed, start)
        intervals = np.diff(r)
        if intervals.min() >= MIN_RR_S and intervals.max() <= MAX_RR_S:
            found.append(Stretch(float(start), r, rhythm_of(intervals)))
    return found


def rhythm_of(intervals: np.ndarray) -> str:
    """What kind of rhythm RR intervals (s) are: one of RHYTHMS."""
    relative = relative_rmssd(intervals)
    if relative < REGULAR_BELOW:
        return "even"
    if relative <= IRREGULAR_ABOVE:
        return "between"
    in_turn = float(np.mean(np.abs(intervals / np.median(intervals) - 1) < IN_TURN))
    return "ectopy" if in_turn >= MOST else "irregular"


def qrs_energy(ecg: np.ndarray, rate_hz: float) -> np.ndarray:
    """R-peak times (s) by the energy of the QRS band: what stands out both of the last seconds' mean and beside their
    highest."""
    band = (QRS_BAND_HZ[0], min(QRS_BAND_HZ[1], 0.45 * rate_hz))
    sos = butter(2, band, "bandpass", fs=rate_hz, output="sos")
    width, local = max(1, int(QRS_S * rate_hz)), int(LOCAL_S * rate_hz)
    energy = np.convolve(np.abs(sosfiltfilt(sos, ecg)), np.ones(width) / width, "same")
    mean = np.convolve(energy, np.ones(local) / local, "same")
    peaks, _ = find_peaks(energy, distance=max(1, int(MIN_RR_S * rate_hz)))
    if len(peaks) == 0:
        return np.zeros(0)
    # An artefact must not hide the beats beside it.
    tall = energy[peaks][energy[peaks] >= np.median(energy[peaks])]
    highest = np.minimum(maximum_filter1d(energy, local), 3 * np.median(tall))
    return peaks[(energy[peaks] > QRS_SHARE * highest[peaks]) & (energy[peaks] > mean[peaks])] / rate_hz


def _readings(ecg: Channel, given: np.ndarray | None) -> list[np.ndarray]:
    """Three readings: the set's own R-peaks or GQRS, XQRS, energy; each put back onto the ECG's peaks."""
    from wfdb.processing import xqrs_detect

    raw, rate = fill_gaps(ecg.samples).astype(np.float64), ecg.rate_hz
    if rate < LEAST_RATE_HZ:
        raw, rate = resample(raw, rate, 4 * rate).astype(np.float64), 4 * rate
    low, high = np.percentile(raw, (1, 99))
    if high <= low:
        return [np.zeros(0)] * 3
    first = (
        np.asarray(given) / ecg.rate_hz
        if given is not None
        else detect_r_peaks((raw - low) / (high - low) * GQRS_SPREAD, rate)
    )
    readings = [
        first,
        np.asarray(xqrs_detect(sig=raw, fs=rate, verbose=False), np.float64) / rate,
        qrs_energy(raw, rate),
    ]
    wave, fine = _upright(resample(clean_ecg(raw, rate), rate, FINER * rate), readings[0], FINER * rate), FINER * rate
    return [_refined(wave, fine, r) for r in readings]


def _near(wave: np.ndarray, rate_hz: float, r: np.ndarray) -> list[tuple[int, int]]:
    half = int(NEAR_S * rate_hz)
    at = np.rint(r * rate_hz).astype(int)
    return [
        (max(1, a - half), min(len(wave) - 1, a + half + 1)) for a in at if a + half > 1 and a - half < len(wave) - 2
    ]


def _upright(wave: np.ndarray, r: np.ndarray, rate_hz: float) -> np.ndarray:
    middle = np.median(wave)
    parts = [wave[a:b] - middle for a, b in _near(wave, rate_hz, r)]
    down = bool(parts) and np.median([p.max() for p in parts]) < np.median([-p.min() for p in parts])
    return -wave if down else wave


def _refined(wave: np.ndarray, rate_hz: float, r: np.ndarray) -> np.ndarray:
    """Times (s) on the highest point near each, then where each complex lies best on the median one: a QRS with two peaks
    would else jump from one to the other."""
    at = np.unique([a + int(np.argmax(wave[a:b])) for a, b in _near(wave, rate_hz, r)]).astype(int)
    half, reach = int(NEAR_S * rate_hz), int(SHIFT_S * rate_hz)
    at = at[(at >= half + reach) & (at < len(wave) - half - reach)]
    if len(at) < FEWEST_BEATS:
        return at / rate_hz
    around = np.arange(-half, half + 1)
    typical = np.median(_centred(wave[at[:, None] + around]), axis=0)
    shifts = np.arange(-reach, reach + 1)
    fits = np.stack([_centred(wave[at[:, None] + around + shift]) @ typical for shift in shifts], axis=1)
    best = fits.argmax(axis=1)
    like = fits[np.arange(len(at)), best] / max(float(np.linalg.norm(typical)), 1e-12)
    inner = np.clip(best, 1, len(shifts) - 2)
    rows = np.arange(len(at))
    left, middle, right = (fits[rows, inner + d] for d in (-1, 0, 1))
    bend = 2 * middle - left - right
    off = np.where(bend > 0, 0.5 * (right - left) / np.where(bend > 0, bend, 1.0), 0.0)
    moved = shifts[inner] + np.clip(off, -0.5, 0.5)
    # A beat of another shape stays on its own peak.
    same = (like > SAME_SHAPE) & (best == inner)
    return (at + np.where(same, moved, 0.0)) / rate_hz


def _centred(parts: np.ndarray) -> np.ndarray:
    """Rows (n, m) less their means, each of length 1."""
    parts = parts - parts.mean(axis=1, keepdims=True)
    return parts / np.maximum(np.linalg.norm(parts, axis=1, keepdims=True), 1e-12)


def _inside(r: np.ndarray, start: float) -> np.ndarray:
    return r[(r >= start) & (r < start + STRETCH_S)]


def _agree(a: np.ndarray, b: np.ndarray, start: float) -> bool:
    if min(len(a), len(b)) < FEWEST_BEATS:
        return False
    apart = np.abs(a[:, None] - b[None, :])
    for near, times in ((apart.min(axis=1), a), (apart.min(axis=0), b)):
        inner = (times > start + EDGE_S) & (times < start + STRETCH_S - EDGE_S)
        if not inner.any() or np.mean(near[inner] < SAME_S) < SAME_SHARE:
            return False
    return True
