"""Convolutions and fully connected layers: one kernel for all of them, and weights packed as its inner loops read them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onwrist.export.graphs.tflite_reader import Operator, Tensor
from onwrist.export.sources.c_text import c_array
from onwrist.export.sources.layers.geometry import VECTOR, Convolution, convolution, up
from onwrist.export.sources.layers.rounding import clamp_of, dead_channels, multiplier_of
from onwrist.export.sources.layers.source import Source


def write_convolution(source: Source, name: str, op: Operator, inputs: list[Tensor | None], y: Tensor) -> None:
    """CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED."""
    x, w, bias = (*inputs, None)[:3]
    c = convolution(source.network, op)
    # The reader refused what has none.
    assert c is not None
    assert x is not None
    assert w is not None
    low, high = clamp_of(op.settings["activation"], y)
    by_channel = (c.weights.reshape(-1, c.y[2]).T if c.depthwise else c.weights.reshape(c.y[2], -1)).astype(np.int64)
    raw = np.zeros(c.y[2], np.int64) if bias is None else bias.constant.astype(np.int64).ravel()
    folded = raw - int(x.zero[0]) * by_channel.sum(1)
    if len(w.scale) == 1 and op.kind == "FULLY_CONNECTED":
        # TFLite multiplies the two scales of a fully connected layer in float32, of a convolution in float64.
        real = np.full(c.y[2], float(np.float32(x.scale[0]) * np.float32(w.scale[0])) / float(y.scale[0]))
    else:
        real = np.broadcast_to(float(x.scale[0]) * w.scale.astype(np.float64) / float(y.scale[0]), c.y[2])
    pairs = np.array([multiplier_of(float(r)) for r in real])
    weights = c.weights.copy()
    dead = dead_channels(by_channel, folded, pairs, int(y.zero[0]), (low, high))
    for channel, value in dead.items():
        # What it always gives, as a bias: times a half, then half of that.
        weights[(..., channel) if c.depthwise else channel] = 0
        folded[channel], pairs[channel] = 4 * (value - int(y.zero[0])), (1 << 30, -1)
    c = replace(c, weights=weights)
    plain = low == -128 and high == 127 and all(-31 <= shift < 0 for _, shift in pairs)
    order, scales = _order(c), np.stack([pairs[:, 0], -pairs[:, 1] - 1], 1)
    source.struct(
        name, "ow_conv", in_h=c.x[0], in_w=c.x[1], in_c=c.x[2], out_h=c.y[0], out_w=c.y[1], out_c=c.y[2],
        k_h=c.weights.shape[1], k_w=c.weights.shape[2], stride_h=c.stride[0], stride_w=c.stride[1],
        dil_h=c.dilation[0], dil_w=c.dilation[1], pad_h=c.pad[0], pad_w=c.pad[1], in_zero=int(x.zero[0]),
        out_zero=int(y.zero[0]), low=low, high=high, packed=_packed(source, f"{name}_w", c),
        bias=source.array(f"{name}_b", "int32_t", _ordered(folded, order)),
        scale=source.array(f"{name}_s", "ow_scale", _ordered(scales, order)), plain=int(plain),
    )  # fmt: skip
    ends = f"{source.at(op.inputs[0])}, {source.at(op.outputs[0])}"
    kernel = "ow_conv2d" if not c.depthwise else "ow_depthwise" if c.each == 1 else "ow_depthwise_each"
    source.calls.append(f"{kernel}(&{name}, {ends}, a + {source.plan.bytes - source.plan.scratch});")


def _order(c: Convolution) -> np.ndarray:
    """Channels of output as the tables have them: the first of each channel of input, then the second; -1 fills up."""
    turns = np.arange(c.y[2]).reshape(-1, c.each).T
    return np.pad(turns, ((0, 0), (0, -turns.shape[1] % 4)), constant_values=-1).ravel()


def _ordered(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(channels, ...) in that order, zeros where it fills up."""
    return np.concatenate([values, np.zeros_like(values[:1])])[order]


def _packed(source: Source, name: str, c: Convolution) -> str:
    """Weights as the inner loops read them."""
    if c.depthwise:
        by_channel = c.weights.reshape(-1, c.y[2]).T
        return source.array(name, "uint32_t", pack_depthwise(_ordered(by_channel, _order(c)).T))
    rows = c.weights.reshape(c.y[2], -1)
    vectors, words = (c_array("uint32_t", name, pack(rows, piece)) for piece in (VECTOR, 4))
    source.tables.append(f"#if OW_HELIUM\n{vectors}\n#else\n{words}\n#endif")
    return name


def pack(rows: np.ndarray, piece: int) -> np.ndarray:
    """int8 (channels, taps) to the kernels' words: of four channels `piece` bytes each, then the next of the same."""
    channels, taps = rows.shape
    full = np.zeros((up(channels, 4), up(taps, piece)), np.int8)
    full[:channels, :taps] = rows
    pieces = full.reshape(-1, 4, full.shape[1] // piece, piece).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(pieces).view("<u4").ravel()


def pack_depthwise(taps: np.ndarray) -> np.ndarray:
    """int8 (taps, channels) to the kernels' words: of four channels a byte each, tap by tap, then the next four."""
    count, channels = taps.shape
    full = np.zeros((count, up(channels, 4)), np.int8)
    full[:, :channels] = taps
    return np.ascontiguousarray(full.reshape(count, -1, 4).transpose(1, 0, 2)).view("<u4").ravel()
