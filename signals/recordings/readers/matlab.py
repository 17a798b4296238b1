"""MATLAB files: variables and structures, both the old format and that of 7.3, which is HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.hdf5 import read_hdf5
from onwrist.signals.recordings.readers.tree import Leaf, read_tree
from onwrist.signals.recordings.recording import Recording

MAX_DEPTH, MAX_ARRAYS = 8, 100_000


def read_matlab(path: Path, asked: Asked) -> Recording:
    """The only recording of a MATLAB file, or the one that is asked for.

    Raises:
        RecordingError: damaged, no PPG, several of which none is named, or no rate.
    """
    import h5py
    import scipy.io

    if h5py.is_hdf5(path):
        return read_hdf5(path, asked)
    claimed = sum(float(np.prod(shape, dtype=np.float64)) for _, shape, _ in scipy.io.whosmat(str(path)))
    if claimed * 2 > max(path.stat().st_size, 1) * 2000.0:
        # Deflate gains a thousandfold at most.
        raise RecordingError(f"claims {claimed:,.0f} numbers", where=asked.name, cure="Store it anew")
    content = scipy.io.loadmat(str(path), struct_as_record=False, squeeze_me=True)
    leaves: list[Leaf] = []
    for name, value in content.items():
        if not name.startswith("__"):
            _walk(value, (name,), leaves)
    return read_tree(leaves, asked)


def _walk(value: object, path: tuple[str, ...], leaves: list[Leaf]) -> None:
    """Structures and arrays of structures to leaves; `data(2).ppg.v` is ("data", "2", "ppg", "v")."""
    from scipy.io.matlab import mat_struct

    if len(path) > MAX_DEPTH or len(leaves) >= MAX_ARRAYS:
        return
    if isinstance(value, mat_struct):
        for name in value._fieldnames:
            _walk(getattr(value, name), (*path, name), leaves)
        return
    array = np.asarray(value)
    if array.dtype == object:
        for i, item in enumerate(array.reshape(-1)):
            if isinstance(item, mat_struct):
                _walk(item, (*path, str(i + 1)), leaves)
        return
    leaves.append(Leaf(path, array.shape, array.dtype, lambda: array))
