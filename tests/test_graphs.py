"""Somebody's own network: traced, quantised and written; every machine and every way through time says the same bytes."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from conftest import ROOT
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from users import Everything, Plain, Residual, Two

from onwrist.errors import CheckpointError, ConfigError, ExportError
from onwrist.export.graphs.onnx_step import write_onnx_step
from onwrist.export.graphs.onnx_writer import onnx_session, write_onnx
from onwrist.export.graphs.step_reader import read_step
from onwrist.export.graphs.tflite_writer import check_integer_only, write_tflite, write_tflite_step
from onwrist.export.sources.c_writer import write_c
from onwrist.export.sources.files import runtime_sources
from onwrist.export.sources.firmware import firmware_sources
from onwrist.firmware_sim.runtimes.compiler import CORES, build_core, build_native
from onwrist.firmware_sim.runtimes.device import FirmwareStep, Native
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.runtimes.hop import LiteRTStep, OnnxStep, TFLMStep, channel_major, time_major
from onwrist.models.student.graph import make_student
from onwrist.models.student.outputs import Answer, Answers
from onwrist.models.student.step import Step
from onwrist.models.student.tracing import trace
from onwrist.models.student.work import work
from onwrist.quantize.integers.arithmetic import read_integers
from onwrist.quantize.integers.fake_quant import quantise
from onwrist.quantize.integers.stream import IntegerStream, whole_stream
from onwrist.quantize.integers.training import load_quantised, save_quantised, train_quantised
from onwrist.quantize.teaching.examples import Standard
from onwrist.quantize.teaching.student_files import load_student, save_student
from onwrist.signals.front_end.fixed import design

USERS = Path(__file__).with_name("users.py")
STAGES = Answers((Answer("stage", "classes", words=("wake", "light", "deep", "rem")),))
TWO = Answers((Answer("sleep", "classes", words=("no", "yes")),))
NETWORKS = {
    "residual": (lambda: Residual(10, 4, pool=6), None, STAGES),
    "everything": (Everything, None, TWO),
    "two convolutions in a stage": (Plain, None, TWO),
    "light and motion": (Two, {"ppg": 64, "acc": 32}, TWO),
}
HOPS = 12


def lively(module: nn.Module) -> nn.Module:
    """In eval mode with norms as a training leaves them."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return module.eval()


def signals(graph, samples, batch, seed=0):
    torch.manual_seed(seed)
    shapes = [(i.channels,) if i.channels > 1 else () for i in graph.inputs]
    return tuple(torch.randn(batch, *shape, n) for shape, n in zip(shapes, samples, strict=True))


class Case:
    """A network of somebody in every form, and what it says of a signal, hop by hop."""

    def __init__(self, module: nn.Module, rates=None, answers=TWO):
        self.graph = trace(lively(module), "own", rates, answers).eval()
        timing = self.graph.timing
        self.hop = self.graph.stride * min(2, timing.longest_hop // self.graph.stride)
        self.samples, self.window = timing.samples(self.hop), timing.samples(self.graph.window)
        self.quantised = quantise(self.graph, [signals(self.graph, self.window, 32)])
        self.model = read_integers(self.quantised)
        self.x = signals(self.graph, [n * HOPS for n in self.samples], 1, seed=1)
        self.integers = [self.model.quantise_input(x.numpy())[0] for x in self.x]
        self.said = whole_stream(self.model, self.integers, self.hop)

    def pieces(self, lines):
        return [[x[..., k * n : (k + 1) * n] for x, n in zip(lines, self.samples, strict=True)] for k in range(HOPS)]

    def newest(self, lines):
        return [x[..., -n:] for x, n in zip(lines, self.window, strict=True)]

    def check(self, rows):
        """What came hop by hop, (C,) or (frames, C) of each output, against the numpy model."""
        found = [np.concatenate([np.atleast_2d(y) for y in each]) for each in zip(*rows, strict=True)]
        for output, y, wanted in zip(self.model.outputs, found, self.said, strict=True):
            np.testing.assert_array_equal(y, wanted, output.name)


@lru_cache
def case(name: str) -> Case:
    make, rates, answers = NETWORKS[name]
    torch.manual_seed(0)
    return Case(make(), rates, answers)


@pytest.fixture(params=NETWORKS)
def own(request) -> Case:
    return case(request.param)


def test_a_float_stream_says_what_its_window_says(own):
    """Two convolutions in one stage look back together: what a stage keeps is not what its first one alone needs."""
    graph = own.graph
    step = Step(graph, own.hop)
    held = step.start()
    for new in own.pieces(own.x):
        said = step(*new, *held)
        held = said[len(graph.outputs) :]
    for output, streamed, value in zip(graph.outputs, said, graph.said(*own.newest(own.x)).values(), strict=False):
        if not output.per_hop:
            frames = min(streamed.shape[-1], value.shape[-1])
            streamed, value = streamed[..., -frames:], value[..., -frames:]
        torch.testing.assert_close(streamed, value, atol=1e-5, rtol=1e-4)


def test_the_graph_computes_what_the_module_computes(own):
    """Where the newest frames of the module's own forward end with the newest sample: long enough for what it pads."""
    x = signals(own.graph, own.window if own is not case("residual") else [125], 3)
    said = own.graph.module(*x)
    said = list(said.values()) if isinstance(said, dict) else said
    for output, mine, theirs in zip(own.graph.outputs, own.graph.said(*own.newest(x)).values(), said, strict=True):
        torch.testing.assert_close(mine[..., -1:], theirs[..., -1:], msg=output.name)


def test_every_machine_says_the_bytes_of_the_numpy_model(own):
    model, hop = own.model, own.hop
    assert all(len(np.unique(y)) > 2 for y in own.said)
    stream = IntegerStream(model, hop)
    own.check([stream.push(*new) for new in own.pieces(own.integers)])
    data = write_tflite_step(model, hop)
    check_integer_only(data)
    for runtime in (TFLMStep(data, time_major(model, hop)), LiteRTStep(data, time_major(model, hop))):
        own.check([runtime.step(*new) for new in own.pieces(own.integers)])
    back = read_step(data)
    assert (back.hop, back.model.digest()) == (hop, model.digest())


def test_a_window_says_what_the_stream_says_at_that_moment(own):
    from tflite_micro.python.tflite_micro import runtime

    x = own.newest(own.integers)
    data = write_tflite(own.model)
    check_integer_only(data)
    call = runtime.Interpreter.from_bytes(data, arena_size=1 << 20)
    for k, line in enumerate(x):
        call.set_input(np.ascontiguousarray(np.atleast_2d(line).T)[None, None], k)
    call.invoke()
    for k, (output, values) in enumerate(
        zip(own.model.outputs, own.model.run(*[line[None] for line in x]), strict=True)
    ):
        rows = np.atleast_2d(values[0])
        np.testing.assert_array_equal(call.get_output(k)[0, 0], rows)
        frames = min(len(rows), own.model.frames_of(output.name, own.hop))
        np.testing.assert_array_equal(rows[-frames:], own.said[k][-frames:])


def test_integers_are_near_the_float_network(own):
    for output, real in zip(own.graph.outputs, own.graph.said(*own.newest(own.x)).values(), strict=True):
        said = own.model.run(*[x[None] for x in own.newest(own.integers)])[
            own.model.outputs.index(own.model.output(output.name))
        ]
        scale, zero = own.model.grid(own.model.output(output.name).place)
        found = (said.astype(np.float32) - zero) * scale
        found = found if output.per_hop else found.swapaxes(1, 2)
        assert np.abs(found - real.detach().numpy()).max() < 0.03 * np.abs(real.detach().numpy()).max() + 2 * scale


def test_onnx_is_within_a_step(own):
    """Its rounding is a float's, as for the shipped students; window and hop."""
    runtime = OnnxStep(write_onnx_step(own.model, own.hop), channel_major(own.model, own.hop))
    rows = [runtime.step(*new) for new in own.pieces(own.integers)]
    for k, wanted in enumerate(own.said):
        found = np.concatenate([np.atleast_2d(row[k]) for row in rows])
        assert np.abs(found.astype(int) - wanted).max() <= 1
    session = onnx_session(write_onnx(own.quantised))
    feed = {i.name: x.numpy() for i, x in zip(own.graph.inputs, own.newest(own.x), strict=True)}
    with torch.no_grad():
        wanted = own.quantised(*own.newest(own.x))
    for y, value in zip(session.run(None, feed), wanted, strict=True):
        np.testing.assert_allclose(y, value.numpy(), atol=0.02 * float(value.abs().max()))


@pytest.mark.parametrize("core", (None, CORES[0]), ids=("native", "M4F"))
@pytest.mark.parametrize("name", ("residual", "everything", "two convolutions in a stage"))
def test_firmware_says_the_same_bytes(name, core):
    own = case(name)
    firmware = firmware_sources(own.model, own.hop, design(64, 19))
    runtime, rows = FirmwareStep(firmware, core), []
    for (new,) in own.pieces(own.integers):
        said = list(runtime.step(new))
        for output in own.model.outputs[2:]:
            at, frames, channels = (
                firmware.constants[f"ONWRIST_{output.name.upper()}_{k}"] for k in ("OFFSET", "FRAMES", "CHANNELS")
            )
            said.append(runtime.machine.read(runtime.device.arena + at, frames * channels).reshape(frames, channels))
        rows.append(said)
    own.check(rows)


@pytest.mark.parametrize("core", (None, CORES[0]), ids=("native", "M4F"))
def test_several_inputs_in_c(core):
    own = case("light and motion")
    made = write_c(write_tflite_step(own.model, own.hop), "net", [s[:, 0] for s in own.model.first_state(own.hop)])
    files = {**made.files, **runtime_sources()}
    roots = ("net_run", "net_reset")
    machine = Emulator(build_core(files, core, roots), core, count=False) if core else Native(build_native(files))
    number = {k: int(v) for k, v in re.findall(r"#define NET_(\w+) (-?\d+)\n", files["net.h"])}
    arena, rows = machine.allocate(number["ARENA_BYTES"]), []
    machine.call("net_reset", arena)
    for new in own.pieces(own.integers):
        for k, x in enumerate(new):
            machine.write(arena + number[f"INPUT{k}_OFFSET"], np.ascontiguousarray(np.atleast_2d(x).T))
        machine.call("net_run", arena)
        rows.append([machine.read(arena + number[f"OUTPUT{k}_OFFSET"], number[f"OUTPUT{k}_BYTES"]) for k in range(2)])
    own.check(rows)
    with pytest.raises(ExportError, match="one channel of PPG"):
        firmware_sources(own.model, own.hop, design(64, 19))


@pytest.mark.parametrize("name", ("st ges", "st\nges", "answers", ""))
def test_a_step_whose_names_would_become_other_c_is_refused(name):
    data = write_tflite_step(case("everything").model, case("everything").hop)
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for tensor in model.subgraphs[0].tensors:
        if tensor.name == b"stages":
            tensor.name = name.encode()
    builder = flatbuffers.Builder(1 << 14)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ExportError, match="name of their own"):
        read_step(bytes(builder.Output()))


class Drawn(nn.Module):
    """A network of parts in any order."""

    def __init__(self, parts, seed):
        super().__init__()
        torch.manual_seed(seed)
        made, width = [], 1
        for kind, kernel, dilation, stride in parts:
            wide = 4 if width == 1 else width
            if kind == "conv":
                made.append(nn.Conv1d(width, wide, kernel, stride, dilation=dilation))
            elif kind == "relu":
                made.append(nn.Sequential(nn.Conv1d(width, wide, kernel, stride, dilation=dilation), nn.ReLU()))
            elif kind == "depthwise":
                made.append(nn.Conv1d(width, wide, kernel, stride, dilation=dilation, groups=width))
            elif kind == "maximum":
                made.append(nn.MaxPool1d(kernel, stride))
            elif kind == "average":
                made.append(nn.AvgPool1d(kernel, stride))
            elif kind == "norm":
                made.append(nn.Sequential(nn.BatchNorm1d(width), nn.ReLU6(), nn.Dropout(0.1)))
            elif kind == "grouped":
                made.append(nn.Conv1d(width, width, kernel, stride, dilation=dilation, groups=2 - width % 2))
            else:
                made.append(nn.Conv1d(width, width, kernel, dilation=dilation))
            width = wide if kind in ("conv", "relu", "depthwise") else 2 * width if kind == "concat" else width
        self.kinds, self.parts = [p[0] for p in parts], nn.ModuleList(made)
        self.embed, self.say = nn.Conv1d(width, 3, 1), nn.Conv1d(width, 2, 1)

    def forward(self, ppg):
        x = ppg.unsqueeze(1)
        for kind, part in zip(self.kinds, self.parts, strict=True):
            if kind == "add":
                x = x + part(x)
            elif kind == "concat":
                x = torch.cat([part(x), x], dim=1)
            else:
                x = part(x)
        return {"embedding": self.embed(x)[..., -1], "answers": self.say(x)[..., -1], "frames": self.say(x)}


KINDS = ("conv", "relu", "norm", "grouped", "depthwise", "maximum", "average", "add", "concat")
PART = st.tuples(st.sampled_from(KINDS), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(PART, min_size=1, max_size=5), st.integers(0, 99))
def test_any_network_of_these_parts_streams_what_tflm_computes(parts, seed):
    try:
        own = Case(Drawn([("relu", 3, 1, 1), *parts], seed))
    except CheckpointError as error:
        assert "gives nothing but zeros" in str(error)
        assume(False)
    stream = IntegerStream(own.model, own.hop)
    own.check([stream.push(*new) for new in own.pieces(own.integers)])
    data = write_tflite_step(own.model, own.hop)
    runtime = TFLMStep(data, time_major(own.model, own.hop))
    own.check([runtime.step(*new) for new in own.pieces(own.integers)])
    assert read_step(data).model.digest() == own.model.digest()


def test_what_ends_with_a_relu_has_its_zero_where_everybody_looks_for_it():
    class Ends(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool = nn.Conv1d(1, 6, 5), nn.AvgPool1d(4)

        def forward(self, ppg):
            frames = self.conv(ppg.unsqueeze(1)).relu()
            pooled = self.pool(frames)[..., -1]
            return {"embedding": pooled, "answers": pooled[:, :, None][..., -1]}

    own = Case(Ends())
    assert all(own.model.grid(o.place)[1] == 0 for o in own.model.outputs)
    found = own.model.run(*[x[None] for x in own.newest(own.integers)])[1] * own.model.answers_scale
    np.testing.assert_allclose(found, own.graph(*own.newest(own.x))[1].detach(), atol=0.03)


class Wrong(nn.Module):
    def __init__(self, part: nn.Module, after=lambda x: x):
        super().__init__()
        self.stem, self.odd, self.head = nn.Conv1d(1, 4, 3), part, nn.Conv1d(4, 2, 3)
        self.after = after

    def forward(self, ppg):
        x = self.odd(self.stem(ppg.unsqueeze(1)))
        return {"answers": self.head(self.after(x))[..., -1]}


@pytest.mark.parametrize(
    ("part", "where", "why", "cure"),
    [
        (nn.LSTM(4, 4), "odd", "keeps a state for ever", "dilated nn.Conv1d"),
        (nn.Conv1d(4, 4, 3, padding=1), "odd", "pads 1 frames of the future, which head reads", "left side only"),
        (nn.Conv1d(4, 4, 4, stride=2, padding=1), "odd", "pads both sides by 1 at a stride of 2", "ConstantPad1d"),
        (nn.LayerNorm(4), "odd", "takes statistics of its own input", "BatchNorm1d"),
        (nn.GELU(), "odd", "is a curve", "ReLU"),
        (nn.AdaptiveAvgPool1d(1), "odd", "a stream has no end", "AvgPool1d"),
        (nn.ConvTranspose1d(4, 4, 2), "odd", "between those that there are", "frame rate"),
        (nn.Conv1d(4, 68, 1, groups=2), "head", "takes 4 channels and is given 68", "nn.Conv1d"),
        (nn.Sequential(nn.Conv1d(4, 4, 1), nn.SiLU()), "odd.1", "is a curve", "ReLU"),
    ],
)
def test_what_cannot_stream_or_be_exact_is_refused_by_its_own_name(part, where, why, cure):
    with pytest.raises(ExportError) as refused:
        trace(Wrong(part))
    error = refused.value
    assert error.field == where
    assert why in str(error)
    assert cure in str(error)


def _scaled(x):
    return x * 0.5


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (lambda x: x.mean(-1, keepdim=True), "a stream has no end"),
        (_scaled, "multiplies"),
        (lambda x: x[..., ::2], "every other"),
        (lambda x: x[..., :-2], "2 late"),
        (lambda x: x if x.shape[-1] > 3 else x + x, "cannot be followed"),
        (lambda x: x + x[..., -1:] * x, "multiplies"),
        (lambda x: torch.softmax(x, 1), "no exact kernel"),
    ],
)
def test_what_a_forward_does_on_the_way_is_refused_too(after, why):
    with pytest.raises(ExportError, match=why):
        trace(Wrong(nn.ReLU(), after))


def test_names_rates_and_outputs_that_cannot_be():
    class Silent(nn.Module):
        def forward(self, ppg):
            return {}

    for module, rates, why in (
        (Silent(), None, "returns no outputs"),
        (Two(), {"ppg": 64}, "has no rate"),
        (Two(), {"ppg": 64, "sweat": 4}, "is no input"),
        (Two(), {"ppg": 64, "acc": 64}, "brings together frames"),
    ):
        with pytest.raises(ExportError, match=why):
            trace(module, "own", rates)
    with pytest.raises(ConfigError, match="fewer than one output sees"):
        trace(Plain()).said(torch.zeros(1, 5))
    with pytest.raises(ConfigError, match="multiple of 5 samples"):
        Step(trace(Residual(4, 2)), 7)


def test_padding_at_both_ends_that_is_cut_off_again_is_the_past():
    class Chomped(nn.Module):
        def __init__(self, padded: bool):
            super().__init__()
            self.conv, self.padded = nn.Conv1d(1, 3, 5, padding=4 if padded else 0), padded

        def forward(self, ppg):
            y = self.conv(ppg.unsqueeze(1))
            return {"answers": (y[..., :-4] if self.padded else y)[..., -1]}

    a, b = Chomped(True), Chomped(False)
    b.load_state_dict(a.state_dict())
    x = torch.randn(2, 9)
    torch.testing.assert_close(trace(a).said(x)["answers"], trace(b).said(x)["answers"])
    torch.testing.assert_close(trace(a).said(x)["answers"], a(x)["answers"])


class ByModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv1d(1, 4, 3), nn.Conv1d(4, 4, 3, padding=2), nn.Conv1d(8, 2, 1)
        self.relu6, self.relu, self.top, self.mean = nn.ReLU6(), nn.ReLU(), nn.MaxPool1d(2), nn.AvgPool1d(3, 1)

    def forward(self, ppg):
        x = self.relu6(self.a(ppg.unsqueeze(1)))
        x = torch.cat([self.relu(x + self.b(x)[..., :-2]), x], dim=1)
        return {"answers": self.c(self.mean(self.top(x)))[..., -1]}


class ByFunctions(ByModules):
    def forward(self, ppg):
        x = self.a(ppg[:, None, :]).clamp(0, 6)
        y = self.b(x)
        y += F.pad(x, (0, 2))
        y = torch.relu(y[..., : x.shape[-1]])
        x = torch.concat((y, x), 1)
        x = F.avg_pool1d(F.max_pool1d(x, kernel_size=2), 3, stride=1)
        return {"answers": self.c(x).transpose(1, 2).transpose(1, 2)[:, :, -1]}


def test_functions_mean_what_modules_mean():
    one, other = ByModules().eval(), ByFunctions().eval()
    other.load_state_dict(one.state_dict())
    first, second = trace(one), trace(other)
    assert [n.kind for n in first.nodes] == [n.kind for n in second.nodes]
    x = torch.randn(2, first.window)
    torch.testing.assert_close(first.said(x), second.said(x))


def test_a_users_function_is_found_again_from_the_files(tmp_path):
    torch.manual_seed(0)
    student = make_student(f"{USERS}:make", 8, STAGES)
    lively(student)
    assert student.context == student.window - 250 > 0
    assert 0 < work(student).streamed < work(student).windowed / 5
    x = torch.randn(2, student.window)
    standard = Standard(np.zeros(8, np.float32), np.ones(8, np.float32))
    save_student(tmp_path / "own.safetensors", student, standard, {})
    again, _ = load_student(tmp_path / "own.safetensors")
    torch.testing.assert_close(again.said(x)["answers"], student.said(x)["answers"])
    assert again.answers == STAGES
    quantised = quantise(student, [torch.randn(16, student.window)])
    list(
        train_quantised(quantised, student, torch.randn(32, student.window).numpy(), steps=2, batch=4, lr=1e-4, seed=0)
    )
    save_quantised(tmp_path / "own.int8.safetensors", quantised, {})
    assert (
        read_integers(load_quantised(tmp_path / "own.int8.safetensors")).digest() == read_integers(quantised).digest()
    )


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("nowhere.py:make", "gives no student"),
        ("os:system", "no function in a file"),
        (f"{USERS}:nothing", "gives no student"),
        (f"{USERS}:Everything", "gives no student"),
        (f"{USERS}:Causal", "gives no student"),
    ],
)
def test_a_function_that_is_not_there_is_said(source, why):
    with pytest.raises(CheckpointError, match=why):
        make_student(source, 8, STAGES)


def test_widths_that_make_ignores_are_said(tmp_path):
    (tmp_path / "own.py").write_text(
        "from users import Everything\ndef make(embedding, answers):\n    return Everything()\n"
    )
    with pytest.raises(ExportError, match="has 6 channels, where 8 were asked for"):
        make_student(f"{tmp_path / 'own.py'}:make", 8, STAGES)


def test_the_documented_student_is_whole(tmp_path):
    page = (ROOT / "docs" / "how" / "student.md").read_text()
    spec = tomllib.loads(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1])
    source = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    (tmp_path / "my_student.py").write_text(source)
    words = tuple(spec["answers"][0]["words"])
    answers = Answers((Answer("stage", "classes", words=words),))
    student = make_student(str(tmp_path / spec["student"]["source"]), spec["student"]["embedding"], answers)
    assert f"sees {student.window / 25:g} s" in page
    own = Case(student.module, answers=answers)
    runtime = TFLMStep(write_tflite_step(own.model, own.hop), time_major(own.model, own.hop))
    own.check([runtime.step(*new) for new in own.pieces(own.integers)])
