"""Operators of one int8 value as tables of 256, each with the arithmetic of TensorFlow Lite Micro's kernel."""

from __future__ import annotations

import math

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_reader import Tensor
from onwrist.quantize.integers.arithmetic import quantised_multiplier, requantise

VALUES = np.arange(-128, 128, dtype=np.int64)
# TFLite's fixed point for a sigmoid: integer bits of what goes in.
LOGISTIC_BITS = 4


def _rescaled(x: Tensor, y: Tensor, real: float) -> np.ndarray:
    multiplier, shift = quantised_multiplier(real)
    # A difference of two bytes has 9 bits.
    if shift > 21:
        raise ExportError("has scales that are too far apart")
    return requantise(VALUES - int(x.zero[0]), np.int64(multiplier), np.int64(shift)) + int(y.zero[0])


def rescale_table(x: Tensor, y: Tensor) -> np.ndarray:
    """QUANTIZE from int8 to int8."""
    return np.clip(_rescaled(x, y, float(x.scale[0]) / float(y.scale[0])), -128, 127)


def relu_table(x: Tensor, y: Tensor) -> np.ndarray:
    """RELU; the ratio of the scales is a float32 there."""
    return np.clip(_rescaled(x, y, float(np.float32(x.scale[0]) / np.float32(y.scale[0]))), int(y.zero[0]), 127)


def relu6_table(y: Tensor) -> np.ndarray:
    """RELU6, which does not rescale."""
    zero = int(y.zero[0])
    return np.clip(VALUES, zero, min(127, zero + round(6.0 / float(y.scale[0]))))


def logistic_table(x: Tensor) -> np.ndarray:
    """LOGISTIC."""
    multiplier, shift = quantised_multiplier(float(x.scale[0]) * (1 << (31 - LOGISTIC_BITS)))
    if not 0 <= shift < 31:
        raise ExportError("has an absurd input scale")
    radius = math.floor(((1 << LOGISTIC_BITS) - 1) * 2.0 ** (31 - LOGISTIC_BITS) / 2.0**shift)
    table = []
    for value in (VALUES - int(x.zero[0])).tolist():
        if abs(value) >= radius:
            table.append(-128 if value < 0 else 127)
            continue
        fixed = int(requantise(np.int64(value), np.int64(multiplier), np.int64(shift)))
        positive = _one_over_one_plus(_exp_negative(-abs(fixed)))
        raw = 1 << 30 if fixed == 0 else positive if fixed > 0 else (1 << 31) - 1 - positive
        table.append(min(max(_shift(raw, 23) - 128, -128), 127))
    return np.array(table)


def _high(a: int, b: int) -> int:
    return (a * b + (1 << 30)) >> 31


def _shift(x: int, n: int) -> int:
    """To nearest, ties away from zero."""
    half = 1 << n >> 1
    return (x + half) >> n if x >= 0 else -((-x + half) >> n)


def _exp_negative(x: int) -> int:
    """e^x for x <= 0 with 4 integer bits, result with none, as gemmlowp computes it."""
    if x == 0:
        return (1 << 31) - 1
    quarter = 1 << (31 - LOGISTIC_BITS - 2)
    part = (x & (quarter - 1)) - quarter
    y = (part << LOGISTIC_BITS) + (1 << 28)
    y2 = _high(y, y)
    y3, y4 = _high(y2, y), _high(y2, y2)
    inner = _shift(_high(_shift(y4, 2) + y3, 715827883) + y2, 1)
    result, rest = 1895147668 + _high(1895147668, y + inner), part - x
    for i, factor in enumerate((1672461947, 1302514674, 790015084, 290630308, 39332535, 720401)):
        if rest & (quarter << i):
            result = _high(result, factor)
    return result


def _one_over_one_plus(x: int) -> int:
    """1 / (1 + x) for x in [0, 1), no integer bits: three steps of Newton, saturating."""
    half = (x + (1 << 31)) >> 1
    y = 1515870810 + _high(half, -1010580540)
    for _ in range(3):
        y += _saturated(_high(y, (1 << 29) - _high(half, y)) << 2)
    return _saturated(y << 1)


def _saturated(x: int) -> int:
    return min(max(x, -(1 << 31)), (1 << 31) - 1)
