"""How files are written: whole or not at all, and by one run at a time.

    with claim(out):                                     # before the work: is it ours, and can it be written at all?
        ...                                              # the work
        replace_folder(out, files, disposable=old)       # after it: the old folder or the new one, never half of one

Whatever kills a run, a full disk included, what was there before is still there. What a killed run leaves beside it is
hidden (`.NAME.new`, `.NAME.old`) and is put right by the next.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from onwrist.errors import ExportError

CURE = "Choose another --out"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and for good: it is on the disk before it has its name.

    Raises:
        ExportError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(_beside(path, data, str(os.getpid())), path)
        _settle(path.parent)
    except OSError as error:
        raise _refused(path, error) from error


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """As `write_whole`, for what writes into a file by itself: gives the place that becomes `path` at the end.

    Raises:
        ExportError: the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        _settle(path.parent)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        # What could not be written can hardly be removed; why is being said already.
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[Path]:
    """Hold an output folder for the length of a run; what cannot work is refused here, before the work.

    The folder need not exist. The lock goes with the process, however it ends.

    Raises:
        ExportError: another run writes to it, it is no folder or the root of a file system, or cannot be written.
    """
    with _claim(folder, _place) as place:
        _recover(place)
        yield place


@contextlib.contextmanager
def claim_file(path: Path) -> Iterator[Path]:
    """As `claim`, of one file that a run ends in: runs beside it in the same folder are nobody's business.

    Raises:
        ExportError: another run writes to it, it is a folder, or it cannot be written.
    """
    with _claim(path, _place_of_file) as place:
        yield place


@contextlib.contextmanager
def _claim(folder: Path, where: Callable[[Path], Path]) -> Iterator[Path]:
    from filelock import FileLock, Timeout

    try:
        place = where(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent):
            pass
        lock = FileLock(_hidden(place, "lock"), timeout=0)
        lock.acquire()
    except Timeout:
        cure = f"Wait until it ends, or: {CURE[0].lower()}{CURE[1:]}"
        raise ExportError("is being written by another run", where=folder, cure=cure) from None
    except OSError as error:
        raise _refused(folder, error) from error
    try:
        yield place
    finally:
        with contextlib.suppress(OSError):  # while it is held: who waits for it sees that its name has gone
            _hidden(place, "lock").unlink()
        lock.release()


def replace_folder(
    folder: Path, files: Mapping[str, bytes], *, disposable: Collection[str], beside: Mapping[Path, bytes] | None = None
) -> None:
    """Put a folder of files in the place of an older one; everything is on the disk before anything is replaced.

    Args:
        files: path in the folder -> bytes.
        disposable: paths of the older folder that are not carried over. Everything else in it is somebody's own.
        beside: files outside the folder that are replaced with it.

    Raises:
        ExportError: it cannot be written, or a file that is somebody's own has the name of one of `files`; in both cases
            everything is as it was.
    """
    place = _place(folder)
    fresh, old = _hidden(place, "new"), _hidden(place, "old")
    parts: dict[Path, Path] = {}
    try:
        _recover(place)
        fresh.mkdir(parents=True)
        for name, data in files.items():
            _write(fresh / name, data)
        _carry(place, fresh, set(files), set(disposable))
        _settle(fresh)
        for path, data in (beside or {}).items():
            parts[path] = _beside(path, data, "new")
        if place.exists():
            shutil.copymode(place, fresh)
            os.rename(place, old)
        try:
            os.rename(fresh, place)
        except BaseException:
            if old.exists():
                os.rename(old, place)
            raise
        for path, part in parts.items():
            os.replace(part, path)
        _settle(place.parent)
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _place(folder: Path) -> Path:
    """Where a folder really is, through links."""
    place = folder.resolve()
    if place.exists() and not place.is_dir():
        raise ExportError("is a file", where=folder, cure=CURE)
    if os.path.ismount(place):
        raise ExportError("is the root of a file system", where=folder, cure="Choose a folder inside it")
    return place


def _place_of_file(path: Path) -> Path:
    place = path.resolve()
    if place.is_dir():
        raise ExportError("is a folder", where=path, cure=CURE)
    return place


def _hidden(place: Path, what: str) -> Path:
    return place.with_name(f".{place.name}.{what}")


def _recover(place: Path) -> None:
    """Put right what a killed `replace_folder` left: it may have moved the old folder away and not yet the new one in."""
    old = _hidden(place, "old")
    if old.exists() and not place.exists():
        os.rename(old, place)
    for left in (old, _hidden(place, "new")):
        shutil.rmtree(left, ignore_errors=True)


def _carry(place: Path, fresh: Path, made: set[str], disposable: set[str]) -> None:
    if not place.is_dir():
        return
    for folder, inside, names in os.walk(place):
        links = [n for n in inside if os.path.islink(Path(folder, n))]
        for name in (*names, *links):
            source = Path(folder, name)
            relative = source.relative_to(place).as_posix()
            if relative in disposable:
                continue
            if relative in made:
                raise ExportError(
                    "is there and is not ours", where=place, field=relative, cure="Move it, " + CURE.lower()
                )
            target = fresh / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _beside(path: Path, data: bytes, mark: str) -> Path:
    part = path.with_name(f".{path.name}.{mark}.part")
    try:
        _write(part, data)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


def _settle(folder: Path) -> None:
    """Names are on the disk too; where a system cannot say so of a folder, nothing is lost but that."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _refused(path: Path, error: OSError) -> ExportError:
    return ExportError(f"cannot be written ({error.strerror or error})", where=path, cure=CURE)
