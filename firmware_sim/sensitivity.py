"""Where does INT8 hurt? One tensor quantised at a time, and all but one.

python firmware_sim/sensitivity.py                      # the shipped watch student
python firmware_sim/sensitivity.py my.toml              # the student that `onwrist deploy my.toml` made
python firmware_sim/sensitivity.py --size band --ptq    # before any training has repaired it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Interval

from onwrist.ranges import Checked
from onwrist.settings import Data, Size


@dataclass(frozen=True)
class SensitivityConfig(Checked):
    """What quantising each tensor of a student costs."""

    spec: Annotated[Path | None, tyro.conf.Positional] = None
    """A deployment's TOML file whose student was made; left out: a shipped student."""
    size: Size = "watch"
    ptq: bool = False
    """Of the float student calibrated anew (on the people of the other half), in place of the one that QAT has trained."""
    half: Literal["even", "odd", "all"] = "even"
    """Which of the held-out people: even to choose on, odd to report on."""
    most_windows: Annotated[int, Interval(ge=1, le=1_000_000)] = 400
    """Windows at most, taken evenly."""
    out: Path | None = None
    """Folder of sensitivity.html and sensitivity.json (default: runs/sensitivity/NAME)."""
    data: Data = None


def main(config: SensitivityConfig) -> None:
    """Measure what each tensor's quantisation costs in cosine and in every answer, on held-out people."""
    import json
    from dataclasses import asdict

    from onwrist.command import bar, say
    from onwrist.errors import ConfigError
    from onwrist.firmware_sim.handoff.road import QUANTISED, STUDENT, held_out
    from onwrist.firmware_sim.parity.sensitivity import page, table
    from onwrist.quantize.integers.training import load_quantised
    from onwrist.quantize.judging.evaluate import evaluation, part_of
    from onwrist.quantize.judging.sensitivity import SCHEMA, calibrated, sensitivity
    from onwrist.quantize.teaching.student_files import float_weights, int8_weights, load_student
    from onwrist.spec import Spec, read_spec
    from onwrist.writing import write_whole

    spec = read_spec(config.spec) if config.spec else Spec()
    size = spec.student.size if config.spec else config.size
    student, quantised = float_weights(size), int8_weights(size)
    if spec.trains:
        student, quantised = (Path("build") / spec.name / name for name in (STUDENT, QUANTISED))
    for file in (student, quantised):
        if not file.is_file():
            raise ConfigError(
                "its student is not there yet", where=file, cure=f"Run onwrist deploy {config.spec} first"
            )
    parent, _ = load_student(student)
    people = held_out(spec, parent, bar) if config.spec else evaluation(parent.context, config.data, bar)
    data = part_of(people, config.half, config.most_windows)
    if not len(data.x):
        raise ConfigError(f"nobody is in the half {config.half!r}", field="half", cure="Use --half all")
    if config.ptq:
        other = part_of(people, {"even": "odd", "odd": "even", "all": "all"}[config.half])
        model = calibrated(parent, *(other if len(other.x) else data).fed(parent))
    else:
        model = load_quantised(quantised)
    found = sensitivity(parent, model, data, bar)
    stage = "calibrated" if config.ptq else "trained"
    out = config.out or Path("runs/sensitivity") / (spec.name if config.spec else f"{size}{'.ptq' * config.ptq}")
    plain = {"schema": SCHEMA, "stage": stage, **asdict(found)}
    write_whole(out / "sensitivity.json", (json.dumps(plain, indent=1) + "\n").encode())
    write_whole(out / "sensitivity.html", page(found, data.answers, stage).encode())
    print(table(found, data.answers))
    say(f"picture: {out / 'sensitivity.html'}")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, SensitivityConfig)
