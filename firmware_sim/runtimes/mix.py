"""What a hop of the exported firmware consists of: its instructions by kind, and what it reads from where.

On the cores of the emulator package every access is seen; on a board of QEMU (M55) the instructions alone.
"""

from __future__ import annotations

import io
from array import array
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from elftools.elf.elffile import ELFFile

from onwrist.errors import ExportError
from onwrist.export.sources.c_text import c_array
from onwrist.export.sources.files import Firmware
from onwrist.firmware_sim.runtimes.compiler import Core
from onwrist.firmware_sim.runtimes.device import FirmwareStep, swing
from onwrist.firmware_sim.runtimes.emulator import RAM, Emulator
from onwrist.firmware_sim.runtimes.instructions import Instruction, decode, split, width
from onwrist.firmware_sim.runtimes.qemu import board_image, trace_board

WORD = 4
MARK = "board_ticks"


@dataclass(frozen=True)
class Cache:
    """Lines that a memory keeps: `sets` times `ways` of `line` bytes, the least recently used goes first."""

    sets: int
    ways: int
    line: int


@dataclass(frozen=True)
class Mix:
    """The instructions of a hop.

    Attributes:
        core: name. kinds: instructions by kind. words: loaded or stored by those that move several.
        narrow: of 16 bits. taken: jumps to elsewhere than the next instruction.
        flash, ram, stores, unaligned: reads of up to a word from flash and RAM, writes, and accesses off their
            alignment; None where the accesses were not seen.
        trace: of code and flash reads in order, (address, bytes, whether data); empty where not seen.
    """

    core: str
    kinds: Counter[str]
    words: int
    narrow: int
    taken: int
    flash: int | None = None
    ram: int | None = None
    stores: int | None = None
    unaligned: int | None = None
    trace: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int64), repr=False)

    @property
    def instructions(self) -> int:
        """All of them."""
        return sum(self.kinds.values())

    def lines(self, line: int) -> int:
        """Flash lines of so many bytes that code is read from, one after the other, plus every flash read of data."""
        address, size, data = self.trace.T
        code = data == 0
        return int(
            ((address[code] + size[code] - 1) // line - address[code] // line + 1).sum() + np.count_nonzero(data)
        )

    def misses(self, code: Cache, data: Cache | None) -> int:
        """Lines that have to be fetched from flash by a cache of code and one of data (None: one for both)."""
        kept = [_Lines(code), _Lines(data)] if data else [_Lines(code)] * 2
        return sum(kept[is_data].missed(address, size) for address, size, is_data in self.trace.tolist())


class _Lines:
    def __init__(self, cache: Cache):
        self.cache = cache
        self.sets: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(cache.sets)]

    def missed(self, address: int, size: int) -> int:
        """Lines of an access that are not there; they are afterwards."""
        missed = 0
        for line in range(address // self.cache.line, (address + size - 1) // self.cache.line + 1):
            held = self.sets[line % self.cache.sets]
            if line in held:
                held.move_to_end(line)
                continue
            missed += 1
            held[line] = None
            if len(held) > self.cache.ways:
                held.popitem(last=False)
        return missed


class Watcher:
    """Everything that an emulated core does from now on."""

    def __init__(self, machine: Emulator):
        import unicorn

        self.machine, self.runs = machine, Counter[tuple[int, int]]()
        self.code: dict[tuple[int, int], list[Instruction]] = {}
        self.trace = array("q")
        self.reads, self.stores, self.unaligned, self.taken = Counter[bool](), 0, 0, 0
        self.next: int | None = None
        # What was translated before would not be seen.
        engine: Any = machine.engine
        engine.ctl_flush_tb()
        machine.engine.hook_add(unicorn.UC_HOOK_BLOCK, self._block)
        machine.engine.hook_add(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, self._access)
        self.write = unicorn.UC_MEM_WRITE

    def _block(self, engine, address: int, size: int, _) -> None:
        key = address, size
        if key not in self.code:
            self.code[key] = split(bytes(engine.mem_read(address, size)))
        self.runs[key] += 1
        self.taken += address != self.next
        self.next = address + size
        self.trace.extend((address, size, 0))

    def _access(self, engine, access: int, address: int, size: int, value: int, _) -> None:
        self.unaligned += address % size != 0
        if access == self.write:
            self.stores += -(-size // WORD)
            return
        self.reads[address >= RAM] += -(-size // WORD)
        if address < RAM:
            self.trace.extend((address, size, 1))

    def mix(self, core: str) -> Mix:
        """What was seen."""
        kinds, words, narrow = Counter[str](), 0, 0
        for key, times in self.runs.items():
            for i in self.code[key]:
                kinds[i.kind] += times
                words += times * (i.words if i.words > 1 else 0)
                narrow += times * (i.bytes == 2)
        trace = np.array(self.trace, np.int64).reshape(-1, 3)
        return Mix(core, kinds, words, narrow, self.taken, self.reads[False], self.reads[True], self.stores,
                   self.unaligned, trace)  # fmt: skip


def mix_of_hop(firmware: Firmware, core: Core, counts: np.ndarray) -> Mix:
    """A hop of counts, from ADC to answers, after a first one that fills the state.

    Raises:
        ConfigError: only QEMU has the core, and it is not installed. ExportError: as the compiler or the machine says.
    """
    return _on_board(firmware, core, counts) if not core.unicorn else _emulated(firmware, core, counts)


def _emulated(firmware: Firmware, core: Core, counts: np.ndarray) -> Mix:
    runtime = FirmwareStep(firmware, core)
    machine = runtime.machine
    assert isinstance(machine, Emulator)
    rows = _swing(firmware, counts)
    runtime.device.push(counts)
    runtime.feel(rows)
    watcher = Watcher(machine)
    runtime.device.push(counts)
    runtime.feel(rows)
    return watcher.mix(core.name)


def _swing(firmware: Firmware, counts: np.ndarray) -> np.ndarray:
    return swing(firmware, len(counts) / float(firmware.constants["ONWRIST_RATE_HZ"]))


BOARD_MAIN = """
#include "board.h"
#include "onwrist.h"
%s
static onwrist watch;
static _Alignas(16) int8_t arena[ONWRIST_ARENA_BYTES];
#ifdef ONWRIST_WITH_ACCELERATION
#include "onwrist_acceleration.h"
static onwrist_acceleration motion;
static uint32_t felt;
static void feel(void) {
    for (int32_t i = 0; i < %d; i++) onwrist_acceleration_receive(&motion, felt++, rows + 3 * i);
}
#endif
static void hop(void) {
    for (int32_t at = 0; at < %d;) {
        at += onwrist_push(&watch, counts + at, %d - at);
        (void)onwrist_step(&watch);
    }
#ifdef ONWRIST_WITH_ACCELERATION
    feel();
#endif
}
int32_t board_main(void) {
    onwrist_init(&watch, arena);
#ifdef ONWRIST_WITH_ACCELERATION
    onwrist_acceleration_init(&motion);
#endif
    hop();
    board_number(board_ticks());
    hop();
    board_number(board_ticks());
    return 0;
}
"""


def _on_board(firmware: Firmware, core: Core, counts: np.ndarray) -> Mix:
    rows = _swing(firmware, counts)
    table = c_array("int32_t", "counts", np.asarray(counts, np.int32))
    table += f"\n{c_array('int16_t', 'rows', rows)}" if len(rows) else ""
    elf = board_image({**firmware.files, "main.c": BOARD_MAIN % (table, len(rows), len(counts), len(counts))}, core)
    text: Any = ELFFile(io.BytesIO(elf)).get_section_by_name(".text")
    code, base = text.data(), text["sh_addr"]
    symbols: Any = ELFFile(io.BytesIO(elf)).get_section_by_name(".symtab")
    (mark,) = (s["st_value"] & ~1 for s in symbols.iter_symbols() if s.name == MARK)
    kinds, words, narrow, taken, marks, after = Counter[str](), 0, 0, 0, 0, None
    for line in trace_board(elf):
        at = int(line, 16)
        marks += at == mark
        if marks == 1:
            first = int.from_bytes(code[at - base : at - base + 2], "little")
            size = width(first)
            i = decode(code[at - base : at - base + size])
            kinds[i.kind] += 1
            words += i.words if i.words > 1 else 0
            narrow += i.bytes == 2
            taken += at != after
            after = at + size
    if marks < 2:
        raise ExportError("never came to the end of a hop", field=core.name, cure="Report it: the kernels have a bug")
    return Mix(core.name, kinds, words, narrow, taken)
