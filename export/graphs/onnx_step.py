"""One hop of a student as ONNX with its state in the open: Q/DQ around each operation, int8 in and out.

Brevitas' exporter writes the window (`onnx_writer`); a hop is written here from the integers, so that the state
tensors are int8 and the same as those of the TFLite step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from onwrist.export.graphs.onnx_writer import OPSET
from onwrist.models.student.names import NEXT_STATE, STATE
from onwrist.models.student.timing import Edge
from onwrist.quantize.integers.arithmetic import IntegerModel, renamed
from onwrist.quantize.integers.operators import (
    INT8_MAX,
    INT8_MIN,
    IntegerAdd,
    IntegerConcat,
    IntegerLayer,
    IntegerNode,
    IntegerPool,
)

# The IR of the opset's release: older runtimes refuse newer ones.
IR_VERSION = 8


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.end = self.constant("end", np.array([np.iinfo(np.int64).max]))
        self.time = self.constant("time", np.array([2]))

    def constant(self, name: str, values: ArrayLike) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def newest(self, line: str, frames: int, output: str, first: str) -> str:
        """The last frames of a line."""
        return self.node("Slice", [line, self.constant(first, np.array([-frames])), self.end, self.time], output)

    def dequantise(self, name: str, values: str, scale: ArrayLike, zero: ArrayLike, **axis: int) -> str:
        inputs = [values, self.constant(f"{name}.scale", scale), self.constant(f"{name}.zero", zero)]
        return self.node("DequantizeLinear", inputs, f"{name}.real", **axis)

    def quantise(self, node: IntegerLayer | IntegerAdd | IntegerPool, y: str, output: str) -> str:
        """Zero point -128 makes the saturation of QuantizeLinear the ReLU."""
        name, scale = node.name, np.float32(node.output_scale)
        if (
            isinstance(node, IntegerLayer | IntegerAdd)
            and node.relu
            and (node.output_zero > INT8_MIN or node.ceiling < INT8_MAX)
        ):
            low = self.constant(f"{name}.low", np.float32(0))
            high = self.constant(f"{name}.high", np.float32((node.ceiling - node.output_zero) * scale))
            y = self.node("Clip", [y, low, high], f"{name}.clipped")
        grid = [self.constant(f"{name}.out.scale", scale), self.constant(f"{name}.out.zero", np.int8(node.output_zero))]
        return self.node("QuantizeLinear", [y, *grid], output)

    def convolve(self, layer: IntegerLayer, line: str, stride: int, output: str) -> str:
        """int8 (1, in, n) to int8 (1, out, m)."""
        name, outputs = layer.name, len(layer.bias)
        weight_scale = np.broadcast_to(layer.weight_scale, outputs).astype(np.float32)
        bias_scale = np.float32(layer.input_scale) * weight_scale
        x = self.dequantise(f"{name}.x", line, np.float32(layer.input_scale), np.int8(layer.input_zero))
        w = self.dequantise(
            f"{name}.w", self.constant(f"{name}.weight", layer.weight), weight_scale, np.zeros(outputs, np.int8), axis=0
        )
        b = self.dequantise(
            f"{name}.b", self.constant(f"{name}.bias", layer.bias), bias_scale, np.zeros(outputs, np.int32), axis=0
        )
        y = self.node(
            "Conv", [x, w, b], f"{name}.y", strides=[stride], dilations=[layer.dilation], group=layer.groups,
            kernel_shape=[layer.weight.shape[-1]], pads=[0, 0],
        )  # fmt: skip
        return self.quantise(layer, y, output)

    def compute(self, node: IntegerNode, given: list[str], stride: int, output: str) -> str:
        """Any node."""
        if isinstance(node, IntegerLayer):
            return self.convolve(node, given[0], stride, output)
        if isinstance(node, IntegerConcat):
            return self.node("Concat", given, output, axis=1)
        if isinstance(node, IntegerAdd):
            both = zip(given, node.scales, node.zeros, strict=True)
            parts = [
                self.dequantise(f"{node.name}.{k}", x, np.float32(scale), np.int8(zero))
                for k, (x, scale, zero) in enumerate(both)
            ]
            return self.quantise(node, self.node("Add", parts, f"{node.name}.y"), output)
        x = self.dequantise(f"{node.name}.x", given[0], np.float32(node.output_scale), np.int8(node.output_zero))
        kind = {"average": "AveragePool", "maximum": "MaxPool"}[node.kind]
        y = self.node(kind, [x], f"{node.name}.y", kernel_shape=[node.kernel], strides=[stride])
        return self.quantise(node, y, output)


def write_onnx_step(model: IntegerModel, hop: int) -> bytes:
    """In: each input int8 (1, channels, samples of a hop), then `state0`, `state1`, ... int8 (1, channels, context). Out: the
    outputs int8 (1, C, frames a hop), embedding and answers first, then `next0`, `next1`, ..., to be handed in with the next
    hop. The first state is `IntegerModel.first_state`.

    Raises:
        ConfigError: not a hop of this model.
    """
    # By their labels: from a TFLite step, which knows no names, the same file can be written.
    model = renamed(model, model.labels.__getitem__)
    schedule = model.timing.step(hop)
    graph = _Graph()

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.INT8, shape)

    inputs = [value(each.name, 1, each.channels, schedule.frames[-1 - k]) for k, each in enumerate(model.inputs)]
    produced = {-1 - k: each.name for k, each in enumerate(model.inputs)}
    lines: dict[int, str] = {}
    kept: list[onnx.ValueInfoProto] = []

    def read(reader: str, edge: Edge) -> str:
        place, fresh, context = edge.source, schedule.frames[edge.source], schedule.context[edge.source]
        if context and place not in lines:
            i, shape = len(kept), (1, model.width(place), context)
            inputs.append(value(f"{STATE}{i}", *shape))
            lines[place] = graph.node("Concat", [f"{STATE}{i}", produced[place]], f"{reader}.line", axis=2)
            graph.newest(lines[place], context, f"{NEXT_STATE}{i}", f"{reader}.first")
            kept.append(value(f"{NEXT_STATE}{i}", *shape))
        source, length = (produced[place], fresh) if edge.frames <= fresh else (lines[place], fresh + context)
        if edge.frames == length:
            return source
        return graph.newest(source, edge.frames, f"{reader}.of.{source}", f"{reader}.from.{source}")

    own: dict[int, str] = {}
    for output in model.outputs:
        if schedule.frames[output.place] == model.frames_of(output.name, hop):
            own.setdefault(output.place, output.name)
    for i, node in enumerate(model.nodes):
        given = [read(node.name, edge) for edge in schedule.edges[i]]
        name = own.get(i, f"{node.name}.out")
        produced[i] = graph.compute(node, given, schedule.edges[i][0].stride, name)
    outputs = []
    for output in model.outputs:
        frames = model.frames_of(output.name, hop)
        if own.get(output.place) != output.name:
            graph.newest(produced[output.place], frames, output.name, f"{output.name}.newest")
        outputs.append(value(output.name, 1, model.channels_of(output.name), frames))
    made = helper.make_graph(graph.nodes, f"onwrist {model.name} step", inputs, [*outputs, *kept], graph.constants)
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(whole, full_check=True)
    return whole.SerializeToString()
