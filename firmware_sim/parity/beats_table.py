"""Judged beats of many recordings: one table, each condition apart, detectors side by side, paired by person."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from onwrist.firmware_sim.parity.beats import GOAL_INTERVAL_MS, GOAL_RMSSD_MS, WATCH, Judged, Scored
from onwrist.models.bench.subsets import interval, text
from onwrist.signals.people.split import person_of
from onwrist.signals.pulse import onset_rules as rules
from onwrist.signals.pulse.heartbeats import RHYTHMS

# How late beats are known, as quantiles.
LATE = (0.5, 0.99)
# Confidence is checked in bins of this many per cent.
BIN = 20


def person(judged: Judged) -> str:
    """Whose recording it is: by its name in the open sets, else by its subject."""
    known = person_of(judged.name)
    return known if known != judged.name else judged.subject


def plain(judged: list[Judged]) -> dict:
    """Figures for a JSON file: conditions, each with its detectors; how well confidence keeps its word."""
    conditions: dict[str, dict[str, dict[str, list[Scored]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for j in judged:
        for condition, methods in j.scores.items():
            for method, scored in methods.items():
                conditions[condition][method][person(j)].append(scored)
    late = np.array([t for j in judged for t in j.late])
    order = sorted(conditions, key=lambda c: (RHYTHMS.index(c) if c in RHYTHMS else len(RHYTHMS), c))
    return {
        "schema": "onwrist-beats-1",
        "goals": {"interval_ms": GOAL_INTERVAL_MS, "rmssd_ms": GOAL_RMSSD_MS},
        "trusted": rules.TRUSTED,
        "recordings": len(judged),
        "sure_s": sum(j.sure_s for j in judged),
        "late_s": {str(q): float(np.quantile(late, q)) for q in LATE} if len(late) else {},
        "conditions": {c: _condition(conditions[c]) for c in order},
        "confidence": _confidence(judged),
    }


def _condition(methods: dict[str, dict[str, list[Scored]]]) -> dict:
    f1 = {m: {p: _sum(s).f1 for p, s in people.items()} for m, people in methods.items()}
    found = {}
    for method, people in methods.items():
        every = [s for scored in people.values() for s in scored]
        whole = _sum(every)
        own: dict[str, Any] = {
            "people": len(people), "beats": whole.hits + whole.missed, "f1": whole.f1,
            "sensitivity": _share(whole.hits, whole.hits + whole.missed),
            "precision": _share(whole.hits, whole.hits + whole.extra),
            "f1_by_person": float(np.nanmean(list(f1[method].values()))),
            "timing_ms": _median(whole.timing), "interval_ms": _median(whole.intervals),
            "interval_all_ms": _median(whole.given),
            "interval_p90_ms": _ms(np.percentile(whole.intervals, 90)) if whole.intervals else None,
            "withheld": _share(whole.withheld, whole.all), "minutes": whole.minutes,
            "minutes_shown": _share(len(whole.rmssd), whole.minutes), "rmssd_ms": _median(whole.rmssd),
        }  # fmt: skip
        if method != WATCH:
            each = np.array([f1[WATCH][p] - f1[method][p] for p in people if np.isfinite(f1[WATCH][p] - f1[method][p])])
            own["watch_minus_this"] = interval(100 * each / max(1, len(each))).plain
        found[method] = own
    return found


def _sum(scored: list[Scored]) -> Scored:
    whole = Scored()
    for s in scored:
        for name in ("hits", "extra", "missed", "withheld", "all", "minutes"):
            setattr(whole, name, getattr(whole, name) + getattr(s, name))
        whole.timing += s.timing
        whole.intervals += s.intervals
        whole.given += s.given
        whole.rmssd += s.rmssd
    return whole


def _confidence(judged: list[Judged]) -> list[dict]:
    """By bin of what was promised: intervals, what was promised on average, and what was right."""
    said = np.array([c for j in judged for c, _ in j.confidence])
    right = np.array([ok for j in judged for _, ok in j.confidence], bool)
    rows = []
    for low in range(0, 100, BIN):
        inside = (said >= low) & (said < low + BIN)
        if inside.any():
            promised, kept = float(said[inside].mean()) / 100, float(right[inside].mean())
            rows.append({"from": low, "intervals": int(inside.sum()), "promised": promised, "right": kept})
    return rows


def table_of(found: dict) -> str:
    """Markdown: a block of lines per condition, a line per detector."""
    lines = [
        "| condition (people, beats) | detector | F1 | watch minus it, by person, points | timing | interval, median (90 %; of all) "
        "| RMSSD of a minute, error (minutes shown) | withheld |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for condition, methods in found["conditions"].items():
        first = methods[WATCH]
        for method, m in methods.items():
            name = f"{condition} ({first['people']}, {first['beats']:,})" if method == WATCH else ""
            paired = text(tuple(m["watch_minus_this"]), 2) if "watch_minus_this" in m else ""
            p90 = f"{m['interval_p90_ms']:.0f}" if m["interval_p90_ms"] is not None else "-"
            shown = f" ({100 * m['minutes_shown']:.0f} % of {m['minutes']})" if m["minutes"] else ""
            lines.append(
                f"| {name} | {method} | {100 * m['f1']:.2f} | {paired} | {_number(m['timing_ms'])} ms | "
                f"{_number(m['interval_ms'])} ({p90}; {_number(m['interval_all_ms'])}) ms | {_number(m['rmssd_ms'])} ms{shown} | "
                f"{100 * m['withheld']:.0f} % |"
            )
    lines += ["", "| confidence | intervals | promised | right |", "|---|---|---|---|"]
    for row in found["confidence"]:
        lines.append(
            f"| {row['from']}-{row['from'] + BIN - 1} % | {row['intervals']:,} | {100 * row['promised']:.0f} % "
            f"| {100 * row['right']:.0f} % |"
        )
    if found["late_s"]:
        median, most = (found["late_s"][str(q)] for q in LATE)
        lines += ["", f"A beat is known {median:.2f} s after its upslope, 99 % of them within {most:.2f} s."]
    return "\n".join(lines)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _median(seconds: list[float]) -> float | None:
    return _ms(np.median(seconds)) if seconds else None


def _ms(seconds: float) -> float:
    return 1e3 * float(seconds)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
