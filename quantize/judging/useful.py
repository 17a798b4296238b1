"""Is a student worth anything? Each answer against its floor, on people whom it was not taught by.

INT8 that equals float to the last byte proves nothing about a float student that shows 88 BPM to everybody. An answer is
above its floor where its 95 % interval over people is: a value against the best constant (the median of the very people
it is judged on, so that the floor is given every chance), a yes or no against chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onwrist.models.bench.comparison import TALLIES
from onwrist.models.bench.subsets import FEWEST, TOO_FEW, Interval, interval
from onwrist.models.student.network import ANSWERS, HEART_RATE_SPAN
from onwrist.quantize.judging.evaluate import Evaluation, Outputs

CHANCE = 0.5
# An answer that spreads less than this over different people's windows, in its own unit, is a constant.
FLAT = {"value": 0.5, "auroc": 1e-3}


@dataclass(frozen=True)
class Floor:
    """One answer against its floor.

    Attributes:
        answer: name. kind: "value" (mean absolute error, beats/min) or "auroc".
        student, floor: scores. margin: how far the student is on the right side, with its interval.
        spread: of the answer over the windows, in its unit.
    """

    answer: str
    kind: str
    student: float
    floor: float
    margin: Interval
    spread: float

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
            said = f"error {self.student:.1f} BPM, the best constant's {self.floor:.1f}"
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
        said: of the student (INT8 or float) on `data.x`.
    """
    found = []
    for column, name in enumerate(ANSWERS):
        known = np.isfinite(data.labels[:, column])
        truth, answer = data.labels[known, column].astype(float), said.answers[known, column].astype(float)
        if not len(truth):
            continue
        if name == "heart_rate":
            found.append(_value(name, truth * HEART_RATE_SPAN, answer * HEART_RATE_SPAN, data.person[known]))
        elif 0 < truth.mean() < 1:
            found.append(_yes_no(name, truth, answer, data.person[known]))
    return found


def _value(name: str, truth: np.ndarray, said: np.ndarray, person: np.ndarray) -> Floor:
    names, index = np.unique(person, return_inverse=True)
    constant = np.full_like(truth, np.median(truth))
    student, floor = (TALLIES["value"].of(truth, x, index, len(names)) for x in (said, constant))
    (own, share), (other, _) = student.parts(), floor.parts()
    return Floor(name, "value", float(own.sum()), float(other.sum()), interval(other - own, share), float(said.std()))


def _yes_no(name: str, truth: np.ndarray, said: np.ndarray, person: np.ndarray) -> Floor:
    names, index = np.unique(person, return_inverse=True)
    ranking = TALLIES["auroc"].of(truth, said, index, len(names))
    value, share = ranking.parts()
    margin = interval(value - CHANCE * share, share)
    if ranking.fewest() < FEWEST:
        margin = Interval(margin.value, None, None, None, ranking.fewest())
    return Floor(name, "auroc", float(value.sum()), CHANCE, margin, float(said.std()))
