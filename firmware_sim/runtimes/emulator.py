"""Firmware on an emulated Cortex-M: functions of an ELF called one by one, instructions counted, stack measured.

Counts are of instructions, not of cycles, and the same on every run: compiler, vectors and emulator are pinned.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass

import numpy as np
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from onwrist.errors import ExportError
from onwrist.firmware_sim.runtimes.compiler import Core

# As in bare/link.ld.
FLASH, FLASH_BYTES = 0x0001_0000, 4 << 20
RAM, RAM_BYTES = 0x2000_0000, 1 << 20
STACK_TOP = RAM + RAM_BYTES
# Where a called function returns to: an address that holds nothing, so that the emulator stops there.
RETURN = 0x0F00_0000
PAINT = 0xA5


@dataclass(frozen=True)
class Image:
    """Bytes of an ELF by section kind: code, constants, variables that are zero or not."""

    text: int
    rodata: int
    data: int
    bss: int

    @property
    def flash(self) -> int:
        """Code, constants, and what variables start from."""
        return self.text + self.rodata + self.data


class Emulator:
    """An ELF on a core.

    Args:
        elf: of `firmware_sim.compiler.build_core`. core: what runs it.
        count: count instructions by function; ten times slower.
    """

    def __init__(self, elf: bytes, core: Core, *, count: bool = True):
        import unicorn
        from unicorn import arm_const

        file = ELFFile(io.BytesIO(elf))
        self.symbols: dict[str, int] = {}
        functions = []
        for section in file.iter_sections():
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    if symbol.name and symbol["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT"):
                        self.symbols[symbol.name] = symbol["st_value"]
                        if symbol["st_info"]["type"] == "STT_FUNC":
                            functions.append((symbol["st_value"] & ~1, symbol["st_size"], symbol.name))
        self.functions = sorted(functions)
        self.image = _image(file)
        self.registers = arm_const
        self.engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.engine.ctl_set_cpu_model(getattr(arm_const, core.unicorn))
        self.engine.mem_map(RAM, RAM_BYTES)
        self.engine.mem_map(FLASH, FLASH_BYTES)
        for segment in file.iter_segments("PT_LOAD"):
            if segment["p_memsz"]:
                self.engine.mem_write(segment["p_vaddr"], segment.data())
        self.free = RAM + -(-(self.image.data + self.image.bss + 64) // 64) * 64
        self.by_function: Counter[str] = Counter()
        self._blocks: dict[tuple[int, int], tuple[str, int]] = {}
        if count:
            self.engine.hook_add(unicorn.UC_HOOK_BLOCK, self._count)

    def allocate(self, size: int) -> int:
        """Address of `size` fresh bytes of RAM, for what firmware would declare itself."""
        at = self.free
        self.free += -(-size // 64) * 64
        return at

    def write(self, address: int, values: np.ndarray) -> None:
        """Copy an array into memory."""
        self.engine.mem_write(address, np.ascontiguousarray(values).tobytes())

    def read(self, address: int, count: int, kind: type = np.int8) -> np.ndarray:
        """Copy an array out of memory."""
        return np.frombuffer(bytes(self.engine.mem_read(address, count * np.dtype(kind).itemsize)), kind)

    def call(self, name: str, *arguments: int, limit: int = 0) -> int:
        """Call a function with up to four words; returns r0.

        Args:
            limit: instructions after which it is stopped; 0 for none.

        Raises:
            ExportError: no such function, it left its memory, or it did not return within the limit.
        """
        import unicorn

        if name not in self.symbols:
            raise ExportError("is not in the image", field=name, cure="Export it anew with export/to_c.py")
        registers = (
            self.registers.UC_ARM_REG_R0,
            self.registers.UC_ARM_REG_R1,
            self.registers.UC_ARM_REG_R2,
            self.registers.UC_ARM_REG_R3,
        )
        for register, value in zip(registers, arguments, strict=False):
            self.engine.reg_write(register, value & 0xFFFF_FFFF)
        self.engine.reg_write(self.registers.UC_ARM_REG_SP, STACK_TOP)
        self.engine.reg_write(self.registers.UC_ARM_REG_LR, RETURN | 1)
        try:
            self.engine.emu_start(self.symbols[name] | 1, RETURN, count=limit)
        except unicorn.UcError as error:
            where = self.engine.reg_read(self.registers.UC_ARM_REG_PC)
            raise ExportError(
                f"stopped at {where:#x} ({error})", field=name, cure="Report it: the kernels have a bug"
            ) from None
        if self.engine.reg_read(self.registers.UC_ARM_REG_PC) & ~1 != RETURN:
            raise ExportError(f"did not return within {limit:,} instructions", field=name, cure="Report it: it hangs")
        value = self.engine.reg_read(registers[0])
        return value - (1 << 32) if value >> 31 else value

    @property
    def instructions(self) -> int:
        """Instructions so far."""
        return sum(self.by_function.values())

    def paint_stack(self) -> None:
        """Fill what is free with a pattern, so that `stack_bytes` can see how deep a call went."""
        self.write(self.free, np.full(STACK_TOP - self.free, PAINT, np.uint8))

    def stack_bytes(self) -> int:
        """Deepest stack since `paint_stack`."""
        memory = self.read(self.free, STACK_TOP - self.free, np.uint8)
        touched = np.flatnonzero(memory != PAINT)
        return len(memory) - int(touched[0]) if len(touched) else 0

    def _count(self, engine, address: int, size: int, _) -> None:
        key = (address, size)
        if key not in self._blocks:
            code = np.frombuffer(bytes(engine.mem_read(address, size)), np.uint16)
            count = at = 0
            while at < len(code):  # 32-bit Thumb begins with 0b11101, 0b11110 or 0b11111
                at += 2 if (int(code[at]) & 0xF800) >= 0xE800 else 1
                count += 1
            name = next((n for begin, length, n in self.functions if begin <= address < begin + max(length, 1)), "?")
            self._blocks[key] = name, count
        name, count = self._blocks[key]
        self.by_function[name] += count


def _image(file: ELFFile) -> Image:
    sizes = Counter({s.name: s["sh_size"] for s in file.iter_sections()})
    return Image(sizes[".text"], sizes[".rodata"] + sizes[".ARM.exidx"], sizes[".data"], sizes[".bss"])
