"""What kind of work an instruction is: Thumb by capstone, Helium's vectors by their place in the instruction set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

# Kinds, by what they cost on some core.
LOAD, STORE, MOVES, MAC, MULTIPLY, DIVIDE, FOLDED, BRANCH, OTHER = (
    "load", "store", "several words", "multiply-accumulate", "multiply", "divide", "IT", "branch", "other",
)  # fmt: skip
V_LOAD, V_STORE, V_MAC, VECTOR = "vector load", "vector store", "vector multiply-accumulate", "other vector"
KINDS = (LOAD, STORE, MOVES, MAC, MULTIPLY, DIVIDE, FOLDED, BRANCH, V_LOAD, V_STORE, V_MAC, VECTOR, OTHER)
MACS = ("mla", "mls", "smla", "smls", "umla", "umaa", "smmla", "smmls")
MULTIPLIES = ("mul", "smul", "umul", "smmul", "smua", "smus")


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        kind: of KINDS. bytes: 2 or 4. words: that it loads or stores; 0 for others and for vectors.
    """

    kind: str
    bytes: int
    words: int = 0


def width(first: int) -> int:
    """Bytes of a Thumb instruction by its first half-word: 4 from 0b11101 on."""
    return 4 if first & 0xF800 >= 0xE800 else 2


def split(code: bytes) -> list[Instruction]:
    """The instructions of a straight piece of code."""
    found, at = [], 0
    while at < len(code):
        size = width(int.from_bytes(code[at : at + 2], "little"))
        found.append(decode(code[at : at + size]))
        at += size
    return found


@lru_cache(maxsize=1 << 14)
def decode(code: bytes) -> Instruction:
    """One instruction from its 2 or 4 bytes."""
    first, second = int.from_bytes(code[:2], "little"), int.from_bytes(code[2:], "little")
    if first >> 12 in (0xE, 0xF) and first & 0x0C00 == 0x0C00 and len(code) == 4:
        return Instruction(_vector(first, second), 4)
    if first & 0xFF00 == 0xF000 and second & 0xD001 == 0xC001:
        return Instruction(BRANCH, 4)  # low-overhead loops: DLS, WLS, LE
    whole = next(_disassembler().disasm(code, 0), None)
    if whole is None:
        return Instruction(OTHER, len(code))
    name, operands = whole.mnemonic.split(".")[0], whole.operands
    registers = sum(o.type == _register_type() for o in operands)
    if name.startswith(("ldm", "stm")):
        kind, words = MOVES, registers - 1
    elif name.startswith(("push", "pop")):
        kind, words = MOVES, registers
    elif name.startswith(("ldrd", "strd")):
        kind, words = MOVES, 2
    elif name.startswith("ldr"):
        kind, words = LOAD, 1
    elif name.startswith("str"):
        kind, words = STORE, 1
    else:
        kind, words = _arithmetic(name, whole.groups), 0
    return Instruction(kind, len(code), words)


def _vector(first: int, second: int) -> str:
    """Coprocessor space of Armv8.1-M: loads and stores (without any of P, U, W: a move of lanes), VMLADAV, the rest."""
    if first & 0x0E00 == 0x0C00 and first & 0x01A0:
        return V_LOAD if first & 0x10 else V_STORE
    added_across = first & 1 and second & 0x0100  # VADDV, which shares the rest
    return V_MAC if first & 0xEFF0 == 0xEEF0 and second & 0x0E01 == 0x0E00 and not added_across else VECTOR


def _arithmetic(name: str, groups: list[int]) -> str:
    import capstone.arm

    if name.startswith("it"):
        return FOLDED
    if name.startswith(MACS):
        return MAC
    if name.startswith(MULTIPLIES):
        return MULTIPLY
    if name in ("sdiv", "udiv"):
        return DIVIDE
    jumps = (capstone.arm.ARM_GRP_JUMP, capstone.arm.ARM_GRP_CALL, capstone.arm.ARM_GRP_BRANCH_RELATIVE)
    return BRANCH if set(groups) & set(jumps) or name.startswith(("cbz", "cbnz", "tbb", "tbh")) else OTHER


@lru_cache(maxsize=1)
def _disassembler():
    import capstone

    found = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    found.detail = True
    return found


def _register_type() -> int:
    import capstone.arm

    return capstone.arm.ARM_OP_REG
