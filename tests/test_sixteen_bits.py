"""16-bit activations for one layer (TFLite int16x8), as docs/how/sensitivity.md tells of them: which kernels agree, and on what.

The layer stands between two QUANTIZE, as it would in an int8 student.
"""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_graph import Graph
from onwrist.export.sources.c_writer import write_c
from onwrist.firmware_sim.runtimes.window import litert_interpreter
from onwrist.quantize.integers.arithmetic import quantised_multiplier, requantise

KIND, CODE, OPTIONS = schema.TensorType, schema.BuiltinOperator, schema.BuiltinOptions
IN, OUT, KERNEL, FRAMES = 8, 8, 6, 40
WIDE, NARROW = np.float32(6.0 / 32768), np.float32(0.047)
WIDE_OUT, NARROW_OUT = np.float32(6.5 / 32768), np.float32(9 / 256)


def layer(depthwise: bool, bias_kind: type, *, alone: bool = False):
    """(file, x -> sums): int8 to int16, a convolution, int16 to int8; `alone` is the convolution with int16 at both ends."""
    rng = np.random.default_rng(5)
    graph = Graph()
    shape = (1, 1, KERNEL, OUT) if depthwise else (OUT, 1, KERNEL, IN)
    scale = rng.uniform(0.5, 1.5, OUT).astype(np.float32) / np.float32(64 * (KERNEL * (1 if depthwise else IN)) ** 0.5)
    weight, bias = rng.integers(-127, 128, shape).astype(np.int8), rng.integers(-20000, 20000, OUT) * 256
    x = graph.tensor("x", (1, 1, FRAMES, IN), KIND.INT16, WIDE, 0)
    first = x
    if not alone:
        first = graph.tensor("narrow", (1, 1, FRAMES, IN), KIND.INT8, NARROW, 3)
        quantise(graph, first, x)
    w = graph.tensor("w", shape, KIND.INT8, scale, 0, 3 if depthwise else 0, weight)
    b = graph.tensor(
        "b", (OUT,), KIND.INT64 if bias_kind is np.int64 else KIND.INT32, WIDE * scale, 0, 0, bias.astype(bias_kind)
    )
    y = graph.tensor("y", (1, 1, FRAMES - KERNEL + 1, OUT), KIND.INT16, WIDE_OUT, 0)
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    if depthwise:
        options.depthMultiplier = 1
    options.padding = schema.Padding.VALID
    options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    code = CODE.DEPTHWISE_CONV_2D if depthwise else CODE.CONV_2D
    kind = OPTIONS.DepthwiseConv2DOptions if depthwise else OPTIONS.Conv2DOptions
    graph.append(graph.code(code, 5), [x, w, b], y, options, kind)
    last = y
    if not alone:
        last = graph.tensor("answer", (1, 1, FRAMES - KERNEL + 1, OUT), KIND.INT8, NARROW_OUT, -5)
        quantise(graph, y, last)
    pairs = [quantised_multiplier(float(np.float64(WIDE) * np.float64(s) / np.float64(WIDE_OUT))) for s in scale]

    def sums(values: np.ndarray) -> np.ndarray:
        parts = [values[0, 0, t : t + FRAMES - KERNEL + 1].astype(np.int64) for t in range(KERNEL)]
        w64 = weight.astype(np.int64)
        return bias + sum(p * w64[0, 0, t] if depthwise else p @ w64[:, 0, t].T for t, p in enumerate(parts))

    return graph.pack("sixteen", [first], [last]), sums, np.array(pairs).T


def quantise(graph: Graph, source: int, to: int) -> None:
    graph.append(graph.code(CODE.QUANTIZE, 2), [source], to, schema.QuantizeOptionsT(), OPTIONS.QuantizeOptions)


def once_rounded(total: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The 64-bit kernels' rule: the multiplier cut to 16 bits, one rounding (tensorflow/lite/kernels/internal/common.cc)."""
    short = np.where(multiplier < 0x7FFF0000, (multiplier + (1 << 15)) >> 16, 0x7FFF)
    right = 15 - shift
    return (total * short + (np.int64(1) << (right - 1))) >> right


def micro(data: bytes, x: np.ndarray) -> np.ndarray:
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime", reason="TFLM has wheels for Python 3.11")
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=1 << 18)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    return interpreter.get_output(0)


def lite(data: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = litert_interpreter(data, "reference")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def wide(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, (1, 1, FRAMES, IN)).astype(np.int16)


@pytest.mark.parametrize("depthwise", [False, True])
def test_with_biases_of_64_bits_the_kernels_agree(depthwise):
    data, sums, pairs = layer(depthwise, np.int64, alone=True)
    said = micro(data, wide())
    np.testing.assert_array_equal(said, lite(data, wide()))
    np.testing.assert_array_equal(said[0, 0], np.clip(once_rounded(sums(wide()), *pairs), 0, 32767))
    narrow = np.random.default_rng(2).integers(-128, 128, (1, 1, FRAMES, IN)).astype(np.int8)
    between, _, _ = layer(depthwise, np.int64)
    np.testing.assert_array_equal(micro(between, narrow), lite(between, narrow))


def test_it_is_another_rounding_than_that_of_int8():
    """So that the house's arithmetic and C need a second rule before such a layer can be offered."""
    data, sums, pairs = layer(False, np.int64, alone=True)
    other = np.clip(requantise(sums(wide()), pairs[0][None], pairs[1][None]), 0, 32767)
    assert 0 < np.mean(micro(data, wide())[0, 0] != other) < 0.5
    assert np.abs(micro(data, wide())[0, 0] - other).max() == 1


def test_with_biases_of_32_bits_they_do_not():
    data, _, _ = layer(False, np.int32, alone=True)
    assert np.mean(micro(data, wide()) != lite(data, wide())) > 0.1


def test_the_c_refuses_such_a_layer():
    data, _, _ = layer(False, np.int64)
    with pytest.raises(ExportError, match="INT16"):
        write_c(data, "sixteen")
