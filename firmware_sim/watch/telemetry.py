"""The counters of `onwrist_telemetry.h` as the simulated watch keeps them: the same bytes."""

from __future__ import annotations

import numpy as np

from onwrist.export.sources.telemetry_rules import (
    ANSWER_STEP,
    COUNTERS,
    LEVEL,
    MOST,
    REASONS,
    SWING,
    SWING_BELOW_FULL,
    TelemetryRules,
    pack,
    signs,
)
from onwrist.firmware_sim.watch.watch import Hop, Watch, Why
from onwrist.signals.front_end.fixed import MAGNITUDE_BITS

# In multiples of half, and of an eighth, of the running magnitude.
WAVE_EDGES, SLOPE_EDGES = (-4, -2, -1, 0, 1, 2, 4), (-4, -1, 0, 1, 4)


class Telemetry:
    """Counters of one watch.

    Args:
        rules: what is counted.
    """

    def __init__(self, rules: TelemetryRules):
        self.rules, self.fields = rules, rules.fields
        self.counters = np.zeros(COUNTERS, np.int64)
        self.signs = [signs(p, 256) for p in rules.patterns]

    def add(self, watch: Watch, hop: Hop) -> None:
        """An output that the watch has just yielded, before it goes on."""
        self._count("outputs", 0)
        if hop.first:
            self._count("outputs", 1)
        if hop.why & Why.WARMING:
            self._count("outputs", 2)
            return
        for i in range(1, len(REASONS)):
            if hop.why >> i & 1:
                self._count("outputs", 2 + i)
        if hop.shown:
            self._count("outputs", 2 + len(REASONS))
        front = watch.front_end
        magnitude, now, before = front.magnitude, front.highpass.y1, front.highpass.y2
        self._count("level", watch.newest * LEVEL >> self.rules.bits)
        self._count("swing", self._swing(magnitude >> self.rules.shift))
        one = 1 << MAGNITUDE_BITS
        self._count("wave", sum(2 * one * now >= e * magnitude for e in WAVE_EDGES))
        self._count("slope", sum(8 * one * (now - before) >= e * magnitude for e in SLOPE_EDGES))
        for name, value in zip(self.rules.answers, hop.answers.tolist(), strict=False):
            self._count(name, (value + 128) // ANSWER_STEP)
        embedding = hop.embedding.astype(np.int64)
        for i, (pattern, edges) in enumerate(zip(self.signs, self.rules.edges, strict=True)):
            total = int(pattern[: len(embedding)] @ embedding)
            self._count(f"direction {i}", sum(total >= e for e in edges))

    def _swing(self, counts: int) -> int:
        bits = counts.bit_length()
        half = counts >> (bits - 2) & 1 if bits > 1 else 0
        top = 2 * (self.rules.bits - SWING_BELOW_FULL) + 1
        return min(max(2 * bits + half - top + SWING - 1, 0), SWING - 1)

    def _count(self, field: str, part: int) -> None:
        at = self.fields[field].start + part
        self.counters[at] = min(self.counters[at] + 1, MOST)

    @property
    def data(self) -> bytes:
        """The 256 bytes."""
        return self.rules.header + pack(self.counters)
