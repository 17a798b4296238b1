"""An `IntegerModel` as a TFLite flatbuffer: its own integers and scales, byte for byte, through no converter.

Converters re-derive scales, and come out float or off by an ulp; writing the file directly leaves nothing to
derive. The graph is CONV_2D and DEPTHWISE_CONV_2D only, NHWC with height 1 and time as width.
"""

from __future__ import annotations

import json

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from onwrist.errors import ExportError
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.quantize.integers.arithmetic import IntegerLayer, IntegerModel

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
# TFLite's own files align buffers to 16 bytes; kernels that load vectors may count on it.
BUFFER_ALIGNMENT = 16
# Versions from which the kernels take int8 (tensorflow/lite/tools/versioning/op_version.cc).
CONV_VERSION, DEPTHWISE_VERSION, CONCATENATION_VERSION, SLICE_VERSION = 3, 3, 2, 2
# Operators beyond it have no code in the field that old readers look at.
LAST_OLD_CODE = schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
INPUT_NAME, EMBEDDING_NAME, ANSWERS_NAME = "ppg", "embedding", "answers"
STATE, NEXT_STATE = "state", "next"
# Entry of a file's metadata that says what its answers mean; a file without it has the shipped ones.
ANSWERS_METADATA = "onwrist.answers"


class _Buffer(schema.BufferT):
    """Buffer whose data starts on a 16-byte boundary, as the schema's `force_align` asks for."""

    def Pack(self, builder):  # noqa: N802 (generated interface)
        at = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), BUFFER_ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data.tobytes()
            at = builder.EndVector()
        schema.BufferStart(builder)
        if at is not None:
            schema.BufferAddData(builder, at)
        return schema.BufferEnd(builder)


class _Builder(flatbuffers.Builder):
    """Builder that stores equal vectors of numbers once: per-channel zero points alone are 8 bytes of nothing each.

    Equal strings too: the empty names of inner tensors are 8 bytes each.
    """

    def __init__(self, size: int):
        super().__init__(size)
        self.known: dict[bytes, int] = {}

    def CreateString(self, s, *more, **options):  # noqa: N802 (overridden interface)
        key = b"string " + (s.encode() if isinstance(s, str) else bytes(s))
        if key not in self.known:
            self.known[key] = super().CreateString(s, *more, **options)
        return self.known[key]

    def CreateNumpyVector(self, x):  # noqa: N802 (overridden interface)
        key = x.dtype.str.encode() + x.tobytes()
        if key not in self.known:
            self.known[key] = super().CreateNumpyVector(x)
        return self.known[key]


class _Shared:
    """Mixin: a table that is stored once however many objects point to it; `key` tells which are equal."""

    key: bytes

    def Pack(self, builder):  # noqa: N802 (generated interface)
        if self.key not in builder.known:
            builder.known[self.key] = super().Pack(builder)
        return builder.known[self.key]


class _Quantisation(_Shared, schema.QuantizationParametersT):
    pass


def _shared_options(kind: type, **fields: int):
    """Options of an operator, stored once for all operators with the same."""
    options = type(f"_{kind.__name__}", (_Shared, kind), {})()
    for name, value in fields.items():
        setattr(options, name, value)
    options.key = repr((kind.__name__, sorted(fields.items()))).encode()
    return options


class _Graph:
    """Subgraph in the making.

    Args:
        named: give inner tensors a name; without, 1 % less flash.
    """

    def __init__(self, named: bool = True) -> None:
        self.named = named
        self.indices: dict[bytes, int] = {}
        self.buffers = [schema.BufferT()]
        self.tensors: list[schema.TensorT] = []
        self.operators: list[schema.OperatorT] = []
        self.codes: list[schema.OperatorCodeT] = []

    def tensor(self, name, shape, kind, scale, zero, dimension=0, data=None) -> int:
        quantisation = _Quantisation()
        quantisation.scale = np.atleast_1d(np.asarray(scale, np.float32))
        quantisation.zeroPoint = np.broadcast_to(np.int64(zero), len(quantisation.scale))
        quantisation.quantizedDimension = dimension
        quantisation.key = quantisation.scale.tobytes() + quantisation.zeroPoint.tobytes() + bytes([dimension])
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = (
            name.encode() if self.named or "/" not in name else b"",
            np.array(shape, np.int32),
            kind,
        )
        tensor.quantization = quantisation
        tensor.buffer = 0
        if data is not None:
            buffer = _Buffer()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def code(self, operator: int, version: int) -> int:
        for i, code in enumerate(self.codes):
            if code.builtinCode == operator:
                return i
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = operator, min(operator, LAST_OLD_CODE)
        code.version = version
        self.codes.append(code)
        return len(self.codes) - 1

    def convolve(self, layer: IntegerLayer, source: int, length: int, output_name: str) -> tuple[int, int]:
        """Append a layer; returns (output tensor, its length)."""
        outputs, _, kernel = layer.weight.shape
        if layer.depthwise:
            shape, dimension = (1, 1, kernel, outputs), 3
            data = layer.weight[:, 0, :].T
            options_type, kind = schema.DepthwiseConv2DOptionsT, schema.BuiltinOptions.DepthwiseConv2DOptions
            more = {"depthMultiplier": 1}
            code = self.code(schema.BuiltinOperator.DEPTHWISE_CONV_2D, DEPTHWISE_VERSION)
        else:
            shape, dimension = (outputs, 1, kernel, layer.weight.shape[1]), 0
            data = layer.weight.transpose(0, 2, 1)
            options_type, kind, more = schema.Conv2DOptionsT, schema.BuiltinOptions.Conv2DOptions, {}
            code = self.code(schema.BuiltinOperator.CONV_2D, CONV_VERSION)
        int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
        weight = self.tensor(f"{layer.name}/weight", shape, int8, layer.weight_scale, 0, dimension, data)
        bias_scale = np.float32(layer.input_scale) * layer.weight_scale
        bias = self.tensor(f"{layer.name}/bias", (outputs,), int32, bias_scale, 0, 0, layer.bias)
        length = (length - layer.reach - 1) // layer.stride + 1
        output = self.tensor(output_name, (1, 1, length, outputs), int8, layer.output_scale, layer.output_zero)
        relu, none = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.NONE
        options = _shared_options(
            options_type, padding=schema.Padding.VALID, strideW=layer.stride, strideH=1,
            dilationWFactor=layer.dilation, dilationHFactor=1,
            fusedActivationFunction=relu if layer.relu else none, **more,
        )  # fmt: skip
        return self.append(code, [source, weight, bias], output, options, kind), length

    def pack(self, name: str, inputs: list[int], outputs: list[int], answers: Answers = SHIPPED_ANSWERS) -> bytes:
        """The finished file; it carries the meaning of answers that are not the shipped ones."""
        subgraph = schema.SubGraphT()
        subgraph.name = name.encode()
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        whole = schema.ModelT()
        whole.version, whole.description = SCHEMA_VERSION, f"onwrist {name}".encode()
        whole.subgraphs, whole.buffers, whole.operatorCodes = [subgraph], self.buffers, self.codes
        if answers != SHIPPED_ANSWERS:
            entry, buffer = schema.MetadataT(), _Buffer()
            text = json.dumps(answers.plain, separators=(",", ":"))
            buffer.data = np.frombuffer(text.encode(), np.uint8)
            entry.name, entry.buffer = ANSWERS_METADATA.encode(), len(self.buffers)
            self.buffers.append(buffer)
            whole.metadata = [entry]
        builder = _Builder(1 << 16)
        builder.Finish(whole.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def index(self, values: list[int]) -> int:
        """A constant int32 vector, as slices take them; equal ones are stored once."""
        key = np.array(values, np.int32).tobytes()
        if key not in self.indices:
            tensor = schema.TensorT()
            tensor.name, tensor.shape, tensor.type = b"", np.array([len(values)], np.int32), schema.TensorType.INT32
            buffer = _Buffer()
            buffer.data = np.frombuffer(key, np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
            self.tensors.append(tensor)
            self.indices[key] = len(self.tensors) - 1
        return self.indices[key]

    def append(self, code: int, inputs: list[int], output: int, options, kind: int) -> int:
        """An operator with one output."""
        operator = schema.OperatorT()
        operator.opcodeIndex = code
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        operator.builtinOptions, operator.builtinOptionsType = options, kind
        self.operators.append(operator)
        return output

    def join(self, held: int, fresh: int, context: int, length: int, like: IntegerLayer) -> int:
        """Left context and new frames, one behind the other in time."""
        channels = like.channels
        shape = (1, 1, context + length, channels)
        line = self.tensor(f"{like.name}/line", shape, schema.TensorType.INT8, like.input_scale, like.input_zero)
        options = _shared_options(schema.ConcatenationOptionsT, axis=2)
        code = self.code(schema.BuiltinOperator.CONCATENATION, CONCATENATION_VERSION)
        return self.append(code, [held, fresh], line, options, schema.BuiltinOptions.ConcatenationOptions)

    def keep(self, line: int, context: int, length: int, like: IntegerLayer, name: str) -> int:
        """The last `context` frames: the layer's next state."""
        channels = like.channels
        shape = [1, 1, context, channels]
        state = self.tensor(name, shape, schema.TensorType.INT8, like.input_scale, like.input_zero)
        begin, size = self.index([0, 0, length, 0]), self.index([1, 1, -1, -1])
        code = self.code(schema.BuiltinOperator.SLICE, SLICE_VERSION)
        options = _shared_options(schema.SliceOptionsT)
        return self.append(code, [line, begin, size], state, options, schema.BuiltinOptions.SliceOptions)


def write_tflite(model: IntegerModel, *, answers: bool = True) -> bytes:
    """The model as a `.tflite` file: int8 (1, 1, window, 1) in; embedding (1, 1, 1, 256) and answers (1, 1, 1, 3) out.

    Args:
        answers: False leaves the head out, for tools that know no second output.
    """
    graph = _Graph()
    source = graph.tensor(INPUT_NAME, (1, 1, model.window, 1), schema.TensorType.INT8, model.input_scale, 0)
    whole = model.layers if answers else (*model.trunk, model.embed)
    produced: list[tuple[int, int]] = []
    for layer, feeder in zip(whole, model.sources, strict=False):
        at, length = (source, model.window) if feeder < 0 else produced[feeder]
        produced.append(graph.convolve(layer, at, length, output_names(model).get(layer.name, layer.name)))
    outputs = [produced[len(model.trunk)][0], *([produced[-1][0]] if answers else [])]
    return graph.pack(model.name, [source], outputs, model.answers if answers else SHIPPED_ANSWERS)


def output_names(model: IntegerModel) -> dict[str, str]:
    """Layer -> name of its output, of the two layers whose outputs leave the graph."""
    return {model.embed.name: EMBEDDING_NAME, model.head[-1].name: ANSWERS_NAME}


def write_tflite_step(model: IntegerModel, hop: int) -> bytes:
    """One hop of the model as a `.tflite` file with its state in the open.

    In: `ppg` int8 (1, 1, hop, 1), then `state0`, `state1`, ... int8 (1, 1, context, channels), one for each layer that
    keeps frames. Out: embedding (1, 1, 1, 256), answers (1, 1, 1, 3), then `next0`, `next1`, ... in the same order, to
    be handed in with the next hop. The first state is `IntegerModel.start`.

    Raises:
        ConfigError: not a hop of this model.
    """
    strided = model.at_hop(hop)
    graph = _Graph(named=False)
    source = graph.tensor(INPUT_NAME, (1, 1, hop, 1), schema.TensorType.INT8, model.input_scale, 0)
    inputs = [source]
    produced: list[tuple[int, int]] = []
    kept: list[int] = []
    for layer, feeder in zip(strided.layers, strided.sources, strict=True):
        at, length = (source, hop) if feeder < 0 else produced[feeder]
        if layer.context:
            shape = (1, 1, layer.context, layer.channels)
            name_in, name_out = (f"{n}{len(kept)}" for n in (STATE, NEXT_STATE))
            held = graph.tensor(name_in, shape, schema.TensorType.INT8, layer.input_scale, layer.input_zero)
            inputs.append(held)
            at = graph.join(held, at, layer.context, length, layer)
            kept.append(graph.keep(at, layer.context, length, layer, name_out))
            length += layer.context
        name = output_names(model).get(layer.name, f"{layer.name}/out")
        produced.append(graph.convolve(layer, at, length, name))
    outputs = [produced[len(model.trunk)][0], produced[-1][0], *kept]
    return graph.pack(f"{model.name} step", inputs, outputs, model.answers)


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
