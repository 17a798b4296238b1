"""The NPUs beside a core: what Arm's own compiler for them (Vela, the extra `npu`) estimates of a hop. Nothing is run.

Vela looks at the model alone: the front end stays on the core, and so does every operator that it does not take. Its cycles are
of the NPU with memory that it assumes for each (`assumed`): a part's flash may be slower.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from onwrist.errors import ConfigError, ExportError
from onwrist.export.handoff.names import STEP
from onwrist.firmware_sim.parity.deployed import Deployed

PACKAGE = "ethos-u-vela"
# From the smallest that is sold beside an M55 to the largest that a wearable has been announced with.
NPUS = (
    "ethos-u55-32",
    "ethos-u55-64",
    "ethos-u55-128",
    "ethos-u55-256",
    "ethos-u65-256",
    "ethos-u85-128",
    "ethos-u85-256",
)
# A step takes a third of a second; machines may be busy.
TIMEOUT_S = 300


@dataclass(frozen=True)
class NpuCost:
    """A student's step on an NPU.

    Attributes:
        npu, size. npu_cycles: of the NPU alone. cycles: with the memory that is assumed. seconds: at the assumed clock.
        sram, outside: bytes: what it works in, and weights and more outside of it.
        operators, on_core: how many there are, and what is left to the core, by Vela's names.
        assumed: clock and memory.
    """

    npu: str
    size: str
    npu_cycles: int
    cycles: int
    seconds: float
    sram: float
    outside: float
    operators: int
    on_core: tuple[str, ...]
    assumed: str


def absent() -> str:
    """Why nothing can be estimated here; empty if it can."""
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        return f"{PACKAGE} is not installed"
    return ""


def npu_cost(deployed: Deployed, npu: str) -> NpuCost:
    """Vela's estimate of a student's step.

    Raises:
        ConfigError: Vela is not installed. ExportError: it refuses the step, or says something that is not understood.
    """
    if absent():
        raise ConfigError(absent(), field="npu", cure="pip install 'onwrist[npu]'")
    size = deployed.artifacts.size
    with tempfile.TemporaryDirectory() as folder:
        step = Path(folder) / STEP
        step.write_bytes(deployed.step)
        words = ["--accelerator-config", npu, "--show-cpu-operations", "--output-dir", folder, str(step)]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "ethosu.vela", *words],
                capture_output=True,
                text=True,
                cwd=folder,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise ExportError(f"takes more than {TIMEOUT_S} s", where=size, field=npu, cure="Run it alone") from None
        tables = sorted(Path(folder).glob("step_summary_*.csv"))
        if done.returncode or len(tables) != 1:
            said = (done.stderr.strip().splitlines() or ["?"])[-1]
            raise ExportError(f"is refused by Vela ({said})", where=size, field=npu, cure="Use another NPU")
        with tables[0].open(newline="") as file:
            (row,) = csv.DictReader(file)
    return _cost(npu, size, row, done.stdout)


def _cost(npu: str, size: str, row: dict[str, str], said: str) -> NpuCost:
    """From Vela's summary (KiB, cycles, seconds) and what it printed."""
    counts = {kind: re.search(rf"^{kind} operators = (\d+)", said, re.M) for kind in ("CPU", "NPU")}
    try:
        on_core = tuple(re.findall(r"^\s+CPU: (\w+)", said, re.M))
        kept, taken = (int(found[1]) for found in counts.values() if found)
        if kept != len(on_core):
            raise ValueError("lists other operators than it counts")
        outside = sum(float(row[f"{m}_memory_used"]) for m in ("dram", "on_chip_flash", "off_chip_flash"))
        return NpuCost(
            npu, size, int(row["cycles_npu"]), int(row["cycles_total"]), float(row["inference_time"]),
            1024 * float(row["sram_memory_used"]), 1024 * outside, kept + taken, on_core,
            f"{float(row['core_clock']) / 1e6:.0f} MHz, {row['system_config']}, {row['memory_mode']}",
        )  # fmt: skip
    except (KeyError, ValueError) as error:
        cure = f"Use the {PACKAGE} of the extra"
        raise ExportError(f"says something else than expected ({error})", where="Vela", field=npu, cure=cure) from None


HEAD = (
    "NPU, student", "NPU cycles", "with memory", "ms per hop", "SRAM", "flash or DRAM", "operators on the core", "assumed by Vela",
)  # fmt: skip


def cells(c: NpuCost) -> list[str]:
    """A cost as a row under HEAD."""
    on_core = f"{len(c.on_core)} of {c.operators}" + (f" ({', '.join(sorted(set(c.on_core)))})" if c.on_core else "")
    return [
        f"{c.npu}, {c.size}", f"{c.npu_cycles:,}", f"{c.cycles:,}", f"{c.seconds * 1e3:.3f}", f"{c.sram / 1024:.1f} KiB",
        f"{c.outside / 1024:.1f} KiB", on_core, c.assumed,
    ]  # fmt: skip
