"""Whose beats are judged, and on whose the detector was chosen: never the same people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onwrist.firmware_sim.parity.beats import WATCH, judge
from onwrist.signals.people.cohort import Progress, data_root, silent
from onwrist.signals.people.split import role
from onwrist.signals.pulse import onset_rules as rules
from onwrist.signals.recordings.readers import read_recording

CHOSEN_ON = "cinc2015_125hz"
# Sets that no number was chosen on, and what their people did; a rhythm where nothing is said.
STUDY = ("cinc2015_125hz", "bidmc", "small_paired", "ncku_rest_bike", "troika", "wrist_exercise")
REST, SITTING, TREADMILL, OUTDOORS = (
    "healthy, at rest", "sitting: speaking, turning, cycling", "treadmill, wrist", "walking, cycling, wrist",
)  # fmt: skip
# A cell of the table with few intervals is drawn to its neighbours by as many as these.
DRAWN = 10


def study_files(root: Path | None = None) -> list[tuple[Path, str]]:
    """(file, activity) of everybody whom the report may use."""
    base = root or data_root()
    files = [f for name in STUDY for f in sorted((base / name).glob("*.npz"))]
    return [(f, activity_of(f)) for f in files if f.parent.name != CHOSEN_ON or role(f.stem) == "test"]


def activity_of(file: Path) -> str:
    """What a file's person did, by its set and name; '' for patients in bed, who are told apart by their rhythm."""
    name = file.parent.name
    if name == "troika":
        return TREADMILL
    if name == "wrist_exercise":
        return OUTDOORS
    if name == "ncku_rest_bike":
        return REST if "static" in file.stem else SITTING
    return REST if name == "small_paired" else ""


def choosing_files(root: Path | None = None) -> list[Path]:
    """The training people of the Challenge 2015."""
    return [f for f in sorted(((root or data_root()) / CHOSEN_ON).glob("*.npz")) if role(f.stem) == "train"]


def chosen(files: list[Path], progress: Progress = silent) -> str:
    """`onset_rules.CONFIDENCE` and `JITTER` from these people, as its lines."""
    judged = [judge(read_recording(f), others=False) for f in progress(files, "choose")]
    table = confidence_table([c for j in judged for c in j.cells])
    bare = [pair for j in judged if "even" in j.scores for pair in j.scores["even"][WATCH].bare]
    return f"CONFIDENCE = {tuple(table)}\nJITTER = {jitter(bare)}"


def jitter(minutes: list[tuple[float, float]]) -> int:
    """What has to be taken off RMSSD in squares for the least median error over minutes (said, true, s), tenths of a ms."""
    if not minutes:
        return 0
    said, true = np.array(minutes).T
    tried = np.arange(0, 200, 5)
    errors = [np.median(np.abs(np.sqrt(np.maximum(said**2 - (t / 1e4) ** 2, 0)) - true)) for t in tried]
    return int(tried[int(np.argmin(errors))])


def confidence_table(intervals: list[tuple[int, bool]]) -> list[int]:
    """Per cent of the intervals of each cell that were right; intervals are (cell, right)."""
    shape = (len(rules.SHORT_EDGES) + len(rules.LONG_EDGES) + 1, len(rules.EVEN_EDGES) + 1, len(rules.LIKE_EDGES) + 1)
    count, right = np.zeros(shape), np.zeros(shape)
    for cell, ok in intervals:
        place = np.unravel_index(cell, shape)
        count[place] += 1
        right[place] += ok
    share = np.zeros(shape)
    for place in np.ndindex(shape):
        row, *rest = place
        near = (row, *(slice(max(0, i - 1), i + 2) for i in rest))
        around = (right[near].sum() + 1) / (count[near].sum() + 2)
        share[place] = (right[place] + DRAWN * around) / (count[place] + DRAWN)
    return np.rint(100 * share).astype(int).clip(1, 99).ravel().tolist()
