"""What acceleration costs on a core: instructions of a second, flash, RAM, multiplications; and what of it is not the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onwrist.export.sources.files import Firmware
from onwrist.export.sources.firmware import firmware_sources
from onwrist.firmware_sim.parity.watch_in_c import spent
from onwrist.firmware_sim.runtimes.compiler import Core
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.runtimes.native import WatchInC
from onwrist.firmware_sim.watch.script import Script
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.fixed import FixedDesign


@dataclass(frozen=True)
class Cost:
    """A watch, over a second.

    Attributes:
        student: its name. accelerometer_hz: 0 of a student that takes light alone. instructions: of the whole watch; acceleration:
            of these, less what the same watch needs while no acceleration comes: ring, front end and clocks, without the network.
        flash, ram: bytes of the image, and of the watch with its arena.
    """

    student: str
    core: str
    accelerometer_hz: int
    instructions: int
    acceleration: int
    flash: int
    ram: int


def watch_costs(
    model: IntegerModel, hop: int, fixed: FixedDesign, core: Core, counts: np.ndarray, acceleration: np.ndarray
) -> Cost:
    """A student's watch on an emulated core, over counts (n,) of its sensor and (m, 3) of an accelerometer, if it takes any."""
    firmware = firmware_sources(model, hop, fixed)
    seconds = len(counts) / fixed.rate_hz
    device = WatchInC(firmware, core, count=True)
    assert isinstance(device.machine, Emulator)
    still = whole = sum(spent(device, Script.of(counts, device.burst)).values())
    if device.moves:
        whole = sum(spent(device, Script.of(counts, device.burst, acceleration)).values())
    rate = fixed.acceleration.rate_hz if device.moves and fixed.acceleration else 0
    return Cost(
        model.name, core.name, rate, round(whole / seconds), round((whole - still) / seconds), device.machine.image.flash,
        device.bytes + _arena(firmware),
    )  # fmt: skip


def _arena(firmware: Firmware) -> int:
    found = firmware.constants["ONWRIST_ARENA_BYTES"]
    assert isinstance(found, int)
    return found


def table_of(costs: list[Cost]) -> str:
    """Markdown."""
    head = ("student", "accelerometer", "instructions a second", "of them acceleration's front end", "flash", "RAM")
    rows = [
        f"| {c.student} | {f'{c.accelerometer_hz} Hz' if c.accelerometer_hz else 'none'} | {c.instructions:,} | "
        f"{c.acceleration:,} | {c.flash:,} B | {c.ram:,} B |"
        for c in costs
    ]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows])
