"""What the C kernels know of each TFLite operator: its tensors, their shapes, its settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from onwrist.export.graphs.tflite_reader import Tensor

SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
# Of a kernel, a stride or a dilation, one way.
MOST_STEPS = 4096


@dataclass(frozen=True)
class Rule:
    """What an operator has to be.

    Attributes:
        problem: (inputs, outputs, settings) -> what is unknown of it, or "".
        options: name of its table in the schema. inputs: how many at least and at most. needs_options: or defaults do.
    """

    problem: Callable[[list[Tensor | None], list[Tensor], dict], str]
    inputs: tuple[int, int]
    options: str = ""
    needs_options: bool = True


def problem_of(kind: str, inputs: list[Tensor | None], outputs: list[Tensor], settings: dict) -> str:
    """What the kernels do not know of an operator; "" if they know all of it."""
    rule = OPERATORS[kind]
    if not rule.inputs[0] <= len(inputs) <= rule.inputs[1] or len(outputs) != 1:
        return f"has {len(inputs)} inputs and {len(outputs)} outputs"
    if any(t is None for t in inputs[: rule.inputs[0]]):
        return "lacks an input"
    if settings.get("missing"):
        return "has no settings of its kind"
    if settings.get("activation") == "?":
        return "has a fused activation other than RELU and RELU6"
    if outputs[0].kind is not np.int8 or inputs[0] is None or inputs[0].kind is not np.int8:
        return "is not of int8"
    if all(t is None or t.data is not None for t in inputs):
        return "is of constants only"
    return rule.problem(inputs, outputs, settings)


def _sizes(size: int, k: int, stride: int, dilation: int, padding: int) -> int:
    """Places of output, by TFLite's SAME and VALID."""
    return -(-size // stride) if padding == SAME else (size - dilation * (k - 1) - 1) // stride + 1


def _image(x: Tensor, y: Tensor, kernel: tuple[int, int], s: dict) -> str:
    """Two images and what slides over the first."""
    if len(x.shape) != 4 or len(y.shape) != 4:
        return "is of other tensors than images"
    if x.shape[0] != 1 or y.shape[0] != 1:
        return f"has a batch of {x.shape[0]}"
    steps = s["strideH"], s["strideW"], s.get("dilationHFactor", 1), s.get("dilationWFactor", 1)
    if not all(1 <= n <= MOST_STEPS for n in (*steps, *kernel)) or s["padding"] not in (SAME, VALID):
        return "has absurd strides, dilations or padding"
    ends = zip(x.shape[1:3], kernel, steps[:2], steps[2:], strict=True)
    if tuple(_sizes(*end, s["padding"]) for end in ends) != y.shape[1:3]:
        return "has another output than its shapes make"
    return ""


def _weighted(inputs: list[Tensor | None], y: Tensor, channels: int) -> str:
    """Weights and bias."""
    x, w, bias = (*inputs, None)[:3]
    if x is None or w is None or w.data is None or (bias is not None and bias.data is None):
        return "has weights that are not constant"
    if w.kind is not np.int8 or (bias is not None and (bias.kind is not np.int32 or bias.size != channels)):
        return "has weights other than int8, or a bias other than int32 per channel"
    if len(w.scale) not in (1, channels):
        return "has other scales than channels"
    if (w.zero != 0).any():
        return "has weights with a zero point"
    return "" if x.data is None else "has a constant input"


def _conv(inputs, outputs, s) -> str:
    x, w = inputs[:2]
    y = outputs[0]
    if len(w.shape) != 4:
        return "has weights of another shape"
    found = _image(x, y, w.shape[1:3], s) or _weighted(inputs, y, w.shape[0])
    groups = x.shape[-1] // w.shape[3] if x.shape[-1] % w.shape[3] == 0 else 0
    if not found and (w.shape[0] != y.shape[3] or not groups or w.shape[0] % groups):
        found = "has weights of another shape"
    return found


def _depthwise(inputs, outputs, s) -> str:
    x, w = inputs[:2]
    y = outputs[0]
    if len(w.shape) != 4 or w.shape[0] != 1:
        return "has weights of another shape"
    found = _image(x, y, w.shape[1:3], s) or _weighted(inputs, y, w.shape[3])
    if not found and (w.shape[3] != y.shape[3] or w.shape[3] != x.shape[3] * (w.shape[3] // x.shape[3])):
        found = "has weights of another shape"
    return found


def _dense(inputs, outputs, s) -> str:
    x, w = inputs[:2]
    y = outputs[0]
    if len(w.shape) != 2 or s.get("weightsFormat", 0) != 0:
        return "has weights of another shape"
    if x.size % w.shape[1] or y.size != x.size // w.shape[1] * w.shape[0] or y.shape[-1] != w.shape[0]:
        return "has another output than its shapes make"
    return _weighted(inputs, y, w.shape[0])


def _pool(inputs, outputs, s) -> str:
    (x,), (y,) = inputs, outputs
    found = _image(x, y, (s["filterHeight"], s["filterWidth"]), s)
    if not found and x.shape[3] != y.shape[3]:
        found = "has another output than its shapes make"
    return found or _one_scale(x, y)


def _one_scale(x: Tensor, y: Tensor) -> str:
    same = x.scale[0] == y.scale[0] and x.zero[0] == y.zero[0]
    return "" if same else "has an output of another scale than its input"


def _mean(inputs, outputs, s) -> str:
    x, axes = inputs
    if axes.data is None or len(x.shape) != 4 or sorted(a % 4 for a in axes.data.ravel().tolist()) != [1, 2]:
        return "is over other axes than height and width"
    if x.shape[0] != 1:
        return f"has a batch of {x.shape[0]}"
    return "" if outputs[0].size == x.shape[3] else "has another output than its shapes make"


def _elementwise(inputs, outputs, s) -> str:
    """Two tensors of one shape, or the second again and again over the first's last dimensions."""
    a, b = inputs
    if b.kind is not np.int8 or len(a.scale) > 1 or len(b.scale) > 1:
        return "is not of int8"
    if repeats(a, b) is None or max(a.size, b.size) != outputs[0].size:
        return "is of two shapes, of which neither ends in the other"
    return ""


def _minimum(inputs, outputs, s) -> str:
    # TFLM compares bytes as they are.
    a, b = inputs
    return _elementwise(inputs, outputs, s) or _one_scale(a, outputs[0]) or _one_scale(b, outputs[0])


def repeats(a: Tensor, b: Tensor) -> tuple[bool, int] | None:
    """(whether the second is the larger one, values of the smaller, which the larger takes again and again)."""
    swap = b.size > a.size
    large, small = (b, a) if swap else (a, b)
    shape = tuple(small.shape)
    while shape and shape[0] == 1:
        shape = shape[1:]
    rank = len(shape)
    return (swap, small.size) if rank <= len(large.shape) and large.shape[len(large.shape) - rank :] == shape else None


def _table(inputs, outputs, s) -> str:
    (x,), (y,) = inputs, outputs
    if x.shape != y.shape or len(x.scale) > 1 or len(y.scale) > 1:
        return "has another output than its shapes make"
    return ""


def _relu6(inputs, outputs, s) -> str:
    # TFLM clamps and does not rescale.
    return _table(inputs, outputs, s) or _one_scale(inputs[0], outputs[0])


def _logistic(inputs, outputs, s) -> str:
    (y,) = outputs
    same = float(y.scale[0]) == 1 / 256 and int(y.zero[0]) == -128
    return _table(inputs, outputs, s) or ("" if same else "has another output scale than 1/256 at -128")


def _pad(inputs, outputs, s) -> str:
    x, pads = inputs
    y = outputs[0]
    if pads.data is None or pads.kind is not np.int32 or pads.shape != (len(x.shape), 2):
        return "has paddings that are not constant"
    whole = pads.data.sum(1, dtype=np.int64).tolist()
    if (pads.data < 0).any() or tuple(n + p for n, p in zip(x.shape, whole, strict=True)) != y.shape:
        return "has another output than its shapes make"
    axes = [i for i, p in enumerate(whole) if p]
    if len(axes) > 1 and axes != [1, 2]:
        return "pads other axes than height and width, or one"
    if len(axes) == 2 and x.shape[0] != 1:
        return f"has a batch of {x.shape[0]}"
    return _one_scale(x, y)


@dataclass(frozen=True)
class Span:
    """Of an axis: the first place, how many, and how far apart (backwards if negative)."""

    first: int
    count: int
    step: int = 1


def strided(x: Tensor, tables: list[Tensor], s: dict) -> list[Span] | None:
    """A strided slice by axis of its input; None where it is more than that, or leaves nothing."""
    rank = len(x.shape)
    if any(t is None or t.data is None or t.kind is not np.int32 or t.size != rank for t in tables):
        return None
    if s.get("ellipsisMask") or s.get("newAxisMask") or s.get("offset"):
        return None
    spans = []
    for i, (b, e, step) in enumerate(zip(*(t.constant.ravel().tolist() for t in tables), strict=True)):
        n = x.shape[i]
        if step == 0:
            return None
        least, most = (0, n) if step > 0 else (-1, n - 1)
        start, stop = (least, most) if step > 0 else (most, least)
        begin = start if s.get("beginMask", 0) >> i & 1 else max(least, min(most, b + n if b < 0 else b))
        end = stop if s.get("endMask", 0) >> i & 1 else max(least, min(most, e + n if e < 0 else e))
        if s.get("shrinkAxisMask", 0) >> i & 1:
            if step != 1:
                return None
            end = begin + 1
        count = -(-(end - begin) // step)
        if not 0 <= begin < n or not 1 <= count <= n:
            return None
        spans.append(Span(begin, count, step))
    return spans


def _strided_slice(inputs, outputs, s) -> str:
    x, *tables = inputs
    spans = strided(x, tables, s)
    if spans is None:
        return "has steps, masks or ends that are not known"
    if outputs[0].size != math.prod(span.count for span in spans):
        return "has another output than its shapes make"
    return _one_scale(x, outputs[0])


def _softmax(inputs, outputs, s) -> str:
    (x,), (y,) = inputs, outputs
    if x.shape != y.shape or not x.shape:
        return "has another output than its shapes make"
    if not 0 < s.get("beta", 1.0) < 1e3:
        return "has an absurd beta"
    same = float(y.scale[0]) == 1 / 256 and int(y.zero[0]) == -128
    return "" if same else "has another output scale than 1/256 at -128"


def _reshape(inputs, outputs, s) -> str:
    x, y = inputs[0], outputs[0]
    if x.data is not None:
        return "is of a constant"
    return ("" if x.size == y.size else "has another output than its shapes make") or _one_scale(x, y)


def _concatenation(inputs, outputs, s) -> str:
    y = outputs[0]
    rank = len(y.shape)
    if not -rank <= s["axis"] < rank or s.get("activation", "none") != "none":
        return "joins along an axis that there is not, or has an activation"
    axis = s["axis"] % rank
    if any(t is None or len(t.shape) != rank or t.kind is not np.int8 for t in inputs):
        return "joins tensors of two kinds"
    for t in inputs:
        if any(a != b for i, (a, b) in enumerate(zip(t.shape, y.shape, strict=True)) if i != axis):
            return "has another output than its shapes make"
        if t.scale[0] != y.scale[0] or t.zero[0] != y.zero[0]:
            return "joins tensors of two scales"
    return "" if sum(t.shape[axis] for t in inputs) == y.shape[axis] else "has another output than its shapes make"


def _slice(inputs, outputs, s) -> str:
    x, begin, size = inputs
    y = outputs[0]
    if begin.data is None or size.data is None:
        return "has a begin or size that is not constant"
    rank = len(x.shape)
    if begin.size != rank or size.size != rank or len(y.shape) != rank or begin.kind is not np.int32:
        return "has a begin or size of another shape"
    first = begin.data.ravel().tolist()
    if any(b < 0 or b + n > most for b, n, most in zip(first, y.shape, x.shape, strict=True)):
        return "slices outside of its input"
    return _one_scale(x, y)


# The same bytes in another shape.
RESHAPES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")
OPERATORS = {
    "CONV_2D": Rule(_conv, (2, 3), "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": Rule(_depthwise, (2, 3), "DepthwiseConv2DOptions"),
    "FULLY_CONNECTED": Rule(_dense, (2, 3), "FullyConnectedOptions"),
    "AVERAGE_POOL_2D": Rule(_pool, (1, 1), "Pool2DOptions"),
    "MEAN": Rule(_mean, (2, 2)),
    "ADD": Rule(_elementwise, (2, 2), "AddOptions"),
    "MUL": Rule(_elementwise, (2, 2), "MulOptions"),
    "MAX_POOL_2D": Rule(_pool, (1, 1), "Pool2DOptions"),
    "MINIMUM": Rule(_minimum, (2, 2)),
    "MAXIMUM": Rule(_minimum, (2, 2)),
    "QUANTIZE": Rule(_table, (1, 1)),
    "RELU": Rule(_table, (1, 1)),
    "RELU6": Rule(_relu6, (1, 1)),
    "LOGISTIC": Rule(_logistic, (1, 1)),
    "PAD": Rule(_pad, (2, 2)),
    "STRIDED_SLICE": Rule(_strided_slice, (4, 4), "StridedSliceOptions"),
    "EXPAND_DIMS": Rule(_reshape, (2, 2)),
    "SQUEEZE": Rule(_reshape, (1, 1)),
    "SOFTMAX": Rule(_softmax, (1, 1), "SoftmaxOptions"),
    "RESHAPE": Rule(_reshape, (1, 2)),
    "CONCATENATION": Rule(_concatenation, (1, 64), "ConcatenationOptions"),
    "SLICE": Rule(_slice, (3, 3)),
}
