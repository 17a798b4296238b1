"""What a student is asked: each answer with where its labels come from and how much it counts.

A label comes from the ECG or the wristband's intervals (a built-in), from what the recording's own file says second by
second (`recording:NAME`), or from a table of somebody's own (person, recording, start, label: `models.bench.labels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.models.bench.labels import MISSING, read_rows
from onwrist.models.student.graph import Framing
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answer, Answers
from onwrist.signals.people.cohort import Cohort, Track, one_hertz
from onwrist.signals.pulse.clean import WINDOW_S

# Answers that the R-peaks give, by the name that a spec uses -> that of the label.
BUILT_IN = {"heart_rate": "hr", "quality": "quality", "irregular": "irregular", "rmssd": "rmssd", "sdnn": "sdnn"}
IN_RECORDING = "recording:"
YES, NO = ("1", "1.0", "yes", "true", "y"), ("0", "0.0", "no", "false", "n")
# A window of which less is labelled has no label.
LEAST_LABELLED = 0.5
# A yes, a no or a class is few labels of few people: at weight 1 a student learns the people by heart (AUROC on training
# people 0.99, on others 0.87). Below that they shape their head and hardly the embedding; 0.1 was enough until motion gave
# the same people many qualities. A unit of a value is its span: errors of a few hundredths weigh like the rest of the loss.
WEIGHTS = {"value": 6.0, "yes/no": 0.3, "classes": 0.3}


@dataclass(frozen=True)
class Question:
    """An answer that is taught.

    Attributes:
        answer: what is asked. labels: a built-in, `recording:NAME`, or the path of a table.
        weight: in the loss; None: `WEIGHTS` of its kind.
    """

    answer: Answer
    labels: str
    weight: float | None = None

    @property
    def share(self) -> float:
        """Its weight in the loss."""
        return WEIGHTS[self.answer.kind] if self.weight is None else self.weight

    @property
    def table(self) -> Path | None:
        """The file of its labels, where they are in one."""
        return None if self.labels in BUILT_IN or self.labels.startswith(IN_RECORDING) else Path(self.labels)


@dataclass(frozen=True)
class Questions:
    """Everything that a student is asked, in the order of its answers.

    Attributes:
        each: the questions. shown_by: name of the answer that decides what is shown, or None.
    """

    each: tuple[Question, ...]
    shown_by: str | None = None

    @cached_property
    def answers(self) -> Answers:
        """What the student says."""
        return Answers(tuple(q.answer for q in self.each), self.shown_by)

    @property
    def tables(self) -> tuple[Path, ...]:
        """Files of labels."""
        return tuple(dict.fromkeys(q.table for q in self.each if q.table is not None))

    @property
    def quality(self) -> int | None:
        """The output that the pulse's own quality is taught to."""
        return next((self.answers.column(q.answer.name) for q in self.each if q.labels == "quality"), None)


SHIPPED_QUESTIONS = Questions(
    tuple(Question(a, a.name) for a in SHIPPED_ANSWERS.each), shown_by=SHIPPED_ANSWERS.shown_by
)


@dataclass(frozen=True)
class Labelled:
    """What a table says of one recording.

    Attributes:
        person: whose it is. start_s, value, length_s: (m,) of the seconds from each start; `whole` of the rest, NaN where
            nothing.
    """

    person: str
    start_s: np.ndarray
    value: np.ndarray
    length_s: np.ndarray
    whole: float

    def during(self, moments_s: np.ndarray) -> np.ndarray:
        """The label of each moment (k,): of the row that began last and is still good, else of the whole; NaN where none is."""
        order = np.argsort(self.start_s, kind="stable")
        start, end, value = self.start_s[order], (self.start_s + self.length_s)[order], self.value[order]
        row = np.searchsorted(start, moments_s, side="right") - 1
        good = (row >= 0) & (moments_s < end[row]) if len(start) else np.zeros(len(moments_s), bool)
        return np.where(good, value[row] if len(start) else self.whole, self.whole)

    def at(self, begin_s: float, end_s: float, average: bool) -> float:
        """The label of a stretch: what most of it is labelled as (or the mean, of a value), NaN where too little is."""
        overlap = np.minimum(end_s, self.start_s + self.length_s) - np.maximum(begin_s, self.start_s)
        there = overlap > 0
        values, seconds = self.value[there], overlap[there]
        if seconds.sum() < LEAST_LABELLED * (end_s - begin_s):
            return self.whole
        if average:
            return float(np.sum(values * seconds) / seconds.sum())
        kinds = np.unique(values)
        each = np.array([seconds[values == k].sum() for k in kinds])
        return float(kinds[each.argmax()]) if each.max() >= LEAST_LABELLED * (end_s - begin_s) else float("nan")


@lru_cache(maxsize=32)
def read_table(path: Path, answer: Answer, window_s: float = WINDOW_S) -> dict[Path, Labelled]:
    """Recording (resolved) -> its labels, of one answer.

    Args:
        window_s: how long a label is good for, where the table has no column `duration`.

    Raises:
        RecordingError: not such a table, a label that is none of the answer's, or only one kind of them.
    """
    rows: dict[Path, list[tuple[str, str, str, float]]] = {}
    for row in read_rows(path):
        if row["label"] not in MISSING:
            value = _value(row["label"], answer, f"{path}:{row['line']}")
            place = (path.parent / row["recording"]).resolve()
            rows.setdefault(place, []).append((row["person"], row["start"], row["duration"], value))
    values = {v for each in rows.values() for *_, v in each}
    if len(values) < 2:
        said = "no label" if not values else "the same label in every row"
        word = f"; a yes is {answer.word!r}, or 1" if answer.kind == "yes/no" else ""
        raise RecordingError(
            f"{said} for {answer.name}", where=path, field="label", cure=f"Label people of both kinds{word}"
        )
    return {place: _labelled(each, place, path, window_s) for place, each in rows.items()}


def _labelled(rows: list[tuple[str, str, str, float]], place: Path, path: Path, window_s: float) -> Labelled:
    people = {person for person, *_ in rows}
    if len(people) > 1:
        raise RecordingError(
            f"{place.name} is of {' and of '.join(sorted(people))}", where=path, field="person", cure="Name one person"
        )
    starts, values, lengths = [], [], []
    whole = float("nan")
    for _, start, duration, value in rows:
        if start:
            starts.append(_seconds(start, "start", place, path))
            lengths.append(_seconds(duration, "duration", place, path) if duration else window_s)
            values.append(value)
        else:
            whole = value
    return Labelled(people.pop(), np.array(starts), np.array(values), np.array(lengths), whole)


def _seconds(text: str, field: str, place: Path, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        cure = "Give seconds, or nothing"
        raise RecordingError(f"{field} {text!r} of {place.name}", where=path, field=field, cure=cure) from None


def _value(label: str, answer: Answer, where: str) -> float:
    if answer.kind == "value":
        try:
            return float(label)
        except ValueError:
            raise RecordingError(f"{label!r} is no number", where=where, field="label", cure="Give numbers") from None
    if answer.kind == "yes/no":
        if label == answer.word or label in YES:
            return 1.0
        if label in NO or label.replace(".", "").isalpha():
            return 0.0
        raise RecordingError(
            f"{label!r} is no yes or no",
            where=where,
            field="label",
            cure=f"Use 1 and 0, or {answer.word!r} and another",
        )
    word = label.replace(" ", "_").replace("-", "_")
    if word in answer.words:
        return float(answer.words.index(word))
    if label.isdigit() and int(label) < len(answer.words):
        return float(label)
    raise RecordingError(
        f"{label!r} is none of {', '.join(answer.words)}", where=where, field="label", cure="Use those words"
    )


def label_windows(cohort: Cohort, questions: Questions, originals: Sequence[Track] | None = None) -> np.ndarray:
    """What every window of a cohort should be answered: float32 (n, columns), NaN where unknown.

    A value is standardised, a yes or no is 1 or 0, classes have a 1 in the column of theirs.

    Args:
        originals: of the cohort's tracks, in their order, where those are played otherwise than they were recorded.
    """
    parts = []
    for question in questions.each:
        answer, n = question.answer, len(cohort)
        if answer.at == "frames":
            values = np.full(n, np.nan, np.float32)  # asked of every frame: `label_frames`
        elif question.labels in BUILT_IN:
            values = cohort.labels[BUILT_IN[question.labels]]
        else:
            values = np.array([_of_window(cohort, i, question, originals) for i in range(n)], np.float32)
        parts.append(_columns(answer, values))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _columns(answer: Answer, values: np.ndarray) -> np.ndarray:
    """Labels (n, ...) of an answer to its outputs (n, columns, ...)."""
    if answer.kind == "value":
        return answer.standardised(values)[:, None]
    if answer.kind == "yes/no":
        return values[:, None]
    each = np.arange(len(answer.words)).reshape(-1, *(1,) * (values.ndim - 1))
    return np.where(np.isfinite(values)[:, None], values[:, None] == each, np.nan).astype(np.float32)


def label_frames(
    cohort: Cohort, questions: Questions, framing: Framing, originals: Sequence[Track] | None = None
) -> np.ndarray:
    """What every frame of every window should be answered, by the label of the frame's middle: float32 (n, columns, frames),
    the newest last, which ends with the window; NaN where unknown, and of answers that are said once a hop.

    Args:
        originals: as `label_windows` takes them.
    """
    middles = cohort.sees.window_s - framing.seconds * (framing.count - np.arange(framing.count) - 0.5)
    parts = []
    for question in questions.each:
        values = np.full((len(cohort), framing.count), np.nan, np.float32)
        for row in range(len(cohort) if question.answer.at == "frames" else 0):
            values[row] = _of_moments(cohort, row, middles, question, originals)
        parts.append(_columns(question.answer, values))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _of_moments(
    cohort: Cohort, row: int, moments: np.ndarray, question: Question, originals: Sequence[Track] | None
) -> np.ndarray:
    at = int(cohort.at[row])
    track = cohort.tracks[at]
    recorded = track if originals is None else originals[at]
    moments = moments + float(cohort.start_s[row])
    moments = np.interp(moments, *track.played) if track.played else moments
    if question.table is not None:
        table = read_table(question.table, question.answer, cohort.sees.window_s)
        labelled = table.get(recorded.path) if recorded.path else None
        return np.full(len(moments), np.nan) if labelled is None else labelled.during(moments)
    values = recorded.extra.get(question.labels.removeprefix(IN_RECORDING))
    if values is None or not len(values):
        return np.full(len(moments), np.nan)
    second = moments.astype(int)
    return np.where(second < len(values), np.asarray(values, np.float32)[np.minimum(second, len(values) - 1)], np.nan)


def _of_window(cohort: Cohort, row: int, question: Question, originals: Sequence[Track] | None) -> float:
    at, begin = int(cohort.at[row]), float(cohort.start_s[row])
    track = cohort.tracks[at]
    recorded = track if originals is None else originals[at]
    a, b = track.recorded_at(begin), track.recorded_at(begin + cohort.sees.window_s)
    answer = question.answer
    if question.table is not None:
        labelled = (
            read_table(question.table, answer, cohort.sees.window_s).get(recorded.path) if recorded.path else None
        )
        value = float("nan") if labelled is None else labelled.at(a, b, answer.kind == "value")
    else:
        value = _of_seconds(recorded, question.labels.removeprefix(IN_RECORDING), a, b, answer)
    # A heart that is played faster beats faster; nothing else that a person was labelled with changes by it.
    return value * (b - a) / cohort.sees.window_s if answer.is_rate else value


def _of_seconds(track: Track, name: str, begin_s: float, end_s: float, answer: Answer) -> float:
    """From the 1 Hz label of a file: the median of a value; else what all its seconds agree on."""
    values = one_hertz(track, name, begin_s, end_s)
    values = values[np.isfinite(values)]
    if len(values) < LEAST_LABELLED * (end_s - begin_s):
        return float("nan")
    if answer.kind == "value":
        return float(np.median(values))
    most = 1 if answer.kind == "yes/no" else len(answer.words) - 1
    agree = np.ptp(values) == 0 and 0 <= values[0] <= most and values[0] == int(values[0])
    return float(values[0]) if agree else float("nan")
