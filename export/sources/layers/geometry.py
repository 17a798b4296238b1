"""What slides over what in a convolution or a pool: shapes, strides, padding, and the room that the kernel works in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_reader import Network, Operator

# Of every tensor in the arena: what a vector load of the widest core likes.
ALIGNMENT = 8
# Bytes that the widest core reads at once.
VECTOR = 16
# Channels of input that a group of a convolution may leave out, as zeros in a dense one.
MOST_SPREAD = 16
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Convolution:
    """An operator as the kernels' convolution: a fully connected layer has a place per row, and so on.

    Attributes:
        x, y: (height, width, channels) of input and output. stride, dilation, pad: (height, width), pad before the first.
        weights: int8 (output channels, height, width, input channels); depthwise: (1, height, width, channels).
        depthwise: each channel of output reads one of input.
    """

    x: tuple[int, int, int]
    y: tuple[int, int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]
    weights: np.ndarray
    depthwise: bool

    @property
    def each(self) -> int:
        """Outputs of each channel of a depthwise convolution; 1 of others."""
        return self.y[2] // self.x[2] if self.depthwise else 1

    @property
    def taps(self) -> int:
        """Bytes of the input that one place needs."""
        return math.prod(self.weights.shape[1:]) // self.each

    @property
    def scratch(self) -> int:
        """Bytes that the kernel works in, on the core that needs most: taps that are not one run of bytes in the
        input are gathered, of one place or (vectors) of two, and those of two places (SMLAD) are widened to int16.
        Several outputs of each channel take turns, a turn at a time."""
        _, k_h, k_w, _ = self.weights.shape
        room = zip(self.x, self.y, (k_h, k_w), self.stride, self.dilation, strict=False)
        inside = all((n - 1) * step + dil * (k - 1) + 1 <= size for size, n, k, step, dil in room)
        in_a_row = self.depthwise or (k_h == 1 and (k_w == 1 or self.dilation[1] == 1))
        gathered = 0 if inside and in_a_row else 2 * up(self.taps, VECTOR)
        widened = 0 if self.depthwise or self.y[0] * self.y[1] < 2 else 4 * up(self.taps, 4)
        turn = self.x[2] if self.each > 1 else 0
        return up(turn + gathered + widened, ALIGNMENT)


def convolution(network: Network, op: Operator) -> Convolution | None:
    """What the kernels make of an operator; None if it is no convolution."""
    if op.kind not in CONVOLUTIONS:
        return None
    x, w, y = (network.tensors[i] for i in (op.inputs[0], op.inputs[1], op.outputs[0]))
    s = op.settings
    if op.kind == "FULLY_CONNECTED":
        outputs, inputs = w.shape
        rows = x.size // inputs
        return Convolution(
            (1, rows, inputs), (1, rows, outputs), (1, 1), (1, 1), (0, 0), w.constant[:, None, None], False
        )
    k_h, k_w = w.shape[1:3]
    stride = s["strideH"], s["strideW"]
    dilation = s.get("dilationHFactor", 1), s.get("dilationWFactor", 1)
    ends = zip(x.shape[1:3], (k_h, k_w), stride, dilation, strict=True)
    pad_h, pad_w = (padding(s["padding"], *end) for end in ends)
    (_, x_h, x_w, inputs), (_, y_h, y_w, outputs) = x.shape, y.shape
    weights = w.constant
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    if depthwise and inputs == 1 < outputs:
        # A depth multiplier on one channel is a dense convolution.
        weights, depthwise = weights.transpose(3, 1, 2, 0), False
    elif not depthwise and w.shape[3] != inputs:
        weights = _spread(weights, inputs, outputs // (inputs // w.shape[3]))
    pads = (pad_h, pad_w)
    return Convolution((x_h, x_w, inputs), (y_h, y_w, outputs), stride, dilation, pads, weights, depthwise)


def _spread(weights: np.ndarray, inputs: int, each: int) -> np.ndarray:
    """Weights (outputs, h, w, n) of groups of n inputs and `each` outputs, as those of one convolution over all inputs."""
    outputs, k_h, k_w, n = weights.shape
    if inputs > MOST_SPREAD * n:
        raise ExportError(f"has {inputs // n} groups, where up to {MOST_SPREAD} are known")
    dense = np.zeros((outputs, k_h, k_w, inputs), weights.dtype)
    for o in range(outputs):
        first = o // each * n
        dense[o, :, :, first : first + n] = weights[o]
    return dense


def up(value: int, multiple: int) -> int:
    """The next multiple."""
    return -(-value // multiple) * multiple


def padding(kind: int, size: int, kernel: int, stride: int, dilation: int) -> int:
    """Places before the first, by TFLite's SAME (0) and VALID (1)."""
    if kind == 1:
        return 0
    reach = dilation * (kernel - 1) + 1
    out = -(-size // stride)
    return max(0, (out - 1) * stride + reach - size) // 2
