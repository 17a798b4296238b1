"""Windows of a stream, made when they are asked for: kept, they would be sixteen times what came in."""

from __future__ import annotations

import numpy as np


class Windows:
    """The window that ends with each hop.

    Args:
        chunks: (n, hop), the model's input, or (n, hop, axes) of one of several. first: (n,) whether the model started anew with a hop; before it all was 0.
        window: samples.
    """

    def __init__(self, chunks: np.ndarray, first: np.ndarray, window: int):
        self.chunks, self.window = chunks, window
        self.begin = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """(m, window) of the hops in `rows`, or (m, axes, window)."""
        at = np.arange(len(self))[rows, None]
        back = at + np.arange(1 - -(-self.window // self.chunks.shape[1]), 1)
        came = back >= self.begin[at]
        if self.chunks.ndim == 2:
            return np.where(came[..., None], self.chunks[back * came], 0).reshape(len(at), -1)[:, -self.window :]
        found = np.where(came[..., None, None], self.chunks[back * came], 0)
        return found.reshape(len(at), -1, found.shape[-1])[:, -self.window :].swapaxes(1, 2)

    def batches(self, size: int) -> list[slice]:
        """`size` rows at a time."""
        return [slice(i, i + size) for i in range(0, len(self), size)]
