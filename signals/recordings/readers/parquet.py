"""Parquet tables: columns as in a CSV, with types of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import MAX_SAMPLES
from onwrist.signals.recordings.names import find_ppg
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.table import Choice, Gathered, choose, of_kind, told_apart
from onwrist.signals.recordings.recording import Recording

SAMPLE_ROWS = 300
BATCH_ROWS = 200_000


def read_parquet(path: Path, asked: Asked) -> Recording:
    """A Parquet table as a recording; columns are chosen as those of a CSV.

    Raises:
        RecordingError: no PPG column, no rate, or times that are no clock.
    """
    import pyarrow
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows > MAX_SAMPLES:
            raise RecordingError(
                f"claims {file.metadata.num_rows:,} rows", where=asked.name, cure="Split the recording"
            )
        if file.metadata.num_rows == 0:
            raise RecordingError("has no rows", where=asked.name, cure="Check that the file is complete")
        names = list(file.schema_arrow.names)
        plain = [
            n for n in names
            if (not pyarrow.types.is_nested(file.schema_arrow.field(n).type) and n != "__index_level_0__") or _is_time(file, n)
        ]  # fmt: skip
        lists = [n for n in names if n not in plain and n != "__index_level_0__"]
        if not plain or (find_ppg(plain)[0] is None and find_ppg(lists)[0] is not None and asked.channel is None):
            odd = f" ({lists[0]} holds lists)" if lists else ""
            raise RecordingError(f"has no column of numbers{odd}", where=asked.name, cure="Store one sample a row")
        batch = next(file.iter_batches(SAMPLE_ROWS, columns=plain))
        head = pyarrow.Table.from_batches([batch]).to_pandas(ignore_metadata=True)[plain]
        rows = [
            tuple("" if v is None or v != v else str(v) for v in row) for row in head.itertuples(index=False, name=None)
        ]
        notices: list[str] = []
        choice = choose(plain, [""] * len(plain), rows, asked, True, notices)
        person, segment, kind = _rows_of(file, plain, choice, asked, notices)
        gathered = Gathered(choice, plain, [""] * len(plain), asked)
        keep = [
            (c, v)
            for c, v in ((choice.person, person), (choice.segment, segment), (choice.kind, kind))
            if c is not None and v is not None
        ]
        wanted = sorted({*choice.columns, *(c for c, _ in keep)})
        for batch in _batches(file, [plain[c] for c in wanted]):
            frame = pyarrow.Table.from_batches([batch]).to_pandas(ignore_metadata=True)
            frame = frame[[plain[c] for c in wanted]]
            frame.columns = wanted
            for column, value in keep:
                frame = frame[frame[column].astype("string").str.strip() == value]
            if len(frame):
                gathered.add(frame)
        return gathered.recording(None, asked.subject or person or asked.stem, notices)


def _batches(file, columns: list[str]) -> Iterator:
    """Rows of some columns. Row group by row group: the package keeps what it has read until its iterator is done."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns)


def _is_time(file, name: str) -> bool:
    """A frame's index that holds times is a column like the others."""
    import pyarrow

    return pyarrow.types.is_temporal(file.schema_arrow.field(name).type)


def _rows_of(
    file, names: list[str], choice: Choice, asked: Asked, notices: list[str]
) -> tuple[str | None, str | None, str | None]:
    if choice.segment is None:
        asked.no_segments()
    found: dict[int, set[str] | None] = {}
    for column in (choice.person, choice.segment, choice.kind):
        if column is not None:
            values: set[str] = set()
            for batch in _batches(file, [names[column]]):
                values |= {str(v).strip() for v in batch.column(0).unique().to_pylist() if v is not None}
            found[column] = values or None
    people, segments = (None if c is None else found[c] for c in (choice.person, choice.segment))
    if segments is not None and asked.segment is None and choice.time:
        segments = None
    kind = None if choice.kind is None else of_kind(choice, found[choice.kind] or (), asked, notices)
    return *told_apart(asked, people, segments), kind
