"""Gates over a study: everybody, and the worst subgroup, have to keep each limit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from onwrist.errors import ConfigError
from onwrist.firmware_sim.parity.gates import LIMITS, Gate
from onwrist.firmware_sim.study.figures import LEAST_PEOPLE, MEASURES, Figures, Measured
from onwrist.models.student.outputs import HEART_RATE_SPAN

# Where nobody asks for more: INT8 may not cost more than the handoff's own gate allows. Judged where it was compared.
DEFAULT = (f"difference<={LIMITS.value_share * HEART_RATE_SPAN:g}",)
RULE = re.compile(r"\s*(\w+)\s*(<=|>=)\s*(-?\d+(?:\.\d+)?)\s*")


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


def judge(figures: Figures, rules: Sequence[str] = ()) -> list[Gate]:
    """Gates of `rules`, or the default ones. A rule that somebody asked for and that cannot be measured fails.

    Raises:
        ConfigError: as `parse`.
    """
    gates = []
    for rule in rules or DEFAULT:
        measure, sign, limit = parse(rule)
        all_of = [g for g in figures.groups if g.measure == measure]
        whole = next((g for g in all_of if not g.column), None)
        if whole is None:
            if rules:
                gates.append(Gate(f"{measure}, everybody", f"{sign} {limit:g}", "not measured", False))
            continue
        gates.append(_gate(whole, "everybody", sign, limit))
        # Of fewer people a figure is an anecdote: it is in the report, not in a gate.
        groups = [g for g in all_of if g.column and g.people >= LEAST_PEOPLE]
        if groups:
            worst = (max if sign == "<=" else min)(groups, key=lambda g: g.value)
            gates.append(_gate(worst, f"worst subgroup ({worst.column} {worst.group})", sign, limit))
    return gates


def _gate(found: Measured, whose: str, sign: str, limit: float) -> Gate:
    unit = MEASURES[found.measure][2]
    passed = found.value <= limit if sign == "<=" else found.value >= limit
    interval = f" [{found.low:.4g}, {found.high:.4g}]" if found.low == found.low else ""
    return Gate(
        f"{found.measure}, {whose}", f"{sign} {limit:g} {unit}", f"{found.value:.4g}{interval}", passed,
        detail=f"{found.people} people, {found.count:,} hops",
    )  # fmt: skip
