"""The QAT student as QCDQ ONNX, by Brevitas' own exporter; and the integers of such a file, read back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from onwrist.errors import ExportError

if TYPE_CHECKING:
    from onwrist.quantize.integers.fake_quant import QuantGraph

# QuantizeLinear with per-channel axes needs 13; the newer torch exporter fails on a quantised bias.
OPSET = 13


def write_onnx(student: QuantGraph) -> bytes:
    """float32 (1, window), or (1, channels, n) of an input with several, in; every output, (1, C) or (1, C, frames), out; Q/DQ
    around every operation."""
    import warnings

    import torch

    student.eval()
    samples = student.timing.samples(student.window)
    example = tuple(
        torch.zeros(1, n) if i.channels == 1 else torch.zeros(1, i.channels, n)
        for i, n in zip(student.inputs, samples, strict=True)
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # torch announces its newer exporter, Brevitas its optional kernels; neither is news to the caller.
        warnings.simplefilter("ignore")
        from brevitas.export import export_onnx_qcdq

        path = Path(folder) / "student.onnx"
        export_onnx_qcdq(
            student, args=example, export_path=str(path), dynamo=False, opset_version=OPSET,
            input_names=[i.name for i in student.inputs], output_names=[o.name for o in student.outputs],
        )  # fmt: skip
        return path.read_bytes()


def onnx_session(data: bytes):
    """ONNX Runtime on a file's bytes, on the CPU, one thread, quiet."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def convolutions(data: bytes) -> list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """(integer weights, weight scale, integer bias or None) of every convolution of a QCDQ file, in order."""
    model = onnx.load_from_string(data)
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    made = {output: node for node in model.graph.node for output in node.output}

    def integers(name: str) -> tuple[np.ndarray, np.ndarray]:
        node = made[name]
        source = node.input[0]
        while source not in constants:  # the exporter clips the integers to their range first
            source = made[source].input[0]
        return constants[source], np.atleast_1d(constants[node.input[1]])

    found = []
    for node in model.graph.node:
        if node.op_type == "Conv":
            weight, scale = integers(node.input[1])
            bias = integers(node.input[2])[0] if len(node.input) > 2 else None
            found.append((weight, scale, bias))
    return found


def check_self_contained(data: bytes) -> None:
    """Refuse a file whose weights lie in other files: a runtime would open whatever they name.

    Raises:
        ExportError: they do.
    """

    def graphs(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                for inner in (attribute.g, *attribute.graphs):
                    if inner.node or inner.initializer:
                        yield from graphs(inner)

    for tensor in graphs(onnx.load_from_string(data).graph):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ExportError("lies in another file", field=tensor.name, cure="Export it with its weights inside")
