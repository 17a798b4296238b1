"""Intervals over people that keep their level for few of them: the statistic on every subset of people.

For independent people whose values are symmetric about a common centre, the means of the 2^n - 1 non-empty subsets cut
the line into 2^n intervals that are equally likely to hold the centre, whatever the people's spreads (Hartigan 1969,
"Using subsample values as typical values", JASA 64, 1303-1317). The same counts are the sign-flip test: a subset's sum
is below zero exactly where flipping the others' signs gives a larger total. Nothing is estimated, so there is no
variance that few people estimate badly; resampling people with replacement does, and its interval is too narrow.

A statistic that is no mean goes in by its jackknife values, a share of the statistic for every person.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Fewer people than this have fewer than 40 subsets: no 95 % interval exists (2 / 2^6 = 3.1 %, 2 / 2^5 = 6.3 %).
FEWEST = 6
# All subsets up to this many people; beyond it as many random ones, whose error is far below a point.
EXACT_PEOPLE = 12
LEVEL, SEED = 0.05, 0
TOO_FEW = "too few people"


@dataclass(frozen=True)
class Interval:
    """A statistic with its 95 % interval over people.

    Attributes:
        value: on everybody. low, high: None where there are too few people to say.
        p: two-sided, of the value being 0; None likewise.
        people: that say anything.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    people: int

    @property
    def plain(self) -> tuple[float, float, float]:
        """(value, low, high) with NaN where there are too few people: no comparison with a limit then holds."""
        low, high = (float("nan") if v is None else v for v in (self.low, self.high))
        return self.value, low, high


@lru_cache(maxsize=32)
def subsets(people: int) -> np.ndarray:
    """Non-empty subsets of people, bool (subsets, people): all of them, or random ones where they are too many."""
    if people <= EXACT_PEOPLE:
        return (np.arange(1, 2**people)[:, None] >> np.arange(people) & 1).astype(bool)
    # Half of each pair is the other's complement: where one lies above the value the other lies below it.
    half = np.random.default_rng([SEED, people]).integers(0, 2, (2 ** (EXACT_PEOPLE - 1), people)).astype(bool)
    half = half[half.any(axis=1) & ~half.all(axis=1)]  # nobody has no mean, and everybody is nobody's complement
    return np.concatenate([half, ~half])


def interval(value: np.ndarray, share: np.ndarray | None = None) -> Interval:
    """The sum of people's values with its 95 % interval.

    Args:
        value: (people,) what each adds to the statistic.
        share: (people,) of the whole that each stands for, summing to 1; equal shares if None.
    """
    value = np.asarray(value, float)
    share = np.full(len(value), 1.0 / max(1, len(value))) if share is None else np.asarray(share, float)
    there = share > 0
    value, share = value[there], share[there]
    total, people = float(value.sum()), len(value)
    if people and not value.any():
        return Interval(0.0, 0.0, 0.0, 1.0, people)  # the same in every person: nothing varies
    if people < FEWEST or not np.isfinite(value).all():
        return Interval(total if people else float("nan"), None, None, None, people)
    chosen = subsets(people)
    sums = chosen @ value
    means = np.sort(sums / (chosen @ share))
    every = len(means) + 1
    outside = max(1, int(LEVEL / 2 * every))
    side = min(int(np.sum(sums <= 0)), int(np.sum(sums >= 0)))
    return Interval(total, float(means[outside - 1]), float(means[-outside]), min(1.0, 2 * (side + 1) / every), people)


def text(found: tuple | list, digits: int = 3, sign: str = "+") -> str:
    """`+0.012 [-0.003, +0.027]`, or the value and that there are too few people.

    Args:
        found: (value, low, high, ...), low and high None or NaN where there are too few.
    """
    value, low, high = found[:3]
    if low is None or high is None or not np.isfinite([low, high]).all():
        return f"{value:{sign}.{digits}f} ({TOO_FEW})" if value is not None and np.isfinite(value) else TOO_FEW
    if low == high:
        return f"{value:{sign}.{digits}f} (the same in everybody)"
    return f"{value:{sign}.{digits}f} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"
