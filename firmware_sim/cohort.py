"""A whole study through the simulated watch, on one machine or many.

python firmware_sim/cohort.py 'data/**/*.npz' --out runs/study
python firmware_sim/cohort.py s3://bucket/study --out s3://bucket/played --scheduler tcp://scheduler:8786
python firmware_sim/cohort.py --spec my.toml --out runs/mine              # the student, sensor, stream and gates of a deployment
python firmware_sim/cohort.py recordings --float 1 --people people.csv --by sex device
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Interval
from tyro.conf import Positional, arg

from onwrist.ranges import Checked, Share
from onwrist.settings import Bits, HopS, RecordingHz, SensorHz, Size, Teacher

if TYPE_CHECKING:
    from onwrist.spec import Spec


@dataclass(frozen=True)
class CohortConfig(Checked):
    """Many recordings through the simulated watch."""

    recordings: Annotated[
        tuple[str, ...],
        Positional,
        arg(
            help="Paths, folders or patterns ('data/**/*.npz'), of this machine or of any protocol of fsspec (s3://...); with "
            "--spec left out: its own.",
            help_behavior_hint="",
            metavar="PATTERN",
        ),
    ] = ()
    spec: Path | None = None
    """A deployment's TOML file: its student, sensor and stream are played, its gates are judged (options for those are not
    looked at)."""
    out: str = "runs/study"
    """Folder of the study, local or of any protocol of fsspec. The same command goes on with a study that was ended."""
    workers: Annotated[int, Interval(ge=0, le=1_024)] = 2
    """Worker processes on this machine; 0 plays inside this process."""
    scheduler: str | None = None
    """Address of a Dask scheduler (tcp://host:8786) whose workers play instead of this machine's."""
    size: Size = "watch"
    teacher: Teacher = None
    weights: Path | None = None
    """Quantised student (default: the shipped one)."""
    student: Path | None = None
    """Its float parent (default: the shipped one)."""
    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64
    bits: Bits = 19
    gap: Literal["interpolate", "hold", "reset"] = "interpolate"
    """What bridges a gap of up to a second."""
    rate_hz: RecordingHz | None = None
    """Rate of the recordings, where their files do not tell."""
    channel: str | None = None
    """PPG channel, where the files have several."""
    float_share: Annotated[Share, arg(name="float", metavar="SHARE")] = 0.05
    """Share of the recordings that the float student sees too, drawn by name; 0 none, 1 all."""
    people: str | None = None
    """Table (CSV or Parquet) with a column `person` or `recording`; its other columns (age, sex, device) make subgroups."""
    by: tuple[str, ...] = ()
    """Columns of that table that subgroups are made of, default all that have at most 24 values."""
    gate: tuple[str, ...] = ()
    """Limits that everybody and the worst subgroup have to keep: mae<=5 shown>=0.5 (default: those of the handoff)."""
    report: bool = True
    """Write report.html and its tables when all is played."""
    part_mb: Annotated[float, Interval(ge=0.001, le=10_000)] = 8.0
    """Size of a part in MB of recordings: what a worker does at once, and what is done again after it was killed."""


def main(config: CohortConfig) -> int:
    """Play a whole study through the simulated watch, on Dask, and report on it."""

    from onwrist.command import GATE_FAILED, bar, say
    from onwrist.errors import ConfigError
    from onwrist.firmware_sim.study.conduct import cluster, conduct, open_study
    from onwrist.firmware_sim.study.figures import Rows, summarise
    from onwrist.firmware_sim.study.judge import judge, parse, study_verdict
    from onwrist.firmware_sim.study.kit import make_kit
    from onwrist.firmware_sim.study.plan import Setting, make_plan
    from onwrist.firmware_sim.study.report import write_study_report
    from onwrist.firmware_sim.study.store import Store
    from onwrist.firmware_sim.study.waves import raw_waves
    from onwrist.firmware_sim.watch.sensor import SensorConfig
    from onwrist.spec import Gates, read_spec

    limits = Gates()
    if config.spec:
        spec = read_spec(config.spec)
        config, limits = of_spec(config, spec), spec.gates
    if not config.recordings:
        raise ConfigError("no recordings", field="recordings", cure="Name files, folders or patterns")
    # What can be wrong with the words is found before the work.
    SensorConfig(config.sensor_hz, bits=config.bits)
    for rule in config.gate:
        parse(rule)
    playing: dict[str, Any] = {
        "size": config.size, "hop_s": config.hop_s, "sensor_hz": config.sensor_hz, "bits": config.bits,
        "gap": config.gap, "rate_hz": config.rate_hz, "channel": config.channel, "float_share": config.float_share,
        "part_bytes": int(config.part_mb * 1e6),
    }  # fmt: skip
    Setting(digest="", **playing)
    kit = make_kit(config.size, playing, config.weights, config.student, config.teacher)
    plan = make_plan(Setting(digest=kit.digest, **playing), config.recordings)
    store = Store(config.out)
    open_study(store, plan, kit)
    with cluster(config.workers, config.scheduler) as client:
        found = conduct(store, plan, client, bar)
    say(f"{found['recordings']} recordings, {found['hours']:.1f} h, {found['failures']} failed: {config.out}")
    if not config.report:
        return 0
    figures = summarise(Rows(store, config.people), config.by, kit.sources["reasons"])
    figures.waves = raw_waves(plan, figures.stretches)
    gates = judge(figures, config.gate, limits)
    for gate in gates:
        print(
            f"{gate.word:<10}  {gate.name}: {gate.value} (limit {gate.limit}{f'; {gate.detail}' if gate.detail else ''})"
        )
    word, why = study_verdict(gates)
    print(f"{word}{f': {why}' if why else ''}")
    say(f"report: {write_study_report(store, found, figures, gates)}")
    return GATE_FAILED if word == "FAIL" else 0


def of_spec(config: CohortConfig, spec: Spec) -> CohortConfig:
    """The config of a spec: student, sensor, stream and gates; its recordings and people where the command names none.

    Raises:
        ConfigError: the student that it makes is not there yet.
    """
    from onwrist.errors import ConfigError
    from onwrist.firmware_sim.handoff.road import QUANTISED, STUDENT

    weights = student = None
    if spec.trains:
        folder = Path("build") / spec.name
        weights, student = folder / QUANTISED, folder / STUDENT
        for file in (weights, student):
            if not file.is_file():
                raise ConfigError(
                    "its student is not there yet", where=file, cure=f"Run onwrist deploy {config.spec} first"
                )
    return replace(
        config, recordings=config.recordings or spec.data.recordings, size=spec.student.size, weights=weights, student=student,
        teacher=None, hop_s=spec.stream.hop_s, gap=spec.stream.gap, sensor_hz=spec.sensor.rate_hz, bits=spec.sensor.bits,
        gate=config.gate or spec.study.gate, people=config.people or spec.study.people, by=config.by or spec.study.by,
    )  # fmt: skip


if __name__ == "__main__":
    from onwrist.command import run

    run(main, CohortConfig)
