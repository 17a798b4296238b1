"""A quantised student as integers: one graph, from which everything that runs is written or against which it is held.

`IntegerModel` is the hinge of the house: it is read off the Brevitas student, and ONNX, TFLite, C and the numpy
stream are all held against it. Nothing in it is a float but the scales.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from onwrist.errors import ConfigError, ExportError
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.models.student.timing import Output, Schedule, Timing
from onwrist.quantize.integers.operators import (  # noqa: F401 (the arithmetic of a model is asked of it)
    INT8_MAX,
    INT8_MIN,
    IntegerAdd,
    IntegerConcat,
    IntegerLayer,
    IntegerNode,
    IntegerPool,
    ceiling_of,
    convolutions,
    quantised_multiplier,
    requantise,
)

if TYPE_CHECKING:
    from onwrist.quantize.integers.fake_quant import QuantGraph


@dataclass(frozen=True)
class IntegerInput:
    """What comes in: int8 (channels, n) with zero point 0, a sample per `period` samples of the first input."""

    name: str
    channels: int
    scale: np.float32
    period: Fraction = Fraction(1)


@dataclass(frozen=True)
class IntegerModel:
    """A whole student.

    Attributes:
        nodes: in order of execution. sources: of each, the places that feed it; -1, -2, ... are the inputs.
        outputs: the embedding first and the answers second, where there are such.
        answers: what the outputs of `answers` mean.
    """

    name: str
    inputs: tuple[IntegerInput, ...]
    nodes: tuple[IntegerNode, ...]
    sources: tuple[tuple[int, ...], ...]
    outputs: tuple[Output, ...]
    answers: Answers = SHIPPED_ANSWERS

    @cached_property
    def timing(self) -> Timing:
        """What each node sees when."""
        return Timing(self.nodes, self.sources, tuple(i.period for i in self.inputs), self.outputs)

    @property
    def layers(self) -> tuple[IntegerLayer, ...]:
        """The convolutions in order of execution."""
        return tuple(convolutions(self.nodes))

    @property
    def window(self) -> int:
        """Samples of the first input that one output sees."""
        return self.timing.window

    @property
    def stride(self) -> int:
        """Samples of the first input of which a hop is a multiple."""
        return self.timing.stride

    @property
    def input_scale(self) -> np.float32:
        """Front-end units per step of the first input."""
        return self.inputs[0].scale

    @property
    def embedding_scale(self) -> np.float32:
        """Embedding units per output step."""
        return self.scale_of(EMBEDDING_OUTPUT)

    @property
    def answers_scale(self) -> np.float32:
        """Answer units per output step."""
        return self.scale_of(ANSWERS_OUTPUT)

    def output(self, name: str) -> Output:
        """An output by name.

        Raises:
            ConfigError: there is none of that name.
        """
        for output in self.outputs:
            if output.name == name:
                return output
        known = ", ".join(o.name for o in self.outputs)
        raise ConfigError(f"no output {name!r}", field=self.name, cure=f"There are {known}")

    def scale_of(self, name: str) -> np.float32:
        """Units per step of an output."""
        return self.grid(self.output(name).place)[0]

    def channels_of(self, name: str) -> int:
        """Width of an output."""
        return self.width(self.output(name).place)

    def frames_of(self, name: str, hop: int) -> int:
        """Frames that an output has every hop."""
        output = self.output(name)
        return 1 if output.per_hop else int(hop / self.timing.period[output.place])

    def grid(self, place: int) -> tuple[np.float32, int]:
        """(scale, zero point) of a place."""
        if place < 0:
            return self.inputs[-1 - place].scale, 0
        return self.nodes[place].output_scale, self.nodes[place].output_zero

    def width(self, place: int) -> int:
        """Channels of a place."""
        return self.nodes[place].channels if place >= 0 else self.inputs[-1 - place].channels

    @cached_property
    def plain(self) -> bool:
        """Whether it has the shape of the shipped students: a trunk, its pool, and behind that embedding and head."""
        pools = [i for i, node in enumerate(self.nodes) if isinstance(node, IntegerLayer) and node.depthwise]
        if len(self.layers) < len(self.nodes) or not pools or len(self.inputs) != 1 or self.inputs[0].channels != 1:
            return False
        pool, last = pools[-1], len(self.nodes) - 1
        chain = (*range(-1, pool), pool, pool, *range(pool + 2, last))
        ends = (Output(EMBEDDING_OUTPUT, pool + 1, True), Output(ANSWERS_OUTPUT, last, True))
        known = all(node.groups == 1 or node.groups == node.channels for node in self.layers)
        return last >= pool + 2 and known and self.sources == tuple((s,) for s in chain) and self.outputs == ends

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the nodes by their place alone: what a file without names is read back to."""
        if self.plain:
            pool = max(i for i, layer in enumerate(self.layers) if layer.depthwise)
            head = range(len(self.nodes) - pool - 2)
            return (*(f"features.{i}" for i in range(pool)), "pool", "embed", *(f"head.{i}" for i in head))
        return tuple(f"{node.kind}.{i}" for i, node in enumerate(self.nodes))

    @cached_property
    def rest(self) -> dict[int, np.ndarray]:
        """Place -> int8 (channels,): what it gives when every input has been 0 for ever. A stream starts from it."""
        found = {-1 - k: np.zeros(i.channels, np.int8) for k, i in enumerate(self.inputs)}
        for i, node in enumerate(self.nodes):
            given = [np.repeat(found[s][None, :, None], node.reach + 1, axis=2) for s in self.sources[i]]
            found[i] = _run(node, given, 1)[0, :, 0]
        return found

    def start(self, hop: int) -> dict[int, np.ndarray]:
        """Place -> int8 (channels, context), of the places of which a stream keeps frames, in the order of first use.

        Raises:
            ConfigError: no hop of this model.
        """
        step = self.timing.step(hop)
        return {place: np.repeat(self.rest[place][:, None], step.context[place], axis=1) for place in step.kept}

    def first_state(self, hop: int) -> list[np.ndarray]:
        """`start`, in order: the state tensors of a step."""
        return list(self.start(hop).values())

    def quantise_input(self, x: np.ndarray, number: int = 0) -> np.ndarray:
        """Front-end output (float) to the int8 of an input, half to even."""
        return np.clip(np.rint(x / self.inputs[number].scale), INT8_MIN, INT8_MAX).astype(np.int8)

    def values(
        self, schedule: Schedule, inputs: Sequence[np.ndarray], held: Mapping[int, np.ndarray] = MappingProxyType({})
    ) -> dict[int, np.ndarray]:
        """Place -> int8 (B, channels, frames) of a run over int8 (B, channels, n) of each input; where frames of a place are
        held from before, they come first."""
        found: dict[int, np.ndarray] = {}

        def put(place: int, x: np.ndarray) -> None:
            found[place] = np.concatenate([held[place], x], axis=-1) if place in held else x

        for k, x in enumerate(inputs):
            put(-1 - k, x)
        for i, node in enumerate(self.nodes):
            edges = schedule.edges[i]
            given = [found[e.source][..., found[e.source].shape[-1] - e.frames :] for e in edges]
            put(i, _run(node, given, *(e.stride for e in edges)))
        return found

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """int8 (B, window), or (B, channels, n) of each input, to every output: (B, C) at the window's end, or (B, frames, C)
        of what has a frame rate. The numpy model of the firmware.

        Raises:
            ConfigError: fewer samples than one output sees.
        """
        rows = [x[:, None] if x.ndim == 2 else x for x in inputs]
        found = self.values(self.timing.window_of([x.shape[-1] for x in rows]), rows)
        return tuple(found[o.place][..., -1] if o.per_hop else found[o.place].swapaxes(1, 2) for o in self.outputs)

    def whole(self, hop: int, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """int8 (B, channels, n) of each input to every output (B, m, C) that the hops which end there have."""
        self.timing.check_hop(hop)
        found = self.values(self.timing.window_of([x.shape[-1] for x in inputs], hop), inputs)
        return tuple(self.hops(found[o.place], o, hop).swapaxes(1, 2) for o in self.outputs)

    def hops(self, x: np.ndarray, output: Output, hop: int) -> np.ndarray:
        """Frames (.., n) of an output's place to those that it says: one a hop, the newest, if it is one of these."""
        if not output.per_hop or self.timing.once[output.place]:
            return x
        return x[..., ::-1][..., :: int(hop / self.timing.period[output.place])][..., ::-1]

    def digest(self) -> str:
        """SHA-256 over every integer and scale, in order, over a shape and answers that are not the shipped students'."""
        sha = hashlib.sha256()
        for i, node in enumerate(self.nodes):
            scales = [self.grid(s)[0] for s in self.sources[i]]
            if isinstance(node, IntegerLayer):
                for part in (node.weight, node.bias, node.weight_scale):
                    sha.update(np.ascontiguousarray(part).tobytes())
            sha.update(np.array([*scales, node.output_scale], np.float32).tobytes())
            sha.update(repr(node.facts).encode())
        if not self.plain:
            shape = [(node.kind, sources) for node, sources in zip(self.nodes, self.sources, strict=True)]
            groups = [node.groups for node in self.layers]
            inputs = [(i.name, i.channels, str(i.period), float(i.scale)) for i in self.inputs]
            outputs = [(o.name, o.place, o.per_hop) for o in self.outputs]
            sha.update(repr((shape, groups, inputs, outputs)).encode())
        if self.answers != SHIPPED_ANSWERS:
            sha.update(repr(self.answers.plain).encode())
        return sha.hexdigest()


def _run(node: IntegerNode, given: list[np.ndarray], *strides: int) -> np.ndarray:
    if isinstance(node, IntegerLayer | IntegerPool):
        return node.run(given[0], strides[0])
    # What is computed once a hop takes the newest frame of each hop.
    several = strides if len(strides) == len(given) else strides * len(given)
    return node.run(*(x[..., ::stride] for x, stride in zip(given, several, strict=True)))


def only(model: IntegerModel, *names: str) -> IntegerModel:
    """The part of a model that some of its outputs need."""
    outputs = [model.output(name) for name in names]
    needed = {o.place for o in outputs}
    for i in reversed(range(len(model.nodes))):
        needed.update(model.sources[i] if i in needed else ())
    kept = [i for i in range(len(model.nodes)) if i in needed]
    new = {old: k for k, old in enumerate(kept)} | {-1 - k: -1 - k for k in range(len(model.inputs))}
    return replace(
        model, nodes=tuple(model.nodes[i] for i in kept), sources=tuple(tuple(new[s] for s in model.sources[i]) for i in kept),
        outputs=tuple(replace(o, place=new[o.place]) for o in outputs),
    )  # fmt: skip


def canonical(model: IntegerModel) -> IntegerModel:
    """The same model in the one form that a step says: what is computed once a hop has no stride of its own."""
    nodes = [
        replace(node, stride=1) if once and node.stride > 1 else node
        for node, once in zip(model.nodes, model.timing.once, strict=True)
    ]
    return replace(model, nodes=tuple(nodes))


def renamed(model: IntegerModel, name: Callable[[int], str]) -> IntegerModel:
    """The same model with other names of its nodes."""
    return replace(model, nodes=tuple(replace(node, name=name(i)) for i, node in enumerate(model.nodes)))


def read_integers(student: QuantGraph) -> IntegerModel:
    """The integers that a Brevitas student stands for.

    Raises:
        ExportError: a quantiser is missing, or a value does not fit its integer type.
    """
    import torch

    student.eval()
    with torch.no_grad():
        nodes = tuple(_integer_node(student, i) for i in range(len(student.nodes)))
    scale = _grid(student, -1)[0]
    inputs = tuple(IntegerInput(i.name, i.channels, scale, i.period) for i in student.inputs)
    return canonical(IntegerModel(student.name, inputs, nodes, student.sources, student.outputs, student.answers))


def _grid(student: QuantGraph, place: int) -> tuple[np.float32, int]:
    quantiser: Any = student.range_of(place).act_quant
    scale = quantiser.scale()
    if scale is None:
        name = student.nodes[place].name if place >= 0 else student.inputs[-1 - place].name
        raise ExportError("has no quantiser", field=name, cure="Quantise it (quantize.fake_quant)")
    # uint8 after ReLU is int8 shifted by 128: the same integers, so exactly the same numbers.
    return np.float32(scale.reshape(-1).numpy()[0]), INT8_MIN if student.unsigned(place) else 0


def _integer_node(student: QuantGraph, i: int) -> IntegerNode:
    node, sources = student.nodes[i], student.sources[i]
    scale, zero = _grid(student, i)
    relu = bool(node.activation) or student.unsigned(i)
    ceiling = ceiling_of(node.activation == "relu6", scale, zero)
    if node.kind in ("average", "maximum"):
        return IntegerPool(node.name, node.kind, node.channels, node.kernel, node.stride, scale, zero)
    if node.kind == "concat":
        return IntegerConcat(node.name, node.channels, scale, zero)
    grids = [_grid(student, s) for s in sources]
    if node.kind == "add":
        (a, zero_a), (b, zero_b) = grids
        return IntegerAdd(node.name, node.channels, (a, b), (zero_a, zero_b), scale, zero, relu, ceiling)
    conv, (input_scale, input_zero) = student.convolution(i), grids[0]
    weight = conv.quant_weight()
    if weight.scale is None:
        raise ExportError("has no quantiser", field=node.name, cure="Quantise it (quantize.fake_quant)")
    weight_scale = weight.scale.reshape(-1).numpy().astype(np.float32)
    integers = weight.int().numpy()
    if np.abs(integers.astype(np.int32)).max() > INT8_MAX:
        raise ExportError("weights leave -127..127", field=node.name, cure="Use a narrow-range weight quantiser")
    bias = np.zeros(integers.shape[0], np.int64)
    if conv.bias is not None:
        # In float32, as Brevitas computes the bias scale itself; TFLite's kernels never use it.
        bias = np.rint(conv.bias.numpy().astype(np.float32) / (input_scale * weight_scale)).astype(np.int64)
    if np.abs(bias).max(initial=0) >= 1 << 31:
        raise ExportError("bias leaves int32", field=node.name, cure="Its weight scale is too small; prune the channel")
    return IntegerLayer(
        node.name, integers.astype(np.int8), bias.astype(np.int32), weight_scale, input_scale, input_zero, scale, zero, relu,
        conv.stride[0], conv.dilation[0], conv.groups, ceiling,
    )  # fmt: skip
