"""Google's converter, fed with the QAT student's quantisers, arrives at the same integers. Needs `make witness`."""

import numpy as np
import pytest
import torch
from torch import nn

from export.tflite_writer import read_integers_back
from firmware_sim.runtimes import LiteRT
from quantize.integers import IntegerLayer, IntegerModel

litert_torch = pytest.importorskip("litert_torch", reason="the converter is not installed: make witness")
from torch.ao.quantization.fx import _decomposed  # noqa: E402, F401 (registers the quantized_decomposed operators)

ops = torch.ops.quantized_decomposed


class Witness(nn.Module):
    """The student as float convolutions between explicit quantise and dequantise operators."""

    def __init__(self, model: IntegerModel):
        super().__init__()
        self.model = model
        for i, layer in enumerate(model.layers):
            self.register_buffer(f"b{i}", torch.from_numpy(layer.bias))
            scale = np.broadcast_to(layer.weight_scale, len(layer.bias)).astype(np.float32)
            self.register_buffer(f"s{i}", torch.from_numpy(scale.copy()))
            self.register_buffer(f"w{i}", torch.from_numpy(layer.weight * scale[:, None, None]))
            self.register_buffer(f"z{i}", torch.zeros(len(layer.bias), dtype=torch.int64))

    def _layer(self, i: int, layer: IntegerLayer, x: torch.Tensor) -> torch.Tensor:
        scale, zero = getattr(self, f"s{i}"), getattr(self, f"z{i}")
        w = ops.quantize_per_channel(getattr(self, f"w{i}"), scale, zero, 0, -127, 127, torch.int8)
        w = ops.dequantize_per_channel(w, scale, zero, 0, -127, 127, torch.int8)
        b = getattr(self, f"b{i}").float() * (float(layer.input_scale) * scale)
        groups = x.shape[1] if layer.depthwise else 1
        y = nn.functional.conv1d(x, w, b, layer.stride, dilation=layer.dilation, groups=groups)
        y = torch.relu(y) if layer.relu else y
        return self._requantise(y, float(layer.output_scale), layer.output_zero)

    @staticmethod
    def _requantise(x: torch.Tensor, scale: float, zero: int) -> torch.Tensor:
        q = ops.quantize_per_tensor(x, scale, zero, -128, 127, torch.int8)
        return ops.dequantize_per_tensor(q, scale, zero, -128, 127, torch.int8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self._requantise(x, float(self.model.input_scale), 0)
        for i, layer in enumerate(self.model.layers[:-1]):
            x = self._layer(i, layer, x)
        return x, self._layer(len(self.model.layers) - 1, self.model.layers[-1], x)


@pytest.fixture(scope="module")
def converted(artifacts, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("witness") / f"{artifacts.size}.tflite"
    litert_torch.convert(Witness(artifacts.model).eval(), (torch.zeros(1, 1, 400),)).export(str(path))
    return path.read_bytes()


def test_the_converter_arrives_at_the_same_weights_and_scales(artifacts, converted):
    theirs = [v for v in read_integers_back(converted).values() if v[0] is not None and v[0].dtype == np.int8]
    for layer in artifacts.model.layers:
        flat = layer.weight.transpose(0, 2, 1).ravel() if not layer.depthwise else layer.weight[:, 0, :].T.ravel()
        same = [t for t in theirs if t[0].size == flat.size and np.array_equal(t[0].ravel(), flat)]
        assert same, f"{layer.name}: no tensor of the converter holds these integers"
        assert any(
            np.array_equal(np.broadcast_to(t[1], len(layer.bias)), np.broadcast_to(layer.weight_scale, len(layer.bias)))
            for t in same
        )


def test_the_converters_file_computes_the_same_bytes(artifacts, converted):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    ours = LiteRT(artifacts.tflite)
    theirs = Interpreter(model_content=converted, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    theirs.allocate_tensors()
    source, outputs = theirs.get_input_details()[0], theirs.get_output_details()
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (8, 400)).astype(np.int8)
    embedding, answers = ours.run(x)
    for row, e, a in zip(x, embedding, answers, strict=True):
        theirs.set_tensor(
            source["index"], (row.astype(np.float32) * artifacts.model.input_scale).reshape(source["shape"])
        )
        theirs.invoke()
        found = {o["shape"].tolist()[1]: theirs.get_tensor(o["index"]).reshape(-1) for o in outputs}
        np.testing.assert_array_equal(np.rint(found[256] / artifacts.model.embedding_scale).astype(np.int8), e)
        np.testing.assert_array_equal(np.rint(found[3] / artifacts.model.answers_scale).astype(np.int8), a)
