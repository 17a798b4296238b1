"""An INT8 TFLite file as plain C11: constant tables, a static memory plan, and a call per operator.

The kernels are hand-written (`export/c/`) and the same for every model; what is generated is numbers.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError, ExportError
from onwrist.export.graphs.tflite_reader import Network, Operator, Tensor, inspect_tflite, refuse
from onwrist.export.graphs.tflite_rules import RESHAPES, repeats, strided
from onwrist.export.sources.tables import logistic_table, relu6_table, relu_table, rescale_table
from onwrist.quantize.integers.arithmetic import quantised_multiplier, requantise
from onwrist.resources import C_SOURCES

KERNELS = ("onwrist_kernels.h", "onwrist_kernels.c")
# Of every tensor in the arena: what a vector load of the widest core likes.
ALIGNMENT = 8
# Bytes that the widest core reads at once.
VECTOR = 16
# Left shift of a requantisation; channels of input that a group of a convolution may leave out, as zeros in a dense one.
MOST_SHIFT, MOST_SPREAD = 30, 16
STRUCTS = ("ow_scale",)
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# TFLite's own constants: fixed-point headroom of an addition, integer bits of a softmax's differences.
ADD_SHIFT, SOFTMAX_BITS = 20, 5


def runtime_sources(*names: str) -> dict[str, str]:
    """Hand-written C by file name: the kernels, or the files that are named."""
    return {name: (C_SOURCES / name).read_text() for name in names or KERNELS}


def c_array(kind: str, name: str, values: np.ndarray) -> str:
    """A constant table of integers, 24 to a line; of a struct, values are (n, fields)."""
    if kind in STRUCTS:
        words = ["{" + ", ".join(map(str, row)) + "}" for row in values.tolist()]
    else:
        words = [f"{v}{'u' if kind == 'uint32_t' else ''}" for v in np.asarray(values).ravel().tolist()]
    lines = [", ".join(words[i : i + 24]) for i in range(0, len(words), 24)]
    return f"static const {kind} {name}[{len(words)}] = {{\n    " + ",\n    ".join(lines) + "};"


@dataclass(frozen=True)
class Plan:
    """A static memory plan.

    Attributes:
        offset: tensor -> byte in the arena; tensors that share memory have the same.
        life: tensor -> (first, last) operator that needs it; -1 and the number of operators for inputs and outputs.
        bytes: of the arena. scratch: its last bytes, for convolutions that gather their taps.
        state: pairs of tensors (in, out) that are one piece of memory, kept between runs.
    """

    offset: dict[int, int]
    life: dict[int, tuple[int, int]]
    bytes: int
    scratch: int
    state: tuple[tuple[int, int], ...]


def plan_memory(network: Network, *, keep: bool = False) -> Plan:
    """Place every tensor that is not constant: largest first, lowest byte that is free for all of its life.

    A tensor that a RESHAPE gives is its source. `next<i>`, made after the last use of `state<i>`, is written over it,
    and the two live for ever: that is the state.

    Args:
        keep: outputs have their memory for themselves, so that they last until the next run whatever is written to the
            inputs in between.
    """
    count = len(network.operators)
    same: dict[int, int] = {}
    for op in network.operators:
        if op.kind in RESHAPES:
            same[op.outputs[0]] = same.get(op.inputs[0], op.inputs[0])
    life: dict[int, list[int]] = {}

    def touch(tensor: int, when: int) -> None:
        if tensor >= 0 and network.tensors[tensor].data is None:
            first_last = life.setdefault(same.get(tensor, tensor), [when, when])
            first_last[0], first_last[1] = min(first_last[0], when), max(first_last[1], when)

    for tensor in network.inputs:
        touch(tensor, -1)
    for when, op in enumerate(network.operators):
        for tensor in (*op.inputs, *op.outputs):
            touch(tensor, when)
    state = []
    names = {t.name: i for i, t in enumerate(network.tensors) if t.name}
    for tensor in network.inputs:
        match = re.fullmatch(r"state(\d+)", network.tensors[tensor].name)
        other = names.get(f"next{match[1]}") if match else None
        if other is not None and other in network.outputs and life[tensor][1] < life[other][0]:
            state.append((tensor, other))
            same[other] = tensor
            del life[other]
            life[tensor] = [-1, count]
    for tensor in network.outputs:
        touch(tensor, count)
        if keep:
            touch(tensor, -1)
    offset: dict[int, int] = {}
    for tensor in sorted(life, key=lambda t: (-network.tensors[t].size, t)):
        size, (first, last) = _room(network.tensors[tensor]), life[tensor]
        taken = sorted(
            (offset[o], offset[o] + _room(network.tensors[o]))
            for o in offset
            if life[o][0] <= last and first <= life[o][1]
        )
        at = 0
        for begin, end in taken:
            if at + size <= begin:
                break
            at = max(at, end)
        offset[tensor] = at
    # The kernels read whole vectors of the last row, of the scratch too.
    total = max((offset[t] + _room(network.tensors[t]) for t in offset), default=0) + VECTOR
    offset |= {alias: offset[source] for alias, source in same.items()}
    scratch = max((c.scratch for op in network.operators if (c := convolution(network, op))), default=0)
    return Plan(offset, {t: (a, b) for t, (a, b) in life.items()}, total + scratch, scratch, tuple(state))


@dataclass(frozen=True)
class Convolution:
    """An operator as the kernels' convolution: a fully connected layer has a place per row, and so on.

    Attributes:
        x, y: (height, width, channels) of input and output. stride, dilation, pad: (height, width), pad before the first.
        weights: int8 (output channels, height, width, input channels); depthwise: (1, height, width, channels).
        depthwise: a channel of output per channel of input.
    """

    x: tuple[int, int, int]
    y: tuple[int, int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]
    weights: np.ndarray
    depthwise: bool

    @property
    def taps(self) -> int:
        """Bytes that one place needs."""
        return math.prod(self.weights.shape[1:])

    @property
    def scratch(self) -> int:
        """Bytes that the kernel works in, on the core that needs most: taps that are not one run of bytes in the
        input are gathered, of one place or (vectors) of two, and those of two places (SMLAD) are widened to int16."""
        _, k_h, k_w, _ = self.weights.shape
        room = zip(self.x, self.y, (k_h, k_w), self.stride, self.dilation, strict=False)
        inside = all((n - 1) * step + dil * (k - 1) + 1 <= size for size, n, k, step, dil in room)
        in_a_row = self.depthwise or (k_h == 1 and (k_w == 1 or self.dilation[1] == 1))
        gathered = 0 if inside and in_a_row else 2 * _up(self.taps, VECTOR)
        widened = 0 if self.depthwise or self.y[0] * self.y[1] < 2 else 4 * _up(self.taps, 4)
        return _up(gathered + widened, ALIGNMENT)


def convolution(network: Network, op: Operator) -> Convolution | None:
    """What the kernels make of an operator; None if it is no convolution."""
    if op.kind not in CONVOLUTIONS:
        return None
    x, w, y = (network.tensors[i] for i in (op.inputs[0], op.inputs[1], op.outputs[0]))
    s = op.settings
    if op.kind == "FULLY_CONNECTED":
        outputs, inputs = w.shape
        rows = x.size // inputs
        return Convolution((1, rows, inputs), (1, rows, outputs), (1, 1), (1, 1), (0, 0), w.data[:, None, None], False)
    k_h, k_w = w.shape[1:3]
    stride = s["strideH"], s["strideW"]
    dilation = s.get("dilationHFactor", 1), s.get("dilationWFactor", 1)
    ends = zip(x.shape[1:3], (k_h, k_w), stride, dilation, strict=True)
    pad_h, pad_w = (padding(s["padding"], *end) for end in ends)
    (_, x_h, x_w, inputs), (_, y_h, y_w, outputs) = x.shape, y.shape
    weights = w.data
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    if depthwise and inputs != outputs:
        # A depth multiplier: each output sees one input, as a dense convolution with zeros elsewhere does.
        weights, depthwise = _spread(weights.transpose(3, 1, 2, 0), inputs, outputs // inputs), False
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


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _room(tensor: Tensor) -> int:
    return _up(tensor.size * np.dtype(tensor.kind).itemsize, ALIGNMENT)


class _Source:
    """C text in the making: tables, then calls."""

    def __init__(self, network: Network, plan: Plan):
        self.network, self.plan = network, plan
        self.tables: list[str] = []
        self.calls: list[str] = []

    def at(self, tensor: int) -> str:
        """Where a tensor is: in the arena, or in a table if it is constant."""
        data = self.network.tensors[tensor].data
        return (
            f"a + {self.plan.offset[tensor]}"
            if data is None
            else self.array(f"constant{len(self.tables)}", "int8_t", data)
        )

    def array(self, name: str, kind: str, values: np.ndarray) -> str:
        self.tables.append(c_array(kind, name, values))
        return name

    def struct(self, name: str, kind: str, **fields: object) -> str:
        body = ", ".join(f".{k} = {v}" for k, v in fields.items())
        self.tables.append(f"static const {kind} {name} = {{{body}}};")
        return name

    def operator(self, place: int, op: Operator) -> None:
        make = getattr(self, f"_{op.kind.lower()}")
        inputs = [self.network.tensors[i] if i >= 0 else None for i in op.inputs]
        make(f"op{place}", op, inputs, self.network.tensors[op.outputs[0]])

    def _convolution(self, name: str, op: Operator, inputs: list[Tensor | None], y: Tensor) -> None:
        x, w, bias = (*inputs, None)[:3]
        c = convolution(self.network, op)
        low, high = clamp_of(op.settings["activation"], y)
        by_channel = (c.weights.reshape(-1, c.y[2]).T if c.depthwise else c.weights.reshape(c.y[2], -1)).astype(
            np.int64
        )
        raw = np.zeros(c.y[2], np.int64) if bias is None else bias.data.astype(np.int64).ravel()
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
        short = -c.y[2] % 4
        scales = np.pad(np.stack([pairs[:, 0], -pairs[:, 1] - 1], 1), ((0, short), (0, 0)))
        self.struct(
            name, "ow_conv", in_h=c.x[0], in_w=c.x[1], in_c=c.x[2], out_h=c.y[0], out_w=c.y[1], out_c=c.y[2],
            k_h=c.weights.shape[1], k_w=c.weights.shape[2], stride_h=c.stride[0], stride_w=c.stride[1],
            dil_h=c.dilation[0], dil_w=c.dilation[1], pad_h=c.pad[0], pad_w=c.pad[1], in_zero=int(x.zero[0]),
            out_zero=int(y.zero[0]), low=low, high=high, packed=self.packed(f"{name}_w", c),
            bias=self.array(f"{name}_b", "int32_t", np.pad(folded, (0, short))),
            scale=self.array(f"{name}_s", "ow_scale", scales), plain=int(plain),
        )  # fmt: skip
        ends = f"{self.at(op.inputs[0])}, {self.at(op.outputs[0])}"
        kernel = "ow_depthwise" if c.depthwise else "ow_conv2d"
        self.calls.append(f"{kernel}(&{name}, {ends}, a + {self.plan.bytes - self.plan.scratch});")

    def packed(self, name: str, c: Convolution) -> str:
        """Weights as the inner loops read them."""
        if c.depthwise:
            return self.array(name, "uint32_t", pack_depthwise(c.weights.reshape(-1, c.y[2])))
        rows = c.weights.reshape(c.y[2], -1)
        vectors, words = (c_array("uint32_t", name, pack(rows, piece)) for piece in (VECTOR, 4))
        self.tables.append(f"#if OW_HELIUM\n{vectors}\n#else\n{words}\n#endif")
        return name

    _conv_2d = _depthwise_conv_2d = _fully_connected = _convolution

    def _pool(self, name, op, inputs, y, kernel="ow_average_pool") -> None:
        (x,), s = inputs, op.settings
        low, high = clamp_of(s["activation"], y)
        pads = [
            padding(s["padding"], n, k, stride, 1)
            for n, k, stride in (
                (x.shape[1], s["filterHeight"], s["strideH"]), (x.shape[2], s["filterWidth"], s["strideW"]),
            )
        ]  # fmt: skip
        self.struct(
            name, "ow_pool", in_h=x.shape[1], in_w=x.shape[2], c=x.shape[3], out_h=y.shape[1], out_w=y.shape[2],
            k_h=s["filterHeight"], k_w=s["filterWidth"], stride_h=s["strideH"], stride_w=s["strideW"], pad_h=pads[0],
            pad_w=pads[1], low=low, high=high,
        )  # fmt: skip
        self.calls.append(f"{kernel}(&{name}, {self.at(op.inputs[0])}, {self.at(op.outputs[0])});")

    _average_pool_2d = _pool

    def _max_pool_2d(self, name, op, inputs, y) -> None:
        self._pool(name, op, inputs, y, "ow_max_pool")

    def _mean(self, name, op, inputs, y) -> None:
        x = inputs[0]
        places = x.shape[1] * x.shape[2]
        multiplier, shift = multiplier_of(float(np.float64(x.scale[0]) / np.float64(y.scale[0])))
        if 256 * places << max(0, shift) >= 1 << 30:
            raise ExportError("has sums that may leave 30 bits")
        # TFLite divides the multiplier by the count, after as many bits as the count has were moved into it.
        room = min(places.bit_length() - 1, 32, 31 + shift)
        self.struct(
            name, "ow_mean_t", places=places, c=x.shape[3], in_zero=int(x.zero[0]), out_zero=int(y.zero[0]),
            multiplier=(multiplier << room) // places, shift=shift - room,
        )  # fmt: skip
        self.calls.append(f"ow_mean(&{name}, {self.at(op.inputs[0])}, {self.at(op.outputs[0])});")

    def _two(self, op: Operator, inputs: list[Tensor]) -> tuple[Tensor, Tensor, int, str]:
        """(larger, smaller, values of the smaller, arguments of the call)."""
        swap, period = repeats(*inputs)
        order = (1, 0) if swap else (0, 1)
        places = ", ".join(self.at(i) for i in (*(op.inputs[k] for k in order), *op.outputs))
        return inputs[order[0]], inputs[order[1]], period, places

    def _add(self, name, op, inputs, y) -> None:
        a, b, period, places = self._two(op, inputs)
        twice = 2 * max(float(a.scale[0]), float(b.scale[0]))
        reals = float(a.scale[0]) / twice, float(b.scale[0]) / twice, twice / ((1 << ADD_SHIFT) * float(y.scale[0]))
        (m_a, s_a), (m_b, s_b), (m_o, s_o) = (multiplier_of(r) for r in reals)
        if s_o > 1:
            raise ExportError("has scales that are too far apart")
        low, high = clamp_of(op.settings["activation"], y)
        self.struct(
            name, "ow_add_t", n=y.size, period=period, zero_a=int(a.zero[0]), zero_b=int(b.zero[0]), zero_out=int(y.zero[0]),
            low=low, high=high, mul_a=m_a, shift_a=s_a, mul_b=m_b, shift_b=s_b, mul_out=m_o, shift_out=s_o,
        )  # fmt: skip
        self.calls.append(f"ow_add(&{name}, {places});")

    def _mul(self, name, op, inputs, y) -> None:
        a, b, period, places = self._two(op, inputs)
        multiplier, shift = multiplier_of(float(a.scale[0]) * float(b.scale[0]) / float(y.scale[0]))
        # A product has 17 bits, of 30 that the rounding takes.
        if shift > 13:
            raise ExportError("has scales that are too far apart")
        low, high = clamp_of(op.settings["activation"], y)
        self.struct(
            name, "ow_mul_t", n=y.size, period=period, zero_a=int(a.zero[0]), zero_b=int(b.zero[0]), zero_out=int(y.zero[0]),
            low=low, high=high, multiplier=multiplier, shift=shift,
        )  # fmt: skip
        self.calls.append(f"ow_mul(&{name}, {places});")

    def _lookup(self, name: str, op: Operator, table: np.ndarray, y: Tensor) -> None:
        """A byte for every byte."""
        self.array(f"{name}_t", "int8_t", table)
        self.calls.append(f"ow_lookup({name}_t, {self.at(op.inputs[0])}, {self.at(op.outputs[0])}, {y.size});")

    def _quantize(self, name, op, inputs, y) -> None:
        self._lookup(name, op, rescale_table(inputs[0], y), y)

    def _relu(self, name, op, inputs, y) -> None:
        self._lookup(name, op, relu_table(inputs[0], y), y)

    def _relu6(self, name, op, inputs, y) -> None:
        self._lookup(name, op, relu6_table(y), y)

    def _logistic(self, name, op, inputs, y) -> None:
        self._lookup(name, op, logistic_table(inputs[0]), y)

    def _pad(self, name, op, inputs, y) -> None:
        x, pads = inputs
        before = pads.data[:, 0].tolist()
        axis = max((i for i in range(len(x.shape)) if x.shape[i] != y.shape[i]), default=0)
        inner = math.prod(x.shape[axis + 1 :])
        rows, n, to = math.prod(x.shape[:axis]), x.shape[axis] * inner, y.shape[axis] * inner
        # Height and width at once: the rows before are whole rows of output.
        above = before[1] * y.shape[2] * y.shape[3] if axis == 2 and len(x.shape) == 4 else 0
        out = self.at(op.outputs[0])
        self.calls.append(f"ow_fill({out}, {int(y.zero[0])}, {y.size});")
        first = above + before[axis] * inner
        self.calls.append(f"ow_copy({self.at(op.inputs[0])}, {out} + {first}, {rows}, {n}, {n}, {to});")

    def _softmax(self, name, op, inputs, y) -> None:
        (x,) = inputs
        real = min(op.settings.get("beta", 1.0) * float(x.scale[0]) * (1 << (31 - SOFTMAX_BITS)), float((1 << 31) - 1))
        multiplier, shift = quantised_multiplier(real)
        if not 0 <= shift <= 31:
            raise ExportError("has an input scale that is too small")
        radius = math.floor(((1 << SOFTMAX_BITS) - 1) * 2.0 ** (31 - SOFTMAX_BITS) / 2.0**shift)
        rows = y.size // y.shape[-1]
        self.struct(
            name, "ow_softmax_t", rows=rows, n=y.shape[-1], multiplier=multiplier, left_shift=shift, diff_min=-radius
        )
        self.calls.append(f"ow_softmax(&{name}, {self.at(op.inputs[0])}, {self.at(op.outputs[0])});")

    def _reshape(self, name, op, inputs, y) -> None:
        """Nothing: the planner gave both the same memory."""

    _expand_dims = _squeeze = _reshape

    def _concatenation(self, name, op, inputs, y) -> None:
        axis = op.settings["axis"] % len(y.shape)
        rows, inner = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
        done, whole = 0, y.shape[axis] * inner
        for tensor, x in zip(op.inputs, inputs, strict=True):
            n = x.shape[axis] * inner
            self.calls.append(
                f"ow_copy({self.at(tensor)}, {self.at(op.outputs[0])} + {done}, {rows}, {n}, {n}, {whole});"
            )
            done += n

    def _slice(self, name, op, inputs, y) -> None:
        self._cut(op, inputs[0], inputs[1].data.ravel().tolist(), y.shape)

    def _strided_slice(self, name, op, inputs, y) -> None:
        self._cut(op, inputs[0], *strided(inputs[0], inputs[1:], op.settings))

    def _cut(self, op: Operator, x: Tensor, first: list[int], shape: list[int] | tuple[int, ...]) -> None:
        """A piece along one axis."""
        axis = next((i for i in range(len(x.shape)) if x.shape[i] != shape[i]), 0)
        rows, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
        from_, n = x.shape[axis] * inner, shape[axis] * inner
        source = f"{self.at(op.inputs[0])} + {first[axis] * inner}"
        self.calls.append(f"ow_copy({source}, {self.at(op.outputs[0])}, {rows}, {n}, {from_}, {n});")


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


def pack(rows: np.ndarray, piece: int) -> np.ndarray:
    """int8 (channels, taps) to the kernels' words: of four channels `piece` bytes each, then the next of the same."""
    channels, taps = rows.shape
    full = np.zeros((_up(channels, 4), _up(taps, piece)), np.int8)
    full[:channels, :taps] = rows
    pieces = full.reshape(-1, 4, full.shape[1] // piece, piece).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(pieces).view("<u4").ravel()


def pack_depthwise(taps: np.ndarray) -> np.ndarray:
    """int8 (taps, channels) to the kernels' words: of four channels a byte each, tap by tap, then the next four."""
    count, channels = taps.shape
    full = np.zeros((count, _up(channels, 4)), np.int8)
    full[:, :channels] = taps
    return np.ascontiguousarray(full.reshape(count, -1, 4).transpose(1, 0, 2)).view("<u4").ravel()


def padding(kind: int, size: int, kernel: int, stride: int, dilation: int) -> int:
    """Places before the first, by TFLite's SAME (0) and VALID (1)."""
    if kind == 1:
        return 0
    reach = dilation * (kernel - 1) + 1
    out = -(-size // stride)
    return max(0, (out - 1) * stride + reach - size) // 2


def clamp_of(activation: str, y: Tensor) -> tuple[int, int]:
    """(low, high) int8 of a fused activation."""
    zero, scale = int(y.zero[0]), float(y.scale[0])
    low = max(-128, zero) if activation != "none" else -128
    high = min(127, zero + round(6.0 / scale)) if activation == "relu6" else 127
    return low, high


@dataclass(frozen=True)
class CModel:
    """A model as C: file name -> text, its plan, and the figures of its manifest."""

    files: dict[str, str]
    plan: Plan
    network: Network


def write_c(
    data: bytes, name: str, start: list[np.ndarray] | None = None, where: str | Path = "", *, keep: bool = False
) -> CModel:
    """`name.h` and `name.c` of a TFLite file.

    Args:
        start: int8 (channels,) of each state tensor, in order: what a stream starts from (default: zero points).
        keep: as in `plan_memory`.

    Raises:
        ExportError: something in the file that the kernels do not know. ConfigError: the name is no C name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
        raise ConfigError(f"{name!r} is no C name", field="name", cure="Use lower-case letters, digits and _")
    network, problems = inspect_tflite(data, where)
    # Where it cannot be planned, the rest is gone through all the same, to say all that is missing.
    plan = Plan(defaultdict(int), {}, 0, 0, ()) if problems else plan_memory(network, keep=keep)
    source = _Source(network, plan)
    for place, op in enumerate(network.operators):
        if place not in problems:
            try:
                source.operator(place, op)
            except ExportError as error:
                problems[place] = f"operator {place} ({op.kind}) {error.what}"
    refuse(list(problems.values()), where)
    upper = name.upper()
    inputs = [i for i in network.inputs if i not in {a for a, _ in plan.state}]
    outputs = [i for i in network.outputs if i not in {b for _, b in plan.state}]
    resets = []
    for k, (tensor, _) in enumerate(plan.state):
        t = network.tensors[tensor]
        channels = t.shape[-1]
        values = start[k] if start else np.full(channels, int(t.zero[0]))
        source.array(f"start{k}", "int8_t", np.asarray(values))
        resets.append(f"ow_copy(start{k}, a + {plan.offset[tensor]}, {t.size // channels}, {channels}, 0, {channels});")
    kept = sum(network.tensors[a].size for a, _ in plan.state)
    ends = [("INPUT", i) for i in inputs] + [("OUTPUT", i) for i in outputs]
    counters = {"INPUT": 0, "OUTPUT": 0}
    lines = []
    for kind, i in ends:
        t, k = network.tensors[i], counters[kind]
        counters[kind] += 1
        lines += [
            f"/* {comment(t.name) or 'tensor'}: {' x '.join(map(str, t.shape))} */", f"#define {upper}_{kind}{k}_OFFSET {plan.offset[i]}",
            f"#define {upper}_{kind}{k}_BYTES {t.size}", f"#define {upper}_{kind}{k}_SCALE {t.scale[0]!r:.40}f".replace("np.float32(", "").replace(")", ""),
            f"#define {upper}_{kind}{k}_ZERO {int(t.zero[0])}",
        ]  # fmt: skip
    header = f"""/* Generated from {name}.tflite by export/to_c.py: {len(network.operators)} operators, {network.macs:,} MAC. */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_ARENA_BYTES {plan.bytes}
/* of which kept between runs */
#define {upper}_STATE_BYTES {kept}
{chr(10).join(lines)}

/* The arena is the caller's: {upper}_ARENA_BYTES, aligned to {ALIGNMENT}. Set the state to its start: */
void {name}_reset(int8_t *arena);
/* Write the input at its offset, run, read the outputs at theirs. */
void {name}_run(int8_t *arena);

#ifdef __cplusplus
}}
#endif

#endif
"""
    body = f"""/* Generated from {name}.tflite by export/to_c.py. */
#include "{name}.h"

#include "onwrist_kernels.h"

{chr(10).join(source.tables)}

void {name}_reset(int8_t *a) {{
    (void)a;
    {(chr(10) + "    ").join(resets)}
}}

void {name}_run(int8_t *a) {{
    {(chr(10) + "    ").join(source.calls)}
}}
"""
    return CModel({f"{name}.h": header, f"{name}.c": body}, plan, network)


def comment(text: str) -> str:
    """What somebody else's file calls a tensor, as part of a C comment."""
    return re.sub(r"[^A-Za-z0-9_./:; -]", "_", text)[:80]


def array_header(data: bytes, name: str) -> str:
    """A C and C++ header with the bytes of the file, for teams that stay on TFLM."""
    rows = [", ".join(f"0x{b:02x}" for b in data[i : i + 20]) for i in range(0, len(data), 20)]
    upper = name.upper()
    return f"""#ifndef {upper}_TFLITE_H
#define {upper}_TFLITE_H

#ifdef __cplusplus
alignas(16)
#else
_Alignas(16)
#endif
static const unsigned char {name}_tflite[{len(data)}] = {{
    {("," + chr(10) + "    ").join(rows)}}};

#endif
"""
