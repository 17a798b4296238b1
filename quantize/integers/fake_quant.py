"""A student's graph with Brevitas quantisers, placed so that every one of them exists in TFLite int8 too.

| here                                    | TFLite                                              |
|-----------------------------------------|-----------------------------------------------------|
| input: int8, scale 1/32, fixed          | input tensor int8, zero point 0                     |
| weights: int8, symmetric, per channel   | CONV_2D / DEPTHWISE_CONV_2D filter                  |
| computed once a hop, and no answer:     | the same with one scale (saves 8 bytes a channel)   |
|   per tensor                            |                                                     |
| bias: int32, scale = input x weight     | the same                                            |
| after ReLU: uint8                       | int8 with zero point -128, fused RELU               |
| embedding: int8; answers: int8, fixed   | int8, zero point 0                                  |
| sum of two: a range of its own          | ADD                                                 |
| channels beside each other, pools:      | CONCATENATION, AVERAGE_POOL_2D, MAX_POOL_2D         |
|   one range for all that they join      |                                                     |

`brevitas.graph.quantize` places them otherwise: both sides of a sum get one scale, and what is quantised there cannot be
cut along time. Its layers, its calibration and its training are what is used here.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from onwrist.errors import CheckpointError, ExportError
from onwrist.models.student.graph import (
    AVERAGE,
    CONCAT,
    CONVOLUTION,
    MAXIMUM,
    RELU,
    RELU6,
    SCALING,
    Computed,
    Node,
    StudentGraph,
    activate,
    graph_of,
    operate,
)
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT
from onwrist.models.student.outputs import ANSWER_RANGE
from onwrist.signals.front_end.floating import FrontEndConfig

with warnings.catch_warnings():
    # Brevitas announces at import that an optional GPU kernel is absent; nothing here uses it.
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    import brevitas.nn as qnn
    from brevitas.core.scaling import ScalingImplType
    from brevitas.graph.calibrate import calibration_mode
    from brevitas.quant import (
        Int8ActPerTensorFloat,
        Int8WeightPerChannelFloat,
        Int8WeightPerTensorFloat,
        Int32Bias,
        Uint8ActPerTensorFloat,
    )

INPUT_SCALE = FrontEndConfig().clip / 128
# A channel that hardly ever speaks is not blown up beyond this share of the loudest.
DEAD_CHANNEL = 0.02
# Scale of a range that only zeros were seen in: Brevitas leaves next to nothing.
SILENT = 1e-9


class InputQuant(Int8ActPerTensorFloat):
    """Fixed scale: the front end's clip is the range, nothing is left to calibrate."""

    scaling_impl_type = ScalingImplType.CONST
    scaling_init = FrontEndConfig().clip


class ReLUQuant(Uint8ActPerTensorFloat):
    """Range from the largest value seen: what clips is a motion spike, and a clipped spike turns the embedding."""

    high_percentile_q = 100.0


class EmbeddingQuant(Int8ActPerTensorFloat):
    """Range from the largest value seen: a clipped coordinate turns the embedding."""

    high_percentile_q = 100.0


class AnswersQuant(Int8ActPerTensorFloat):
    """Fixed scale: the range of heart rates is the contract's, not that of the training people."""

    scaling_impl_type = ScalingImplType.CONST
    scaling_init = ANSWER_RANGE


WEIGHTED = (CONVOLUTION, SCALING)


class QuantGraph(Computed):
    """A folded student under fake quantisation; same outputs as the graph that it was made of.

    Attributes:
        layers: node -> its convolution. ranges: group -> its quantiser. group: place -> what shares its quantiser.
        positive: groups without anything below 0. averages: convolutions whose weights stay.
    """

    def __init__(self, student: StudentGraph):
        super().__init__()
        self.describe(
            student.name,
            student.inputs,
            student.nodes,
            student.sources,
            student.outputs,
            student.answers,
            student.recipe,
        )
        self.input = qnn.QuantIdentity(act_quant=InputQuant, return_quant_tensor=True)
        self.group = _groups(self)
        # Whoever reads an embedding or answers counts on a zero point of 0, whatever they end with.
        signed = {self.group[o.place] for o in self.outputs if o.name in (EMBEDDING_OUTPUT, ANSWERS_OUTPUT)}
        self.positive = {
            g
            for g in set(self.group.values()) - signed
            if all(student.positive(p) for p, own in self.group.items() if own == g)
        }
        self.averages = {i for i in range(len(self.nodes)) if student.averages(i)}
        self.layers, self.ranges = nn.ModuleDict(), nn.ModuleDict()
        answers = {self.group[o.place] for o in self.outputs if o.name == ANSWERS_OUTPUT}
        fixed = {g for g in self.group.values() if g < 0}
        if answers & fixed:
            raise ExportError(
                "has the range of the input", field=ANSWERS_OUTPUT, cure="Put a 1x1 convolution before it"
            )
        for i, node in enumerate(self.nodes):
            group = self.group[i]
            if node.kind in WEIGHTED:
                self.layers[_key(node)] = self._convolution(student, i)
            if group >= 0 and _key(self.nodes[group]) not in self.ranges:
                self.ranges[_key(self.nodes[group])] = _range(group in answers, group in self.positive)

    def _convolution(self, student: StudentGraph, i: int) -> qnn.QuantConv1d:
        node, (dilation, groups) = self.nodes[i], student.shape(i)
        weight, bias = student.folded(i)
        said = [o.name for o in self.outputs if o.place == i]
        few = self.timing.once[i] and node.kind == CONVOLUTION and not set(said) - {EMBEDDING_OUTPUT}
        made = qnn.QuantConv1d(
            weight.shape[1] * groups, len(weight), weight.shape[2], stride=node.stride, dilation=dilation, groups=groups,
            bias=bias is not None, weight_quant=Int8WeightPerTensorFloat if few else Int8WeightPerChannelFloat,
            bias_quant=Int32Bias if bias is not None else None, return_quant_tensor=True,
        )  # fmt: skip
        with torch.no_grad():
            made.weight.copy_(weight)
            if bias is not None:
                made.bias.copy_(bias)
        made.weight.requires_grad_(i not in self.averages)
        return made

    def convolution(self, place: int) -> qnn.QuantConv1d:
        """The convolution of a node."""
        return self.layers[_key(self.nodes[place])]

    def range_of(self, place: int) -> nn.Module:
        """The quantiser of a place."""
        group = self.group[place]
        return self.input if group < 0 else self.ranges[_key(self.nodes[group])]

    def unsigned(self, place: int) -> bool:
        """Whether a place has no number below 0: uint8, which is int8 at a zero point of -128."""
        return self.group[place] in self.positive

    def enter(self, place: int, x: Tensor) -> Tensor:
        """See `Computed.enter`."""
        return self.input(x)

    def on_grid(self, place: int, x: Tensor) -> Tensor:
        """See `Computed.on_grid`: a quantiser finds values on its own grid and leaves them."""
        return self.range_of(place)(x)

    def compute(self, place: int, given: list[Tensor]) -> Tensor:
        """See `Computed.compute`."""
        node = self.nodes[place]
        y = self.convolution(place)(given[0]) if node.kind in WEIGHTED else operate(node, [plain(x) for x in given])
        if node.activation == RELU6 or (node.activation and not self.unsigned(place)):
            y = activate(node.activation, plain(y))
        return self.range_of(place)(y)

    @staticmethod
    def newest(x: Any, frames: int) -> Any:
        """See `Computed.newest`."""
        if x.shape[-1] == frames:
            return x
        cut = plain(x)[..., x.shape[-1] - frames :]
        return x.set(value=cut) if hasattr(x, "value") else cut

    def value(self, x: Tensor) -> Tensor:
        """See `Computed.value`."""
        return plain(x)


def plain(x: Any) -> Tensor:
    """A quantised tensor's value; while Brevitas calibrates, its quantisers hand on plain tensors."""
    return x.value if hasattr(x, "value") else x


def _key(node: Node) -> str:
    return node.name.replace(".", "/")


def _groups(graph: Computed) -> dict[int, int]:
    """Place -> the first place of those that have to share its range: what a pool or a concatenation copies, it cannot
    bring to another scale."""
    group = {place: place for place in (*range(-len(graph.inputs), 0), *range(len(graph.nodes)))}
    for i, node in enumerate(graph.nodes):
        if node.kind in (AVERAGE, MAXIMUM, CONCAT):
            together = {group[p] for p in (i, *graph.sources[i])}
            group = {p: min(together) if g in together else g for p, g in group.items()}
    return group


def _range(answers: bool, positive: bool) -> nn.Module:
    if positive and not answers:
        return qnn.QuantReLU(act_quant=ReLUQuant, return_quant_tensor=True)
    return qnn.QuantIdentity(act_quant=AnswersQuant if answers else EmbeddingQuant, return_quant_tensor=True)


def quant_student(student: nn.Module) -> QuantGraph:
    """A student, folded, under fake quantisation whose ranges are still to be found or loaded."""
    graph = graph_of(student)
    if not isinstance(graph, StudentGraph):
        raise ExportError("is quantised already", field=graph.name, cure="Give the float student")
    return QuantGraph(graph)


@torch.no_grad()
def float_values(quantised: QuantGraph, batch: tuple[Tensor, ...]) -> dict[int, Tensor]:
    """Place -> (B, channels, frames) of the float student that the layers hold."""
    rows = quantised.rows(batch)
    schedule = quantised.timing.window_of([x.shape[-1] for x in rows])
    found = {-1 - k: x for k, x in enumerate(rows)}
    for i, node in enumerate(quantised.nodes):
        given = [Computed.newest(found[e.source], e.frames) for e in schedule.edges[i]]
        held = quantised.convolution(i) if node.kind in WEIGHTED else None
        y = operate(node, given, *((held.weight, held.bias) if held else ()))
        found[i] = activate(node.activation, y)
    return found


def _peaks(quantised: QuantGraph, batches: list[tuple[Tensor, ...]]) -> dict[int, Tensor]:
    """Node -> (channels,) largest value of any batch."""
    peaks: dict[int, Tensor] = {}
    for batch in batches:
        for place, values in float_values(quantised, batch).items():
            most = values.abs().amax(dim=(0, 2))
            peaks[place] = torch.maximum(peaks[place], most) if place in peaks else most
    return peaks


def _readers(quantised: QuantGraph, place: int) -> list[int] | None:
    """The convolutions that read a place, through pools, which treat every channel alike; None if something else does too."""
    if any(o.place == place for o in quantised.outputs):
        return None
    found: list[int] = []
    for i, sources in enumerate(quantised.sources):
        if place not in sources:
            continue
        if i in quantised.averages or quantised.nodes[i].kind in (AVERAGE, MAXIMUM):
            further = _readers(quantised, i)
            if further is None:
                return None
            found += further
        elif quantised.nodes[i].kind in WEIGHTED:
            found.append(i)
        else:
            return None
    return found


@torch.no_grad()
def equalise(quantised: QuantGraph, batches: list[tuple[Tensor, ...]]) -> None:
    """Give the channels of each layer like ranges, in place, without changing what the student computes.

    A ReLU's output channel may be divided by s if the next layer's weights for it are multiplied by s (cross-layer
    equalisation, Nagel et al. 2019, arXiv 1906.04721). One activation scale per layer then serves every channel,
    where before the loudest channel set it. Before a depthwise layer, whose weights have a scale per channel, the
    ranges become equal; before a full one, range and weights meet half way. Layers that a sum, a concatenation or an
    output reads stay as they are.
    """
    peaks = _peaks(quantised, batches)
    for i, node in enumerate(quantised.nodes):
        readers = _readers(quantised, i)
        if node.kind not in WEIGHTED or node.activation != RELU or not readers:
            continue
        layer, following = quantised.convolution(i), [quantised.convolution(r) for r in readers]
        depthwise = [f.groups == f.in_channels == f.out_channels and f.groups > 1 for f in following]
        if len(set(depthwise)) > 1 or not (depthwise[0] or all(f.groups == 1 for f in following)):
            continue
        peak = peaks[i].clamp(min=DEAD_CHANNEL * float(peaks[i].max()))
        loud = torch.stack([f.weight.abs().amax(dim=(0, 2)) for f in following]) if not depthwise[0] else peak
        share = peak if depthwise[0] else (peak / loud.amax(dim=0).clamp(min=1e-6)).sqrt()
        share = share / share.log().mean().exp()
        layer.weight /= share[:, None, None]
        if layer.bias is not None:
            layer.bias /= share
        for reader in following:
            reader.weight *= share[:, None, None] if depthwise[0] else share[None, :, None]


@torch.no_grad()
def _settle_ranges(quantised: QuantGraph, batches: list[tuple[Tensor, ...]]) -> None:
    """What several layers share has the range of the loudest; what ends at 6 needs no more."""
    members: dict[int, list[int]] = {}
    for place, group in quantised.group.items():
        if group >= 0:
            members.setdefault(group, []).append(place)
    shared = any(len(places) > 1 for places in members.values())
    peaks = _peaks(quantised, batches) if shared else {}
    for group, places in members.items():
        quantiser: Any = quantised.range_of(group).act_quant
        scaling = quantiser.fused_activation_quant_proxy.tensor_quant.scaling_impl
        if not hasattr(scaling, "buffer") and not isinstance(getattr(scaling, "value", None), nn.Parameter):
            continue  # fixed
        if len(places) > 1:
            scaling.value.fill_(max(float(peaks[p].max()) for p in places))
        if all(quantised.nodes[p].activation == RELU6 for p in places):
            scaling.value.clamp_(max=6.0)


def _refuse_silence(quantised: QuantGraph) -> None:
    """A layer that gave nothing but zeros on every calibration window has no range, and a student with one no answers."""
    for name, act in quantised.ranges.items():
        quantiser: Any = act.act_quant
        scale = quantiser.scale()
        if not bool((scale > SILENT).all()):
            raise CheckpointError(
                "gives nothing but zeros on real recordings",
                field=name.replace("/", "."),
                cure="The student has learnt nothing: distil it longer",
            )


def quantise(student: nn.Module, batches: list[Tensor] | list[tuple[Tensor, ...]]) -> QuantGraph:
    """Post-training quantisation: fold, equalise, wrap, calibrate the ranges on `batches` of (B, window), or of as many as
    there are inputs.

    Returns the student in eval mode; it is the start of QAT and the baseline that QAT has to beat.
    """
    rows = [batch if isinstance(batch, tuple) else (batch,) for batch in batches]
    quantised = quant_student(student)
    equalise(quantised, rows)
    quantised.eval()
    with torch.no_grad(), calibration_mode(quantised):
        for batch in rows:
            quantised(*batch)
    _settle_ranges(quantised, rows)
    _refuse_silence(quantised)
    # The ranges stay: QAT would narrow them for its median window, and the spikes that then clip are its worst ones.
    for act in quantised.ranges.values():
        act.act_quant.requires_grad_(False)
    return quantised
