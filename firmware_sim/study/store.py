"""Folders anywhere that fsspec reaches (a disk, s3://, gs://, memory://): files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec

from onwrist.errors import ConfigError

# Names of files that are being written on file systems that show a file before it is whole.
UNFINISHED = ".part-"


class Store:
    """One folder.

    Args:
        url: a path, or a URL of any protocol of fsspec; its options come from fsspec's own configuration.

    Raises:
        ConfigError: no such protocol, or its package is missing.
    """

    def __init__(self, url: str):
        self.fs, self.root = reach(url)
        # Workers may stand in another folder.
        self.url = self.root if is_local(self.fs) else str(url)

    def path(self, name: str) -> str:
        """The full path of a file of this folder."""
        return posixpath.join(self.root, name)

    def exists(self, name: str) -> bool:
        """Whether a file is there, seen past any cache of listings."""
        self.fs.invalidate_cache()
        return self.fs.exists(self.path(name))

    def read(self, name: str) -> bytes:
        """A whole file."""
        return self.fs.cat_file(self.path(name))

    def sizes(self, folder: str) -> dict[str, int]:
        """Name within the folder -> bytes, of every file of a sub-folder."""
        self.fs.invalidate_cache()
        if not self.fs.exists(self.path(folder)):
            return {}
        found = self.fs.find(self.path(folder), detail=True)
        return {posixpath.basename(p): int(info["size"]) for p, info in found.items()}

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all.

        Raises:
            ConfigError: the folder cannot be written.
        """
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "file"
            local.write_bytes(data)
            self.publish(local, name)

    def publish(self, local: Path, name: str) -> None:
        """Copy a finished local file to its place.

        Raises:
            ConfigError: the folder cannot be written.
        """
        target = self.path(name)
        try:
            if is_local(self.fs):
                # A unique name, since the same part may be written twice at once after a lost connection.
                self.fs.makedirs(posixpath.dirname(target), exist_ok=True)
                beside = f"{target}{UNFINISHED}{uuid.uuid4().hex}"
                self.fs.put_file(str(local), beside)
                os.replace(beside, target)
            else:
                # An object store shows an object when all of it has arrived.
                self.fs.put_file(str(local), target)
        except OSError as error:
            raise ConfigError(f"cannot be written ({error})", where=target, cure="Choose another --out") from error

    def tidy(self, folder: str) -> None:
        """Remove what killed writers left."""
        for name in self.sizes(folder):
            if UNFINISHED in name:
                self.fs.rm_file(self.path(posixpath.join(folder, name)))


def reach(url: str):
    """(file system, path) of a path or URL.

    Raises:
        ConfigError: no such protocol, or its package is missing.
    """
    try:
        return fsspec.core.url_to_fs(str(url))
    except (ValueError, ImportError) as error:
        cure = "Use a path, s3://, gs:// or another protocol of fsspec, and install its package"
        raise ConfigError(str(error).splitlines()[0], where=url, cure=cure) from error


def is_local(fs) -> bool:
    """Whether paths of a file system are paths of this machine."""
    names = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return "file" in names


@contextlib.contextmanager
def at_hand(url: str) -> Iterator[Path]:
    """A recording as a local path, for readers that know no other; a copy only where it is not local.

    What belongs to one recording comes along: the signal files beside a WFDB header, all of a folder.
    """
    fs, path = reach(url)
    if is_local(fs):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / posixpath.basename(path)
        if fs.isdir(path):
            fs.get(path, str(local), recursive=True)
        else:
            fs.get_file(path, str(local))
            if local.suffix == ".hea":
                for other in fs.glob(path.removesuffix(".hea") + ".*"):
                    fs.get_file(other, str(Path(folder) / posixpath.basename(other)))
        yield local


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of the files of a folder in the order of their names."""
    found = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,):
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                found.update(block)
    return found.hexdigest()
