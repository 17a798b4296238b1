"""Heart rate variability over whole minutes, in integers, from the intervals of `signals.pulse.onsets`.

Sums per minute, so that five minutes are five sums and nothing is kept of single beats. A minute is 1,500 samples of the
signal, and a beat belongs to the one in which it was found.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import isqrt

from onwrist.signals.pulse import onset_rules as rules
from onwrist.signals.pulse.onsets import UNITS_HZ, Beat

# From 1/6400 s to tenths of a ms, squared: (10^4 / 6400)^2 = 10,000 / 4,096.
SQUARED, PER = 10_000, 4_096


@dataclass(frozen=True)
class Variability:
    """Figures of one or five minutes.

    Attributes:
        intervals: that are trusted. cover: thousandths of the time that they fill.
        mean, sdnn, rmssd: tenths of a ms; what a pulse's own jitter adds is taken off RMSSD (`onset_rules.JITTER`).
        pnn50: thousandths of the successive differences.
        bare: RMSSD squared, before `JITTER` is taken off; not of the C.
    """

    intervals: int
    cover: int
    mean: int
    sdnn: int
    rmssd: int
    pnn50: int
    bare: int = 0


@dataclass
class _Sums:
    intervals: int = 0
    total: int = 0
    squares: int = 0
    pairs: int = 0
    steps: int = 0
    spans: int = 0
    beyond: int = 0


class Minutes:
    """Sums over the last whole minutes."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.now = _Sums()
        self.whole: deque[_Sums] = deque(maxlen=rules.MINUTES)
        self.samples = self.before = 0
        self.spans = (0, 0)

    def push(self, beat: Beat | None, span: int) -> None:
        """A sample of 25 Hz, the beat that was found with it, and that beat's time from rise to peak, 1/6400 s."""
        if beat:
            self._add(beat, span)
            self.spans = (span, self.spans[0])
        self.samples += 1
        if self.samples == rules.MINUTE:
            self.whole.append(self.now)
            self.now, self.samples = _Sums(), 0

    def _add(self, beat: Beat, span: int) -> None:
        trusted = beat.interval > 0 and beat.confidence >= rules.TRUSTED
        if not trusted:
            self.before = 0
            return
        s = self.now
        s.intervals += 1
        s.total += beat.interval
        s.squares += beat.interval**2
        if self.before:
            step = abs(beat.interval - self.before)
            s.pairs += 1
            s.steps += step**2
            s.spans += (span - 2 * self.spans[0] + self.spans[1]) ** 2
            s.beyond += step > rules.FIFTY_MS
        self.before = beat.interval

    def over(self, minutes: int) -> Variability | None:
        """The last one or five whole minutes; None before there are as many, or where too little of them is known."""
        if len(self.whole) < minutes:
            return None
        last = list(self.whole)[-minutes:]
        s = _Sums(*(sum(getattr(m, name) for m in last) for name in _Sums.__dataclass_fields__))
        n, cover = s.intervals, s.total * 1000 // (minutes * 60 * UNITS_HZ)
        if cover < rules.LEAST_COVER or s.pairs < rules.LEAST_PAIRS:
            return None
        spread = (n * s.squares - s.total**2) // (n * (n - 1)) * SQUARED // PER
        bare = max(0, s.steps - (s.spans >> rules.SPAN_QUARTER)) * SQUARED // PER // s.pairs
        return Variability(
            n, cover, s.total * 100 // (64 * n), isqrt(spread), isqrt(max(0, bare - rules.JITTER**2)),
            1000 * s.beyond // s.pairs, bare,
        )  # fmt: skip
