"""Microcontrollers as data, and what a student costs on them: instructions, cycles, time and, apart from them, energy.

Instructions are counted of this very C on the emulated core; cycles are a range that follows from them (`cycles`); time is
cycles by the clock. Energy is a range of another kind: the power that somebody measured on that part with other
kernels, times that time. Where something is not known it says "unknown"; a row that a board measured replaces its estimate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from onwrist.errors import ConfigError
from onwrist.firmware_sim.parity.cycles import Cycles, Flash, core_cycles, part_cycles
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.runtimes.compiler import CORES, M55
from onwrist.firmware_sim.runtimes.instructions import BRANCH, DIVIDE, LOAD, MAC, MOVES, MULTIPLY, STORE, V_MAC
from onwrist.firmware_sim.runtimes.mix import Cache, Mix, mix_of_hop
from onwrist.firmware_sim.runtimes.qemu import absent
from onwrist.firmware_sim.watch.watch import WatchConfig

SECONDS_PER_DAY = 86_400
# A cell of a small watch: 200 mAh at 3.7 V.
CELL_JOULES = 0.2 * 3600 * 3.7
HOP_STEP_S = 0.2
KB, MB = 1024, 1024 * 1024
# A pulse of the counts that a wrist gives, for what does not depend on them: beats a second, and counts up and down.
PULSE_HZ, PULSE_COUNTS = 1.2, 2000


@dataclass(frozen=True)
class Part:
    """A microcontroller.

    Attributes:
        name. core: of `compiler`. mhz: clock. flash, ram: bytes. memory: where code and weights are; None: not published.
        watts: mean power at this clock, and power_source; None if nobody measured it.
    """

    name: str
    core: str
    mhz: float
    flash: int
    ram: int
    memory: Flash | None
    watts: float | None
    power_source: str


def _kws(joules: float, seconds: float) -> float:
    return joules / seconds


# The upper bounds hold for these caches: 64-bit lines of the ART's instruction and data memories, each taken as so many lines
# alone; and ICACHE, two ways of 128-bit lines for code and constants.
ART_CODE, ART_DATA, ICACHE = Cache(1, 32, 8), Cache(1, 8, 8), Cache(256, 2, 16)
MLPERF, AMBIQ = "MLPerf Tiny v1.3, keyword spotting", "neuralSPOT autodeploy, keyword spotting"

PARTS = (
    Part("Apollo510 (250 MHz)", "M55", 250, 4 * MB, 3 * MB, None, _kws(219e-6, 7.86e-3), AMBIQ),
    Part("Apollo510 (96 MHz)", "M55", 96, 4 * MB, 3 * MB, None, _kws(160e-6, 20.5e-3), AMBIQ),
    Part("Apollo4 Plus", "M4F", 192, 2 * MB, 2816 * KB, None, None, ""),
    # The reference manual's own table for 96 MHz was not at hand; no part of these families waits longer than 4.
    Part("STM32U385", "M33", 96, MB, 256 * KB, Flash(4, 16, ICACHE, None, "RM0456's most"), _kws(245e-6, 48.3e-3), MLPERF),
    Part("STM32U575", "M33", 160, 2 * MB, 768 * KB, Flash(4, 16, ICACHE, None, "RM0456"), _kws(664e-6, 29.0e-3), MLPERF),
    Part("STM32L4R5", "M4F", 120, 2 * MB, 640 * KB, Flash(5, 8, ART_CODE, ART_DATA, "RM0432"), _kws(1431e-6, 43.4e-3), MLPERF),
    Part("nRF54L15", "M33", 128, 1536 * KB, 256 * KB, None, 2.6e-3 * 3, "datasheet, CoreMark"),
    Part("STM32WB55", "M4F", 64, MB, 256 * KB, Flash(3, 8, ART_CODE, ART_DATA, "RM0434"), None, ""),
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """A student on a part at a hop.

    Attributes:
        part, size, hop_s. fits: flash and RAM hold it. instructions: of a hop, front end included; None: not counted.
        cycles: of a hop; None: not counted. mhz: clock. watts: as of the part.
        source: of the cycles. power_source: of the power. measured: on a board, by whoever gave the row.
    """

    part: str
    size: str
    hop_s: float
    fits: bool
    instructions: int | None
    cycles: Cycles | None
    mhz: float
    watts: float | None
    source: str
    power_source: str
    measured: bool = False

    @property
    def seconds(self) -> tuple[float, float | None] | None:
        """(least, most) of a hop."""
        return None if self.cycles is None else _scaled((self.cycles.least, self.cycles.most), 1 / (self.mhz * 1e6))

    @property
    def utilisation(self) -> tuple[float, float | None] | None:
        """(least, most) share of the time."""
        return _scaled(self.seconds, 1 / self.hop_s)

    @property
    def joules(self) -> tuple[float, float | None] | None:
        """(least, most) of a hop, at the power that others drew on this part."""
        return None if self.watts is None else _scaled(self.seconds, self.watts)

    @property
    def joules_per_day(self) -> tuple[float, float | None] | None:
        """Of the model alone, all day."""
        return _scaled(self.joules, SECONDS_PER_DAY / self.hop_s)

    def plain(self) -> dict:
        """For JSON: what is known of it, ranges as (least, most)."""
        cycles = None if self.cycles is None else asdict(self.cycles)
        return {
            "part": self.part, "size": self.size, "hop_s": self.hop_s, "fits": self.fits, "measured": self.measured,
            "instructions": self.instructions, "cycles": cycles, "seconds": self.seconds, "joules": self.joules,
            "smallest_hop_s": self.smallest_hop_s, "source": self.source, "power_source": self.power_source,
        }  # fmt: skip

    @property
    def smallest_hop_s(self) -> float | None:
        """Least hop (multiples of 0.2 s) whose work surely ends before the next: a shorter hop has no more work than this."""
        most = self.seconds[1] if self.seconds else None
        hop = None if most is None else HOP_STEP_S * max(1, math.ceil(most / HOP_STEP_S))
        return hop if hop is None or hop <= self.hop_s else None


def count_mixes(deployed: Deployed) -> dict[str, Mix]:
    """The instructions of a hop by core, of every core that can be emulated here."""
    counts = hop_of_counts(deployed.config)
    cores = (*CORES, *(() if absent() else (M55,)))
    return {core.name: mix_of_hop(deployed.firmware, core, counts) for core in cores}


def hop_of_counts(config: WatchConfig) -> np.ndarray:
    """int32 counts of one hop, a slow pulse at mid-range."""
    t = np.arange(round(config.sensor.rate_hz * config.hop_s)) / config.sensor.rate_hz
    pulse = np.rint(PULSE_COUNTS * np.sin(2 * np.pi * PULSE_HZ * t)).astype(np.int32)
    return (1 << (config.sensor.bits - 1)) + pulse


def cost(part: Part, deployed: Deployed, mixes: Mapping[str, Mix]) -> Cost:
    """A student, streamed, on a part."""
    memory, hop_s = deployed.memory, deployed.config.hop_s
    fits = memory.step + memory.front_end_tables <= part.flash and memory.ram <= part.ram
    mix = mixes.get(part.core)
    cycles = None if mix is None else part_cycles(mix, part.memory)
    instructions = None if mix is None else mix.instructions
    counted = f"{part.core} emulated" + (f", {part.memory.source}" if part.memory else "")
    return Cost(
        part.name, deployed.artifacts.size, hop_s, fits, instructions, cycles, part.mhz, part.watts,
        f"{part.core} was not counted here" if mix is None else counted, part.power_source,
    )  # fmt: skip


def find_part(name: str) -> Part:
    """A part by name.

    Raises:
        ConfigError: no such part, or the most that it takes is unknown.
    """
    found = [p for p in PARTS if p.name.lower() == name.lower()]
    if not found or found[0].memory is None:
        known = ", ".join(p.name for p in PARTS if p.memory)
        raise ConfigError(f"no part {name!r} whose time is known", field="part", cure=f"Use one of {known}")
    return found[0]


def hop_seconds(part: Part, mixes: Mapping[str, Mix]) -> float:
    """Most seconds of a hop on a part of `find_part`."""
    most = part_cycles(mixes[part.core], part.memory).most
    assert most is not None
    return most / (part.mhz * 1e6)


HEAD = (
    "part", "student", "fits", "instructions", "cycles", "caches off", "ms per hop", "busy", "smallest hop", "counted, flash", "uJ per hop",
    "J per day", "of a 200 mAh cell", "power",
)  # fmt: skip


def cells(c: Cost) -> list[str]:
    """A cost as a row under HEAD."""
    day = c.joules_per_day
    cycles, most = (None, None) if c.cycles is None else ((c.cycles.least, c.cycles.most), c.cycles.uncached)
    uncached = "unknown" if most is None else f"to {most / 1e3:,.0f} k"
    return [
        c.part, c.size, "yes" if c.fits else "no", "unknown" if c.instructions is None else f"{c.instructions:,}",
        _range(cycles, 1e-3, 0, " k"), uncached, _range(c.seconds, 1e3, 2),
        _range(c.utilisation, 100, 2, " %"), "unknown" if c.smallest_hop_s is None else f"{c.smallest_hop_s:.1f} s", c.source,
        _range(c.joules, 1e6, 0), _range(day, 1, 1), _range(day, 100 / CELL_JOULES, 2, " %"), c.power_source or "unknown",
    ]  # fmt: skip


def table(costs: list[Cost]) -> str:
    """Costs as Markdown."""
    return markdown(HEAD, [cells(c) for c in costs])


MIX_HEAD = (
    "student, core", "instructions", "reads of flash", "of RAM", "writes", "multiply-accumulates", "other products",
    "divisions", "jumps taken", "of jumps", "the rest", "cycles, memory that never waits", "per instruction",
)  # fmt: skip


def mix_cells(size: str, mix: Mix) -> list[str]:
    """A hop's instructions by class as a row under MIX_HEAD; reads and writes are accesses of up to a word."""
    k = mix.kinds
    moves = k[LOAD] + k[STORE] + k[MOVES]
    rest = mix.instructions - moves - k[MAC] - k[V_MAC] - k[MULTIPLY] - k[DIVIDE] - k[BRANCH]
    found = core_cycles(mix)
    seen = ["unknown" if n is None else f"{n:,}" for n in (mix.flash, mix.ram, mix.stores)]
    macs, counts = k[MAC] + k[V_MAC], (k[MULTIPLY], k[DIVIDE], mix.taken, k[BRANCH], rest)
    return [
        f"{size}, {mix.core}", f"{mix.instructions:,}", *seen, f"{macs:,}", *(f"{n:,}" for n in counts),
        _range((found.least, found.most), 1e-3, 0, " k"),
        _range((found.least, found.most), 1 / mix.instructions, 2),
    ]  # fmt: skip


def markdown(head: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _scaled(values: tuple[float, float | None] | None, factor: float) -> tuple[float, float | None] | None:
    if values is None:
        return None
    low, high = values
    return low * factor, None if high is None else high * factor


def _range(values: tuple[float, float | None] | None, factor: float, digits: int, unit: str = "") -> str:
    if values is None:
        return "unknown"
    low, high = (None if v is None else f"{v * factor:,.{digits}f}" for v in values)
    return (f"from {low}" if high is None else low if low == high else f"{low} - {high}") + unit
