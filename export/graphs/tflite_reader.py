"""Read a TFLite file of an INT8 model: its tensors and operators, as far as the C kernels know them.

A file may be anything: damaged, absurd, or of operators that are not known here. Everything is looked at before it is
followed, and all that is missing is said at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_rules import OPERATORS, problem_of
from onwrist.export.graphs.tflite_variables import CALL_ONCE, VARIABLE_OPERATORS, Variable, without_variables

KINDS = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: "none", schema.ActivationFunctionType.RELU: "relu",
    schema.ActivationFunctionType.RELU6: "relu6",
}  # fmt: skip
CURE = "Change the model, or stay on TFLM for it (export/to_c.py --array)"
# No wrist has room for more: tensors, operators and buffers of a file; elements of a tensor; dimensions.
MOST, MOST_ELEMENTS, MOST_DIMENSIONS = 4096, 1 << 26, 6
# Problems that one message lists.
LISTED = 12


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
        return math.prod(self.shape)

    @property
    def constant(self) -> np.ndarray:
        """Its values.

        Raises:
            ExportError: it is computed, and has none before a run.
        """
        if self.data is None:
            raise ExportError("is no constant", where=self.name, cure="Report it: the reader should have refused it")
        return self.data


@dataclass(frozen=True)
class Operator:
    """An operator: kind, indices of its tensors (-1: none), settings by the schema's names."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    settings: dict


@dataclass(frozen=True)
class Network:
    """A file: tensors, operators in order of execution, indices of inputs and outputs, variables that a run changes."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run, by convolutions and fully connected layers."""
        return sum(self.macs_of(op) for op in self.operators)

    def macs_of(self, op: Operator) -> int:
        """Multiply-accumulates of an operator; 0 of what is no convolution and not fully connected."""
        if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
            return self.tensors[op.outputs[0]].size * math.prod(self.tensors[op.inputs[1]].shape[1:])
        if op.kind == "DEPTHWISE_CONV_2D":
            _, height, width, _ = self.tensors[op.inputs[1]].shape
            return self.tensors[op.outputs[0]].size * height * width
        return 0


class _Damaged(Exception):
    """The file says something that cannot be."""


def read_tflite(data: bytes, where: str | Path = "") -> Network:
    """Parse a file.

    Raises:
        ExportError: not TFLite, damaged, or with something that the C kernels do not know: all of it, operators first.
    """
    network, problems = inspect_tflite(data, where)
    refuse(list(problems.values()), where)
    return network


def refuse(problems: list[str], where: str | Path) -> None:
    """Raise what is wrong, if anything is."""
    if problems:
        more = [f"and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
        raise ExportError("; ".join([*problems[:LISTED], *more]), where=where, cure=CURE)


def read_metadata(data: bytes, name: str) -> bytes | None:
    """An entry of the metadata of a file that `read_tflite` has read; None where there is none of that name."""
    model = schema.Model.GetRootAs(data, 0)
    for i in range(min(model.MetadataLength(), MOST)):
        entry = model.Metadata(i)
        if _text(entry.Name()) == name and 0 <= entry.Buffer() < model.BuffersLength():
            return _buffer(model.Buffers(entry.Buffer()))
    return None


def inspect_tflite(data: bytes, where: str | Path = "") -> tuple[Network, dict[int, str]]:
    """A file, and what the kernels do not know of it: by the place of the operator, beyond the last one for the rest.

    Raises:
        ExportError: not TFLite, or damaged.
    """
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ExportError("is no TFLite file", where=where, cure="Give a .tflite")
    try:
        return _inspect(data)
    except _Damaged as error:
        raise ExportError(f"is damaged: {error}", where=where, cure="Export it anew") from None
    except Exception as error:  # the generated accessors raise whatever their offsets lead to
        raise ExportError(f"is damaged ({type(error).__name__})", where=where, cure="Export it anew") from None


def _inspect(data: bytes) -> tuple[Network, dict[int, str]]:
    model = schema.Model.GetRootAs(data, 0)
    graphs = model.SubgraphsLength()
    for name, count in {
        "graphs": graphs,
        "buffers": model.BuffersLength(),
        "codes": model.OperatorCodesLength(),
    }.items():
        if not 0 < count <= MOST:
            raise _Damaged(f"it has {count} {name}")
    buffers = [_buffer(model.Buffers(i)) for i in range(model.BuffersLength())]
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    codes = []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        codes.append(names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "?"))
    network, strange = _graph(model.Subgraphs(0), buffers, codes)
    if not network.inputs or not network.outputs:
        raise _Damaged("it has no inputs or no outputs")
    called = [op.settings.get("initSubgraphIndex", 0) for op in network.operators if op.kind == CALL_ONCE]
    if set(range(1, graphs)) - set(called):
        raise _Damaged(f"it has {graphs} subgraphs, where one is known, and those that {CALL_ONCE} runs")
    network, beside, read = without_variables(
        _without_ends(network),
        lambda i: _graph(model.Subgraphs(i), buffers, codes)[0] if 0 < i < graphs else None,
    )
    _order(network, read, {i for i, why in enumerate(strange) if why})
    problems: dict[int, str] = {}
    told = set()
    for place, op in enumerate(network.operators):
        used = [i for i in (*op.inputs, *op.outputs) if i >= 0]
        if op.kind not in OPERATORS:
            problems[place] = f"operator {place} is {op.kind}"
        elif odd := [i for i in used if strange[i]]:
            told.update(odd)
            name = network.tensors[odd[0]].name or str(odd[0])
            problems[place] = f"operator {place} ({op.kind}) uses {name}, which {strange[odd[0]]}"
        elif problem := problem_of(op.kind, [network.tensors[i] if i >= 0 else None for i in op.inputs],
                                   [network.tensors[i] for i in op.outputs], op.settings):  # fmt: skip
            problems[place] = f"operator {place} ({op.kind}) {problem}"
    operators, tensors = network.operators, network.tensors
    loose = [i for i in (*network.inputs, *network.outputs) if strange[i] and i not in told]
    for i in dict.fromkeys(loose):
        problems[len(operators) + i] = f"{network.tensors[i].name or 'tensor'} {strange[i]}"
    for i in (*network.inputs, *network.outputs):
        if tensors[i].data is not None:
            problems[len(operators) + i] = f"{tensors[i].name or 'tensor'} is an input or output and constant"
    problems |= {len(operators) + len(tensors) + i: problem for i, problem in enumerate(beside)}
    unknown = {k: v for k, v in problems.items() if k < len(operators) and network.operators[k].kind not in OPERATORS}
    return network, unknown | problems


def _graph(graph, buffers: list[bytes], codes: list[str]) -> tuple[Network, list[str]]:
    """A graph of a file, and what is unknown about each of its tensors."""
    counts = {
        "tensors": graph.TensorsLength(), "operators": graph.OperatorsLength(), "inputs": graph.InputsLength(),
        "outputs": graph.OutputsLength(),
    }  # fmt: skip
    for name, count in counts.items():
        if not 0 <= count <= MOST:
            raise _Damaged(f"it has {count} {name}")
    found = [_tensor(graph.Tensors(i), buffers) for i in range(counts["tensors"])]
    tensors = tuple(tensor for tensor, _ in found)
    operators = tuple(_operator(graph.Operators(i), codes, len(tensors)) for i in range(counts["operators"]))
    inputs, outputs = (_integers(ends, MOST) for ends in (graph.InputsAsNumpy(), graph.OutputsAsNumpy()))
    if not all(0 <= i < len(tensors) for i in (*inputs, *outputs)) or len(set(inputs)) < len(inputs):
        raise _Damaged("its inputs or outputs are no tensors of it")
    return Network(_text(graph.Name()), tensors, operators, inputs, outputs), [strange for _, strange in found]


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _buffer(buffer) -> bytes:
    if buffer.Offset() > 1:
        raise _Damaged("its constants lie outside of it, which is for files beyond 2 GB")
    return b"" if buffer.DataIsNone() else buffer.DataAsNumpy().tobytes()


def _vector(values) -> np.ndarray | None:
    return None if isinstance(values, int) or not len(values) else np.asarray(values)


def _integers(values, most: int) -> tuple[int, ...]:
    found = _vector(values)
    return () if found is None else tuple(map(int, found[:most]))


def _tensor(tensor, buffers: list[bytes]) -> tuple[Tensor, str]:
    """A tensor, and what is unknown about it."""
    name = _text(tensor.Name())
    shape = _integers(tensor.ShapeAsNumpy(), MOST_DIMENSIONS + 1)
    if len(shape) > MOST_DIMENSIONS or any(n < 0 for n in shape) or math.prod(shape) > MOST_ELEMENTS:
        raise _Damaged(f"a tensor has the shape {shape}")
    if not 0 <= tensor.Buffer() < len(buffers):
        raise _Damaged(f"a tensor is in buffer {tensor.Buffer()} of {len(buffers)}")
    strange = "is empty" if 0 in shape else ""
    if tensor.Type() not in KINDS:
        kinds = {v: k for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
        strange = f"is {kinds.get(tensor.Type(), '?')}"
    if tensor.Sparsity() is not None:
        strange = "is sparse"
    if tensor.IsVariable():
        strange = "is a variable"
    kind, data, values = KINDS.get(tensor.Type(), np.int8), None, buffers[tensor.Buffer()]
    if values and not strange:
        if len(values) != math.prod(shape) * np.dtype(kind).itemsize:
            raise _Damaged(f"a tensor of shape {shape} has {len(values)} bytes of data")
        data = np.frombuffer(values, kind).reshape(shape)
    q = tensor.Quantization()
    scale, zero = (None, None) if q is None else (_vector(q.ScaleAsNumpy()), _vector(q.ZeroPointAsNumpy()))
    scale = np.ones(1, np.float32) if scale is None else scale.astype(np.float32)
    zero = np.zeros(len(scale), np.int64) if zero is None else zero.astype(np.int64)
    if not strange and kind is np.int8:
        if not (np.isfinite(scale).all() and (scale > 0).all() and (np.abs(zero + 0.5) < 128).all()):
            strange = "has no sound scale and zero point"
        elif len(scale) > 1 and data is None:
            strange = "has a scale per channel and is not constant"
        elif len(zero) not in (1, len(scale)) or (len(scale) > 1 and len(scale) not in shape):
            strange = "has other scales than channels"
    return Tensor(name, shape, kind, scale, zero, data), strange


def _operator(op, codes: list[str], tensors: int) -> Operator:
    """An operator with the settings that belong to its kind."""
    if not 0 <= op.OpcodeIndex() < len(codes):
        raise _Damaged(f"an operator has the code {op.OpcodeIndex()} of {len(codes)}")
    kind = codes[op.OpcodeIndex()]
    inputs, outputs = (_integers(values, MOST) for values in (op.InputsAsNumpy(), op.OutputsAsNumpy()))
    if any(i < -1 or i >= tensors for i in inputs) or any(i < 0 or i >= tensors for i in outputs):
        raise _Damaged(f"{kind} uses tensors that there are not")
    settings: dict = {}
    rule = OPERATORS.get(kind)
    if name := rule.options if rule else VARIABLE_OPERATORS.get(kind, ""):
        options = op.BuiltinOptions()
        if op.BuiltinOptionsType() == getattr(schema.BuiltinOptions, name) and options is not None:
            table = getattr(schema, name)()
            table.Init(options.Bytes, options.Pos)
            settings = {k: v for k, v in vars(getattr(schema, f"{name}T").InitFromObj(table)).items() if np.isscalar(v)}
        elif rule is None or rule.needs_options:
            settings = {"missing": True}
    if "fusedActivationFunction" in settings:
        settings["activation"] = ACTIVATIONS.get(settings["fusedActivationFunction"], "?")
    return Operator(kind, inputs, outputs, settings)


def _without_ends(network: Network) -> Network:
    """QUANTIZE of an input and DEQUANTIZE of an output are the caller's: the C takes and gives int8."""
    inputs, outputs, operators = list(network.inputs), list(network.outputs), list(network.operators)
    for op in network.operators:
        if len(op.inputs) != 1 or len(op.outputs) != 1:
            continue
        (a,), (b,) = op.inputs, op.outputs
        users = [o for o in network.operators if a in o.inputs]
        alone = len(users) == 1 and a not in network.outputs
        if op.kind == "QUANTIZE" and a in inputs and alone and b not in outputs:
            inputs[inputs.index(a)] = b
            operators.remove(op)
        elif op.kind == "DEQUANTIZE" and b in outputs and not any(b in o.inputs for o in network.operators):
            outputs[outputs.index(b)] = a
            operators.remove(op)
    return replace(network, operators=tuple(operators), inputs=tuple(inputs), outputs=tuple(outputs))


def _order(network: Network, read: frozenset[int], strange: set[int]) -> None:
    """Nothing is used before it is there, nothing is made twice.

    Args:
        read: tensors of variables. strange: tensors that are refused for what they are; one may be a constant.

    Raises:
        _Damaged: it is otherwise.
    """
    there = set(network.inputs) | read | {i for i, t in enumerate(network.tensors) if t.data is not None}
    for op in network.operators:
        if op.kind in OPERATORS and not there.issuperset(set(op.inputs) - strange - {-1}):
            raise _Damaged(f"{op.kind} uses a tensor that nothing has made")
        if there.intersection(op.outputs):
            raise _Damaged(f"{op.kind} writes to a tensor that is there already")
        there.update(op.outputs)
    if not there.issuperset((*network.outputs, *(v.assigned for v in network.variables))):
        raise _Damaged("nothing makes its output")
