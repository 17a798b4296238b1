"""How accuracy degrades with the strength of each fault, with the watch's own gate in the loop.

    python firmware_sim/sweep.py --size band
    python firmware_sim/sweep.py --recordings my_folder_of_npz --kinds lost motion

Heart rate of every shown output against the ECG, and the share of outputs that are shown; by person, with intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from onwrist.ranges import Checked, Seed
from onwrist.resources import SHIPPED
from onwrist.settings import Size


@dataclass(frozen=True)
class SweepConfig(Checked):
    """Fault curves of one student."""

    size: Size = "watch"
    recordings: Annotated[Path, tyro.conf.Positional] = SHIPPED
    """Folder of .npz recordings with ECG (default: those that ship)."""
    kinds: tuple[str, ...] = ()
    """Kinds of fault (default: all)."""
    seed: Seed = 0
    """Seed of the faults."""
    out: Path = Path("build/sweep")
    """Folder of SIZE.json."""
    store: bool = False
    """Keep the curves beside the weights, for the report."""


def main(config: SweepConfig) -> None:
    """Degrade the shipped recordings step by step and watch what the watch says."""

    import json

    from onwrist.command import bar, say
    from onwrist.export.handoff.artifacts import load_artifacts
    from onwrist.firmware_sim.parity.sweep import STRENGTHS, stored_path, sweep, table
    from onwrist.firmware_sim.watch.faults import KINDS

    assert set(STRENGTHS) == set(KINDS)
    found = sweep(load_artifacts(config.size), config.recordings, config.kinds, config.seed, bar)
    path = stored_path(config.size) if config.store else config.out / f"{config.size}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
    say(f"results: {path}")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, SweepConfig)
