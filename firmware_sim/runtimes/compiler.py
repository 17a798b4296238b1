"""Compile firmware sources: for this host, or for a Cortex-M with clang (the `ziglang` package) or with GNU Arm GCC."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from onwrist.errors import ConfigError, ExportError

BARE = Path(__file__).parent / "bare"
# Where there is no libc, the compiler knows the two functions of it that the kernels use.
STRING_H = "#define memcpy __builtin_memcpy\n#define memset __builtin_memset\n"
SPEED, STRICT = ("-std=c11", "-fomit-frame-pointer", "-O3"), ("-Wall", "-Wextra", "-Wconversion", "-Werror")
GNU = "arm-none-eabi-gcc"


@dataclass(frozen=True)
class Core:
    """A Cortex-M.

    Attributes:
        name: for tables. mcpu, target: clang's, with explicit features: its defaults leave DSP and vectors out.
        gnu: GCC's flags. unicorn: the emulator's name, empty where only QEMU has the core.
    """

    name: str
    mcpu: str
    unicorn: str
    gnu: tuple[str, ...]
    target: str = "thumb-freestanding-eabihf"


CORES = (
    Core(
        "M4F", "cortex_m4+vfp4d16sp", "UC_CPU_ARM_CORTEX_M4", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")
    ),
    Core(
        "M33", "cortex_m33+dsp", "UC_CPU_ARM_CORTEX_M33", ("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")
    ),
    Core("M7", "cortex_m7+fp_armv8d16", "UC_CPU_ARM_CORTEX_M7", ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard")),
)  # fmt: skip
# Without a DSP extension they take the portable path.
PORTABLE_CORES = (
    Core("M0+", "cortex_m0plus", "UC_CPU_ARM_CORTEX_M0", ("-mcpu=cortex-m0plus",), "thumb-freestanding-eabi"),
    Core("M3", "cortex_m3", "UC_CPU_ARM_CORTEX_M3", ("-mcpu=cortex-m3",), "thumb-freestanding-eabi"),
)
M55 = Core("M55", "cortex_m55+mve_fp", "", ("-mcpu=cortex-m55", "-mfloat-abi=hard"))


@dataclass(frozen=True)
class Toolchain:
    """A compiler and how it is asked.

    Attributes:
        compiler: 'zig' (clang, of the ziglang package) or 'gcc' (arm-none-eabi-gcc, of the system).
        level: -O2, -O3 or -Os. freestanding: with -ffreestanding.
    """

    compiler: str = "zig"
    level: str = "-O3"
    freestanding: bool = True

    @property
    def absent(self) -> str:
        """Why it cannot be used here; empty if it can."""
        if self.compiler == "gcc" and not shutil.which(GNU):
            return f"{GNU} is not installed (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi)"
        return ""

    def words(self, core: Core, cxx: bool = False) -> list[str]:
        """The command up to the sources, warnings and defines left out."""
        free = ["-ffreestanding"] if self.freestanding else []
        common = ["-std=c++17" if cxx else "-std=c11", self.level, "-fomit-frame-pointer", *free]
        common += ["-ffunction-sections", "-fdata-sections", "-I."]
        if self.compiler == "gcc":
            return [GNU.replace("gcc", "g++") if cxx else GNU, "-mthumb", *core.gnu, *common]
        driver = [sys.executable, "-m", "ziglang", "c++" if cxx else "cc"]
        # At -Os zig drops all symbols unless there is something to debug.
        driver += ["-g1", "-fdebug-compilation-dir=."] if self.level == "-Os" else ["-g0"]
        return [*driver, "-target", core.target, f"-mcpu={core.mcpu}", "-fno-sanitize=all", *common]


ZIG, GCC = Toolchain(), Toolchain("gcc")


def _run(command: list[str], folder: str, target: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = [x for x in done.stderr.strip().splitlines() if "error" in x or "undefined" in x or "warning" in x]
        raise ExportError(
            f"does not compile ({(lines or done.stderr.strip().splitlines() or ['?'])[0]})",
            field=target,
            cure="Install the compiler; see the first message",
        )


def _lay_out(files: dict[str, str], folder: str) -> list[str]:
    for name, text in files.items():
        (Path(folder) / name).write_text(text)
    return sorted(n for n in files if n.endswith(".c"))


def build_native(files: dict[str, str], *, sanitise: bool = False) -> bytes:
    """A shared library for this host; with `sanitise`, undefined behaviour traps.

    Raises:
        ExportError: the compiler is missing or refuses the sources.
    """
    words = ["-shared", "-fPIC"] + (["-fsanitize=undefined", "-fsanitize-trap=undefined"] if sanitise else [])
    with tempfile.TemporaryDirectory() as folder:
        sources = _lay_out(files, folder)
        command = [sys.executable, "-m", "ziglang", "cc", *SPEED, *STRICT, "-g0", *words, *sources, "-o", "out"]
        _run(command, folder, "native")
        return (Path(folder) / "out").read_bytes()


def build_core(
    files: dict[str, str],
    core: Core,
    roots: tuple[str, ...] = (),
    *,
    toolchain: Toolchain = ZIG,
    script: str = "link.ld",
    others: bool = False,
    defines: tuple[str, ...] = (),
) -> bytes:
    """An ELF for a core, by default code at 64 K and data in RAM, no start-up code: whoever loads it calls functions.

    Args:
        files: C (*.c), C++17 (*.cpp) and headers, by name.
        roots: functions that have to be there; what they do not need is left out.
        script: of the linker, in bare/.
        others: the sources are not ours, and their warnings not our business. defines: macros.

    Raises:
        ConfigError: the compiler is not installed. ExportError: it refuses the sources.
    """
    if toolchain.absent:
        raise ConfigError(toolchain.absent, field="toolchain", cure="Install it, or use the other compiler")
    kept = " ".join(f"KEEP(*(.text.{name}))" for name in roots)
    shim = {"link.ld": (BARE / script).read_text().replace("@ROOTS@", kept)}
    link = ["-Wl,-T,link.ld", "-Wl,--gc-sections", "-Wl,--build-id=none"]
    if toolchain.compiler == "zig":
        shim["string.h"] = STRING_H
        link += ["-nostdlib", "-lcompiler_rt"]
    else:
        link += ["-nostartfiles", "--specs=nosys.specs"]
    warnings = ["-w"] if others else list(STRICT)
    warnings += [f"-D{name}" for name in defines]
    with tempfile.TemporaryDirectory() as folder:
        # Relative names and a fixed folder inside: nothing of this machine gets into the image.
        sources = _lay_out({**files, **shim}, folder)
        for name in sorted(n for n in files if n.endswith(".cpp")):
            quiet = ["-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"]
            _run(
                [*toolchain.words(core, cxx=True), *warnings, *quiet, "-c", name, "-o", f"{name}.o"], folder, core.name
            )
            sources.append(f"{name}.o")
        _run([*toolchain.words(core), *warnings, *sources, *link, "-o", "out"], folder, core.name)
        return (Path(folder) / "out").read_bytes()
