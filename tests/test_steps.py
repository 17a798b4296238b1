"""The stream equals the window, byte for byte: any recording, any split, any hop, in every runtime."""

import copy

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.errors import ConfigError
from onwrist.export.graphs.onnx_step import write_onnx_step
from onwrist.export.graphs.tflite_writer import check_integer_only, read_integers_back, write_tflite_step
from onwrist.firmware_sim.runtimes.hop import (
    LiteRTStep,
    NumpyStep,
    OnnxStep,
    TFLMStep,
    TorchStep,
    channel_major,
    time_major,
)
from onwrist.firmware_sim.runtimes.window import TFLM, LiteRT, Numpy, TorchFloat
from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
from onwrist.models.student.network import LADDER, Student
from onwrist.models.student.step import Step
from onwrist.quantize.integers.stream import IntegerStream, whole_stream
from onwrist.quantize.integers.training import load_integers, load_quantised
from onwrist.signals.front_end.fixed import FixedFrontEnd
from onwrist.signals.recordings.readers import read_recording

HOPS = (5, 10, 25, 50, 125, 250)
SIZES = ("watch", "band")
MODELS = {size: load_integers(size) for size in SIZES}

wave = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.sampled_from(["noise", "rails", "pulse", "silence"]).map(lambda kind: (seed, kind))
)


def samples(seed: int, kind: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(-128, 128, count).astype(np.int8)
    if kind == "rails":
        return rng.choice(np.array([-128, 127], np.int8), count)
    if kind == "silence":
        return np.zeros(count, np.int8)
    t = np.arange(count) / 25
    return np.clip(32 * np.sin(2 * np.pi * rng.uniform(0.7, 3) * t) + rng.normal(0, 4, count), -128, 127).astype(
        np.int8
    )


def windows_of(x: np.ndarray, hop: int, window: int = 400) -> np.ndarray:
    """Every window of a stream that began with silence."""
    line = np.concatenate([np.zeros(window, x.dtype), x])
    ends = window + hop * np.arange(1, len(x) // hop + 1)
    return np.stack([line[e - window : e] for e in ends])


@settings(max_examples=40, deadline=None)
@given(
    wave=wave, size=st.sampled_from(SIZES), hop=st.sampled_from(HOPS), bursts=st.lists(st.integers(0, 97), max_size=20)
)
def test_any_split_into_bursts_gives_the_bytes_of_the_whole(wave, size, hop, bursts):
    model, x = MODELS[size], samples(*wave, 700)
    stream, found, at = IntegerStream(model, hop), [], 0
    for count in [*bursts, 700]:
        found.append(stream.push(x[at : at + count]))
        at += count
    for k, whole in enumerate(whole_stream(model, x, hop)):
        np.testing.assert_array_equal(np.concatenate([f[k] for f in found]), whole)


@settings(max_examples=15, deadline=None)
@given(wave=wave, size=st.sampled_from(SIZES), hop=st.sampled_from(HOPS))
def test_every_hop_of_the_whole_is_its_window(wave, size, hop):
    model, x = MODELS[size], samples(*wave, 500)
    embedding, answers = whole_stream(model, x, hop)
    expected = model.run(windows_of(x, hop))
    np.testing.assert_array_equal(embedding, expected[0])
    np.testing.assert_array_equal(answers, expected[1])


def replayed(runtime, x: np.ndarray, hop: int) -> tuple[np.ndarray, np.ndarray]:
    runtime.reset()
    rows = [runtime.step(x[i : i + hop]) for i in range(0, len(x) - hop + 1, hop)]
    return np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows])


@pytest.mark.parametrize("hop", HOPS)
def test_the_tflite_step_streams_the_same_bytes_in_tflm_and_litert(artifacts, hop):
    step = artifacts.tflite_step(hop)
    runtimes = [TFLMStep(step, time_major(artifacts.model, hop)), LiteRTStep(step, time_major(artifacts.model, hop))]
    for seed, kind in enumerate(("noise", "rails", "pulse", "silence")):
        x = samples(seed, kind, 750)
        embedding, answers = whole_stream(artifacts.model, x, hop)
        for runtime in runtimes:
            found = replayed(runtime, x, hop)  # also that reset forgets the wave before
            np.testing.assert_array_equal(found[0], embedding, runtime.name)
            np.testing.assert_array_equal(found[1], answers, runtime.name)


def test_real_recordings_stream_as_their_windows_in_every_firmware_runtime(artifacts, recordings):
    hop, step = 25, artifacts.tflite_step(25)
    windowed = [TFLM(artifacts.tflite), LiteRT(artifacts.tflite), Numpy(artifacts.model)]
    stepped = [
        TFLMStep(step, time_major(artifacts.model, hop)),
        LiteRTStep(step, time_major(artifacts.model, hop)),
        NumpyStep(artifacts.model, hop),
    ]
    for path in sorted(recordings.glob("*.npz")):
        sensor = Sensor(read_recording(path), SensorConfig())
        x = FixedFrontEnd(64, 19).push(sensor.counts[: 64 * 60])
        expected = windowed[0].run(windows_of(x, hop))
        for found in [r.run(windows_of(x, hop)) for r in windowed[1:]] + [replayed(r, x, hop) for r in stepped]:
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("hop", (5, 25, 250))
def test_the_float_stream_is_the_float_window(artifacts, hop):
    x = samples(1, "pulse", 750).astype(np.float32) / 32
    found = replayed(TorchStep(artifacts.student, hop), x, hop)
    expected = TorchFloat(artifacts.student).run(windows_of(x, hop))
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


@pytest.mark.parametrize("hop", (5, 25, 250))
def test_the_brevitas_stream_has_the_bytes_of_the_brevitas_window(artifacts, hop):
    # In float32 the order of a sum turns a tie now and then (1 byte of 38,400 here); float64 holds the integers.
    student = copy.deepcopy(artifacts.quantised).double()
    x = samples(2, "pulse", 750)
    real = torch.from_numpy(x / 32.0)
    step = Step(student, hop)
    state, rows = [s.double() for s in Step(artifacts.quantised, hop).start()], []
    with torch.no_grad():
        for i in range(0, len(x), hop):
            embedding, answers, *state = step(real[None, i : i + hop], *state)
            rows.append((embedding[0], answers[0]))
        expected = student(torch.from_numpy(windows_of(x, hop) / 32.0))
    for k, scale in enumerate((artifacts.model.embedding_scale, artifacts.model.answers_scale)):
        found = torch.stack([r[k] for r in rows])
        np.testing.assert_array_equal(np.rint(found / scale), np.rint(expected[k] / scale))


@pytest.mark.parametrize("size", SIZES)
def test_a_students_state_follows_from_its_shape(size):
    config = LADDER[size]
    step = Step(Student(config).eval(), 25)
    shapes = [tuple(s.shape[1:]) for s in step.start()]
    assert shapes == [s.shape for s in MODELS[size].first_state(25)]
    reach = [(config.kernel - 1) * d for d in config.dilations]
    assert [s[1] for s in shapes] == [
        config.stem_kernel - 1,
        config.frame_kernel - config.stride,
        *reach,
        config.pool - 5,
    ]


def test_the_onnx_step_is_near_and_has_the_same_state_tensors(artifacts):
    data = artifacts.onnx_step(25)
    graph = onnx.load_from_string(data).graph
    tflite = read_integers_back(artifacts.tflite_step(25))
    names = [i.name for i in graph.input][1:]
    assert names == sorted(n for n in tflite if n.startswith("state"))
    assert all(i.type.tensor_type.elem_type == onnx.TensorProto.INT8 for i in (*graph.input, *graph.output))
    x = samples(4, "pulse", 750)
    embedding, answers = whole_stream(artifacts.model, x, 25)
    found = replayed(OnnxStep(data, channel_major(artifacts.model, 25)), x, 25)
    # ONNX Runtime rounds once where the firmware rounds twice.
    assert np.abs(found[0].astype(int) - embedding).max() <= 3
    assert np.abs(found[1].astype(int) - answers).max() <= 3
    assert np.mean(found[0] == embedding) > 0.5


def test_the_step_is_integers_only_and_holds_the_models(artifacts):
    step = artifacts.tflite_step(25)
    assert set(check_integer_only(step)) == {"CONCATENATION", "SLICE", "CONV_2D", "DEPTHWISE_CONV_2D"}
    held = [v[0] for v in read_integers_back(step).values() if v[0] is not None]
    assert len(step) < 1.05 * len(artifacts.tflite)
    assert held


def test_hops_that_do_not_fit_are_refused(artifacts):
    for bad in (0, -5, 7, 255):
        for make in (
            lambda h: IntegerStream(artifacts.model, h), lambda h: write_tflite_step(artifacts.model, h),
            lambda h: write_onnx_step(artifacts.model, h), lambda h: Step(artifacts.student, h),
        ):  # fmt: skip
            with pytest.raises(ConfigError, match="multiple of 5"):
                make(bad)


def test_steps_through_the_scripts(run_script, tmp_path):
    for script, name in (("export/to_tflite.py", "hop.tflite"), ("export/to_onnx.py", "hop.onnx")):
        done = run_script(script, "--size", "band", "--hop-s", 2, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "hop.tflite").read_bytes() == write_tflite_step(MODELS["band"], 50)
    assert (tmp_path / "hop.onnx").read_bytes() == write_onnx_step(MODELS["band"], 50)
    done = run_script("export/to_tflite.py", "--hop-s", 0.3, "--out", tmp_path / "x")
    assert done.returncode == 2
    assert "a multiple of 0.2" in done.stderr
    assert not (tmp_path / "x").exists()


def test_load_quantised_streams_after_a_round_trip(artifacts):
    from onwrist.quantize.integers.arithmetic import read_integers
    from onwrist.quantize.teaching.student_files import int8_weights

    model = read_integers(load_quantised(int8_weights(artifacts.size)))
    x = samples(3, "noise", 500)
    np.testing.assert_array_equal(whole_stream(model, x, 25)[0], whole_stream(artifacts.model, x, 25)[0])
