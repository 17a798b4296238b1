"""An `IntegerModel` as a TFLite flatbuffer: its own integers and scales, byte for byte, through no converter.

Converters re-derive scales, and come out float or off by an ulp; writing the file directly leaves nothing to
derive. Tensors are NHWC with height 1 and time as width. Window and step are written by the same lines: a step has
state, and where a branch needs fewer frames than there are, the oldest are cut off.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_graph import ANSWERS_METADATA, Graph  # noqa: F401 (where a file says its answers)
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT, NEXT_STATE, STATE
from onwrist.models.student.timing import Edge, Schedule
from onwrist.quantize.integers.arithmetic import IntegerModel, only, renamed
from onwrist.quantize.integers.operators import IntegerAdd, IntegerConcat, IntegerLayer


class _Writing:
    """One run of a model, operator by operator.

    Args:
        stepped: with state.
    """

    def __init__(self, model: IntegerModel, schedule: Schedule, stepped: bool):
        self.model, self.schedule, self.stepped = model, schedule, stepped
        self.graph = Graph(named=not stepped)
        self.names: dict[int, str] = {}
        for output in model.outputs:
            if schedule.frames[output.place] == 1 or not output.per_hop:
                self.names.setdefault(output.place, output.name)
        self.tensors: dict[int, int] = {}
        self.lines: dict[int, int] = {}
        self.cuts: dict[tuple[int, int], int] = {}
        self.inputs: list[int] = []
        self.kept: list[int] = []

    def write(self, name: str) -> bytes:
        """The finished file."""
        model, graph = self.model, self.graph
        for k, each in enumerate(model.inputs):
            self.tensors[-1 - k] = graph.int8(each.name, self.schedule.frames[-1 - k], each.channels, (each.scale, 0))
            self.inputs.append(self.tensors[-1 - k])
        for i in range(len(model.nodes)):
            self.tensors[i] = self._node(i, [self._read(edge) for edge in self.schedule.edges[i]])
        outputs = [self._output(k) for k in range(len(model.outputs))]
        answers = {"answers": model.answers} if any(o.name == ANSWERS_OUTPUT for o in model.outputs) else {}
        return graph.pack(name, self.inputs, [*outputs, *self.kept], **answers)

    def _node(self, i: int, given: list[int]) -> int:
        node, frames, stride = self.model.nodes[i], self.schedule.frames[i], self.schedule.edges[i][0].stride
        name = self.names.get(i, f"{node.name}/out" if self.stepped else node.name)
        if isinstance(node, IntegerLayer):
            return self.graph.convolve(node, given[0], stride, frames, name)
        output = self.graph.int8(name, frames, node.channels, self.model.grid(i))
        if isinstance(node, IntegerAdd):
            return self.graph.add(node, given, output)
        if isinstance(node, IntegerConcat):
            return self.graph.join(given, 3, output)
        return self.graph.pool(node, given[0], stride, output)

    def _read(self, edge: Edge) -> int:
        """The newest frames of a place, of which some may be from before."""
        place, fresh, context = edge.source, self.schedule.frames[edge.source], self.schedule.context[edge.source]
        if context and place not in self.lines:
            self._hold(place, fresh, context)
        if edge.frames == fresh:
            return self.tensors[place]
        if edge.frames == fresh + context:
            return self.lines[place]
        if edge.frames < fresh:
            return self._cut(self.tensors[place], place, fresh, edge.frames)
        return self._cut(self.lines[place], place, fresh + context, edge.frames)

    def _hold(self, place: int, fresh: int, context: int) -> None:
        channels, grid, label = self.model.width(place), self.model.grid(place), self._label(place)
        held = self.graph.int8(f"{STATE}{len(self.kept)}", context, channels, grid)
        self.inputs.append(held)
        line = self.graph.int8(f"{label}/line", context + fresh, channels, grid)
        self.lines[place] = self.graph.join([held, self.tensors[place]], 2, line)
        kept = self.graph.int8(f"{NEXT_STATE}{len(self.kept)}", context, channels, grid)
        self.kept.append(self.graph.newest(line, fresh, kept))

    def _cut(self, tensor: int, place: int, length: int, frames: int, name: str = "") -> int:
        if name or (tensor, frames) not in self.cuts:
            name = name or f"{self._label(place)}/newest{frames}"
            output = self.graph.int8(name, frames, self.model.width(place), self.model.grid(place))
            self.cuts[tensor, frames] = self.graph.newest(tensor, length - frames, output)
        return self.cuts[tensor, frames]

    def _output(self, k: int) -> int:
        output = self.model.outputs[k]
        length = self.schedule.frames[output.place]
        if self.names.get(output.place) == output.name:
            return self.tensors[output.place]
        frames = 1 if output.per_hop else length
        return self._cut(self.tensors[output.place], output.place, length, frames, output.name)

    def _label(self, place: int) -> str:
        return self.model.nodes[place].name if place >= 0 else self.model.inputs[-1 - place].name


def write_tflite(model: IntegerModel, *, answers: bool = True, window: int | None = None) -> bytes:
    """The model as a `.tflite` file: int8 (1, 1, n, channels) of each input in; embedding (1, 1, 1, C), answers (1, 1, 1, C)
    and other outputs (1, 1, frames, C) out.

    Args:
        answers: False leaves all but the embedding out, for tools that know no second output.
        window: samples of the first input, if more than one output sees: for more frames of outputs at frame rate.

    Raises:
        ConfigError: a shorter window.
    """
    # By their labels: from a step, which knows no names, the same file can be written.
    model = renamed(model, model.labels.__getitem__)
    model = model if answers else only(model, EMBEDDING_OUTPUT)
    schedule = model.timing.window_of(model.timing.samples(window or model.window))
    return _Writing(model, schedule, stepped=False).write(model.name)


def write_tflite_step(model: IntegerModel, hop: int) -> bytes:
    """One hop of the model as a `.tflite` file with its state in the open.

    In: each input int8 (1, 1, samples of a hop, channels), then `state0`, `state1`, ... int8 (1, 1, context, channels), one
    for each tensor of which frames are kept. Out: the outputs, (1, 1, frames a hop, C), embedding and answers first, then
    `next0`, `next1`, ... in the same order, to be handed in with the next hop. The first state is
    `IntegerModel.first_state`.

    Raises:
        ConfigError: not a hop of this model.
    """
    several = [o.name for o in model.outputs if not o.per_hop]
    # A hop of one frame would not show which outputs have a frame rate.
    name = f"{model.name} step" + (f", {' '.join(several)} at frame rate" if several else "")
    return _Writing(model, model.timing.step(hop), stepped=True).write(name)


def read_integers_back(data: bytes) -> dict[str, tuple[np.ndarray | None, np.ndarray, np.ndarray]]:
    """Tensor name -> (integers or None, scales, zero points) of any TFLite file, for comparison."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    names = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
    found = {}
    for tensor in model.subgraphs[0].tensors:
        values = model.buffers[tensor.buffer].data
        kind = names.get(tensor.type, np.uint8)
        integers = None
        if values is not None and len(values):
            integers = np.frombuffer(np.asarray(values, np.uint8).tobytes(), kind).reshape(tensor.shape)
        q = tensor.quantization
        scale = np.asarray(q.scale if q is not None and q.scale is not None else [], np.float32)
        zero = np.asarray(q.zeroPoint if q is not None and q.zeroPoint is not None else [], np.int64)
        found[tensor.name.decode()] = (integers, scale, zero)
    return found


def check_integer_only(data: bytes) -> list[str]:
    """Operator names of a file in which every tensor is an integer.

    Raises:
        ExportError: a float tensor or a (de)quantise operator is left; says which.
    """
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    kinds = {v: k for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
    operators = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    allowed = {"INT8", "INT16", "INT32", "INT64", "BOOL"}
    names = []
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            if kinds[tensor.type] not in allowed:
                raise ExportError(
                    f"is {kinds[tensor.type]}", field=tensor.name.decode(), cure="Quantise the layer that makes it"
                )
        for operator in subgraph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            name = operators[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if name in ("DEQUANTIZE", "QUANTIZE", "FAKE_QUANT"):
                raise ExportError("is left in the graph", field=name, cure="Write the file from integers")
            names.append(name)
    return names
