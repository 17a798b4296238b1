"""How right is a heart rate while its wearer moves: students with and without acceleration, and the classic methods.

python firmware_sim/motion.py $ONWRIST_DATA/troika/*.npz --students runs/mine.safetensors models/weights/watch.safetensors
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from onwrist.ranges import Checked

# The shipped recordings of wrists, which have acceleration.
WRISTS = ("S02", "S34")


@dataclass(frozen=True)
class MotionConfig(Checked):
    """Heart rate in motion."""

    recordings: Positional[tuple[Path, ...]] = ()
    """Recordings with acceleration, or names of shipped ones (default: the two wrists that ship)."""
    students: tuple[Path, ...] = ()
    """Student files, float or INT8; the others are held against the first (default: the shipped float `watch`)."""
    out: Path = Path("runs/motion.json")
    """Where the figures are written."""


def main(config: MotionConfig) -> None:
    """What students and classic methods say of the heart rate at rest and in motion, paired by person."""
    from onwrist.command import bar, results
    from onwrist.errors import ConfigError
    from onwrist.firmware_sim.parity.moving import asked_of, by_motion, compare, judged, together, words
    from onwrist.quantize.teaching.student_files import float_weights
    from onwrist.resources import recording as shipped_or_own
    from onwrist.signals.recordings.readers import read_recording

    files = config.students or (float_weights("watch"),)
    students = {file.stem: asked_of(file) for file in files}
    if len(students) < len(files):
        raise ConfigError("two files of one name", field="students", cure="Give each student a name of its own")
    paths = [shipped_or_own(p) for p in config.recordings or map(Path, WRISTS)]
    rows = together([judged(read_recording(p), p.stem, students, bar) for p in paths])
    if not len(rows.truth):
        raise ConfigError("nobody says what the heart did", field="recordings", cure="Give recordings with a reference")
    first = next(iter(students))
    parts = {"all": rows, **by_motion(rows)}
    found = {name: compare(part, first) for name, part in parts.items() if len(part.truth)}
    results(found, config.out, "\n\n".join(f"{name}\n\n{words(table, first)}" for name, table in found.items()))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, MotionConfig)
