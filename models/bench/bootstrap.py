"""Two encoders on the same people: scores by person fold, and their paired difference with an interval.

A score is the mean over person folds. For the interval people are drawn with replacement inside each fold, the same
people for both encoders. What a score needs is summed by person once (`Tally`), so that thousands of draws cost a
product of small matrices and nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

DRAWS, SEED = 2000, 0
# Two-sided levels and their signs; with 2,000 draws a third star would rest on one draw.
STARS = ((0.01, "**"), (0.05, "*"))


class Tally(Protocol):
    """A score of one encoder on one fold, summed by person."""

    def score(self, weights: np.ndarray) -> np.ndarray:
        """Scores (draws,) when each person counts `weights` (draws, people) times; NaN where undefined."""
        ...


@dataclass(frozen=True)
class Ranking:
    """AUROC.

    Attributes:
        won: (people, people) pairs in which a positive of the row's person scores above a negative of the column's,
            ties counted as half.
        positives, negatives: (people,) windows.
    """

    won: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, predicted: np.ndarray, person: np.ndarray, people: int) -> Ranking:
        """From windows: truth (n,) 0 or 1, predicted (n,), person (n,) in 0..people."""
        positive = truth > 0.5
        won = np.zeros((people, people))
        for b in np.unique(person[~positive]):
            lower = np.sort(predicted[~positive & (person == b)])
            below = np.searchsorted(lower, predicted[positive], "left")
            upto = np.searchsorted(lower, predicted[positive], "right")
            won[:, b] = np.bincount(person[positive], 0.5 * (below + upto), people)
        return cls(
            won, np.bincount(person[positive], minlength=people), np.bincount(person[~positive], minlength=people)
        )

    def score(self, weights: np.ndarray) -> np.ndarray:
        """See `Tally`."""
        pairs = (weights @ self.positives) * (weights @ self.negatives)
        won = np.einsum("da,ab,db->d", weights, self.won, weights, optimize=True)
        return np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


@dataclass(frozen=True)
class MeanError:
    """Mean absolute error: sums (people,) and windows (people,)."""

    error: np.ndarray
    windows: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, predicted: np.ndarray, person: np.ndarray, people: int) -> MeanError:
        """From windows: truth and predicted (n,) in the label's unit, person (n,) in 0..people."""
        return cls(np.bincount(person, np.abs(truth - predicted), people), np.bincount(person, minlength=people))

    def score(self, weights: np.ndarray) -> np.ndarray:
        """See `Tally`."""
        count = weights @ self.windows
        return np.divide(weights @ self.error, count, out=np.full(len(weights), np.nan), where=count > 0)


TALLIES: dict[str, type[Ranking] | type[MeanError]] = {"auroc": Ranking, "value": MeanError}


@dataclass(frozen=True)
class Scores:
    """One encoder on one task: a tally for every fold, and how many people each has."""

    folds: list[Tally]
    people: list[int]

    def by_fold(self) -> np.ndarray:
        """Score of each fold, (folds,); NaN where a fold has one class only."""
        return np.array([t.score(np.ones((1, n)))[0] for t, n in zip(self.folds, self.people, strict=True)])

    @cached_property
    def drawn(self) -> np.ndarray:
        """Mean score over folds, (DRAWS,), people resampled inside each: the same people for every encoder."""
        rng = np.random.default_rng(SEED)
        each = []
        for tally, n in zip(self.folds, self.people, strict=True):
            each.append(tally.score(rng.multinomial(n, np.full(n, 1.0 / n), DRAWS).astype(float)))
        return np.nanmean(each, axis=0)


def scores(
    kind: str, truth: np.ndarray, predicted: np.ndarray, person: np.ndarray, folds: Sequence[np.ndarray]
) -> Scores:
    """Tallies of one encoder.

    Args:
        kind: auroc or value.
        truth, predicted, person: (n,) per test window; person is any label.
        folds: window indices of each person fold.
    """
    tallies: list[Tally] = []
    people: list[int] = []
    for rows in folds:
        names, index = np.unique(person[rows], return_inverse=True)
        tallies.append(TALLIES[kind].of(truth[rows], predicted[rows], index, len(names)))
        people.append(len(names))
    return Scores(tallies, people)


def difference(first: Scores, other: Scores) -> tuple[float, float, float, str]:
    """(difference, low, high, stars) of `other - first`: 95 % interval, stars by `STARS` where 0 lies outside."""
    found = float(np.nanmean(other.by_fold()) - np.nanmean(first.by_fold()))
    drawn = other.drawn - first.drawn
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    side = min(np.mean(drawn <= 0), np.mean(drawn >= 0))
    stars = next((sign for level, sign in STARS if 2 * side < level), "")
    return found, float(low), float(high), stars
