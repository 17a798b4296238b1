"""Distil the teacher into a streaming student.

    python quantize/distill.py                  # the watch student
    python quantize/distill.py --size band
    python quantize/distill.py --teacher dino          # any pretrained system, or my_encoder.py:make
    python quantize/distill.py --accelerometer --start models/weights/watch.safetensors

The student sees a watch-like version of a recording through the causal front end and learns the teacher's
(standardised) embedding of the undisturbed 10 s, and heart rate, quality and rhythm as the ECG tells them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from onwrist.ranges import Checked, Seed
from onwrist.settings import Bf16, Data, Device, Size, Teacher


@dataclass(frozen=True)
class DistillConfig(Checked):
    """Distillation of one student."""

    size: Size = "watch"
    teacher: Teacher = None
    accelerometer: bool = False
    """A student that takes acceleration too."""
    start: Path | None = None
    """Float student to go on from: its trunk, its embedding and, where it has the same head, its answers."""
    mean: bool = False
    """Keep the mean of the start's weights and of what became of them: new skill, and hardly less of the old."""
    refit: bool = False
    """Then fit the embedding's layer alone to the teacher (least squares): for a start that was taught by another one."""
    examples: Path | None = None
    """File that keeps the examples between runs (.npz, 2.5 kB a window): read where it exists, else written."""
    quality_at: Annotated[float, Interval(ge=-20, le=20)] = 0.0
    """Logit of quality from which an answer is shown; moved into the bias when training is over."""
    irregular_at: Annotated[float, Interval(ge=-20, le=20)] = 0.0
    """Logit of irregular from which a pulse is flagged; moved into the bias likewise."""
    out: Path | None = None
    """File to write (default: runs/distill/SIZE.safetensors, or in a folder of the teacher's name there)."""
    steps: Annotated[int, Interval(ge=0, le=1_000_000)] = 4000
    """Optimiser steps; 0 with --refit leaves what the start sees and answers as it is."""
    batch: Annotated[int, Interval(ge=1, le=65_536)] = 256
    """Windows per step."""
    lr: Annotated[float, Interval(gt=0, le=1)] = 2e-3
    """Peak learning rate; warm-up over 5 %, then cosine."""
    weight_decay: Annotated[float, Interval(ge=0, le=1)] = 0.05
    """AdamW weight decay."""
    versions: Annotated[int, Interval(ge=1, le=20)] = 3
    """Watch-like versions of each recording."""
    every_s: Annotated[float, Interval(ge=0.2, le=600)] = 8.0
    """Seconds between the training windows that are cut from one version."""
    seed: Seed = 0
    """Seed of weights, versions and batches."""
    bf16: Bf16 = True
    device: Device = "cpu"
    data: Data = None

    @property
    def path(self) -> Path:
        """Where the student is written."""
        from onwrist.quantize.teaching.student_files import runs_of

        return self.out or runs_of("distill", self.teacher) / f"{self.size}.safetensors"


def main(config: DistillConfig) -> None:
    """Distil the teacher into a streaming student."""
    from onwrist.writing import claim_file

    with claim_file(config.path):
        _distil(config)


def _distil(config: DistillConfig) -> None:
    import torch

    from onwrist.command import bar, say
    from onwrist.models.encoders.checkpoint import load_encoder, save_weights, teacher_file
    from onwrist.models.encoders.devices import device_of
    from onwrist.models.student.network import LADDER, MOTION_WIDTHS, layers_of, network_of
    from onwrist.quantize.judging.evaluate import evaluation
    from onwrist.quantize.judging.useful import words_of
    from onwrist.quantize.teaching.course import Course, distil
    from onwrist.quantize.teaching.distillation import Detail
    from onwrist.quantize.teaching.examples import build, load_examples, save_examples
    from onwrist.quantize.teaching.readout import fit_embedding
    from onwrist.quantize.teaching.student_files import meet_half_way, save_student, take_over

    torch.manual_seed(config.seed)
    shape = LADDER[config.size]
    if config.accelerometer:
        shape = replace(shape, motion=MOTION_WIDTHS[config.size])
    student, standard = network_of(shape), None
    if config.start:
        standard = take_over(student, config.start)
    device = device_of(config.device)
    if config.examples and config.examples.exists():
        examples, standard = load_examples(config.examples)
    else:
        examples, standard = build(
            load_encoder(config.teacher), shape.context, versions=config.versions, hop_s=config.every_s,
            seed=config.seed, standard=standard, root=config.data, device=device, accelerometer=config.accelerometer, progress=bar,
        )  # fmt: skip
        if config.examples:
            save_examples(config.examples, examples, standard)
    course = Course(config.steps, config.batch, config.lr, config.seed, config.weight_decay, config.bf16)
    detail = Detail(student)
    distil(student, examples, course, detail=detail, out=config.path, device=device, progress=bar, say=say)
    if config.start and config.mean:
        meet_half_way(student, config.start)
    if config.refit:
        fit_embedding(student, examples, config.seed, bar)
    student.move_thresholds({"quality": config.quality_at, "irregular": config.irregular_at})
    recipe = {
        "teacher": config.teacher,
        "start": config.start and config.start.name,
        "mean": config.mean,
        "refit": config.refit,
        "steps": config.steps,
        "batch": config.batch,
        "seed": config.seed,
        "thresholds": [config.quality_at, config.irregular_at],
        "windows": len(examples),
    }
    save_student(
        config.path, student, standard, {"recipe": recipe}, parent=config.start, teacher=teacher_file(config.teacher)
    )
    # What the training asked of single beats goes with no student, but is there for whoever asks it again.
    save_weights(
        config.path.with_suffix(".detail.safetensors"), detail.state_dict(), {"recipe": recipe}, parent=config.path
    )
    count = sum(layer.weight.numel() for _, layer in layers_of(student))
    say(f"{config.path}: {count:,} weights, {len(examples):,} windows")
    print(words_of(student, evaluation(shape.context, config.data, bar)))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, DistillConfig)
