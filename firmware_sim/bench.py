"""Timings on this host: every runtime on the same windows, the front end, and the watch as a whole.

    python firmware_sim/bench.py

Ratios within one run may be quoted; milliseconds are this host's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from export.artifacts import SIZES, load_artifacts
from firmware_sim.runtimes import TFLM, Runtime, TorchFloat, other_runtimes
from firmware_sim.sensor import Sensor, SensorConfig
from firmware_sim.watch import Watch, WatchConfig
from signals.frontend import FrontEnd
from signals.readers import read_recording


@dataclass(frozen=True)
class BenchConfig:
    """How long to measure."""

    windows: int = 50
    """Windows per round and runtime."""
    rounds: int = 5
    """Rounds; the runtimes take turns, so that a drifting host does not favour one."""


def _one_by_one(runtime: Runtime, windows: np.ndarray) -> None:
    for row in windows:
        runtime.run(row[None])


def ms_each(call: Callable[[], object], count: int) -> float:
    """Milliseconds per item of one call over `count` items."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) / count * 1e3


def time_runtimes(runtimes: list[Runtime], windows: np.ndarray, real: np.ndarray, rounds: int) -> dict[str, float]:
    """Median milliseconds per window of each runtime, in turns."""
    found: dict[str, list[float]] = {r.name: [] for r in runtimes}
    for _ in range(rounds):
        for runtime in runtimes:
            x = windows if runtime.integer else real
            found[runtime.name].append(ms_each(partial(_one_by_one, runtime, x), len(x)))
    return {name: float(np.median(values)) for name, values in found.items()}


def main(config: BenchConfig) -> None:
    """Time every runtime, the front end and the whole watch on this host."""
    recording = read_recording("recordings/bidmc_13.npz")
    sensor = Sensor(recording, SensorConfig())
    rng = np.random.default_rng(0)
    windows = rng.integers(-128, 128, (config.windows, 400)).astype(np.int8)
    for size in SIZES:
        a = load_artifacts(size)
        others = other_runtimes(a.quantised, a.model, a.tflite, a.onnx)
        runtimes: list[Runtime] = [TFLM(a.tflite, a.model.window), *others, TorchFloat(a.student)]
        real = windows.astype(np.float32) * a.model.input_scale
        found = time_runtimes(runtimes, windows, real, config.rounds)
        print(f"\n{size}: ms per window, batch 1, and ratio to TFLM")
        for name, ms in found.items():
            print(f"  {name:18} {ms:8.3f}  {ms / found['TFLM']:7.3f}")
        watch = Watch(a.model, runtimes[-2], WatchConfig())
        ms = ms_each(partial(deque, watch.run(sensor), 0), 1)
        print(f"  whole watch with {runtimes[-2].name}, hop 1 s: {sensor.seconds / ms * 1e3:,.0f} times real time")
    ms = ms_each(lambda: [FrontEnd(64).push(sensor.counts) for _ in range(10)], 10)
    print(f"\nfront end, 64 Hz: {sensor.seconds / ms * 1e3:,.0f} times real time")


if __name__ == "__main__":
    from signals.cli import run

    run(main, BenchConfig)
