"""Beats in integers, as the watch finds them: from the band-passed signal of the fixed-point front end, sample by sample.

A pulse is a rise and a fall that both exceed a share of the running magnitude: a zigzag, which asks for no threshold in
counts and for no window. Its time is that of the steepest rise, between samples by a parabola, held near the peak so that
a wiggle on the way up cannot carry it away. All of it looks back only: a beat is reported once the signal has fallen
again, about a third of a second after its upslope.

| what | unit |
|---|---|
| time, interval | 1/6400 s: a sample of 25 Hz in 256 parts |
| confidence | per cent: how often an interval like this was right on the people it was set with |

`export/sources/c/onwrist_beats.c` is the same arithmetic, and gives the same bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from onwrist.signals.front_end.fixed import MAGNITUDE_BITS, FixedDesign
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ
from onwrist.signals.pulse import onset_rules as rules
from onwrist.signals.pulse.onset_rules import FRACTION, PART

UNITS_HZ = STUDENT_RATE_HZ << FRACTION
ONE = 1 << FRACTION
# Times are of 32 bits and wrap, after a week.
TIME_SPAN = 1 << 32
# Running means move by an eighth of a difference.
SLOW = 3


@dataclass(frozen=True)
class Beat:
    """A pulse.

    Attributes:
        time: of its upslope, 1/6400 s since the first sample after the (re)start, modulo 2^32.
        interval: to the upslope before, 1/6400 s; 0 where there is none to give: the first beat, a gap or a rail between.
        confidence: per cent, that the interval is right; 0 where there is none.
        found: number of the 25 Hz sample with which it was found.
    """

    time: int
    interval: int
    confidence: int
    found: int


class BeatDetector:
    """Beats of one signal.

    Args:
        delay: of the front end, 1/6400 s (`delay_of`); taken off every time.
    """

    def __init__(self, delay: int):
        self.delay = delay
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample is the first."""
        self.count = 0
        self.spoilt = rules.SETTLE
        self.z = [0, 0, 0, 0]
        self.slopes = [0, 0]
        self.rising = False
        self.low = self.low_at = self.high = self.high_at = self.left = self.right = 0
        self._flatten()
        self.lag = self.span = rules.FIRST_LAG
        self.stray = 0
        self.even = self.alike = PART // 2 << FRACTION
        self.intervals: deque[int] = deque(maxlen=rules.MEMORY)
        self.heights: deque[int] = deque(maxlen=rules.MEMORY)
        self.last = self.last_peak = self.last_height = 0
        self.has_last = False
        self.cell = 0

    def spoil(self) -> None:
        """The sensor's sample that comes now was made up, or is at a rail."""
        self.spoilt = max(self.spoilt, self.count + rules.SMEAR)

    def push(self, y: int, magnitude: int, flat: bool) -> Beat | None:
        """The front end's next output at 25 Hz.

        Args:
            y: after the high-pass. magnitude: the running one, with its more bits. flat: it is at its floor.
        """
        k = self.count
        if flat:
            self.spoil()
        self.count += 1
        now = y >> rules.WIDTH_BITS
        if k == 0:
            self.z = [now] * 4
            self.low = now
        z = self.z = [now, *self.z[:3]]
        least = (magnitude >> (MAGNITUDE_BITS + rules.WIDTH_BITS)) * rules.PULSE_EIGHTHS >> 3
        if self.rising and k == self.high_at + 1:
            self.right = now
        if not self.rising and now < self.low:
            self._valley(now, k)
        # Centred one and a half samples ago, and so to be behind the valley.
        slope = z[0] + z[1] - z[2] - z[3]
        if k - self.low_at >= 2:
            self._steepest(slope, k)
        self.slopes = [slope, self.slopes[0]]
        found = None
        if not self.rising:
            if now - self.low > least:
                self.rising = True
                self._peak(k)
        elif now > self.high:
            self._peak(k)
        elif self.high - now > least:
            found = self._pulse(k)
            self.rising = False
            self._valley(now, k)
        return found

    def _valley(self, now: int, k: int) -> None:
        self.low, self.low_at = now, k
        self._flatten()

    def _flatten(self) -> None:
        self.best = self.best_left = self.best_right = self.best_at = 0

    def _steepest(self, slope: int, k: int) -> None:
        if self.best > 0 and k == self.best_at + 1:
            self.best_right = slope
        if slope > self.best:
            self.best, self.best_left, self.best_right, self.best_at = slope, self.slopes[0], slope, k

    def _peak(self, k: int) -> None:
        self.high, self.left, self.right, self.high_at = self.z[0], self.z[1], self.z[0], k

    def _pulse(self, k: int) -> Beat | None:
        """A rise and a fall are complete."""
        top = vertex(self.left, self.high, self.right)
        off = 0
        if self.best > 0:
            steepest = vertex(self.best_left, self.best, self.best_right) - 3 * ONE // 2
            off = ((self.high_at - self.best_at) << FRACTION) + top - steepest - self.lag
        # From the rise to the peak, of this pulse.
        self.span = self.lag + clamp(off, rules.SPAN_REACH)
        # Where the two keep their distance the rise is the finer of them, where they do not the peak is the surer.
        reach = max(0, rules.LAG_REACH - self.stray)
        time = (self.high_at << FRACTION) + top - self.lag - clamp(off, reach)
        since = (time - self.last + TIME_SPAN // 2) % TIME_SPAN - TIME_SPAN // 2
        height = self.high - self.low
        if self.has_last and (since < rules.SHORTEST or self._echo(since, height)):
            return None
        self.lag += clamp(off, ONE) >> SLOW
        self.stray += (min(abs(off), 4 * ONE) - self.stray) >> SLOW
        # A beat that reaches into a spoilt stretch is none, and no interval spans one.
        clear = self.low_at >= self.spoilt
        interval = confidence = 0
        if clear and self.has_last and self.last_peak >= self.spoilt and since <= rules.LONGEST:
            interval, confidence = since, self._judge(since, height)
            self.intervals.append(since)
        if clear:
            self.heights.append(height)
        self.last, self.last_peak, self.last_height, self.has_last = time % TIME_SPAN, self.high_at, height, clear
        return Beat((time - self.delay) % TIME_SPAN, interval, confidence, k) if clear else None

    def _echo(self, interval: int, height: int) -> bool:
        """Whether a pulse is the second wave of the one before: weak, and soon after it or early in an even rhythm."""
        if 10 * height >= rules.ECHO_TENTHS * self.last_height:
            return False
        early = 10 * interval < rules.ECHO_TENTHS * usual(self.intervals, interval)
        return interval < rules.ECHO_SOON or (early and self.even >> FRACTION >= rules.ECHO_EVEN)

    def _judge(self, interval: int, height: int) -> int:
        mean = usual(self.intervals, interval)
        same, alike = likeness(interval, mean), likeness(height, usual(self.heights, height))
        edges = rules.SHORT_EDGES if interval < mean else rules.LONG_EDGES
        away = sum(PART - same > e for e in edges)
        row = len(rules.SHORT_EDGES) + (-away if interval < mean else away)
        even = sum(self.even >> FRACTION >= e for e in rules.EVEN_EDGES)
        like = sum((self.alike - 16 * self.stray) >> FRACTION >= e for e in rules.LIKE_EDGES)
        self.even += ((same << FRACTION) - self.even) >> SLOW
        self.alike += ((alike << FRACTION) - self.alike) >> SLOW
        self.cell = (row * (len(rules.EVEN_EDGES) + 1) + even) * (len(rules.LIKE_EDGES) + 1) + like
        return rules.CONFIDENCE[self.cell]


def vertex(left: int, middle: int, right: int) -> int:
    """Where the parabola through three values has its peak, -128 ... 128 parts of a sample from the middle; 0 without one."""
    bend = 2 * middle - left - right
    if bend <= 0 or left > middle or right > middle:
        return 0
    half = ONE // 2
    return half * (right - left + bend) // bend - half


def clamp(value: int, reach: int) -> int:
    """Within -reach ... reach."""
    return min(max(value, -reach), reach)


def usual(values: deque[int], otherwise: int) -> int:
    """The median of the last values, of an even number the larger of the middle two; without any, `otherwise`."""
    return sorted(values)[len(values) // 2] if values else otherwise


def likeness(a: int, b: int) -> int:
    """The smaller in 64ths of the larger; both above 0."""
    return PART * min(a, b) // max(a, b)


def delay_of(design: FixedDesign) -> int:
    """Half the length of the front end's rate conversion, 1/6400 s."""
    return round((design.taps.shape[1] - 1) / 2 / design.rate_hz * UNITS_HZ)
