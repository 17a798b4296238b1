"""A student as a graph: what `tracing` finds in any network of causal convolutions.

    student = trace(make(64, 1), rates={"ppg": 50})
    said = student.said(x)              # x: (B, channels, n >= student.window); name -> (B, C), or (B, C, frames)

Nothing is padded: a window is long enough for what one output sees, and gives what a stream gives at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.errors import CheckpointError, ConfigError, ExportError
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT, FRAMES_OUTPUT
from onwrist.models.student.network import MotionStudent, Student, StudentConfig, describe
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.models.student.timing import Edge, Output, Schedule, Timing
from onwrist.signals.front_end.student_input import USUAL, StudentInput

CONVOLUTION, SCALING, AVERAGE, MAXIMUM, ADD, CONCAT = "convolution", "scaling", "average", "maximum", "add", "concat"
RELU, RELU6 = "relu", "relu6"


@dataclass(frozen=True)
class Input:
    """What comes in: `channels` at one sample per `period` samples of the first input."""

    name: str
    channels: int
    period: Fraction = Fraction(1)


@dataclass(frozen=True)
class Node:
    """One operation, with what is fused into it.

    Attributes:
        name: the user's own. kind: convolution (dense layers too), scaling (batch norm or ReLU without a convolution),
            average, maximum (pools), add, concat.
        modules: paths of the convolution, of the batch norm; "" where there is none.
        kernel: frames of a pool. reach, stride: in time. channels: of the output. activation: "", relu or relu6.
        dropouts: paths of what only training does to its output.
    """

    name: str
    kind: str
    channels: int
    modules: tuple[str, str] = ("", "")
    kernel: int = 1
    reach: int = 0
    stride: int = 1
    activation: str = ""
    dropouts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Framing:
    """The frames of a window that an answer at frame rate is taught and judged on: the newest `count`, of `seconds` each."""

    count: int = 0
    seconds: float = 0.0


NO_FRAMES = Framing()


class Computed(nn.Module):
    """A graph that torch computes: what float and fake-quantised students share.

    Attributes:
        name: of the student. inputs, nodes, sources, outputs: see `Timing`; the embedding is the first output and the
            answers come second, where there are such. sees: the signal that it is fed, and how long a window of it is.
    """

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    sources: tuple[tuple[int, ...], ...]
    outputs: tuple[Output, ...]

    answers: Answers
    recipe: dict
    sees: StudentInput

    def describe(
        self, name, inputs, nodes, sources, outputs, answers=SHIPPED_ANSWERS, sees=USUAL, recipe=MappingProxyType({})
    ) -> None:
        """Say what the graph is; `recipe` is what a file of it carries, so that it can be built again."""
        self.answers, self.sees, self.recipe = answers, sees, dict(recipe)
        self.name, self.inputs, self.nodes, self.sources = name, tuple(inputs), tuple(nodes), tuple(sources)
        self.outputs = tuple(outputs)
        self.timing = Timing(self.nodes, self.sources, tuple(i.period for i in inputs), self.outputs)

    def compute(self, place: int, given: list[Tensor]) -> Tensor:
        """What a node makes of (B, channels, frames) of each source."""
        raise NotImplementedError

    def enter(self, place: int, x: Tensor) -> Tensor:
        """What an input makes of samples (B, channels, frames)."""
        return x

    def on_grid(self, place: int, x: Tensor) -> Tensor:
        """Values (B, channels, frames) that were a place's before, as it would give them."""
        return x

    def value(self, x: Tensor) -> Tensor:
        """What a place gives as a plain tensor."""
        return x

    @staticmethod
    def newest(x: Tensor, frames: int) -> Tensor:
        """The newest frames of a value."""
        return x if x.shape[-1] == frames else x[..., x.shape[-1] - frames :]

    @property
    def window(self) -> int:
        """Samples of the first input that one output sees."""
        return self.timing.window

    @property
    def stride(self) -> int:
        """Samples of the first input of which a hop is a multiple."""
        return self.timing.stride

    @property
    def context(self) -> int:
        """Samples of the first input before the window that is judged."""
        return self.window - self.sees.samples

    @property
    def framing(self) -> Framing:
        """The frames of its window that it answers for; none where it answers once a hop."""
        for output in self.outputs:
            if output.name == FRAMES_OUTPUT:
                period = self.timing.period[output.place]
                there = self.timing.window_of(self.timing.samples(self.window)).frames[output.place]
                return Framing(min(there, int(self.sees.samples / period)), float(period) / self.sees.rate_hz)
        return NO_FRAMES

    def channels_of(self, place: int) -> int:
        """Channels of a node or an input."""
        return self.nodes[place].channels if place >= 0 else self.inputs[-1 - place].channels

    def values(self, schedule: Schedule, inputs: Sequence[Tensor]) -> dict[int, Tensor]:
        """Place -> (B, channels, frames) of one window."""
        found = {-1 - k: self.enter(-1 - k, x) for k, x in enumerate(inputs)}
        for i in range(len(self.nodes)):
            found[i] = self.compute(i, [self.newest(found[e.source], e.frames) for e in schedule.edges[i]])
        return found

    def said(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Each input (B, n) or (B, channels, n) to name -> (B, C) at the window's end, or (B, C, frames).

        Raises:
            ConfigError: fewer samples than one output sees, or other inputs than the graph has.
        """
        return self.said_with_frames(*inputs)[0]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """As `said`, the values only."""
        return tuple(self.said(*inputs).values())

    @property
    def pooled(self) -> Edge | None:
        """The frames that are pooled once a hop: what questions about single beats are asked of; None without a pool."""
        edges = self.timing.window_of(self.timing.samples(self.window)).edges
        pools = [i for i, node in enumerate(self.nodes) if self.timing.once[i] and node.reach]
        return edges[pools[0]][0] if pools and edges[pools[0]][0].source >= 0 else None

    def said_with_frames(self, *inputs: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """What `said` gives, and `pooled`: (B, channels, frames)."""
        rows = self.rows(inputs)
        found = self.values(self.timing.window_of([x.shape[-1] for x in rows]), rows)
        edge = self.pooled
        frames = None if edge is None else self.value(self.newest(found[edge.source], edge.frames))
        return {o.name: self._plain(found[o.place], o) for o in self.outputs}, frames

    def _plain(self, value: Tensor, output: Output) -> Tensor:
        return self.value(value)[..., -1] if output.per_hop else self.value(value)

    def rows(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Each input as (B, channels, n).

        Raises:
            ConfigError: other inputs than the graph has.
        """
        if len(inputs) != len(self.inputs):
            names = ", ".join(i.name for i in self.inputs)
            raise ConfigError(f"{len(inputs)} inputs, where there are {names}", field=self.name, cure="Give all")
        return [x.unsqueeze(1) if x.dim() == 2 else x for x in inputs]


class StudentGraph(Computed):
    """A float student that `tracing.trace` made of a module, whose weights it uses.

    Attributes:
        module: the user's own.
    """

    def __init__(
        self, module: nn.Module, name: str, inputs, nodes, sources, outputs, answers=SHIPPED_ANSWERS, sees=USUAL
    ):
        super().__init__()
        self.module = module
        self.describe(name, inputs, nodes, sources, outputs, answers, sees)

    def compute(self, place: int, given: list[Tensor]) -> Tensor:
        """See `Computed.compute`."""
        node = self.nodes[place]
        y = operate(node, given, *self._weights(node))
        if node.modules[1]:
            y = self.module.get_submodule(node.modules[1])(y)
        y = activate(node.activation, y)
        for path in node.dropouts:
            y = self.module.get_submodule(path)(y)
        return y

    def _weights(self, node: Node) -> tuple[Tensor | None, Tensor | None]:
        if not node.modules[0]:
            return None, None
        conv: Any = self.module.get_submodule(node.modules[0])
        return (conv.weight if conv.weight.dim() == 3 else conv.weight.unsqueeze(-1)), conv.bias

    def weights(self) -> dict[int, int]:
        """Node -> how many weights its convolution or scaling has."""
        counts = {}
        for i, node in enumerate(self.nodes):
            weight, _ = self._weights(node)
            if weight is not None:
                counts[i] = weight.numel()
            elif node.kind == SCALING:
                counts[i] = node.channels
        return counts

    @torch.no_grad()
    def folded(self, place: int) -> tuple[Tensor, Tensor | None]:
        """Weights (out, in / groups, kernel) and bias of a convolution or scaling, batch norm inside."""
        node = self.nodes[place]
        weight, bias = self._weights(node)
        if weight is None:
            weight = torch.ones(node.channels, 1, 1)
        if not node.modules[1]:
            return weight.clone(), None if bias is None else bias.clone()
        norm: Any = self.module.get_submodule(node.modules[1])
        gain = torch.rsqrt(norm.running_var + norm.eps)
        gain = gain * norm.weight if norm.affine else gain
        shift = norm.bias if norm.affine else torch.zeros(node.channels)
        bias = torch.zeros(node.channels) if bias is None else bias
        return weight * gain[:, None, None], (bias - norm.running_mean) * gain + shift

    def shape(self, place: int) -> tuple[int, int]:
        """(dilation, groups) of a convolution or scaling."""
        node = self.nodes[place]
        if not node.modules[0]:
            return 1, node.channels
        conv: Any = self.module.get_submodule(node.modules[0])
        return (1, 1) if isinstance(conv, nn.Linear) else (conv.dilation[0], conv.groups)

    def averages(self, place: int) -> bool:
        """Whether a convolution only averages: positive weights that are not trained, as the shipped students pool."""
        node = self.nodes[place]
        if node.kind != CONVOLUTION or node.modules[1]:
            return False
        weight, bias = self._weights(node)
        return bias is None and weight is not None and not weight.requires_grad and bool(torch.all(weight >= 0))

    def positive(self, place: int) -> bool:
        """Whether a place gives nothing below 0."""
        if place < 0:
            return False
        node, sources = self.nodes[place], self.sources[place]
        if node.activation or (node.kind in (CONVOLUTION, SCALING) and not self.averages(place)):
            return bool(node.activation)
        return all(self.positive(s) for s in sources)


# What is taught, quantised and deployed.
AnyStudent = Student | StudentGraph


def takes_acceleration(student: Any) -> bool:
    """Whether a student (module, graph or integers) has a second input: acceleration of three axes beside the light."""
    inputs = getattr(student, "inputs", None)
    return isinstance(student, MotionStudent) if inputs is None else len(inputs) > 1


def operate(node: Node, given: list[Tensor], weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """A node without its batch norm and activation."""
    x = given[0]
    if weight is not None:
        taps = weight.shape[-1]
        dilation = node.reach // (taps - 1) if taps > 1 else 1
        return F.conv1d(x, weight, bias, node.stride, 0, dilation, x.shape[1] // weight.shape[1])
    if node.kind == AVERAGE:
        return F.avg_pool1d(x, node.kernel, node.stride)
    if node.kind == MAXIMUM:
        return F.max_pool1d(x, node.kernel, node.stride)
    if node.kind == ADD:
        return given[0] + given[1]
    if node.kind == CONCAT:
        return torch.cat(given, dim=1)
    return x


def activate(activation: str, y: Tensor) -> Tensor:
    """The activation that is fused into a node."""
    return F.relu6(y) if activation == RELU6 else y.relu() if activation == RELU else y


def graph_of(student: nn.Module) -> Computed:
    """A student as a graph, whether it is one already or a module like the shipped ones."""
    if isinstance(student, Computed):
        return student
    from onwrist.models.student.tracing import trace

    config = getattr(student, "config", None)
    if isinstance(config, StudentConfig):
        found = trace(student, config.name, answers=config.answers, sees=config.sees)
        found.recipe = {"student": describe(config)}
    else:
        found = trace(student)
    return found


def make_student(
    source: str,
    embedding: int,
    answers: Answers = SHIPPED_ANSWERS,
    rates: Mapping[str, float] | None = None,
    name: str = "student",
    sees: StudentInput = USUAL,
) -> StudentGraph:
    """A user's network, `my_student.py:make`, as a graph that its files can be read back into.

    Args:
        embedding: width. answers: what it has to say. rates: Hz of each input, where there are several. sees: what it is fed.

    Raises:
        CheckpointError: no such function, or it makes no module. ExportError: something in it cannot be, or its widths are
        not those that were asked for.
    """
    from onwrist.models.encoders.checkpoint import made_by_user
    from onwrist.models.student.tracing import trace

    if ".py:" not in source:
        # A student's file says where its network is from; it is not to name any module of the installation.
        raise CheckpointError("is no function in a file", where=source, cure="Use my_student.py:make")
    columns = len(answers.columns)
    student = trace(made_by_user(source, "student", embedding=embedding, answers=columns), name, rates, answers, sees)
    for output, asked in ((EMBEDDING_OUTPUT, embedding), (ANSWERS_OUTPUT, columns)):
        given = [student.channels_of(o.place) for o in student.outputs if o.name == output]
        if given and given != [asked]:
            raise ExportError(
                f"has {given[0]} channels, where {asked} were asked for", where=source, field=output,
                cure="Use the widths that make gets",
            )  # fmt: skip
    recipe = {
        "source": source,
        "embedding": embedding,
        "answers": answers.plain,
        "rates": dict(rates or {}),
        "name": name,
    }
    student.recipe = {"graph": recipe | ({"input": sees.plain} if sees.plain else {})}
    return student
