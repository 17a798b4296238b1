"""How much of the teacher's skill a student keeps, float and INT8: the teacher's probes on the student's embedding.

    python quantize/skill.py

Skill is AUROC above chance, or R2; the share kept is paired by person, with an interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.ranges import Checked
from onwrist.settings import Bf16, Data, Only


@dataclass(frozen=True)
class SkillConfig(Checked):
    """Probes of the shipped students beside their teacher."""

    weights: Path | None = None
    """Folder with SIZE.safetensors and SIZE.int8.safetensors (default: the shipped weights)."""
    int8: bool = True
    """Also the INT8 students, in the firmware's arithmetic."""
    out: Path = Path("runs/skill.json")
    """Where the results are written."""
    only: Only = ()
    bf16: Bf16 = True
    data: Data = None


def main(config: SkillConfig) -> None:
    """Probe the students' embeddings beside the teacher's: share of skill kept, paired by person."""

    import numpy as np

    from onwrist.command import bar, results
    from onwrist.models.bench.probe import encode, run_probes, table
    from onwrist.models.bench.tasks import Windows
    from onwrist.models.encoders.checkpoint import load_encoder
    from onwrist.models.student.network import LADDER
    from onwrist.quantize.integers.training import load_integers
    from onwrist.quantize.judging.evaluate import run_integers, run_torch
    from onwrist.quantize.judging.skill import kept
    from onwrist.quantize.teaching.student_files import float_weights, load_student

    encoder = load_encoder()
    folder = config.weights
    students = {s: load_student(folder / f"{s}.safetensors" if folder else float_weights(s))[0] for s in LADDER}
    integers = {s: load_integers(folder / f"{s}.int8.safetensors" if folder else s) for s in LADDER if config.int8}

    def featurise(windows: Windows) -> dict[str, np.ndarray]:
        found = {"teacher embedding": encode(encoder, windows.teacher, bf16=config.bf16)[1]}
        for size, student in students.items():
            found[size] = run_torch(student, windows.causal).embedding
            if size in integers:
                found[f"{size} INT8"] = run_integers(integers[size], windows.causal).embedding
        return found

    context = LADDER["watch"].context
    rows = run_probes(featurise, config.only, root=config.data, context=context, skill=True, progress=bar)
    results(rows, config.out, table(rows, kept))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, SkillConfig)
