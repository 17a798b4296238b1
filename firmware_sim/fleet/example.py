"""An example fleet of shipped recordings, for who has none yet, or wants to see what an alarm looks like."""

from __future__ import annotations

import numpy as np

from onwrist.errors import ConfigError
from onwrist.firmware_sim.fleet.counting import Counter, shipped_recordings
from onwrist.firmware_sim.fleet.planted import FADE_A_DAY, NONE, PLANTS, Plant, count_people, dimmed, fleet_of
from onwrist.firmware_sim.fleet.table import Fleet
from onwrist.firmware_sim.handoff.held import Held
from onwrist.signals.people.cohort import Progress, silent

DEVICES, DAYS = 40, 14
# The change comes on this day; a fade begins with the first.
FROM_DAY = DAYS // 2


def example_fleet(student: Held, plant: str, progress: Progress = silent, seed: int = 0) -> Fleet:
    """Forty watches for a fortnight, worn by the people of the shipped recordings.

    Args:
        plant: what goes wrong from the eighth day on: 'none', 'rate', 'gain', 'polarity', 'noise' (in one device model), or
            'fade' (a little more every day).

    Raises:
        ConfigError: no such plant. ExportError: the C does not compile.
    """
    if plant == "fade":
        fades = [Plant(f"day {d}", "", dimmed(FADE_A_DAY**d)) for d in range(1, DAYS)]
        wanted = [NONE, *fades]

        def today(day: int, model: str) -> str:
            return wanted[day].name
    else:
        chosen = next((p for p in PLANTS if p.name == plant), None)
        if chosen is None:
            raise ConfigError(
                f"no plant {plant!r}", field="demo", cure=f"Use {', '.join(p.name for p in PLANTS)} or fade"
            )
        wanted = list({p.name: p for p in (NONE, chosen)}.values())

        def today(day: int, model: str) -> str:
            return chosen.name if day >= FROM_DAY and model in chosen.models else NONE.name

    counter = Counter(student.model, student.hop, student.fixed, student.reference.rules)
    people = count_people(counter, progress(list(shipped_recordings()), "an example fleet"), wanted)
    return fleet_of(people, today, DEVICES, DAYS, np.random.default_rng(seed))
