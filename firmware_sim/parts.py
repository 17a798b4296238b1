"""What a hop costs on each microcontroller: instructions of this C, the cycles and time that follow, and energy apart.

    python firmware_sim/parts.py --hop-s 1

Instructions are counted on emulated cores, by class. Cycles are a range that follows from them; what nobody published is
"unknown". A team that ran the self-test on its board gives the line it printed (FIRMWARE.md), which replaces the estimate:

    python firmware_sim/parts.py --measured board.log

With `--npu`, also what Arm's compiler for its Ethos-U estimates of the model on them (pip install 'onwrist[npu]').
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.ranges import Checked
from onwrist.settings import HopS, SensorHz


@dataclass(frozen=True)
class PartsConfig(Checked):
    """What a hop costs on each part."""

    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64
    measured: Path | None = None
    """What boards said of themselves: the lines that selftest_board.c printed."""
    npu: bool = False
    """Also the model on Ethos-U NPUs, as Arm's compiler for them estimates it."""


def main(config: PartsConfig) -> None:
    """Count the instructions of each student, streamed, and say what they cost on each part."""

    from onwrist.export.handoff.artifacts import SIZES, load_artifacts
    from onwrist.firmware_sim.parity import npu
    from onwrist.firmware_sim.parity.deployed import Deployed
    from onwrist.firmware_sim.parity.measured import read_rows, with_measured
    from onwrist.firmware_sim.parity.parts import MIX_HEAD, PARTS, cost, count_mixes, markdown, mix_cells, table
    from onwrist.firmware_sim.watch.sensor import SensorConfig
    from onwrist.firmware_sim.watch.watch import WatchConfig

    sensor = SensorConfig(config.sensor_hz, min(16, config.sensor_hz))
    rows = read_rows(config.measured) if config.measured else []
    students = [Deployed(load_artifacts(size), WatchConfig(config.hop_s, sensor)) for size in SIZES]
    # What is wrong with them is said before anything is counted.
    with_measured([], rows, students, config.measured)
    npus = [npu.npu_cost(s, name) for s in students for name in npu.NPUS] if config.npu else []
    costs, mixes = [], []
    for deployed in students:
        found = count_mixes(deployed)
        costs += [cost(part, deployed, found) for part in PARTS]
        mixes += [mix_cells(deployed.artifacts.size, mix) for mix in found.values()]
    costs = with_measured(costs, rows, students, config.measured)
    tables = [markdown(MIX_HEAD, mixes), table(costs)]
    tables += [markdown(npu.HEAD, [npu.cells(c) for c in npus])] if npus else []
    print("\n\n".join(tables))


if __name__ == "__main__":
    from onwrist.command import run

    run(main, PartsConfig)
