"""MATLAB files: variables and structures, both the old format and that of 7.3, which is HDF5.

SciPy's reader of the old format takes a damaged file's word for sizes and types and can crash the whole process (found by
the fuzz corpus). It therefore runs in a process of its own, which hands plain arrays back: half a second a file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.readers import matlab_process
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.hdf5 import read_hdf5
from onwrist.signals.recordings.readers.tree import Leaf, read_tree
from onwrist.signals.recordings.recording import Recording

MAX_SECONDS = 120


def read_matlab(path: Path, asked: Asked) -> Recording:
    """The only recording of a MATLAB file, or the one that is asked for.

    Raises:
        RecordingError: damaged, no PPG, several of which none is named, or no rate.
    """
    import h5py

    if h5py.is_hdf5(path):
        return read_hdf5(path, asked)
    with tempfile.TemporaryDirectory(prefix="onwrist_") as folder:
        plain = Path(folder) / "arrays.npz"
        try:
            done = subprocess.run(
                [sys.executable, "-I", matlab_process.__file__, str(path), str(plain)],
                capture_output=True,
                timeout=MAX_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RecordingError(
                f"takes more than {MAX_SECONDS} s to read", where=asked.name, cure="Store its PPG and rate alone"
            ) from None
        if done.returncode == matlab_process.TOO_LARGE:
            raise RecordingError("claims more numbers than it can hold", where=asked.name, cure="Store it anew")
        if done.returncode != 0 or not plain.exists():
            words = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit {done.returncode}"]
            raise RecordingError(
                f"cannot be read ({words[0][:150]})", where=asked.name, cure="The file is damaged or of another kind"
            )
        with np.load(plain, allow_pickle=False) as data:
            paths = json.loads(str(data["paths"]))
            leaves = [_leaf(tuple(p), data[f"a{i}"]) for i, p in enumerate(paths)]
    return read_tree(leaves, asked)


def _leaf(path: tuple[str, ...], array: np.ndarray) -> Leaf:
    return Leaf(path, array.shape, array.dtype, lambda: array)
