"""How fast a study is played: workers against throughput, on people made of the shipped recordings.

python firmware_sim/bench_cohort.py --people 1000 --hours 8 --workers 1 2 4
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval, MinLen

from onwrist.ranges import Checked
from onwrist.settings import HopS, Size


@dataclass(frozen=True)
class BenchCohortConfig(Checked):
    """Made-up people through the watch."""

    people: Annotated[int, Interval(ge=1, le=1_000_000)] = 1000
    """Made-up people, one recording each."""
    hours: Annotated[float, Interval(ge=0.1, le=744)] = 8.0
    """Length of each recording."""
    workers: Annotated[tuple[Annotated[int, Interval(ge=0, le=1_024)], ...], MinLen(1)] = (1, 2)
    """Worker processes of each run."""
    size: Size = "watch"
    hop_s: HopS = 1.0
    made: Path = Path("build/bench_cohort")
    """Folder of the made-up people; those that are there already are kept."""
    out: Path = Path("runs/bench/cohort.json")
    """Where the numbers go."""


def main(config: BenchCohortConfig) -> int:
    """Measure how many hours of recording an hour of this machine plays, by number of workers."""

    from onwrist.command import bar, results
    from onwrist.firmware_sim.study.throughput import make_people, measure, table

    patterns = make_people(config.made, config.people, config.hours, bar)
    found = measure(patterns, config.size, config.hop_s, config.workers, bar)
    results(found, config.out, table(found))
    return 0


if __name__ == "__main__":
    from onwrist.command import run

    run(main, BenchCohortConfig)
