"""The exported firmware as a runtime: `onwrist.c` with its front end and model, on this host or on an emulated core."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from onwrist.export.sources.files import MODEL_NAME, Firmware
from onwrist.export.sources.firmware import ACCELERATION as ACCELERATION_FILES
from onwrist.firmware_sim.runtimes.compiler import Core, build_core, build_native
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.signals.front_end.acceleration import AXES

ROOTS = (
    "onwrist_init",
    "onwrist_reset",
    "onwrist_push",
    "onwrist_step",
    "onwrist_get",
    f"{MODEL_NAME}_run",
    f"{MODEL_NAME}_reset",
)
# Of a firmware that takes acceleration.
ACCELERATION_ROOTS = ("onwrist_acceleration_init", "onwrist_acceleration_receive")
# Room for `onwrist`, on any host: its history and a few words.
STRUCT_BYTES = 2048
BLOCK = 64
ACCELERATION = ACCELERATION_FILES[1]


def swing(firmware: Firmware, seconds: float) -> np.ndarray:
    """int16 counts (n, 3) of a wrist that swings; of a firmware that takes no acceleration none."""
    if ACCELERATION not in firmware.files:
        return np.zeros((0, AXES), np.int16)
    rate, bits = int(firmware.constants["ONWRIST_ACC_RATE_HZ"]), int(firmware.constants["ONWRIST_ACC_BITS"])
    t = np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * (2 * t[:, None] + np.arange(AXES) / AXES))
    return np.rint(2 ** (bits - 4) * wave).astype(np.int16)


class Machine(Protocol):
    """Something that holds memory and runs functions of the firmware."""

    def allocate(self, size: int) -> int: ...
    def write(self, address: int, values: np.ndarray) -> None: ...
    def read(self, address: int, count: int, kind: type = np.int8) -> np.ndarray: ...
    def call(self, name: str, *arguments: int) -> int: ...


class Native:
    """The firmware compiled for this host, through its C interface."""

    def __init__(self, library: bytes):
        with tempfile.NamedTemporaryFile(suffix=".so") as file:
            file.write(library)
            file.flush()
            self.code = ctypes.CDLL(file.name)
        self.held: list[np.ndarray] = []

    def allocate(self, size: int) -> int:
        self.held.append(np.zeros(size + BLOCK, np.int8))
        return -(-self.held[-1].ctypes.data // BLOCK) * BLOCK

    def write(self, address: int, values: np.ndarray) -> None:
        data = np.ascontiguousarray(values)
        ctypes.memmove(address, data.ctypes.data, data.nbytes)

    def read(self, address: int, count: int, kind: type = np.int8) -> np.ndarray:
        return np.frombuffer(ctypes.string_at(address, count * np.dtype(kind).itemsize), kind)

    def call(self, name: str, *arguments: int) -> int:
        function = getattr(self.code, name)
        function.restype = ctypes.c_int32
        # Addresses of this host lie beyond 2^31, counts do not. A bool comes back in the low byte alone.
        return function(*(ctypes.c_void_p(a) if a > 1 << 31 else ctypes.c_int32(a) for a in arguments))


class Device:
    """Firmware on a machine: counts in, outputs out, by the five calls of `onwrist.h`.

    Args:
        firmware: sources with their constants. machine: what runs them.
    """

    def __init__(self, firmware: Firmware, machine: Machine):
        self.firmware, self.machine = firmware, machine
        number = {k: v for k, v in firmware.constants.items() if isinstance(v, int)}
        self.hop, self.width, self.answers = (
            number["ONWRIST_HOP"],
            number["ONWRIST_EMBEDDING"],
            number["ONWRIST_ANSWERS"],
        )
        self.offsets = [number[f"ONWRIST_{n}_OFFSET"] for n in ("INPUT", "EMBEDDING", "ANSWERS")]
        self.frames = frames_in(number)
        self.struct = machine.allocate(STRUCT_BYTES)
        self.arena = machine.allocate(number["ONWRIST_ARENA_BYTES"])
        self.counts = machine.allocate(4 * BLOCK)
        machine.call("onwrist_init", self.struct, self.arena)

    def reset(self) -> None:
        """Start anew."""
        self.machine.call("onwrist_reset", self.struct)

    def push(self, counts: np.ndarray, acceleration: np.ndarray | None = None) -> list[tuple[np.ndarray, ...]]:
        """Counts (n,) in; (int8 input of the hop, embedding, answers) of each hop that became complete, and the answers of its
        frames (frames, answers) where the student says them.

        Args:
            acceleration: int8 (hop, 3) beside them, of a firmware that takes it.
        """
        found = []
        self._put(acceleration)
        left = np.asarray(counts, np.int32)
        while len(left):
            block = left[:BLOCK]
            self.machine.write(self.counts, block)
            used = self.machine.call("onwrist_push", self.struct, self.counts, len(block))
            left = left[used:]
            chunk = self.machine.read(self.arena + self.offsets[0], self.hop)
            if self.machine.call("onwrist_step", self.struct) & 1:
                found.append((chunk, *self._outputs()))
        return found

    def step(self, x: np.ndarray, acceleration: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """The model alone: int8 (hop,), and (3, hop) of a firmware that takes acceleration, to embedding and answers, and the
        answers of its frames where there are such."""
        self._put(None if acceleration is None else acceleration.T)
        self.machine.write(self.arena + self.offsets[0], np.asarray(x, np.int8))
        self.machine.call(f"{MODEL_NAME}_run", self.arena)
        return self._outputs()

    def _put(self, rows: np.ndarray | None) -> None:
        if rows is not None:
            self.machine.write(self.arena + int(self.firmware.constants["ONWRIST_ACC_OFFSET"]), rows.astype(np.int8))

    def _outputs(self) -> tuple[np.ndarray, ...]:
        found = (
            self.machine.read(self.arena + self.offsets[1], self.width),
            self.machine.read(self.arena + self.offsets[2], self.answers),
        )
        if not self.frames:
            return found
        at, size = self.frames
        return *found, self.machine.read(self.arena + at, size).reshape(-1, self.answers)


def frames_in(constants: Mapping[str, int]) -> tuple[int, int] | None:
    """(offset in the arena, bytes) of the answers of a hop's frames; None of a student that answers once a hop."""
    if "ONWRIST_FRAME_ANSWERS_OFFSET" not in constants:
        return None
    size = constants["ONWRIST_FRAME_ANSWERS_FRAMES"] * constants["ONWRIST_FRAME_ANSWERS_CHANNELS"]
    return constants["ONWRIST_FRAME_ANSWERS_OFFSET"], size


class FirmwareStep:
    """The exported C, hop by hop, behind the interface of every other runtime."""

    integer = True

    def __init__(self, firmware: Firmware, core: Core | None = None, *, count: bool = False, sanitise: bool = False):
        if core is None:
            self.name = "firmware C, native"
            machine: Machine = Native(build_native(firmware.files, sanitise=sanitise))
        else:
            self.name = f"firmware C, {core.name} emulated"
            roots = ROOTS + (ACCELERATION_ROOTS if ACCELERATION in firmware.files else ())
            machine = Emulator(build_core(firmware.files, core, roots), core, count=count)
        self.machine = machine
        self.device = Device(firmware, machine)
        self.motion = self._accelerometer(firmware) if core and ACCELERATION in firmware.files else 0
        self.felt = 0

    def _accelerometer(self, firmware: Firmware) -> int:
        number = {k: v for k, v in firmware.constants.items() if isinstance(v, int)}
        size = 12 * number["ONWRIST_ACC_TAPS"] + 4 * number["ONWRIST_ACC_LINE"] + STRUCT_BYTES
        motion = self.machine.allocate(size)
        self.machine.call("onwrist_acceleration_init", motion)
        self.row = self.machine.allocate(2 * AXES)
        return motion

    def feel(self, counts: np.ndarray) -> None:
        """Counts (n, 3) of the light's time through acceleration's front end, so that they are counted too (emulated only);
        of a firmware that takes none nothing."""
        if not self.motion:
            return
        for row in np.asarray(counts, np.int16):
            self.machine.write(self.row, row)
            self.machine.call("onwrist_acceleration_receive", self.motion, self.felt, self.row)
            self.felt += 1

    def reset(self) -> None:
        self.device.reset()

    def step(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        return self.device.step(*x)
