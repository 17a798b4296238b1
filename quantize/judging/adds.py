"""Does the embedding add anything to intervals? One probe on intervals, one on the embedding, one on both, paired by person."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onwrist.models.bench.probe import fit_predict, fold_rows, interval_features, paired, score
from onwrist.models.bench.tasks import ARRHYTHMIA_FOLDS, RHYTHMS, TASKS, Task, Windows
from onwrist.signals.front_end.counts import PULSE_SHARE, convert
from onwrist.signals.people.cohort import Progress, mirror_past, silent
from onwrist.signals.people.split import person_folds
from onwrist.signals.pulse.clean import TEACHER_RATE_HZ
from onwrist.signals.pulse.onsets import UNITS_HZ, Beat
from onwrist.signals.pulse.stream import find_beats

INTERVALS, BEATS, EMBEDDING = "intervals by hand", "the watch's beats", "embedding"
WITH_EMBEDDING = "{} and embedding"
# An isolated window has no past: it is mirrored, far enough for the front end and the usual interval to settle.
PAST_S = 20.0
BITS = 16
# Of one patient and rhythm, so that the patient with the longest recording is not the result.
MOST_PER_RHYTHM = 40


def rhythm_tasks() -> list[Task]:
    """The rhythm questions of the bench that cardiologists have answered."""
    return [t for t in TASKS if t.data == "ppg_arrhythmia"]


def chosen_rows(windows: Windows, seed: int = 0) -> np.ndarray:
    """Up to `MOST_PER_RHYTHM` windows of each person and rhythm, sorted."""
    rng = np.random.default_rng(seed)
    rows = [
        rng.permutation(np.flatnonzero((windows.person == person) & (windows.labels[rhythm] == 1)))[:MOST_PER_RHYTHM]
        for person in np.unique(windows.person)
        for rhythm in RHYTHMS
    ]
    return np.sort(np.concatenate(rows))


def beat_features(windows: np.ndarray, progress: Progress = silent) -> np.ndarray:
    """What the watch's own beats say of 100 Hz windows (n, 1000) in -1 ... 1: (n, 10), zeros where there are too few.

    Rate, SDNN, RMSSD, their ratios to the mean, shortest and longest to the median, lag-1 correlation of differences, mean
    and least confidence.
    """
    past = int(PAST_S * TEACHER_RATE_HZ)
    # Peak to peak, twice the share of the range that a count wave has between quantiles.
    gain = PULSE_SHARE * (2**BITS - 1)
    found = np.zeros((len(windows), 10), np.float32)
    for i in progress(range(len(windows)), "beats"):
        counts = convert(2 ** (BITS - 1) + gain * mirror_past(windows[i], past), BITS)
        late = past / TEACHER_RATE_HZ * UNITS_HZ
        beats = [b for b in find_beats(counts, TEACHER_RATE_HZ, BITS) if b.time >= late and b.interval]
        # The first interval reaches into the mirror.
        found[i] = _of_beats(beats[1:])
    return found


def _of_beats(beats: list[Beat]) -> np.ndarray:
    if len(beats) < 3:
        return np.zeros(10)
    ii = np.array([b.interval for b in beats]) / UNITS_HZ
    sure = np.array([b.confidence for b in beats])
    mean, d, median = ii.mean(), np.diff(ii), np.median(ii)
    rmssd = np.sqrt(np.mean(d**2))
    turn = float(np.sum(d[1:] * d[:-1]) / (np.sum(d**2) + 1e-9))
    return np.array(
        [60 / mean, ii.std(), rmssd, ii.std() / mean, rmssd / mean, ii.min() / median, ii.max() / median, turn, sure.mean(), sure.min()]
    )  # fmt: skip


def predictions(
    task: Task, windows: Windows, few: dict[str, np.ndarray], embedding: np.ndarray
) -> dict[str, np.ndarray]:
    """Probe name -> predictions (n,) for every labelled window by a probe that has not seen its person, NaN elsewhere.

    Few features (n, 10) get a forest, the embedding (n, d) the bench's logistic. Both together: the forest also gets the
    logistic's score, for the windows that it is fitted on from people that the logistic was not fitted on.
    """
    y = windows.labels[task.label]
    names = [*few, EMBEDDING, *(WITH_EMBEDDING.format(n) for n in few)]
    found = {name: np.full(len(y), np.nan) for name in names}
    known = np.isfinite(y)
    for test in fold_rows(task, windows):
        rest = known.copy()
        rest[test] = False
        train = np.flatnonzero(rest)
        if len(np.unique(y[train])) < 2:
            continue
        said = fit_predict(task.kind, embedding[train], y[train], embedding[test])
        inner = np.zeros(len(train))
        for part in person_folds(windows.group[train], ARRHYTHMIA_FOLDS - 1):
            others = np.setdiff1d(np.arange(len(train)), part)
            if len(np.unique(y[train[others]])) > 1:
                inner[part] = fit_predict(task.kind, embedding[train[others]], y[train[others]], embedding[train[part]])
        found[EMBEDDING][test] = said
        for name, x in few.items():
            found[name][test] = fit_predict(task.kind, x[train], y[train], x[test], forest=True)
            both = np.column_stack([x[train], inner]), np.column_stack([x[test], said])
            found[WITH_EMBEDDING.format(name)][test] = fit_predict(task.kind, both[0], y[train], both[1], forest=True)
    return found


def compare(windows: Windows, embed: Callable[[np.ndarray], np.ndarray], progress: Progress = silent) -> list[dict]:
    """A row per question: AUROC of each probe, and what the embedding adds, with its interval over people.

    Args:
        windows: with student input. embed: student input (n, window) to embedding (n, d).
    """
    few = {INTERVALS: interval_features(windows.teacher), BEATS: beat_features(windows.teacher, progress)}
    embedding = embed(windows.causal)
    rows = []
    for task in progress(rhythm_tasks(), "probe"):
        said = predictions(task, windows, few, embedding)
        done = np.isfinite(said[EMBEDDING])
        truth, person = windows.labels[task.label][done], windows.person[done]
        row: dict = {"task": task.name, "windows": int(done.sum()), "people": len(np.unique(person))}
        row["auroc"] = {name: score(task.kind, truth, p[done]) for name, p in said.items()}
        row["embedding_adds"] = {
            name: paired(task.kind, truth, said[WITH_EMBEDDING.format(name)][done], said[name][done], person)
            for name in few
        }
        rows.append(row)
    return rows
