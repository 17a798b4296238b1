"""How often is a change of a fleet found, and how often one that is not there?

python firmware_sim/drift_trial.py                                       # the shipped recordings
python firmware_sim/drift_trial.py $ONWRIST_DATA/cinc2015_125hz $ONWRIST_DATA/bidmc $ONWRIST_DATA/stress_predict
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from tyro.conf import Positional

from onwrist.ranges import Checked
from onwrist.settings import Bits, HopS, SensorHz, Size


@dataclass(frozen=True)
class DriftTrialConfig(Checked):
    """Planted changes against days without any."""

    recordings: Positional[tuple[str, ...]] = ()
    """Paths, folders or patterns of recordings (default: all that ship)."""
    size: Size = "watch"
    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64
    bits: Bits = 19
    times: Annotated[int, Interval(ge=1, le=100_000)] = 50
    """Random splits of the people per change; four times as many without any."""
    most: Annotated[int, Interval(ge=2, le=100_000)] = 100
    """People of the reference, and of the fleet, at most."""
    level: Annotated[float, Interval(gt=0, le=0.5)] = 0.01
    """False alarms of a run that are aimed at."""
    out: Path = Path("runs/drift_trial.json")
    """Where the figures are written."""


def main(config: DriftTrialConfig) -> None:
    """Plant changes into recordings, compare with other people's, and count what is found and what is not there."""
    from onwrist.command import bar, results, say
    from onwrist.errors import RecordingError
    from onwrist.firmware_sim.fleet.counting import Counter, shipped_reference
    from onwrist.firmware_sim.fleet.planted import count_people
    from onwrist.firmware_sim.fleet.trial import table, trial
    from onwrist.firmware_sim.study.plan import Setting, make_plan
    from onwrist.quantize.integers.training import load_integers
    from onwrist.resources import SHIPPED
    from onwrist.signals.front_end.fixed import design
    from onwrist.signals.front_end.floating import hop_samples
    from onwrist.signals.recordings.readers import read_recording

    model, fixed = load_integers(config.size), design(config.sensor_hz, config.bits)
    hop = hop_samples(config.hop_s, model.stride, model.sees.rate_hz)
    rules = shipped_reference(model, hop, fixed).rules
    plan = make_plan(Setting(config.size, model.digest()), config.recordings or (str(SHIPPED / "*.npz"),))
    paths = [Path(s.url) for part in plan.parts for s in part]
    failed = []

    def read():
        for path in bar(paths, "recordings"):
            try:
                yield read_recording(path)
            except RecordingError as error:
                failed.append(str(error))

    people = count_people(Counter(model, hop, fixed, rules), read())
    found = trial(people, rules, config.times, config.most, config.level, bar)
    if failed:
        say(f"{len(failed)} recordings could not be read, the first: {failed[0]}")
    results(found, config.out, table(found))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, DriftTrialConfig)
