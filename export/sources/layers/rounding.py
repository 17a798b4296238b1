"""Multipliers, shifts and clamps of a layer, and the proof that its sums fit the kernels' rounding."""

from __future__ import annotations

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_reader import Tensor
from onwrist.quantize.integers.arithmetic import quantised_multiplier, requantise

# Left shift of a requantisation.
MOST_SHIFT = 30


def multiplier_of(real: float) -> tuple[int, int]:
    """As `quantised_multiplier`.

    Raises:
        ExportError: no shift of an int32 holds it.
    """
    multiplier, shift = quantised_multiplier(real)
    if shift > MOST_SHIFT:
        raise ExportError("has scales that are too far apart")
    return multiplier, shift


def dead_channels(
    weights: np.ndarray, bias: np.ndarray, pairs: np.ndarray, zero: int, ends: tuple[int, int]
) -> dict[int, int]:
    """Channels whose sums may leave the 30 bits that the kernels' rounding takes, but that give one byte whatever comes in.

    Args:
        weights: (channels, taps). bias: (channels,), zero point folded in. pairs: (channels, 2) multiplier, left shift.

    Returns:
        Channel -> that byte.

    Raises:
        ExportError: a sum may leave 30 bits and its byte is not always the same.
    """
    least = bias + np.where(weights > 0, -128 * weights, 127 * weights).sum(1)
    most = bias + np.where(weights > 0, 127 * weights, -128 * weights).sum(1)
    left = np.maximum(pairs[:, 1], 0)
    largest = np.maximum(np.abs(least), np.abs(most)) << left
    far, found = np.flatnonzero(largest >= 1 << 30), {}
    for channel in far.tolist():
        sums = np.array([least[channel], most[channel]])
        # Rounding is monotone: what the ends give, all between them give. Beyond int32 TFLite itself is undefined.
        bytes_ = np.clip(requantise(sums, *pairs[channel]) + zero, *ends)
        if largest[channel] >= 1 << 31 or bytes_[0] != bytes_[1]:
            raise ExportError(f"has sums that may leave 30 bits, first in channel {channel}")
        found[channel] = int(bytes_[0])
    return found


def clamp_of(activation: str, y: Tensor) -> tuple[int, int]:
    """(low, high) int8 of a fused activation."""
    zero, scale = int(y.zero[0]), float(y.scale[0])
    low = max(-128, zero) if activation != "none" else -128
    high = min(127, zero + round(6.0 / scale)) if activation == "relu6" else 127
    return low, high
