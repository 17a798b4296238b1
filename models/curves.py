"""What the pretraining runs cost and whether their losses have flattened: a table from their logs.

python models/curves.py
python models/curves.py --show docs/pretraining.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.ranges import Checked


@dataclass(frozen=True)
class CurvesConfig(Checked):
    """Cost and loss curves of finished pretraining runs."""

    methods: tuple[str, ...] = ()
    """Systems whose logs are read from where pretraining left them (default: the nine of the bench)."""
    out: Path = Path("runs/pretraining.json")
    """Where the table's numbers are written."""
    show: Path | None = None
    """Print the table of this earlier result and do nothing else."""


def main(config: CurvesConfig) -> None:
    """Print what the pretraining runs cost and how their losses went."""

    import json

    from onwrist.command import results
    from onwrist.models.objectives.curves import summary, table
    from onwrist.models.objectives.zoo import NINE

    if config.show:
        print(table(json.loads(config.show.read_text())))
        return
    rows = [summary(name) for name in config.methods or NINE]
    results(rows, config.out, table(rows))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, CurvesConfig)
