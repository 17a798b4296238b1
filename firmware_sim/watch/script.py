"""What happened to a watch, in order, so that another one can be put through the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onwrist.firmware_sim.watch.ring import RingBuffer, Taken

if TYPE_CHECKING:
    from onwrist.firmware_sim.watch.watch import Watch

# Instead of a length: the watch is told to start anew.
RESTART = -1
# Instead of a number of takes: until nothing waits.
ALL = -1


def length_of(length: int, counts: np.ndarray) -> int:
    """A step's length as the exported C wants it: -2 - n of n samples of acceleration, below what restarts the watch."""
    return length if counts.ndim == 1 else -2 - length


@dataclass
class Script:
    """Bursts that were pushed, and how often the loop came after each.

    Attributes:
        sequence: number of the first sample of each burst. length: of each, or RESTART.
        takes: bursts of light that the loop took out of the ring before the next push, or ALL.
        counts: of all bursts, one array each: (n,) of light, (n, 3) of acceleration.
    """

    sequence: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    takes: list[int] = field(default_factory=list)
    counts: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def of(cls, counts: np.ndarray, burst: int, acceleration: np.ndarray | None = None) -> Script:
        """Counts (n,) in whole bursts from number 0 on, each taken at once.

        Args:
            acceleration: counts (m, 3) of the same seconds; those of the same time come before each burst.
        """
        script, came = cls(), 0
        for first in range(0, len(counts), burst):
            last = min(first + burst, len(counts))
            if acceleration is not None:
                upto = last * len(acceleration) // len(counts)
                script.push(came, acceleration[came:upto])
                came = upto
            script.push(first, counts[first:last], ALL)
        return script

    def __len__(self) -> int:
        return len(self.length)

    def push(self, sequence: int, counts: np.ndarray, takes: int = 0) -> None:
        """A burst enters the ring."""
        self.sequence.append(int(sequence))
        self.length.append(len(counts))
        self.takes.append(takes)
        self.counts.append(np.asarray(counts, np.int32))

    def take(self) -> None:
        """The loop takes a burst."""
        if not self.takes:
            self.push(0, np.zeros(0, np.int32))
        self.takes[-1] += 1

    def restart(self) -> None:
        """The watch is told to start anew."""
        self.push(0, np.zeros(0, np.int32))
        self.length[-1] = RESTART


class LoggedRing(RingBuffer):
    """A ring that writes a script of its use.

    Args:
        capacity: slots. script: what it is written to. axes: of its samples.
    """

    def __init__(self, capacity: int, script: Script, axes: int = 1):
        super().__init__(capacity, axes)
        self.script = script

    def push(self, sequence: int, counts: np.ndarray) -> None:
        self.script.push(sequence, counts)
        super().push(sequence, counts)

    def pop(self, limit: int | None = None) -> Taken:
        # Acceleration is taken together with a burst of light, which is what the script counts.
        if self.axes == 1:
            self.script.take()
        return super().pop(limit)


def write_script(watch: Watch) -> Script:
    """The script that a watch writes from now on; nothing has come to it yet."""
    script = Script()
    watch.ring = LoggedRing(watch.ring.capacity, script)
    if watch.motion:
        watch.motion.ring = LoggedRing(watch.motion.ring.capacity, script, watch.motion.ring.axes)
    return script
