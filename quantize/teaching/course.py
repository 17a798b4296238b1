"""A training from its first step to its last: its curve in a file, its state kept against a kill, an estimate of its length.

student.safetensors.course.pt       everything that the next step needs; gone when the training is over
student.safetensors.curve.jsonl     the losses of every step
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from onwrist.errors import ExportError
from onwrist.models.student.graph import AnyStudent
from onwrist.quantize.integers.arithmetic import read_integers
from onwrist.quantize.integers.fake_quant import QuantGraph, quantise
from onwrist.quantize.integers.training import calibration_batches, train_quantised
from onwrist.quantize.judging.evaluate import Evaluation, compare, run_integers, run_torch
from onwrist.quantize.teaching.distillation import Detail, train
from onwrist.quantize.teaching.examples import Examples
from onwrist.quantize.teaching.questions import SHIPPED_QUESTIONS, Questions
from onwrist.signals.people.cohort import Progress, silent
from onwrist.writing import write_whole

# A state of a student is a megabyte: twice a minute costs nothing beside the steps.
SAVE_EVERY_S = 30.0
# The first steps load code and grow buffers; the next ones say how long the rest takes.
WARM_STEPS, TIMED_STEPS = 3, 10

Say = Callable[[str], None]


def nothing(text: str) -> None:
    """What a library says: nothing. The command line passes `onwrist.command.say`."""


class Keeper:
    """Keeps a training on disk, so that a kill costs half a minute and not the training.

    Args:
        out: what the training will write; state and curve lie beside it. None keeps nothing.
        identity: whatever has to be equal for a kept state to be this training's.
        parts: with `state_dict` and `load_state_dict`.
    """

    def __init__(
        self, out: Path | None, identity: dict[str, Any], parts: dict[str, Any], every_s: float = SAVE_EVERY_S
    ):
        self.state = None if out is None else out.with_name(f"{out.name}.course.pt")
        self.curve = None if out is None else curve_of(out)
        self.identity, self.parts, self.every_s = identity, parts, every_s
        self.saved = time.monotonic()
        self.lines: list[str] = []

    def begin(self) -> int:
        """The step to go on from: 0, or that of a kept state of the same training. Another training's is no help."""
        if self.state is None or self.curve is None:
            return 0
        step = 0
        if self.state.exists():
            try:
                found = torch.load(self.state, weights_only=True)
                if found["identity"] == self.identity:
                    for name, part in self.parts.items():
                        part.load_state_dict(found[name])
                    step = int(found["step"])
            except Exception:  # half a file, or of another release: the training starts anew, as without one
                step = 0
        kept = self.curve.read_text().splitlines()[:step] if step and self.curve.exists() else []
        write_whole(self.curve, "".join(f"{line}\n" for line in kept).encode())
        return step

    def after(self, step: int, losses: dict[str, float]) -> None:
        """A step was done."""
        if self.state is None:
            return
        self.lines.append(json.dumps({"step": step, **losses}))
        if time.monotonic() - self.saved >= self.every_s:
            self._write_curve()
            parts = {n: p.state_dict() for n, p in self.parts.items()}
            kept = io.BytesIO()
            torch.save({"identity": self.identity, "step": step + 1, **parts}, kept)
            write_whole(self.state, kept.getvalue())
            self.saved = time.monotonic()

    def end(self) -> None:
        """The training is over."""
        if self.state is not None:
            self._write_curve()
            self.state.unlink(missing_ok=True)

    def _write_curve(self) -> None:
        assert self.curve is not None
        try:
            with self.curve.open("a") as file:
                file.writelines(f"{line}\n" for line in self.lines)
        except OSError as error:
            cure = "Make room and start it again: it goes on from what is kept"
            raise ExportError(f"cannot be written ({error.strerror})", where=self.curve, cure=cure) from error
        self.lines = []


def curve_of(out: Path) -> Path:
    """Where the losses of a training lie."""
    return out.with_name(f"{out.name}.curve.jsonl")


def read_curve(out: Path) -> list[dict[str, float]]:
    """The losses of every step of the training that wrote a file."""
    rows = [json.loads(line) for line in curve_of(out).read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "step"} for row in rows]


def follow(losses: Iterable[dict[str, float]], what: str, total: int, progress: Progress, say: Say) -> None:
    """Run a training; says how long it will take as soon as its own steps have shown it."""
    steps = progress(losses, what, total=total)
    began = 0.0
    for i, row in enumerate(steps):
        if i == WARM_STEPS:
            began = time.monotonic()
        if i == WARM_STEPS + TIMED_STEPS:
            each = (time.monotonic() - began) / TIMED_STEPS
            say(f"{what}: {duration(each * (total - i))} to go ({1e3 * each:.0f} ms a step on this machine)")
        if hasattr(steps, "set_postfix"):
            steps.set_postfix({k: f"{v:.4f}" for k, v in row.items()}, refresh=False)


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class Course:
    """How long and how fast a training is."""

    steps: int
    batch: int
    lr: float
    seed: int = 0
    weight_decay: float = 0.0
    bf16: bool = False


def distil(
    student: AnyStudent,
    examples: Examples,
    course: Course,
    *,
    questions: Questions = SHIPPED_QUESTIONS,
    detail: Detail | None = None,
    out: Path | None = None,
    device: str = "cpu",
    progress: Progress = silent,
    say: Say = nothing,
) -> None:
    """Teach a student in place; goes on where a training of the same was killed.

    Args:
        detail: as `train` takes it. out: the file that the student will be written to; see the module's docstring. device: as `device_of` gives it.
    """
    losses = train(
        student, examples, steps=course.steps, batch=course.batch, lr=course.lr, weight_decay=course.weight_decay,
        seed=course.seed, bf16=course.bf16, questions=questions, detail=detail, device=device,
        keeper=lambda identity, parts: Keeper(out, identity, parts),
    )  # fmt: skip
    follow(losses, f"distil {student.name}", course.steps, progress, say)


def quantised(
    parent: AnyStudent,
    examples: Examples,
    course: Course,
    data: Evaluation,
    *,
    out: Path | None = None,
    progress: Progress = silent,
    say: Say = nothing,
) -> tuple[QuantGraph, dict[str, dict]]:
    """Post-training quantisation, then QAT where the course has steps; both judged on held-out people. QAT goes on where one of
    the same was killed.

    Args:
        out: the file that the quantised student will be written to; see the module's docstring.

    Returns:
        The quantised student, and "ptq" and "qat" -> `judging.evaluate.compare`.
    """
    held, taught = data.fed(parent), examples.fed(parent)
    reference = run_torch(parent, *held)
    found = quantise(parent, calibration_batches(taught, course.seed))
    judged = {"ptq": compare(reference, run_integers(read_integers(found), *held), data)}
    if course.steps:
        losses = train_quantised(
            found, parent, taught, steps=course.steps, batch=course.batch, lr=course.lr, seed=course.seed,
            keeper=lambda identity, parts: Keeper(out, identity, parts),
        )  # fmt: skip
        follow(losses, f"QAT {parent.name}", course.steps, progress, say)
        judged["qat"] = compare(reference, run_integers(read_integers(found), *held), data)
    return found, judged
