"""Counts to beats, as the watch goes: the fixed-point front end, what may not be trusted, beats, minutes."""

from __future__ import annotations

import numpy as np

from onwrist.signals.front_end.fixed import FixedFrontEnd
from onwrist.signals.pulse.onsets import Beat, BeatDetector, delay_of
from onwrist.signals.pulse.variability import Minutes


class BeatStream:
    """Beats behind a front end.

    Args:
        front_end: what the counts go through; it is pushed by this object, and its int8 output handed on.
    """

    def __init__(self, front_end: FixedFrontEnd):
        self.front_end = front_end
        self.detector = BeatDetector(delay_of(front_end.design))
        self.minutes = Minutes()
        # The cells of the table of confidence are kept for whoever makes it.
        self.beats: list[Beat] = []
        self.cells: list[int] = []

    def reset(self) -> None:
        """The next sample is the first; the front end is reset by whoever owns it."""
        self.detector.reset()
        self.minutes.reset()
        self.beats, self.cells = [], []

    def take(self) -> tuple[Beat, ...]:
        """The beats since the last call."""
        taken, self.beats, self.cells = tuple(self.beats), [], []
        return taken

    def push(self, counts: np.ndarray, made_up: bool = False) -> np.ndarray:
        """Counts (n,) in, the front end's int8 (m,) out; beats found on the way are added to `beats`.

        Args:
            made_up: over a gap. What is at a rail is seen here.
        """
        full = 2**self.front_end.design.bits - 1
        spoilt = np.flatnonzero((counts <= 0) | (counts >= full)) if not made_up else np.arange(len(counts))
        due = self.front_end.due(len(counts))
        out = self.front_end.push(counts)
        # Before which output a spoilt sample came; those after the last are felt in the next.
        before = set(np.searchsorted(due, spoilt).tolist())
        for i, (y, magnitude) in enumerate(self.front_end.band):
            if i in before:
                self.detector.spoil()
            beat = self.detector.push(y, magnitude, magnitude <= self.front_end.design.floor)
            self.minutes.push(beat, self.detector.span)
            if beat:
                self.beats.append(beat)
                self.cells.append(self.detector.cell)
        if len(due) in before:
            self.detector.spoil()
        return out


def find_beats(counts: np.ndarray, rate_hz: float, bits: int) -> list[Beat]:
    """Beats of whole counts (n,) from power-up on."""
    stream = BeatStream(FixedFrontEnd(rate_hz, bits))
    stream.push(np.asarray(counts))
    return stream.beats
