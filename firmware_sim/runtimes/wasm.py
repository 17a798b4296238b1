"""The exported watch as WebAssembly: the same C, compiled by the same compiler, for a page in a browser."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from onwrist.errors import ExportError
from onwrist.export.sources.firmware import Firmware
from onwrist.firmware_sim.runtimes.compiler import SPEED, STRICT, STRING_H

BRIDGE = Path(__file__).parent / "bare" / "page.c"
# The bridge includes it, to see what the front end gives the model.
INCLUDED = "onwrist.c"
# Vectors of 128 bits and memory.copy: every browser since 2021 (Safari since 16.4) has both.
TARGET = ("-target", "wasm32-freestanding", "-msimd128", "-mbulk-memory")
FREE = ("-ffreestanding", "-fno-sanitize=all", "-nostdlib", "-I.", "-g0")
LINK = ("-Wl,--no-entry", "-Wl,--strip-all")


def build_wasm(firmware: Firmware) -> bytes:
    """A module without imports; it exports its memory and the calls of `bare/page.c`.

    Raises:
        ExportError: the compiler is missing or refuses the sources.
    """
    files = {**firmware.files, BRIDGE.name: BRIDGE.read_text(), "string.h": STRING_H}
    sources = sorted(name for name in files if name.endswith(".c") and name != INCLUDED)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        # Relative names in one folder: nothing of this machine gets into the module.
        command = [sys.executable, "-m", "ziglang", "cc", *SPEED, *STRICT, *TARGET, *FREE, *LINK, *sources]
        done = subprocess.run([*command, "-o", "out"], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise ExportError(
                f"does not compile ({lines[0] if lines else '?'})",
                field="wasm32",
                cure="Install ziglang; see the message",
            )
        return (Path(folder) / "out").read_bytes()
