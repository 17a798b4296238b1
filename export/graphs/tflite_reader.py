"""A `.tflite` file as plain values: tensors with their integers and scales, operators with their settings.

Only what firmware can run: int8 and int32, one subgraph, the operators of `OPERATORS`. Anything else is refused with
its name, its place in the graph, and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from onwrist.errors import ExportError

OPERATORS = {
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MEAN", "ADD", "SOFTMAX", "RESHAPE", "CONCATENATION",
    "SLICE",
}  # fmt: skip
KINDS = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: "none", schema.ActivationFunctionType.RELU: "relu",
    schema.ActivationFunctionType.RELU6: "relu6",
}  # fmt: skip
CURE = "Change the model, or stay on TFLM for it (export/to_c.py --array)"


@dataclass(frozen=True)
class Tensor:
    """A tensor.

    Attributes:
        name, shape, kind: kind is np.int8 or np.int32. scale, zero: (1,) or one per channel.
        data: constant values, or None.
    """

    name: str
    shape: tuple[int, ...]
    kind: type
    scale: np.ndarray
    zero: np.ndarray
    data: np.ndarray | None

    @property
    def size(self) -> int:
        """Elements."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Operator:
    """An operator: kind, indices of its tensors (-1: none), settings by the schema's names."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    settings: dict


@dataclass(frozen=True)
class Network:
    """A file: tensors, operators in order of execution, indices of inputs and outputs."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run, by convolutions and fully connected layers."""
        total = 0
        for op in self.operators:
            if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
                total += self.tensors[op.outputs[0]].size * int(np.prod(self.tensors[op.inputs[1]].shape[1:]))
            elif op.kind == "DEPTHWISE_CONV_2D":
                _, height, width, _ = self.tensors[op.inputs[1]].shape
                total += self.tensors[op.outputs[0]].size * height * width
        return total


def read_tflite(data: bytes, where: str | Path = "") -> Network:
    """Parse a file.

    Raises:
        ExportError: not TFLite, or something in it that the C kernels do not know.
    """
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ExportError("is no TFLite file", where=where, cure="Give a .tflite")
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        graph = model.subgraphs[0]
    except Exception as error:  # the generated parser raises whatever its offsets lead to
        raise ExportError(f"is damaged ({type(error).__name__})", where=where, cure="Export it anew") from None
    if len(model.subgraphs) != 1:
        raise ExportError(f"has {len(model.subgraphs)} subgraphs", where=where, cure=CURE)
    tensors = tuple(_tensor(t, model.buffers, where) for t in graph.tensors)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    operators = []
    for place, op in enumerate(graph.operators):
        code = model.operatorCodes[op.opcodeIndex]
        kind = names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?")
        if kind not in OPERATORS:
            raise ExportError(f"operator {place} is {kind}", where=where, field=kind, cure=CURE)
        operators.append(_operator(kind, place, op, tensors, where))
    return Network(
        (graph.name or b"").decode(), tensors, tuple(operators), tuple(map(int, graph.inputs)), tuple(map(int, graph.outputs))
    )  # fmt: skip


def _tensor(tensor, buffers, where) -> Tensor:
    name = (tensor.name or b"").decode()
    if tensor.type not in KINDS:
        kinds = {v: k for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
        raise ExportError(
            f"is {kinds.get(tensor.type, '?')}", where=where, field=name or "tensor", cure="Quantise the model to int8"
        )
    shape = tuple(int(n) for n in (tensor.shape if tensor.shape is not None else ()))
    kind = KINDS[tensor.type]
    values = buffers[tensor.buffer].data
    data = None
    if values is not None and len(values):
        data = np.frombuffer(np.asarray(values, np.uint8).tobytes(), kind)
        if data.size != int(np.prod(shape)):
            raise ExportError("has other data than its shape", where=where, field=name, cure="Export it anew")
        data = data.reshape(shape)
    q = tensor.quantization
    scale = np.asarray(q.scale if q is not None and q.scale is not None else [1.0], np.float32)
    zero = np.asarray(q.zeroPoint if q is not None and q.zeroPoint is not None else [0], np.int64)
    return Tensor(name, shape, kind, scale, zero, data)


def _operator(kind: str, place: int, op, tensors: tuple[Tensor, ...], where) -> Operator:
    options = op.builtinOptions
    settings = {k: v for k, v in vars(options).items()} if options is not None else {}
    settings.pop("key", None)

    def refuse(what: str) -> None:
        raise ExportError(f"operator {place} ({kind}) {what}", where=where, field=kind, cure=CURE)

    if "fusedActivationFunction" in settings:
        activation = ACTIVATIONS.get(settings["fusedActivationFunction"])
        if activation is None:
            refuse("has a fused activation other than RELU and RELU6")
        settings["activation"] = activation
    inputs, outputs = tuple(map(int, op.inputs)), tuple(map(int, op.outputs))
    if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") and tensors[inputs[1]].data is None:
        refuse("has weights that are not constant")
    if kind == "DEPTHWISE_CONV_2D" and settings.get("depthMultiplier", 1) != 1 and tensors[inputs[0]].shape[-1] != 1:
        refuse(f"has a depth multiplier of {settings['depthMultiplier']}")
    if kind == "MEAN":
        axes = tensors[inputs[1]].data
        if axes is None or len(tensors[inputs[0]].shape) != 4 or sorted(axes.ravel() % 4) != [1, 2]:
            refuse("is over other axes than height and width")
    if kind == "SLICE" and (tensors[inputs[1]].data is None or tensors[inputs[2]].data is None):
        refuse("has a begin or size that is not constant")
    for i in (*inputs, *outputs):
        if i >= 0 and tensors[i].shape and tensors[i].data is None and tensors[i].shape[0] != 1:
            refuse(f"has a batch of {tensors[i].shape[0]}")
    return Operator(kind, inputs, outputs, settings)
