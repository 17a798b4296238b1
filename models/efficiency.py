"""How many labelled people does an encoder need? Probe scores at 1 to 100 % of the people who may be fitted on.

    python models/efficiency.py                              # xmae and the two best others of runs/benchmark.json
    python models/efficiency.py --systems xmae mae lsm

The people of a share are drawn at random, at least one, the same for every system; each share is drawn several times.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval, MinLen

from onwrist.ranges import Checked
from onwrist.settings import Bf16, Data


@dataclass(frozen=True)
class EfficiencyConfig(Checked):
    """Probes of a few encoders on fewer and fewer labelled people."""

    systems: tuple[str, ...] = ()
    """Names of systems, as models/benchmark.py takes them (default: xmae and the two that its results place best)."""
    tasks: Annotated[tuple[str, ...], MinLen(1)] = (
        "ectopic against sinus",
        "irregular pulse",
        "heart rate (BPM)",
        "RMSSD (log ms)",
    )
    """Names of tasks."""
    draws: Annotated[int, Interval(ge=1, le=1_000)] = 10
    """Draws of people at each share."""
    benchmark: Path = Path("runs/benchmark.json")
    """Results that choose the systems."""
    out: Path = Path("runs/efficiency.json")
    """Where the results are written; the picture is beside them."""
    cache: Path = Path("runs/features")
    """Folder of features that were computed before."""
    bf16: Bf16 = True
    data: Data = None


def main(config: EfficiencyConfig) -> None:
    """Probe a few encoders on fewer and fewer labelled people; results, table and picture."""

    import json

    from onwrist.command import bar, results, say
    from onwrist.errors import ConfigError
    from onwrist.models.bench.efficiency import best, draw, efficiency, table

    systems = list(config.systems)
    if not systems:
        if not config.benchmark.exists():
            raise ConfigError("not there", where=config.benchmark, cure="Name --systems, or run models/benchmark.py")
        systems = ["xmae", *best(json.loads(config.benchmark.read_text()))]
    rows = efficiency(
        systems, config.tasks, draws=config.draws, cache=config.cache, bf16=config.bf16, root=config.data, progress=bar
    )
    picture = config.out.with_suffix(".png")
    results(rows, config.out, table(rows))
    draw(rows, picture)
    say(f"picture: {picture}")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, EfficiencyConfig)
