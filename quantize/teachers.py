"""Which teacher leaves the best INT8 student: teachers and their students on the same probes, paired by person.

    python quantize/distill.py --teacher dino && python quantize/qat.py --teacher dino
    python quantize/teachers.py --teachers xmae dino

Each teacher is probed on its embedding, which is what its student imitates; each student on its INT8 embedding, in the
firmware's arithmetic. Students are compared with the first teacher's student.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.ranges import Checked
from onwrist.settings import Bf16, Data, Only, Size


@dataclass(frozen=True)
class TeachersConfig(Checked):
    """INT8 students of several teachers on the benchmark's tasks."""

    teachers: tuple[str, ...] = ()
    """Names as quantize/distill.py took them; the first one's student is what the others are compared with."""
    size: Size = "watch"
    only: Only = ()
    out: Path = Path("runs/teachers.json")
    """Where the results are written."""
    show: Path | None = None
    """Print the tables of this earlier result and do nothing else."""
    bf16: Bf16 = True
    data: Data = None


def main(config: TeachersConfig) -> None:
    """Probe several teachers and their INT8 students on the same people."""

    import json

    from onwrist.command import bar, results
    from onwrist.models.bench.systems import page
    from onwrist.quantize.judging.teachers import compare

    if config.show:
        print(page(json.loads(config.show.read_text())))
        return
    rows = compare(config.teachers, config.size, config.only, bf16=config.bf16, root=config.data, progress=bar)
    results(rows, config.out, page(rows))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, TeachersConfig)
