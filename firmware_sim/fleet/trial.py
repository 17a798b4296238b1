"""How often is a planted change found, and how often is one "found" where there is none? People of the reference and of the
fleet are never the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from onwrist.export.sources.telemetry_rules import TelemetryRules
from onwrist.firmware_sim.fleet.compare import LEAST_DEVICES, LEVEL, compare
from onwrist.firmware_sim.fleet.planted import NONE, PLANTS, Person, fleet_of, where_planted
from onwrist.signals.people.cohort import Progress, silent

# A chance of one in a few hundred needs no finer a grid, and there are many trials.
PERMUTATIONS = 1999


def trial(
    people: list[Person],
    rules: TelemetryRules,
    times: int,
    most: int,
    level: float = LEVEL,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Split people at random, half of them the reference, the others a day of a fleet; compare; again.

    Args:
        times: splits per plant; four times as many of those without any. most: people on either side.
        level: false alarms of a run that is aimed at.

    Returns:
        rows: per plant runs, `chance` (share of runs in which some slice differs beyond chance) and `alarms` (and by
        enough to look at), `fields` (the field that each first alarm named -> runs).
    """
    half = min(most, len(people) // 2)
    rows = []
    for plant in PLANTS:
        fields: dict[str, int] = {}
        chance, alarms, count = 0, 0, times * (4 if plant is NONE else 1)
        for run in progress(range(count), plant.name):
            rng = np.random.default_rng(run)
            order = rng.permutation(len(people))
            one, other = (
                [people[i] for i in part] for part in (order[:half], order[half : 2 * half + len(people) % 2])
            )
            reference = np.stack([p.blocks[NONE.name].sum(axis=0) for p in one])
            fleet = fleet_of(other[:most], where_planted(plant), min(most, len(other)), 1, rng)
            by = ("model",) if len(other) >= 2 * LEAST_DEVICES else ()
            found = compare(reference, fleet, rules, by=by, level=level, permutations=PERMUTATIONS, seed=run)
            chance += any(f.p <= f.level for f in found)
            first = next((f for f in found if f.alarm), None)
            if first:
                alarms += 1
                fields[first.field] = fields.get(first.field, 0) + 1
        rows.append(
            {
                "plant": plant.name,
                "what": plant.what,
                "runs": count,
                "chance": chance,
                "alarms": alarms,
                "fields": fields,
            }
        )
    return {"people": len(people), "side": half, "level": level, "rows": rows}


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"{found['people']} people, {found['side']} of them the reference, as many others the fleet; level {found['level']:g} a run",
        "", "| planted | runs | alarms | beyond chance, small ones too | named first |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for r in found["rows"]:
        named = ", ".join(f"{n} {c}" for n, c in sorted(r["fields"].items(), key=lambda x: -x[1])[:3])
        share, chance = (f"{100 * r[k] / r['runs']:.1f} %" for k in ("alarms", "chance"))
        lines.append(f"| {r['what']} | {r['runs']} | {share} | {chance} | {named or '-'} |")
    return "\n".join(lines)
