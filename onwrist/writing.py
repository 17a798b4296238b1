"""The one way in which a file is written: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from onwrist.errors import ExportError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        ExportError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise ExportError(f"cannot be written ({error.strerror})", where=path, cure="Choose another --out") from error
