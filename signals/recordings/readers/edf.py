"""EDF, EDF+ and BDF, whole, with pauses (EDF+D), or still being recorded."""

from __future__ import annotations

import datetime
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import MAX_JUMP_S, MAX_SAMPLES
from onwrist.signals.recordings.names import RESP_NAMES, find_ecg, find_one, need_ppg
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.precision import single
from onwrist.signals.recordings.recording import Channel, Recording

HEADER, SIGNAL_HEADER = 256, 256
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
ONSET = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15[^\x14]*)?\x14")


@dataclass(frozen=True)
class _Frame:
    """The numbers of an EDF header that say where records lie.

    Attributes:
        header_bytes, record_bytes: of the file.
        records: how many the header says; -1 while it is being recorded.
        present: how many whole ones the file holds.
        seconds: length of one.
        broken: whether it has pauses.
        annotations: byte range of the first annotation signal in a record, or None.
    """

    header_bytes: int
    record_bytes: int
    records: int
    present: int
    seconds: float
    broken: bool
    annotations: tuple[int, int] | None


def read_edf(path: Path, asked: Asked) -> Recording:
    """An EDF or BDF file; pauses of a discontinuous one are NaN.

    Raises:
        RecordingError: damaged, cut off, no PPG, or records in disorder.
    """
    import pyedflib

    asked.no_segments()
    frame = _frame(path, asked)
    onsets = _onsets(path, frame, asked) if frame.broken else None
    notices: list[str] = []
    if frame.records < 0:
        notices.append(f"the header calls it unfinished: the {frame.present} records that are there are read")
    with (
        _readable(path, frame) as readable,
        pyedflib.EdfReader(
            str(readable), pyedflib.DO_NOT_READ_ANNOTATIONS if frame.broken else pyedflib.READ_ALL_ANNOTATIONS
        ) as edf,
    ):
        names = edf.getSignalLabels()
        units = [edf.getPhysicalDimension(i) for i in range(len(names))]
        wanted = need_ppg(names, asked.channel, asked.name, notices)

        def take(at: int) -> Channel:
            rate = float(edf.getSampleFrequency(at))
            x = edf.readSignal(at)
            samples, offset = single(x if onsets is None else _spread(x, rate, onsets, frame, asked))
            rate = asked.rate(rate, names[at]) if at == wanted else rate
            return Channel(samples, rate, names[at].strip(), units[at].strip(), offset=offset)

        def beside(at: int | None) -> Channel | None:
            return None if at is None else take(at)

        try:
            start = edf.getStartdatetime().replace(tzinfo=datetime.UTC).timestamp()
        except ValueError:
            start = None
        person = asked.subject or edf.getPatientCode().strip() or asked.stem
        return Recording(
            take(wanted), person, asked.name, start, ecg=beside(find_ecg(names, units, wanted)),
            resp=beside(find_one(names, RESP_NAMES, wanted)), notices=tuple(notices),
        )  # fmt: skip


def _frame(path: Path, asked: Asked) -> _Frame:
    """What the header says about records, checked against the file's size.

    Raises:
        RecordingError: not an EDF header, cut off, or absurdly long.
    """
    with path.open("rb") as file:
        head = file.read(HEADER)
        try:
            signals = int(head[252:256])
            names_etc = file.read(signals * SIGNAL_HEADER) if 0 < signals <= 4096 else b""
            numbers = [int(names_etc[216 * signals + 8 * i : 216 * signals + 8 * i + 8]) for i in range(signals)]
            header_bytes, records, seconds = int(head[184:192]), int(head[236:244]), float(head[244:252])
        except ValueError:
            raise RecordingError("is no EDF file: its header holds no numbers", where=asked.name, field="header",
                                 cure="The file is damaged or of another kind") from None  # fmt: skip
    width = 3 if head[:1] == b"\xff" else 2
    record_bytes = width * sum(numbers)
    if (
        signals < 1
        or min(numbers, default=0) < 0
        or record_bytes <= 0
        or header_bytes != HEADER * (signals + 1)
        or records < -1
    ):
        raise RecordingError(
            "the header contradicts itself",
            where=asked.name,
            field="header",
            cure="The file is damaged: export it again",
        )
    present = (path.stat().st_size - header_bytes) // record_bytes
    if records > present:
        raise RecordingError(
            f"the header says {records} records, the file holds {max(present, 0)}", where=asked.name, field="header",
            cure="Copy the file again; it is cut off",
        )  # fmt: skip
    if present < 1 or records == 0:
        raise RecordingError("holds no record yet", where=asked.name, field="header", cure="Wait until there is one")
    at, annotations = 0, None
    for i, n in enumerate(numbers):
        label = names_etc[16 * i : 16 * i + 16].decode("latin-1").strip()
        if label in ANNOTATIONS and annotations is None:
            annotations = (at, at + width * n)
        at += width * n
    broken = head[192:197] in (b"EDF+D", b"BDF+D")
    return _Frame(
        header_bytes, record_bytes, records, present if records < 0 else records, seconds, broken, annotations
    )


@contextmanager
def _readable(path: Path, frame: _Frame) -> Iterator[Path]:
    """The file itself, or a copy whose header says what is there, for the two kinds that EDFlib does not open."""
    if frame.records >= 0 and not frame.broken:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="onwrist_") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        with copy.open("r+b") as file:
            file.truncate(frame.header_bytes + frame.present * frame.record_bytes)
            file.seek(236)
            file.write(f"{frame.present:<8d}".encode())
            if frame.broken:
                file.seek(196)
                file.write(b"C")
        yield copy


def _onsets(path: Path, frame: _Frame, asked: Asked) -> np.ndarray:
    """float64 (records,): when each record starts, seconds from the first, from its time-keeping annotation.

    Raises:
        RecordingError: no annotations, one without a time, records in disorder, or a pause of more than a day.
    """
    if frame.annotations is None:
        raise RecordingError(
            "is discontinuous (EDF+D) and does not say when its records start", where=asked.name, field="EDF Annotations",
            cure="Export it again as EDF+",
        )  # fmt: skip
    first, last = frame.annotations
    onsets = np.zeros(frame.present)
    with path.open("rb") as file:
        for i in range(frame.present):
            file.seek(frame.header_bytes + i * frame.record_bytes + first)
            found = ONSET.match(file.read(last - first))
            if found is None:
                raise RecordingError(
                    f"record {i + 1} does not say when it starts", where=asked.name, field="EDF Annotations",
                    cure="Export it again as EDF+",
                )  # fmt: skip
            onsets[i] = float(found.group(1))
    onsets -= onsets[0]
    steps = np.diff(onsets)
    if len(steps) and steps.min() < frame.seconds * 0.999:
        raise RecordingError(
            f"record {int(np.argmin(steps)) + 2} starts before the one before it ends", where=asked.name,
            field="EDF Annotations", cure="Export it again; its records are in disorder",
        )  # fmt: skip
    if len(steps) and steps.max() > MAX_JUMP_S:
        raise RecordingError(
            f"pauses for {steps.max() / 3600:.0f} hours before record {int(np.argmax(steps)) + 2}", where=asked.name,
            field="EDF Annotations", cure="Split the recording there",
        )  # fmt: skip
    return onsets


def _spread(x: np.ndarray, rate: float, onsets: np.ndarray, frame: _Frame, asked: Asked) -> np.ndarray:
    """Records laid where they belong, NaN between them."""
    each = len(x) // len(onsets)
    places = np.rint(onsets * rate).astype(np.int64)
    total = int(places[-1]) + each
    if total > MAX_SAMPLES:
        raise RecordingError(
            f"is spread over {total:,} samples", where=asked.name, cure="Split the recording at its pauses"
        )
    out = np.full(total, np.nan)
    for place, record in zip(places, x[: each * len(onsets)].reshape(len(onsets), each), strict=True):
        out[place : place + each] = record
    return out
