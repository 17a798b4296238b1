"""Timings on this host: every runtime on the same windows and hops, the front end, and a day on the watch.

    python firmware_sim/bench.py

Ratios within one run may be quoted; milliseconds are this host's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from onwrist.ranges import Checked
from onwrist.settings import HOUR_ON_A_WRIST, HopS, Recording


@dataclass(frozen=True)
class BenchConfig(Checked):
    """How long to measure."""

    windows: Annotated[int, Interval(ge=1, le=100_000)] = 50
    """Windows, and hops, per round and runtime."""
    rounds: Annotated[int, Interval(ge=1, le=1_000)] = 5
    """Rounds; the runtimes take turns, so that a drifting host does not favour one."""
    recording: Recording = HOUR_ON_A_WRIST
    hours: Annotated[int, Interval(ge=1, le=744)] = 24
    """Hours of it."""
    hop_s: HopS = 1.0


def main(config: BenchConfig) -> None:
    """Time every runtime, the front end and a day on the watch on this host."""

    import resource
    from collections import deque
    from functools import partial

    import numpy as np

    from onwrist.export.handoff.artifacts import SIZES, load_artifacts
    from onwrist.firmware_sim.parity.deployed import Deployed
    from onwrist.firmware_sim.parity.gates import all_runtimes
    from onwrist.firmware_sim.runtimes.hop import TFLMStep, TorchStep
    from onwrist.firmware_sim.runtimes.timing import EVERY_FAULT, ms_each, time_runtimes
    from onwrist.firmware_sim.runtimes.window import TorchFloat
    from onwrist.firmware_sim.watch.faults import Faults
    from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
    from onwrist.firmware_sim.watch.watch import Watch, WatchConfig
    from onwrist.resources import recording as shipped_or_own
    from onwrist.signals.front_end.fixed import FixedFrontEnd
    from onwrist.signals.front_end.floating import FrontEnd
    from onwrist.signals.recordings.readers import read_recording

    recording = read_recording(shipped_or_own(config.recording))
    sensor = Sensor(recording, SensorConfig())
    rng = np.random.default_rng(0)
    windows = rng.integers(-128, 128, (config.windows, 400)).astype(np.int8)
    for size in SIZES:
        a = load_artifacts(size)
        deployed = Deployed(a, WatchConfig(config.hop_s))
        runtimes = [
            deployed.tflm(),
            *all_runtimes(deployed),
            TorchFloat(a.student),
            TorchStep(a.student, deployed.hop),
        ]
        found = time_runtimes(runtimes, windows, deployed.hop, config.rounds)
        print(f"\n{size}: ms per hop of {config.hop_s:g} s, batch 1, and ratio to TFLM's stream")
        for name, ms in found.items():
            print(f"  {name:26} {ms:8.3f}  {ms / found[TFLMStep.name]:7.3f}")
        repeat = max(1, round(config.hours * 3600 / sensor.seconds))
        for what, faults in (("", Faults()), (" of every fault", EVERY_FAULT)):
            day = Sensor(recording, SensorConfig(), faults, repeat)
            watch = Watch(a.model, deployed.litert(), deployed.config)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            took = ms_each(partial(deque, watch.run(day), 0), 1) / 1e3
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            print(f"  {day.seconds / 3600:.1f} h{what} on the watch, {watch.runtime.name}: {took:.1f} s, "
                  f"{day.seconds / took:,.0f} times real time, memory +{grown:.0f} MiB")  # fmt: skip
            print(f"    {watch.counters}, books balance: {watch.counters.accounted}")
    for name, front_end in (("float", FrontEnd(64)), ("fixed point", FixedFrontEnd(64, 19))):
        ms = ms_each(partial(front_end.push, sensor.counts), 1)
        print(f"\nfront end, {name}, 64 Hz: {sensor.seconds / ms * 1e3:,.0f} times real time")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, BenchConfig)
