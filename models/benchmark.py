"""Which encoder deserves the watch: every system probed on the same people, compared with xMAE person by person.

    python models/benchmark.py                                     # all systems that have weights, all tasks
    python models/benchmark.py --systems xmae dino my_encoder.py:make
    python models/benchmark.py --labels my_labels.csv --task sodium   # a CSV of person, recording, start, label
    python models/benchmark.py --show docs/benchmark.json          # the tables of an earlier run

A score is the mean over person folds, its spread their standard deviation: AUROC x 100, or mean absolute error. Stars
mark a paired difference from the first system, over people: * 95 %, ** 99 %; the arrow says for whom (up: better
than the first).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.ranges import Checked
from onwrist.settings import Bf16, Data, Device, Only, RecordingHz


@dataclass(frozen=True)
class BenchmarkConfig(Checked):
    """Probes of many encoders on the same people."""

    systems: tuple[str, ...] = ()
    """Names of systems, checkpoints, or my_encoder.py:make; the first is the one that others are compared with
    (default: xmae, the other eight and xmae-rhythm, as far as they have weights)."""
    floors: bool = True
    """Also random weights of each network, hand-made features, and no signal at all."""
    labels: Path | None = None
    """CSV of person, recording, start, label, in place of the open sets' tasks."""
    task: str = ""
    """What the CSV's labels are: one of the published twelve (hypertension-lab, hypertension-free-living, pvc, ectopic,
    a1c, haemoglobin, platelets, sodium, wake, light, deep, rem), or any title."""
    channel: str | None = None
    """PPG channel of the CSV's recordings, where they have several."""
    rate_hz: RecordingHz | None = None
    """Of the CSV's recordings, where they do not tell."""
    only: Only = ()
    out: Path = Path("runs/benchmark.json")
    """Where the results are written."""
    show: Path | None = None
    """Print the tables of this earlier result and do nothing else."""
    cache: Path = Path("runs/features")
    """Folder of features that were computed before."""
    bf16: Bf16 = True
    device: Device = "cpu"
    data: Data = None


def main(config: BenchmarkConfig) -> None:
    """Probe every system on the same people and compare each with the first."""

    import json
    from collections.abc import Iterable

    from onwrist.command import bar, results, say
    from onwrist.models.bench.features import FLOORS, Extractor
    from onwrist.models.bench.labels import load_labels
    from onwrist.models.bench.systems import available, benchmark, open_sets, page
    from onwrist.models.bench.tasks import load_windows
    from onwrist.models.encoders.devices import device_of

    if config.show:
        print(page(json.loads(config.show.read_text())))
        return
    systems = list(config.systems)
    if not systems:
        systems, without = available()
        if without:
            say(f"no weights: {', '.join(without)} (python models/pretrain.py --method NAME)")
    if config.labels:
        sets: Iterable = [load_labels(config.labels, config.task, config.channel, config.rate_hz)]
    else:
        sets = ((load_windows(name, config.data, progress=bar), tasks) for name, tasks in open_sets(config.only))
    extractor = Extractor(config.cache, config.bf16, device_of(config.device))
    if config.floors:
        own = [f for s in systems if (f := extractor.born(s)) is not None]
        systems += [f for f in dict.fromkeys((*FLOORS, *own)) if f not in systems]
    rows = benchmark(systems, sets, extractor, bar)
    results(rows, config.out, page(rows))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, BenchmarkConfig)
