"""Who is who, and who is held out. Splits are by person, never by window.

Two leaks in the open sets are closed here (both found by identical samples): in the PhysioNet Challenge 2015
neighbouring record numbers are often one patient, and two pairs of BIDMC records are one patient each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from onwrist.errors import SplitError

SAME_PERSON = {
    "bidmc_21": "bidmc_20",
    "bidmc_39": "bidmc_38",
    "04_TYPE02": "04_TYPE01",
}
# Pairs of one patient lie within 6 numbers of each other; 8 leaves a margin.
NEIGHBOUR_GAP = 8
BLOCK = 50
# Stress-Predict people who are never trained on; the first two are the shipped hours.
HELD_OUT_WRIST = ("S34", "S02", "S07", "S14", "S19", "S26", "S31")


def person_of(record: str) -> str:
    """The person behind a record name of the open sets; other names are their own person."""
    return SAME_PERSON.get(record, record)


def challenge_number(record: str) -> int | None:
    """Record number of a Challenge 2015 record ('a103l' -> 103), else None."""
    match = re.fullmatch(r"[abftv](\d{3})[ls]", record)
    return int(match.group(1)) if match else None


def role(record: str) -> str:
    """'train', 'test', or 'gap' (used by neither: may be the same patient as a test record).

    BIDMC and the small paired recording are test only, Challenge 2015 by blocks of record number,
    Stress-Predict by name, everything else (Welltory) trains.
    """
    if record.startswith(("bidmc", "neurokit")):
        return "test"
    if record in HELD_OUT_WRIST:
        return "test"
    number = challenge_number(record)
    if number is None:
        return "train"
    if _is_test_number(number):
        return "test"
    near = any(_is_test_number(number + d) for d in range(-NEIGHBOUR_GAP, NEIGHBOUR_GAP + 1))
    return "gap" if near else "train"


def _is_test_number(number: int) -> bool:
    return (number // BLOCK) % 5 == 4


def group_of(record: str) -> str:
    """Fold unit: like `person_of`, but possible neighbours of Challenge 2015 share one group."""
    number = challenge_number(record)
    return person_of(record) if number is None else f"challenge-{number // BLOCK}"


def in_half(people: Sequence[str] | np.ndarray, half: str) -> np.ndarray:
    """(n,) bool, the windows of every other person in the order of their names: 'even' (to choose on), 'odd' (to report
    on), 'all'. Records that may be one patient's (neighbouring numbers) go to the same half."""
    if half == "all":
        return np.ones(len(people), bool)
    group = np.array([group_of(p) for p in people])
    return np.isin(group, np.unique(group)[half == "odd" :: 2])


def check_disjoint(train: Iterable[str], test: Iterable[str]) -> None:
    """Raise `SplitError` if a person, or a possible neighbour, is on both sides, or a side is empty."""
    train, test = set(train), set(test)
    if not train or not test:
        raise SplitError("one side of the split has nobody", cure="Use fewer folds or more people")
    both = {person_of(a) for a in train} & {person_of(b) for b in test}
    if both:
        raise SplitError(f"on both sides: {', '.join(sorted(both)[:5])}", cure="Split by person, not by window")
    numbers = {n: r for r in test if (n := challenge_number(r)) is not None}
    for record in train:
        number = challenge_number(record)
        if number is not None:
            close = [numbers[n] for n in numbers if abs(n - number) < NEIGHBOUR_GAP]
            if close:
                raise SplitError(
                    f"{record} (train) and {close[0]} (test) may be one patient",
                    cure=f"Leave a gap of {NEIGHBOUR_GAP} record numbers",
                )


def person_folds(groups: Sequence[str] | np.ndarray, folds: int, seed: int = 0) -> list[np.ndarray]:
    """Test indices of each fold; every group is in exactly one fold, folds are balanced by window count.

    Raises:
        SplitError: fewer groups than folds.
    """
    groups = np.asarray(groups)
    names, counts = np.unique(groups, return_counts=True)
    if len(names) < folds:
        raise SplitError(f"{len(names)} people for {folds} folds", cure="Use fewer folds")
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    load = np.zeros(folds)
    fold_of = {}
    for i in order:
        target = int(np.argmin(load))
        fold_of[names[i]] = target
        load[target] += counts[i]
    assigned = np.array([fold_of[g] for g in groups])
    return [np.flatnonzero(assigned == k) for k in range(folds)]


def record_name(path: str | Path) -> str:
    """Record name used by this module: the file's stem."""
    return Path(path).stem
