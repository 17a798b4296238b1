"""What a worker does: play the recordings of one part, write their rows, and put down a marker when all of it is there.

The marker is written last and holds the file's hash: a part is done when its marker is. Whoever plays a part a second time
writes the same bytes.
"""

from __future__ import annotations

import json
import pickle
import posixpath
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from onwrist.errors import OnwristError
from onwrist.firmware_sim.study.kit import Kit, read_kit
from onwrist.firmware_sim.study.light import light
from onwrist.firmware_sim.study.plan import Setting, Source, in_sample
from onwrist.firmware_sim.study.players import Player, make_player
from onwrist.firmware_sim.study.real import Beside, RealStudent
from onwrist.firmware_sim.study.reference import find_intervals, movement, truth
from onwrist.firmware_sim.study.store import Store, at_hand, digest_of
from onwrist.firmware_sim.study.table import (
    FLOAT,
    HOPS,
    IRREGULAR,
    MARKERS,
    ROW_GROUP,
    constant,
    hop_schema,
    hop_writer,
    nullable,
)
from onwrist.signals.recordings.readers import iter_hdf5, read_recording
from onwrist.signals.recordings.recording import Recording

HDF5 = (".h5", ".hdf5")
# What is said of a recording whose process died, where the system does not say why.
KILLED = "ended the process that played it (out of memory, or a fault of a library)"


@dataclass(frozen=True)
class Job:
    """One part.

    Attributes:
        out: the study's folder. setting: how to play. number: of the part. sources: its recordings.
        apart: play every recording in a process of its own, since one of them ended a worker.
    """

    out: str
    setting: Setting
    number: int
    sources: tuple[Source, ...]
    apart: bool = False

    @property
    def hops(self) -> str:
        """Its rows, below the study's folder."""
        return f"{HOPS}/{self.number:06d}.parquet"

    @property
    def marker(self) -> str:
        """Its marker, below the study's folder."""
        return f"{MARKERS}/{self.number:06d}.json"


@dataclass(frozen=True)
class Played:
    """What a source gave: rows, what `recordings.parquet` says of its recordings, and what failed."""

    rows: list[pa.Table]
    recordings: list[dict[str, Any]]
    failures: list[dict[str, str]]


def play_part(job: Job) -> dict[str, Any]:
    """Play a part, unless it is done; returns its marker.

    Raises:
        ConfigError: the study's folder cannot be read or written. Whatever is wrong with a recording is in the marker.
    """
    store = Store(job.out)
    if store.exists(job.marker):
        return json.loads(store.read(job.marker))
    kit = read_kit(job.out, job.setting.digest)
    schema = hop_schema(kit)
    recordings, failures = [], []
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "rows.parquet"
        with hop_writer(local, schema) as writer:
            for source in job.sources:
                played = _play_apart(job, source) if job.apart else play_source(job, source)
                for rows in played.rows:
                    writer.write_table(rows, ROW_GROUP)
                recordings += played.recordings
                failures += played.failures
        found = {
            "file": job.hops, "sha256": digest_of(local), "bytes": local.stat().st_size,
            "rows": sum(r["hops"] for r in recordings), "recordings": recordings, "failures": failures,
        }  # fmt: skip
        store.publish(local, job.hops)
    store.write(job.marker, (json.dumps(found, indent=1) + "\n").encode())
    return found


def play_source(job: Job, source: Source) -> Played:
    """Play every recording of a source. One that fails leaves no rows, and its error in one line."""
    played = Played([], [], [])
    name, here = source.name, source.url
    try:
        with at_hand(source.url) as path:
            here = str(path)
            digest = digest_of(path)
            for name, recording in recordings_of(path, source.name, job.setting):
                rows, summary = _play(job, name, recording)
                played.rows.append(rows)
                played.recordings.append({**summary, "sha256": digest})
    except OnwristError as error:
        played.failures.append(_failure(name, type(error).__name__, _of_any_machine(str(error), here, source.name)))
    except Exception as error:
        lines = str(error).splitlines()
        text = f"fault: {lines[0] if lines else 'no message'}"
        played.failures.append(_failure(name, type(error).__name__, _of_any_machine(text, here, source.name)))
    return played


def _of_any_machine(text: str, here: str, name: str) -> str:
    """An error in one line, without the folders of the machine that met it."""
    return " ".join(text.replace(here, name).replace(posixpath.dirname(here) + "/", "").splitlines())


def _failure(name: str, kind: str, text: str) -> dict[str, str]:
    return {"recording": name, "kind": kind, "error": text}


def recordings_of(path: Path, name: str, setting: Setting) -> Iterator[tuple[str, Recording]]:
    """(name, recording) of every recording of a file.

    Raises:
        RecordingError: it cannot be read.
    """
    if path.suffix.lower() not in HDF5:
        yield name, read_recording(path, rate_hz=setting.rate_hz, channel=setting.channel, spill=True)
        return
    for recording in iter_hdf5(path, rate_hz=setting.rate_hz):
        yield name + recording.source.removeprefix(str(path)), recording


@lru_cache(maxsize=1)
def _tools(out: str, setting: Setting) -> tuple[Kit, Player, pa.Schema]:
    kit = read_kit(out, setting.digest)
    return kit, make_player(kit, setting), hop_schema(kit)


@lru_cache(maxsize=1)
def _real(out: str, setting: Setting) -> RealStudent:
    return RealStudent(read_kit(out, setting.digest), setting)


def _play(job: Job, name: str, recording: Recording) -> tuple[pa.Table, dict[str, Any]]:
    setting = job.setting
    kit, player, schema = _tools(job.out, setting)
    compared = in_sample(name, setting.float_share)

    def pieces():
        return light(recording, setting.sensor_hz, setting.bits)

    real = Beside(_real(job.out, setting).outputs(pieces())) if compared else None
    intervals = find_intervals(recording)
    person = _person(recording)
    tables = []
    for block in player.play(pieces()):
        count = len(block)
        columns: dict[str, Any] = {
            "person": constant(person, count), "recording": constant(name, count), "time_s": block.time_s,
            "why": block.why, "shown": block.why == 0,
        }  # fmt: skip
        units = kit.answer_units()
        for i, (answer, column) in enumerate(units.items()):
            columns[column] = kit.in_units(answer, block.answers[:, i])
        flagged = columns[units[IRREGULAR]] > 0 if IRREGULAR in units else np.zeros(count, bool)
        columns["flagged"] = columns["shown"] & flagged
        empty = np.full(count, np.nan)
        taken = real.take(count) if real else None
        columns["cosine"] = nullable(_cosine(block.embedding, taken[0]) if taken else empty)
        for i, (answer, column) in enumerate(units.items()):
            columns[column + FLOAT] = nullable(kit.real_units(answer, taken[1][:, i]) if taken else empty)
        rate, irregular = truth(intervals, block.time_s)
        columns["true_bpm"], columns["true_irregular"] = nullable(rate), nullable(irregular, pa.bool_())
        columns["movement_g"] = nullable(movement(recording, block.time_s, setting.hop_s))
        tables.append(pa.table([columns[f.name] for f in schema], schema=schema))
    rows = pa.concat_tables(tables) if tables else schema.empty_table()
    summary = {
        "recording": name, "person": person, "start_unix": recording.start_unix, "seconds": recording.seconds,
        "missing": recording.missing, "hops": len(rows), "shown": int(np.count_nonzero(rows["why"].to_numpy() == 0)),
        "reference": intervals.source, "compared": compared, "counters": json.dumps(player.counters()),
    }  # fmt: skip
    return rows, summary


def _person(recording: Recording) -> str:
    from onwrist.signals.people.split import person_of

    return person_of(recording.subject)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # Rounded, so that the last bits of a float sum do not become bytes of a result.
    return np.round(np.sum(a * b, axis=1) / np.where(size > 0, size, 1.0), 6)


# --- a process of its own ----------------------------------------------------------------------------


def _play_apart(job: Job, source: Source) -> Played:
    """As `play_source`, in a process that may die."""
    with tempfile.TemporaryDirectory() as folder:
        sink = Path(folder) / "rows.parquet"
        command = [sys.executable, "-c", f"from {__name__} import child; child()"]
        given = pickle.dumps((replace(job, apart=False), source, str(sink)))
        done = subprocess.run(command, input=given, capture_output=True)
        if done.returncode:
            return Played([], [], [_failure(source.name, "Killed", f"{source.name}: {KILLED}")])
        said = json.loads(done.stdout.splitlines()[-1])
        return Played([pq.read_table(sink)], said["recordings"], said["failures"])


def child() -> None:
    """The process of `_play_apart`: a pickled job on standard input, rows in a file, the rest as JSON on standard output."""
    job, source, sink = pickle.load(sys.stdin.buffer)
    played = play_source(job, source)
    schema = hop_schema(read_kit(job.out, job.setting.digest))
    with hop_writer(sink, schema) as writer:
        for rows in played.rows:
            writer.write_table(rows, ROW_GROUP)
    sys.stdout.write("\n" + json.dumps({"recordings": played.recordings, "failures": played.failures}))
