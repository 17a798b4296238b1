"""Pools and the mean over all places."""

from __future__ import annotations

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_reader import Operator, Tensor
from onwrist.export.sources.layers.geometry import padding
from onwrist.export.sources.layers.rounding import clamp_of, multiplier_of
from onwrist.export.sources.layers.source import Source


def write_pool(
    source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor, kernel: str = "ow_average_pool"
) -> None:
    """AVERAGE_POOL_2D, or another kernel of the same settings."""
    (x,), s = inputs, op.settings
    low, high = clamp_of(s["activation"], y)
    pads = [
        padding(s["padding"], n, k, stride, 1)
        for n, k, stride in (
            (x.shape[1], s["filterHeight"], s["strideH"]), (x.shape[2], s["filterWidth"], s["strideW"]),
        )
    ]  # fmt: skip
    source.struct(
        name, "ow_pool", in_h=x.shape[1], in_w=x.shape[2], c=x.shape[3], out_h=y.shape[1], out_w=y.shape[2],
        k_h=s["filterHeight"], k_w=s["filterWidth"], stride_h=s["strideH"], stride_w=s["strideW"], pad_h=pads[0],
        pad_w=pads[1], low=low, high=high,
    )  # fmt: skip
    source.calls.append(f"{kernel}(&{name}, {source.at(op.inputs[0])}, {source.at(op.outputs[0])});")


def write_max_pool(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """MAX_POOL_2D."""
    write_pool(source, name, op, inputs, y, "ow_max_pool")


def write_mean(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """MEAN over height and width."""
    x = inputs[0]
    places = x.shape[1] * x.shape[2]
    multiplier, shift = multiplier_of(float(np.float64(x.scale[0]) / np.float64(y.scale[0])))
    if 256 * places << max(0, shift) >= 1 << 30:
        raise ExportError("has sums that may leave 30 bits")
    # TFLite divides the multiplier by the count, after as many bits as the count has were moved into it.
    room = min(places.bit_length() - 1, 32, 31 + shift)
    source.struct(
        name, "ow_mean_t", places=places, c=x.shape[3], in_zero=int(x.zero[0]), out_zero=int(y.zero[0]),
        multiplier=(multiplier << room) // places, shift=shift - room,
    )  # fmt: skip
    source.calls.append(f"ow_mean(&{name}, {source.at(op.inputs[0])}, {source.at(op.outputs[0])});")
