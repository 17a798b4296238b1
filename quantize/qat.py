"""INT8 quantisation of a student: post-training as the baseline, then quantisation-aware training.

    python quantize/qat.py                 # the shipped watch student
    python quantize/qat.py --size band --student runs/distill/band.safetensors
    python quantize/qat.py --teacher dino             # what quantize/distill.py --teacher dino left

The quantised student imitates its own float parent on training people; both are then judged on people whom neither
has seen. Calibration and training use the training role only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from onwrist.ranges import Checked, Seed
from onwrist.settings import Data, Size, Teacher


@dataclass(frozen=True)
class QATConfig(Checked):
    """Quantisation of one student."""

    size: Size = "watch"
    teacher: Teacher = None
    student: Path | None = None
    """Float student (default: the teacher's of that size)."""
    examples: Path | None = None
    """Windows to quantise on, as quantize/distill.py --examples left them (default: made anew, one version)."""
    out: Path | None = None
    """File to write (default: runs/qat/SIZE.int8.safetensors, or in a folder of the teacher's name there)."""
    steps: Annotated[int, Interval(ge=0, le=100_000)] = 900
    """Optimiser steps of QAT; 0 stops at post-training quantisation."""
    batch: Annotated[int, Interval(ge=1, le=65_536)] = 256
    """Windows per step."""
    lr: Annotated[float, Interval(gt=0, le=1)] = 1.5e-4
    """Peak learning rate, cosine to zero."""
    every_s: Annotated[float, Interval(ge=0.2, le=600)] = 8.0
    """Seconds between the training windows that are cut from one version."""
    seed: Seed = 0
    """Seed of batches."""
    data: Data = None

    @property
    def path(self) -> Path:
        """Where the quantised student is written."""
        from onwrist.quantize.teaching.student_files import runs_of

        return self.out or runs_of("qat", self.teacher) / f"{self.size}.int8.safetensors"


def main(config: QATConfig) -> None:
    """Quantise a student to INT8: PTQ, then QAT, both judged on held-out people."""
    from onwrist.writing import claim_file

    with claim_file(config.path):
        _quantise(config)


def _quantise(config: QATConfig) -> None:
    import json

    from onwrist.command import bar, say
    from onwrist.models.student.graph import takes_acceleration
    from onwrist.quantize.integers.training import save_quantised
    from onwrist.quantize.judging.evaluate import evaluation, ptq_and_qat
    from onwrist.quantize.teaching.course import Course, quantised
    from onwrist.quantize.teaching.examples import build, load_examples
    from onwrist.quantize.teaching.student_files import float_weights, load_student
    from onwrist.writing import write_whole

    source = config.student or float_weights(config.size, config.teacher)
    parent, _ = load_student(source)
    if config.examples:
        examples, _ = load_examples(config.examples)
    else:
        examples, _ = build(
            None,
            parent.context,
            versions=1,
            hop_s=config.every_s,
            seed=config.seed + 1,
            root=config.data,
            accelerometer=takes_acceleration(parent),
            progress=bar,
        )
    data = evaluation(parent.context, config.data, bar)
    course = Course(config.steps, config.batch, config.lr, config.seed)
    student, found = quantised(parent, examples, course, data, out=config.path, progress=bar, say=say)
    recipe = {"steps": config.steps, "batch": config.batch, "lr": config.lr, "seed": config.seed}
    save_quantised(config.path, student, {"recipe": recipe}, parent=source)
    write_whole(config.path.with_suffix(".json"), json.dumps(found, indent=1).encode())
    print(ptq_and_qat(found))
    say(f"{config.path}")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, QATConfig)
