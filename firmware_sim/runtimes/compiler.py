"""Compile firmware sources with the C compiler of the `ziglang` package: for this host, or for a Cortex-M."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from onwrist.errors import ExportError

LINKER_SCRIPT = Path(__file__).parent / "bare" / "link.ld"
# Where there is no libc, the compiler knows the two functions of it that the kernels use.
STRING_H = "#define memcpy __builtin_memcpy\n#define memset __builtin_memset\n"
SPEED, STRICT = ("-std=c11", "-fomit-frame-pointer", "-O3"), ("-Wall", "-Wextra", "-Wconversion", "-Werror")


@dataclass(frozen=True)
class Core:
    """A Cortex-M as compiler and emulator name it. Its features are explicit: the compiler's defaults leave DSP out."""

    name: str
    mcpu: str
    unicorn: str
    target: str = "thumb-freestanding-eabihf"


CORES = (
    Core("M4F", "cortex_m4+vfp4d16sp", "UC_CPU_ARM_CORTEX_M4"),
    Core("M33", "cortex_m33+dsp", "UC_CPU_ARM_CORTEX_M33"),
    Core("M7", "cortex_m7+fp_armv8d16", "UC_CPU_ARM_CORTEX_M7"),
)


# Without a DSP extension they take the portable path; the M55's vectors need an emulator that is no package.
PORTABLE_CORES = (
    Core("M0+", "cortex_m0plus", "UC_CPU_ARM_CORTEX_M0", "thumb-freestanding-eabi"),
    Core("M3", "cortex_m3", "UC_CPU_ARM_CORTEX_M3", "thumb-freestanding-eabi"),
)
M55 = Core("M55", "cortex_m55+mve_fp", "")


def _compile(words: list[str], files: dict[str, str], target: str, warnings: tuple[str, ...] = STRICT) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        sources = sorted(n for n in files if n.endswith(".c"))
        # Relative names and a fixed folder inside: nothing of this machine gets into the image.
        command = [sys.executable, "-m", "ziglang", "cc", *SPEED, *warnings, "-g0", *words, *sources, "-o", "out"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise ExportError(
                f"does not compile ({lines[0] if lines else '?'})",
                field=target,
                cure="Install ziglang; see the first message",
            )
        return (Path(folder) / "out").read_bytes()


def build_native(files: dict[str, str], *, sanitise: bool = False) -> bytes:
    """A shared library for this host; with `sanitise`, undefined behaviour traps.

    Raises:
        ExportError: the compiler is missing or refuses the sources.
    """
    words = ["-shared", "-fPIC"] + (["-fsanitize=undefined", "-fsanitize-trap=undefined"] if sanitise else [])
    return _compile(words, files, "native")


def build_core(
    files: dict[str, str], core: Core, roots: tuple[str, ...], *, others: bool = False, defines: tuple[str, ...] = ()
) -> bytes:
    """An ELF for a core, code at 0 and data in RAM, no start-up code: functions are called by whoever loads it.

    Args:
        roots: functions that have to be there; what they do not need is left out.
        others: the sources are not ours, and their warnings not our business. defines: macros.

    Raises:
        ExportError: the compiler is missing or refuses the sources.
    """
    kept = " ".join(f"KEEP(*(.text.{name}))" for name in roots)
    shim = {"string.h": STRING_H, "link.ld": LINKER_SCRIPT.read_text().replace("@ROOTS@", kept)}
    words = [
        "-target", core.target, f"-mcpu={core.mcpu}", "-ffreestanding", "-fno-sanitize=all", "-I.", "-nostdlib", "-lcompiler_rt",
        "-Wl,-T,link.ld", "-Wl,--gc-sections", "-ffunction-sections", "-fdata-sections", "-Wl,--build-id=none",
    ]  # fmt: skip
    words += [f"-D{name}" for name in defines]
    return _compile(words, {**files, **shim}, core.name, ("-w",) if others else STRICT)
