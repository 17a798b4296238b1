"""Judge what students say: heart rate by bin of true rate, what is shown and flagged by rhythm, wrists.

    python quantize/answers.py                                       # the shipped students, INT8
    python quantize/answers.py --students runs/qat/watch.int8.safetensors runs/distill/watch.safetensors

Needs the larger sets (`ONWRIST_DATA`). Choices are made on `--half even` of the arrhythmia patients, figures are
reported on `--half odd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onwrist.settings import Data


@dataclass(frozen=True)
class AnswersConfig:
    """Answers of students against what is true."""

    students: tuple[Path, ...] = ()
    """Student files, float or INT8 (default: the shipped INT8 students)."""
    half: Literal["even", "odd", "all"] = "odd"
    """Which of the arrhythmia patients: even to choose on, odd to report on."""
    out: Path = Path("runs/answers.json")
    """Where the results are written."""
    data: Data = None


def main(config: AnswersConfig) -> None:
    """Judge what students say on people whom none of them was trained on."""
    from onwrist.command import bar, results
    from onwrist.models.student.network import LADDER
    from onwrist.quantize.integers.training import load_integers
    from onwrist.quantize.judging.answers import everybody, judge, text
    from onwrist.quantize.judging.evaluate import run_integers, run_torch
    from onwrist.quantize.teaching.student_files import int8_weights, load_student

    files = config.students or tuple(int8_weights(size) for size in LADDER)
    people = everybody(LADDER["watch"].context, config.half, config.data, bar)
    found = {}
    for file in files:
        if ".int8" in Path(file).suffixes:
            integers = load_integers(file)
            found[Path(file).stem] = judge(lambda x, m=integers: run_integers(m, x).answers, people)
        else:
            student, _ = load_student(file)
            found[Path(file).stem] = judge(lambda x, m=student: run_torch(m, x).answers, people)
    results(found, config.out, text(found))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, AnswersConfig)
