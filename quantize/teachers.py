"""Which teacher leaves the best INT8 student: teachers and their students on the same probes, paired by person.

    python quantize/distill.py --teacher dino && python quantize/qat.py --teacher dino
    python quantize/teachers.py --teachers xmae dino

Each teacher is probed on its embedding, which is what its student imitates; each student on its INT8 embedding, in the
firmware's arithmetic. Students are compared with the first teacher's student.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from onwrist.errors import ConfigError
from onwrist.models.bench.intervals import title
from onwrist.models.bench.tasks import load_windows
from onwrist.models.benchmark import open_sets, page, run_task
from onwrist.models.encoders.checkpoint import load_encoder
from onwrist.models.probe import encode
from onwrist.models.student.network import LADDER
from onwrist.quantize.integers.training import load_integers
from onwrist.quantize.judging.evaluate import run_integers
from onwrist.quantize.teaching.student_files import int8_weights
from onwrist.signals.people.cohort import Progress, silent

STUDENT = "{} INT8"


@dataclass(frozen=True)
class TeachersConfig:
    """INT8 students of several teachers on the benchmark's tasks."""

    teachers: tuple[str, ...] = ()
    """Names as quantize/distill.py took them; the first one's student is what the others are compared with."""
    size: Literal["watch", "band"] = "watch"
    """Which student."""
    only: tuple[str, ...] = ()
    """Names of sets to probe (default: all): ppg_arrhythmia, icu, bidmc, stress_predict."""
    out: Path = Path("runs/teachers.json")
    """Where the results are written."""
    show: Path | None = None
    """Print the tables of this earlier result and do nothing else."""
    bf16: bool = True
    """bfloat16 features of the teachers."""
    data: Path | None = None
    """Folder of the sets (default: $ONWRIST_DATA, then ../shared/data)."""


def compare(config: TeachersConfig, progress: Progress = silent) -> list[dict]:
    """Rows of `models.benchmark.run_task`, students first, each teacher after them.

    Raises:
        ConfigError: nobody named. CheckpointError: a teacher or its student is not there.
    """
    if not config.teachers:
        raise ConfigError("no teacher named", field="teachers", cure="Name them: --teachers xmae dino")
    encoders = {t: load_encoder(t) for t in config.teachers}
    students = {t: load_integers(int8_weights(config.size, t)) for t in config.teachers}
    rows = []
    for name, tasks in open_sets(config.only):
        windows = load_windows(name, config.data, LADDER[config.size].context, progress)
        features: dict[str, np.ndarray] = {}
        for t in progress(config.teachers, "students"):
            features[STUDENT.format(title(t))] = run_integers(students[t], windows.student).embedding
        for t in progress(config.teachers, "teachers"):
            features[title(t)] = encode(encoders[t], windows.teacher, bf16=config.bf16)[1]
        for task in progress(tasks, f"probes {name}"):
            rows += run_task(task, windows, features)
    return rows


def main(config: TeachersConfig) -> None:
    """Probe several teachers and their INT8 students on the same people."""
    from onwrist.command import bar, results

    if config.show:
        print(page(json.loads(config.show.read_text())))
        return
    rows = compare(config, bar)
    results(rows, config.out, page(rows))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, TeachersConfig)
