"""`read_recording(path)` picks the reader by what a file is. What each kind may hold stands in docs/recordings.md.

A reader never repairs silently: missing samples become NaN, what is odd but usable is said in `Recording.notices`, and
anything else that is wrong raises `RecordingError` naming file, field and cure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from onwrist.errors import OnwristError, RecordingError
from onwrist.signals.recordings.doubts import judged
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.unpack import gunzipped, is_gzip, unzipped
from onwrist.signals.recordings.recording import MAX_RATE_HZ, MIN_RATE_HZ, Recording

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".log", ".asc", ".tab")
KINDS = {
    ".npz": "npz", ".edf": "edf", ".bdf": "edf", ".h5": "hdf5", ".hdf5": "hdf5", ".hdf": "hdf5", ".mat": "matlab",
    ".parquet": "parquet", ".pq": "parquet", ".avro": "avro", ".zip": "zip", ".hea": "wfdb",
    **dict.fromkeys(TEXT_ENDINGS, "text"),
}  # fmt: skip
# First bytes that leave no doubt, whatever a file is called.
MAGIC = ((b"\x89HDF\r\n\x1a\n", "hdf5"), (b"PAR1", "parquet"), (b"Obj\x01", "avro"), (b"MATLAB ", "matlab"), (b"PK\x03\x04", "zip"),
         (b"0       ", "edf"), (b"\xffBIOSEMI", "edf"))  # fmt: skip
# The pulse of an Empatica E4 export, by which its folder is known.
E4_SIGNAL = "BVP.csv"
SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")


def read_recording(
    path: str | Path,
    *,
    rate_hz: float | None = None,
    channel: str | None = None,
    subject: str | None = None,
    segment: str | None = None,
    invert: bool = False,
    spill: bool = False,
) -> Recording:
    """Read one recording.

    Args:
        path: file, or folder of an Empatica export.
        rate_hz: sampling rate, where the file does not tell; where it does and differs by over 1 %, an error.
        channel: name of the PPG channel, where the file has several or an unusual name.
        subject: the person to read, where the file holds several; else what the person shall be called. Default is the
            file's own id, else the file's stem.
        segment: the piece to read, where the file or folder holds several.
        invert: turn the PPG upside down (a raw photodiode current falls with each beat).
        spill: keep the samples of a long table (CSV, Parquet) on disk, for whoever reads them by slices: `Spilled` instead of an
            array.

    Raises:
        RecordingError: missing, unreadable, empty, not understood, several where one must be named, or an option that
            this file cannot obey.
    """
    path = Path(path)
    if rate_hz is not None and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise RecordingError(
            f"{rate_hz:g} Hz is outside {MIN_RATE_HZ:g}-{MAX_RATE_HZ:g}", where=path, field="rate_hz",
            cure="Give the rate in samples per second",
        )  # fmt: skip
    asked = Asked(rate_hz, channel, subject, segment, str(path), _stem(path), spill)
    return judged(_typed(lambda: _read(path, asked), str(path)), invert)


def iter_hdf5(path: str | Path, *, rate_hz: float | None = None) -> Iterator[Recording]:
    """Every segment of every person of an HDF5 file, in the file's order.

    Raises:
        RecordingError: no layout that is known (`readers.tree`), or a rate that the file does not tell.
    """
    from onwrist.signals.recordings.readers.hdf5 import hdf5_pieces

    path = Path(path)
    asked = Asked(rate_hz, None, None, None, str(path), _stem(path))
    pieces = hdf5_pieces(path, asked)
    while (recording := _typed(lambda: next(pieces, None), str(path))) is not None:
        yield recording


def _typed(read: Callable, name: str):
    """The result of a reader; whatever a library raises on a damaged file becomes a `RecordingError`."""
    try:
        return read()
    except OnwristError:
        raise
    except MemoryError as error:
        raise RecordingError("needs more memory than there is", where=name, cure="Split the recording") from error
    except FileNotFoundError as error:
        raise RecordingError(
            f"a file that it needs is missing: {error.filename or error}",
            where=name,
            cure="Copy all files of the recording",
        ) from error
    except PermissionError as error:
        raise RecordingError("may not be read", where=name, cure="Check its permissions") from error
    # Eight libraries parse foreign bytes below here, and each has its own ways to fail on damaged ones.
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise RecordingError(
            f"cannot be read ({type(error).__name__}: {words})",
            where=name,
            cure="The file is damaged or of another kind",
        ) from error


def _stem(path: Path) -> str:
    """The name of a person whom only a file's name tells: `ann.csv.gz` is ann."""
    name = path.resolve().name if path.is_dir() else path.name
    return Path(name[:-3]).stem if name.lower().endswith(".gz") else (name if path.is_dir() else path.stem)


def _read(path: Path, asked: Asked) -> Recording:
    header = path.with_name(path.name + ".hea")
    if not path.exists() and not header.exists():
        raise RecordingError("no such file or folder", where=path, cure="Check the path")
    if path.is_dir():
        return _read_folder(path, asked)
    if not path.exists():
        path = header
    if not path.is_file():
        raise RecordingError("is no file", where=path, cure="Give a file or a folder")
    if path.stat().st_size == 0:
        raise RecordingError("is empty", where=asked.name, cure="Check that the file is complete")
    kind = _kind(path, asked)
    if is_gzip(path) and kind != "text":
        with gunzipped(path, asked.name) as unpacked:
            return _read_kind(unpacked, kind, asked)
    return _read_kind(path, kind, asked)


def recordings_in(path: Path) -> list[Path]:
    """What a path stands for where many are asked for: itself, or the recordings of a folder, by name.

    The folder of an Empatica export is one recording.
    """
    if not path.is_dir() or (path / E4_SIGNAL).exists():
        return [path]
    inside = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in KINDS)
    return [path] if all(p.suffix.lower() == ".avro" for p in inside) else inside


def _kind(path: Path, asked: Asked) -> str:
    """Kind of file by its first bytes, then by its ending."""
    packed = is_gzip(path)
    name = path.name[:-3] if packed and path.suffix.lower() == ".gz" else path.name
    ending = Path(name).suffix.lower()
    if ending in SPREADSHEETS:
        raise RecordingError("is a spreadsheet", where=asked.name, cure="Save its table as CSV")
    if not packed:
        with path.open("rb") as file:
            head = file.read(16)
        for magic, kind in MAGIC:
            if (
                head.startswith(magic)
                and not (kind == "zip" and ending == ".npz")
                and not (kind == "edf" and ending in TEXT_ENDINGS)
            ):
                return "matlab" if kind == "hdf5" and ending == ".mat" else kind
    if ending in KINDS:
        return KINDS[ending]
    for beside in (path.with_suffix(".hea"), path.with_name(name + ".hea")):
        if beside.exists():
            return "wfdb"
    if ending == ".dat":
        raise RecordingError(
            "has no header beside it", where=asked.name, cure=f"Copy {Path(name).with_suffix('.hea').name} too"
        )
    raise RecordingError(
        f"unknown kind of file '{ending}'", where=asked.name,
        cure="Use .csv, .npz, .hea (WFDB), .edf, .h5, .mat, .parquet, .avro, a .zip or a folder of an Empatica export",
    )  # fmt: skip


def _read_kind(path: Path, kind: str, asked: Asked) -> Recording:
    # One reader's libraries are not imported for another's files.
    if kind == "text":
        from onwrist.signals.recordings.readers.delimited import read_delimited as reader
    elif kind == "npz":
        from onwrist.signals.recordings.readers.arrays import read_arrays as reader
    elif kind == "edf":
        from onwrist.signals.recordings.readers.edf import read_edf as reader
    elif kind == "hdf5":
        from onwrist.signals.recordings.readers.hdf5 import read_hdf5 as reader
    elif kind == "matlab":
        from onwrist.signals.recordings.readers.matlab import read_matlab as reader
    elif kind == "parquet":
        from onwrist.signals.recordings.readers.parquet import read_parquet as reader
    elif kind == "avro":
        from onwrist.signals.recordings.readers.empatica import read_avro as reader
    elif kind == "wfdb":
        from onwrist.signals.recordings.readers.waveforms import read_waveforms as reader
    else:
        return _read_zip(path, asked)
    return reader(path, asked)


def _read_zip(path: Path, asked: Asked) -> Recording:
    with unzipped(path, asked.name) as folder:
        return _read_folder(folder, asked)


def _read_folder(folder: Path, asked: Asked) -> Recording:
    """An Empatica export, or the only recording in a folder."""
    from onwrist.signals.recordings.readers.empatica import find_sessions, read_avro_folder, read_e4

    if (folder / "BVP.csv").is_file():
        asked.no_segments()
        return read_e4(folder, asked)
    sessions = find_sessions(folder)
    if sessions:
        chosen = asked.one_of("recordings", sorted(sessions), asked.segment, "segment")
        inner = replace(
            asked, segment=None, stem=Path(chosen).stem if len(sessions) > 1 or chosen != "." else asked.stem
        )
        found = sessions[chosen]
        if found.is_file():
            return _read(found, inner)
        return read_e4(found, inner) if (found / "BVP.csv").is_file() else read_avro_folder(found, inner)
    files = {
        str(f.relative_to(folder)): f
        for f in sorted(folder.glob("*"))[:1000] + sorted(folder.glob("*/*"))[:1000]
        if f.is_file()
        and not f.name.startswith(".")
        and _ending(f) in KINDS
        and f.name.lower() not in ("readme.txt", "info.txt")
    }
    if not files:
        raise RecordingError(
            "holds no recording",
            where=asked.name,
            cure="Give the folder of an Empatica export (with BVP.csv), or a file",
        )
    chosen = asked.one_of("recordings", sorted(files), asked.segment, "segment")
    stem = asked.stem if len(files) == 1 else _stem(files[chosen])
    return _read(files[chosen], replace(asked, segment=None, stem=stem))


def _ending(path: Path) -> str:
    return Path(path.name[:-3] if path.suffix.lower() == ".gz" else path.name).suffix.lower()
