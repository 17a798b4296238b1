"""WFDB records (PhysioNet): a header and its signal files."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import MAX_SAMPLES
from onwrist.signals.recordings.names import RESP_NAMES, find_ecg, find_one, need_ppg
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.precision import single
from onwrist.signals.recordings.recording import Channel, Recording

# Bytes a sample takes at least, by format; those that are missing here are compressed.
BYTES = {"8": 1, "80": 1, "16": 2, "61": 2, "160": 2, "24": 3, "32": 4, "212": 1.5, "310": 4 / 3, "311": 4 / 3}
MAX_NESTED = 2


def read_waveforms(path: Path, asked: Asked) -> Recording:
    """A WFDB record; segments that follow one another are one recording, as the format has it.

    Raises:
        RecordingError: a damaged or empty header, signal files that are missing or shorter than it says, or no PPG.
    """
    import wfdb

    asked.no_segments()
    stem = (
        path.with_suffix("")
        if path.suffix in (".hea", ".dat") or not path.with_name(path.name + ".hea").exists()
        else path
    )
    if not stem.with_name(stem.name + ".hea").exists():
        raise RecordingError("has no header beside it", where=asked.name, cure=f"Copy {stem.name}.hea too")
    _check(stem, asked, ())
    header = wfdb.rdheader(str(stem))
    pauses = "~" in getattr(header, "seg_name", ())
    if pauses and header.layout == "fixed":
        record = _joined(stem, header)  # which the package cannot
    else:
        record = wfdb.rdrecord(str(stem), smooth_frames=False)
    count = record.n_sig or 0
    names = [n or f"signal{i + 1}" for i, n in enumerate(record.sig_name or [None] * count)]
    units = [str(u or "") for u in (record.units or [""] * count)]
    per_frame = record.samps_per_frame or [1] * count
    notices: list[str] = []

    def take(at: int) -> Channel:
        samples, offset = single(np.asarray(record.e_p_signal[at]))
        return Channel(samples, asked.rate(record.fs * per_frame[at], "header") if at == wanted else record.fs * per_frame[at],
                       names[at].strip(" ,"), units[at], offset=offset)  # fmt: skip

    def beside(at: int | None) -> Channel | None:
        return None if at is None else take(at)

    if len(names) == 1 and not (record.sig_name or [None])[0] and asked.channel is None:
        wanted = 0
        notices.append("the header does not name its only signal, which is read as the PPG")
    else:
        wanted = need_ppg(names, asked.channel, asked.name, notices)
    start = None
    if record.base_date is not None and record.base_time is not None:
        # The header has no time zone: UTC, wherever it is read.
        start = datetime.datetime.combine(record.base_date, record.base_time, datetime.UTC).timestamp()
    return Recording(
        take(wanted), asked.subject or record.record_name, asked.name, start,
        ecg=beside(find_ecg(names, units, wanted)), resp=beside(find_one(names, RESP_NAMES, wanted)), notices=tuple(notices),
    )  # fmt: skip


def _joined(stem: Path, header):
    """A record of segments with pauses between them (`~`), which are missing samples."""
    import wfdb

    parts = {n: wfdb.rdrecord(str(stem.with_name(n)), smooth_frames=False) for n in set(header.seg_name) - {"~"}}
    record = next(parts[n] for n in header.seg_name if n != "~")
    per_frame = record.samps_per_frame or [1] * record.n_sig
    record.e_p_signal = [
        np.concatenate([
            np.full(length * each, np.nan) if name == "~" else np.asarray(parts[name].e_p_signal[at])
            for name, length in zip(header.seg_name, header.seg_len, strict=True)
        ])
        for at, each in enumerate(per_frame)
    ]  # fmt: skip
    record.base_date, record.base_time, record.record_name = header.base_date, header.base_time, header.record_name
    return record


def _check(stem: Path, asked: Asked, within: tuple[str, ...]) -> None:
    """Follow a header to its segments and signal files before anything is allocated for them."""
    import wfdb

    if stem.name in within or len(within) > MAX_NESTED:
        raise RecordingError(
            f"its segments contain one another: {' > '.join([*within, stem.name])}", where=asked.name, field="header",
            cure="Mend the segment's name",
        )  # fmt: skip
    header = wfdb.rdheader(str(stem))
    length = int(header.sig_len or 0)
    if length > MAX_SAMPLES or length * max(1, header.n_sig or 0) > 4 * MAX_SAMPLES:
        raise RecordingError(
            f"claims {length:,} samples",
            where=asked.name,
            field=f"{stem.name}.hea",
            cure="Mend the header, or split the record",
        )
    if hasattr(header, "seg_name"):
        if not [s for s in header.seg_name if s != "~"]:
            raise RecordingError("has no segments", where=asked.name, field=f"{stem.name}.hea", cure="Mend the header")
        for name in {s for s in header.seg_name if s != "~"}:
            _safe(name, asked, stem)
            _check(stem.with_name(name), asked, (*within, stem.name))
        return
    if not header.n_sig:
        if within:
            return
        raise RecordingError(
            "declares no signals", where=asked.name, field=f"{stem.name}.hea", cure="Give another record"
        )
    if not header.file_name or any(not n for n in header.file_name):
        raise RecordingError(
            "lacks a signal's file", where=asked.name, field=f"{stem.name}.hea", cure="Mend the header"
        )
    frames: dict[str, float] = {}
    for i, name in enumerate(header.file_name):
        if name == "~":
            continue
        _safe(name, asked, stem)
        frames[name] = frames.get(name, 0.0) + BYTES.get(str(header.fmt[i]), 0) * (header.samps_per_frame or [1])[i]
    for name, size in frames.items():
        file = stem.with_name(name)
        if not file.is_file():
            raise RecordingError(f"its signal file {name} is missing", where=asked.name, cure=f"Copy {name} too")
        if length and file.stat().st_size < int(length * size):
            raise RecordingError(
                f"the header says {length:,} samples, {name} holds {int(file.stat().st_size / size):,}", where=asked.name,
                field=name, cure="Copy the file again; it is cut off",
            )  # fmt: skip


def _safe(name: str, asked: Asked, stem: Path) -> None:
    if "/" in name or "\\" in name or ":" in name or name in ("", ".", ".."):
        raise RecordingError(
            f"names a file outside its folder: {name!r}", where=asked.name, field=f"{stem.name}.hea",
            cure="Put the files side by side",
        )  # fmt: skip
