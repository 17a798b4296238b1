"""The exported C run from ADC counts to answers, on this host and on emulated cores, against the simulated watch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from onwrist.export.sources.files import Firmware
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.gates import Gate, Played
from onwrist.firmware_sim.runtimes.compiler import CORES, Core
from onwrist.firmware_sim.runtimes.device import FirmwareStep, swing
from onwrist.firmware_sim.runtimes.emulator import Emulator, Image
from onwrist.signals.people.cohort import Progress, silent

# Kernels by what they are reported as: the rest is copying, calls and the front end.
INNER = ("pair4", "one4")
DENSE = (*INNER, "widen", "ow_conv2d", "taps", "gather")
DEPTHWISE = ("taps4", "ow_depthwise")


@dataclass(frozen=True)
class FirmwareRun:
    """The firmware on one machine.

    Attributes:
        name: of the machine. hops: that were run. wrong: bytes that differ, of the front end's output, the embedding
            and the answers, of `bytes`.
        instructions: of one hop, from the last sample of the one before to the answers, acceleration's front end included; by function in `kernels`.
        arena: bytes of RAM that the model needs, state included. stack, image: bytes; None on this host.
    """

    name: str
    hops: int
    wrong: int
    bytes: int
    arena: int
    instructions: int | None = None
    kernels: dict[str, int] = field(default_factory=dict)
    stack: int | None = None
    image: Image | None = None

    def share(self, names: tuple[str, ...]) -> int:
        """Instructions of some functions."""
        return sum(self.kernels.get(n, 0) for n in names)


def run_firmware(
    firmware: Firmware,
    core: Core | None,
    played: Played,
    outputs: tuple[np.ndarray, np.ndarray],
    progress: Progress = silent,
) -> FirmwareRun:
    """Push the counts of a run through the firmware, reset it where the watch was, and compare every byte.

    Args:
        outputs: int8 embedding (n, 256) and all that is said beside it (n, C) of the watch.
    """
    runtime = FirmwareStep(firmware, core)
    wrong = total = 0
    beside = played.acceleration if played.acceleration is not None else [None] * len(played.first)
    hops = zip(played.counts, beside, played.first, played.chunks, *outputs, strict=True)
    for counts, rows, first, *expected in progress(hops, runtime.name, total=len(played.first)):
        if first:
            runtime.reset()
        found = runtime.device.push(counts, rows)
        total += sum(e.size for e in expected)
        if len(found) == 1:
            chunk, embedding, *said = found[0]
            ours = chunk, embedding, np.concatenate([s.ravel() for s in said])
            wrong += sum(int(np.count_nonzero(a != b)) for a, b in zip(ours, expected, strict=True))
        else:
            wrong += sum(e.size for e in expected)
    run = FirmwareRun(runtime.name, len(played.first), wrong, total, firmware.arena.bytes)
    return run if core is None else measured(run, firmware, core, played.counts[-1])


def measured(run: FirmwareRun, firmware: Firmware, core: Core, counts: np.ndarray) -> FirmwareRun:
    """The run with instructions, stack and sizes of one hop of counts, after a first one that fills the state."""
    runtime = FirmwareStep(firmware, core, count=True)
    machine = runtime.machine
    assert isinstance(machine, Emulator)
    rows = swing(firmware, len(counts) / float(firmware.constants["ONWRIST_RATE_HZ"]))
    runtime.device.push(counts)
    runtime.feel(rows)
    machine.by_function.clear()
    machine.paint_stack()
    runtime.device.push(counts)
    runtime.feel(rows)
    kernels = dict(machine.by_function.most_common())
    return replace(
        run, instructions=sum(kernels.values()), kernels=kernels, stack=machine.stack_bytes(), image=machine.image
    )


def run_everywhere(
    deployed: Deployed, played: Played, outputs: tuple[np.ndarray, np.ndarray], progress: Progress = silent
) -> list[FirmwareRun]:
    """The firmware of a student on this host and on every emulated core."""
    return [run_firmware(deployed.firmware, core, played, outputs, progress) for core in (None, *CORES)]


def firmware_gate(runs: list[FirmwareRun]) -> Gate:
    """The C of every machine gives the bytes of the simulated watch."""
    passed = len(runs) == 1 + len(CORES) and all(r.wrong == 0 and r.hops > 0 for r in runs)
    value = ", ".join(f"{r.name.removeprefix('firmware C, ')} {r.wrong}" for r in runs)
    detail = f"{runs[0].bytes:,} bytes each, from ADC counts" if runs else ""
    return Gate("firmware C, native and emulated: bytes that differ", "0", value, passed, detail=detail, group="exact")
