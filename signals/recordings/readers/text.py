"""A text file before its cells are read: encoding, separator, decimal sign, header, unit rows, where the data begin."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onwrist.errors import RecordingError
from onwrist.signals.recordings.names import MISSING_WORDS

# What is looked at before a file is read; headers of loggers are a few kilobytes.
HEAD_BYTES = 1 << 17
HEAD_ROWS = 200
SAMPLE_ROWS = 60
COMMENT_MARKS = ("#", "%", "//", "!")
MISSING = (*MISSING_WORDS, "#na", "-nan")
# Separator and decimal sign, the likelier first; None is any run of blanks, "" a file of one column.
DIALECTS = ((",", "."), (";", ","), (";", "."), ("\t", "."), ("\t", ","), ("|", "."), ("|", ","), (None, "."), (None, ","),
            ("", "."), ("", ","), (",", ","))  # fmt: skip
# What typesetters and some locales write for a minus.
MINUS = "\u2212"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|[+-]?inf(inity)?$", re.IGNORECASE)
# A date (2024-05-01, 01/05/2024, 20240501T...) or a time of day, alone or together.
_WHEN = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?$|\d{8}T\d{4,}.*$|\d{1,3}:\d{2}(:\d{2}([.,]\d+)?)?.{0,8}$")
_RATE = re.compile(
    r"\b(?:sampl\w*[ _-]*(?:rate|freq\w*)|sr|fs|frequency|freq)\b[^\d\n]{0,24}?(\d+(?:\.\d+)?)\s*(k?hz)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Dialect:
    """How a text file writes its table.

    Attributes:
        encoding: of the whole file.
        separator: one character, None for runs of blanks, "" for one column.
        decimal: "." or ",".
        skip: lines before the first row of data.
        quoted: whether cells are in quotes.
        names, units: one a column; names are "column1" ... where the file has none.
        named: whether the names are the file's own.
        rate_hz: the rate that the lines above the table tell, or None.
        rows: cells of the first rows of data.
    """

    encoding: str
    separator: str | None
    decimal: str
    skip: int
    quoted: bool
    names: tuple[str, ...]
    units: tuple[str, ...]
    named: bool
    rate_hz: float | None
    rows: tuple[tuple[str, ...], ...]


def find_dialect(head: bytes, whole: bool, where: str | Path) -> Dialect:
    """The dialect of a file from its first bytes; `whole` where they are all of it.

    Raises:
        RecordingError: no text, empty, or no row of numbers.
    """
    encoding = find_encoding(head, whole, where)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head, final=whole)
    lines = re.split(r"\r\n|\n|\r", text)
    if not whole and len(lines) > 1:
        lines.pop()
    if not text.strip("\ufeff \t\r\n\x00"):
        raise RecordingError("is empty", where=where, cure="Check that the file is complete")
    prose: list[str] = []
    start, separator = len(lines), ""
    for i, line in enumerate(lines):
        bare = line.strip().strip('"').strip()
        if re.match(r"sep\s*=", bare, re.IGNORECASE):
            separator = bare.split("=", 1)[1].strip('"') or line.split("=", 1)[1][:1]
            separator = "\t" if separator.startswith("\\t") else separator
        elif bare and not is_comment(bare):
            start = i
            break
        elif bare:
            prose.append(bare)
    lines = lines[start : start + HEAD_ROWS]
    dialect = _best(lines, encoding, separator)
    if dialect is None:
        raise RecordingError(
            "has no row of numbers",
            where=where,
            cure="Give a table with one sample a row, or check that the file is complete",
        )
    above = prose + [" ".join(line.split()) for line in lines[: dialect.skip]]
    dialect = replace(dialect, skip=dialect.skip + start, rate_hz=_rate(above))
    return _of_comments(_of_labchart(dialect, lines[: dialect.skip - start]), prose)


def find_encoding(head: bytes, whole: bool, where: str | Path) -> str:
    """Encoding by byte-order mark, by zero bytes, or UTF-8 where it is valid, else Latin-1.

    Raises:
        RecordingError: zero bytes that are not UTF-16: no text at all.
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    if b"\0" in head:
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if odd > 0.8 * len(head[1::2]) and even == 0:
            return "utf-16-le"
        if even > 0.8 * len(head[0::2]) and odd == 0:
            return "utf-16-be"
        raise RecordingError("holds zero bytes: it is no text", where=where, cure="Give it the ending of its kind")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def is_comment(line: str) -> bool:
    """Whether a line is a remark; `#N/A` is a missing sample."""
    bare = line.lstrip().lstrip('"')
    return bare.startswith(COMMENT_MARKS) and not bare.lower().startswith(("#n/a", "#na"))


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no sample."""
    return cell.strip().lower() in MISSING


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell is a number in this decimal sign."""
    cell = cell.strip().replace(MINUS, "-")
    if decimal == ",":
        if "." in cell:
            return False
        cell = cell.replace(",", ".")
    return _NUMBER.match(cell) is not None


def is_when(cell: str) -> bool:
    """Whether a cell is a date or a time of day in words."""
    return _WHEN.match(cell.strip()) is not None


def split(lines: Sequence[str], separator: str | None) -> list[list[str]]:
    """Cells of lines."""
    if separator is None:
        return [line.split() for line in lines]
    if separator == "":
        return [[line.strip()] for line in lines]
    try:
        return list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return [line.split(separator) for line in lines]


def _best(lines: list[str], encoding: str, told: str) -> Dialect | None:
    """The dialect in which most cells of the last rows are numbers, and the rows of one length."""
    text = "\n".join(lines)
    best, best_score = None, (0.5,)
    for separator, decimal in DIALECTS:
        if told and separator != told:
            continue
        if (separator and separator not in text) or (decimal == "," and "," not in text):
            continue
        found = _read_as(lines, separator, decimal, encoding)
        if found is not None and found[0] > best_score:
            best_score, best = found
    return best


def _read_as(lines: list[str], separator: str | None, decimal: str, encoding: str):
    used = [i for i, line in enumerate(lines) if line.strip() and not is_comment(line)]
    quoted = any('"' in lines[i] for i in used)
    if separator == "," and decimal == "," and not quoted:
        return None
    # Line by line, so that one open quote does not swallow the rest.
    cells = {i: [c.strip() for c in (split([lines[i]], separator) or [[]])[0]] for i in used}

    def good(cell: str) -> bool:
        return is_number(cell, decimal) or is_when(cell)

    tail = [cells[i] for i in used[max(len(used) // 3, min(1, len(used) - 1)) :][-SAMPLE_ROWS:]]
    counts = [len(row) for row in tail]
    if not counts:
        return None
    width = max(set(counts), key=counts.count)
    filled = [c for row in tail for c in row if not is_missing(c)]
    if not filled:
        return None
    share = sum(map(good, filled)) / len(filled)
    numeric = _numeric_columns(tail, width, good)
    data = next((i for i in used if _is_row(cells[i], width, numeric, good)), None)
    if data is None:
        return None
    headers = [i for i in used if i < data]
    fitting = _header_rows(headers, cells, width, separator is None, good)
    names, units = _header([cells[i] for i in fitting], lines[fitting[0]] if fitting else "", separator, width)
    named = bool(names)
    # Rows may be longer by separators at their end, not by cells.
    wide = max([width, *(len(row) for row in tail if all(map(is_missing, row[width:])))])
    names = (names + [""] * wide)[: max(wide, len(names))] if named else [f"column{i + 1}" for i in range(wide)]
    units = (units + [""] * len(names))[: len(names)]
    rows = [tuple(cells[i]) for i in used if i >= data]
    consistent = counts.count(width) / len(counts)
    fits = 1.0 if not headers or (fitting and len(cells[fitting[0]]) == width) else 0.5
    score = (round(share, 2), fits, round(consistent, 2), min(width, 2), -DIALECTS.index((separator, decimal)))
    return score, Dialect(
        encoding, separator, decimal, data, quoted, tuple(names), tuple(units), named, None, tuple(rows)
    )


def _header_rows(headers: list[int], cells: dict[int, list[str]], width: int, blanks: bool, good) -> list[int]:
    """Lines of names and units: the rows of words right above the data that have the table's width."""
    found: list[int] = []
    for i in reversed(headers):
        if any(map(good, cells[i])):
            break
        if len(cells[i]) == width or (not found and (blanks or abs(len(cells[i]) - width) == 1)):
            found.insert(0, i)
        elif not blanks or len(found) > 1:
            break
        else:
            # Names with blanks inside, above a row of units.
            found.insert(0, i)
    return found


def _numeric_columns(rows: list[list[str]], width: int, good) -> list[int]:
    """Columns that hold numbers or times in most rows of a table."""
    found = []
    for i in range(width):
        filled = [row[i] for row in rows if i < len(row) and not is_missing(row[i])]
        if filled and sum(map(good, filled)) > 0.8 * len(filled):
            found.append(i)
    return found


def _is_row(row: list[str], width: int, numeric: list[int], good) -> bool:
    """A row of data: of the table's width or nearly, with numbers, times or missing samples where the table has them."""
    cells = [row[i] for i in numeric if i < len(row)]
    return abs(len(row) - width) <= 1 and any(map(good, cells)) and all(good(c) or is_missing(c) for c in cells)


def _header(rows: list[list[str]], line: str, separator: str | None, width: int) -> tuple[list[str], list[str]]:
    """Names from the first row of words, units from those below it."""
    if not rows:
        return [], []
    names = list(rows[0])
    if separator is None and len(names) != width:
        wider = re.split(r"\s{2,}", line.strip())
        names = wider if len(wider) == width else names
    units = [""] * len(names)
    for row in rows[1:]:
        units = [u if i >= len(row) or not row[i] else row[i].strip("()[] ") for i, u in enumerate(units)]
    return names, units


def _rate(lines: Sequence[str]) -> float | None:
    """The rate in the lines above a table: `Sampling rate: 64 Hz`."""
    for line in lines:
        found = _RATE.search(line.replace('"', " "))
        if found:
            rate = float(found.group(1)) * (1000.0 if (found.group(2) or "").lower() == "khz" else 1.0)
            if rate > 0:
                return rate
    return None


def _of_comments(dialect: Dialect, prose: Sequence[str]) -> Dialect:
    """Names and rate that stand in remarks: OpenSignals' JSON, or a header behind a `#`."""
    for line in prose:
        text = line.lstrip("#%!/ ")
        if text.startswith("{"):
            try:
                devices = list(json.loads(text).values())
            except (ValueError, RecursionError, AttributeError):
                continue
            if len(devices) == 1 and isinstance(devices[0], dict) and isinstance(devices[0].get("column"), list):
                return _of_opensignals(dialect, devices[0])
    if dialect.named or not prose:
        return dialect
    last = prose[-1].lstrip("#%!/ ")
    names = [c.strip() for c in (split([last], dialect.separator) or [[]])[0]]
    if len(names) == len(dialect.names) and len(names) > 1 and not any(is_number(n) or not n for n in names):
        return replace(dialect, names=tuple(names), named=True)
    return dialect


def _of_labchart(dialect: Dialect, above: Sequence[str]) -> Dialect:
    """LabChart: `ChannelTitle=` and `Interval=` above a table of times and signals."""
    told = {key: rest for key, found, rest in (line.partition("=") for line in above) if found}
    titles = [t.strip() for t in told.get("ChannelTitle", "").strip("\t").split("\t")]
    width = len(dialect.names)
    if not titles[0] or len(titles) >= width:
        return dialect
    interval = re.match(r"\s*([\d.]+)\s*s\b", told.get("Interval", ""))
    rate = 1.0 / float(interval[1]) if interval and float(interval[1]) > 0 else dialect.rate_hz
    names = ("time", *titles, *[""] * (width - 1 - len(titles)))
    return replace(dialect, names=names, units=("",) * width, named=True, rate_hz=rate)


def _of_opensignals(dialect: Dialect, device: dict) -> Dialect:
    """OpenSignals (BITalino, biosignalsplux): columns, and the sensors of the last of them."""
    names = [str(c) for c in device["column"]]
    sensors = [str(s) for s in device.get("sensor") or [] if isinstance(s, str)]
    for i, sensor in zip(range(len(names) - len(sensors), len(names)), sensors, strict=True):
        if i >= 0 and sensor.upper() not in ("RAW", "CUSTOM"):
            names[i] = sensor
    width = max(len(names), len(dialect.names))
    rate = device.get("sampling rate")
    return replace(
        dialect, names=tuple((names + [""] * width)[:width]), units=("",) * width, named=True,
        rate_hz=float(rate) if isinstance(rate, int | float) and rate > 0 else dialect.rate_hz,
    )  # fmt: skip


def read_head(path: Path, opener) -> tuple[bytes, bool]:
    """(first bytes, whether they are all)."""
    with opener(path) as file:
        head = file.read(HEAD_BYTES + 1)
    return head[:HEAD_BYTES], len(head) <= HEAD_BYTES
