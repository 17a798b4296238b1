"""A user's labels as a task: one CSV of (person, recording, start, label), and the published table's twelve by name.

    person,recording,start,label
    ann,visits/ann_1.csv,30,1
    ben,visits/ben_1.edf,,0

`recording` is any file that `signals.recordings.readers` reads, relative to the CSV; `start` is in seconds and names one
10-s window, and left empty it means every window of the recording. `label` is a class (0 and 1, or words: each word
against the rest), a value, or, for one of the twelve, what its definition says. An empty label, `nan` or `NA` is missing
and its row is left out; so are windows of which the recording misses more than a twentieth. Blanks around a word and its
capitals do not count: `a` and `a ` are one person, `AF` and `af ` one class.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError, RecordingError, SplitError
from onwrist.models.bench.tasks import Task, Windows
from onwrist.signals.people.cohort import MAX_MISSING
from onwrist.signals.pulse.clean import TEACHER_RATE_HZ, WINDOW_S, fill_gaps, min_max, teacher_input
from onwrist.signals.recordings.names import MISSING_WORDS
from onwrist.signals.recordings.readers import read_recording

COLUMNS = ("person", "recording", "start", "label")
FOLDS = 5
LENGTH = int(WINDOW_S * TEACHER_RATE_HZ)
MISSING = (*MISSING_WORDS, "unknown")
# How alike two names are (difflib's ratio) of which one is taken for the other mistyped.
ALMOST = 0.8
SEPARATORS = ",;\t|"
_MEASURE = re.compile(r"([-+]?\d+(?:[.,]\d+)?)(\s*[a-zµ°/%]*)", re.IGNORECASE)

# Sleep stages by the words of AASM and of the older rules; a stage has one name here.
STAGES = {
    "wake": ("wake", "w", "awake", "wakefulness", "0"),
    "n1": ("n1", "s1", "nrem1", "nrem 1", "1"),
    "n2": ("n2", "s2", "nrem2", "nrem 2", "2"),
    "n3": ("n3", "n4", "s3", "s4", "nrem3", "nrem 3", "nrem4", "nrem 4", "deep", "sws", "slow wave", "3"),
    "rem": ("rem", "r", "5"),
    "light": ("light",),
}
# Scored, but as no stage.
NO_STAGE = (
    "m",
    "mt",
    "movement",
    "movement time",
    "artifact",
    "artefact",
    "unscored",
    "not scored",
    "u",
    "9",
    "-1",
    "6",
    "7",
)
RHYTHMS = {
    "pvc": ("pvc", "pvcs", "vpc", "vpb", "veb", "premature ventricular contraction", "premature ventricular contractions",
            "premature ventricular complex", "ventricular ectopic", "ventricular ectopic beat"),
    "pac": ("pac", "pacs", "apc", "apb", "sveb", "premature atrial contraction", "premature atrial contractions",
            "premature atrial complex", "atrial ectopic", "supraventricular ectopic beat"),
    "other": ("sr", "nsr", "normal", "sinus", "sinus rhythm", "normal sinus rhythm", "af", "afib", "atrial fibrillation", "afl",
              "aflutter", "atrial flutter", "vt", "ventricular tachycardia", "svt", "supraventricular tachycardia", "st",
              "sinus tachycardia", "sb", "sinus bradycardia", "sinus arrhythmia", "sa", "avb", "av block", "paced", "vf",
              "ventricular fibrillation", "bigeminy", "trigeminy", "regular", "irregular", "other"),
}  # fmt: skip


@dataclass(frozen=True)
class SeedTask:
    """One of the twelve tasks of the published table.

    Attributes:
        definition: what the label column may hold, and when a window is positive.
        positive: whether a label is positive.
    """

    definition: str
    positive: Callable[[str], bool]


def _number_between(low: float, high: float, unit: str) -> Callable[[str], float]:
    """A lab value, refused where it is none: a value in another unit would pass every threshold unseen."""

    def read(label: str) -> float:
        value = _number(label)
        if value is None:
            raise ValueError(f"{label!r} is no number")
        if not low <= value <= high:
            raise ValueError(f"{value:g} {unit} is outside {low:g}-{high:g}: another unit")
        return value

    return read


def _above(threshold: float, read: Callable[[str], float]) -> Callable[[str], bool]:
    return lambda label: read(label) >= threshold


def _below(threshold: float, read: Callable[[str], float]) -> Callable[[str], bool]:
    return lambda label: read(label) < threshold


def _one_of(kinds: dict[str, tuple[str, ...]], *positive: str) -> Callable[[str], bool]:
    """Whether a label's word, by any of its names, is of a positive kind."""

    def test(label: str) -> bool:
        word = _stage_word(label) if kinds is STAGES else label
        kind = next((k for k, names in kinds.items() if word in names), None)
        if kind is None:
            raise ValueError(f"{label!r} is none of {', '.join(n[0] for n in kinds.values())} by any name")
        return kind in positive or (kind == "light" and "n2" in positive)

    return test


def _stage_word(label: str) -> str:
    """`sleep stage w`, `stage 2`, `2.0` to `w`, `2`, `2`."""
    word = re.sub(
        r"^(sleep\s*)?(stage\s*)", "", label.replace("_", " ").replace("-", " ") if label[:1] != "-" else label
    ).strip()
    number = _number(word)
    return f"{number:g}" if number is not None else word


_PRESSURE = _number_between(40, 300, "mmHg")
# The published table comes without its cut-offs; these are the guidelines' of each field.
SEED_TASKS = {
    "hypertension-lab": SeedTask(
        "systolic pressure at the visit, mmHg; >= 140 (ESC/ESH 2018, office)", _above(140, _PRESSURE)
    ),
    "hypertension-free-living": SeedTask(
        "systolic pressure at home, mmHg; >= 135 (ESC/ESH 2018, home)", _above(135, _PRESSURE)
    ),
    "pvc": SeedTask("rhythm of the window in words; pvc is positive", _one_of(RHYTHMS, "pvc")),
    "ectopic": SeedTask("rhythm of the window in words; pvc and pac are positive", _one_of(RHYTHMS, "pvc", "pac")),
    "a1c": SeedTask("glycated haemoglobin, %; >= 6.5 (ADA, diabetes)", _above(6.5, _number_between(2.5, 20, "%"))),
    "haemoglobin": SeedTask(
        "haemoglobin, g/dL; < 12 (WHO, anaemia in women, the stricter bound)",
        _below(12.0, _number_between(2, 25, "g/dL")),
    ),
    "platelets": SeedTask(
        "platelets, 1e9/L; < 150 (thrombocytopenia)", _below(150.0, _number_between(1, 3000, "x 1e9/L"))
    ),
    "sodium": SeedTask("sodium, mmol/L; < 135 (hyponatraemia)", _below(135.0, _number_between(80, 200, "mmol/L"))),
    "wake": SeedTask("sleep stage (AASM); wake or w is positive", _one_of(STAGES, "wake")),
    "light": SeedTask("sleep stage (AASM); light, n1 or n2 is positive", _one_of(STAGES, "n1", "n2")),
    "deep": SeedTask("sleep stage (AASM); deep or n3 is positive", _one_of(STAGES, "n3")),
    "rem": SeedTask("sleep stage (AASM); rem or r is positive", _one_of(STAGES, "rem")),
}
SLEEP_TASKS = ("wake", "light", "deep", "rem")


def load_labels(
    path: Path, name: str = "", channel: str | None = None, rate_hz: float | None = None
) -> tuple[Windows, list[Task]]:
    """Windows and tasks of a CSV.

    Args:
        path: the CSV.
        name: one of `SEED_TASKS`, whose definition turns labels that are not already 0 and 1 into them; any other
            name is a title.
        channel: of the recordings, where they have several. rate_hz: of them, where they do not tell.

    Raises:
        ConfigError: a name that is nearly one of `SEED_TASKS`.
        RecordingError: a column or a file is missing, a label or a start cannot be read, or nothing is left.
        SplitError: fewer than two people.
    """
    meant = difflib.get_close_matches(name.strip().casefold(), SEED_TASKS, 1, ALMOST)
    if meant and name not in SEED_TASKS:
        raise ConfigError(
            f"no task {name!r}: did you mean {meant[0]}?",
            field="task",
            cure="Or give a title that is unlike the twelve",
        )
    labelled = read_rows(path)
    rows = [row for row in labelled if not _is_missing(row["label"], name)]
    if labelled and not rows:
        raise RecordingError("every label is missing", where=path, field="label", cure="Label at least two people")
    _refuse_contradictions(rows, path)
    labels = _classes([row["label"] for row in rows], name, path)
    cut = _Cutter(path.parent, channel, rate_hz)
    waves: list[np.ndarray] = []
    people: list[str] = []
    source: list[int] = []
    for i, row in enumerate(rows):
        for wave in cut.windows(row["recording"], row["start"], f"{path}:{row['line']}"):
            waves.append(wave)
            people.append(row["person"])
            source.append(i)
    if not waves:
        raise RecordingError(
            "no 10-s window with a signal",
            where=path,
            field="start",
            cure="Check the starts, and the recordings for gaps",
        )
    person = np.array(people)
    values = {task: np.asarray(v, np.float64)[source] for task, v in labels.items()}
    folds = min(FOLDS, len(np.unique(person)))
    if folds < 2:
        raise SplitError("all windows are of one person", where=path, cure="Label at least two people")
    tasks = [Task(task, str(path), task, _kind(v), "folds", folds) for task, v in values.items()]
    return Windows(min_max(np.stack(waves)), person, person, np.zeros(len(person), bool), values), tasks


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows with the four columns and their line; persons by one spelling, labels in small letters without blanks.

    Raises:
        RecordingError: no such table.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"cannot be read ({error.strerror})", where=path, cure="Give a CSV file") from error
    text = _text(data, path)
    first = text.lstrip().split("\n", 1)[0]
    separator = max(SEPARATORS, key=first.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        names = {(n or "").strip().lower(): n for n in reader.fieldnames or ()}
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise RecordingError(f"cannot be read ({error})", where=path, cure="Give a CSV file") from error
    missing = [c for c in COLUMNS if c not in names]
    if missing:
        raise RecordingError(
            f"lacks {', '.join(missing)}", where=path, cure=f"The first line names {', '.join(COLUMNS)}"
        )
    found: list[dict[str, str]] = []
    spelling: dict[str, str] = {}
    for line, row in rows:
        if None in row or any(row[n] is None for n in names.values()):
            raise RecordingError(
                "has another number of cells than the first line", where=f"{path}:{line}", cure="Mend the line"
            )
        cells = {c: _plain(row[names[c]]) for c in COLUMNS}
        if any(not cells[c] for c in ("person", "recording")):
            raise RecordingError("an empty cell", where=f"{path}:{line}", cure="Only `start` and `label` may be empty")
        person = _identity(cells["person"])
        found.append(
            {
                "person": spelling.setdefault(person, cells["person"]), "recording": cells["recording"],
                "start": cells["start"], "label": cells["label"].casefold(), "line": str(line),
            }
        )  # fmt: skip
    return found


def _text(data: bytes, path: Path) -> str:
    """UTF-8, UTF-16 with its mark, else Latin-1."""
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecordingError("is no text", where=path, cure="Give a CSV file")
    for encoding in ("utf-16",) if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "latin-1"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise RecordingError("is no text", where=path, cure="Save it as UTF-8")


def _plain(cell: str) -> str:
    """One spelling of what looks the same: blanks outside gone, inside single, letters composed."""
    return " ".join(unicodedata.normalize("NFKC", cell).split())


def _identity(person: str) -> str:
    """What makes two spellings one person: capitals do not, nor does a spreadsheet's `7.0` for `7`."""
    number = _number(person)
    return f"{number:g}" if number is not None and number == int(number) and "." in person else person.casefold()


def _refuse_contradictions(rows: list[dict[str, str]], path: Path) -> None:
    said: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        first = said.setdefault((row["person"], row["recording"], row["start"]), row)
        if first["label"] != row["label"]:
            raise RecordingError(
                f"the window of line {first['line']} is labelled {first['label']!r} there and {row['label']!r} here",
                where=f"{path}:{row['line']}", field="label", cure="Decide for one, or leave the window out",
            )  # fmt: skip


def _is_missing(label: str, name: str) -> bool:
    if label in MISSING:
        return True
    return name in SLEEP_TASKS and (_stage_word(label) in MISSING or _stage_word(label) in NO_STAGE)


def _classes(labels: list[str], name: str, path: Path) -> dict[str, np.ndarray]:
    """Task name to a value a row: 0 or 1 for classes, numbers for values."""
    labels = _plain_numbers(labels, path)
    distinct = sorted(set(labels))
    numbers = [_number(label) for label in labels]
    if name in SEED_TASKS and set(numbers) - {0.0, 1.0}:
        seed = SEED_TASKS[name]
        stages = {_stage_word(label) for label in distinct} if name in SLEEP_TASKS else set()
        try:
            if "4" in stages and "5" not in stages:
                raise ValueError("4 is REM to some and stage 4 to others: write words")
            if "4" in stages:
                labels = ["n3" if _stage_word(label) == "4" else label for label in labels]
            return {name: np.array([float(seed.positive(label)) for label in labels])}
        except ValueError as error:
            raise RecordingError(
                str(error), where=path, field="label", cure=f"{name} takes {seed.definition}"
            ) from None
    if None not in numbers:
        return {name or path.stem: np.array(numbers)}
    if set(numbers) - {None}:
        odd = next(label for label, number in zip(labels, numbers, strict=True) if number is None)
        raise RecordingError(
            f"{odd!r} stands among numbers",
            where=path,
            field="label",
            cure="Use words or numbers, not both; leave missing ones empty",
        )
    if len(distinct) == 2:
        return {f"{name or path.stem}: {distinct[1]}": np.array([float(label == distinct[1]) for label in labels])}
    return {f"{name or path.stem}: {word}": np.array([float(label == word) for label in labels]) for word in distinct}


def _plain_numbers(labels: list[str], path: Path) -> list[str]:
    """Labels that are all numbers with a decimal comma, as numbers; numbers with a unit are no words either.

    Raises:
        RecordingError: every label is a number and the same word behind it.
    """
    found = [_MEASURE.fullmatch(label) for label in labels]
    if None in found or not any("," in label or (m and m[2]) for label, m in zip(labels, found, strict=True)):
        return labels
    units = {m[2].strip() for m in found if m}
    if units == {""}:
        return [label.replace(",", ".") for label in labels]
    if len(units) == 1 and len(set(labels)) > 2:
        raise RecordingError(
            f"{labels[0]!r} is a number with a unit", where=path, field="label", cure="Write the numbers alone"
        )
    return labels


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

    def __init__(self, folder: Path, channel: str | None = None, rate_hz: float | None = None):
        self.folder, self.channel, self.rate_hz = folder, channel, rate_hz
        self.signals: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def windows(self, recording: str, start: str, where: str) -> list[np.ndarray]:
        """The window at `start`, or all; those in a gap or without any signal are left out."""
        if recording not in self.signals:
            ppg = read_recording(self.folder / recording, channel=self.channel, rate_hz=self.rate_hz).ppg
            wave = teacher_input(fill_gaps(ppg.samples), ppg.rate_hz)
            grid = np.minimum((np.arange(len(wave)) * ppg.rate_hz / TEACHER_RATE_HZ).astype(int), len(ppg.samples) - 1)
            self.signals[recording] = wave, ~np.isfinite(ppg.samples)[grid]
        wave, missing = self.signals[recording]
        if start:
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
        found = [first for first in firsts if missing[first : first + LENGTH].mean() <= MAX_MISSING]
        pieces = [wave[first : first + LENGTH] for first in found]
        return [piece for piece in pieces if np.ptp(piece) > 0]
