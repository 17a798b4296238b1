"""A fleet's telemetry: one row per device and day, as Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError
from onwrist.export.sources.telemetry_rules import BYTES, HEADER, MAGIC, TelemetryRules, unpack

COLUMNS = ("device", "day", "model", "firmware")
COUNTERS = "telemetry"
CURE = f"Write columns {', '.join(COLUMNS)} (text) and {COUNTERS} (the {BYTES} bytes of onwrist_telemetry)"


@dataclass(frozen=True)
class Fleet:
    """Rows of a fleet.

    Attributes:
        device, day, model, firmware: str (n,). counters: int64 (n, 80).
    """

    device: np.ndarray
    day: np.ndarray
    model: np.ndarray
    firmware: np.ndarray
    counters: np.ndarray


def read_fleet(path: Path, rules: TelemetryRules) -> Fleet:
    """A fleet's table, each row of it by these rules.

    Raises:
        ConfigError: it cannot be read, lacks a column, has a value missing, or counts by other rules.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError(f"is no Parquet file ({str(error).splitlines()[0]})", where=path, cure=CURE) from None
    lacking = [name for name in (*COLUMNS, COUNTERS) if name not in table.column_names]
    if lacking:
        raise ConfigError(f"has no column {lacking[0]}", where=path, field=lacking[0], cure=CURE)
    if len(table) == 0:
        raise ConfigError("has no rows", where=path, cure=CURE)
    for name in (*COLUMNS, COUNTERS):
        if table[name].null_count:
            raise ConfigError("has rows without it", where=path, field=name, cure=CURE)
    rows = table[COUNTERS].to_pylist()
    for i, data in enumerate(rows):
        _check(data, rules, path, i)
    text = {name: np.array([str(v) for v in table[name].to_pylist()]) for name in COLUMNS}
    counters = np.stack([unpack(data) for data in rows])
    return Fleet(text["device"], text["day"], text["model"], text["firmware"], counters)


def _check(data: object, rules: TelemetryRules, path: Path, row: int) -> None:
    where = f"{path}, row {row}"
    if not isinstance(data, bytes) or len(data) != BYTES or data[: len(MAGIC)] != MAGIC:
        raise ConfigError(f"is not the {BYTES} bytes of onwrist_telemetry", where=where, field=COUNTERS, cure=CURE)
    if data[:HEADER] != rules.header:
        raise ConfigError(
            f"counts by other rules ({data[len(MAGIC) : HEADER].hex()}, not {rules.identity.hex()})", where=where, field=COUNTERS,
            cure="Use the bundle that these watches run, or leave rows of other firmware out",
        )  # fmt: skip


def write_fleet(path: Path, fleet: Fleet, rules: TelemetryRules) -> None:
    """Write a fleet's table."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    from onwrist.export.sources.telemetry_rules import pack
    from onwrist.writing import write_whole

    rows = [rules.header + pack(c) for c in fleet.counters]
    table = pa.table({**{n: getattr(fleet, n).tolist() for n in COLUMNS}, COUNTERS: pa.array(rows, pa.binary())})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    write_whole(path, sink.getvalue())
