"""Acceleration in the watch: its ring, its front end, its clock beside the light's, and what a hop gets of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onwrist.export.sources.acceleration_rules import AccelerationRules
from onwrist.export.sources.watch_rules import SEQUENCE_SPAN, distance
from onwrist.firmware_sim.watch.ring import RingBuffer
from onwrist.signals.front_end.acceleration import AXES, AccelerationDesign, FixedAcceleration
from onwrist.signals.front_end.stages import Ticks


@dataclass
class AccelerationCounters:
    """Where the samples of acceleration went: received = dropped + discarded + used + what waits in the ring, at any time.

    Attributes:
        received: entered the ring. dropped: overwritten there. discarded: late or repeated. used: went through the front end.
        lost: that never came, by their numbers. clipped: used ones with an axis at a rail.
        missing: rows that hops did without. slips: times that the clocks had come apart.
    """

    received: int = 0
    dropped: int = 0
    discarded: int = 0
    used: int = 0
    lost: int = 0
    clipped: int = 0
    missing: int = 0
    slips: int = 0

    def accounted(self, waiting: int) -> bool:
        """Whether no sample is missing from the books while so many wait in the ring."""
        return self.received == self.dropped + self.discarded + self.used + waiting


@dataclass(frozen=True)
class Light:
    """Where the light's front end stands when its next burst could be taken.

    Attributes:
        filled: outputs of the hop that is being filled. coming: outputs that the burst brings if nothing is missing.
        waiting: samples in its ring. burst: most that are taken at once.
        expected: number of its next sample, None before the first. last: number of the last sample of the burst.
        ticks: its clock.
    """

    filled: int
    coming: int
    waiting: int
    burst: int
    expected: int | None
    last: int
    ticks: Ticks

    @property
    def newest(self) -> bool:
        """Whether no more light than this burst has come."""
        return self.waiting <= self.burst


class AccelerationLine:
    """What the consumer of acceleration does; the producer pushes into `ring`.

    Args:
        design: of its front end. rules: of its pairing with light.
    """

    def __init__(self, design: AccelerationDesign, rules: AccelerationRules):
        self.rules, self.lowest = rules, design.lowest
        self.ring = RingBuffer(rules.ring, AXES)
        self.front_end = FixedAcceleration.of(design)
        self.counters = AccelerationCounters()
        self.expected: int | None = None
        # Rows as they came, the newest before `head`; all of it 0 and not there before the first.
        self.rows = np.zeros((rules.line, AXES), np.int8)
        self.there = np.zeros(rules.line, bool)
        self.head = 0
        # Rows that came beyond the beginning of the hop that is being filled; known while `paired`.
        self.lead = 0
        self.paired = self.lacking = False

    def unpair(self) -> None:
        """The light has started anew."""
        self.paired = False

    def ready(self, light: Light) -> bool:
        """Whether the next burst of light may be taken; nothing changes."""
        wanted = light.filled + light.coming
        if not self.paired or self.lacking or wanted < self.rules.hop:
            return True
        coming = len(self.front_end.conversion.ticks.of(len(self.ring)))
        return self.lead + coming >= wanted or light.waiting >= light.burst + self.rules.patience

    def take(self, light: Light) -> None:
        """Before a burst of light is taken: take all acceleration that has come, and see to the clocks."""
        came = self._drain()
        if self.paired and came and self.lead >= 0:
            self.lacking = False
        # Samples of light that are still to be fed, those of a gap before them included.
        ahead = 0 if light.expected is None else distance(light.last + 1, light.expected)
        if light.expected is None or not light.newest or not 0 < ahead <= self.rules.reach:
            return
        arrived = light.filled + ahead * light.ticks.up // light.ticks.down
        if self.paired and abs(self.lead - arrived) > self.rules.apart:
            self.paired = False
            self.counters.slips += 1
        if not self.paired and came:
            self.lead = self._paired(light, arrived)
            self.paired, self.lacking = True, False

    def _paired(self, light: Light, arrived: int) -> int:
        """The lead by both sensors' numbers, which count from power-up; by arrival where these disagree."""
        assert light.expected is not None
        assert self.expected is not None
        own, theirs = self.front_end.conversion.ticks, light.ticks
        mine = -(-(self.expected % SEQUENCE_SPAN) * own.up // own.down)
        numbered = light.filled + mine + (-(light.expected % SEQUENCE_SPAN) * theirs.up // theirs.down)
        return numbered if abs(numbered - arrived) <= self.rules.apart else arrived

    def hop(self) -> tuple[np.ndarray, int]:
        """(int8 (hop, 3), rows of it that are 0 for want of acceleration) of the hop that is complete."""
        size, came = self.rules.hop, 0
        if self.lead > self.rules.line:
            self.paired = False  # so far behind is the light that its rows are gone
        found, there = np.zeros((size, AXES), np.int8), np.zeros(size, bool)
        if self.paired:
            came = min(max(self.lead, 0), size)
            at = (self.head - self.lead + np.arange(came)) % self.rules.line
            found[:came], there[:came] = self.rows[at], self.there[at]
            self.lead -= size
        self.lacking = came < size
        missing = size - int(np.count_nonzero(there))
        self.counters.missing += missing
        return found, missing

    def _drain(self) -> bool:
        """Everything that waits goes through the front end; whether anything did."""
        taken = self.ring.pop()
        self.counters.dropped = self.ring.dropped
        used = self.counters.used
        breaks = np.flatnonzero(np.diff(taken.sequence) % SEQUENCE_SPAN != 1) + 1
        for numbers, counts in zip(np.split(taken.sequence, breaks), np.split(taken.counts, breaks), strict=True):
            if len(numbers):
                self._run(int(numbers[0]), counts)
        return self.counters.used > used

    def _run(self, first: int, counts: np.ndarray) -> None:
        """Samples with consecutive numbers."""
        behind = 0 if self.expected is None else distance(self.expected, first)
        if behind > self.rules.late or -behind > self.rules.late:
            self.expected = None  # it counts anew, or was away for so long that its clock is not followed
        elif behind > 0:
            self.counters.discarded += min(behind, len(counts))
            first, counts = first + behind, counts[behind:]
            if not len(counts):
                return
        if self.expected is None:
            self.front_end.reset()
            self.rows[:], self.there[:] = 0, False
            self.paired = False
        else:
            gap = distance(first, self.expected)
            if gap > 0:
                self.counters.lost += gap
                outputs = self.front_end.skip(gap)
                self._keep(np.zeros((outputs, AXES), np.int8), False)
        self.expected = first + len(counts)
        self.counters.used += len(counts)
        rails = (counts <= self.lowest) | (counts >= -self.lowest - 1)
        self.counters.clipped += int(np.count_nonzero(rails.any(axis=1)))
        self._keep(self.front_end.push(counts), True)

    def _keep(self, rows: np.ndarray, there: bool) -> None:
        at = (self.head + np.arange(len(rows)))[-self.rules.line :] % self.rules.line
        self.rows[at], self.there[at] = rows[len(rows) - len(at) :], there
        self.head += len(rows)
        if self.paired:
            self.lead += len(rows)
