"""Does the student's embedding add anything to pulse intervals? The rhythm questions of the bench, paired by person.

    python quantize/adds.py

Needs the larger sets (`ONWRIST_DATA`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.settings import Data, Size


@dataclass(frozen=True)
class AddsConfig:
    """Intervals, the INT8 student's embedding, and both."""

    size: Size = "watch"
    out: Path = Path("runs/adds.json")
    """Where the results are written."""
    data: Data = None


def main(config: AddsConfig) -> None:
    """Probe intervals, the student's embedding, and both together on rhythms: what does the embedding add?"""
    from dataclasses import replace

    from onwrist.command import bar, results
    from onwrist.models.bench.subsets import text
    from onwrist.models.bench.tasks import load_windows
    from onwrist.models.student.network import LADDER
    from onwrist.quantize.integers.training import load_integers
    from onwrist.quantize.judging.adds import chosen_rows, compare
    from onwrist.quantize.judging.evaluate import run_integers

    model = load_integers(config.size)
    every = load_windows("ppg_arrhythmia", config.data, LADDER[config.size].context)
    rows = chosen_rows(every)
    windows = replace(
        every,
        **{n: getattr(every, n)[rows] for n in ("teacher", "student", "person", "group", "fit")},
        labels={name: values[rows] for name, values in every.labels.items()},
    )
    found = compare(windows, lambda x: run_integers(model, x).embedding, bar)
    names = list(found[0]["auroc"])
    lines = ["| task (people, windows) | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in found:
        cells = []
        for name, value in row["auroc"].items():
            adds = (
                row["embedding_adds"].get(name.removesuffix(" and embedding")) if name.endswith(" embedding") else None
            )
            cells.append(f"{value:.3f}" + (f" ({text(tuple(adds))})" if adds else ""))
        lines.append(f"| {row['task']} ({row['people']}, {row['windows']:,}) | " + " | ".join(cells) + " |")
    results(found, config.out, "\n".join(lines))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, AddsConfig)
