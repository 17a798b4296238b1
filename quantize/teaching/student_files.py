"""Where students are kept, and how a float student is written and read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from onwrist.errors import CheckpointError
from onwrist.models.encoders.checkpoint import SHIPPED_TEACHER, load_strict, read_state, save_weights
from onwrist.models.student.graph import AnyStudent, graph_of, make_student
from onwrist.models.student.network import Student, StudentConfig
from onwrist.models.student.outputs import Answers
from onwrist.quantize.teaching.examples import Standard
from onwrist.resources import WEIGHTS


def runs_of(step: str, teacher: str | None) -> Path:
    """Folder of what a step made of a teacher: runs/STEP, and in it one for each teacher that was named."""
    return Path("runs", step, re.sub(r"[^A-Za-z0-9]+", "-", teacher or "").strip("-"))


def float_weights(size: str, teacher: str | None = None) -> Path:
    """The float student of a size: the shipped one, or what quantize/distill.py left for a teacher."""
    return _of_teacher("distill", f"{size}.safetensors", teacher)


def int8_weights(size: str, teacher: str | None = None) -> Path:
    """The quantised student of a size: the shipped one, or what quantize/qat.py left for a teacher."""
    return _of_teacher("qat", f"{size}.int8.safetensors", teacher)


def _of_teacher(step: str, name: str, teacher: str | None) -> Path:
    path = runs_of(step, teacher) / name
    if not teacher or (teacher == SHIPPED_TEACHER and not path.exists()):
        return WEIGHTS / name
    if not path.exists():
        raise CheckpointError(
            f"no student of {teacher}", where=path, cure=f"Run python quantize/{step}.py --teacher {teacher}"
        )
    return path


def save_student(path: Path, student: nn.Module, standard: Standard, metadata: dict) -> None:
    """Student weights, the standardisation of its embedding, and its config in one safetensors file."""
    state = student.state_dict()
    state["standard.mean"] = torch.from_numpy(np.asarray(standard.mean, np.float32))
    state["standard.std"] = torch.from_numpy(np.asarray(standard.std, np.float32))
    if standard.basis is not None:
        state["standard.basis"] = torch.from_numpy(np.asarray(standard.basis, np.float32))
    save_weights(path, state, {**graph_of(student).recipe, **metadata})


def load_student(path: Path | str) -> tuple[AnyStudent, Standard]:
    """A student in eval mode and its standardisation.

    Raises:
        CheckpointError: not a student, or not its shape.
    """
    state, metadata = read_state(path)
    student = student_of(metadata, path)
    basis = state.pop("standard.basis", None)
    standard = Standard(
        state.pop("standard.mean").numpy(),
        state.pop("standard.std").numpy(),
        None if basis is None else basis.numpy(),
    )
    load_strict(student, state, path)
    return student.eval(), standard


def take_over(student: Student, path: Path | str) -> Standard:
    """Start a student, in place, from another of the same trunk; returns the standardisation that it was taught with.

    Layers of another shape (a head of another kind) keep their own weights.

    Raises:
        CheckpointError: not a student, or of another trunk.
    """
    state, metadata = read_state(path)
    was = student_config(metadata, path)
    if replace(was, head=student.config.head, answers=student.config.answers) != student.config:
        raise CheckpointError("is a student of another size", where=path, cure=f"Use one of {student.config.name}")
    standard = Standard(state["standard.mean"].numpy(), state["standard.std"].numpy())
    own = student.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    student.load_state_dict({**own, **fitting})
    return standard


def meet_half_way(student: Student, path: Path | str) -> None:
    """Half of the way, in place, from another student to this one: the mean of each weight and of each norm's statistics.

    Raises:
        CheckpointError: not a student, or of another shape.
    """
    other, _ = load_student(path)
    if not isinstance(other, Student) or other.config != student.config:
        raise CheckpointError("is a student of another size", where=path, cure=f"Use one of {student.config.name}")
    start = other.state_dict()
    student.load_state_dict(
        {n: (v + start[n]) / 2 if v.is_floating_point() else v for n, v in student.state_dict().items()}
    )


def student_of(metadata: dict[str, str], where) -> AnyStudent:
    """The network of a student file, without its weights: of this project, or a user's own, made again by her function.

    Raises:
        CheckpointError: not a student, or its function is not there.
    """
    if "graph" not in metadata:
        return Student(student_config(metadata, where))
    made = json.loads(metadata["graph"])
    return make_student(made["source"], made["embedding"], Answers.of(made["answers"]), made["rates"], made["name"])


def student_config(metadata: dict[str, str], where) -> StudentConfig:
    """The config that a student file carries."""
    if "student" not in metadata:
        raise CheckpointError("is not a student", where=where, cure="Make one with quantize/distill.py")
    values: dict[str, Any] = json.loads(metadata["student"])
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    if "answers" in fields:
        fields["answers"] = Answers.of(fields["answers"])
    return StudentConfig(**fields)
