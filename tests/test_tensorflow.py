"""TensorFlow as a witness: its converter, fed with the student's quantisers, arrives at the same integers, and its interpreter
at the same bytes. And Keras models and SavedModels as teachers. Needs the extra `tensorflow`: make tensorflow."""

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema

from onwrist.errors import CheckpointError
from onwrist.export.graphs.tflite_writer import check_integer_only, read_integers_back
from onwrist.firmware_sim.runtimes.window import LiteRT
from onwrist.models.encoders.teacher import examine, load_teacher
from onwrist.quantize.integers.arithmetic import INT8_MAX, INT8_MIN, IntegerLayer, IntegerModel

tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: make tensorflow")

# Its quantisers are told minimum and maximum, from which it works out scale again: the last digits of float32 may differ.
SCALE_ULP = 2


def quantised(x, scale: float, zero: int):
    """An activation's quantiser."""
    low, high = (float(scale) * (end - zero) for end in (INT8_MIN, INT8_MAX))
    return tf.quantization.fake_quant_with_min_max_vars(x, low, high)


def convolved(x, layer: IntegerLayer):
    """One layer as a float convolution between quantisers; (1, 1, n, channels)."""
    scale = np.broadcast_to(layer.weight_scale, len(layer.bias)).astype(np.float32)
    taps = np.transpose(layer.weight * scale[:, None, None], (2, 1, 0))[None].astype(np.float32)
    w = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        tf.constant(taps), -INT8_MAX * scale, INT8_MAX * scale, narrow_range=True
    )
    y = tf.nn.conv2d(x, w, (1, layer.stride), "VALID", dilations=(1, layer.dilation))
    y += tf.constant((layer.bias * np.float64(layer.input_scale) * scale).astype(np.float32))
    y = tf.nn.relu(y) if layer.relu else y
    return quantised(y, layer.output_scale, layer.output_zero)


def rebuilt(model: IntegerModel):
    """The student as a TensorFlow function of one window."""

    @tf.function(input_signature=[tf.TensorSpec((1, 1, model.window, 1), tf.float32)])
    def student(x):
        x = quantised(x, model.input_scale, 0)
        made = []
        for layer, (source,) in zip(model.layers, model.sources, strict=True):
            made.append(convolved(x if source < 0 else made[source], layer))
        return {o.name: made[o.place] for o in model.outputs}

    return student


@pytest.fixture(scope="module")
def converted(artifacts) -> bytes:
    student = rebuilt(artifacts.model)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([student.get_concrete_function()], student)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def close(a, b) -> bool:
    a, b = np.float32(a), np.float32(b)
    return bool(np.all(np.abs(a - b) <= SCALE_ULP * np.spacing(np.maximum(np.abs(a), np.abs(b)))))


def test_its_converter_arrives_at_the_same_integers(artifacts, converted):
    check_integer_only(converted)
    graph = schema.ModelT.InitFromPackedBuf(converted, 0).subgraphs[0]
    found = read_integers_back(converted)
    layers = [o for o in graph.operators if len(o.inputs) == 3]
    assert len(layers) == len(artifacts.model.layers)
    trunk = artifacts.model.output("embedding").place
    # The branches behind the pool come in an order of its own; no two have as many weights.
    behind = {found[graph.tensors[o.inputs[1]].name.decode()][0].size: o for o in layers[trunk:]}
    layers[trunk:] = [behind[b.weight.size] for b in artifacts.model.layers[trunk:]]
    for layer, operator in zip(artifacts.model.layers, layers, strict=True):
        x, weight, bias, y = (found[graph.tensors[i].name.decode()] for i in (*operator.inputs, *operator.outputs))
        taps_first = operator.builtinOptionsType == schema.BuiltinOptions.DepthwiseConv2DOptions
        ours = layer.weight[:, 0, :].T if taps_first else layer.weight.transpose(0, 2, 1)
        np.testing.assert_array_equal(weight[0].ravel(), ours.ravel(), layer.name)
        np.testing.assert_array_equal(bias[0], layer.bias, layer.name)
        assert close(weight[1], np.broadcast_to(layer.weight_scale, len(layer.bias))), layer.name
        assert close(x[1], layer.input_scale), layer.name
        assert close(y[1], layer.output_scale), layer.name
        assert (x[2], y[2]) == (layer.input_zero, layer.output_zero), layer.name


def test_its_interpreter_computes_the_same_bytes(artifacts):
    interpreter = tf.lite.Interpreter(
        model_content=artifacts.tflite, experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    rng = np.random.default_rng(0)
    x = rng.integers(INT8_MIN, INT8_MAX + 1, (4, artifacts.model.window)).astype(np.int8)
    embedding, answers = LiteRT(artifacts.tflite).run(x)
    for row, e, a in zip(x, embedding, answers, strict=True):
        interpreter.set_tensor(given["index"], row.reshape(given["shape"]))
        interpreter.invoke()
        said = {d["shape"][-1]: interpreter.get_tensor(d["index"]).ravel() for d in interpreter.get_output_details()}
        np.testing.assert_array_equal(said[len(e)], e)
        np.testing.assert_array_equal(said[len(a)], a)


def test_its_converters_file_computes_the_same_bytes(artifacts, converted):
    rng = np.random.default_rng(0)
    x = rng.integers(INT8_MIN, INT8_MAX + 1, (8, artifacts.model.window)).astype(np.int8)
    ours, theirs = LiteRT(artifacts.tflite).run(x), LiteRT(converted).run(x)
    theirs = {part.shape[1]: part for part in theirs}
    for a in ours:
        b = theirs[a.shape[1]]
        # Where a multiplier's last digit differs a value on the edge may be rounded the other way.
        assert np.abs(a.astype(int) - b).max() <= 1
        assert (a != b).mean() < 0.001


# --- as a teacher ---------------------------------------------------------------------------------------------


def encoder(samples: int = 1000, channels_last: bool = True):
    """A Keras encoder of windows (n, samples) or (n, samples, 1)."""
    tf.keras.utils.set_random_seed(0)
    given = tf.keras.Input((samples, 1) if channels_last else (samples,))
    x = given if channels_last else tf.keras.layers.Reshape((samples, 1))(given)
    x = tf.keras.layers.Conv1D(16, 25, 5, activation="relu")(x)
    return tf.keras.Model(given, tf.keras.layers.GlobalAveragePooling1D()(x))


def waves(count: int = 12) -> torch.Tensor:
    t = np.arange(1000) / 100
    return torch.from_numpy(np.sin(2 * np.pi * np.linspace(0.8, 3.0, count)[:, None] * t).astype(np.float32))


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_keras_model_is_a_teacher(tmp_path, kind, channels_last):
    model = encoder(channels_last=channels_last)
    path = tmp_path / ("mine.keras" if kind == "file" else "saved")
    model.save(path) if kind == "file" else model.export(path, verbose=False)
    teacher = load_teacher(str(path))
    x = waves()
    expected = model(x.numpy()[..., None] if channels_last else x.numpy()).numpy()
    np.testing.assert_allclose(teacher(x).numpy(), expected, atol=1e-5)
    assert examine(teacher, x.numpy(), str(path)) == []
    again = load_teacher(str(path))
    np.testing.assert_array_equal(again(x).numpy(), teacher(x).numpy())


def test_its_own_rate_is_brought_to_it(tmp_path):
    encoder(samples=1250).save(tmp_path / "mine.keras")
    assert load_teacher(str(tmp_path / "mine.keras"), 125, "z-score")(waves()).shape == (12, 16)


def test_what_is_no_model_is_refused_by_name(tmp_path):
    (tmp_path / "mine.keras").write_bytes(b"no model")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"no model")
    for name in ("mine.keras", "saved"):
        with pytest.raises(CheckpointError, match=f"{name}.*no model of Keras or TensorFlow"):
            load_teacher(str(tmp_path / name))
