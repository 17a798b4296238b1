"""The operators of an integer student, each with the arithmetic of TFLite's reference kernels in numpy.

Values are int8 (B, channels, frames). A node takes its sources, oldest frame first, and gives its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onwrist.errors import ExportError

INT8_MIN, INT8_MAX = -128, 127
# TFLite's headroom of an addition: both inputs are shifted up by so much before they are brought to one scale.
ADD_SHIFT = 20


@dataclass(frozen=True)
class IntegerLayer:
    """One convolution with its requantisation.

    Attributes:
        name: of the layer in the student.
        weight: int8 (out, in / groups, kernel).
        bias: int32 (out,).
        weight_scale: float32 (1,) or (out,).
        input_scale, output_scale: float32 scalars.
        input_zero, output_zero: int8 zero points.
        relu: whether the output is clamped at real 0.
        stride, dilation: along time.
        groups: of channels that do not see each other. ceiling: largest int8, below 127 where a ReLU6 ends sooner.
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray
    weight_scale: np.ndarray
    input_scale: np.float32
    input_zero: int
    output_scale: np.float32
    output_zero: int
    relu: bool
    stride: int
    dilation: int
    groups: int = 1
    ceiling: int = INT8_MAX

    @property
    def reach(self) -> int:
        """Input samples of one output, less one."""
        return self.dilation * (self.weight.shape[-1] - 1)

    @property
    def inputs(self) -> int:
        """Input channels."""
        return self.weight.shape[1] * self.groups

    @property
    def channels(self) -> int:
        """Output channels."""
        return len(self.bias)

    @property
    def depthwise(self) -> bool:
        """Whether each output channel sees one input channel of several."""
        return self.groups > 1 and self.weight.shape[1] == 1

    @property
    def kind(self) -> str:
        """For names and pictures."""
        return "convolution"

    @property
    def facts(self) -> tuple:
        """What a digest covers beside integers and scales."""
        known = self.input_zero, self.output_zero, self.relu, self.stride, self.dilation
        return known if self.ceiling == INT8_MAX else (*known, self.ceiling)

    @cached_property
    def multipliers(self) -> tuple[np.ndarray, np.ndarray]:
        """(multiplier int64 in Q31, left shift) per output channel, as TFLite's `QuantizeMultiplier` makes them."""
        scale = np.broadcast_to(self.weight_scale, len(self.bias)).astype(np.float64)
        real = np.float64(self.input_scale) * scale / np.float64(self.output_scale)
        pairs = [quantised_multiplier(float(r)) for r in real]
        return np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)

    @cached_property
    def _taps(self) -> np.ndarray:
        # Sums in float32 are exact below 2^24, in float64 always (products < 2^16, far fewer than 2^37 of them).
        largest = np.abs(self.weight.astype(np.int64)).sum(axis=(1, 2)).max() * (INT8_MAX - INT8_MIN)
        kind = np.float32 if largest < 1 << 24 else np.float64
        return np.ascontiguousarray(self.weight.transpose(2, 0, 1), dtype=kind)

    def run(self, x: np.ndarray, stride: int | None = None) -> np.ndarray:
        """int8 (B, in, n) to int8 (B, out, m), by the reference kernels' arithmetic; another stride than its own on request."""
        stride = stride or self.stride
        m = (x.shape[-1] - self.reach - 1) // stride + 1
        if m < 1:
            raise ExportError(
                f"{x.shape[-1]} frames are fewer than its {self.reach + 1}", field=self.name, cure="Give more"
            )
        shifted = x.astype(self._taps.dtype) - self.input_zero
        total = np.zeros((x.shape[0], len(self.bias), m), self._taps.dtype)
        for k, tap in enumerate(self._taps):
            first = k * self.dilation
            total += self._products(shifted[..., first : first + (m - 1) * stride + 1 : stride], tap)
        multiplier, shift = self.multipliers
        out = requantise(total.astype(np.int64) + self.bias[:, None], multiplier[:, None], shift[:, None])
        out += self.output_zero
        return np.clip(out, self.output_zero if self.relu else INT8_MIN, self.ceiling).astype(np.int8)

    def _products(self, x: np.ndarray, tap: np.ndarray) -> np.ndarray:
        if self.groups == 1:
            return tap @ x
        if self.depthwise:
            return np.repeat(x, self.channels // self.inputs, axis=1) * tap
        parts = zip(np.split(x, self.groups, axis=1), np.split(tap, self.groups), strict=True)
        return np.concatenate([rows @ part for part, rows in parts], axis=1)


@dataclass(frozen=True)
class IntegerPool:
    """Average or largest of `kernel` frames; its output has its input's scale."""

    name: str
    kind: str
    channels: int
    kernel: int
    stride: int
    output_scale: np.float32
    output_zero: int

    @property
    def reach(self) -> int:
        """Frames before the newest one that it sees."""
        return self.kernel - 1

    @property
    def facts(self) -> tuple:
        """What a digest covers beside scales."""
        return self.kernel, self.stride, self.output_zero

    def run(self, x: np.ndarray, stride: int | None = None) -> np.ndarray:
        """int8 (B, channels, n) to int8 (B, channels, m): AVERAGE_POOL_2D, ties away from zero, or MAX_POOL_2D."""
        views = np.lib.stride_tricks.sliding_window_view(x, self.kernel, axis=-1)[..., :: stride or self.stride, :]
        if self.kind == "maximum":
            return views.max(-1)
        total, half = views.sum(-1, dtype=np.int64), self.kernel // 2
        # Toward zero, as C++ divides, after half the count away from it.
        return (np.sign(total) * ((np.abs(total) + half) // self.kernel)).astype(np.int8)


@dataclass(frozen=True)
class IntegerAdd:
    """Two tensors, each with its own scale: ADD."""

    name: str
    channels: int
    scales: tuple[np.float32, np.float32]
    zeros: tuple[int, int]
    output_scale: np.float32
    output_zero: int
    relu: bool
    ceiling: int = INT8_MAX
    reach: int = 0
    stride: int = 1
    kind: str = "add"

    @property
    def facts(self) -> tuple:
        """What a digest covers beside the output's scale."""
        return *(float(s) for s in self.scales), *self.zeros, self.output_zero, self.relu, self.ceiling

    def run(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """int8 (B, channels, n) twice to int8 (B, channels, n)."""
        twice = 2 * max(float(s) for s in self.scales)
        total = np.zeros(np.broadcast_shapes(a.shape, b.shape), np.int64)
        for x, scale, zero in zip((a, b), self.scales, self.zeros, strict=True):
            multiplier, shift = quantised_multiplier(float(scale) / twice)
            shifted = (x.astype(np.int64) - zero) << ADD_SHIFT
            total += requantise(shifted, np.int64(multiplier), np.int64(shift))
        multiplier, shift = quantised_multiplier(twice / ((1 << ADD_SHIFT) * float(self.output_scale)))
        out = requantise(total, np.int64(multiplier), np.int64(shift)) + self.output_zero
        return np.clip(out, self.output_zero if self.relu else INT8_MIN, self.ceiling).astype(np.int8)


@dataclass(frozen=True)
class IntegerConcat:
    """Channels beside each other, all of one scale: CONCATENATION."""

    name: str
    channels: int
    output_scale: np.float32
    output_zero: int
    reach: int = 0
    stride: int = 1
    kind: str = "concat"

    @property
    def facts(self) -> tuple:
        """What a digest covers beside the scale."""
        return (self.output_zero,)

    def run(self, *given: np.ndarray) -> np.ndarray:
        """int8 (B, channels, n) each to int8 (B, all channels, n)."""
        return np.concatenate(given, axis=1)


def ceiling_of(relu6: bool, scale: np.float32, zero: int) -> int:
    """Largest int8 of a fused activation, as TFLite's `CalculateActivationRange` has it."""
    return min(INT8_MAX, zero + round(6.0 / float(scale))) if relu6 else INT8_MAX


IntegerNode = IntegerLayer | IntegerPool | IntegerAdd | IntegerConcat


def quantised_multiplier(real: float) -> tuple[int, int]:
    """(Q31 multiplier, left shift) with real = multiplier / 2^31 * 2^shift (tensorflow/lite/kernels/internal)."""
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def requantise(x: np.ndarray | np.int64, multiplier: np.ndarray | np.int64, shift: np.ndarray | np.int64) -> np.ndarray:
    """gemmlowp's double rounding: saturating rounding doubling high multiply, then rounding right shift.

    The two roundings are why firmware differs from a float model by more than a last bit now and then; the kernels
    of TFLM and LiteRT's reference do exactly this.
    """
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    # The C++ nudges by sign and truncates toward zero; both together are this floor.
    high = ((x << left) * multiplier + (1 << 30)) >> 31
    mask = (np.int64(1) << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return (high >> right) + ((high & mask) > threshold)


def convolutions(nodes: Iterable[IntegerNode]) -> list[IntegerLayer]:
    """Those of the nodes that have weights."""
    return [node for node in nodes if isinstance(node, IntegerLayer)]
