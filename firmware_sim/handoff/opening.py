"""A bundle that somebody sent, as bytes by path: nothing is extracted, nothing is run, and every size has a limit."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from onwrist.errors import BundleError
from onwrist.export.handoff.names import MANIFEST

# A bundle is a few megabytes, the encoder's own files included: what is far beyond is an attack or a mistake.
MOST_BYTES, MOST_FILES = 256 << 20, 1000
# What archivers and file managers add.
CLUTTER_FOLDERS, CLUTTER, CLUTTER_PREFIX = ("__MACOSX",), (".DS_Store", "Thumbs.db", "desktop.ini"), "._"
# Of an entry in a zip's directory: as many as there are entries, before anything is made of them.
ENTRY_MARK = b"PK\x01\x02"
ENCRYPTED = 0x1
AGAIN = "Ask for it again"


@dataclass(frozen=True)
class Opened:
    """A bundle's files.

    Attributes:
        files: path -> bytes, manifest included. folder: whether it was a folder, where people may keep files of their own.
        notes: what was left out of account, for people.
    """

    files: dict[str, bytes]
    folder: bool
    notes: tuple[str, ...]


def open_bundle(path: Path) -> Opened:
    """Files of a folder or zip. Folder entries, one folder around everything and file managers' clutter are harmless.

    Raises:
        BundleError: not a bundle, a path that leaves it, a link, a file twice, damaged, or too much.
    """
    try:
        files, folder = (_read_folder(path), True) if path.is_dir() else (_read_zip(path), False)
    except BundleError:
        raise
    except Exception as error:  # zipfile and zlib raise whatever a damaged byte leads to
        what = plain(str(getattr(error, "strerror", None) or error or type(error).__name__))
        raise BundleError(f"cannot be read ({what})"[:200], where=path, cure=AGAIN) from None
    return _tidied(files, folder, path)


def read_bundle(path: Path) -> dict[str, bytes]:
    """`open_bundle`'s files."""
    return open_bundle(path).files


def plain(text: str) -> str:
    """Text of a stranger on one line, with nothing that a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _read_folder(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    total = seen = 0
    for folder, inside, names in os.walk(path, onerror=_raise):
        for item in (Path(folder, n) for n in sorted([*inside, *names])):
            name = item.relative_to(path).as_posix()
            mode = item.lstat().st_mode
            seen += 1
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise BundleError("is a link or no plain file", where=path, field=plain(name)[:80], cure=AGAIN)
            if stat.S_ISREG(mode):
                total += item.lstat().st_size
                _check_size(total, seen, path)
                with item.open("rb") as file:
                    found[name] = file.read(MOST_BYTES)
            _check_size(total, seen, path)
    return found


def _raise(error: OSError) -> None:
    raise error


def _check_size(total: int, count: int, path: Path) -> None:
    if total > MOST_BYTES or count > MOST_FILES:
        raise BundleError("is larger than any bundle", where=path, cure="Check that this is the right file")


def _read_zip(path: Path) -> dict[str, bytes]:
    if not path.is_file():
        raise BundleError("is not there" if not path.exists() else "is no file", where=path, cure="Check the path")
    _check_size(path.stat().st_size, 0, path)
    data = path.read_bytes()
    _check_size(len(data), data.count(ENTRY_MARK), path)
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        _check_size(sum(e.file_size for e in entries), len(entries), path)
        for entry in entries:
            name = _check_name(entry.filename.rstrip("/") if entry.is_dir() else entry.filename, path)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (entry.is_dir() and entry.file_size):
                raise BundleError("is a link or no plain file", where=path, field=name, cure="Do not use it")
            if entry.flag_bits & ENCRYPTED:
                raise BundleError("is encrypted", where=path, field=name, cure="Ask for it as it was written")
            if entry.is_dir():
                continue
            if name.casefold() in {n.casefold() for n in found}:
                raise BundleError("is there twice", where=path, field=name, cure="Do not use it")
            with archive.open(entry) as file:
                held = file.read(entry.file_size + 1)
            if len(held) != entry.file_size:
                raise BundleError("has another length than it says", where=path, field=name, cure="Do not use it")
            found[name] = held
    return found


def _check_name(name: str, path: Path) -> str:
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name != "/".join(parts)
        or {"..", "."} & set(parts)
        or set("\\:") & set(name)
        or name.startswith("/")
    ):
        raise BundleError("leaves the bundle", where=path, field=plain(name)[:80], cure="Do not use it")
    return name


def _tidied(files: dict[str, bytes], folder: bool, path: Path) -> Opened:
    notes = []
    clutter = [n for n in files if _is_clutter(n)]
    if clutter:
        notes.append(f"{len(clutter)} files that a file manager or archiver added were left out")
    kept = {n: d for n, d in files.items() if n not in clutter}
    if MANIFEST not in kept:
        tops = {n.partition("/")[0] for n in kept}
        if len(tops) == 1 and f"{next(iter(tops))}/{MANIFEST}" in kept:
            (top,) = tops
            notes.append(f"everything lies in one folder, {plain(top)[:80]}")
            kept = {n[len(top) + 1 :]: d for n, d in kept.items()}
    if MANIFEST not in kept:
        raise BundleError("has no manifest: it was not finished", where=path, field=MANIFEST, cure=AGAIN)
    return Opened(kept, folder, tuple(notes))


def _is_clutter(name: str) -> bool:
    parts = name.split("/")
    return bool(set(parts[:-1]) & set(CLUTTER_FOLDERS)) or parts[-1] in CLUTTER or parts[-1].startswith(CLUTTER_PREFIX)
