"""A short distillation that ranks a shape: on most of the training people, judged on the rest of them.

The people of the report have no part in it: a shape is chosen on training people whom this student has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F

from onwrist.errors import ConfigError
from onwrist.models.student.network import Student, StudentConfig
from onwrist.quantize.judging.evaluate import Evaluation, run_torch, scores
from onwrist.quantize.teaching.course import Course
from onwrist.quantize.teaching.distillation import answer_loss, imitation_loss, train
from onwrist.quantize.teaching.examples import Examples
from onwrist.quantize.teaching.questions import Questions
from onwrist.signals.people.split import group_of

# Of the training people one in so many is chosen by; of their windows at most so many, taken evenly.
CHOICE_EVERY, MOST_CHOICE = 5, 2000
# Where a training may be given up: by then the order of two shapes is mostly settled.
RUNG = 0.5


@dataclass(frozen=True)
class Judged:
    """A student on the people of the choice.

    Attributes:
        error: what it was taught to make small, imitation and answers together. cosine: to the teacher, median.
        answers: each answer's own score (mean error, AUROC, macro-F1); None where nothing tells.
    """

    error: float
    cosine: float
    answers: dict[str, float | None]


def split(examples: Examples, people: Mapping[str, str] | None = None) -> tuple[Examples, Examples]:
    """(taught, choice): every fifth person in the order of their names is in the second.

    Args:
        people: record -> person; left out, as `signals.people.split.group_of` tells.

    Raises:
        ConfigError: one person alone.
    """
    who = np.array([(people or {}).get(r) or group_of(str(r)) for r in examples.records])
    names = np.unique(who)
    if len(names) < 2:
        raise ConfigError("one person alone", field="data", cure="Give recordings of two people or more")
    chosen = np.isin(who, names[CHOICE_EVERY - 1 :: CHOICE_EVERY] if len(names) >= CHOICE_EVERY else names[-1:])
    rows = np.flatnonzero(chosen)
    return _rows(examples, np.flatnonzero(~chosen)), _rows(examples, rows[:: max(1, -(-len(rows) // MOST_CHOICE))])


def _rows(examples: Examples, rows: np.ndarray) -> Examples:
    return Examples(*(getattr(examples, f.name)[rows] for f in fields(Examples)))


def judge(student: Student, choice: Examples, questions: Questions) -> Judged:
    """A student in eval mode on the people of the choice; windows of its own length at least."""
    x = choice.x[:, choice.x.shape[1] - student.config.window :]
    outputs = run_torch(student, x)
    embedding, target = torch.from_numpy(outputs.embedding), torch.from_numpy(choice.embedding.astype(np.float32))
    labels, weight = torch.from_numpy(choice.labels), torch.from_numpy(choice.weight)
    with torch.no_grad():
        error = imitation_loss(embedding, target, weight)
        error += answer_loss(torch.from_numpy(outputs.answers), labels, weight, questions)
        near = F.cosine_similarity(embedding, target, dim=1)[weight > 0]
    data = Evaluation("choice", x, choice.labels, choice.records, questions.answers)
    return Judged(float(error), float(near.median()) if len(near) else float("nan"), scores(outputs, data))


def short(
    config: StudentConfig,
    taught: Examples,
    choice: Examples,
    questions: Questions,
    course: Course,
    give_up: Callable[[float], bool] = lambda error: False,
) -> Judged | None:
    """Distil a shape for a few steps.

    Args:
        give_up: asked once, at `RUNG` of the steps, with the error by then.

    Returns:
        None if it was given up.
    """
    torch.manual_seed(course.seed)
    student = Student(config)
    own = replace(taught, x=taught.x[:, taught.x.shape[1] - config.window :])
    rung = int(RUNG * course.steps)
    losses = train(
        student, own, steps=course.steps, batch=course.batch, lr=course.lr, weight_decay=course.weight_decay,
        seed=course.seed, bf16=course.bf16, questions=questions,
    )  # fmt: skip
    for step, _ in enumerate(losses, 1):
        if step == rung and step < course.steps:
            if give_up(judge(student, choice, questions).error):
                return None
            student.train()
    return judge(student.eval(), choice, questions)
