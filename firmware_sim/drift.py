"""Do the watches in the field still see what the model was made for?

python firmware_sim/drift.py telemetry.parquet --bundle handoff.zip
python firmware_sim/drift.py --demo noise --bundle build/handoff      # an example fleet of shipped recordings, then compared
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval
from tyro.conf import Positional, arg

from onwrist.ranges import Checked
from onwrist.settings import Size


@dataclass(frozen=True)
class DriftConfig(Checked):
    """A fleet's counters against those of the people that a bundle was made with."""

    telemetry: Annotated[
        Path | None,
        Positional,
        arg(
            help="Parquet: device, day, model, firmware, telemetry (256 bytes).",
            help_behavior_hint="",
            metavar="PARQUET",
        ),
    ] = None
    bundle: Path = Path("build/handoff.zip")
    """The handoff bundle that the watches run, folder or zip."""
    size: Size = "watch"
    baseline: Path | None = None
    """Another fleet's table, or this one's first days, in place of the bundle's people."""
    by: tuple[Literal["day", "model", "firmware"], ...] = ("day", "model", "firmware")
    """What the fleet is sliced by, beside the whole."""
    level: Annotated[float, Interval(gt=0, le=0.5)] = 0.01
    """False alarms of a run, all slices together."""
    least_outputs: Annotated[int, Interval(ge=0, le=10_000_000)] = 150
    """Outputs below which a device is left out."""
    demo: Literal["none", "rate", "gain", "polarity", "noise", "fade"] | None = None
    """Make an example fleet of shipped recordings first, with this gone wrong halfway, and write it to the Parquet."""
    out: Path = Path("runs/drift")
    """Folder of drift.html and drift.json."""


def main(config: DriftConfig) -> int:
    """Compare a fleet by day, device model and firmware version with what the model saw; exit 1 at an alarm."""
    import json

    from onwrist.command import GATE_FAILED, bar, say
    from onwrist.errors import ConfigError
    from onwrist.firmware_sim.fleet.compare import compare
    from onwrist.firmware_sim.fleet.example import example_fleet
    from onwrist.firmware_sim.fleet.page import line, page
    from onwrist.firmware_sim.fleet.table import read_fleet, write_fleet
    from onwrist.firmware_sim.handoff.held import held_student
    from onwrist.writing import write_whole

    student = held_student(config.bundle, config.size)
    reference = student.reference
    telemetry = config.telemetry or config.out / "telemetry.parquet"
    if config.demo:
        write_fleet(telemetry, example_fleet(student, config.demo, bar), reference.rules)
        say(f"an example fleet: {telemetry}")
    elif config.telemetry is None:
        raise ConfigError("no telemetry", field="telemetry", cure="Name a Parquet file, or make one with --demo none")
    fleet = read_fleet(telemetry, reference.rules)
    people, of = reference.people, reference.source
    if config.baseline:
        people, of = read_fleet(config.baseline, reference.rules).counters, f"rows of {config.baseline.name}"
    found = compare(people, fleet, reference.rules, by=config.by, level=config.level, least=config.least_outputs)
    for slice_ in found:
        print(line(slice_))
    plain = [
        {
            "slice": f.name, "devices": f.devices, "alarm": f.alarm, "field": f.field, "psi": f.psi if f.every else None,
            "p": f.p if f.every else None, "level": f.level, "fields": {n: {"psi": v, "statistic": t} for n, (v, t) in f.every.items()},
        }
        for f in found
    ]  # fmt: skip
    write_whole(config.out / "drift.json", (json.dumps({"reference": of, "slices": plain}, indent=1) + "\n").encode())
    write_whole(config.out / "drift.html", page(found, reference, of).encode())
    say(f"report: {config.out / 'drift.html'}")
    return GATE_FAILED if any(f.alarm for f in found) else 0


if __name__ == "__main__":
    from onwrist.command import run

    run(main, DriftConfig)
