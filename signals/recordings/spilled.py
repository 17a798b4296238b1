"""A column in a file of the system's temporary folder: what is too long for memory is read by slices."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np

# Numbers that are in memory at once.
BLOCK = 1 << 18


class Spilled:
    """Numbers (n,) on disk, in the widest precision of what was added. Slices are arrays; as an array it is whole in memory.

    The file has no name and is gone with the object.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the column
        self._count = 0
        self._factor: float | None = None
        self.dtype: np.dtype = np.dtype(np.float64)

    def __len__(self) -> int:
        return self._count

    def add(self, values: np.ndarray) -> None:
        """Copies of the values, behind those that are there."""
        values = np.asarray(values)
        dtype = np.result_type(self.dtype, values.dtype) if self._count else values.dtype
        if self._count and dtype != self.dtype:
            self._widen(dtype)
        self.dtype = dtype
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(values, dtype).data)
        self._count += len(values)

    def _widen(self, dtype: np.dtype) -> None:
        wider = tempfile.TemporaryFile()  # noqa: SIM115
        for part in self.blocks():
            wider.write(part.astype(dtype).data)
        self._file = wider

    def times(self, factor: float) -> Spilled:
        """The same column, multiplied whenever it is read; once."""
        if self._factor is not None:
            raise ValueError("was multiplied already")
        self._factor = factor
        return self

    def __getitem__(self, at):
        if not isinstance(at, slice):
            return self._read(range(self._count)[at], 1)[0]
        start, stop, step = at.indices(self._count)
        if step < 1:
            raise ValueError("is read forward only")
        if (stop - start) <= BLOCK or step == 1:
            return self._read(start, max(0, stop - start))[::step]
        each = max(1, BLOCK // step) * step
        # Copies: a view would keep its whole block.
        return np.concatenate([self._read(i, min(each, stop - i))[::step].copy() for i in range(start, stop, each)])

    def _read(self, start: int, count: int) -> np.ndarray:
        values = np.empty(count, self.dtype)
        self._file.seek(start * self.dtype.itemsize)
        self._file.readinto(values.data.cast("B"))
        if self._factor is not None:
            values *= self._factor
        return values

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def blocks(self, more: int = 0) -> Iterator[np.ndarray]:
        """So many at a time, and the first `more` of what follows."""
        for i in range(0, self._count, BLOCK):
            yield self[i : i + BLOCK + more]

    @property
    def rising(self) -> bool:
        """Whether every number is finite and none is below the one before."""
        return all(np.isfinite(part).all() and (np.diff(part) >= 0).all() for part in self.blocks(1))
