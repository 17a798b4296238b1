"""Our C beside another generator's, on an emulated M4F: the same TFLite file, the same compiler, instructions counted."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError
from onwrist.export.sources.c_writer import write_c
from onwrist.export.sources.files import runtime_sources
from onwrist.firmware_sim.runtimes.compiler import CORES, build_core
from onwrist.firmware_sim.runtimes.emulator import Emulator

CORE = CORES[0]

CMSIS = ("BAKENN_CMSIS_NN_FREESTANDING", "BAKENN_CMSIS_NN_BUILTIN_MEMORY")


@dataclass(frozen=True)
class Run:
    """A generator on a model.

    Attributes:
        generator. instructions: of one window. text: bytes of code. ram: bytes of activations, input and output included.
        equal: whether the bytes are the expected ones.
    """

    generator: str
    instructions: int
    text: int
    ram: int
    equal: bool


def ours(data: bytes, x: np.ndarray, expected: np.ndarray) -> Run:
    """A window through our C."""
    made = write_c(data, "model")
    files = {**made.files, **runtime_sources()}
    machine = Emulator(build_core(files, CORE, ("model_run",)), CORE)
    arena = machine.allocate(made.plan.bytes)
    machine.write(arena + made.plan.offset[made.network.inputs[0]], x)
    machine.call("model_run", arena)
    found = machine.read(arena + made.plan.offset[made.network.outputs[0]], len(expected))
    return Run("onwrist", machine.instructions, machine.image.text, made.plan.bytes, bool((found == expected).all()))


def theirs(data: bytes, x: np.ndarray, expected: np.ndarray, overlay: bool) -> Run:
    """A window through bakenn's C.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import bakenn
        from bakenn.backend.portable_c.selection import CBackendOptions, KernelPolicy
        from bakenn.targets.profiles import CORTEX_M4
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed", field="bakenn", cure="pip install 'bakenn[tflite]'"
        ) from None
    options = CBackendOptions(KernelPolicy.STATIC_PRIORITY, True, True, False, CORTEX_M4) if overlay else None
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "m.tflite", Path(folder) / "out"
        source.write_bytes(data)
        bakenn.compile_tflite(source, out, name="m", backend_options=options)
        files = {p.name: p.read_text() for p in out.rglob("*") if p.suffix in (".c", ".h")}
    files = {n: re.sub(r'#include "(?:[^"]*/)?([^"/]+)"', r'#include "\1"', t) for n, t in files.items()}
    elf = build_core(files, CORE, ("bknn_m_infer",), others=True, defines=CMSIS if overlay else ())
    machine = Emulator(elf, CORE)
    size = re.search(r"BKNN_M_ARENA_SIZE (\d+)", files["bknn_m.h"])
    room = int(size[1]) if size else 0, x.size, len(expected)
    arena, source_at, out_at = (machine.allocate(n) for n in room)
    machine.write(source_at, x)
    machine.call("bknn_m_infer", arena, source_at, out_at)
    equal = bool((machine.read(out_at, len(expected)) == expected).all())
    name = f"bakenn, {'CMSIS-NN' if overlay else 'portable'}"
    return Run(name, machine.instructions, machine.image.text, sum(room), equal)
