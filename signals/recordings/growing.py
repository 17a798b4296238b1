"""A column that comes piece by piece and is never in memory twice."""

from __future__ import annotations

import numpy as np

# More room than is needed, so that a column is seldom moved.
SPARE, LEAST = 1.1, 1 << 16


class Growing:
    """Numbers (n,) that more are added to; in the widest precision of what was added."""

    def __init__(self) -> None:
        self._room: np.ndarray | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, values: np.ndarray) -> None:
        """Copies of the values, behind those that are there."""
        values = np.asarray(values)
        if self._room is None:
            self._room = np.empty(LEAST, values.dtype)
        dtype = np.result_type(self._room, values)
        if dtype != self._room.dtype:
            self._room = self._room.astype(dtype)
        end = self._count + len(values)
        if end > len(self._room):
            # The array's own `resize` moves pages, where `concatenate` would hold old and new at once.
            self._room.resize(int(SPARE * end), refcheck=False)
        self._room[self._count : end] = values
        self._count = end

    def take(self) -> np.ndarray:
        """All of them; the column is empty then."""
        room, count, self._room, self._count = self._room, self._count, None, 0
        if room is None:
            return np.zeros(0)
        room.resize(count, refcheck=False)
        return room
