"""Is what the watch shows right, how much does it show, and what would a user have had instead?

Closeness of INT8 to float says nothing about either: both may be wrong. Here the heart rate that is shown is held against
a reference, in all and by bin of true rate, and beside it the methods of `signals.pulse.baselines` on the same ten
seconds of the same counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from onwrist.firmware_sim.parity.gates import LIMITS, Gate
from onwrist.models.bench.subsets import Interval, interval
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.pulse.baselines import Method
from onwrist.signals.pulse.clean import WINDOW_S
from onwrist.spec import Gates

# Bins of true rate, beats/min; the outermost catch what lies beyond.
RATE_BINS = (30, 50, 70, 90, 110, 130, 150, 180, 200, 230)
# Outputs of a second overlap by nine tenths: less than this much of a bin is a single event.
BIN_SECONDS = 30.0
# Points of the risk-coverage curve.
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WATCH = "watch shows"


@dataclass(frozen=True)
class BinError:
    """Shown outputs whose true rate lies in one bin (beats/min).

    Attributes:
        low, high: the bin. outputs: with a reference, shown or not. shown: of those.
        mae, bias: of what is shown, beats/min; None where nothing is.
        mae_all: of all, shown or not.
    """

    low: int
    high: int
    outputs: int
    shown: int
    mae: float | None
    bias: float | None
    mae_all: float


def by_rate(truth: np.ndarray, said: np.ndarray, shown: np.ndarray) -> list[BinError]:
    """Errors by bin of true rate; bins without an output are left out.

    Args:
        truth, said: (n,) beats/min. shown: (n,) bool.
    """
    rows = []
    at = np.clip(np.digitize(truth, RATE_BINS) - 1, 0, len(RATE_BINS) - 2)
    for i, (low, high) in enumerate(itertools.pairwise(RATE_BINS)):
        inside = at == i
        if inside.any():
            error = said[inside] - truth[inside]
            own = error[shown[inside]]
            mae, bias = (float(np.abs(own).mean()), float(own.mean())) if len(own) else (None, None)
            rows.append(BinError(low, high, int(inside.sum()), len(own), mae, bias, float(np.abs(error).mean())))
    return rows


def risk_coverage(error: np.ndarray, confidence: np.ndarray) -> list[list[float]]:
    """[share shown, mean absolute error] if only the surest are shown, at `SHARES`; an output without a number counts as
    not shown, so that a method's curve ends where it has none left.

    Args:
        error: (n,) absolute, NaN where the method gave no number. confidence: (n,) more is surer.
    """
    order = np.argsort(-np.where(np.isfinite(error), confidence, -np.inf), kind="stable")
    known = int(np.isfinite(error).sum())
    counts = [round(s * len(error)) for s in SHARES]
    return [
        [s, float(error[order[:n]].mean())] for s, n in zip(SHARES, counts, strict=True) if 0 < n <= known
    ]  # fmt: skip


def surest(error: np.ndarray, confidence: np.ndarray, count: int) -> np.ndarray:
    """Rows of the `count` outputs that a method is surest of, or of all for which it has a number (error not NaN)."""
    known = np.isfinite(error)
    order = np.argsort(-np.where(known, confidence, -np.inf), kind="stable")
    return order[: min(count, int(known.sum()))]


def baseline_rates(
    methods: dict[str, Method],
    counts: Sequence[np.ndarray],
    rows: np.ndarray,
    rate_hz: float,
    progress: Progress = silent,
) -> dict[str, np.ndarray]:
    """Every method on the ten seconds of counts that end with each hop: name -> (n, 2), beats/min and confidence.

    Args:
        counts: per hop what went into the front end, in order. rows: (n,) hops to look at; NaN elsewhere.
        rate_hz: of the sensor.
    """
    ends = np.cumsum([len(c) for c in counts])
    line = np.concatenate(counts)
    size = round(WINDOW_S * rate_hz)
    found = {name: np.full((len(counts), 2), np.nan) for name in methods}
    for i in progress(np.flatnonzero(rows & (ends >= size)), "baselines"):
        window = line[ends[i] - size : ends[i]].astype(np.float64)
        for name, method in methods.items():
            found[name][i] = method(window, rate_hz)
    return found


def compare_methods(
    truth: np.ndarray, said: np.ndarray, shown: np.ndarray, sure: np.ndarray, baselines: dict[str, np.ndarray]
) -> list[dict]:
    """The watch and each baseline over outputs with a reference: error of all, of the outputs that the watch shows, at the
    watch's share by their own confidence, and the risk-coverage curve.

    Args:
        truth, said: (n,) beats/min. shown: (n,) bool. sure: (n,) the watch's quality logit.
        baselines: name -> (n, 2), beats/min and confidence.
    """
    rows, share = [], float(shown.mean())
    for name, bpm, confidence in [(WATCH, said, sure), *((n, b[:, 0], b[:, 1]) for n, b in baselines.items())]:
        error = np.abs(bpm - truth)
        known = np.isfinite(error)
        both = known & shown
        order = surest(error, confidence, int(shown.sum()))
        rows.append(
            {
                "method": name, "answered": float(known.mean()), "mae_all": mean(error[known]),
                "mae_where_watch_shows": mean(error[both]), "share": share,
                "mae_at_same_share": mean(error[order]), "over_10": mean(error[both] > LIMITS.wrong_bpm),
                "risk_coverage": risk_coverage(error, confidence),
            }
        )  # fmt: skip
    return rows


def mean(values: np.ndarray) -> float | None:
    """The mean, or None of nothing."""
    return float(np.mean(values)) if len(values) else None


def paired_by_person(error: np.ndarray, other: np.ndarray, person: np.ndarray) -> Interval:
    """Mean of `error - other` (n,) over people, each counting once, with its interval; NaN rows are left out."""
    both = np.isfinite(error) & np.isfinite(other)
    return mean_by_person(np.where(both, error, np.nan), np.where(both, other, np.nan), person)


def mean_by_person(error: np.ndarray, other: np.ndarray, person: np.ndarray) -> Interval:
    """Each person's mean of `error` (n,) minus its mean of `other` (n,), each person counting once, with its interval.

    Each mean is over the person's own finite rows, which need not be the same; who has none in one of them is left out.
    """
    mine, theirs = np.isfinite(error), np.isfinite(other)
    names = [n for n in np.unique(person) if (mine & (person == n)).any() and (theirs & (person == n)).any()]
    each = np.array([error[mine & (person == n)].mean() - other[theirs & (person == n)].mean() for n in names])
    return interval(each / max(1, len(each)))


def right_gates(
    truth: np.ndarray,
    said: np.ndarray,
    shown: np.ndarray,
    kind: str,
    name: str,
    hop_s: float,
    outputs: int,
    limits: Gates = LIMITS,
) -> list[Gate]:
    """Is what is shown right, in all and by bin of true rate, and is enough shown?

    Args:
        truth: (n,) beats/min, NaN where unknown. said: (n,). shown: (n,) bool. kind, name: of the reference.
        hop_s: seconds between outputs. outputs: that could have been shown.
    """
    gates = [_share_gate(int(shown.sum()), outputs, limits)]
    if not np.isfinite(said).any() and len(said):
        return gates  # a student that says no heart rate
    if not kind:
        return [*gates, _not_judged("heart rate that is shown, mean error", "no reference", limits)]
    known = shown & np.isfinite(truth)
    if not known.any():
        why = "nothing is shown" if not shown.any() else "the reference covers nothing that is shown"
        return [*gates, _not_judged("heart rate that is shown, mean error", why, limits)]
    error = float(np.abs(said - truth)[known].mean())
    detail = f"{int(known.sum()):,} outputs against {name}"
    gates.append(_error_gate("heart rate that is shown, mean error", error, kind, detail, limits))
    bins = [
        b for b in by_rate(truth[known], said[known], np.ones(int(known.sum()), bool)) if b.shown * hop_s >= BIN_SECONDS
    ]
    if bins:
        worst = max(bins, key=lambda b: b.mae or 0.0)
        where = f"{worst.low}-{worst.high} BPM, {worst.shown} outputs, bias {worst.bias:+.1f}"
        gates.append(_error_gate("the same, in the worst bin of true rate", worst.mae or 0.0, kind, where, limits))
    return gates


def _error_gate(name: str, error: float, kind: str, detail: str, limits: Gates) -> Gate:
    """PASS up to `right_bpm`; WARN up to `wrong_bpm`, and beyond it where the reference itself is an estimate; else FAIL."""
    severity: Literal["fail", "warn"] = "fail" if error > limits.wrong_bpm and kind != "HR" else "warn"
    limit = (
        f"<= {limits.right_bpm:g} BPM (fails above {limits.wrong_bpm:g})"
        if kind != "HR"
        else f"<= {limits.right_bpm:g} BPM"
    )
    return Gate(
        name, limit, f"{error:.2f} BPM", error <= limits.right_bpm, detail=detail, severity=severity, group="right"
    )


def _share_gate(shown: int, outputs: int, limits: Gates) -> Gate:
    share = shown / outputs if outputs else 0.0
    value = "nothing is shown" if not shown else f"{100 * share:.0f} %"
    detail = f"{shown:,} of {outputs:,} outputs"
    return Gate(
        "outputs that are shown", f">= {100 * limits.shown_share:g} %", value, share >= limits.shown_share, detail=detail, severity="warn",
        group="right",
    )  # fmt: skip


def _not_judged(name: str, why: str, limits: Gates) -> Gate:
    return Gate(
        name, f"<= {limits.right_bpm:g} BPM", f"not judged: {why}", True, judged=False, severity="warn", group="right"
    )
