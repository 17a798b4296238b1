"""What a hop costs on each microcontroller: instructions of this C, the cycles and time that follow, and energy apart.

    python firmware_sim/parts.py --hop-s 1

Instructions are counted on emulated cores, by class. Cycles are a range that follows from them; what nobody published is
"unknown". A team that ran the self-test on its board gives the line it printed (FIRMWARE.md), which replaces the estimate:

    python firmware_sim/parts.py --measured board.json
"""

from __future__ import annotations

from dataclasses import dataclass

from onwrist.ranges import Checked
from onwrist.settings import HopS, SensorHz


@dataclass(frozen=True)
class PartsConfig(Checked):
    """What a hop costs on each part."""

    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64


def main(config: PartsConfig) -> None:
    """Count the instructions of each student, streamed, and say what they cost on each part."""

    from onwrist.export.handoff.artifacts import SIZES, load_artifacts
    from onwrist.firmware_sim.parity.deployed import Deployed
    from onwrist.firmware_sim.parity.parts import MIX_HEAD, PARTS, cost, count_mixes, markdown, mix_cells, table
    from onwrist.firmware_sim.watch.sensor import SensorConfig
    from onwrist.firmware_sim.watch.watch import WatchConfig

    sensor = SensorConfig(config.sensor_hz, min(16, config.sensor_hz))
    costs, mixes = [], []
    for size in SIZES:
        deployed = Deployed(load_artifacts(size), WatchConfig(config.hop_s, sensor))
        found = count_mixes(deployed)
        costs += [cost(part, deployed, found) for part in PARTS]
        mixes += [mix_cells(size, mix) for mix in found.values()]
    print(f"{markdown(MIX_HEAD, mixes)}\n\n{table(costs)}")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, PartsConfig)
