"""Arrays as text for a page: small, and unpacked by any browser without a library."""

from __future__ import annotations

import base64
import zlib

import numpy as np

# Raw deflate: what `DecompressionStream("deflate-raw")` undoes.
RAW = -15


def pack_bytes(data: bytes) -> str:
    """Raw deflate in base64."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, RAW)
    return base64.b64encode(squeeze.compress(data) + squeeze.flush()).decode()


def pack_counts(counts: np.ndarray) -> dict[str, object]:
    """Counts (n,) below 2^24 as second differences, which are small where the light is smooth.

    Differences are folded to 0, 1, 2 ... for 0, -1, 1 ..., and lie byte plane by byte plane, lowest first.

    Returns:
        {"length": n, "planes": bytes per difference, "data": text}.
    """
    x = np.asarray(counts, np.int64)
    bend = np.diff(x, n=2, prepend=[0, 0])
    folded = np.where(bend < 0, -2 * bend - 1, 2 * bend).astype("<u4")
    planes = max(1, -(-int(folded.max(initial=0)).bit_length() // 8))
    split = folded.view(np.uint8).reshape(-1, 4)[:, :planes]
    return {"length": len(x), "planes": planes, "data": pack_bytes(split.T.tobytes())}


def runs_of(mask: np.ndarray) -> list[list[int]]:
    """[first, length] of each run of True."""
    edges = np.flatnonzero(np.diff(np.asarray(mask, np.int8), prepend=0, append=0))
    return [[int(a), int(b - a)] for a, b in zip(edges[::2], edges[1::2], strict=True)]
