"""A column of times, as numbers or words, to seconds: dates, times of day over midnight, s / ms / us / ns, counters."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import falls, slope
from onwrist.signals.recordings.growing import Growing
from onwrist.signals.recordings.names import named_unit
from onwrist.signals.recordings.recording import MAX_RATE_HZ, MIN_RATE_HZ
from onwrist.signals.recordings.spilled import Spilled

UNIT_NAMES = {1.0: "seconds", 1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds", 60.0: "minutes"}
BY_STEP = (1.0, 1e-3, 1e-6, 1e-9)
# A step alone may name a unit only where that makes a usual rate: ticks of 100 ns, or of a 32,768 Hz crystal, would be
# microseconds of a sensor that nobody builds.
GUESSED_HZ = (20.0, 1000.0)
# Ticks of 100 ns since the year 1 (.NET) and since 1601 (Windows), of this century; as numbers.
TICK_S, TICKS = 1e-7, ((6.31e17, 6.63e17), (1.26e17, 1.57e17))
# Numbers of this size are times since 1970 (from 2001 to 2096), whatever their column is called.
EPOCH_S = (1.0e9, 4.0e9)
# Days since 1900 (spreadsheets) and since the year 0 (MATLAB) of this century.
DAY_NUMBERS = ((3.6e4, 7.0e4), (7.3e5, 7.7e5))
DAY_S, HOUR_S = 86400.0, 3600.0
# Counters of microcontrollers run over at these.
COUNTER_BITS = (16, 24, 32)
# And counts of samples in a byte.
BYTE, SOME = 256.0, 1000
_CLOCK = re.compile(r"\d{1,3}:\d{2}(:\d{2})?([.,:]\d+)?$")
_HALF_DAY = re.compile(r"\d\s*[AaPp]\.?[Mm]\.?$")


class Stamps:
    """Takes the times of a file chunk by chunk, as pandas Series, and gives seconds.

    Args:
        name, unit: of the column.
        where: the file, for messages.
    """

    def __init__(self, name: str, unit: str, where: str | Path):
        self.name, self.unit, self.where = name, unit, where
        self.kind = ""  # "number", "date" or "clock" from the first chunk on
        self.base: float | int | None = None
        self.wrap_s = DAY_S
        self.format: str | None = None
        self.month_first = False
        self.column: Growing | Spilled = Growing()

    def add(self, column, first_row: int) -> None:
        """One more chunk; `first_row` counts the rows of data before it.

        Raises:
            RecordingError: a cell is neither a number nor a time.
        """
        import pandas as pd

        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            self._nanoseconds(column, "date")
            return
        if pd.api.types.is_timedelta64_dtype(column.dtype):
            self.wrap_s = np.inf  # a time since the start does not begin anew at midnight
            self._nanoseconds(column, "clock")
            return
        if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
            if self.kind in ("date", "clock") and column.notna().any():
                raise self._odd(column, column.notna(), first_row)
            self._numbers(column)
            return
        if self.kind in ("", "date") and self.format is None and (dates := self._plain_dates(column)) is not None:
            self._nanoseconds(dates, "date")
            return
        text = column.astype("string").str.strip()
        known = text.notna() & ~text.str.lower().isin(_missing())
        if self.kind in ("", "number"):
            numbers = pd.to_numeric(text.where(known), errors="coerce")
            if self.kind == "number" or numbers.notna().sum() > 0.5 * known.sum():
                if (known & numbers.isna()).any():
                    raise self._odd(text, known & numbers.isna(), first_row)
                self._numbers(numbers)
                return
        if not known.any():
            self.column.add(np.full(len(column), np.nan))
            return
        self._words(text.where(known), known, first_row)

    @staticmethod
    def _plain_dates(column):
        """Dates in ISO 8601, which is most of those that are met, without a look at each cell; else None."""
        import pandas as pd

        first = column.first_valid_index()
        if first is None or not re.match(r"\d{4}-\d{2}-\d{2}", str(column.loc[first])):
            return None
        try:
            return pd.to_datetime(column, format="ISO8601", utc=True)
        except (ValueError, TypeError, OverflowError):
            return None

    def _numbers(self, column) -> None:
        self.kind = self.kind or "number"
        plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu"
        values = column.to_numpy() if plain else column.to_numpy(dtype=np.float64, na_value=np.nan)
        if self.base is None:
            finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
            if len(finite) == 0:
                self.column.add(np.full(len(values), np.nan))
                return
            self.base = finite[0]
        if values.dtype.kind in "iu" and isinstance(self.base, np.integer):
            # Nanoseconds since 1970 need all 64 bits until the first is taken off.
            self.column.add((values.astype(np.int64) - np.int64(self.base)).astype(np.float64))
            return
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype(np.float64) - float(self.base)
        values[~np.isfinite(values)] = np.nan
        self.column.add(values)

    def _words(self, text, known, first_row: int) -> None:
        import pandas as pd

        sample = text[known].iloc[0]
        if _HALF_DAY.search(sample):
            self.month_first = True  # who writes AM and PM writes the month first
            text = _in_24_hours(text)
            sample = text[known].iloc[0]
        if (self.kind or ("clock" if _CLOCK.match(sample) else "date")) == "clock":
            found = self._clock(text.str.replace(",", ".", regex=False))
            kind = "clock"
        else:
            found = self._dates(text.str.replace(r"(?<=\d),(?=\d+\D*$)", ".", regex=True))
            kind = "date"
        if (found.isna() & known).any():
            raise self._odd(text, known & found.isna(), first_row)
        self._nanoseconds(pd.Series(found), kind)

    def _clock(self, text):
        import pandas as pd

        sample = text.dropna().iloc[0]
        if sample.count(":") == 3:
            # hh:mm:ss:mmm
            text = text.str.replace(r":(\d{1,6})$", r".\1", regex=True)
        elif sample.count(":") == 1:
            # Spreadsheets show minutes and seconds only; the hours are gone.
            self.wrap_s = HOUR_S
            text = "00:" + text
        return pd.to_timedelta(text, errors="coerce")

    def _dates(self, text):
        import pandas as pd
        from pandas.tseries.api import guess_datetime_format

        if self.format is None:
            found = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
            if found.notna().sum() >= text.notna().sum():
                return found
            best = None
            for day_first in (not self.month_first, self.month_first):
                pattern = guess_datetime_format(text.dropna().iloc[0], dayfirst=day_first)
                if pattern is None:
                    continue
                found = self._formatted(text, pattern)
                span = (found.max() - found.min()).total_seconds() if found.notna().any() else np.inf
                score = (int(found.isna().sum()), span)
                if best is None or score < best[0]:
                    best = (score, pattern, found)
            if best is None:
                return pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
            self.format = best[1]
            return best[2]
        return self._formatted(text, self.format)

    @staticmethod
    def _formatted(text, pattern: str):
        import pandas as pd

        found = pd.to_datetime(text, format=pattern, utc=True, errors="coerce")
        # A whole second is written without its fraction.
        for other in {pattern.replace(".%f", ""), pattern.replace("%S", "%S.%f") if "%f" not in pattern else pattern}:
            if found.isna().sum() > text.isna().sum():
                found = found.fillna(pd.to_datetime(text, format=other, utc=True, errors="coerce"))
        return found

    def _nanoseconds(self, column, kind: str) -> None:
        if self.kind and self.kind != kind:
            raise RecordingError(
                "is a number in some rows and a date in others",
                where=self.where,
                field=self.name,
                cure="Write all times alike",
            )
        self.kind = kind
        missing = column.isna().to_numpy()
        dtype = "timedelta64[ns]" if kind == "clock" else None
        if kind == "date" and getattr(column.dtype, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        values = column.to_numpy().astype(dtype or "datetime64[ns]").astype(np.int64)
        if missing.all():
            self.column.add(np.full(len(values), np.nan))
            return
        if self.base is None:
            self.base = int(values[~missing][0])
        rel = (values - np.int64(self.base)).astype(np.float64)
        rel[missing] = np.nan
        self.column.add(rel)

    def _odd(self, text, bad, first_row: int) -> RecordingError:
        at = int(np.argmax(np.asarray(bad, dtype=bool)))
        return RecordingError(
            f"'{str(text.iloc[at])[:40]}' in row {first_row + at + 1} is no time", where=self.where, field=self.name,
            cure="Write times as numbers, dates or hh:mm:ss, all alike",
        )  # fmt: skip

    def spill(self) -> None:
        """Go on in a file: the column is too long for memory."""
        if isinstance(self.column, Growing):
            spilled = Spilled()
            spilled.add(self.column.take())
            self.column = spilled

    def seconds(self, rate_hz: float | None) -> tuple[np.ndarray | Spilled, float | None]:
        """(float64 (rows,) seconds from the first, NaN where missing; the first since 1970, or None).

        Args:
            rate_hz: what a counter of samples counts, if this is one.

        Raises:
            RecordingError: the unit cannot be told, or contradicts the column's name.
        """
        t: np.ndarray | Spilled = self.column if isinstance(self.column, Spilled) else self.column.take()
        if isinstance(t, Spilled) and not t.rising:
            t = np.asarray(t)  # what has to be mended is mended in memory
        if self.kind in ("date", "clock"):
            t = _times(t, 1e-9)
            if self.kind == "clock":
                _unwrap(t, self.wrap_s)
                return t, None
            return t, self.base * 1e-9 if EPOCH_S[0] <= self.base * 1e-9 <= EPOCH_S[1] else None
        base = float(self.base) if self.base is not None else 0.0
        for bits in COUNTER_BITS:
            _run_over(t, base, float(2**bits))
        if rate_hz is not None and np.median(np.diff(t[:SOME])) == 1.0:
            _run_over(t, base, BYTE)
        unit = self._unit(base, t, rate_hz)
        t = _times(t, unit)
        start = base * unit
        return t, start if unit in BY_STEP and EPOCH_S[0] <= start <= EPOCH_S[1] else None

    def _unit(self, base: float, t: np.ndarray | Spilled, rate_hz: float | None) -> float:
        """Seconds per unit: by name, by size (times since 1970), else by step: one unit only makes it a PPG's."""
        step = slope(t if isinstance(t, Spilled) or np.isfinite(t.sum()) else t[np.isfinite(t)])
        if not step > 0:
            return 1.0
        fitting = [unit for unit in BY_STEP if MIN_RATE_HZ <= 1.0 / (step * unit) <= MAX_RATE_HZ]
        told = named_unit(self.name, self.unit)
        if told is None:
            told = next((u for u in BY_STEP if EPOCH_S[0] <= base * u <= EPOCH_S[1] and base > 1e8), None)
        if told is None and any(low <= base <= high for low, high in DAY_NUMBERS) and step < 1e-5:
            told = DAY_S
        if told is None and any(low <= base <= high for low, high in TICKS):
            told = TICK_S
        if told is not None:
            if told in fitting or MIN_RATE_HZ <= 1.0 / (step * told) <= MAX_RATE_HZ:
                return told
            other = f"; as {UNIT_NAMES[fitting[0]]} it would be {1.0 / (step * fitting[0]):.4g} Hz" if fitting else ""
            raise RecordingError(
                f"steps by {step:.4g}: in {UNIT_NAMES.get(told, 'days')} that is {1.0 / (step * told):.3g} Hz{other}",
                where=self.where, field=self.name, cure="Write the right unit into the column's name",
            )  # fmt: skip
        if step == 1.0:
            if rate_hz is not None:
                return 1.0 / rate_hz
            raise RecordingError(
                "steps by exactly 1: milliseconds or a count of samples", where=self.where, field=self.name,
                cure="Call it time_ms if it is milliseconds, else give rate_hz (--rate-hz)",
            )  # fmt: skip
        if not fitting:
            raise RecordingError(
                f"steps by {step:.4g}: no unit makes that {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz", where=self.where,
                field=self.name, cure="Name another column time, or give rate_hz without one",
            )  # fmt: skip
        found = 1.0 / (step * fitting[0])
        if fitting[0] != 1.0 and not GUESSED_HZ[0] <= found <= GUESSED_HZ[1]:
            raise RecordingError(
                f"steps by {step:.4g}: as {UNIT_NAMES[fitting[0]]} that is {found:.4g} Hz, which no PPG is likely to be",
                where=self.where, field=self.name,
                cure="Write the unit into the column's name (time_ms, time_us), or the times in seconds",
            )  # fmt: skip
        return fitting[0]


def _times(t: np.ndarray | Spilled, factor: float) -> np.ndarray | Spilled:
    return t.times(factor) if isinstance(t, Spilled) else np.multiply(t, factor, out=t)


def _in_24_hours(text):
    """`05/01/2024 11:59 PM` as `05/01/2024 23:59`; what is written otherwise stays."""
    import pandas as pd

    found = text.str.extract(r"^(.*?)(\d{1,2})(:\d{2}.*?)\s*([AaPp])\.?[Mm]\.?$")
    hour = pd.to_numeric(found[1]) % 12 + 12 * (found[3].str.lower() == "p").astype("Int64")
    return text.where(found[1].isna(), found[0] + hour.astype("Int64").astype("string").str.zfill(2) + found[2])


def _unwrap(t: np.ndarray | Spilled, wrap_s: float) -> None:
    """Times of day that pass midnight, in place."""
    for i in falls(t)[:1000]:
        if t[i + 1] - t[i] < -0.5 * wrap_s:
            t[i + 1 :] += wrap_s


def _run_over(t: np.ndarray | Spilled, base: float, full: float) -> None:
    """A counter that ran over from `full` to 0, in place."""
    if not 0 <= base < full:
        return
    shift = 0.0
    for i in falls(t)[:10_000]:
        if t[i + 1] - t[i] < -0.9 * full and 0.95 * full <= t[i] + base - shift < full:
            t[i + 1 :] += full
            shift += full


def _missing() -> tuple[str, ...]:
    from onwrist.signals.recordings.readers.text import MISSING

    return MISSING
