"""A quantised student as integers, and the arithmetic of TFLite's reference kernels on them in numpy.

`IntegerModel` is the hinge of the house: it is read off the Brevitas student, and ONNX, TFLite, C and the numpy
model are all held against it. Nothing in it is a float but the scales.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from onwrist.errors import ConfigError, ExportError
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers

if TYPE_CHECKING:
    from onwrist.quantize.integers.fake_quant import QuantStudent

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

    @property
    def channels(self) -> int:
        """Input channels."""
        return len(self.weight) if self.depthwise else self.weight.shape[1]

    @property
    def context(self) -> int:
        """Input frames that a stream keeps between steps: its reach, less the stride by which it moves on."""
        return max(0, self.reach + 1 - self.stride)

    def frames(self, length: int) -> int:
        """Output frames of `length` input frames."""
        return (length - self.reach - 1) // self.stride + 1

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

    def run(self, x: np.ndarray) -> np.ndarray:
        """int8 (B, in, n) to int8 (B, out, m), by the reference kernels' arithmetic."""
        m = self.frames(x.shape[-1])
        if m < 1:
            raise ExportError(
                f"{x.shape[-1]} frames are fewer than its {self.reach + 1}", field=self.name, cure="Give more"
            )
        shifted = x.astype(self._taps.dtype) - self.input_zero
        total = np.zeros((x.shape[0], len(self.bias), m), self._taps.dtype)
        for k, tap in enumerate(self._taps):
            first = k * self.dilation
            part = shifted[..., first : first + (m - 1) * self.stride + 1 : self.stride]
            total += part * tap if self.depthwise else tap @ part
        multiplier, shift = self.multipliers
        out = requantise(total.astype(np.int64) + self.bias[:, None], multiplier[:, None], shift[:, None])
        out += self.output_zero
        return np.clip(out, self.output_zero if self.relu else INT8_MIN, INT8_MAX).astype(np.int8)


@dataclass(frozen=True)
class IntegerModel:
    """A whole student: a trunk up to the pool, and beside each other the embedding and the head's answers.

    Attributes:
        trunk: the layers with an extent in time, each fed by the one before it; the pool is the last.
        embed: from the pool to the embedding.
        head: from the pool to the answers, one behind the other.
        answers: what the head's outputs mean.
    """

    name: str
    window: int
    trunk: tuple[IntegerLayer, ...]
    embed: IntegerLayer
    head: tuple[IntegerLayer, ...]
    answers: Answers = SHIPPED_ANSWERS

    @property
    def layers(self) -> tuple[IntegerLayer, ...]:
        """Every layer in order of execution."""
        return (*self.trunk, self.embed, *self.head)

    @property
    def sources(self) -> tuple[int, ...]:
        """For each of `layers` the place in it of the layer that feeds it; -1 is the input."""
        pool, embed = len(self.trunk) - 1, len(self.trunk)
        after = range(embed + 1, embed + len(self.head))
        return (*range(-1, pool), pool, pool, *after)

    @property
    def input_scale(self) -> np.float32:
        """Front-end units per input step."""
        return self.layers[0].input_scale

    @property
    def embedding_scale(self) -> np.float32:
        """Embedding units per output step."""
        return self.embed.output_scale

    @property
    def answers_scale(self) -> np.float32:
        """Answer units per output step."""
        return self.head[-1].output_scale

    @property
    def stride(self) -> int:
        """Input samples per frame of the features."""
        return math.prod(layer.stride for layer in self.trunk[:-1])

    def at_hop(self, hop: int) -> IntegerModel:
        """The same integers with the pool moving on by `hop` input samples, so that there is one output a hop.

        Raises:
            ConfigError: not a whole number of strides, or longer than the pool (samples would go unseen).
        """
        *features, pool = self.trunk
        most = (pool.reach + 1) * self.stride
        if not 1 <= hop <= most or hop % self.stride:
            cure = f"Use a multiple of {self.stride} samples (the total stride) up to {most}"
            raise ConfigError(f"hop of {hop} samples", field="hop", cure=cure)
        return replace(self, trunk=(*features, replace(pool, stride=hop // self.stride)))

    @cached_property
    def rest(self) -> tuple[np.ndarray, ...]:
        """int8 (in,) per layer: what each is fed when the input has been 0 for ever. A stream starts from it."""
        outputs: list[np.ndarray] = []
        held: list[np.ndarray] = []
        for layer, source in zip(self.layers, self.sources, strict=True):
            column = np.zeros(1, np.int8) if source < 0 else outputs[source]
            held.append(column)
            outputs.append(layer.run(np.repeat(column[None, :, None], layer.reach + 1, axis=2))[0, :, 0])
        return tuple(held)

    def start(self) -> list[np.ndarray]:
        """int8 (in, context) per layer: the state of a stream that begins in silence; empty where nothing is kept."""
        return [
            np.repeat(rest[:, None], layer.context, axis=1) for rest, layer in zip(self.rest, self.layers, strict=True)
        ]

    def first_state(self, hop: int) -> list[np.ndarray]:
        """`start` at a hop, of the layers that keep anything: the state tensors of a step, in order."""
        return [state for state in self.at_hop(hop).start() if state.size]

    def quantise_input(self, x: np.ndarray) -> np.ndarray:
        """Front-end output (float) to int8, half to even."""
        return np.clip(np.rint(x / self.input_scale), INT8_MIN, INT8_MAX).astype(np.int8)

    def run(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int8 (B, window) to int8 embedding (B, 256) and answers (B, 3): the numpy model of the firmware."""
        embedding, answers = self.whole(x)
        return embedding[:, -1], answers[:, -1]

    def whole(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int8 (B, n >= window) to every embedding (B, m, 256) and answers (B, m, 3): the first at the window's end."""
        pooled = x[:, None, :]
        for layer in self.trunk:
            pooled = layer.run(pooled)
        answers = pooled
        for layer in self.head:
            answers = layer.run(answers)
        return self.embed.run(pooled).swapaxes(1, 2), answers.swapaxes(1, 2)

    def digest(self) -> str:
        """SHA-256 over every integer and scale, in order, and answers that are not the shipped ones: its identity."""
        sha = hashlib.sha256()
        for layer in self.layers:
            for part in (layer.weight, layer.bias, layer.weight_scale):
                sha.update(np.ascontiguousarray(part).tobytes())
            sha.update(np.array([layer.input_scale, layer.output_scale], np.float32).tobytes())
            sha.update(repr((layer.input_zero, layer.output_zero, layer.relu, layer.stride, layer.dilation)).encode())
        if self.answers != SHIPPED_ANSWERS:
            sha.update(repr(self.answers.plain).encode())
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


def read_integers(student: QuantStudent) -> IntegerModel:
    """The integers that a Brevitas student stands for.

    Raises:
        ExportError: a quantiser is missing, or a value does not fit its integer type.
    """
    import torch

    from onwrist.quantize.integers.fake_quant import INPUT_SCALE

    student.eval()
    trunk = [(f"features.{i}", layer[0], layer[1], True) for i, layer in enumerate(student.features)]
    trunk.append(("pool", student.pool, student.pooled, True))
    head = [
        (f"head.{i}", conv, act, i + 1 < len(student.head))
        for i, (conv, act) in enumerate(zip(student.head, student.answered, strict=True))
    ]
    with torch.no_grad():
        below = _chain(trunk, np.float32(INPUT_SCALE), 0)
        pooled = (below[-1].output_scale, below[-1].output_zero)
        (embed,) = _chain([("embed", student.embed, student.embedded, False)], *pooled)
        answers = _chain(head, *pooled)
    config = student.config
    return IntegerModel(config.name, config.window, below, embed, answers, config.answers)


def _chain(convs, scale: np.float32, zero: int) -> tuple[IntegerLayer, ...]:
    layers: list[IntegerLayer] = []
    for name, conv, act, relu in convs:
        layers.append(_integer_layer(name, conv, act, relu, scale, zero))
        scale, zero = layers[-1].output_scale, layers[-1].output_zero
    return tuple(layers)


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
