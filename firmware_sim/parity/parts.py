"""Microcontrollers as data, and what a student costs on them: ranges from measured cycles and energy per MAC."""

from __future__ import annotations

from dataclasses import dataclass, replace

from onwrist.errors import ConfigError
from onwrist.export.handoff.artifacts import Artifacts
from onwrist.firmware_sim.parity.memory import Memory
from onwrist.firmware_sim.watch.sensor import SensorConfig
from onwrist.models.student.network import work
from onwrist.signals.front_end.fixed import design
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ

# MLPerf Tiny keyword spotting.
KWS_MACS = 2.66e6

# Of one 25 Hz output of the front end beside its taps: filter, two 64-bit divisions, loads and stores. An estimate.
FRONT_END_CYCLES, CYCLES_PER_TAP = 400, 4

SECONDS_PER_DAY = 86_400

# A cell of a small watch: 200 mAh at 3.7 V.
CELL_JOULES = 0.2 * 3600 * 3.7

HOP_STEP_S, LONGEST_HOP_S = 0.2, 10.0
SINGLE_ISSUE = ("M4", "M4F", "M33")


@dataclass(frozen=True)
class Part:
    """A microcontroller.

    Attributes:
        name, core, source. mhz: clock. flash, ram: bytes.
        cycles_per_mac: (low, high) measured, or None. energy_per_mac: joules, or None.
    """

    name: str
    core: str
    mhz: float
    flash: int
    ram: int
    cycles_per_mac: tuple[float, float] | None
    energy_per_mac: float | None
    source: str


def _kws(ms: float, mhz: float) -> tuple[float, float]:
    cycles = ms * 1e-3 * mhz * 1e6 / KWS_MACS
    return cycles, cycles


KB, MB = 1024, 1024 * 1024

MLPERF = "MLPerf Tiny v1.3"

PARTS = (
    Part(
        "Apollo510 (250 MHz)", "M55", 250, 4 * MB, 3 * MB, _kws(7.86, 250), 219e-6 / KWS_MACS, "neuralSPOT autodeploy"
    ),
    Part("Apollo510 (96 MHz)", "M55", 96, 4 * MB, 3 * MB, _kws(20.5, 96), 160e-6 / KWS_MACS, "neuralSPOT autodeploy"),
    Part("Apollo4 Plus", "M4F", 192, 2 * MB, 2816 * KB, None, 450e-6 / KWS_MACS, "AmbiqAI/MLPerfTiny"),
    Part("STM32U385", "M33", 96, MB, 256 * KB, (1.27, 1.96), 245e-6 / KWS_MACS, MLPERF),
    Part("STM32U575", "M33", 160, 2 * MB, 768 * KB, (1.27, 1.94), 664e-6 / KWS_MACS, MLPERF),
    Part("STM32L4R5", "M4", 120, 2 * MB, 640 * KB, (1.43, 2.18), 1431e-6 / KWS_MACS, MLPERF),
    Part("nRF54L15", "M33", 128, 1536 * KB, 256 * KB, None, None, "datasheet"),
    Part("STM32WB55", "M4", 64, MB, 256 * KB, None, None, "datasheet"),
)


@dataclass(frozen=True)
class Cost:
    """A student on a part at a hop.

    Attributes:
        part, size, hop_s. fits: flash and RAM hold it.
        seconds: (low, high) per hop, or None. joules: per hop, or None.
        smallest_hop_s: least hop whose work ends before the next, at the high end; None where unknown.
    """

    part: str
    size: str
    hop_s: float
    fits: bool
    seconds: tuple[float, float] | None
    joules: float | None
    smallest_hop_s: float | None
    source: str

    @property
    def utilisation(self) -> tuple[float, float] | None:
        """(low, high) share of the time."""
        return None if self.seconds is None else (self.seconds[0] / self.hop_s, self.seconds[1] / self.hop_s)

    @property
    def joules_per_day(self) -> float | None:
        """Of the model alone, all day."""
        return None if self.joules is None else self.joules * SECONDS_PER_DAY / self.hop_s


def hop_seconds(part: Part, artifacts: Artifacts, sensor: SensorConfig, hop_s: float) -> tuple[float, float] | None:
    """(low, high) seconds of a hop: front end and new samples through the model; None for a part nobody measured."""
    if part.cycles_per_mac is None:
        return None
    macs = work(artifacts.student.config, hop_s).of_hop(hop_s)
    taps = design(sensor.rate_hz, sensor.bits).taps.shape[1]
    front_end = hop_s * STUDENT_RATE_HZ * (FRONT_END_CYCLES + CYCLES_PER_TAP * taps)
    low, high = ((macs * c + front_end) / (part.mhz * 1e6) for c in part.cycles_per_mac)
    return low, high


def cost(part: Part, artifacts: Artifacts, memory: Memory, sensor: SensorConfig, hop_s: float) -> Cost:
    """A student behind a sensor, streamed, on a part."""
    seconds = hop_seconds(part, artifacts, sensor, hop_s)
    smallest = None
    if seconds:
        hops = [round(HOP_STEP_S * k, 1) for k in range(1, round(LONGEST_HOP_S / HOP_STEP_S) + 1)]
        smallest = next((h for h in hops if (s := hop_seconds(part, artifacts, sensor, h)) and s[1] <= h), None)
    macs = work(artifacts.student.config, hop_s).of_hop(hop_s)
    joules = None if part.energy_per_mac is None else macs * part.energy_per_mac
    fits = memory.step + memory.front_end_tables <= part.flash and memory.ram <= part.ram
    return Cost(part.name, artifacts.size, hop_s, fits, seconds, joules, smallest, part.source)


def not_below(found: Cost, instructions: int) -> Cost:
    """The cost with a floor: a single-issue core takes no fewer cycles than instructions, which were counted (front end
    included) for this very C, where the range comes from other kernels."""
    (part,) = (p for p in PARTS if p.name == found.part)
    if found.seconds is None or part.core not in SINGLE_ISSUE:
        return found
    floor = instructions / (part.mhz * 1e6)
    if floor <= found.seconds[0]:
        return found
    low, high = (max(floor, v) for v in found.seconds)
    return replace(found, seconds=(low, high), source=f"{found.source}; not below this C's count")


def find_part(name: str) -> Part:
    """A part by name.

    Raises:
        ConfigError: no such part, or nobody measured it.
    """
    found = [p for p in PARTS if p.name.lower() == name.lower()]
    if not found or found[0].cycles_per_mac is None:
        known = ", ".join(p.name for p in PARTS if p.cycles_per_mac)
        raise ConfigError(f"no measured part {name!r}", field="part", cure=f"Use one of {known}")
    return found[0]


def cells(c: Cost) -> list[str]:
    """A cost as a row: part, student, fits, ms, busy, smallest hop, microjoules, joules a day, share of a cell, source."""
    day = c.joules_per_day
    return [
        c.part, c.size, "yes" if c.fits else "no", _range(c.seconds, 1e3, 2), _range(c.utilisation, 100, 2, " %"),
        _one(c.smallest_hop_s, 1, " s"), _one(c.joules and c.joules * 1e6, 0), _one(day, 1), _one(day and 100 * day / CELL_JOULES, 2, " %"), c.source,
    ]  # fmt: skip


def table(costs: list[Cost]) -> str:
    """Costs as Markdown."""
    lines = [
        "| part | student | fits | ms per hop | busy | smallest hop | uJ per hop | J per day | of a 200 mAh cell | source |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *[f"| {' | '.join(cells(c))} |" for c in costs]])


def _range(values: tuple[float, float] | None, factor: float, digits: int, unit: str = "") -> str:
    if values is None:
        return "unknown"
    low, high = (f"{v * factor:.{digits}f}" for v in values)
    return (low if low == high else f"{low} - {high}") + unit


def _one(value: float | None, digits: int, unit: str = "") -> str:
    return "unknown" if value is None else f"{value:.{digits}f}{unit}"
