"""Microcontrollers as data, and what a student costs on them: ranges from measured cycles and energy per MAC.

    python firmware_sim/parts.py --hop-s 1

Every millisecond and microjoule here is an estimate: multiply-accumulates of the student, times what MLPerf Tiny's
keyword spotting (2.66 MMAC) took on that very part per MAC. A figure that nobody measured is "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass

from onwrist.settings import HopS, SensorHz


@dataclass(frozen=True)
class PartsConfig:
    """What a hop costs on each part."""

    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64


def main(config: PartsConfig) -> None:
    """Estimate time and energy of each student, streamed, on each part."""

    from onwrist.export.handoff.artifacts import SIZES, load_artifacts
    from onwrist.firmware_sim.parity.deployed import Deployed
    from onwrist.firmware_sim.parity.parts import PARTS, cost, table
    from onwrist.firmware_sim.watch.sensor import SensorConfig
    from onwrist.firmware_sim.watch.watch import WatchConfig

    sensor = SensorConfig(config.sensor_hz, min(16, config.sensor_hz))
    costs = []
    for size in SIZES:
        artifacts = load_artifacts(size)
        memory = Deployed(artifacts, WatchConfig(config.hop_s, sensor)).memory
        costs += [cost(part, artifacts, memory, sensor, config.hop_s) for part in PARTS]
    print(table(costs))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, PartsConfig)
