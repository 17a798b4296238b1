"""Cohorts: many recordings cut into windows, each with labels, person and split role.

A window is addressed, not copied: a `Track` keeps the recording's teacher signal (100 Hz, zero-phase) and student
signal (causal, at the student's rate) whole, so that a streaming student can be given the seconds that came before its window.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.resources import SHIPPED
from onwrist.signals.front_end.acceleration import SLOWEST_HZ, acceleration_float
from onwrist.signals.front_end.floating import condition
from onwrist.signals.front_end.student_input import USUAL, StudentInput
from onwrist.signals.people.split import person_of, record_name, role
from onwrist.signals.people.windows import window_starts
from onwrist.signals.pulse.beats import (
    LABELS,
    Beats,
    DeviceIntervals,
    detect_r_peaks,
    device_labels,
    pulse_delay,
    upslopes,
    window_labels,
)
from onwrist.signals.pulse.clean import (
    TEACHER_RATE_HZ,
    clean_ecg,
    fill_gaps,
    min_max,
    resample,
    teacher_input,
)
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Channel, Recording

DATA_VARIABLE = "ONWRIST_DATA"
# No wrist is accelerated more: a sample that a sensor or a file made up.
MOST_G = 32.0
# R-peak to upslope time to which every training record is moved (the encoder must not learn the monitor).
COMMON_DELAY_S = 0.25
# What shipped weights may be trained on; the other sets evaluate and stay out of the repository.
OPEN_SETS = ("cinc2015_125hz", "stress_predict", "welltory")

Progress = Callable[..., Iterable]


def silent(items: Iterable, what: str, *, total: int | None = None) -> Iterable:
    """The progress reporter of a library: none. The command line passes `signals.cli.bar`."""
    return items


def data_root() -> Path:
    """Folder of the larger sets: $ONWRIST_DATA; where that is not set, a folder that holds none."""
    return Path(os.environ.get(DATA_VARIABLE) or "ONWRIST_DATA is not set")


@dataclass
class Track:
    """One recording, prepared.

    Attributes:
        name, person, role: record name, person id, 'train' / 'test' / 'gap'.
        source: data set.
        teacher: float32 (n,), 100 Hz, 0.5-8 Hz zero phase.
        student: float32 (m,), at the rate of `sees`, causal front end.
        ecg: float32 (n,), 100 Hz, cleaned, or None.
        beats: beat times, or None without ECG.
        missing: bool (n,), teacher samples that were interpolated.
        extra: 1 Hz or scalar labels of the file.
        device: the wristband's own intervals, or None.
        path: of the file, resolved, where the recording is somebody's own.
        played: moments (s) of it and of the recording, (k,) each, where it is played otherwise than it was recorded.
        sees: what the student signal is made for.
        acceleration: int8 (m, 3), at the student's rate, through its front end: steps of 1/64 g; None without an accelerometer.
    """

    name: str
    person: str
    role: str
    source: str
    teacher: np.ndarray
    student: np.ndarray
    ecg: np.ndarray | None = None
    beats: Beats | None = None
    missing: np.ndarray | None = None
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    device: DeviceIntervals | None = None
    path: Path | None = None
    played: tuple[np.ndarray, np.ndarray] | None = None
    sees: StudentInput = USUAL
    acceleration: np.ndarray | None = None

    def recorded_at(self, seconds: float) -> float:
        """Where a moment of it lies in the recording, seconds."""
        return float(np.interp(seconds, *self.played)) if self.played else seconds


@dataclass
class Cohort:
    """Windows of many tracks, as long as their student sees.

    Attributes:
        tracks: the recordings.
        at: int32 (n,), track of each window.
        start_s: float64 (n,), start of each window in its recording.
        labels: name -> float32 (n,), NaN where unknown.
        sees: what the student is fed.
    """

    tracks: list[Track]
    at: np.ndarray
    start_s: np.ndarray
    labels: dict[str, np.ndarray]
    sees: StudentInput = USUAL

    def __len__(self) -> int:
        return len(self.at)

    @property
    def people(self) -> np.ndarray:
        """Person of each window."""
        return np.array([self.tracks[i].person for i in self.at])

    @property
    def records(self) -> np.ndarray:
        """Record name of each window."""
        return np.array([self.tracks[i].name for i in self.at])

    @property
    def roles(self) -> np.ndarray:
        """Split role of each window."""
        return np.array([self.tracks[i].role for i in self.at])

    def teacher_windows(self, *, scaled: bool = True) -> np.ndarray:
        """(n, 1000) float32 of 10 s, each window min-max scaled, as xMAE takes it; or band-passed alone, in the recording's
        units."""
        length = round(self.sees.window_s * TEACHER_RATE_HZ)
        out = np.empty((len(self), length), np.float32)
        for row, (i, start) in enumerate(zip(self.at, self.start_s, strict=True)):
            first = round(start * TEACHER_RATE_HZ)
            out[row] = self.tracks[i].teacher[first : first + length]
        return min_max(out) if scaled else out

    def student_windows(self, context: int) -> np.ndarray:
        """(n, context + 250) float32: the window of 10 s at 25 Hz after `context` samples of its past.

        Before the start of a recording the past is the recording mirrored in time, the same rule that
        `mirror_past` applies to an isolated window.
        """
        out = np.empty((len(self), context + self.sees.samples), np.float32)
        for row, i in enumerate(self.at):
            signal = self.tracks[i].student
            out[row] = signal[self._seen(row, context, len(signal))]
        return out

    def _seen(self, row: int, context: int, length: int) -> np.ndarray:
        """Places of a window and its past in a signal of `length` samples at the student's rate."""
        end = round((self.start_s[row] + self.sees.window_s) * self.sees.rate_hz)
        return np.minimum(np.abs(np.arange(end - self.sees.samples - context, end)), length - 1)

    def acceleration_windows(self, context: int) -> np.ndarray:
        """(n, 3, context + samples) int8, steps of 1/64 g: of the same moments as `student_windows`; zeros without an
        accelerometer."""
        out = np.zeros((len(self), 3, context + self.sees.samples), np.int8)
        for row, i in enumerate(self.at):
            signal = self.tracks[i].acceleration
            if signal is not None and len(signal):
                out[row] = signal[self._seen(row, context, len(signal))].T
        return out


def prepare(recording: Recording, name: str | None = None, source: str = "", sees: StudentInput = USUAL) -> Track:
    """Clean, resample and find beats: everything that windows need, once per recording.

    Args:
        sees: what the student is fed.
    """
    name = name or record_name(recording.source)
    ppg, rate = recording.ppg.samples, recording.ppg.rate_hz
    filled = fill_gaps(ppg)
    teacher = teacher_input(filled, rate)
    grid = np.minimum((np.arange(len(teacher)) * rate / TEACHER_RATE_HZ).astype(int), len(ppg) - 1)
    missing = ~np.isfinite(ppg)[grid]
    enough = rate >= sees.rate_hz
    at_least = filled if enough else resample(filled, rate, sees.rate_hz)
    student = condition(at_least, rate if enough else sees.rate_hz, sees.floating)
    ecg = beats = None
    if recording.ecg is not None:
        raw = fill_gaps(recording.ecg.samples)
        ecg = resample(clean_ecg(raw, recording.ecg.rate_hz), recording.ecg.rate_hz, TEACHER_RATE_HZ)[: len(teacher)]
        rise = upslopes(teacher, TEACHER_RATE_HZ)
        if "rpeaks" in recording.labels:
            r = recording.labels["rpeaks"] / recording.ecg.rate_hz
            delay = float(recording.labels.get("delay_s", np.nan))
        else:
            r, delay = detect_r_peaks(raw, recording.ecg.rate_hz), float("nan")
        # A delay belongs to the detector that it was measured with.
        delay = delay if np.isfinite(delay) else pulse_delay(r, rise)
        beats = Beats(r, rise, delay)
        ecg = _upright(ecg, r)
    labels, device = recording.labels, None
    if beats is None and "ibi_t" in labels:
        late = float(labels.get("ibi_t0_unix", 0.0)) - (recording.start_unix or float(labels.get("ibi_t0_unix", 0.0)))
        rise = upslopes(teacher, TEACHER_RATE_HZ)
        device = DeviceIntervals(labels["ibi_t"].astype(np.float64) + late, labels["ibi_s"].astype(np.float64), rise)
    who = (name, person_of(name), role(name), source)
    # Its front end is of the usual rate.
    felt = felt_by(recording, len(student)) if sees.rate_hz == USUAL.rate_hz else None
    return Track(*who, teacher, student, ecg, beats, missing, labels, device, sees=sees, acceleration=felt)


def felt_by(recording: Recording, count: int) -> np.ndarray | None:
    """Acceleration of a recording as `Track.acceleration`, (count, 3): at the moments of its PPG, 0 where there is none.

    None where the recording has no acceleration in g, or a slower one than the front end takes.
    """
    acc = recording.acc
    if acc is None or acc.units != "g" or acc.samples.ndim != 2 or acc.samples.shape[1] != 3:
        return None
    if acc.rate_hz < SLOWEST_HZ:
        return None
    steps = steps_of(without_glitches(acc).samples, acc.rate_hz)
    at = np.arange(count) - round(acc.start_s * USUAL.rate_hz)
    inside = (at >= 0) & (at < len(steps))
    return np.where(inside[:, None], steps[np.clip(at, 0, len(steps) - 1)], 0).astype(np.int8)


def without_glitches(acc: Channel) -> Channel:
    """Acceleration in g with a line through what is missing or more than any wrist is accelerated."""
    there = np.where(np.abs(acc.samples).max(axis=1, keepdims=True) <= MOST_G, acc.samples, np.nan)
    if not np.isfinite(there).any():
        return replace(acc, samples=np.zeros_like(there))
    return replace(acc, samples=np.stack([fill_gaps(axis) for axis in there.T], axis=1))


def steps_of(acceleration_g: np.ndarray, rate_hz: float) -> np.ndarray:
    """Acceleration (n, 3) g through its front end as the watch has it: int8 (m, 3); zeros where samples are missing (NaN)."""
    return np.rint(acceleration_float(acceleration_g, rate_hz)).astype(np.int8)


def _upright(ecg: np.ndarray, r_s: np.ndarray) -> np.ndarray:
    """Turn the ECG so that its R-peaks point up: leads differ between records, the encoder should not care."""
    at = (r_s * TEACHER_RATE_HZ).astype(int)
    at = at[(at > 5) & (at < len(ecg) - 5)]
    if len(at) == 0:
        return ecg
    near = np.stack([ecg[at + d] for d in range(-5, 6)])
    centred = near - np.median(ecg)
    return -ecg if np.median(centred.max(axis=0)) < np.median(-centred.min(axis=0)) else ecg


def cut(tracks: Sequence[Track], hop_s: float | None = None) -> Cohort:
    """Every window of every track (`windows.window_starts`), labelled from the ECG where there is one.

    Args:
        tracks: made for one student. hop_s: from window to window; left out: side by side.
    """
    sees = tracks[0].sees if tracks else USUAL
    window_s = sees.window_s
    hop_s = window_s if hop_s is None else hop_s
    at, starts = [], []
    labels: dict[str, list[float]] = {name: [] for name in LABELS}
    for i, track in enumerate(tracks):
        end = len(track.student) / sees.rate_hz
        for start in window_starts(track.teacher, track.missing, TEACHER_RATE_HZ, window_s, hop_s, end):
            at.append(i)
            starts.append(start)
            found: dict[str, float] = {}
            if track.beats:
                found = window_labels(track.beats, start, start + window_s)
            elif track.device:
                found = device_labels(track.device, start, start + window_s)
            for name in LABELS:
                labels[name].append(found.get(name, np.nan))
    return Cohort(
        list(tracks),
        np.array(at, np.int32),
        np.array(starts),
        {name: np.array(values, np.float32) for name, values in labels.items()},
        sees,
    )


def joined(cohorts: Sequence[Cohort]) -> Cohort:
    """Several cohorts as one, in order."""
    first = np.cumsum([0, *(len(c.tracks) for c in cohorts)])
    return Cohort(
        [t for c in cohorts for t in c.tracks],
        np.concatenate([c.at + at for c, at in zip(cohorts, first[:-1], strict=True)]).astype(np.int32),
        np.concatenate([c.start_s for c in cohorts]),
        {name: np.concatenate([c.labels[name] for c in cohorts]) for name in LABELS},
        cohorts[0].sees if cohorts else USUAL,
    )


def load_tracks(
    source: str, root: Path | None = None, progress: Progress = silent, sees: StudentInput = USUAL
) -> list[Track]:
    """All recordings of one of the shared sets, prepared for what a student sees.

    Raises:
        RecordingError: the set is not there.
    """
    folder = (root or data_root()) / source
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise RecordingError("no recordings", where=folder, cure=f"Set {DATA_VARIABLE} to the folder of the sets")
    return [prepare(read_recording(f), f.stem, source, sees) for f in progress(files, source)]


def shipped_tracks(progress: Progress = silent, sees: StudentInput = USUAL) -> list[Track]:
    """The recordings in `recordings/`: all of people whom no shipped weight has seen."""
    files = sorted(SHIPPED.glob("*.npz"))
    return [prepare(read_recording(f), f.stem, "recordings", sees) for f in progress(files, "recordings")]


def mirror_past(window: np.ndarray, count: int) -> np.ndarray:
    """Put `count` samples of mirrored past before an isolated signal: (n,) to (count + n,)."""
    if count >= len(window):
        window_past = np.resize(np.concatenate([window[1:], window[::-1][1:]]), count)
        return np.concatenate([window_past[::-1], window])
    return np.concatenate([window[1 : count + 1][::-1], window])


def one_hertz(track: Track, name: str, start_s: float, end_s: float) -> np.ndarray:
    """The values of a 1 Hz label inside a window; empty where the track has none."""
    values = track.extra.get(name)
    if values is None:
        return np.zeros(0, np.float32)
    return np.asarray(values, np.float32)[int(start_s) : int(end_s)]
