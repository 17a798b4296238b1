"""The files say exactly what QAT learnt, and every independent reader computes the same bytes from them."""

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from onwrist.errors import ExportError
from onwrist.export.graphs.onnx_writer import convolutions
from onwrist.export.graphs.tflite_writer import check_integer_only, read_integers_back, write_tflite
from onwrist.export.handoff.files import student_onnx, student_tflite
from onwrist.firmware_sim.parity.gates import EXACT
from onwrist.firmware_sim.parity.memory import planned_activations
from onwrist.firmware_sim.runtimes.window import TFLM, LiteRT, other_runtimes
from onwrist.quantize.teaching.student_files import int8_weights
from onwrist.writing import write_whole


def windows(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.integers(-128, 128, (count, 400))
    noise[0], noise[1], noise[2] = 0, -128, 127  # silence and both rails
    noise[3] = np.where(np.arange(400) % 2, 127, -128)
    return noise.astype(np.int8)


def test_every_integer_and_scale_of_the_tflite_is_the_models(artifacts):
    found = read_integers_back(artifacts.tflite)
    for layer in artifacts.model.layers:
        weight, scale, zero = found[f"{layer.name}/weight"]
        expected = layer.weight[:, 0, :].T if layer.depthwise else layer.weight.transpose(0, 2, 1)
        np.testing.assert_array_equal(weight.reshape(expected.shape), expected)
        np.testing.assert_array_equal(scale, layer.weight_scale)
        assert not zero.any()
        bias, bias_scale, _ = found[f"{layer.name}/bias"]
        np.testing.assert_array_equal(bias, layer.bias)
        np.testing.assert_array_equal(bias_scale, np.float32(layer.input_scale) * layer.weight_scale)
    names = {artifacts.model.nodes[o.place].name: o.name for o in artifacts.model.outputs}
    assert set(names.values()) == {"embedding", "answers"}
    for layer in artifacts.model.layers:
        _, scale, zero = found[names.get(layer.name, layer.name)]
        assert scale == layer.output_scale
        assert zero == layer.output_zero


def test_brevitas_own_exporter_wrote_the_same_integers(artifacts):
    """The ONNX file comes from Brevitas, the integers from `read_integers`: two ways out of the same student."""
    rows = convolutions(artifacts.onnx)
    assert len(rows) == len(artifacts.model.layers)
    for (weight, scale, bias), layer in zip(rows, artifacts.model.layers, strict=True):
        np.testing.assert_array_equal(weight, layer.weight)
        np.testing.assert_array_equal(scale.reshape(-1), layer.weight_scale)
        if bias is not None:
            np.testing.assert_array_equal(bias, layer.bias)


def test_firmware_runtimes_agree_on_every_byte(artifacts):
    x = windows(24)
    runtimes = other_runtimes(artifacts.quantised, artifacts.model, artifacts.tflite, artifacts.onnx)
    reference = TFLM(artifacts.tflite).run(x)
    assert {r.name for r in runtimes} >= {n for n in EXACT if not n.endswith("stream")} - {TFLM.name}
    assert reference[0].dtype == np.int8
    assert reference[0].std() > 1
    for runtime in runtimes:
        embedding, answers = runtime.run(x)
        if runtime.name in EXACT:
            np.testing.assert_array_equal(embedding, reference[0], err_msg=runtime.name)
            np.testing.assert_array_equal(answers, reference[1], err_msg=runtime.name)


def test_file_has_int8_ends_and_no_float(artifacts):
    model = schema.ModelT.InitFromPackedBuf(artifacts.tflite, 0)
    graph = model.subgraphs[0]
    ends = [graph.tensors[i] for i in (*graph.inputs, *graph.outputs)]
    assert [t.type for t in ends] == [schema.TensorType.INT8] * 3
    assert [list(t.shape) for t in ends] == [[1, 1, 400, 1], [1, 1, 1, 256], [1, 1, 1, 3]]
    assert set(check_integer_only(artifacts.tflite)) == {"CONV_2D", "DEPTHWISE_CONV_2D"}


def test_buffers_are_aligned(artifacts):
    """Where a device maps the file, vector loads need 16-byte boundaries."""
    root = schema.Model.GetRootAs(artifacts.tflite, 0)
    for i in range(root.BuffersLength()):
        data = root.Buffers(i).DataAsNumpy()
        if isinstance(data, np.ndarray) and data.size:
            start = (
                data.__array_interface__["data"][0]
                - np.frombuffer(artifacts.tflite, np.uint8).__array_interface__["data"][0]
            )
            assert start % 16 == 0


def test_a_float_tensor_is_found_and_named(artifacts):
    model = schema.ModelT.InitFromPackedBuf(artifacts.tflite, 0)
    model.subgraphs[0].tensors[4].type = schema.TensorType.FLOAT32
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ExportError, match="FLOAT32"):
        check_integer_only(bytes(builder.Output()))


def test_same_weights_give_the_same_file(artifacts):
    assert write_tflite(artifacts.model) == artifacts.tflite


def test_tflm_needs_no_more_than_its_plan_says(artifacts):
    measured = TFLM(artifacts.tflite).activation_bytes()
    planned = planned_activations(artifacts.model)
    # The last layer's input is also an output and outlives the pair; TFLM aligns every tensor to 16 bytes.
    assert planned <= measured <= planned * 1.5 + 1024


def test_onnx_runs_on_real_units(artifacts):
    model = onnx.load_from_string(artifacts.onnx)
    onnx.checker.check_model(model)
    assert [i.name for i in model.graph.input] == ["ppg"]
    assert [o.name for o in model.graph.output] == ["embedding", "answers"]
    kinds = {n.op_type for n in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
    assert "BatchNormalization" not in kinds


def test_script_with_no_argument_writes_the_watch_student(run_script, tmp_path):

    out = tmp_path / "x.tflite"
    done = run_script("export/to_tflite.py", "--out", out)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == student_tflite(int8_weights("watch"))
    x = windows(6)
    for a, b in zip(TFLM(out.read_bytes()).run(x), LiteRT(out.read_bytes()).run(x), strict=True):
        np.testing.assert_array_equal(a, b)
    plain = run_script("export/to_tflite.py", cwd=tmp_path)
    assert plain.returncode == 0
    assert (tmp_path / "build" / "watch.tflite").exists()


def test_onnx_script(run_script, tmp_path):
    out = tmp_path / "band.onnx"
    assert run_script("export/to_onnx.py", "--size", "band", "--out", out).returncode == 0
    assert len(convolutions(out.read_bytes())) == len(convolutions(student_onnx(int8_weights("band"))))


def test_a_failed_write_leaves_nothing_behind(run_script, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run_script("export/to_tflite.py", "--out", tmp_path / "file" / "x.tflite")
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(ExportError, match="cannot be written"):
        write_whole(tmp_path / "file" / "y", b"data")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_weights_of_another_kind_are_refused(run_script, tmp_path):
    done = run_script("export/to_tflite.py", "--weights", "models/weights/teacher.safetensors", "--out", tmp_path / "x")
    assert done.returncode == 2
    assert "teacher.safetensors" in done.stderr
    assert not (tmp_path / "x").exists()


def test_hub_onnx_is_smaller_and_close():
    from onwrist.export.handoff.hub import float_onnx, hub_onnx, people_windows, run_onnx
    from onwrist.models.encoders.checkpoint import load_encoder
    from onwrist.quantize.judging.evaluate import cosine
    from onwrist.quantize.teaching.examples import embed_teacher

    encoder = load_encoder()
    _, held_out = people_windows()
    held_out = held_out[::12]
    reference = embed_teacher(encoder, held_out)
    whole, small = float_onnx(encoder), hub_onnx()
    assert cosine(reference, run_onnx(whole, held_out)).min() > 0.9999
    assert len(small) < 0.35 * len(whole)
    assert np.median(cosine(reference, run_onnx(small, held_out))) > 0.95
