"""Empatica exports: E4 folders (also zipped, also in a parent folder) and EmbracePlus Avro files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import MAX_JUMP_S, MAX_SAMPLES
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.precision import single
from onwrist.signals.recordings.recording import Channel, Recording
from onwrist.signals.recordings.stamps import EPOCH_S

# 64 LSB per g (Empatica's info.txt).
E4_LSB_PER_G = 64.0
# Its fastest sensor gives 64 a second; what is faster is a sample where the rate should stand.
E4_FASTEST_HZ = 256.0
# No interval between beats is longer; a file of longer ones is in milliseconds.
LONGEST_S = 10.0
MAX_DEPTH, MAX_LOOKED_AT = 3, 20_000
# Files of one EmbracePlus session follow one another; stamps of the joins differ by less than this.
MICROSECONDS = 1e-6


def find_sessions(folder: Path) -> dict[str, Path]:
    """Empatica sessions below a folder: name relative to it -> E4 folder, its zip, or a folder of Avro files."""
    found: dict[str, Path] = {}
    looked = 0
    for depth in range(MAX_DEPTH + 1):
        for path in folder.glob("/".join(["*"] * depth)) if depth else (folder,):
            looked += 1
            if looked > MAX_LOOKED_AT:
                return found
            name = str(path.relative_to(folder))
            if any((part.startswith(".") and part != ".") or part == "__MACOSX" for part in Path(name).parts):
                continue
            if (path.is_dir() and ((path / "BVP.csv").is_file() or any(path.glob("*.avro")))) or (
                path.suffix.lower() == ".zip" and path.is_file()
            ):
                found[name] = path
    return found


def read_e4(folder: Path, asked: Asked) -> Recording:
    """An E4 export: each CSV has its start (UTC) in row 1 and its rate in row 2.

    `IBI.csv`, `HR.csv` and `tags.csv` become the labels `ibi_t`, `ibi_s`, `ibi_t0_unix`, `hr_e4`, `hr_t0_unix` and
    `tags_unix`, as the shared sets call them; empty ones, which the device writes too, are left out.

    Raises:
        RecordingError: BVP.csv is damaged or empty, or an option that it cannot obey.
    """
    asked.no_segments()
    asked.only_channel("BVP", "ppg")
    start, told, bvp = _table(folder / "BVP.csv", asked)
    samples, offset = single(bvp[:, 0])
    ppg = Channel(samples, asked.rate(told, "BVP.csv"), "BVP", "nW", offset=offset)
    notices: list[str] = []
    acc: Channel | None = None
    found: dict[str, float | np.ndarray] = {}
    for name in ("ACC.csv", "HR.csv", "IBI.csv", "tags.csv"):
        file = folder / name
        if not file.is_file() or file.stat().st_size == 0:
            continue
        try:
            if name == "ACC.csv":
                acc_start, acc_rate, xyz = _table(file, asked, 3)
                acc = Channel((xyz / E4_LSB_PER_G).astype(np.float32), acc_rate, "acc", "g", acc_start - start)
            elif name == "HR.csv":
                found["hr_t0_unix"], _, hr = _table(file, asked)
                found["hr_e4"] = hr[:, 0].astype(np.float32)
            elif name == "IBI.csv":
                found |= _intervals(file, asked)
            else:
                found["tags_unix"] = _numbers(file, asked, 1)[:, 0]
        except RecordingError as error:
            if not str(error.what).startswith("has no samples"):
                notices.append(f"{name} is left out: {error.what}")
    labels = {key: np.asarray(value) for key, value in found.items()}
    return Recording(
        ppg, asked.subject or asked.stem, asked.name, start, acc=acc, labels=labels, notices=tuple(notices)
    )


def _numbers(file: Path, asked: Asked, columns: int, skip: int = 0) -> np.ndarray:
    """float64 (rows, columns) of a CSV without names.

    Raises:
        RecordingError: words, or another number of columns.
    """
    import pandas as pd

    try:
        table = pd.read_csv(file, header=None, skiprows=skip, skipinitialspace=True, encoding_errors="replace")
        values = table.to_numpy(np.float64)
    except pd.errors.EmptyDataError:
        return np.zeros((0, columns))
    except (ValueError, pd.errors.ParserError) as error:
        raise RecordingError(
            f"is no E4 table ({' '.join(str(error).split())[:80]})",
            where=asked.name,
            field=file.name,
            cure="Export it again",
        ) from None
    if values.shape[1] < columns:
        raise RecordingError(
            f"has {values.shape[1]} columns, not {columns}", where=asked.name, field=file.name, cure="Export it again"
        )
    if not np.isnan(values[:, columns:]).all():
        raise RecordingError(
            f"has {values.shape[1]} columns, not {columns}", where=asked.name, field=file.name,
            cure="Write decimals with a point, or export it again",
        )  # fmt: skip
    return values[:, :columns]


def _table(file: Path, asked: Asked, columns: int = 1) -> tuple[float, float, np.ndarray]:
    values = _numbers(file, asked, columns)
    if len(values) < 3:
        raise RecordingError("has no samples", where=asked.name, field=file.name, cure="Export it again")
    start, rate = float(values[0, 0]), float(values[1, 0])
    if not (np.isfinite(start) and start <= EPOCH_S[1] and 0 < rate <= E4_FASTEST_HZ):
        raise RecordingError(
            f"starts at {start:g} with a rate of {rate:g} Hz", where=asked.name, field=file.name,
            cure="Row 1 is the start in seconds since 1970, row 2 the rate: export it again",
        )  # fmt: skip
    if np.isnan(values[-1]).any():
        values = values[:-1]
    return start, rate, values[2:]


def _intervals(file: Path, asked: Asked) -> dict[str, float | np.ndarray]:
    """`IBI.csv`: start and a word in row 1, then time from the start and interval, both in seconds."""
    with file.open(errors="replace") as handle:
        head = handle.readline().split(",")
    try:
        start = float(head[0])
    except ValueError:
        raise RecordingError(
            "its first row is no start", where=asked.name, field=file.name, cure="Export it again"
        ) from None
    values = _numbers(file, asked, 2, skip=1)
    if len(values) == 0:
        return {}
    usual = float(np.median(values[:, 1]))
    if not usual <= LONGEST_S:
        raise RecordingError(
            f"intervals of {usual:g} s",
            where=asked.name,
            field=file.name,
            cure="Write them in seconds, or export it again",
        )
    return {
        "ibi_t": values[:, 0].astype(np.float32), "ibi_s": values[:, 1].astype(np.float32), "ibi_t0_unix": start
    }  # fmt: skip


def read_avro(path: Path, asked: Asked) -> Recording:
    """One EmbracePlus file (15 to 60 minutes of a session).

    Raises:
        RecordingError: another schema, no BVP in it, or an option that it cannot obey.
    """
    asked.no_segments()
    return _joined([_raw(path, asked)], asked)


def read_avro_folder(folder: Path, asked: Asked) -> Recording:
    """The files of an EmbracePlus session, joined by their times; what lies between them is NaN.

    Raises:
        RecordingError: as for one file; or files of several people, or more than a day apart.
    """
    raws = [_raw(file, asked) for file in sorted(folder.glob("*.avro"))]
    people = sorted({r[0] for r in raws})
    if len(people) > 1:
        person = asked.one_of("people", people, asked.subject, "subject")
        raws = [r for r in raws if r[0] == person]
    raws = [r for r in raws if len(r[1].get("bvp", {}).get("values") or [])]
    if not raws:
        raise RecordingError(
            "has no BVP in any file", where=asked.name, field="rawData.bvp", cure="Choose another session"
        )
    return _joined(sorted(raws, key=lambda r: r[1]["bvp"]["timestampStart"]), asked)


def _raw(path: Path, asked: Asked) -> tuple[str, dict]:
    """(person, rawData) of a file."""
    import fastavro

    with path.open("rb") as file:
        records = list(fastavro.reader(file))
    if len(records) != 1 or not isinstance(records[0], dict) or not isinstance(records[0].get("rawData"), dict):
        raise RecordingError(
            "is no EmbracePlus session (no rawData)", where=asked.name, field=path.name, cure="Give Empatica's raw data"
        )
    person = (records[0].get("enrollment") or {}).get("participantID")
    return str(person or asked.stem), records[0]["rawData"]


def _joined(raws: list[tuple[str, dict]], asked: Asked) -> Recording:
    asked.only_channel("bvp", "ppg")
    pieces = []
    for _, raw in raws:
        bvp = raw.get("bvp") or {}
        x = np.asarray(bvp.get("values") or [], np.float64)
        if x.ndim != 1 or len(x) == 0:
            raise RecordingError("has no BVP", where=asked.name, field="rawData.bvp", cure="Choose another file")
        pieces.append((float(bvp["timestampStart"]) * MICROSECONDS, float(bvp["samplingFrequency"]), x))
    start = pieces[0][0]
    rate = asked.rate(pieces[0][1], "rawData.bvp")
    if any(abs(r / rate - 1.0) > 0.01 for _, r, _ in pieces):
        raise RecordingError("its files differ in rate", where=asked.name, field="rawData.bvp", cure="Give one file")
    samples, offset = single(_line_up([(t - start, x) for t, _, x in pieces], rate, asked))
    ppg = Channel(samples, rate, "bvp", "nW", offset=offset)
    labels: dict[str, np.ndarray] = {}
    tags = [t for _, raw in raws for t in ((raw.get("tags") or {}).get("tagsTimeMicros") or [])]
    if tags:
        labels["tags_unix"] = np.asarray(tags, np.float64) * MICROSECONDS
    peaks = [t for _, raw in raws for t in ((raw.get("systolicPeaks") or {}).get("peaksTimeNanos") or [])]
    if len(peaks) > 1:
        beats = np.sort((np.asarray(peaks, np.int64) - np.int64(round(start * 1e9))) * 1e-9)
        labels |= {
            "ibi_t": beats[1:].astype(np.float32), "ibi_s": np.diff(beats).astype(np.float32), "ibi_t0_unix": np.asarray(start),
        }  # fmt: skip
    return Recording(
        ppg, asked.subject or raws[0][0], asked.name, start, acc=_acceleration(raws, start, asked), labels=labels
    )


def _acceleration(raws: list[tuple[str, dict]], start: float, asked: Asked) -> Channel | None:
    """g, from counts by the file's own physical and digital range."""
    pieces, rate = [], 0.0
    for _, raw in raws:
        acc = raw.get("accelerometer") or {}
        axes = [np.asarray(acc.get(a) or [], np.float64) for a in "xyz"]
        if min(map(len, axes)) == 0 or len({len(a) for a in axes}) > 1:
            continue
        p = acc.get("imuParams") or {}
        span = float(p.get("digitalMax", 0)) - float(p.get("digitalMin", 0))
        gain = (float(p.get("physicalMax", 0)) - float(p.get("physicalMin", 0))) / span if span else 0.0
        if not gain:
            continue
        rate = float(acc["samplingFrequency"])
        pieces.append((float(acc["timestampStart"]) * MICROSECONDS, np.stack(axes, 1) * gain))
    if not pieces or rate <= 0:
        return None
    first = pieces[0][0]
    joined = np.stack([_line_up([(t - first, x[:, k]) for t, x in pieces], rate, asked) for k in range(3)], axis=1)
    return Channel(joined.astype(np.float32), rate, "acc", "g", first - start)


def _line_up(pieces: list[tuple[float, np.ndarray]], rate: float, asked: Asked) -> np.ndarray:
    """Pieces (seconds from the first, samples) on one grid, NaN between them."""
    if len(pieces) == 1:
        return pieces[0][1]
    ends = [t + len(x) / rate for t, x in pieces]
    gaps = [b[0] - end for b, end in zip(pieces[1:], ends, strict=False)]
    if max(gaps) > MAX_JUMP_S:
        raise RecordingError(
            f"its files lie {max(gaps) / 3600:.0f} hours apart", where=asked.name, field="timestampStart",
            cure="Give the files of one session",
        )  # fmt: skip
    total = round((pieces[-1][0]) * rate) + len(pieces[-1][1])
    if total > MAX_SAMPLES or min(gaps) < -1.0:
        raise RecordingError(
            "its files overlap or are too far apart", where=asked.name, field="timestampStart", cure="Give one file"
        )
    out = np.full(total, np.nan)
    for t, x in pieces:
        place = max(0, round(t * rate))
        out[place : place + len(x)] = x[: total - place]
    return out
