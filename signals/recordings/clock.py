"""Time stamps of rows to places on one uniform clock: true rate, gaps, packets, clocks that were set.

Stamps come in four kinds. A *sensor's* clock steps evenly, but for a little jitter and for rows that are missing: rows
are counted into places, no value is changed. *Arrival* stamps come in packets (sixteen rows 0.3 ms apart, then a pause)
or are repeated (whole seconds, pairs): rows of a packet are spread evenly. A *camera's* frames are truly uneven: values
are interpolated at their own times. All else is no clock and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from scipy.ndimage import minimum_filter1d

from onwrist.errors import RecordingError
from onwrist.signals.recordings.growing import Growing
from onwrist.signals.recordings.recording import MAX_RATE_HZ, MIN_RATE_HZ
from onwrist.signals.recordings.spilled import BLOCK, Spilled

# One jump longer than this is a mended or broken clock, or two recordings; never a pause worth keeping as NaN.
MAX_JUMP_S = 86400.0
HOUR_S = 3600.0
# No recording passes more changes to summer time; what has more pauses of an hour has pauses of an hour.
MOST_SUMMERS = 2
# 48 days at 64 Hz: one signal of a gigabyte.
MAX_SAMPLES = 2**28
# Rows this dense are a recording, even if a week of it is missing.
ALWAYS_FITS = 2**23
# Rows of a recording that is mostly gap: beyond this the stamps are wrong, not the sensor.
MAX_SPREAD = 50
# Steps below this share of the mean step belong to one packet.
TINY_STEP, PACKET_SHARE = 0.25, 0.2
# Packets with stamps of their own inside come at least this often; slower ones are a duty cycle, with real pauses.
MAX_PACKET_S = 2.0
# A packet is missing when the stamps after it stay behind by most of a packet's time.
LATE_SHARE, LATE_PACKETS = 0.75, 8
# A step this far from a whole number of steps is not a count; one in twenty may be.
UNCOUNTED, MAX_UNCOUNTED = 0.3, 0.05
# Frame times: a hole longer than five steps is a gap, not jitter.
GAP_STEPS = 5
# Steps of more than twice the median: 6 % in the worst of 21 phone videos, 25 % where rows come at random.
MAX_IRREGULAR = 0.15
# A clock is set back now and then (network time, a reboot); more often than this the rows are in disorder.
MAX_SET_BACK = 5
SLOPE_ROWS = 256
MIN_ROWS = 3
SAMPLE = 400_000


@dataclass(frozen=True)
class Clock:
    """Places of a file's rows on a uniform grid.

    Attributes:
        rate_hz: samples per second.
        length: samples of the grid.
        rows: which rows of the file have a stamp (bool, one a row), or None for all.
        place: int32 place of each such row, or None where they follow one another without a hole.
        at: float64 seconds of each such row, where values are interpolated and not placed.
        gap_s: where values are interpolated, the longest step that is no gap.
        notices: what a user should hear.
    """

    rate_hz: float
    length: int
    rows: np.ndarray | None = None
    place: np.ndarray | Spilled | None = None
    at: np.ndarray | None = None
    gap_s: float = 0.0
    notices: tuple[str, ...] = ()

    def lay(self, x: np.ndarray) -> np.ndarray:
        """Values of all rows (n,) to (length,), NaN where there was no row; float32 stays so."""
        x = np.asarray(x)
        if self.rows is not None:
            x = x[self.rows]
        if self.at is not None:
            return self._interpolated(x)
        if self.place is None:
            return x
        out = np.full(self.length, np.nan, x.dtype if x.dtype.kind == "f" else np.float64)
        out[np.asarray(self.place)] = x
        return out

    def lay_on_disk(self, x: Spilled) -> np.ndarray | Spilled:
        """As `lay`, and on disk again where rows are only counted into places."""
        if self.rows is not None or self.at is not None:
            return self.lay(np.asarray(x))
        if self.place is None:
            return x
        out = Spilled()
        for i, part in enumerate(x.blocks()):
            at = np.asarray(self.place[i * BLOCK : (i + 1) * BLOCK], np.int64) - len(out)
            some = np.full(int(at[-1]) + 1, np.nan, part.dtype)
            some[at] = part
            out.add(some)
        return out

    def _interpolated(self, x: np.ndarray) -> np.ndarray:
        grid = np.arange(self.length) / self.rate_hz
        good = np.isfinite(x)
        if not good.any():
            return np.full(self.length, np.nan)
        y = np.interp(grid, self.at[good], x[good])
        right = np.clip(np.searchsorted(np.asarray(self.at[good]), grid), 1, max(1, int(good.sum()) - 1))
        step = np.diff(self.at[good], prepend=self.at[good][0])
        y[(step[right] if len(step) > 1 else np.zeros(1)) > self.gap_s] = np.nan
        return y


def falls(t: np.ndarray | Spilled) -> np.ndarray:
    """Indices after which values fall; NaN does not."""
    found = [i + np.flatnonzero(np.diff(t[i : i + BLOCK + 1]) < 0) for i in range(0, len(t), BLOCK)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _blocks(t: np.ndarray | Spilled) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, steps from it on), block by block."""
    for i in range(0, len(t) - 1, BLOCK):
        yield i, np.diff(t[i : i + BLOCK + 1])


def slope(t: np.ndarray | Spilled) -> float:
    """Time per row in the units of `t`, deaf to gaps and packets: the median over stretches of rows."""
    if len(t) < 2:
        return float("nan")
    rows = int(np.clip((len(t) - 1) // 4, 1, SLOPE_ROWS))
    every = max(1, len(t) // 200_000)
    found = (t[rows::every] - t[:-rows:every]) / rows
    ahead = found[found > 0]
    return float(np.median(ahead)) if len(ahead) else float("nan")


class _Place(TypedDict):
    """Where stamps stand, for messages."""

    where: str | Path
    field: str


def uniform_clock(t: np.ndarray | Spilled, where: str | Path, field: str) -> Clock:
    """Stamps in seconds, one a row, NaN where a row has none, to a clock. `t` may be changed; where it is on disk it has no NaN
    and does not fall, and stays there as long as its steps are a sensor's.

    Raises:
        RecordingError: too few stamps, rows in disorder, times that start anew, a jump of more than a day, or no clock.
    """
    place = _Place(where=where, field=field)
    rows = None
    if isinstance(t, np.ndarray) and not (known := np.isfinite(t)).all():
        rows = known
        t = t[rows]
    if len(t) < MIN_ROWS:
        raise RecordingError(
            f"{len(t)} rows with a time do not tell a rate", cure="Check that the file is complete", **place
        )
    notices: list[str] = []
    _refuse_jump(t, place)
    notices += _hours_ahead(t, place)
    if len(falls(t)):
        t = _ahead(np.asarray(t), place, notices)
    mean = slope(t)
    if not np.isfinite(mean) or mean <= 0:
        raise RecordingError(
            "times do not increase", cure="Give a column of times that do, or rate_hz without it", **place
        )
    tiny = sum(int(np.sum(step < TINY_STEP * mean)) for _, step in _blocks(t))
    packets = _packets(np.asarray(t), mean) if tiny > PACKET_SHARE * (len(t) - 1) else None
    if packets is not None:
        clock = _of_packets(np.asarray(t), packets, place, notices)
    else:
        clock = _of_steps(t, mean, place, notices)
    if not MIN_RATE_HZ <= clock.rate_hz <= MAX_RATE_HZ:
        raise RecordingError(
            f"rows come at {clock.rate_hz:.4g} Hz by their times, outside {MIN_RATE_HZ:g}-{MAX_RATE_HZ:g}",
            cure="Check the unit of the times", **place,
        )  # fmt: skip
    if rows is None:
        return clock
    if clock.rows is not None:
        rows = rows.copy()
        rows[rows] = clock.rows
    return Clock(clock.rate_hz, clock.length, rows, clock.place, clock.at, clock.gap_s, clock.notices)


def _refuse_jump(t: np.ndarray | Spilled, place: _Place) -> None:
    for first, step in _blocks(t):
        longest = int(np.argmax(np.abs(step)))
        if abs(step[longest]) > MAX_JUMP_S:
            row = first + longest + 1
            raise RecordingError(
                f"the clock jumps by {_words(abs(step[longest]))} between rows {row} and {row + 1}",
                cure="Mend the stamp, or split the recording there", **place,
            )  # fmt: skip


def _hours_ahead(t: np.ndarray | Spilled, place: _Place) -> list[str]:
    """A word on clocks that go ahead by an hour and hardly more: summer time, or a pause of just so long."""
    jumps = [
        first + int(i)
        for first, step in _blocks(t)
        for i in np.flatnonzero((step >= HOUR_S) & (step < HOUR_S + 1.0))
    ]  # fmt: skip
    if len(jumps) > MOST_SUMMERS:
        return []  # pauses of an hour, one after the other
    return [
        f"the clock of '{place['field']}' goes ahead by an hour between rows {i + 1} and {i + 2}; an hour is "
        "taken to be missing: mend the stamps if it was summer time"
        for i in jumps
    ]


def _words(seconds: float) -> str:
    for unit, name in ((365.25 * 86400, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.3g} s"


def _ahead(t: np.ndarray, place: _Place, notices: list[str]) -> np.ndarray:
    """A clock that was set back goes on by one step instead."""
    step = np.diff(t)
    back = np.flatnonzero(step < 0)
    if len(back) > MAX_SET_BACK:
        word = "run backwards" if len(back) > 0.9 * len(step) else f"go back {len(back)} times: rows are in disorder"
        raise RecordingError(f"times {word}", cure="Sort the rows by time", **place)
    usual = float(np.median(step[step > 0])) if (step > 0).any() else 0.0
    shift = np.zeros(len(t))
    for i in back:
        if len(t) > 2 and t[i + 1] <= t[0] + usual:
            raise RecordingError(
                f"times start anew at row {i + 2}: two recordings in one file", cure="Split the file there", **place
            )
        shift[i + 1 :] += usual - step[i]
        if -step[i] > usual:
            notices.append(
                f"the clock of '{place['field']}' was set back by {_words(usual - step[i])} at row {i + 2}; "
                "no time is taken to have passed there"
            )
    return t + shift


def _packets(t: np.ndarray, mean: float) -> np.ndarray | None:
    """First row of each packet of arrival or repeated stamps; None where short steps are a pause's other side."""
    step = np.diff(t)
    first = np.concatenate([[0], np.flatnonzero(step > 0.5 * mean) + 1])
    if len(first) < MIN_ROWS:
        return None
    period = float(np.median(np.diff(t[first])))
    last = np.append(first[1:], len(t)) - 1
    span = float(np.median(t[last] - t[first]))
    repeated = np.mean(step == 0) > PACKET_SHARE
    sizes = np.diff(np.append(first, len(t)))
    usual = int(np.median(sizes))
    if usual < 2 or np.mean(np.abs(sizes - usual) <= 1) < 0.5:
        # Rows that come at random now and then come close together.
        return None
    return first if repeated or (period <= MAX_PACKET_S and span < TINY_STEP * period) else None


def _of_packets(t: np.ndarray, first: np.ndarray, place: _Place, notices: list[str]) -> Clock:
    at = t[first]
    sizes = np.diff(np.append(first, len(t)))
    size = int(np.median(sizes))
    over = int(np.clip(len(first) // 4, 1, 16))
    step = float(np.median((at[over:] - at[:-over]) / (first[over:] - first[:-over])))
    lost = _lost(at, first, step, size)
    # The first and the last packet may be cut; the straight line through the others is the rate.
    inner = slice(1, None) if len(first) > 3 else slice(None)
    step = float(np.polyfit((first + lost)[inner], at[inner] - at[0], 1)[0])
    lost = _lost(at, first, step, size)
    rate = _nice(1.0 / step, float(np.std(np.diff(at[inner]))) / max(float(at[-1] - at[0]), 1e-9))
    kind = "repeated" if t[first[0]] == t[min(first[0] + 1, len(t) - 1)] else "those of arriving packets"
    notices.append(
        f"times in '{place['field']}' are {kind} ({size} rows each): rows are spread evenly at {rate:.6g} Hz"
    )
    count = len(t) + int(lost[-1])
    _refuse_length(count, len(t), place)
    if lost[-1] == 0:
        return Clock(rate, count, notices=tuple(notices))
    where = np.arange(len(t), dtype=np.int32) + np.repeat(lost, sizes).astype(np.int32)
    return Clock(rate, count, place=where, notices=tuple(notices))


def _lost(at: np.ndarray, first: np.ndarray, step: float, size: int) -> np.ndarray:
    """int64 (packets,): rows lost before each packet.

    A late packet is caught up by those after it, a lost one is not: only a delay that the next packets keep counts.
    """
    behind = at - at[0] - (first - first[0]) * step
    padded = np.concatenate([behind, np.full(LATE_PACKETS, behind[-3:].min())])
    kept = minimum_filter1d(padded, LATE_PACKETS, origin=-(LATE_PACKETS // 2))[: len(behind)]
    jump = np.diff(kept, prepend=kept[0])
    jump[: min(2, len(jump))] = 0.0
    unit = size * step
    lost = np.where(jump > LATE_SHARE * unit, np.rint(jump / unit) * size, 0.0)
    return np.cumsum(lost).astype(np.int64)


def _of_steps(t: np.ndarray | Spilled, mean: float, place: _Place, notices: list[str]) -> Clock:
    every = max(1, len(t) // SAMPLE)
    some = t[1::every] - t[:-1:every]
    usual = float(np.median(some))
    if usual <= 0:
        raise RecordingError("most rows share their time with the next", cure="Give rate_hz without the times", **place)
    even = some[(some >= 0.5 * usual) & (some < 1.5 * usual)]
    size, spread = float(even.mean()), float(even.std())
    if _coarse(np.diff(t[:SAMPLE]), usual):
        size, spread = mean, usual
    rows = None
    if any((step == 0).any() for _, step in _blocks(t)):
        t, rows = _apart(np.asarray(t), size, notices, place)
    span = float(t[-1] - t[0])
    total, uncounted = 1, 0
    for _, step in _blocks(t):
        counts = np.rint(step / size)
        uncounted += int(np.sum(np.abs(step / size - counts) > UNCOUNTED))
        total += int(np.maximum(counts, 1).sum())
    if uncounted <= MAX_UNCOUNTED * (len(t) - 1):
        _refuse_length(total, len(t), place)
        rate = _nice((total - 1) / span, spread / span)
        where: np.ndarray | Spilled | None = None
        if total != len(t):
            counted = Spilled() if isinstance(t, Spilled) else Growing()
            counted.add(np.zeros(1, np.int32))
            last = 0
            for _, step in _blocks(t):
                found = (last + np.cumsum(np.maximum(np.rint(step / size), 1))).astype(np.int32)
                counted.add(found)
                last = int(found[-1])
            where = counted if isinstance(counted, Spilled) else counted.take()
        return Clock(rate, total, rows, where, notices=tuple(notices))
    far = float(np.mean(np.abs(some - usual) > usual))
    # Without its gaps, which say nothing about the steps between them.
    typical = float(some[some <= GAP_STEPS * usual].mean())
    if far > MAX_IRREGULAR or not 0.5 < size / typical < 1.5:
        raise RecordingError(
            f"times are not one clock: half the steps are under {usual:.3g} s, {100 * far:.0f} % are over twice that",
            cure="Give rate_hz, and leave the time column out", **place,
        )  # fmt: skip
    rate = _nice(1.0 / size, spread / span)
    total = int(span * rate * (1 + 1e-9)) + 1
    _refuse_length(total, len(t), place)
    t = np.asarray(t)
    return Clock(rate, total, rows, at=t - t[0], gap_s=GAP_STEPS * usual, notices=tuple(notices))


def _coarse(step: np.ndarray, usual: float) -> bool:
    """Stamps coarser than the step (80 Hz in hundredths of a second): every so many steps one is double."""
    double = np.flatnonzero((step > 1.5 * usual) & (step < 2.5 * usual))
    if len(double) < 0.05 * len(step) or len(double) < 4:
        return False
    runs = np.diff(double)
    return int(runs.max() - runs.min()) <= 1


def _apart(t: np.ndarray, size: float, notices: list[str], place: _Place) -> tuple[np.ndarray, np.ndarray | None]:
    """A stamp that is there twice: the second row is dropped if the next comes in time, else it has a place of its own."""
    step = np.diff(t)
    again = np.flatnonzero(step == 0) + 1
    distinct = np.concatenate([[0], np.flatnonzero(step > 0) + 1])
    following = np.searchsorted(distinct, again)
    after = np.append(t[distinct], np.inf)[np.minimum(following, len(distinct))]
    spare = again[after - t[again] < 1.5 * size]
    spread = np.interp(np.arange(len(t)), distinct, t[distinct])
    if len(spare) == 0:
        return spread, None
    rows = np.ones(len(t), bool)
    rows[spare] = False
    notices.append(f"{len(spare)} rows repeat the time of the row before in '{place['field']}' and are left out")
    return spread[rows] if len(spare) < len(again) else t[rows], rows


def _refuse_length(count: int, rows: int, place: _Place) -> None:
    if count > MAX_SAMPLES or (count > ALWAYS_FITS and count > MAX_SPREAD * rows):
        raise RecordingError(
            f"{rows:,} rows are spread over {count:,} steps of their own clock",
            cure="Mend the stamps, or split the recording at its pauses", **place,
        )  # fmt: skip


def _nice(rate: float, doubt: float) -> float:
    """The roundest rate that the stamps cannot tell from this one; `doubt` is the spread of a step by their span."""
    allowed = float(np.clip(3.0 * doubt, 1e-6, 2e-3))
    for digits in range(4):
        if abs(round(rate, digits) / rate - 1.0) < allowed:
            return float(round(rate, digits))
    return rate
