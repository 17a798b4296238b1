"""What does a frozen encoder know? Linear probes by person, compared pairwise with intervals.

    python models/probe.py                       # shipped teacher, random weights, hand-made features
    python models/probe.py --teacher mine.pth

Classes by logistic regression, values by ridge, hand-made pulse intervals by a random forest; the questions and their
two ways of splitting are in `models.bench.tasks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.ranges import Checked
from onwrist.settings import Bf16, Data, Only, Teacher


@dataclass(frozen=True)
class ProbeConfig(Checked):
    """Probing of a teacher against random weights and hand-made features."""

    teacher: Teacher = None
    out: Path = Path("runs/probe.json")
    """Where the results are written."""
    only: Only = ()
    bf16: Bf16 = True
    data: Data = None


def main(config: ProbeConfig) -> None:
    """Probe the frozen teacher, paired against random weights and hand-made features."""

    import numpy as np

    from onwrist.command import bar, results
    from onwrist.models.bench.probe import encode, interval_features, random_encoder, run_probes, table
    from onwrist.models.bench.tasks import Windows
    from onwrist.models.encoders.checkpoint import load_encoder

    encoder, untrained = load_encoder(config.teacher), random_encoder()

    def featurise(windows: Windows) -> dict[str, np.ndarray]:
        tokens, embedding = encode(encoder, windows.teacher, bf16=config.bf16)
        return {
            "teacher tokens": tokens,
            "teacher embedding": embedding,
            "random weights": encode(untrained, windows.teacher, bf16=config.bf16)[0],
            "hand-made intervals": interval_features(windows.teacher),
        }

    rows = run_probes(featurise, config.only, root=config.data, progress=bar)
    results(rows, config.out, table(rows))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, ProbeConfig)
