"""Softmax over the last dimension."""

from __future__ import annotations

import math

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_reader import Operator, Tensor
from onwrist.export.sources.layers.source import Source
from onwrist.quantize.integers.arithmetic import quantised_multiplier

# TFLite's own: integer bits of a softmax's differences.
SOFTMAX_BITS = 5


def write_softmax(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """SOFTMAX."""
    (x,) = inputs
    real = min(op.settings.get("beta", 1.0) * float(x.scale[0]) * (1 << (31 - SOFTMAX_BITS)), float((1 << 31) - 1))
    multiplier, shift = quantised_multiplier(real)
    if not 0 <= shift <= 31:
        raise ExportError("has an input scale that is too small")
    radius = math.floor(((1 << SOFTMAX_BITS) - 1) * 2.0 ** (31 - SOFTMAX_BITS) / 2.0**shift)
    rows = y.size // y.shape[-1]
    source.struct(
        name, "ow_softmax_t", rows=rows, n=y.shape[-1], multiplier=multiplier, left_shift=shift, diff_min=-radius
    )
    source.calls.append(f"ow_softmax(&{name}, {source.at(op.inputs[0])}, {source.at(op.outputs[0])});")
