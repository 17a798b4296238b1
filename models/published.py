"""The published table beside ours: do nine systems stand in the same order on open data?

python models/published.py                                  # from runs/benchmark.json
python models/published.py --benchmark docs/benchmark.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.ranges import Checked


@dataclass(frozen=True)
class PublishedConfig(Checked):
    """The published table beside a benchmark's."""

    benchmark: Path = Path("runs/benchmark.json")
    """Results of models/benchmark.py."""


def main(config: PublishedConfig) -> None:
    """Print the published table beside ours."""

    import json

    from onwrist.errors import ConfigError
    from onwrist.models.bench.published import table

    if not config.benchmark.exists():
        raise ConfigError("not there", where=config.benchmark, cure="Run models/benchmark.py")
    print(table(json.loads(config.benchmark.read_text())))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, PublishedConfig)
