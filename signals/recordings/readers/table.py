"""A table of columns to a recording: which column is what, and rows to a uniform grid. CSV and Parquet share it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import MAX_SAMPLES, uniform_clock
from onwrist.signals.recordings.growing import Growing
from onwrist.signals.recordings.names import (
    ANY_NAMES,
    COUNTER_WORDS,
    KIND_NAMES,
    PERSON_NAMES,
    RESP_NAMES,
    SEGMENT_NAMES,
    base_and_unit,
    find_ecg,
    find_one,
    find_ppg,
    named,
    need_ppg,
    note_others,
    same,
    time_columns,
    words,
)
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.precision import single
from onwrist.signals.recordings.readers.text import MINUS, MISSING, is_missing, is_number, is_when
from onwrist.signals.recordings.recording import Channel, Recording
from onwrist.signals.recordings.spilled import Spilled
from onwrist.signals.recordings.stamps import Stamps

# Nine hours at 64 Hz: what is longer is put on disk where a reader is asked for it.
SPILL_ROWS = 1 << 21
# Columns that a message names.
MANY = 20
DATE_NAMES, CLOCK_NAMES = ("date", "day"), ("time", "clock", "time_of_day")


@dataclass
class Choice:
    """Columns of a table by what they are; None where there is none.

    Attributes:
        ppg, ecg, resp: signals.
        time: one column, or a date and a time of day.
        counter: a count of samples, used with a rate where there is no time.
        person, segment: words by which rows are told apart.
        kind: words that say which sensor a row is of, where the values of several stand in one column. wanted: the sensor that
            the user asks for.
    """

    ppg: int
    ecg: int | None = None
    resp: int | None = None
    time: tuple[int, ...] = ()
    counter: int | None = None
    person: int | None = None
    segment: int | None = None
    kind: int | None = None
    wanted: str | None = None

    @property
    def columns(self) -> list[int]:
        """All that must be read."""
        one = [self.ppg, self.ecg, self.resp, *self.time, self.counter]
        return sorted({c for c in one if c is not None})


def choose(
    names: Sequence[str], units: Sequence[str], rows: Sequence[Sequence[str]], asked: Asked, has_names: bool,
    notices: list[str], decimal: str = ".",
) -> Choice:  # fmt: skip
    """Which column is what, from the names and the first rows.

    Raises:
        RecordingError: no column for the PPG, or not the one that was asked for.
    """
    filled = [any(i < len(row) and not is_missing(row[i]) for row in rows) for i in range(len(names))]
    shown = [i for i in range(len(names)) if filled[i] or names[i].strip()]
    kind, sensor = _kind(names, rows), None
    if kind is not None and asked.channel is not None and not any(same(n, asked.channel) for n in names):
        asked, sensor = replace(asked, channel=None), asked.channel
    wanted = None if asked.channel is None else shown[named([names[i] for i in shown], asked.channel, asked.name)]
    times = [i for i in time_columns(names) if filled[i] and i != wanted] if has_names else []
    if not times:
        times = [i for i in range(len(names)) if i != wanted and filled[i] and _all(rows, i, is_when)][:1]
    time = _time(names, rows, times)
    if not time and not has_names and len(shown) > 1 and wanted != 0 and _rises(rows, 0, decimal):
        time = (0,)
        notices.append("the columns have no names; the first one rises evenly and is read as the time")
    numeric = [i for i in shown if i not in time and i not in times and filled[i] and not _all(rows, i, is_when)]
    numbers = [i for i in numeric if _mostly(rows, i, decimal)]
    # A spreadsheet's row numbers have an empty name.
    counters = [i for i in numbers if not names[i].strip() or set(words(names[i])) & set(COUNTER_WORDS)]
    at = wanted
    if at is None:
        found, others = find_ppg([names[i] for i in numbers])
        if found is not None:
            at = numbers[found]
            note_others(names[at], others, notices)
    if at is None:
        free = [
            i
            for i in numbers
            if i not in counters and base_and_unit(names[i])[0] not in (*PERSON_NAMES, *SEGMENT_NAMES)
        ]
        if len(free) != 1:
            raise _which(names, rows, free or numbers, asked)
        at = free[0]
    signals = [names[i] if i in numbers else "" for i in range(len(names))]
    counter = next((i for i in counters if i != at and _counts(rows, i)), None)
    return Choice(
        at, find_ecg(signals, units, at) if has_names else None, find_one(signals, RESP_NAMES, at), time,
        None if time else counter, find_one(names, PERSON_NAMES, at), find_one(names, SEGMENT_NAMES, at),
        kind if kind != at and base_and_unit(names[at])[0] in ANY_NAMES else None, sensor,
    )  # fmt: skip


def _kind(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    """The column of words that says which sensor a row is of, or None."""
    for i, name in enumerate(names):
        if base_and_unit(name)[0] in KIND_NAMES and _cells(rows, i) and not any(is_number(c) for c in _cells(rows, i)):
            return i
    return None


def of_kind(choice: Choice, found: Iterable[str], asked: Asked, notices: list[str]) -> str | None:
    """The sensor whose rows are read, from all that a table's column of sensors says; None: every row.

    Raises:
        RecordingError: several, and none of them is called like a PPG, or not the one that was asked for.
    """
    kinds = sorted(set(found))
    if choice.wanted is not None:
        return kinds[named(kinds, choice.wanted, asked.name)]
    if len(kinds) < 2:
        return None
    at = need_ppg(kinds, None, asked.name, notices)
    others = ", ".join(k for k in kinds if k != kinds[at])
    notices.append(f"rows of '{kinds[at]}' are read; there are also rows of {others:.200}")
    return kinds[at]


def _which(names: Sequence[str], rows: Sequence[Sequence[str]], numbers: list[int], asked: Asked) -> RecordingError:
    """The error of a table in which no column can be told to be the PPG."""
    if len(rows) == 1 and len(numbers) > MANY:
        cure = "Write one sample a row, one signal a column"
        return RecordingError(f"holds {len(numbers):,} numbers in one row", where=asked.name, cure=cure)
    if not numbers:
        first = [c for i, name in enumerate(names) if name for c in _cells(rows, i)[:1]]
        odd = next((c for c in first if not is_when(c) and not is_number(c)), "")
        cure = "Write plain numbers, one sample a row: no separators of thousands, no units, no lists, no hexadecimals"
        return RecordingError(
            f"has no column of numbers (but '{odd:.40}')", where=asked.name, field="channel", cure=cure
        )
    listed = ", ".join(names[i].strip() for i in numbers[:MANY]) + (" ..." if len(numbers) > MANY else "")
    cure = f"Name it with channel (--channel): {listed}"
    return RecordingError("cannot tell which column is the PPG", where=asked.name, field="channel", cure=cure)


def _cells(rows: Sequence[Sequence[str]], i: int) -> list[str]:
    return [row[i] for row in rows if i < len(row) and not is_missing(row[i])]


def _all(rows: Sequence[Sequence[str]], i: int, test) -> bool:
    cells = _cells(rows, i)
    return bool(cells) and all(test(c) for c in cells)


def _mostly(rows: Sequence[Sequence[str]], i: int, decimal: str) -> bool:
    cells = _cells(rows, i)
    return not cells or sum(is_number(c, decimal) for c in cells) > 0.5 * len(cells)


def _numbers(rows: Sequence[Sequence[str]], i: int, decimal: str = ".") -> np.ndarray:
    return np.array(
        [float(c.replace(",", ".") if decimal == "," else c) for c in _cells(rows, i) if is_number(c, decimal)]
    )


def _rises(rows: Sequence[Sequence[str]], i: int, decimal: str) -> bool:
    """Rising all the time, and by the same step nearly all the time."""
    step = np.diff(_numbers(rows, i, decimal))
    return len(step) > 4 and bool((step > 0).all()) and bool(np.mean(np.abs(step / np.median(step) - 1) < 0.3) > 0.8)


def _counts(rows: Sequence[Sequence[str]], i: int) -> bool:
    step = np.diff(_numbers(rows, i))
    return len(step) > 4 and bool((step >= 1).all()) and float(np.median(step)) == 1.0


def _time(names: Sequence[str], rows: Sequence[Sequence[str]], times: Sequence[int]) -> tuple[int, ...]:
    """The time column, or a column of dates and one of times of day."""
    by_name = {base_and_unit(names[i])[0]: i for i in times}
    date = next((by_name[n] for n in DATE_NAMES if n in by_name), None)
    clock = next((by_name[n] for n in CLOCK_NAMES if n in by_name), None)
    if date is not None and clock is not None and _all(rows, clock, is_when) and _all(rows, date, is_when):
        return (date, clock)
    moving = [i for i in times if len(set(_cells(rows, i))) > 1]
    # Of several, one that tells fractions of a second: the others are what was on the phone's screen.
    fine = [i for i in moving if len(set(_cells(rows, i))) > 0.9 * len(_cells(rows, i))]
    return tuple((fine or moving or list(times))[:1])


@dataclass
class Gathered:
    """Columns of a table as they come, chunk by chunk."""

    choice: Choice
    names: Sequence[str]
    units: Sequence[str]
    asked: Asked
    signals: dict[int, Growing | Spilled] = field(default_factory=dict)
    stamps: Stamps | None = None
    rows: int = 0

    def __post_init__(self) -> None:
        c = self.choice
        for i in (c.ppg, c.ecg, c.resp):
            if i is not None:
                self.signals[i] = Growing()
        if c.time or c.counter is not None:
            i = c.time[-1] if c.time else c.counter
            self.stamps = Stamps(self.names[i].strip() or f"column {i + 1}", self.units[i], self.asked.name)

    def add(self, frame, decimal: str = ".") -> None:
        """One chunk: a pandas DataFrame whose columns are named by their numbers."""
        for i in self.signals:
            values = self._numeric(frame[i], i, decimal)
            samples, offset = single(values)
            # Half the memory where nothing is lost by it.
            self.signals[i].add(samples if offset == 0 else values)
        if self.stamps is not None:
            c = self.choice
            if len(c.time) == 2:
                both = (
                    frame[c.time[0]].astype("string").str.strip() + " " + frame[c.time[1]].astype("string").str.strip()
                )
                self.stamps.add(both, self.rows)
            else:
                column = frame[c.time[0] if c.time else c.counter]
                if decimal == "," and column.dtype.kind not in "iufM":
                    column = column.astype("string").str.replace(",", ".", regex=False)
                self.stamps.add(column, self.rows)
        if self.asked.spill and self.rows <= SPILL_ROWS < self.rows + len(frame):
            self._spill()
        self.rows += len(frame)
        if self.rows > MAX_SAMPLES:
            raise RecordingError(
                f"has more than {MAX_SAMPLES:,} rows", where=self.asked.name, cure="Split the recording"
            )

    def _spill(self) -> None:
        """Go on in files: the table is too long for memory."""
        for i, column in self.signals.items():
            spilled = Spilled()
            if isinstance(column, Growing):
                spilled.add(column.take())
            self.signals[i] = spilled
        if self.stamps is not None:
            self.stamps.spill()

    def _numeric(self, column, i: int, decimal: str) -> np.ndarray:
        """float64; words for a missing sample become NaN, so do infinities.

        Raises:
            RecordingError: a cell is no number.
        """
        import pandas as pd

        if pd.api.types.is_numeric_dtype(column.dtype):
            # A copy: a view would keep the chunk's other columns alive.
            values = np.array(column.to_numpy(dtype=np.float64, na_value=np.nan))
        else:
            text = column.astype("string").str.strip()
            known = (text.notna() & ~text.str.lower().isin(MISSING)).to_numpy(dtype=bool)
            if decimal == ",":
                text = text.str.replace(",", ".", regex=False)
            text = text.str.replace(MINUS, "-", regex=False)
            numbers = pd.to_numeric(text.where(known), errors="coerce")
            values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
            bad = known & np.isnan(values)
            if bad.any():
                at = int(np.argmax(bad))
                cell = str(column.iloc[at]).strip()
                again = cell == self.names[i].strip()
                raise RecordingError(
                    f"'{cell[:40]}' in row {self.rows + at + 1} is not a number", where=self.asked.name, field=self.names[i].strip(),
                    cure="The header stands there again: split the file at it" if again
                    else "Leave missing samples empty, and write plain numbers",
                )  # fmt: skip
        values[np.isinf(values)] = np.nan
        return values

    def recording(self, told_rate: float | None, person: str, notices: list[str]) -> Recording:
        """All rows as a recording.

        Raises:
            RecordingError: no row, no rate, or times that are no clock.
        """
        if self.rows == 0:
            raise RecordingError(
                "has a header and no rows", where=self.asked.name, cure="Check that the file is complete"
            )
        start, clock = None, None
        if self.stamps is not None:
            rate = self.asked.rate_hz
            if not self.choice.time and rate is None:
                rate = told_rate
            if self.choice.time or rate is not None:
                t, start = self.stamps.seconds(rate)
                clock = uniform_clock(t, self.asked.name, self.stamps.name)
                del t
                notices.extend(clock.notices)
        if clock is None:
            if told_rate is None and self.asked.rate_hz is None:
                raise RecordingError(
                    "no time column and no rate", where=self.asked.name, field="rate_hz",
                    cure=f"Give rate_hz (--rate-hz); the columns are {', '.join(n.strip() for n in self.names)}",
                )  # fmt: skip
            rate_hz = self.asked.rate(told_rate)
        else:
            rate_hz = self.asked.rate(clock.rate_hz, self.stamps.name if self.stamps else "")

        def channel(i: int) -> Channel:
            column = self.signals.pop(i)
            laid: np.ndarray | Spilled
            if isinstance(column, Spilled):
                laid = column if clock is None else clock.lay_on_disk(column)
            else:
                laid = column.take() if clock is None else clock.lay(column.take())
            samples, offset = (laid, 0.0) if laid.dtype == np.float32 else single(np.asarray(laid))
            base, unit = base_and_unit(self.names[i])
            return Channel(
                cast(np.ndarray, samples),
                rate_hz,
                self.names[i].strip() or base,
                self.units[i] or unit or "file",
                offset=offset,
            )

        def beside(i: int | None) -> Channel | None:
            return None if i is None else channel(i)

        c = self.choice
        return Recording(
            channel(c.ppg),
            person,
            self.asked.name,
            start,
            ecg=beside(c.ecg),
            resp=beside(c.resp),
            notices=tuple(notices),
        )


def told_apart(
    asked: Asked, people: Iterable[str] | None, segments: Iterable[str] | None
) -> tuple[str | None, str | None]:
    """(person, segment) of whom rows are read, where a table has such columns.

    Raises:
        RecordingError: several and none named.
    """
    person = None if people is None else asked.one_of("people", sorted(people), asked.subject, "subject")
    segment = None
    if segments is not None:
        found = sorted(segments)
        if asked.segment is not None or len(found) > 1:
            segment = asked.one_of("segments", found, asked.segment, "segment")
    return person, segment
