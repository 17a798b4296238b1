"""Where students are kept, and how a float student is written and read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onwrist.errors import CheckpointError, ConfigError
from onwrist.models.encoders.checkpoint import SHIPPED_TEACHER, load_strict, read_state, save_weights
from onwrist.models.encoders.digests import damaged, told
from onwrist.models.student.graph import AnyStudent, graph_of, make_student
from onwrist.models.student.names import EMBEDDING_OUTPUT
from onwrist.models.student.network import Student, StudentConfig, network_of
from onwrist.models.student.outputs import Answers
from onwrist.quantize.teaching.examples import Standard
from onwrist.resources import WEIGHTS
from onwrist.signals.front_end.student_input import StudentInput


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


def save_student(
    path: Path,
    student: nn.Module,
    standard: Standard,
    metadata: dict,
    *,
    parent: Path | None = None,
    teacher: Path | None = None,
) -> None:
    """Student weights, the standardisation of its embedding, and its config in one safetensors file.

    Args:
        metadata: `recipe` says how it was made. parent: file of the student that it went on from. teacher: of its teacher.
    """
    state = student.state_dict()
    state["standard.mean"] = torch.from_numpy(np.asarray(standard.mean, np.float32))
    state["standard.std"] = torch.from_numpy(np.asarray(standard.std, np.float32))
    if standard.basis is not None:
        state["standard.basis"] = torch.from_numpy(np.asarray(standard.basis, np.float32))
    save_weights(path, state, {**graph_of(student).recipe, **metadata}, parent=parent, teacher=teacher)


def load_student(path: Path | str) -> tuple[AnyStudent, Standard]:
    """A student in eval mode and its standardisation.

    Raises:
        CheckpointError: not a student, not its shape, or damaged.
    """
    state, metadata = read_state(path)
    student = student_of(metadata, path)
    check_finite(state, path)
    graph = graph_of(student)
    width = next(graph.channels_of(o.place) for o in graph.outputs if o.name == EMBEDDING_OUTPUT)
    standard = _standard(state, width, path)
    load_strict(student, {n: v for n, v in state.items() if not n.startswith("standard.")}, path)
    return student.eval(), standard


def take_over(student: Student, path: Path | str) -> Standard:
    """Start a student, in place, from another of the same trunk; returns the standardisation that it was taught with.

    Layers of another shape (a head of another kind), and those over acceleration that the other has none of, keep their own
    weights.

    Raises:
        CheckpointError: not a student, or of another trunk.
    """
    state, metadata = read_state(path)
    was = student_config(metadata, path)
    own = student.config
    if replace(was, head=own.head, answers=own.answers, motion=own.motion) != own:
        raise CheckpointError("is a student of another size", where=path, cure=f"Use one of {student.config.name}")
    standard = replace(_standard(state, was.embedding, path), basis=None)
    fresh = student.state_dict()
    fitting = {name: value for name, value in state.items() if name in fresh and fresh[name].shape == value.shape}
    student.load_state_dict({**fresh, **fitting})
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


def student_of(metadata: dict[str, str], where: Path | str) -> AnyStudent:
    """The network of a student file, without its weights: of this project, or a user's own, made again by her function.

    Raises:
        CheckpointError: not a student, or its function is not there. ExportError: that function makes another one now.
    """
    if "graph" not in metadata:
        return network_of(student_config(metadata, where))
    made = told(metadata, "graph", where)
    try:
        source, width, answers = str(made["source"]), int(made["embedding"]), Answers.of(made["answers"])
        rates, name = dict(made["rates"]), str(made["name"])
        sees = StudentInput.of(made.get("input", {}))
    except (TypeError, KeyError, ValueError, ConfigError) as error:
        raise damaged(where, "graph") from error
    return make_student(source, width, answers, rates, name, sees)


def student_config(metadata: dict[str, str], where: Path | str) -> StudentConfig:
    """The config that a student file carries.

    Raises:
        CheckpointError: none, or one that no student has.
    """
    if "student" not in metadata:
        raise CheckpointError("is not a student", where=where, cure="Make one with quantize/distill.py")
    values = told(metadata, "student", where)
    if not isinstance(values, dict):
        raise damaged(where, "student")
    try:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        if "answers" in fields:
            fields["answers"] = Answers.of(fields["answers"])
        if "sees" in fields:
            fields["sees"] = StudentInput.of(fields["sees"])
        return StudentConfig(**fields)
    except (TypeError, ConfigError) as error:
        raise damaged(where, "student") from error


def check_finite(state: dict[str, Tensor], where: Path | str) -> None:
    """A student with one NaN says NaN to everybody.

    Raises:
        CheckpointError: a tensor holds NaN or infinity.
    """
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            cure = "Fetch it or make it again"
            raise CheckpointError("holds NaN or infinity", where=where, field=name, cure=cure)


def _standard(state: dict[str, Tensor], width: int, where: Path | str) -> Standard:
    """The standardisation in a student's file."""
    found = {}
    for name, shape in (("mean", (width,)), ("std", (width,)), ("basis", None)):
        value = state.get(f"standard.{name}")
        if value is None and name == "basis":
            continue
        if value is None or value.dtype != torch.float32 or (shape and value.shape != shape):
            cure = "Make it anew with quantize/distill.py"
            raise CheckpointError("is no standardisation", where=where, field=f"standard.{name}", cure=cure)
        found[name] = value.numpy()
    return Standard(**found)
