"""Judge what students say: heart rate by bin of true rate, what is shown and flagged by rhythm, wrists.

    python quantize/answers.py                                       # the shipped students, INT8
    python quantize/answers.py --students runs/qat/watch.int8.safetensors runs/distill/watch.safetensors

Needs the larger sets (`ONWRIST_DATA`). Choices are made on `--half even` of the people of each kind, figures are
reported on `--half odd`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from onwrist.ranges import Checked
from onwrist.settings import Data

if TYPE_CHECKING:
    import numpy as np

    from onwrist.quantize.judging.answers import Judged


@dataclass(frozen=True)
class AnswersConfig(Checked):
    """Answers of students against what is true."""

    students: tuple[Path, ...] = ()
    """Student files, float or INT8 (default: the shipped INT8 students)."""
    half: Literal["even", "odd", "all"] = "odd"
    """Which of the people, by their place in the sorted names: even to choose on, odd to report on. On even the logits from which
    quality and irregular would count by the model card's rule are said too."""
    out: Path = Path("runs/answers.json")
    """Where the results are written."""
    data: Data = None


def main(config: AnswersConfig) -> None:
    """Judge what students say on people whom none of them was trained on."""
    from onwrist.command import bar, results
    from onwrist.models.student.network import LADDER
    from onwrist.quantize.judging.answers import everybody, judge, text
    from onwrist.quantize.judging.operating_point import in_words, operating_point
    from onwrist.quantize.teaching.student_files import int8_weights

    files = config.students or tuple(int8_weights(size) for size in LADDER)
    people = everybody(LADDER["watch"].context, config.half, config.data, bar)
    stems = [Path(file).stem for file in files]
    names = stems if len(set(stems)) == len(stems) else [str(file) for file in files]
    found = {name: judge(_answers_of(file), people) for name, file in zip(names, files, strict=True)}
    lines = [text(found)]
    if config.half == "even":
        for name, file in zip(names, files, strict=True):
            point = operating_point(people["patients"], _answers_of(file)(people["patients"]))
            lines.append(f"\n{name}: {in_words(point)}")
    results(found, config.out, "\n".join(lines))


def _answers_of(file: Path) -> Callable[[Judged], np.ndarray]:
    """Windows to what the student of a file answers, (n, 3)."""
    from onwrist.quantize.integers.training import load_integers
    from onwrist.quantize.judging.evaluate import fed, run_integers, run_torch
    from onwrist.quantize.teaching.student_files import load_student

    if ".int8" in Path(file).suffixes:
        integers = load_integers(file)
        return lambda people: run_integers(integers, *fed(integers, people.x, people.acceleration)).answers
    student, _ = load_student(file)
    return lambda people: run_torch(student, *fed(student, people.x, people.acceleration)).answers


if __name__ == "__main__":
    from onwrist.command import run

    run(main, AnswersConfig)
