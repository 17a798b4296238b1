"""A TFLite subgraph in the making: tensors, the operators that a student's graph is made of, and the finished file."""

from __future__ import annotations

import json

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.quantize.integers.operators import INT8_MAX, IntegerAdd, IntegerLayer, IntegerPool
from onwrist.signals.front_end.student_input import USUAL, StudentInput

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
# TFLite's own files align buffers to 16 bytes; kernels that load vectors may count on it.
BUFFER_ALIGNMENT = 16
# Versions from which the kernels take int8 (tensorflow/lite/tools/versioning/op_version.cc).
CONV_VERSION, DEPTHWISE_VERSION, CONCATENATION_VERSION, SLICE_VERSION, POOL_VERSION, ADD_VERSION = 3, 3, 2, 2, 2, 2
# Operators beyond it have no code in the field that old readers look at.
LAST_OLD_CODE = schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
# Entries of a file's metadata that say what its answers mean, and what it is fed; a file without one has the shipped ones.
ANSWERS_METADATA, INPUT_METADATA = "onwrist.answers", "onwrist.input"


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


class Graph:
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

    def int8(self, name: str, frames: int, channels: int, grid: tuple[np.float32, int]) -> int:
        """A tensor of frames in time."""
        return self.tensor(name, (1, 1, frames, channels), schema.TensorType.INT8, *grid)

    def convolve(self, layer: IntegerLayer, source: int, stride: int, frames: int, output_name: str) -> int:
        """A convolution, weights first."""
        outputs, _, kernel = layer.weight.shape
        if layer.depthwise:
            shape, dimension = (1, 1, kernel, outputs), 3
            data = layer.weight[:, 0, :].T
            options_type, kind = schema.DepthwiseConv2DOptionsT, schema.BuiltinOptions.DepthwiseConv2DOptions
            more = {"depthMultiplier": outputs // layer.inputs}
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
        output = self.int8(output_name, frames, outputs, (layer.output_scale, layer.output_zero))
        options = _shared_options(
            options_type, padding=schema.Padding.VALID, strideW=stride, strideH=1,
            dilationWFactor=layer.dilation, dilationHFactor=1, fusedActivationFunction=_activation(layer), **more,
        )  # fmt: skip
        return self.append(code, [source, weight, bias], output, options, kind)

    def pool(self, pool: IntegerPool, source: int, stride: int, output: int) -> int:
        """An average or a maximum along time."""
        operators = {"average": schema.BuiltinOperator.AVERAGE_POOL_2D, "maximum": schema.BuiltinOperator.MAX_POOL_2D}
        options = _shared_options(
            schema.Pool2DOptionsT, padding=schema.Padding.VALID, strideW=stride, strideH=1, filterWidth=pool.kernel,
            filterHeight=1, fusedActivationFunction=schema.ActivationFunctionType.NONE,
        )  # fmt: skip
        code = self.code(operators[pool.kind], POOL_VERSION)
        return self.append(code, [source], output, options, schema.BuiltinOptions.Pool2DOptions)

    def add(self, node: IntegerAdd, sources: list[int], output: int) -> int:
        """A sum of two."""
        options = _shared_options(schema.AddOptionsT, fusedActivationFunction=_activation(node))
        code = self.code(schema.BuiltinOperator.ADD, ADD_VERSION)
        return self.append(code, sources, output, options, schema.BuiltinOptions.AddOptions)

    def join(self, sources: list[int], axis: int, output: int) -> int:
        """Tensors one behind the other in time (axis 2), or their channels beside each other (axis 3)."""
        options = _shared_options(schema.ConcatenationOptionsT, axis=axis)
        code = self.code(schema.BuiltinOperator.CONCATENATION, CONCATENATION_VERSION)
        return self.append(code, sources, output, options, schema.BuiltinOptions.ConcatenationOptions)

    def newest(self, source: int, first: int, output: int) -> int:
        """The frames from `first` on."""
        begin, size = self.index([0, 0, first, 0]), self.index([1, 1, -1, -1])
        code = self.code(schema.BuiltinOperator.SLICE, SLICE_VERSION)
        options = _shared_options(schema.SliceOptionsT)
        return self.append(code, [source, begin, size], output, options, schema.BuiltinOptions.SliceOptions)

    def pack(
        self,
        name: str,
        inputs: list[int],
        outputs: list[int],
        answers: Answers = SHIPPED_ANSWERS,
        sees: StudentInput = USUAL,
    ) -> bytes:
        """The finished file; it carries the meaning of answers, and the input, that are not the shipped ones."""
        subgraph = schema.SubGraphT()
        subgraph.name = name.encode()
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        whole = schema.ModelT()
        whole.version, whole.description = SCHEMA_VERSION, f"onwrist {name}".encode()
        whole.subgraphs, whole.buffers, whole.operatorCodes = [subgraph], self.buffers, self.codes
        said = {ANSWERS_METADATA: answers.plain} if answers != SHIPPED_ANSWERS else {}
        said |= {INPUT_METADATA: sees.plain} if sees != USUAL else {}
        for key, values in said.items():
            entry, buffer = schema.MetadataT(), _Buffer()
            buffer.data = np.frombuffer(json.dumps(values, separators=(",", ":")).encode(), np.uint8)
            entry.name, entry.buffer = key.encode(), len(self.buffers)
            self.buffers.append(buffer)
            whole.metadata = [*(whole.metadata or ()), entry]
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


def _activation(node: IntegerLayer | IntegerAdd) -> int:
    kinds = schema.ActivationFunctionType
    return kinds.RELU6 if node.ceiling < INT8_MAX else kinds.RELU if node.relu else kinds.NONE
