"""What a watch counts about what its model sees, in 256 bytes: the exported C and the simulated watch follow it alike.

    bytes 0 ... 3     "OWT1"
    bytes 4 ... 15    whose counters these are (`TelemetryRules.identity`): only equal ones may be added
    bytes 16 ... 255  80 counters of 24 bits, little-endian, that stop at 16,777,215: 194 days of outputs once a second

The bytes in memory are the bytes that are sent. Fields, in order:

    outputs    8   outputs; starts anew; each reason not to show one, in the order of its bit; shown
    level      7   newest count, equal parts of the converter's range
    swing     12   running magnitude of the pulse, half octaves up to a 32nd of that range
    wave       8   newest filtered sample against that magnitude: below -2, -1, -1/2, 0, 1/2, 1, 2 of it, above
    slope      6   its step from the one before: below -1/2, -1/8, 0, 1/8, 1/2 of the magnitude, above
    NAME       6   each answer: 43 of its 256 int8 steps a part
    direction  7   the embedding along a fixed pattern of signs, between edges of a reference; as many as there is room for

All but the first three counters are of outputs whose window is whole (not `warming`), each counted once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onwrist.signals.front_end.fixed import MAGNITUDE_BITS, FixedDesign

MAGIC = b"OWT1"
BYTES, HEADER, WIDTH = 256, 16, 3
MOST = (1 << 8 * WIDTH) - 1
COUNTERS = (BYTES - HEADER) // WIDTH
# Names of the first field's counters; the reasons are those of onwrist_watch.h, lowest bit first.
REASONS = ("warming", "bridged", "clipped", "flat", "poor")
OUTPUTS = ("outputs", "anew", *REASONS, "shown")
LEVEL, SWING, WAVE, SLOPE, ANSWER, DIRECTION = 7, 12, 8, 6, 6, 7
# Of an answer's 256 steps a part, rounded up so that six parts hold all.
ANSWER_STEP = -(-256 // ANSWER)
# Three directions find what moves an embedding as a whole; a fourth would cost an answer's room.
MOST_DIRECTIONS = 3
# The highest half octave of `swing` begins at the full range over 2^this times 1.5.
SWING_BELOW_FULL = 6
# Embeddings are at most this wide, so that a pattern is one byte.
MOST_WIDTH = 256


@dataclass(frozen=True)
class TelemetryRules:
    """What is counted for one student behind one sensor.

    Attributes:
        digest: of the student's integers. hop: its samples between outputs.
        rate_hz, bits: of the sensor. shift: bits of the running magnitude below a count.
        answers: names of those that are counted.
        patterns: per direction a byte; sample i of the embedding counts negative where `i & pattern` has odd parity.
        edges: per direction DIRECTION - 1 sums, rising; a sum that is not below an edge is above it.
    """

    digest: str
    hop: int
    rate_hz: float
    bits: int
    shift: int
    answers: tuple[str, ...]
    patterns: tuple[int, ...]
    edges: tuple[tuple[int, ...], ...]

    @property
    def fields(self) -> dict[str, slice]:
        """Field -> its counters."""
        sizes = {"outputs": len(OUTPUTS), "level": LEVEL, "swing": SWING, "wave": WAVE, "slope": SLOPE}
        sizes |= dict.fromkeys(self.answers, ANSWER)
        sizes |= {f"direction {i}": DIRECTION for i in range(len(self.patterns))}
        ends = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}

    @property
    def identity(self) -> bytes:
        """Twelve bytes that differ wherever counters mean something else."""
        said = json.dumps([self.digest, self.hop, self.rate_hz, self.bits, self.answers, self.patterns, self.edges])
        return hashlib.sha256(said.encode()).digest()[: HEADER - len(MAGIC)]

    @property
    def header(self) -> bytes:
        """The first 16 bytes."""
        return MAGIC + self.identity

    def config(self) -> str:
        """`onwrist_telemetry_config.h`."""
        from onwrist.export.sources.c_text import c_array

        fields = self.fields
        at = {name: fields[name].start for name in ("level", "swing", "wave", "slope")}
        first_answer = at["slope"] + SLOPE
        values = {
            "BYTES": BYTES, "HEADER": HEADER, "COUNTERS": COUNTERS, "LEVEL": at["level"], "LEVELS": LEVEL, "SWING": at["swing"],
            "SWINGS": SWING, "SWING_FROM": 2 * (self.bits - SWING_BELOW_FULL) + 1 - SWING + 1, "SHIFT": self.shift,
            "MAGNITUDE_BITS": MAGNITUDE_BITS, "WAVE": at["wave"], "SLOPE": at["slope"], "ANSWER": first_answer,
            "ANSWERS": len(self.answers), "ANSWER_PARTS": ANSWER, "ANSWER_STEP": ANSWER_STEP,
            "DIRECTION": first_answer + ANSWER * len(self.answers), "DIRECTIONS": len(self.patterns),
            "DIRECTION_PARTS": DIRECTION,
        }  # fmt: skip
        flat = np.array([e for row in self.edges for e in row] or [0])
        lines = [
            f"/* Generated: student {self.digest[:16]}, counters {self.identity.hex()}. */",
            "#ifndef ONWRIST_TELEMETRY_CONFIG_H", "#define ONWRIST_TELEMETRY_CONFIG_H", "", "#include <stdint.h>", "",
            *(f"#define ONWRIST_TELEMETRY_{name} {value}" for name, value in values.items()), "",
            c_array("uint8_t", "onwrist_telemetry_header", np.frombuffer(self.header, np.uint8)),
            c_array("uint8_t", "onwrist_telemetry_pattern", np.array(self.patterns or (0,))),
            c_array("int32_t", "onwrist_telemetry_edge", flat), "", "#endif", "",
        ]  # fmt: skip
        return "\n".join(lines)


def telemetry_rules(
    digest: str,
    hop: int,
    fixed: FixedDesign,
    answers: Sequence[str],
    patterns: Sequence[int],
    edges: Sequence[Sequence[int]],
) -> TelemetryRules:
    """Rules with as many answers and directions as there is room for, the first ones."""
    counted = tuple(answers)[: (COUNTERS - _fixed()) // ANSWER]
    room = room_for_directions(len(counted))
    return TelemetryRules(
        digest, hop, float(fixed.rate_hz), fixed.bits, fixed.fraction + MAGNITUDE_BITS, counted, tuple(patterns)[:room],
        tuple(tuple(int(e) for e in row) for row in edges[:room]),
    )  # fmt: skip


def _fixed() -> int:
    return len(OUTPUTS) + LEVEL + SWING + WAVE + SLOPE


def room_for_directions(answers: int) -> int:
    """Directions that fit beside that many answers."""
    return max(0, min(MOST_DIRECTIONS, (COUNTERS - _fixed() - ANSWER * answers) // DIRECTION))


def signs(pattern: int, width: int) -> np.ndarray:
    """int64 (width,): +1 or -1 of each sample of an embedding."""
    odd = np.array([bin(i & pattern).count("1") & 1 for i in range(width)])
    return 1 - 2 * odd.astype(np.int64)


def merge(a: bytes, b: bytes) -> bytes:
    """Counters added, each up to its most.

    Raises:
        ValueError: they are of other rules.
    """
    if a[:HEADER] != b[:HEADER]:
        raise ValueError("counters of other rules")
    return a[:HEADER] + pack(np.minimum(unpack(a) + unpack(b), MOST))


def unpack(data: bytes) -> np.ndarray:
    """int64 (80,) counters of 256 bytes."""
    parts = np.frombuffer(data, np.uint8, offset=HEADER).reshape(COUNTERS, WIDTH).astype(np.int64)
    return parts @ (1 << 8 * np.arange(WIDTH))


def pack(counters: np.ndarray) -> bytes:
    """240 bytes of counters (80,), each at most MOST."""
    return b"".join(int(c).to_bytes(WIDTH, "little") for c in counters)
