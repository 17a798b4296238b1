"""What the heart really did, as far as the recording knows: its own labels, else ECG, device intervals, HR.csv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from onwrist.errors import RecordingError
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.signals.pulse.beats import MIN_INTERVALS, detect_r_peaks, intervals
from onwrist.signals.pulse.clean import WINDOW_S, fill_gaps
from onwrist.signals.recordings.recording import Recording

# A wristband gives intervals where it was sure of them; they are a reference where they fill this share of the 10 s.
IBI_COVER = 0.4
# The E4's HR.csv follows its own IBI.csv by 25 to 35 s (smallest difference, nine people of Stress-Predict), and even
# then differs by 3 BPM in the median person.
HR_LAG_S = 30.0
# A label is asked for the 10 s whose middle lies no further than this from that of its own window.
LABEL_REACH_S = 2.5


@dataclass(frozen=True)
class Reference:
    """Heart rate of the last 10 s at each time.

    Attributes:
        bpm: (n,) NaN where it is not known.
        name: for people; empty without any.
        kind: how far it can be trusted: 'labels' (of whoever made the set), 'ECG' and 'IBI' can fail a student, 'HR' only
            warn.
    """

    bpm: np.ndarray
    name: str
    kind: Literal["labels", "ECG", "IBI", "HR", ""]


def reference_rate(recording: Recording, time_s: np.ndarray, answers: Answers = SHIPPED_ANSWERS) -> Reference:
    """The best reference that a recording has.

    Args:
        time_s: (n,) seconds from the recording's start at which the 10 s end.
        answers: of the student; where none is a heart rate there is nothing to hold against a reference.
    """
    if answers.rate is None:
        return Reference(np.full(len(time_s), np.nan), "", "")
    labels = recording.labels
    start = recording.start_unix or 0.0
    if "bpm_ref" in labels:
        # Whoever made the set has looked at its ECG; on a treadmill a detector of ours finds steps in it.
        first, last = label_windows(labels, recording.source)
        bpm = _from_windows(first, last, np.atleast_1d(labels["bpm_ref"]), np.asarray(time_s, np.float64))
        return Reference(bpm, f"the set's own labels of {float(np.median(last - first)):g} s", "labels")
    if recording.ecg is not None:
        found = labels.get("rpeaks")
        if found is not None:
            r = np.asarray(found) / recording.ecg.rate_hz
        else:
            r = detect_r_peaks(fill_gaps(recording.ecg.samples), recording.ecg.rate_hz)
        r = np.sort(r + recording.ecg.start_s)
        bpm = np.array([_rate_between(r, t - WINDOW_S, t) for t in time_s])
        return Reference(bpm, "ECG", "ECG")
    if {"ibi_t", "ibi_s"} <= set(labels) and len(np.atleast_1d(labels["ibi_t"])):
        at = np.asarray(labels["ibi_t"], np.float64) + float(labels.get("ibi_t0_unix", start)) - start
        return Reference(
            _from_intervals(at, np.asarray(labels["ibi_s"], np.float64), time_s), "the device's IBI.csv", "IBI"
        )
    if "hr_e4" in labels:
        hr = np.asarray(labels["hr_e4"], np.float64)
        index = np.round(time_s + HR_LAG_S - (float(labels.get("hr_t0_unix", start)) - start)).astype(int)
        bpm = np.full(len(time_s), np.nan)
        inside = (index >= 0) & (index < len(hr))
        bpm[inside] = hr[index[inside]]
        return Reference(
            bpm, f"the device's HR.csv, moved back by its lag of {HR_LAG_S:g} s; itself some 3 BPM off", "HR"
        )
    return Reference(np.full(len(time_s), np.nan), "", "")


def label_windows(labels: dict[str, np.ndarray], source: str) -> tuple[np.ndarray, np.ndarray]:
    """First and last second (n,) of the windows that `bpm_ref` (n,) labels.

    They stand in `bpm_start_s` and `bpm_end_s`, or follow from `bpm_win_s` and `bpm_step_s` (the first begins with the
    recording).

    Raises:
        RecordingError: neither is there, or not one for each label.
    """
    count = len(np.atleast_1d(labels["bpm_ref"]))
    first: np.ndarray
    last: np.ndarray
    if {"bpm_start_s", "bpm_end_s"} <= set(labels):
        first, last = (np.atleast_1d(np.asarray(labels[k], np.float64)) for k in ("bpm_start_s", "bpm_end_s"))
    elif {"bpm_win_s", "bpm_step_s"} <= set(labels):
        first = np.arange(count) * float(labels["bpm_step_s"])
        last = first + float(labels["bpm_win_s"])
    else:
        raise RecordingError(
            "labels without their times", where=source, field="bpm_ref",
            cure="Store bpm_start_s and bpm_end_s beside it, or bpm_win_s and bpm_step_s",
        )  # fmt: skip
    if not len(first) == len(last) == count:
        raise RecordingError(
            f"{count} labels, {len(first)} starts and {len(last)} ends", where=source, field="bpm_ref",
            cure="Store a start and an end for each label",
        )  # fmt: skip
    return first, last


def _from_windows(first: np.ndarray, last: np.ndarray, bpm: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Labels of windows at the middle of the 10 s that end at each time; NaN where no window's middle is near."""
    middle, at = (first + last) / 2, time_s - WINDOW_S / 2
    order = np.argsort(middle, kind="stable")[: np.count_nonzero(np.isfinite(middle))]
    middle, bpm = middle[order], np.asarray(bpm, np.float64)[order]
    beside = np.concatenate([[-np.inf], middle, [np.inf]])
    after = np.searchsorted(beside, at)
    near = np.minimum(np.abs(at - beside[after - 1]), np.abs(beside[after] - at)) <= LABEL_REACH_S
    inside = near & (at >= middle[:1].min(initial=np.inf)) & (at <= middle[-1:].max(initial=-np.inf))
    return np.where(inside, np.interp(at, middle, bpm) if len(middle) else np.nan, np.nan)


def _rate_between(r: np.ndarray, start_s: float, end_s: float) -> float:
    """Mean rate of R-peaks (s, in order) of a stretch, NaN where too few are there."""
    first, last = np.searchsorted(r, (start_s, end_s))
    rr = intervals(r[first:last], start_s, end_s)
    return 60.0 / float(rr.mean()) if len(rr) >= MIN_INTERVALS else np.nan


def _from_intervals(at: np.ndarray, seconds: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Rate from intervals (s) that end at times `at` (s), where they fill enough of the 10 s before each time."""
    total = np.concatenate([[0.0], np.cumsum(seconds)])
    first, last = (np.searchsorted(at, t, side="right") for t in (np.asarray(time_s) - WINDOW_S, time_s))
    filled, count = total[last] - total[first], last - first
    enough = (filled >= IBI_COVER * WINDOW_S) & (count >= MIN_INTERVALS)
    return np.where(enough, 60.0 * count / np.where(filled > 0, filled, 1.0), np.nan)
