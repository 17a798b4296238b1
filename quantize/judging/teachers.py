"""Which teacher leaves the best INT8 student: teachers and their students on the same probes, paired by person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError
from onwrist.models.bench.features import title
from onwrist.models.bench.probe import encode
from onwrist.models.bench.systems import open_sets, run_task
from onwrist.models.bench.tasks import load_windows
from onwrist.models.encoders.checkpoint import load_encoder
from onwrist.models.student.network import LADDER
from onwrist.quantize.integers.training import load_integers
from onwrist.quantize.judging.evaluate import run_integers
from onwrist.quantize.teaching.student_files import int8_weights
from onwrist.signals.people.cohort import Progress, silent

STUDENT = "{} INT8"


def compare(
    teachers: Sequence[str],
    size: str,
    only: tuple[str, ...] = (),
    *,
    bf16: bool = True,
    root: Path | None = None,
    progress: Progress = silent,
) -> list[dict]:
    """Rows of `models.bench.systems.run_task`, students first, each teacher after them.

    Raises:
        ConfigError: nobody named. CheckpointError: a teacher or its student is not there.
    """
    if not teachers:
        raise ConfigError("no teacher named", field="teachers", cure="Name them: --teachers xmae dino")
    encoders = {t: load_encoder(t) for t in teachers}
    students = {t: load_integers(int8_weights(size, t)) for t in teachers}
    rows = []
    for name, tasks in open_sets(only):
        windows = load_windows(name, root, LADDER[size].context, progress)
        features: dict[str, np.ndarray] = {}
        for t in progress(teachers, "students"):
            features[STUDENT.format(title(t))] = run_integers(students[t], windows.causal).embedding
        for t in progress(teachers, "teachers"):
            features[title(t)] = encode(encoders[t], windows.teacher, bf16=bf16)[1]
        for task in progress(tasks, f"probes {name}"):
            rows += run_task(task, windows, features)
    return rows
