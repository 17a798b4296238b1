"""Timings on this host: every runtime on the same windows and hops, the front end, and a day on the watch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from onwrist.firmware_sim.runtimes.hop import Stepped
from onwrist.firmware_sim.runtimes.window import Runtime
from onwrist.firmware_sim.watch.faults import KINDS, Faults

EVERY_FAULT = Faults(tuple(kind() for kind in KINDS.values()), seed=1)


def _one_by_one(runtime: Runtime | Stepped, rows: np.ndarray) -> None:
    for row in rows:
        if isinstance(runtime, Runtime):
            runtime.run(row[None])
        else:
            runtime.step(row)


def ms_each(call: Callable[[], object], count: int) -> float:
    """Milliseconds per item of one call over `count` items."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) / count * 1e3


def time_runtimes(runtimes: list[Runtime | Stepped], windows: np.ndarray, hop: int, rounds: int) -> dict[str, float]:
    """Median milliseconds per hop of each runtime, in turns; int8 windows (n, window), of which a hop is the end."""
    found: dict[str, list[float]] = {r.name: [] for r in runtimes}
    for _ in range(rounds):
        for runtime in runtimes:
            x = windows if isinstance(runtime, Runtime) else windows[:, -hop:]
            x = x if runtime.integer else x.astype(np.float32) / 32
            found[runtime.name].append(ms_each(partial(_one_by_one, runtime, x), len(x)))
    return {name: float(np.median(values)) for name, values in found.items()}
