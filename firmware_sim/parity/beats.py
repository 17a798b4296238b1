"""The watch's beats against the ECG's, beside other detectors on the same people.

A pulse comes later than its R-peak by a time of the monitor and of what a detector looks at (peak or upslope), so that
every detector is given its own constant delay per recording. A beat is found within 150 ms of where it is due, one for one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from onwrist.signals.front_end.counts import convert, count_wave
from onwrist.signals.front_end.fixed import FixedFrontEnd
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ
from onwrist.signals.pulse import onset_rules as rules
from onwrist.signals.pulse.baselines import beat_methods, over_windows
from onwrist.signals.pulse.beats import MAX_RR_S, MIN_RR_S, pulse_delay
from onwrist.signals.pulse.heartbeats import STRETCH_S, Stretch, sure_stretches
from onwrist.signals.pulse.onsets import UNITS_HZ, Beat
from onwrist.signals.pulse.stream import BeatStream
from onwrist.signals.pulse.variability import Variability
from onwrist.signals.recordings.recording import Recording

WATCH = "watch"
# ANSI/AAMI EC57's window for beat-by-beat comparison.
FOUND_S = 0.15
# Delays that are looked for, s: a pulse oximeter's may be behind by most of a second.
DELAYS_S = (-0.3, 1.2)
# The goals: an interval at 64 Hz, and RMSSD of a minute at rest, ms.
GOAL_INTERVAL_MS, GOAL_RMSSD_MS = 10.0, 5.0
# The watch's filters settle for two seconds; nobody is judged by the first three.
WARM_S = 3.0
# What others find is cleaned as is usual before RMSSD: of a minute, intervals this near its median.
CLEAN_SHARE = 0.2
# Intervals within this of the ECG's are right.
RIGHT_S = 0.05


@dataclass
class Scored:
    """One detector on one recording under one condition.

    Attributes:
        hits, extra, missed: beats. timing, intervals: absolute errors, s; of intervals that are trusted, `given` of all. withheld, all:
            intervals not trusted, and all.
        rmssd: absolute errors over whole minutes, s. minutes: that could have been shown.
        bare: RMSSD of a minute before `JITTER` is taken off, and the ECG's, s; of the watch.
    """

    hits: int = 0
    extra: int = 0
    missed: int = 0
    timing: list[float] = field(default_factory=list)
    intervals: list[float] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    withheld: int = 0
    all: int = 0
    rmssd: list[float] = field(default_factory=list)
    minutes: int = 0
    bare: list[tuple[float, float]] = field(default_factory=list)

    @property
    def f1(self) -> float:
        """2 hits over all beats of both."""
        total = 2 * self.hits + self.extra + self.missed
        return 2 * self.hits / total if total else float("nan")


@dataclass(frozen=True)
class Judged:
    """A recording.

    Attributes:
        scores: condition -> detector -> figures.
        confidence, cells: of each of the watch's intervals, with whether it was right; the cell is of the table.
        late: of each of the watch's beats, s from its upslope to when it was known, the front end's delay included.
        sure_s: seconds that the ECG is sure of.
    """

    name: str
    subject: str
    scores: dict[str, dict[str, Scored]]
    confidence: list[tuple[int, bool]]
    cells: list[tuple[int, bool]]
    late: list[float]
    sure_s: float


@dataclass(frozen=True)
class Found:
    """Beats of one detector: times (s), intervals that end with each (s, NaN where none is given), trusted (bool)."""

    times: np.ndarray
    intervals: np.ndarray
    trusted: np.ndarray


def judge(
    recording: Recording, activity: str = "", rate_hz: int = 64, bits: int = 16, *, others: bool = True
) -> Judged:
    """All detectors on one recording.

    Args:
        activity: of the whole recording, which then names its condition; else the ECG's rhythm does.
        others: the other detectors too.
    """
    stretches = sure_stretches(recording)
    wave, _ = count_wave(recording, rate_hz, bits)
    counts = convert(wave, bits)
    stream = BeatStream(FixedFrontEnd(rate_hz, bits))
    figures = _by_minute(stream, counts, rate_hz)
    beats = stream.beats
    found = {WATCH: _watch(beats)}
    if others:
        signal = counts.astype(np.float64)
        found |= {n: _plain(over_windows(f, signal, rate_hz)) for n, f in beat_methods().items()}
    scores: dict[str, dict[str, Scored]] = defaultdict(lambda: defaultdict(Scored))
    r = np.concatenate([np.zeros(0), *(s.r for s in stretches)])
    right: dict[int, bool] = {}
    for method, what in found.items():
        delay = common_delay(r, what.times)
        for stretch in stretches:
            place = scores[activity or stretch.rhythm][method]
            told = _score(what, stretch, delay, place)
            if method == WATCH:
                right |= told
        own = {condition: methods[method] for condition, methods in scores.items()}
        _score_minutes(what, stretches, delay, activity, own, figures if method == WATCH else None)
    plain = {condition: dict(methods) for condition, methods in scores.items()}
    confidence = [(beats[i].confidence, ok) for i, ok in right.items()]
    cells = [(stream.cells[i], ok) for i, ok in right.items()]
    late = [b.found / STUDENT_RATE_HZ - b.time / UNITS_HZ for b in beats]
    name = Path(recording.source).stem
    return Judged(name, recording.subject, plain, confidence, cells, late, STRETCH_S * len(stretches))


def common_delay(r: np.ndarray, found: np.ndarray) -> float:
    """`pulse_delay` of any detector, which may be before the R-peak that it belongs to; 0 if there is none."""
    return float(np.nan_to_num(pulse_delay(r, found, DELAYS_S)))


def matched(due: np.ndarray, found: np.ndarray, within: float = FOUND_S) -> np.ndarray:
    """Pairs (n, 2) of indices, one for one, nearest first, sorted by time."""
    first = np.searchsorted(found, due - within)
    last = np.searchsorted(found, due + within, side="right")
    near = [(abs(found[k] - due[i]), i, k) for i in range(len(due)) for k in range(first[i], last[i])]
    used: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for _, i, k in sorted(near):
        if i not in used[0] and k not in used[1]:
            used[0].add(i)
            used[1].add(k)
            pairs.append((i, k))
    return np.array(sorted(pairs), int).reshape(-1, 2)


def _score(found: Found, stretch: Stretch, delay: float, into: Scored) -> dict[int, bool]:
    """Add a stretch; returns beat -> whether the interval that ends with it is right, for every beat with an interval."""
    start, end = max(WARM_S, stretch.start_s), stretch.start_s + STRETCH_S
    due = stretch.r[stretch.r >= start] + delay
    begin, end = start + delay, end + delay
    first, last = np.searchsorted(found.times, (begin - FOUND_S, end + FOUND_S))
    near = found.times[first:last]
    pairs = matched(due, near)
    inside = (near >= begin) & (near < end)
    hit = np.zeros(len(near), bool)
    hit[pairs[:, 1]] = True
    into.hits += len(pairs)
    into.missed += len(due) - len(pairs)
    into.extra += int(np.count_nonzero(inside & ~hit))
    into.timing += np.abs(near[pairs[:, 1]] - due[pairs[:, 0]]).tolist()
    of = dict(pairs[:, ::-1].tolist())
    right = {}
    for k in np.flatnonzero(inside):
        given = found.intervals[first + k]
        into.all += 1
        into.withheld += not found.trusted[first + k]
        if not np.isfinite(given):
            continue
        here, before = of.get(int(k)), of.get(int(k) - 1)
        if here == 0:
            continue  # the beat before it is another stretch's
        follows = here is not None and before is not None and here == before + 1
        error = abs(given - (due[here] - due[before])) if follows else np.inf
        right[int(first + k)] = bool(error < RIGHT_S)
        if follows:
            into.given.append(float(error))
            if found.trusted[first + k]:
                into.intervals.append(float(error))
    return right


def _score_minutes(
    found: Found,
    stretches: list[Stretch],
    delay: float,
    activity: str,
    into: dict[str, Scored],
    figures: dict[int, Variability] | None,
) -> None:
    """RMSSD of whole minutes of one rhythm; `figures` are the watch's own, by minute."""
    by_start = {s.start_s: s for s in stretches}
    for start in [s for s in by_start if s % 60 == 0 and s + STRETCH_S in by_start]:
        pair = by_start[start], by_start[start + STRETCH_S]
        if not activity and pair[0].rhythm != pair[1].rhythm:
            continue
        place = into[activity or pair[0].rhythm]
        truth = _rmssd(np.diff(np.concatenate([p.r for p in pair])))
        if truth is None:
            continue
        place.minutes += 1
        inside = (found.times >= start + delay) & (found.times < start + 60 + delay)
        if figures is None:
            said = _rmssd(_cleaned(found.intervals[inside][1:]))
        else:
            minute = figures.get(int(start / 60))
            said = minute.rmssd / 1e4 if minute else None
            if minute:
                place.bare.append((float(np.sqrt(minute.bare)) / 1e4, truth))
        if said is not None:
            place.rmssd.append(abs(said - truth))


def _cleaned(intervals: np.ndarray) -> np.ndarray:
    """With NaN for what is far from the median."""
    median = np.nanmedian(intervals) if np.isfinite(intervals).any() else np.nan
    near = np.abs(intervals / median - 1) <= CLEAN_SHARE
    return np.where(near, intervals, np.nan)


def _rmssd(intervals: np.ndarray) -> float | None:
    steps = np.diff(intervals)
    steps = steps[np.isfinite(steps)]
    return float(np.sqrt(np.mean(steps**2))) if len(steps) >= rules.LEAST_PAIRS else None


def _watch(beats: list[Beat]) -> Found:
    intervals = np.array([b.interval / UNITS_HZ if b.interval else np.nan for b in beats])
    times = np.array([b.time / UNITS_HZ for b in beats])
    return Found(times, intervals, np.array([b.confidence >= rules.TRUSTED for b in beats], bool))


def _plain(times: np.ndarray) -> Found:
    """What others find, with all intervals that could be a heart's."""
    intervals = np.append(np.nan, np.diff(times)) if len(times) else np.zeros(0)
    possible = (intervals >= MIN_RR_S) & (intervals <= MAX_RR_S)
    return Found(times, np.where(possible, intervals, np.nan), possible)


def _by_minute(stream: BeatStream, counts: np.ndarray, rate_hz: int) -> dict[int, Variability]:
    """Play counts; what the watch says at the end of each whole minute."""
    found = {}
    for minute in range(len(counts) // (60 * rate_hz)):
        stream.push(counts[minute * 60 * rate_hz : (minute + 1) * 60 * rate_hz])
        said = stream.minutes.over(1)
        if said:
            found[minute] = said
    stream.push(counts[len(counts) // (60 * rate_hz) * 60 * rate_hz :])
    return found
