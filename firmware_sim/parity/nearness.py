"""How near outputs are to those that are wanted, block by block: of a day of embeddings only a few numbers each are kept."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from onwrist.quantize.judging.evaluate import cosine

# Outputs that are looked at together.
BLOCK = 1 << 12


@dataclass(frozen=True)
class Nearness:
    """Of embeddings to those that are wanted.

    Attributes:
        cosine, distance: of each output, (n,). size: length of what is wanted, (n,).
    """

    cosine: np.ndarray
    distance: np.ndarray
    size: np.ndarray


def nearness(units: np.ndarray, wanted: np.ndarray) -> Nearness:
    """Of some outputs, float64 and float32 (n, d) in real units."""
    lengths = np.linalg.norm(units - wanted, axis=1), np.linalg.norm(wanted, axis=1)
    return Nearness(cosine(units, wanted), *lengths)


def joined(parts: list[Nearness]) -> Nearness:
    """Of all outputs, from their blocks in order."""
    return Nearness(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Nearness)})


def blocks(count: int) -> list[slice]:
    """Rows in blocks; one, which is empty, of none."""
    return [slice(i, i + BLOCK) for i in range(0, max(1, count), BLOCK)]
