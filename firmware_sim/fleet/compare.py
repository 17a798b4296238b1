"""Does a fleet still see what the model was made for? Counters of devices against those of the reference's people.

Outputs of one person are not independent of one another, so that people (devices) are what is counted: each gives one
distribution per field, all weigh the same, and what is random is who wears a watch. A slice of the fleet (a day, a device
model, a firmware version) is held against the reference by a permutation of who belongs to which. The statistic is the
difference of mean shares over its standard error, which keeps its level where the two sides spread unequally (Janssen
1997, Chung and Romano 2013): devices count days, people of the reference minutes. The largest over all fields is compared
with the largest of each permutation, so that many fields cost no false alarms, and slices share the level (Bonferroni).

An alarm needs both: a difference that chance does not make, and one that is worth a look (PSI).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onwrist.export.sources.telemetry_rules import OUTPUTS, TelemetryRules
from onwrist.firmware_sim.fleet.table import Fleet

# False alarms of a whole run, all slices together.
LEVEL = 0.01
# Population stability index: below 0.1 is by custom "no change", above 0.25 "a large one".
LEAST_PSI = 0.1
# Of a device with fewer outputs little is known: two and a half minutes at one a second.
LEAST_OUTPUTS = 150
# Fewer devices than this have no spread to speak of.
LEAST_DEVICES = 5
PERMUTATIONS = 9999
# A part that nobody was ever in is given this share, so that a logarithm exists.
NEVER = 1e-3
WARMING = OUTPUTS.index("warming")
SLICES = ("day", "model", "firmware")


@dataclass(frozen=True)
class Found:
    """One slice against the reference.

    Attributes:
        column, value: the slice; column '' is the whole fleet. devices: that count. field: what differs most.
        psi: of that field. p: chance of such a difference in any field; NaN where there are too few devices.
        level: that p has to be below. reference, slice: mean shares of that field's parts.
        every: field -> (PSI, statistic).
    """

    column: str
    value: str
    devices: int
    field: str
    psi: float
    p: float
    level: float
    reference: np.ndarray
    slice: np.ndarray
    every: dict[str, tuple[float, float]]

    @property
    def alarm(self) -> bool:
        """Whether it is one."""
        return self.p <= self.level and self.psi >= LEAST_PSI

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.column} {self.value}" if self.column else "whole fleet"


def shares(
    counters: np.ndarray, rules: TelemetryRules, least: int = LEAST_OUTPUTS
) -> tuple[np.ndarray, dict[str, slice]]:
    """Each device's shares of every field's parts (n, parts), devices with too few outputs left out; field -> parts.

    The first field's counters overlap: each of them is a share of its own, of the outputs whose window is whole. Starts and
    warming up are left out: they say how long a recording was, not what was seen.
    """
    kept = counters[counters[:, 0] >= least].astype(np.float64)
    columns, where, at = [], {}, 0
    for name, place in rules.fields.items():
        part = kept[:, place]
        if name == "outputs":
            valid = part[:, :1] - part[:, WARMING : WARMING + 1]
            for i, reason in enumerate(OUTPUTS[WARMING + 1 :], WARMING + 1):
                share = np.divide(part[:, i : i + 1], valid, out=np.zeros_like(valid), where=valid > 0)
                columns.append(np.hstack([share, 1 - share]))
                where[reason] = slice(at, at + 2)
                at += 2
            continue
        total = part.sum(axis=1, keepdims=True)
        # A device that was never valid says nothing of the model's input: the reasons say it.
        columns.append(np.divide(part, total, out=np.full_like(part, 1 / part.shape[1]), where=total > 0))
        where[name] = slice(at, at + part.shape[1])
        at += part.shape[1]
    return np.hstack(columns), where


def psi(reference: np.ndarray, other: np.ndarray) -> float:
    """Population stability index of two distributions (k,)."""
    a, b = ((p + NEVER) / (1 + NEVER * len(p)) for p in (reference, other))
    return float(((b - a) * np.log(b / a)).sum())


def compare(
    reference: np.ndarray,
    fleet: Fleet,
    rules: TelemetryRules,
    *,
    by: Sequence[str] = SLICES,
    level: float = LEVEL,
    permutations: int = PERMUTATIONS,
    least: int = LEAST_OUTPUTS,
    seed: int = 0,
) -> list[Found]:
    """Every slice of a fleet against a reference, the whole fleet first.

    Args:
        reference: int64 (people, 80). by: columns that slices are made of. level: false alarms of the whole run.
        permutations: at least; more where the level of one slice asks for them. least: outputs of a device that counts.
        seed: of the permutations.
    """
    wanted = [("", "")] + [(c, v) for c in by for v in sorted(set(getattr(fleet, c).tolist()))]
    # A column with one value is the whole fleet again.
    wanted = [(c, v) for c, v in wanted if not c or len(set(getattr(fleet, c).tolist())) > 1]
    own = level / len(wanted)
    people, where = shares(reference, rules, min(least, int(reference[:, 0].max(initial=0))))
    found = []
    for column, value in wanted:
        rows = getattr(fleet, column) == value if column else np.ones(len(fleet.device), bool)
        devices, _ = shares(_by_device(fleet.device[rows], fleet.counters[rows]), rules, least)
        found.append(_held(people, devices, where, (column, value), own, max(permutations, int(4 / own)), seed))
    return found


def _by_device(device: np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Days of one device are one device: counters (devices, 80)."""
    names, at = np.unique(device, return_inverse=True)
    out = np.zeros((len(names), counters.shape[1]), np.int64)
    np.add.at(out, at, counters)
    return out


def _held(
    people: np.ndarray, devices: np.ndarray, where: dict[str, slice], what: tuple[str, str], level: float, times: int, seed: int
) -> Found:  # fmt: skip
    if min(len(people), len(devices)) < LEAST_DEVICES:
        nothing = np.zeros(0)
        return Found(*what, len(devices), "", float("nan"), float("nan"), level, nothing, nothing, {})
    both, n = np.concatenate([people, devices]), len(people)
    rng = np.random.default_rng(seed)
    own = _statistics(both, np.arange(len(both))[None] < n, where)[0]
    chance = np.zeros(times)
    for begin in range(0, times, 500):
        mine = rng.random((min(500, times - begin), len(both))).argsort(axis=1) < n
        chance[begin : begin + len(mine)] = _statistics(both, mine, where).max(axis=1)
    # Rounding may set apart what is equal.
    p = float((1 + np.count_nonzero(chance >= own.max() * (1 - 1e-9))) / (1 + times))
    a, b = people.mean(axis=0), devices.mean(axis=0)
    every = {name: (psi(a[at], b[at]), float(t)) for (name, at), t in zip(where.items(), own, strict=True)}
    # Of the fields that differ beyond chance, the one that moved most is shown.
    beyond = float(np.quantile(chance, 1 - level))
    moved = {n: value for n, (value, t) in every.items() if t >= beyond} or {max(every, key=lambda n: every[n][1]): 0.0}
    name = max(moved, key=moved.__getitem__)
    return Found(*what, len(devices), name, every[name][0], p, level, a[where[name]], b[where[name]], every)


def _statistics(both: np.ndarray, mine: np.ndarray, where: dict[str, slice]) -> np.ndarray:
    """Per split and field the largest |difference of mean shares| over its standard error, (splits, fields).

    Args:
        both: (n, parts) shares. mine: bool (splits, n), who is on the first side.
    """
    first = mine.astype(np.float64)
    n, m = first.sum(axis=1, keepdims=True), (1 - first).sum(axis=1, keepdims=True)
    # Centred, so that a variance is not the difference of two large numbers.
    x = both - both.mean(axis=0)
    sums, squares = x.sum(axis=0), (x**2).sum(axis=0)
    a, aa = first @ x, first @ x**2
    b, bb = sums - a, squares - aa
    error = (aa - a**2 / n) / (n * (n - 1)) + (bb - b**2 / m) / (m * (m - 1))
    # Where hardly anybody differs, a share in a thousand is nothing.
    t = np.abs(a / n - b / m) / np.sqrt(np.maximum(error, 0.0) + NEVER**2)
    return np.stack([t[:, at].max(axis=1) for at in where.values()], axis=1)
