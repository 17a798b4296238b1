"""HDF5: the layouts of `readers.tree`, from groups, datasets and their attributes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.tree import Leaf, pieces_of, read_tree
from onwrist.signals.recordings.recording import Recording

MAX_DATASETS = 100_000
# MATLAB keeps the inside of cells and its own tables here.
HIDDEN = ("#refs#", "#subsystem#")


def read_hdf5(path: Path, asked: Asked) -> Recording:
    """The only recording of an HDF5 file, or the one that is asked for.

    Raises:
        RecordingError: damaged, no PPG, several of which none is named, or no rate.
    """
    import h5py

    with h5py.File(path, "r") as file:
        return read_tree(leaves_of(file, asked), asked)


def hdf5_pieces(path: Path, asked: Asked) -> Iterator[Recording]:
    """Every recording of an HDF5 file.

    Raises:
        RecordingError: as for one.
    """
    import h5py

    with h5py.File(path, "r") as file:
        found = False
        for piece in pieces_of(leaves_of(file, asked), asked):
            found = True
            yield piece.make()
        if not found:
            raise RecordingError(
                "holds no segment", where=asked.name, cure="Store person/segment tables, or an array 'ppg'"
            )


def leaves_of(file, asked: Asked) -> list[Leaf]:
    """All datasets of an open file; links that lead out of it, or nowhere, are left out."""
    import h5py

    leaves: list[Leaf] = []

    def walk(group, path: tuple[str, ...], attributes: dict) -> None:
        for name in group:
            if name in HIDDEN or not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group.get(name)
            own = {**attributes, **_attributes(item)} if item is not None else attributes
            if isinstance(item, h5py.Group):
                if len(path) < 16:
                    walk(item, (*path, name), own)
            elif isinstance(item, h5py.Dataset) and item.shape is not None:
                if len(leaves) >= MAX_DATASETS:
                    raise RecordingError(f"has over {MAX_DATASETS:,} arrays", where=asked.name, cure="Split the file")
                if own.get("matlab_class") in (b"char", b"cell", "char", "cell"):
                    continue
                leaves.append(Leaf((*path, name), item.shape, item.dtype, partial(_values, item), own))

    walk(file, (), _attributes(file))
    return leaves


def _values(dataset) -> np.ndarray:
    return dataset[()]


def _attributes(item) -> dict[str, object]:
    """Lower-case name -> value; those that cannot be read are left out."""
    found: dict[str, object] = {}
    for name in item.attrs:
        try:
            value = item.attrs[name]
        except (OSError, TypeError, ValueError):
            continue
        found[name.lower()] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found
