"""The other process of `readers.matlab`: a MATLAB file to an npz of plain arrays with their paths.

Run by its file name, so that nothing but NumPy and SciPy's reader is imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

MAX_DEPTH, MAX_ARRAYS = 8, 100_000
# Deflate gains a thousandfold at most; a number takes a byte or more.
MAX_GAIN = 1032
TOO_LARGE = 3


def unpack(source: str, target: str) -> int:
    """All arrays of a MATLAB file to an npz of plain ones; the process's exit status."""
    import scipy.io

    claimed = sum(float(np.prod(shape, dtype=np.float64)) for _, shape, _ in scipy.io.whosmat(source))
    if claimed > MAX_GAIN * Path(source).stat().st_size:
        return TOO_LARGE
    found: list[tuple[tuple[str, ...], np.ndarray]] = []
    for name, value in scipy.io.loadmat(source, struct_as_record=False, squeeze_me=True).items():
        if not name.startswith("__"):
            _walk(value, (name,), found)
    arrays: dict[str, Any] = {f"a{i}": array for i, (_, array) in enumerate(found)}
    np.savez(target, paths=json.dumps([path for path, _ in found]), **arrays)
    return 0


def _walk(value: object, path: tuple[str, ...], found: list[tuple[tuple[str, ...], np.ndarray]]) -> None:
    """Structures and arrays of structures to arrays; `data(2).ppg.v` is ("data", "2", "ppg", "v")."""
    from scipy.io.matlab import mat_struct

    if len(path) > MAX_DEPTH or len(found) >= MAX_ARRAYS:
        return
    if isinstance(value, mat_struct):
        for name in value._fieldnames:
            _walk(getattr(value, name), (*path, name), found)
        return
    array = np.asarray(value)
    if array.dtype == object:
        for i, item in enumerate(array.reshape(-1)):
            if isinstance(item, mat_struct):
                _walk(item, (*path, str(i + 1)), found)
    elif array.dtype.names is None:
        found.append((path, array))


if __name__ == "__main__":
    raise SystemExit(unpack(*sys.argv[1:3]))
