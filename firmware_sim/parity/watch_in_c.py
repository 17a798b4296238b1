"""The exported watch put through what the simulated one went through: bytes, flags and counters that differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onwrist.export.sources.files import Firmware
from onwrist.export.sources.firmware import with_beats
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.gates import Gate
from onwrist.firmware_sim.parity.run import Run
from onwrist.firmware_sim.runtimes.compiler import CORES, Core
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.runtimes.native import ACCELERATION_BOOKS, BOOKS, WatchInC, WatchOutputs
from onwrist.firmware_sim.watch.script import Script
from onwrist.firmware_sim.watch.watch import Hop, Watch
from onwrist.signals.people.cohort import Progress, silent


@dataclass(frozen=True)
class WatchRun:
    """The exported watch on one machine against the simulated one.

    Attributes:
        name: of the machine. hops: outputs of the simulated watch; extra: that one of the two has alone.
        bytes: of embedding and answers, those of frames too, `wrong` of them differ. flags: outputs whose reasons, start, sequence
            number, rows without acceleration or beats differ. counters: that differ at the end, by name. ram: bytes of `onwrist_watch`,
            front end and ring included.
    """

    name: str
    hops: int
    extra: int
    bytes: int
    wrong: int
    flags: int
    counters: tuple[str, ...]
    ram: int

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.extra or self.wrong or self.flags or self.counters)


def run_watch(device: WatchInC, script: Script, hops: list[Hop], watch: Watch) -> WatchRun:
    """Play the script that a simulated watch wrote, from power-up on, and compare.

    Args:
        device: the exported watch. script: of `watch`, by its ring. hops: its outputs.
    """
    device.init()
    found = device.play(script)
    books = {**device.books, **{f"acceleration {n}": v for n, v in device.acceleration_books.items()}}
    return compare_watches(device.name, found, books, hops, watch, device.bytes)


def compare_watches(
    name: str, found: WatchOutputs, books: dict[str, int], hops: list[Hop], watch: Watch, ram: int = 0
) -> WatchRun:
    """Outputs and counters of an exported watch against those of the simulated one."""
    n = min(len(found), len(hops))
    wrong = flags = 0
    if n:
        for ours, theirs in (
            (found.embedding, [h.embedding for h in hops[:n]]), (found.answers, [h.answers for h in hops[:n]]),
            (found.frames, [h.frames for h in hops[:n] if h.frames is not None]),
        ):  # fmt: skip
            wrong += int(np.count_nonzero(ours[:n] != np.stack(theirs))) if theirs else 0
        facts = np.array([(int(h.why), h.sequence, h.first, h.unmoved) for h in hops[:n]], np.int64)
        ours = np.stack([found.reasons, found.sequence, found.first, found.unmoved], axis=1)[:n]
        different_facts = (ours != facts).any(axis=1)
        if watch.pulse:
            different_facts |= _beats_differ(found, hops[:n])
        flags = int(np.count_nonzero(different_facts))
    expected = counters_of(watch)
    different = tuple(n for n in expected if books.get(n) != expected[n])
    total = sum(h.embedding.size + h.answers.size + (0 if h.frames is None else h.frames.size) for h in hops)
    return WatchRun(name, len(hops), abs(len(found) - len(hops)), total, wrong, flags, different, ram)


def _beats_differ(found: WatchOutputs, hops: list[Hop]) -> np.ndarray:
    """(n,) bool, outputs whose beats are not the simulated watch's."""
    ends = np.cumsum(found.beat_count)
    differ = []
    for end, count, hop in zip(ends, found.beat_count, hops, strict=False):
        expected = [[b.time, b.found, b.interval, b.confidence] for b in hop.beats]
        differ.append(found.beats[end - count : end].tolist() != expected)
    return np.array(differ, bool)


def counters_of(watch: Watch) -> dict[str, int]:
    """The counters that the C has, as the simulated watch has them. Deadlines and backlog are of a clock, which the C
    has not."""
    known = {name: getattr(watch.counters, name) for name in BOOKS if hasattr(watch.counters, name)}
    found = {**known, "waiting": watch.ring.head - watch.ring.tail, "high_water": watch.ring.high_water}
    if watch.motion:
        line = watch.motion
        more = {n: getattr(line.counters, n) for n in ACCELERATION_BOOKS if hasattr(line.counters, n)}
        more |= {"waiting": line.ring.head - line.ring.tail, "high_water": line.ring.high_water}
        found |= {f"acceleration {n}": value for n, value in more.items()}
    return found


def run_watch_everywhere(deployed: Deployed, run: Run, progress: Progress = silent) -> list[WatchRun]:
    """The exported watch of a student on this host and on every emulated core, put through a logged run."""
    firmware, hops = deployed.firmware, run.hops.each()
    if deployed.model.sees.finds_beats:
        firmware = with_beats(firmware, deployed.front_end)
    return [
        run_watch(WatchInC(firmware, core, gap=deployed.config.gap), run.script, hops, run.watch)
        for core in progress((None, *CORES), "watch in C", total=1 + len(CORES))
    ]


def watch_gate(runs: list[WatchRun]) -> Gate:
    """The watch in C gives the outputs, flags and counters of the simulated one, on every machine."""
    passed = len(runs) == 1 + len(CORES) and all(r.same and r.hops > 0 for r in runs)
    value = ", ".join(
        f"{r.name.removeprefix('watch in C, ')} {r.wrong + r.extra}, {r.flags}, {len(r.counters)}" for r in runs
    )
    detail = f"{runs[0].hops:,} outputs, {len(BOOKS)} counters, from bursts" if runs else ""
    return Gate(
        "whole watch in C: bytes, flags, counters that differ", "0, 0, 0", value, passed, detail=detail, group="exact"
    )


def watch_cost(firmware: Firmware, core: Core, counts: np.ndarray) -> dict[str, int]:
    """Instructions by function over counts that the emulated watch plays, after itself once for the state."""
    device = WatchInC(firmware, core, count=True)
    return spent(device, Script.of(counts, device.burst))


def spent(device: WatchInC, script: Script) -> dict[str, int]:
    """Instructions by function over a script that an emulated watch plays, after itself once for the state.

    Args:
        device: made to count.
    """
    machine = device.machine
    assert isinstance(machine, Emulator)
    device.init()
    device.play(script)
    device.init()
    machine.by_function.clear()
    device.play(script)
    return dict(machine.by_function)
