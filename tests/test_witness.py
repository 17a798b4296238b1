"""Google's converter, fed with the QAT student's quantisers, arrives at the same integers. Needs `make witness`."""

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from onwrist.export.graphs.tflite_writer import check_integer_only, read_integers_back
from onwrist.firmware_sim.runtimes.window import LiteRT
from onwrist.quantize.integers.arithmetic import IntegerLayer, IntegerModel

litert_torch = pytest.importorskip("litert_torch", reason="the converter is not installed: make witness")
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config  # noqa: E402
from litert_torch.quantize.quant_config import QuantConfig  # noqa: E402
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
            self.register_buffer(f"w{i}", torch.from_numpy(layer.weight * scale[:, None, None])[:, :, None])
            self.register_buffer(f"z{i}", torch.zeros(len(layer.bias), dtype=torch.int64))

    def _layer(self, i: int, layer: IntegerLayer, x: torch.Tensor) -> torch.Tensor:
        scale, zero = getattr(self, f"s{i}"), getattr(self, f"z{i}")
        w = ops.quantize_per_channel(getattr(self, f"w{i}"), scale, zero, 0, -127, 127, torch.int8)
        w = ops.dequantize_per_channel(w, scale, zero, 0, -127, 127, torch.int8)
        b = getattr(self, f"b{i}").float() * (float(layer.input_scale) * scale)
        groups = x.shape[1] if layer.depthwise else 1
        y = nn.functional.conv2d(x, w, b, (1, layer.stride), dilation=(1, layer.dilation), groups=groups)
        y = torch.relu(y) if layer.relu else y
        return self._requantise(y, float(layer.output_scale), layer.output_zero)

    @staticmethod
    def _requantise(x: torch.Tensor, scale: float, zero: int) -> torch.Tensor:
        q = ops.quantize_per_tensor(x, scale, zero, -128, 127, torch.int8)
        return ops.dequantize_per_tensor(q, scale, zero, -128, 127, torch.int8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self._requantise(x, float(self.model.input_scale), 0)
        made: list[torch.Tensor] = []
        for i, (layer, (source,)) in enumerate(zip(self.model.layers, self.model.sources, strict=True)):
            made.append(self._layer(i, layer, x if source < 0 else made[source]))
        embedding, answers = (made[o.place] for o in self.model.outputs)
        return embedding, answers


@pytest.fixture(scope="module")
def converted(artifacts, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("witness") / f"{artifacts.size}.tflite"
    # Naming a static quantiser makes the converter fuse the quantise operators; without it the file comes out float.
    static = QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(get_symmetric_quantization_config()))
    inputs = (torch.zeros(1, 1, 1, artifacts.model.window),)
    litert_torch.convert(Witness(artifacts.model).eval(), inputs, quant_config=static).export(str(path))
    return path.read_bytes()


def test_the_converter_arrives_at_the_same_integers_and_scales(artifacts, converted):
    check_integer_only(converted)
    model = schema.ModelT.InitFromPackedBuf(converted, 0)
    graph = model.subgraphs[0]
    found = read_integers_back(converted)
    # Its convolutions in order of execution; between them are only reshapes.
    layers = [o for o in graph.operators if len(o.inputs) == 3]
    assert len(layers) == len(artifacts.model.layers)
    for layer, operator in zip(artifacts.model.layers, layers, strict=True):
        tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs)]
        x, weight, bias, y = (found[t.name.decode()] for t in tensors)
        outputs = len(layer.bias)
        # A convolution of one channel is a depthwise one to the converter: taps first, channels last.
        taps_first = operator.builtinOptionsType == schema.BuiltinOptions.DepthwiseConv2DOptions
        ours = layer.weight[:, 0, :].T if taps_first else layer.weight.transpose(0, 2, 1)
        np.testing.assert_array_equal(weight[0].ravel(), ours.ravel(), layer.name)
        np.testing.assert_array_equal(bias[0], layer.bias, layer.name)
        np.testing.assert_array_equal(weight[1], np.broadcast_to(layer.weight_scale, outputs), layer.name)
        assert (x[1], x[2], y[1], y[2]) == (
            layer.input_scale, layer.input_zero, layer.output_scale, layer.output_zero
        ), layer.name  # fmt: skip


def test_the_converters_file_computes_the_same_bytes(artifacts, converted):
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (8, artifacts.model.window)).astype(np.int8)
    ours, theirs = LiteRT(artifacts.tflite).run(x), LiteRT(converted).run(x)
    np.testing.assert_array_equal(theirs[0], ours[0])
    np.testing.assert_array_equal(theirs[1], ours[1])
