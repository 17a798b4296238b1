"""A user's labels as a task: one CSV of (person, recording, start, label), and the published table's twelve by name.

    person,recording,start,label
    ann,visits/ann_1.csv,30,1
    ben,visits/ben_1.edf,,0

`recording` is any file that `signals.readers` reads, relative to the CSV; `start` is in seconds and names one 10-s
window, and left empty it means every window of the recording. `label` is a class (0 and 1, or words: each word against
the rest), a value, or, for one of the twelve, what its definition says.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError, SplitError
from onwrist.models.bench.tasks import Task, Windows
from onwrist.signals.pulse.clean import TEACHER_RATE_HZ, WINDOW_S, fill_gaps, min_max, teacher_input
from onwrist.signals.recordings.readers import read_recording

COLUMNS = ("person", "recording", "start", "label")
FOLDS = 5
LENGTH = int(WINDOW_S * TEACHER_RATE_HZ)


@dataclass(frozen=True)
class SeedTask:
    """One of the twelve tasks of the published table.

    Attributes:
        definition: what the label column may hold, and when a window is positive.
        positive: whether a label is positive.
    """

    definition: str
    positive: Callable[[str], bool]


def _above(threshold: float) -> Callable[[str], bool]:
    return lambda label: float(label) >= threshold


def _below(threshold: float) -> Callable[[str], bool]:
    return lambda label: float(label) < threshold


def _one_of(*words: str) -> Callable[[str], bool]:
    return lambda label: label.strip().lower() in words


# The published table comes without its cut-offs; these are the guidelines' of each field.
SEED_TASKS = {
    "hypertension-lab": SeedTask("systolic pressure at the visit, mmHg; >= 140 (ESC/ESH 2018, office)", _above(140)),
    "hypertension-free-living": SeedTask("systolic pressure at home, mmHg; >= 135 (ESC/ESH 2018, home)", _above(135)),
    "pvc": SeedTask("rhythm of the window in words; pvc is positive", _one_of("pvc")),
    "ectopic": SeedTask("rhythm of the window in words; pvc and pac are positive", _one_of("pvc", "pac")),
    "a1c": SeedTask("glycated haemoglobin, %; >= 6.5 (ADA, diabetes)", _above(6.5)),
    "haemoglobin": SeedTask("haemoglobin, g/dL; < 12 (WHO, anaemia in women, the stricter bound)", _below(12.0)),
    "platelets": SeedTask("platelets, 1e9/L; < 150 (thrombocytopenia)", _below(150.0)),
    "sodium": SeedTask("sodium, mmol/L; < 135 (hyponatraemia)", _below(135.0)),
    "wake": SeedTask("sleep stage (AASM); wake or w is positive", _one_of("wake", "w")),
    "light": SeedTask("sleep stage (AASM); light, n1 or n2 is positive", _one_of("light", "n1", "n2")),
    "deep": SeedTask("sleep stage (AASM); deep or n3 is positive", _one_of("deep", "n3")),
    "rem": SeedTask("sleep stage (AASM); rem or r is positive", _one_of("rem", "r")),
}


def load_labels(path: Path, name: str = "") -> tuple[Windows, list[Task]]:
    """Windows and tasks of a CSV.

    Args:
        path: the CSV.
        name: one of `SEED_TASKS`, whose definition turns labels that are not already 0 and 1 into them; any other
            name is a title.

    Raises:
        RecordingError: a column or a file is missing, a label or a start cannot be read, or nothing is left.
        SplitError: fewer than two people.
    """
    rows = _rows(path)
    labels = _classes([row["label"] for row in rows], name, path)
    cut = _Cutter(path.parent)
    waves: list[np.ndarray] = []
    people: list[str] = []
    source: list[int] = []
    for i, row in enumerate(rows):
        for wave in cut.windows(row["recording"], row["start"], f"{path}:{i + 2}"):
            waves.append(wave)
            people.append(row["person"])
            source.append(i)
    if not waves:
        raise RecordingError("no 10-s window with a signal", where=path, cure="Check the starts and the recordings")
    person = np.array(people)
    values = {task: np.asarray(v, np.float64)[source] for task, v in labels.items()}
    folds = min(FOLDS, len(np.unique(person)))
    if folds < 2:
        raise SplitError("all windows are of one person", where=path, cure="Label at least two people")
    tasks = [Task(task, str(path), task, _kind(v), "folds", folds) for task, v in values.items()]
    return Windows(min_max(np.stack(waves)), person, person, np.zeros(len(person), bool), values), tasks


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"cannot be read ({error})", where=path, cure="Give a CSV file") from error
    if missing:
        raise RecordingError(
            f"lacks {', '.join(missing)}", where=path, cure=f"The first line names {', '.join(COLUMNS)}"
        )
    for i, row in enumerate(rows):
        if any(not (row[c] or "").strip() for c in ("person", "recording", "label")):
            raise RecordingError("an empty cell", where=f"{path}:{i + 2}", cure="Only `start` may be empty")
    return rows


def _classes(labels: list[str], name: str, path: Path) -> dict[str, np.ndarray]:
    """Task name to a value a row: 0 or 1 for classes, numbers for values."""
    distinct = sorted(set(labels))
    numbers = [_number(label) for label in labels]
    if name in SEED_TASKS and set(numbers) - {0.0, 1.0}:
        seed = SEED_TASKS[name]
        try:
            return {name: np.array([float(seed.positive(label)) for label in labels])}
        except ValueError as error:
            raise RecordingError(
                str(error), where=path, field="label", cure=f"{name} takes {seed.definition}"
            ) from None
    if None not in numbers:
        return {name or path.stem: np.array(numbers)}
    if len(distinct) == 2:
        return {f"{name or path.stem}: {distinct[1]}": np.array([float(label == distinct[1]) for label in labels])}
    return {f"{name or path.stem}: {word}": np.array([float(label == word) for label in labels]) for word in distinct}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _kind(values: np.ndarray) -> str:
    return "auroc" if set(np.unique(values)) <= {0.0, 1.0} else "value"


class _Cutter:
    """Reads and cleans each recording once, and cuts windows from it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.signals: dict[str, np.ndarray] = {}

    def windows(self, recording: str, start: str, where: str) -> list[np.ndarray]:
        """The window at `start`, or all; windows without any signal are left out."""
        if recording not in self.signals:
            ppg = read_recording(self.folder / recording).ppg
            self.signals[recording] = teacher_input(fill_gaps(ppg.samples), ppg.rate_hz)
        wave = self.signals[recording]
        if (start or "").strip():
            at = _number(start)
            if at is None or at < 0 or round(at * TEACHER_RATE_HZ) + LENGTH > len(wave):
                raise RecordingError(
                    f"start {start!r} leaves no 10 s of {len(wave) / TEACHER_RATE_HZ:.0f} s",
                    where=where,
                    field="start",
                    cure="Give seconds from the recording's start",
                )
            firsts = [round(at * TEACHER_RATE_HZ)]
        else:
            firsts = list(range(0, len(wave) - LENGTH + 1, LENGTH))
        pieces = [wave[first : first + LENGTH] for first in firsts]
        return [piece for piece in pieces if np.ptp(piece) > 0]
