"""Gates over a study: everybody, and the worst subgroup, have to keep each limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from onwrist.errors import ConfigError
from onwrist.firmware_sim.parity.gates import Gate, verdict
from onwrist.firmware_sim.study.figures import LEAST_PEOPLE, MEASURES, Figures, Measured
from onwrist.models.student.outputs import HEART_RATE_SPAN
from onwrist.spec import Gates

RULE = re.compile(r"\s*(\w+)\s*(<=|>=)\s*(-?\d+(?:\.\d+)?)\s*")
Severity = Literal["fail", "warn"]


def usual(limits: Gates) -> tuple[tuple[str, Severity], ...]:
    """What is asked where nobody asks for anything: rules, and what it means if one does not hold."""
    return (
        (f"difference<={limits.value_share * HEART_RATE_SPAN:g}", "fail"),
        (f"mae<={limits.wrong_bpm:g}", "fail"),
        (f"mae<={limits.right_bpm:g}", "warn"),
        (f"shown>={limits.shown_share:g}", "warn"),
    )


def parse(rule: str) -> tuple[str, str, float]:
    """'mae<=5' to its parts.

    Raises:
        ConfigError: no rule, or no such measure.
    """
    found = RULE.fullmatch(rule)
    if not found or found[1] not in MEASURES:
        raise ConfigError(
            f"{rule!r} is no gate", field="gate", cure=f"Write mae<=5 or shown>=0.5; measures: {', '.join(MEASURES)}"
        )
    return found[1], found[2], float(found[3])


def judge(figures: Figures, rules: Sequence[str] = (), limits: Gates = Gates()) -> list[Gate]:
    """Gates of `rules`, or the usual ones of `limits`, which judge nothing by fewer than LEAST_PEOPLE people. A rule that somebody
    asked for and that cannot be measured fails.

    Raises:
        ConfigError: as `parse`.
    """
    gates = []
    asked: Sequence[tuple[str, Severity]] = [(rule, "fail") for rule in rules] or usual(limits)
    for rule, severity in asked:
        measure, sign, limit = parse(rule)
        all_of = [g for g in figures.groups if g.measure == measure]
        whole = next((g for g in all_of if not g.column), None)
        name, text = f"{measure}, everybody", f"{sign} {limit:g} {MEASURES[measure][2]}"
        if whole is None:
            if rules:
                gates.append(Gate(name, text, "not measured", False))
            continue
        if not rules and whole.people < LEAST_PEOPLE:
            few = f"too few people ({whole.people} of {LEAST_PEOPLE})"
            gates.append(Gate(name, text, few, True, severity=severity, judged=False))
            continue
        gates.append(_gate(whole, "everybody", sign, limit, severity))
        # Of fewer people a figure is an anecdote: it is in the report, not in a gate.
        groups = [g for g in all_of if g.column and g.people >= LEAST_PEOPLE]
        if groups:
            worst = (max if sign == "<=" else min)(groups, key=lambda g: g.value)
            gates.append(_gate(worst, f"worst subgroup ({worst.column} {worst.group})", sign, limit, severity))
    return gates


def study_verdict(gates: Sequence[Gate]) -> tuple[str, str]:
    """(PASS, WARN, FAIL or not judged, the reason in words) of a study's gates."""
    if not any(g.judged for g in gates):
        return "not judged", "; ".join(f"{g.name}: {g.value}" for g in gates) or "there is no reference"
    return verdict(list(gates))


def _gate(found: Measured, whose: str, sign: str, limit: float, severity: Severity) -> Gate:
    passed = found.value <= limit if sign == "<=" else found.value >= limit
    interval = f" [{found.low:.3g}, {found.high:.3g}]" if found.low == found.low else ""
    return Gate(
        f"{found.measure}, {whose}", f"{sign} {limit:g} {MEASURES[found.measure][2]}", f"{found.value:.3g}{interval}", passed,
        detail=f"{found.people:,} people, {found.count:,} hops", severity=severity,
    )  # fmt: skip
