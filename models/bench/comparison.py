"""Two encoders on the same people: scores by person fold, and their paired difference with an interval.

A score is the mean over person folds. It is summed by person once (`Tally`), and each person's part of the difference
goes into an interval that keeps its level for few people (`models.bench.subsets`). A mean absolute error is a sum over
people; an AUROC is one up to its jackknife (each person's influence on it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from onwrist.models.bench.subsets import FEWEST, Interval, interval, subsets

# Two-sided levels and their signs; eight people can show two stars (2 / 2^8), six one, fewer none.
STARS = ((0.01, "**"), (0.05, "*"))


class Tally(Protocol):
    """A score of one encoder on one fold, summed by person."""

    def score(self, weights: np.ndarray) -> np.ndarray:
        """Scores (draws,) when each person counts `weights` (draws, people) times; NaN where undefined."""
        ...

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """What each person adds to the score, and the share of it that he stands for, (people,) each; shares sum to 1."""
        ...

    def fewest(self) -> int:
        """People of the kind that there is least of."""
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

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """See `Tally`: the infinitesimal jackknife; a person counts by his share of positives and of negatives."""
        positives, negatives = self.positives.sum(), self.negatives.sum()
        pairs = positives * negatives
        value = self.won.sum() / pairs
        share = (self.positives / positives + self.negatives / negatives) / 2
        influence = (self.won.sum(axis=0) + self.won.sum(axis=1)) / pairs - 2 * value * share
        return influence + value * share, share

    def fewest(self) -> int:
        """See `Tally`: people with a positive, or with a negative."""
        return int(min(np.count_nonzero(self.positives), np.count_nonzero(self.negatives)))


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

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """See `Tally`: exact, since the error is a sum."""
        total = self.windows.sum()
        return self.error / total, self.windows / total

    def fewest(self) -> int:
        """See `Tally`."""
        return int(np.count_nonzero(self.windows))


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
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """What each person adds to the mean over folds, and his share of it; folds without both classes left out."""
        defined = [t for t, v in zip(self.folds, self.by_fold(), strict=True) if np.isfinite(v)]
        if not defined:
            return np.zeros(0), np.zeros(0)
        values, shares = (np.concatenate(x) / len(defined) for x in zip(*(t.parts() for t in defined), strict=True))
        people = np.count_nonzero(shares)
        if isinstance(defined[0], Ranking) and people > 1:
            # To first order a person's influence on an AUROC leaves out what pairs of people do together; few people
            # have many such pairs beside their own. With this factor noise gets its stars as often as it should.
            middle = values.sum() * shares
            values = middle + (values - middle) * people / (people - 1)
        return values, shares

    @property
    def fewest(self) -> int:
        """People of the kind that there is least of (with a positive, or with a negative)."""
        return sum(t.fewest() for t, v in zip(self.folds, self.by_fold(), strict=True) if np.isfinite(v))

    @cached_property
    def drawn(self) -> np.ndarray:
        """The score on subsets of people, (subsets,): its 2.5 and 97.5 % quantiles are its interval."""
        value, share = self.parts
        chosen = subsets(len(value))
        return (chosen @ value) / (chosen @ share)


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


def difference(first: Scores, other: Scores) -> tuple[float, float | None, float | None, str]:
    """(difference, low, high, stars) of `other - first`: 95 % interval over people, stars by `STARS`.

    low and high are None, and there are no stars, where fewer than `FEWEST` people (with a positive, or with a negative)
    are too few to say.
    """
    (a, share), (b, _) = first.parts, other.parts
    found = interval(b - a, share)
    if min(first.fewest, other.fewest) < FEWEST and found.low != found.high:
        found = Interval(found.value, None, None, None, found.people)
    stars = next((sign for level, sign in STARS if found.p is not None and found.p < level), "")
    return found.value, found.low, found.high, stars
