"""Firmware on a board of QEMU, for the core that the emulator package does not have: Cortex-M55 with its vectors.

A program runs from reset to its end and says bytes and numbers on the way. Time is counted in instructions
(`-icount`), so that two runs say the same.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from onwrist.errors import ConfigError, ExportError
from onwrist.firmware_sim.runtimes.compiler import BARE, M55, ZIG, Core, Toolchain, build_core

QEMU = "qemu-system-arm"
BOARD = "mps3-an547"
# An instruction takes 2^4 ns of the emulated clock, of which the board's 32 MHz timer makes 0.512 ticks.
ICOUNT_SHIFT, TICKS_PER_INSTRUCTION = 4, 16 * 32e6 / 1e9
# Far more than any test needs; a program that hangs ends here.
TIMEOUT_S = 300
# A line of its log of what runs: [address of the translation/start/flags/...], one instruction each.
TRACED = re.compile(r"^Trace .*?\[[0-9a-f]+/([0-9a-f]+)/", re.M)


def absent() -> str:
    """Why no board can be run here; empty if one can."""
    return "" if shutil.which(QEMU) else f"{QEMU} is not installed (Debian: qemu-system-arm)"


def board_image(
    files: dict[str, str], core: Core = M55, *, toolchain: Toolchain = ZIG, defines: tuple[str, ...] = ()
) -> bytes:
    """An ELF of sources with `int32_t board_main(void)`, start-up code added.

    Raises:
        ConfigError, ExportError: as `build_core`.
    """
    board = {name: (BARE / name).read_text() for name in ("board.h", "board.c")}
    return build_core({**files, **board}, core, toolchain=toolchain, script="board.ld", defines=defines)


def run_board(elf: bytes) -> list[bytes]:
    """Run an image to its end; the bytes and numbers that it said, line by line.

    Raises:
        ConfigError, ExportError: as `talk`.
    """
    return [bytes.fromhex(line) for line in talk(elf).split() if set(line) <= set("0123456789abcdef")]


def talk(elf: bytes, options: tuple[str, ...] = ()) -> str:
    """Run an image to its end; what it said.

    Args:
        options: more of QEMU's.

    Raises:
        ConfigError: QEMU is not installed. ExportError: the program faulted, hung, or ended with another status than 0.
    """
    if absent():
        raise ConfigError(absent(), field="QEMU", cure="Install it")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.elf"
        image.write_bytes(elf)
        command = [
            QEMU, "-M", BOARD, "-kernel", str(image), "-icount", f"shift={ICOUNT_SHIFT}", "-display", "none",
            "-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native", *options,
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise ExportError("does not end", field=BOARD, cure="Report it: the kernels have a bug") from None
    if done.returncode:
        raise ExportError(f"ended with {done.returncode} {done.stderr[-100:]!r}", field=BOARD, cure="Export it anew")
    return done.stdout + done.stderr


def trace_board(elf: bytes) -> list[str]:
    """Addresses (hexadecimal) of the instructions that an image runs, in order, from reset to its end.

    Raises:
        ConfigError, ExportError: as `talk`.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "trace"
        talk(elf, ("-singlestep", "-d", "exec,nochain", "-D", str(log)))
        return TRACED.findall(log.read_text())


def instructions(before: bytes, after: bytes) -> int:
    """Between two `board_ticks()`, to two instructions, up to 32 million."""
    ticks = (int.from_bytes(after, "big") - int.from_bytes(before, "big")) % (1 << 24)
    return round(ticks / TICKS_PER_INSTRUCTION)
