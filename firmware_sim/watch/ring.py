"""The ring buffer between the sensor's interrupt and the processing loop.

Single producer, single consumer, no lock: the producer alone writes `head`, the consumer alone writes `tail`. Both
count samples since power-up and never wrap at the capacity, so that full (head - tail == capacity) and empty
(head == tail) differ. When the consumer is late the producer overwrites the oldest samples; the consumer finds out
from the distance of the counters, skips to the oldest that survives, and counts what it lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onwrist.errors import ConfigError

# A sequence number of 32 bits per slot, a count of 32 or three of 16 in two words, and two counters.
SLOT_BYTES, COUNTER_BYTES = {1: 8, 3: 12}, 8


@dataclass(frozen=True)
class Taken:
    """Samples that the consumer got: sequence numbers int64 (n,) and counts int32 (n,) or (n, axes), oldest first."""

    sequence: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)


class RingBuffer:
    """Fixed-capacity ring of (sequence, count).

    Args:
        capacity: slots; derive it with `watch_rules.capacity_for`.
        axes: counts of a sample: 1 of light, 3 of acceleration.
    """

    def __init__(self, capacity: int, axes: int = 1):
        if capacity < 1:
            raise ConfigError(f"capacity {capacity}", field="capacity", cure="Derive it with capacity_for")
        self.capacity, self.axes = capacity, axes
        self._counts = np.zeros(capacity if axes == 1 else (capacity, axes), np.int32)
        self._sequence = np.zeros(capacity, np.int64)
        self.head = self.tail = 0
        self.dropped = 0
        self.high_water = 0

    def __len__(self) -> int:
        return min(self.head - self.tail, self.capacity)

    @property
    def bytes(self) -> int:
        """RAM on a device."""
        return self.capacity * SLOT_BYTES[self.axes] + COUNTER_BYTES

    def push(self, sequence: int, counts: np.ndarray) -> None:
        """Producer: append a burst whose first sample has this sequence number; never blocks, never fails."""
        numbers = np.arange(sequence, sequence + len(counts))
        # Only the last `capacity` of a long burst can survive; the counters still count all of it.
        keep = slice(max(0, len(counts) - self.capacity), len(counts))
        slots = (self.head + np.arange(len(counts)))[keep] % self.capacity
        self._counts[slots] = counts[keep]
        self._sequence[slots] = numbers[keep]
        self.head += len(counts)
        self.high_water = max(self.high_water, len(self))

    def last(self, limit: int) -> int:
        """Sequence number of the last sample that `pop` would take now; there is one."""
        tail = max(self.tail, self.head - self.capacity)
        return int(self._sequence[(min(self.head, tail + limit) - 1) % self.capacity])

    def pop(self, limit: int | None = None) -> Taken:
        """Consumer: take up to `limit` of the oldest samples (all by default)."""
        lost = self.head - self.tail - self.capacity
        if lost > 0:
            self.tail += lost
            self.dropped += lost
        count = len(self) if limit is None else min(limit, len(self))
        slots = (self.tail + np.arange(count)) % self.capacity
        taken = Taken(self._sequence[slots].copy(), self._counts[slots].copy())
        self.tail += count
        return taken
