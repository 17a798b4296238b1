"""One hop of a student as ONNX with its state in the open: Q/DQ around each convolution, int8 in and out.

Brevitas' exporter writes the window (`onnx_writer`); a hop is written here from the integers, so that the state
tensors are int8 and the same as those of the TFLite step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from onwrist.export.graphs.onnx_writer import OPSET, OUTPUT_NAMES
from onwrist.quantize.integers.arithmetic import IntegerLayer, IntegerModel

# The IR of the opset's release: older runtimes refuse newer ones.
IR_VERSION = 8


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values: ArrayLike) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def dequantise(self, name: str, values: str, scale: ArrayLike, zero: ArrayLike, **axis: int) -> str:
        inputs = [values, self.constant(f"{name}.scale", scale), self.constant(f"{name}.zero", zero)]
        return self.node("DequantizeLinear", inputs, f"{name}.real", **axis)

    def convolve(self, layer: IntegerLayer, line: str, output: str) -> str:
        """int8 (1, in, n) to int8 (1, out, m); zero point -128 makes the saturation of QuantizeLinear the ReLU."""
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
        groups = outputs if layer.depthwise else 1
        y = self.node(
            "Conv", [x, w, b], f"{name}.y", strides=[layer.stride], dilations=[layer.dilation], group=groups,
            kernel_shape=[layer.weight.shape[-1]], pads=[0, 0],
        )  # fmt: skip
        scale = self.constant(f"{name}.out.scale", np.float32(layer.output_scale))
        zero = self.constant(f"{name}.out.zero", np.int8(layer.output_zero))
        return self.node("QuantizeLinear", [y, scale, zero], output)


def write_onnx_step(model: IntegerModel, hop: int) -> bytes:
    """In: `ppg` int8 (1, 1, hop), then `state0`, `state1`, ... int8 (1, channels, context). Out: `embedding` int8
    (1, 256, 1), `answers` int8 (1, 3, 1), then `next0`, `next1`, ..., to be handed in with the next hop. The first
    state is `IntegerModel.start`.

    Raises:
        ConfigError: not a hop of this model.
    """
    strided = model.at_hop(hop)
    graph = _Graph()
    end = graph.constant("end", np.array([np.iinfo(np.int64).max]))
    time = graph.constant("time", np.array([2]))

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.INT8, shape)

    inputs = [value("ppg", 1, 1, hop)]
    kept: list[onnx.ValueInfoProto] = []
    ends = dict(zip((model.embed.name, model.head[-1].name), OUTPUT_NAMES, strict=True))
    produced: list[str] = []
    for layer, feeder in zip(strided.layers, strided.sources, strict=True):
        at = "ppg" if feeder < 0 else produced[feeder]
        if layer.context:
            i, shape = len(kept), (1, layer.channels, layer.context)
            inputs.append(value(f"state{i}", *shape))
            at = graph.node("Concat", [f"state{i}", at], f"{layer.name}.line", axis=2)
            first = graph.constant(f"{layer.name}.first", np.array([-layer.context]))
            graph.node("Slice", [at, first, end, time], f"next{i}")
            kept.append(value(f"next{i}", *shape))
        produced.append(graph.convolve(layer, at, ends.get(layer.name, f"{layer.name}.out")))
    width, answers = len(model.embed.bias), len(model.head[-1].bias)
    outputs = [value("embedding", 1, width, 1), value("answers", 1, answers, 1), *kept]
    made = helper.make_graph(graph.nodes, f"onwrist {model.name} step", inputs, outputs, graph.constants)
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(whole, full_check=True)
    return whole.SerializeToString()
