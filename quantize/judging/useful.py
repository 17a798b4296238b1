"""Is a student worth anything? Each answer against its floor, on people whom it was not taught by.

INT8 that equals float to the last byte proves nothing about a float student that shows 88 BPM to everybody. An answer is
above its floor where its 95 % interval over people is: a value against the best constant (the median of the very people
it is judged on, so that the floor is given every chance), a yes or no against chance, classes against the commonest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from onwrist.models.bench.comparison import TALLIES
from onwrist.models.bench.probe import interval as jackknife
from onwrist.models.bench.subsets import FEWEST, TOO_FEW, Interval, interval
from onwrist.models.student.outputs import Answer
from onwrist.quantize.judging.evaluate import Evaluation, Outputs, macro_f1, run_torch

CHANCE = 0.5
# An answer that spreads less than this over different people's windows is a constant: of a value's span (0.5 BPM of a heart
# rate), of a logit as the head gives it, of windows that are of another class than most.
FLAT = {"value": 0.01, "auroc": 1e-3, "macro-F1": 1e-3}


@dataclass(frozen=True)
class Floor:
    """One answer against its floor.

    Attributes:
        answer: name. kind: "value" (mean absolute error, in `unit`), "auroc" or "macro-F1".
        student, floor: scores. margin: how far the student is on the right side, with its interval.
        spread: of the answer over the windows, as `FLAT` has it.
    """

    answer: str
    kind: str
    student: float
    floor: float
    margin: Interval
    spread: float
    unit: str = ""

    @property
    def flat(self) -> bool:
        """Whether it says the same to everybody."""
        return self.spread < FLAT[self.kind]

    @property
    def above(self) -> bool:
        """Whether it is above its floor; where too few people are there to say, whether it looks so."""
        low = self.margin.value if self.margin.low is None else self.margin.low
        return not self.flat and low > 0

    @property
    def words(self) -> str:
        """What was found, for people."""
        if self.kind == "value":
            said = (
                f"error {self.student:.1f}{f' {self.unit}' if self.unit else ''}, the best constant's {self.floor:.1f}"
            )
        elif self.kind == "macro-F1":
            said = f"macro-F1 {self.student:.3f}, the commonest class's {self.floor:.3f}"
        else:
            said = f"AUROC {self.student:.3f}, chance {self.floor:.1f}"
        if self.flat:
            return f"{said}: it says the same to everybody"
        if self.margin.low is None:
            return f"{said} ({self.margin.people} people: {TOO_FEW} for an interval)"
        return f"{said} (margin {self.margin.value:.3f} [{self.margin.low:.3f}, {self.margin.high:.3f}], {self.margin.people} people)"


def floors(said: Outputs, data: Evaluation) -> list[Floor]:
    """Every answer that the held-out people have labels for, against its floor.

    Args:
        said: of the student (INT8 or float) on `data`.
    """
    found = []
    for answer in data.answers:
        known = np.isfinite(data.rows(answer)[:, data.answers.column(answer.name)])
        truth = data.truth(answer, known).astype(float)
        own, person = data.said(said, answer)[known].astype(float), data.whose(answer)[known]
        kinds = len(np.unique(truth))
        if kinds and answer.kind == "value":
            found.append(_value(answer, truth, own, person))
        elif kinds > 1:
            floor = _yes_no if answer.kind == "yes/no" else _classes
            found.append(floor(answer.name, truth, own, person))
    return found


def _value(answer: Answer, truth: np.ndarray, said: np.ndarray, person: np.ndarray) -> Floor:
    names, index = np.unique(person, return_inverse=True)
    constant = np.full_like(truth, np.median(truth))
    student, floor = (TALLIES["value"].of(truth, x, index, len(names)) for x in (said, constant))
    (own, share), (other, _) = student.parts(), floor.parts()
    margin, spread = interval(other - own, share), float(said.std()) / answer.span
    return Floor(answer.name, "value", float(own.sum()), float(other.sum()), margin, spread, answer.unit)


def _yes_no(name: str, truth: np.ndarray, said: np.ndarray, person: np.ndarray) -> Floor:
    names, index = np.unique(person, return_inverse=True)
    ranking = TALLIES["auroc"].of(truth, said, index, len(names))
    value, share = ranking.parts()
    margin = interval(value - CHANCE * share, share)
    if ranking.fewest() < FEWEST:
        margin = Interval(margin.value, None, None, None, ranking.fewest())
    return Floor(name, "auroc", float(value.sum()), CHANCE, margin, float(said.std()))


def _classes(name: str, truth: np.ndarray, said: np.ndarray, person: np.ndarray) -> Floor:
    kinds, count = np.unique(truth, return_counts=True)
    constant = np.full_like(truth, kinds[count.argmax()])
    value, low, high = jackknife(
        lambda rows: macro_f1(truth[rows], said[rows]) - macro_f1(truth[rows], constant[rows]), person
    )
    there = np.isfinite([low, high]).all()
    margin = Interval(value, low if there else None, high if there else None, None, len(np.unique(person)))
    _, of_each = np.unique(said, return_counts=True)
    other = 1 - of_each.max() / of_each.sum()
    return Floor(name, "macro-F1", macro_f1(truth, said), macro_f1(truth, constant), margin, float(other))


def words_of(student: nn.Module, data: Evaluation) -> str:
    """A line an answer of a float student on held-out people: its score, its floor, and whether it is above."""
    found = floors(run_torch(student, *data.fed(student)), data)
    lines = [f"{f.answer.replace('_', ' ')}: {f.words}{'' if f.above else ': NOT above its floor'}" for f in found]
    return "\n".join([f"{data.name}, {len(np.unique(data.person))} people", *(lines or ["no labels to judge by"])])
