"""What beats cost on a core: instructions of a second, flash, RAM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onwrist.export.sources.firmware import firmware_sources, with_beats
from onwrist.firmware_sim.parity.watch_in_c import watch_cost
from onwrist.firmware_sim.runtimes.compiler import CORES, PORTABLE_CORES, Core
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.runtimes.native import WatchInC
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.fixed import design


@dataclass(frozen=True)
class Cost:
    """A watch with beats, less the same watch without.

    Attributes:
        instructions: of a second of signal; of: of the whole watch without beats. flash, ram: bytes.
    """

    core: str
    instructions: int
    of: int
    flash: int
    ram: int


def beats_cost(model: IntegerModel, hop: int, counts: np.ndarray, rate_hz: int, bits: int) -> list[Cost]:
    """On every emulated core, over counts (n,) of a sensor."""
    fixed = design(rate_hz, bits)
    plain = firmware_sources(model, hop, fixed)
    seconds = len(counts) / rate_hz
    found = []
    for core in (*CORES, *PORTABLE_CORES):
        (less, flash, ram), (more, flash_too, ram_too) = (
            _of(firmware, core, counts) for firmware in (plain, with_beats(plain, fixed))
        )
        found.append(
            Cost(core.name, round((more - less) / seconds), round(less / seconds), flash_too - flash, ram_too - ram)
        )
    return found


def table_of(costs: list[Cost]) -> str:
    """Markdown."""
    lines = ["| core | instructions a second (of the watch without) | flash | RAM |", "|---|---|---|---|"]
    return "\n".join(
        [
            *lines,
            *(
                f"| {c.core} | {c.instructions:,} ({100 * c.instructions / c.of:.1f} %) | {c.flash:,} B | {c.ram} B |"
                for c in costs
            ),
        ]
    )


def _of(firmware, core: Core, counts: np.ndarray) -> tuple[int, int, int]:
    device = WatchInC(firmware, core)
    assert isinstance(device.machine, Emulator)
    return sum(watch_cost(firmware, core, counts).values()), device.machine.image.flash, device.bytes
