"""A quantised student as integers, and the arithmetic of TFLite's reference kernels on them in numpy.

`IntegerModel` is the hinge of the house: it is read off the Brevitas student, and ONNX, TFLite, C and the numpy
model are all held against it. Nothing in it is a float but the scales.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch

from quantize.fake_quant import INPUT_SCALE, QuantStudent
from signals.errors import ExportError

INT8_MIN, INT8_MAX = -128, 127


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
        depthwise: groups == channels.
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
    depthwise: bool

    @property
    def reach(self) -> int:
        """Input samples of one output, less one."""
        return self.dilation * (self.weight.shape[-1] - 1)

    def multipliers(self) -> tuple[np.ndarray, np.ndarray]:
        """(multiplier int32 in Q31, left shift) per output channel, as TFLite's `QuantizeMultiplier` makes them."""
        scale = np.broadcast_to(self.weight_scale, len(self.bias)).astype(np.float64)
        real = np.float64(self.input_scale) * scale / np.float64(self.output_scale)
        pairs = [quantised_multiplier(float(r)) for r in real]
        return np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)

    def run(self, x: np.ndarray) -> np.ndarray:
        """int8 (B, in, n) to int8 (B, out, m), by the reference kernels' arithmetic."""
        m = (x.shape[-1] - self.reach - 1) // self.stride + 1
        if m < 1:
            raise ExportError(
                f"{x.shape[-1]} frames are fewer than its {self.reach + 1}", field=self.name, cure="Give more"
            )
        shifted = x.astype(np.int32) - self.input_zero
        total = np.zeros((x.shape[0], len(self.bias), m), np.int64)
        for k in range(self.weight.shape[-1]):
            first = k * self.dilation
            part = shifted[..., first : first + (m - 1) * self.stride + 1 : self.stride]
            tap = self.weight[..., k].astype(np.int32)
            # float64 holds these sums exactly (products < 2^15, far fewer than 2^38 of them) and has a fast matmul.
            total += (
                part * tap if self.depthwise else (tap.astype(np.float64) @ part.astype(np.float64)).astype(np.int64)
            )
        total += self.bias[:, None]
        multiplier, shift = self.multipliers()
        out = requantise(total, multiplier[:, None], shift[:, None]) + self.output_zero
        return np.clip(out, self.output_zero if self.relu else INT8_MIN, INT8_MAX).astype(np.int8)


@dataclass(frozen=True)
class IntegerModel:
    """A whole student; the last layer's input is the embedding, its output the answers."""

    name: str
    window: int
    layers: tuple[IntegerLayer, ...]

    @property
    def input_scale(self) -> np.float32:
        """Front-end units per input step."""
        return self.layers[0].input_scale

    @property
    def embedding_scale(self) -> np.float32:
        """Embedding units per output step."""
        return self.layers[-1].input_scale

    @property
    def answers_scale(self) -> np.float32:
        """Answer units per output step."""
        return self.layers[-1].output_scale

    def quantise_input(self, x: np.ndarray) -> np.ndarray:
        """Front-end output (float) to int8, half to even."""
        return np.clip(np.rint(x / self.input_scale), INT8_MIN, INT8_MAX).astype(np.int8)

    def run(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int8 (B, window) to int8 embedding (B, 256) and answers (B, 3): the numpy model of the firmware."""
        frames = x[:, None, :]
        for layer in self.layers[:-1]:
            frames = layer.run(frames)
        return frames[..., -1], self.layers[-1].run(frames)[..., -1]

    def digest(self) -> str:
        """SHA-256 over every integer and scale, in order: the identity of the model."""
        sha = hashlib.sha256()
        for layer in self.layers:
            for part in (layer.weight, layer.bias, layer.weight_scale):
                sha.update(np.ascontiguousarray(part).tobytes())
            sha.update(np.array([layer.input_scale, layer.output_scale], np.float32).tobytes())
            sha.update(repr((layer.input_zero, layer.output_zero, layer.relu, layer.stride, layer.dilation)).encode())
        return sha.hexdigest()


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


def requantise(x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """gemmlowp's double rounding: saturating rounding doubling high multiply, then rounding right shift.

    The two roundings are why firmware differs from a float model by more than a last bit now and then; the kernels
    of TFLM and LiteRT's reference do exactly this.
    """
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    product = (x << left) * multiplier
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    # C++ division truncates toward zero; numpy's shift floors.
    nudged = product + nudge
    high = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    mask = (np.int64(1) << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return (high >> right) + ((high & mask) > threshold)


def read_integers(student: QuantStudent) -> IntegerModel:
    """The integers that a Brevitas student stands for.

    Raises:
        ExportError: a quantiser is missing, or a value does not fit its integer type.
    """
    student.eval()
    convs = [(f"features.{i}", layer[0], layer[1], True) for i, layer in enumerate(student.features)]
    convs += [
        ("pool", student.pool, student.pooled, True),
        ("embed", student.embed, student.embedded, False),
        ("head", student.head, student.answered, False),
    ]
    layers = []
    input_scale, input_zero = np.float32(INPUT_SCALE), 0
    with torch.no_grad():
        for name, conv, act, relu in convs:
            layer = _integer_layer(name, conv, act, relu, input_scale, input_zero)
            layers.append(layer)
            input_scale, input_zero = layer.output_scale, layer.output_zero
    return IntegerModel(student.config.name, student.config.window, tuple(layers))


def _integer_layer(name, conv, act, relu, input_scale, input_zero) -> IntegerLayer:
    weight = conv.quant_weight()
    if weight.scale is None or act.act_quant.scale() is None:
        raise ExportError("has no quantiser", field=name, cure="Quantise it (quantize.fake_quant)")
    weight_scale = weight.scale.reshape(-1).numpy().astype(np.float32)
    integers = weight.int().numpy()
    if np.abs(integers.astype(np.int32)).max() > INT8_MAX:
        raise ExportError("weights leave -127..127", field=name, cure="Use a narrow-range weight quantiser")
    outputs = integers.shape[0]
    bias = np.zeros(outputs, np.int64)
    if conv.bias is not None:
        # In float32, as Brevitas computes the bias scale itself; TFLite's kernels never use it.
        scale = np.float32(input_scale) * weight_scale
        bias = np.rint(conv.bias.numpy().astype(np.float32) / scale).astype(np.int64)
    if np.abs(bias).max(initial=0) >= 1 << 31:
        raise ExportError("bias leaves int32", field=name, cure="Its weight scale is too small; prune the channel")
    # uint8 after ReLU is int8 shifted by 128: the same integers, so exactly the same numbers.
    return IntegerLayer(
        name,
        integers.astype(np.int8),
        bias.astype(np.int32),
        weight_scale,
        np.float32(input_scale),
        input_zero,
        np.float32(act.act_quant.scale().reshape(-1).numpy()[0]),
        INT8_MIN if relu else 0,
        relu,
        conv.stride[0],
        conv.dilation[0],
        conv.groups > 1,
    )
