"""How right is the watch on these recordings, how much does it show, and what would simpler methods have said?

python firmware_sim/survey.py                               # the shipped recordings
python firmware_sim/survey.py a.npz b.csv my_e4_folder --size band
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from onwrist.ranges import Checked
from onwrist.settings import HopS, SensorHz, Size


@dataclass(frozen=True)
class SurveyConfig(Checked):
    """Many recordings through the watch."""

    recordings: Positional[tuple[Path, ...]] = ()
    """Recordings, folders of them, or names of shipped ones (default: all that ship)."""
    size: Size = "watch"
    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64
    out: Path = Path("runs/survey.json")
    """Where the figures are written."""


def main(config: SurveyConfig) -> int:
    """What the watch shows of each recording and how right it is, beside simpler methods, paired by person; exit 1 if one fails."""

    from onwrist.command import GATE_FAILED, bar, results
    from onwrist.export.handoff.artifacts import load_artifacts
    from onwrist.firmware_sim.parity.survey import plain, survey, table_of
    from onwrist.firmware_sim.watch.sensor import SensorConfig
    from onwrist.firmware_sim.watch.watch import WatchConfig
    from onwrist.resources import SHIPPED
    from onwrist.resources import recording as shipped_or_own
    from onwrist.signals.recordings.readers import read_recording, recordings_in

    artifacts = load_artifacts(config.size)
    watch = WatchConfig(config.hop_s, SensorConfig(config.sensor_hz))
    asked = [shipped_or_own(p) for p in config.recordings] or sorted(SHIPPED.glob("*.npz"))
    paths = [inside for p in asked for inside in recordings_in(p)]
    found = plain([survey(read_recording(p), artifacts, watch) for p in bar(paths, f"survey {config.size}")])
    results(found, config.out, table_of(found))
    return GATE_FAILED if any(r["verdict"] == "FAIL" for r in found["recordings"]) else 0


if __name__ == "__main__":
    from onwrist.command import run

    run(main, SurveyConfig)
