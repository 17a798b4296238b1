"""The rows of a study: one per hop, one per recording, one per failure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from onwrist.firmware_sim.study.kit import Kit
from onwrist.firmware_sim.study.plan import SCHEMA_VERSION

HOPS, MARKERS = "hops", "parts"
RECORDINGS, FAILURES, MANIFEST, PLAN = "recordings.parquet", "failures.parquet", "manifest.json", "plan.json"
# Rows of a row group: what a writer holds at once.
ROW_GROUP = 1 << 16
# Answers of the float student have the answer's column name and this behind it.
FLOAT = "_float"
IRREGULAR = "irregular"


def hop_schema(kit: Kit) -> pa.Schema:
    """Columns of a hop. `why` is a sum of bits, 0 where the output is shown; their names are in the metadata."""
    answers = list(kit.answer_units().values())
    text, number = pa.dictionary(pa.int32(), pa.string()), pa.float32()
    fields = [
        pa.field("person", text), pa.field("recording", text), pa.field("time_s", pa.float64()),
        *(pa.field(name, number) for name in answers),
        pa.field("why", pa.uint8()), pa.field("shown", pa.bool_()), pa.field("flagged", pa.bool_()),
        pa.field("cosine", number), *(pa.field(name + FLOAT, number) for name in answers),
        pa.field("true_bpm", number), pa.field("true_irregular", pa.bool_()), pa.field("movement_g", number),
    ]  # fmt: skip
    why = " ".join(f"{bit}={name}" for name, bit in kit.sources["reasons"].items())
    return pa.schema(fields, {"onwrist_schema": str(SCHEMA_VERSION), "why": why, "student": kit.digest})


RECORDING_SCHEMA = pa.schema(
    {
        "recording": pa.string(), "person": pa.string(), "sha256": pa.string(), "start_unix": pa.float64(),
        "seconds": pa.float64(), "missing": pa.float64(), "hops": pa.int64(), "shown": pa.int64(), "reference": pa.string(),
        "compared": pa.bool_(), "counters": pa.string(),
    }
)  # fmt: skip
FAILURE_SCHEMA = pa.schema({"recording": pa.string(), "kind": pa.string(), "error": pa.string()})


def nullable(values: np.ndarray, kind: pa.DataType = pa.float32()) -> pa.Array:
    """An array with NaN as null."""
    if pa.types.is_boolean(kind):
        return pa.array(values > 0.5, kind, mask=np.isnan(values))
    return pa.array(values.astype(np.float32), kind, mask=np.isnan(values))


def constant(text: str, count: int) -> pa.DictionaryArray:
    """One text in every row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def hop_writer(sink, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer whose bytes follow from its rows alone."""
    names = [f.name for f in schema if pa.types.is_dictionary(f.type)] + ["why"]
    return pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=names, version="2.6")


def parquet_bytes(rows: Iterable[dict], schema: pa.Schema) -> bytes:
    """A small table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), sink, compression="zstd", version="2.6")
    return sink.getvalue().to_pybytes()
