"""Questions to an encoder, and the labelled windows of the open sets that answer them.

The two ways of splitting: `folds` (every person once in the test) where the encoders have seen nobody of the set,
`held_out` (fitted on training people, tested on people no weight has seen) where they have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ, condition
from onwrist.signals.people.cohort import Cohort, Progress, cut, data_root, load_tracks, mirror_past, one_hertz, silent
from onwrist.signals.people.split import group_of
from onwrist.signals.pulse.clean import TEACHER_RATE_HZ, WINDOW_S, clean_ppg, min_max

RHYTHMS = ("SR", "PVC", "PAC", "VT", "SVT", "AF")
STRESS_SHARE = (0.0, 1.0)  # a window counts when all its seconds agree
ARRHYTHMIA_FOLDS = 7
# Office threshold of the European guidelines (ESC/ESH 2018).
HYPERTENSION_MMHG = 140.0


@dataclass
class Windows:
    """Windows of one set with everything that any encoder may want.

    Attributes:
        teacher: (n, 1000) min-max windows.
        student: (n, window) causal student input, or None.
        person: (n,) person ids; group: (n,) fold units.
        fit: (n,) bool, windows that a `held_out` probe is fitted on.
        labels: name -> (n,) float, NaN unknown.
    """

    teacher: np.ndarray
    person: np.ndarray
    group: np.ndarray
    fit: np.ndarray
    labels: dict[str, np.ndarray]
    student: np.ndarray | None = None

    @property
    def causal(self) -> np.ndarray:
        """(n, window) what a student takes.

        Raises:
            ConfigError: the windows were made without a student's context.
        """
        if self.student is None:
            raise ConfigError("windows without a student's past", field="context", cure="Load them with a context")
        return self.student


@dataclass(frozen=True)
class Task:
    """One question to an encoder."""

    name: str
    data: str
    label: str
    kind: str
    """auroc (binary), or value (mean absolute error and R2)."""
    split: str
    """folds or held_out."""
    folds: int = 5


TASKS = (
    *(Task(f"rhythm {r}", "ppg_arrhythmia", r, "auroc", "folds", ARRHYTHMIA_FOLDS) for r in RHYTHMS),
    Task("PVC against sinus", "ppg_arrhythmia", "pvc_sr", "auroc", "folds", ARRHYTHMIA_FOLDS),
    Task("ectopic against sinus", "ppg_arrhythmia", "ectopic_sr", "auroc", "folds", ARRHYTHMIA_FOLDS),
    Task("AF against sinus", "ppg_arrhythmia", "af_sr", "auroc", "folds", ARRHYTHMIA_FOLDS),
    Task("irregular pulse", "icu", "irregular", "auroc", "held_out"),
    Task("signal quality", "icu", "quality", "auroc", "held_out"),
    Task("heart rate (BPM)", "icu", "hr", "value", "held_out"),
    Task("RMSSD (log ms)", "icu", "log_rmssd", "value", "held_out"),
    Task("SDNN (log ms)", "icu", "log_sdnn", "value", "held_out"),
    Task("respiration (1/min)", "bidmc", "resp", "value", "folds"),
    Task("SpO2 (%)", "bidmc", "spo2", "value", "folds"),
    Task("stress", "stress_predict", "stress", "auroc", "folds"),
)
# Only 36 held-out people have an arterial line, all of them critically ill: it exercises the task, it proves nothing.
HYPERTENSION = Task("hypertension", "icu", "hypertension", "auroc", "held_out", 3)


def load_windows(name: str, root: Path | None = None, context: int = 0, progress: Progress = silent) -> Windows:
    """Windows of 'ppg_arrhythmia', 'icu' (Challenge 2015 and BIDMC), 'bidmc' or 'stress_predict'.

    Args:
        context: student samples before the 10 s; 0 leaves the student input out.
    """
    if name == "ppg_arrhythmia":
        return _arrhythmia(root or data_root(), context)
    sets = {"icu": ("cinc2015_125hz", "bidmc")}.get(name, (name,))
    tracks = [t for s in sets for t in load_tracks(s, root, progress)]
    return windows_of(cut([t for t in tracks if t.role != "gap"]), context)


def windows_of(cohort: Cohort, context: int = 0) -> Windows:
    """A cohort as probe windows, with the file's 1 Hz labels beside the ECG's."""
    labels = dict(cohort.labels)
    labels["log_rmssd"] = np.log(np.maximum(labels["rmssd"], 4.0))
    labels["log_sdnn"] = np.log(np.maximum(labels["sdnn"], 4.0))
    labels["hypertension"] = _hypertension(cohort)
    for name, source in (("resp", "num_resp_1hz"), ("spo2", "num_spo2_1hz"), ("stress", "label_1hz")):
        labels[name] = np.full(len(cohort), np.nan, np.float32)
        for i, (at, start) in enumerate(zip(cohort.at, cohort.start_s, strict=True)):
            values = one_hertz(cohort.tracks[at], source, start, start + WINDOW_S)
            values = values[np.isfinite(values)]
            if name == "stress":
                values = values if len(values) and values.mean() in STRESS_SHARE else values[:0]
            elif len(values):
                values = values[values > 0]
            if len(values):
                labels[name][i] = np.median(values)
    records = cohort.records
    return Windows(
        cohort.teacher_windows(),
        cohort.people,
        np.array([group_of(r) for r in records]),
        cohort.roles == "train",
        labels,
        cohort.student_windows(context) if context else None,
    )


def _hypertension(cohort: Cohort) -> np.ndarray:
    """1 where the arterial line's systolic pressure of a window is at least 140 mmHg, NaN without a line."""
    out = np.full(len(cohort), np.nan, np.float32)
    for i, (at, start) in enumerate(zip(cohort.at, cohort.start_s, strict=True)):
        pressure = cohort.tracks[at].extra.get("seg10_sbp")
        if pressure is not None and start % WINDOW_S == 0 and int(start // WINDOW_S) < len(pressure):
            value = float(pressure[int(start // WINDOW_S)])
            out[i] = np.nan if np.isnan(value) else float(value >= HYPERTENSION_MMHG)
    return out


def _arrhythmia(root: Path, context: int) -> Windows:
    files = sorted((root / "ppg_arrhythmia").glob("*.npz"))
    if not files:
        raise ConfigError("not there", where=root / "ppg_arrhythmia", cure="Set ONWRIST_DATA")
    waves, kinds, people = [], [], []
    for file in files:
        with np.load(file, allow_pickle=False) as data:
            waves.append(data["ppg"].astype(np.float32))
            kinds.append(data["labels"])
            people += [str(data["subject"])] * len(data["labels"])
    wave, kind = np.concatenate(waves), np.concatenate(kinds)
    cleaned = clean_ppg(wave, TEACHER_RATE_HZ)
    labels = {r: (kind == i).astype(np.float32) for i, r in enumerate(RHYTHMS)}
    for name, positive in (("pvc_sr", (1,)), ("ectopic_sr", (1, 2)), ("af_sr", (5,))):
        labels[name] = np.where(np.isin(kind, positive), 1.0, np.where(kind == 0, 0.0, np.nan))
    student = None
    if context:
        # An isolated 10 s has no past: it is mirrored, far enough for the front end to settle too.
        past = int((context / STUDENT_RATE_HZ + 8.0) * TEACHER_RATE_HZ)
        need = context + int(WINDOW_S * STUDENT_RATE_HZ)
        student = np.stack([condition(mirror_past(w, past), TEACHER_RATE_HZ)[-need:] for w in wave])
    person = np.array(people)
    return Windows(min_max(cleaned), person, person, np.zeros(len(wave), bool), labels, student)
