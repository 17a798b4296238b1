"""Compressed files and archives: opened as they are read, or unpacked beside, within limits."""

from __future__ import annotations

import gzip
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from onwrist.errors import RecordingError

GZIP_MAGIC = b"\x1f\x8b"
# Unpacked, the largest sensible recording is a gigabyte or two; a bomb is larger.
MAX_UNPACKED = 4 << 30
MAX_MEMBERS = 10_000
COPY_BYTES = 1 << 20


def is_gzip(path: Path) -> bool:
    """Whether a file is gzip by its first bytes."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def open_bytes(path: Path):
    """A file's bytes, unpacked on the way if it is gzip."""
    return gzip.open(path, "rb") if is_gzip(path) else path.open("rb")


@contextmanager
def gunzipped(path: Path, name: str) -> Iterator[Path]:
    """The unpacked file, in a folder that goes away.

    Raises:
        RecordingError: damaged, or absurdly large.
    """
    with tempfile.TemporaryDirectory(prefix="onwrist_") as folder:
        target = Path(folder) / (path.name[:-3] if path.suffix.lower() == ".gz" else path.name)
        with gzip.open(path, "rb") as packed, target.open("wb") as out:
            _copy(packed, out, name)
        yield target


@contextmanager
def unzipped(path: Path, name: str) -> Iterator[Path]:
    """The folder of a zip's files; `__MACOSX` and hidden files are left out.

    Raises:
        RecordingError: damaged, with names that lead out of it, or absurdly large.
    """
    with tempfile.TemporaryDirectory(prefix="onwrist_") as folder, zipfile.ZipFile(path) as packed:
        members = [m for m in packed.infolist() if not m.is_dir() and not _hidden(m.filename)]
        if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_UNPACKED:
            raise RecordingError(
                f"unpacks to {len(members):,} files of {sum(m.file_size for m in members):,} bytes", where=name,
                cure="Unpack it yourself and give one recording",
            )  # fmt: skip
        for member in members:
            parts = PurePosixPath(member.filename.replace("\\", "/")).parts
            if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in member.filename:
                raise RecordingError(
                    f"a name in it leads out of it: {member.filename!r}", where=name, cure="Pack it anew"
                )
            target = Path(folder).joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(member) as source, target.open("wb") as out:
                _copy(source, out, name)
        yield Path(folder)


def _hidden(name: str) -> bool:
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _copy(source, out, name: str) -> None:
    total = 0
    while piece := source.read(COPY_BYTES):
        total += len(piece)
        if total > MAX_UNPACKED:
            raise RecordingError(f"unpacks to more than {MAX_UNPACKED:,} bytes", where=name, cure="Check what it is")
        out.write(piece)
