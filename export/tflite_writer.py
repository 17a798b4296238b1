"""An `IntegerModel` as a TFLite flatbuffer: its own integers and scales, byte for byte, through no converter.

Converters re-derive scales, and come out float or off by an ulp; writing the file directly leaves nothing to
derive. The graph is CONV_2D and DEPTHWISE_CONV_2D only, NHWC with height 1 and time as width.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from quantize.integers import IntegerLayer, IntegerModel
from signals.errors import ExportError

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
# TFLite's own files align buffers to 16 bytes; kernels that load vectors may count on it.
BUFFER_ALIGNMENT = 16
# Versions from which the kernels take int8 (tensorflow/lite/tools/versioning/op_version.cc).
CONV_VERSION, DEPTHWISE_VERSION = 3, 3
INPUT_NAME, EMBEDDING_NAME, ANSWERS_NAME = "ppg", "embedding", "answers"


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


class _Quantisation(schema.QuantizationParametersT):
    """Quantisation whose equal vectors are stored once: per-channel zero points are 8 bytes of nothing each."""

    shared: dict[bytes, int]

    def Pack(self, builder):  # noqa: N802 (generated interface)
        scale = self._once(builder, np.asarray(self.scale, np.float32))
        zero = self._once(builder, np.asarray(self.zeroPoint, np.int64))
        schema.QuantizationParametersStart(builder)
        schema.QuantizationParametersAddScale(builder, scale)
        schema.QuantizationParametersAddZeroPoint(builder, zero)
        schema.QuantizationParametersAddQuantizedDimension(builder, self.quantizedDimension)
        return schema.QuantizationParametersEnd(builder)

    def _once(self, builder, values: np.ndarray) -> int:
        key = values.dtype.str.encode() + values.tobytes()
        if key not in self.shared:
            self.shared[key] = builder.CreateNumpyVector(values)
        return self.shared[key]


class _Graph:
    def __init__(self) -> None:
        self.shared: dict[bytes, int] = {}
        self.buffers = [schema.BufferT()]
        self.tensors: list[schema.TensorT] = []
        self.operators: list[schema.OperatorT] = []
        self.codes: list[schema.OperatorCodeT] = []

    def tensor(self, name, shape, kind, scale, zero, dimension=0, data=None) -> int:
        quantisation = _Quantisation()
        quantisation.shared = self.shared
        quantisation.scale = np.atleast_1d(np.asarray(scale, np.float32))
        quantisation.zeroPoint = np.broadcast_to(np.int64(zero), len(quantisation.scale))
        quantisation.quantizedDimension = dimension
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(shape), kind
        tensor.quantization, tensor.hasRank = quantisation, True
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
        code.builtinCode = code.deprecatedBuiltinCode = operator
        code.version = version
        self.codes.append(code)
        return len(self.codes) - 1

    def convolve(self, layer: IntegerLayer, source: int, length: int, output_name: str) -> tuple[int, int]:
        """Append a layer; returns (output tensor, its length)."""
        outputs, _, kernel = layer.weight.shape
        if layer.depthwise:
            shape, dimension = (1, 1, kernel, outputs), 3
            data = layer.weight[:, 0, :].T
            options, kind = schema.DepthwiseConv2DOptionsT(), schema.BuiltinOptions.DepthwiseConv2DOptions
            options.depthMultiplier = 1
            code = self.code(schema.BuiltinOperator.DEPTHWISE_CONV_2D, DEPTHWISE_VERSION)
        else:
            shape, dimension = (outputs, 1, kernel, layer.weight.shape[1]), 0
            data = layer.weight.transpose(0, 2, 1)
            options, kind = schema.Conv2DOptionsT(), schema.BuiltinOptions.Conv2DOptions
            code = self.code(schema.BuiltinOperator.CONV_2D, CONV_VERSION)
        int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
        weight = self.tensor(f"{layer.name}/weight", shape, int8, layer.weight_scale, 0, dimension, data)
        bias_scale = np.float32(layer.input_scale) * layer.weight_scale
        bias = self.tensor(f"{layer.name}/bias", (outputs,), int32, bias_scale, 0, 0, layer.bias)
        length = (length - layer.reach - 1) // layer.stride + 1
        output = self.tensor(output_name, (1, 1, length, outputs), int8, layer.output_scale, layer.output_zero)
        options.padding = schema.Padding.VALID
        options.strideW, options.strideH = layer.stride, 1
        options.dilationWFactor, options.dilationHFactor = layer.dilation, 1
        relu, none = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.NONE
        options.fusedActivationFunction = relu if layer.relu else none
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, [source, weight, bias], [output]
        operator.builtinOptions, operator.builtinOptionsType = options, kind
        self.operators.append(operator)
        return output, length


def write_tflite(model: IntegerModel) -> bytes:
    """The model as a `.tflite` file: int8 (1, 1, window, 1) in; embedding (1, 1, 1, 256) and answers (1, 1, 1, 3) out."""
    graph = _Graph()
    source = graph.tensor(INPUT_NAME, (1, 1, model.window, 1), schema.TensorType.INT8, model.input_scale, 0)
    inputs, length, at = [source], model.window, source
    names = [layer.name for layer in model.layers[:-2]] + [EMBEDDING_NAME, ANSWERS_NAME]
    produced = []
    for layer, name in zip(model.layers, names, strict=True):
        at, length = graph.convolve(layer, at, length, name)
        produced.append(at)
    subgraph = schema.SubGraphT()
    subgraph.name = model.name.encode()
    subgraph.tensors, subgraph.operators = graph.tensors, graph.operators
    subgraph.inputs, subgraph.outputs = inputs, produced[-2:]
    whole = schema.ModelT()
    whole.version, whole.description = SCHEMA_VERSION, f"onwrist {model.name}".encode()
    whole.subgraphs, whole.buffers, whole.operatorCodes = [subgraph], graph.buffers, graph.codes
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(whole.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


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
