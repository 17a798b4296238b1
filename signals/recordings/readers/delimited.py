"""CSV and its relatives: tables of loggers, phones and spreadsheets, and lines like `IR=81234, Red=90211`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from onwrist.errors import RecordingError
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.table import Choice, Gathered, choose, of_kind, told_apart
from onwrist.signals.recordings.readers.text import MISSING, Dialect, find_dialect, is_comment, read_head
from onwrist.signals.recordings.readers.unpack import open_bytes
from onwrist.signals.recordings.recording import Recording

# A day at 64 Hz is 85 chunks; each takes some megabytes while it is read.
CHUNK_ROWS = 1 << 16
# More columns than this is no table of one person's signals.
MAX_COLUMNS = 4096
MISSING_WORDS = sorted(
    {w for m in MISSING for w in (m, m.upper(), m.capitalize())} | {"NaN", "NaT", "#N/A N/A", "-NaN"}
)
# `R[=8120] IR[=9312]`, `IR=9312, BPM=71`, `red:8120,ir:9312`: what serial monitors and plotters print.
_PAIR = re.compile(r"([A-Za-z][A-Za-z_ ]*\d?)\s*(?:\[=|=|:(?!\d\d\b.*:))\s*([-+]?\d+(?:\.\d+)?)\]?")
_MONITOR = re.compile(r"^\s*(\d{1,2}:\d{2}:\d{2}[.,]\d+)\s*->\s*")
PAIR_LINES = 20


def read_delimited(path: Path, asked: Asked) -> Recording:
    """A text table as a recording.

    Encodings, separators, decimal signs, remarks, unit rows and words for a missing sample are found out
    (`readers.text`); a last row that was cut off is left out.

    Raises:
        RecordingError: no table, no PPG column, a cell that is no number, no rate, or times that are no clock.
    """
    head, whole = read_head(path, open_bytes)
    if _of_pairs(head):
        table = _pairs_to_table(path, asked)
        dialect = find_dialect(table[: 1 << 17], len(table) <= 1 << 17, asked.name)

        def source():
            return io.BytesIO(table)
    else:
        dialect = find_dialect(head, whole, asked.name)

        def source():
            return open_bytes(path)

    if len(dialect.names) > MAX_COLUMNS:
        raise RecordingError(
            f"has {len(dialect.names):,} columns", where=asked.name, cure="Write one sample a row, one signal a column"
        )
    notices: list[str] = []
    choice = choose(dialect.names, dialect.units, dialect.rows, asked, dialect.named, notices, dialect.decimal)
    person, segment, kind = _rows_of(source, dialect, choice, asked, notices)
    gathered = Gathered(choice, dialect.names, dialect.units, asked)
    asked_for = [
        (c, v)
        for c, v in ((choice.person, person), (choice.segment, segment), (choice.kind, kind))
        if c is not None and v is not None
    ]
    wanted = [*choice.columns, *(c for c, _ in asked_for)]
    words = {c for c in (choice.person, choice.segment, choice.kind) if c is not None}
    for chunk in _chunks(source, dialect, wanted, asked, words):
        for column, value in asked_for:
            chunk = chunk[chunk[column].astype("string").str.strip() == value]
        if len(chunk):
            gathered.add(chunk, dialect.decimal)
    return gathered.recording(dialect.rate_hz, asked.subject or person or asked.stem, notices)


def _rows_of(
    source, dialect: Dialect, choice: Choice, asked: Asked, notices: list[str]
) -> tuple[str | None, str | None, str | None]:
    """Person, segment and sensor, where the table has columns for them: read once by themselves."""
    found: dict[int, set[str]] = {c: set() for c in (choice.person, choice.segment, choice.kind) if c is not None}
    if choice.segment is None:
        asked.no_segments()
    if not found:
        return None, None, None
    for chunk in _chunks(source, dialect, list(found), asked, set(found)):
        for column, values in found.items():
            values |= set(chunk[column].dropna().astype(str).str.strip().unique()) - {""}
    people, segments = (None if c is None else found[c] or None for c in (choice.person, choice.segment))
    if segments is not None and asked.segment is None and choice.time:
        # A session that goes on in the next row is one recording; the clock says if it is not.
        segments = None
    kind = None if choice.kind is None else of_kind(choice, found[choice.kind], asked, notices)
    return *told_apart(asked, people, segments), kind


def _chunks(source, dialect: Dialect, columns: list[int], asked: Asked, as_words: set) -> Iterator:
    """DataFrames of the columns, named by their numbers; remarks and a cut-off last row are gone."""
    import pandas as pd

    width = len(dialect.names)
    # All columns are parsed: with a choice of them, pandas does not look whether a row has too many cells.
    wanted = sorted({0, *columns})
    one = dialect.separator == ""
    options = {
        "header": None, "names": list(range(width)), "skiprows": dialect.skip,
        "sep": r"\s+" if dialect.separator is None else (dialect.separator or "\x1f"), "decimal": dialect.decimal,
        "na_values": MISSING_WORDS, "skipinitialspace": True, "chunksize": CHUNK_ROWS, "index_col": False,
        "encoding": dialect.encoding, "encoding_errors": "replace", "on_bad_lines": "error",
        # Of one column, an empty line is a missing sample.
        "skip_blank_lines": not (one or width == 1),
        "quoting": csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        "dtype": {c: str for c in as_words}, "low_memory": False,
    }  # fmt: skip
    try:
        with source() as file, pd.read_csv(file, **options) as reader:
            held = None
            for chunk in reader:
                if held is not None:
                    yield held
                held = _without_remarks(chunk[wanted])
            if held is not None:
                yield _without_cut_row(held, columns, width)
    except pd.errors.EmptyDataError:
        return
    except pd.errors.ParserError as error:
        raise _damaged(str(error), dialect, asked) from None
    except (UnicodeError, OverflowError) as error:
        raise RecordingError(f"is no text ({error})", where=asked.name, cure="Save it as UTF-8") from None


def _without_remarks(chunk):
    if chunk[0].dtype.kind in "iufb":
        return chunk
    first = chunk[0].astype("string")
    marked = first.str.startswith(("#", "%", "//")).fillna(False)
    if not marked.any():
        return chunk
    kept = chunk[~marked.map(bool)].copy()
    for column in kept.columns:
        if kept[column].dtype.kind not in "iuf":
            kept[column] = kept[column].infer_objects()
    return kept


def _without_cut_row(chunk, columns: list[int], width: int):
    """A recording that was stopped hard ends within a row: with fewer cells, of which the last is a piece of one."""
    if len(chunk) < 2:
        return chunk
    if width == 1:
        while len(chunk) > 1 and chunk.iloc[-1].isna().all():
            chunk = chunk.iloc[:-1]
        return chunk
    last = chunk.iloc[-1]
    empty = last.isna()
    filled_before = chunk.iloc[-min(len(chunk), 50) : -1].notna().mean() > 0.5
    return chunk.iloc[:-1] if (empty & filled_before).any() else chunk


def _damaged(message: str, dialect: Dialect, asked: Asked) -> RecordingError:
    """pandas' words for a damaged line in ours, with the number of the line in the file."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if found:
        return RecordingError(
            f"line {found.group(2)} has {found.group(3)} cells, not {found.group(1)}",
            where=asked.name,
            cure="Mend the line",
        )
    found = re.search(r"inside string starting at row (\d+)", message)
    if found:
        return RecordingError(
            f"a quote is opened in line {int(found.group(1)) + dialect.skip} and never closed", where=asked.name,
            cure="Close it, or take the quotes out",
        )  # fmt: skip
    return RecordingError(
        f"is no table ({message.strip()[:120]})", where=asked.name, cure="Check that the file is complete"
    )


def _of_pairs(head: bytes) -> bool:
    """Whether a file holds lines of names and values."""
    lines = [line for line in head.decode("latin-1").splitlines()[:200] if line.strip() and not is_comment(line)]
    lines = lines[-PAIR_LINES - 1 : -1] or lines
    return len(lines) > 2 and sum(len(_PAIR.findall(_MONITOR.sub("", line))) > 0 for line in lines) > 0.8 * len(lines)


def _pairs_to_table(path: Path, asked: Asked) -> bytes:
    """Lines of names and values as CSV; lines of other words are a microcontroller's greeting and are left out."""
    names: list[str] = []
    out = io.StringIO()
    with open_bytes(path) as file:
        for line in io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace"):
            clock = _MONITOR.match(line)
            pairs = {n.strip(): v for n, v in _PAIR.findall(line[clock.end() :] if clock else line)}
            if not pairs:
                continue
            if clock:
                pairs = {"time": clock.group(1).replace(",", "."), **pairs}
            if not names:
                names = list(pairs)
                out.write(",".join(names) + "\n")
            out.write(",".join(pairs.get(n, "") for n in names) + "\n")
    return out.getvalue().encode()
