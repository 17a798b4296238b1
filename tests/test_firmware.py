"""The exported C against TFLM, byte for byte: on this host, with traps on undefined behaviour, and on emulated cores."""

import re

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NETWORKS, NONE, Net, remembered

from onwrist.errors import ConfigError, ExportError
from onwrist.export.graphs.tflite_reader import read_tflite
from onwrist.export.graphs.tflite_writer import write_tflite, write_tflite_step
from onwrist.export.handoff.artifacts import load_artifacts
from onwrist.export.sources.c_writer import write_c
from onwrist.export.sources.files import KERNELS
from onwrist.export.sources.firmware import firmware_sources
from onwrist.export.sources.memory_plan import plan_memory
from onwrist.export.sources.packages import package_files
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.firmware import DENSE, DEPTHWISE, INNER, firmware_gate, run_everywhere, run_firmware
from onwrist.firmware_sim.parity.gates import Played
from onwrist.firmware_sim.runtimes.compiler import CORES, M55, PORTABLE_CORES, build_core, build_native
from onwrist.firmware_sim.runtimes.device import ROOTS, FirmwareStep, Native
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.runtimes.hop import NumpyStep
from onwrist.firmware_sim.runtimes.layers import by_kind, count_layers
from onwrist.firmware_sim.runtimes.versus import ours, theirs
from onwrist.firmware_sim.runtimes.window import activation_bytes
from onwrist.firmware_sim.watch.faults import parse_faults
from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig
from onwrist.firmware_sim.watch.windows import Windows
from onwrist.quantize.integers.stream import whole_stream
from onwrist.quantize.integers.training import load_integers
from onwrist.resources import C_SOURCES
from onwrist.signals.front_end.fixed import FixedFrontEnd, design
from onwrist.signals.recordings.readers import read_recording

MODELS = {size: load_integers(size) for size in ("watch", "band")}
SENSOR = SensorConfig()


def sources(data: bytes, name: str = "net") -> dict[str, str]:
    return {**write_c(data, name).files, **{k: (C_SOURCES / k).read_text() for k in KERNELS}}


def numbers(header: str) -> dict[str, int]:
    return {k: int(v) for k, v in re.findall(r"#define \w+?_(\w+) (-?\d+)\n", header)}


class Model:
    """A generated model on a machine, one input and one output."""

    def __init__(self, files: dict[str, str], machine):
        self.n, self.machine = numbers(files["net.h"]), machine
        self.arena = machine.allocate(self.n["ARENA_BYTES"])

    def run(self, x: np.ndarray) -> np.ndarray:
        self.machine.write(self.arena + self.n["INPUT0_OFFSET"], x)
        self.machine.call("net_run", self.arena)
        return self.machine.read(self.arena + self.n["OUTPUT0_OFFSET"], self.n["OUTPUT0_BYTES"])


def tflm(data: bytes, inputs: np.ndarray) -> tuple[np.ndarray, int]:
    from tflite_micro.python.tflite_micro import runtime

    call = runtime.Interpreter.from_bytes(data, arena_size=1 << 20)
    rows = []
    for x in inputs:
        call.set_input(x, 0)
        call.invoke()
        rows.append(call.get_output(0).reshape(-1).copy())
    return np.stack(rows), activation_bytes(call)


@pytest.mark.parametrize("name", NETWORKS)
def test_foreign_networks_compute_tflms_bytes_everywhere(name):
    for seed in range(3):
        data = NETWORKS[name](seed)
        network = read_tflite(data)
        shape = network.tensors[network.inputs[0]].shape
        x = np.random.default_rng(seed).integers(-128, 128, (6, *shape)).astype(np.int8)
        x[0], x[1] = -128, 127
        expected, head = tflm(data, x)
        assert expected.std() > 1
        files = sources(data)
        machines = [Native(build_native(files)), Native(build_native(files, sanitise=True))]
        if seed == 0:
            machines += [Emulator(build_core(files, c, ("net_run",)), c, count=False) for c in CORES]
        for machine in machines:
            model = Model(files, machine)
            np.testing.assert_array_equal(np.stack([model.run(row) for row in x]), expected)
        plan = write_c(data, "net").plan
        assert plan.bytes == numbers(files["net.h"])["ARENA_BYTES"]
        assert plan.bytes - plan.scratch <= head + 64


def litert(data: bytes, inputs: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    call = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    call.allocate_tensors()
    rows = []
    for x in inputs:
        call.set_tensor(call.get_input_details()[0]["index"], x)
        call.invoke()
        rows.append(call.get_tensor(call.get_output_details()[0]["index"]).reshape(-1).copy())
    return np.stack(rows)


@pytest.mark.parametrize("seed", range(2))
def test_variables_are_state_that_a_reset_sets_anew(seed):
    data = remembered(seed)
    x = np.random.default_rng(seed).integers(-128, 128, (9, 1, 1, 4, 3)).astype(np.int8)
    expected = litert(data, x)
    assert len(np.unique(expected, axis=0)) == len(x)
    np.testing.assert_array_equal(tflm(data, x)[0], expected)
    files = sources(data)
    plan = write_c(data, "net").plan
    assert len(plan.copied) == 1
    for machine in (
        Native(build_native(files, sanitise=True)),
        Emulator(build_core(files, CORES[0], ("net_run", "net_reset")), CORES[0]),
    ):
        model = Model(files, machine)
        for _ in range(2):
            machine.call("net_reset", model.arena)
            np.testing.assert_array_equal(np.stack([model.run(row) for row in x]), expected)


def odd_variables(how: str) -> bytes:
    """A variable that is used in a way that is not known."""
    net = Net((1, 4, 3))
    handle = net.handle("line")
    read = net.read(handle, (1, 1, 4, 3)).at
    net.at = net.input
    net.two_inputs("MAXIMUM", read)
    if how == "twice":
        net.assign(handle)
    if how != "constant":
        net.assign(handle)
    if how == "itself":
        net.at = read
        net.graph.operators.pop()
        net.assign(handle).at = net.input
    if how in ("given out", "constant"):
        net.at = read
    if how == "other operators":
        net.one_input("RELU")
        net.graph.operators[-1].opcodeIndex = net.graph.code(schema.BuiltinOperator.TANH, 1)
    if how == "scale":
        net.graph.tensors[net.at].quantization = net.graph.tensors[net.handle("other")].quantization
    if how == "late handle":
        net.graph.operators.pop(0)
    return net.bytes_once({} if how in ("no start", "other operators") else {"line": np.zeros((1, 1, 4, 3))})


@pytest.mark.parametrize(
    "how, said",
    [
        ("twice", "READ_VARIABLE of 'line' is assigned more than once"),
        ("no start", "READ_VARIABLE of 'line' has no first value"),
        ("given out", "READ_VARIABLE of 'line' is an output as it was"),
        ("itself", "READ_VARIABLE of 'line' is assigned what a variable held"),
        ("scale", "READ_VARIABLE of 'line' is assigned another scale"),
        ("constant", "is an input or output and constant"),
        ("late handle", "READ_VARIABLE is of no variable"),
        ("other operators", "operator 1 is TANH; READ_VARIABLE of 'line' has no first value"),
    ],
)
def test_variables_that_are_not_known_are_refused_with_everything_else(how, said):
    with pytest.raises(ExportError, match=said):
        write_c(odd_variables(how), "net")


@pytest.mark.parametrize("size", MODELS)
def test_a_window_in_c_has_the_bytes_of_the_window(size):
    data = write_tflite(MODELS[size])
    files = sources(data)
    x = np.random.default_rng(0).integers(-128, 128, (4, 400)).astype(np.int8)
    expected = MODELS[size].run(x)
    emulated = [Emulator(build_core(files, c, ("net_run",)), c, count=False) for c in CORES]
    for machine in (Native(build_native(files)), *emulated):
        model = Model(files, machine)
        for row, embedding, answers in zip(x, *expected, strict=True):
            np.testing.assert_array_equal(model.run(row), embedding)
            found = machine.read(model.arena + model.n["OUTPUT1_OFFSET"], 3)
            np.testing.assert_array_equal(found, answers)


@pytest.mark.parametrize("size", MODELS)
@pytest.mark.parametrize("rate", (25, 64, 125))
def test_counts_to_answers_in_c_on_every_core(recordings, size, rate):
    counts = Sensor(read_recording(recordings / "S34.npz"), SensorConfig(rate, fifo=5)).counts[: rate * 25]
    firmware = firmware_sources(MODELS[size], 25, design(rate, 19))
    x = FixedFrontEnd(rate, 19).push(counts)
    embedding, answers = whole_stream(MODELS[size], x, 25)
    for core in (None, *CORES):
        found = FirmwareStep(firmware, core).device.push(counts)
        assert len(found) == len(embedding)
        np.testing.assert_array_equal(np.concatenate([f[0] for f in found]), x[: 25 * len(found)])
        np.testing.assert_array_equal(np.stack([f[1] for f in found]), embedding)
        np.testing.assert_array_equal(np.stack([f[2] for f in found]), answers)


@pytest.mark.parametrize("core", PORTABLE_CORES, ids=lambda c: c.name)
def test_cores_without_dsp_take_the_portable_path_to_the_same_bytes(recordings, core):
    counts = Sensor(read_recording(recordings / "S34.npz"), SENSOR).counts[: 64 * 10]
    embedding, answers = whole_stream(MODELS["band"], FixedFrontEnd(64, 19).push(counts), 25)
    found = FirmwareStep(firmware_sources(MODELS["band"], 25, design(64, 19)), core).device.push(counts)
    np.testing.assert_array_equal(np.stack([f[1] for f in found]), embedding)
    np.testing.assert_array_equal(np.stack([f[2] for f in found]), answers)


def test_it_compiles_for_the_m55_without_an_emulator():
    assert build_core(firmware_sources(MODELS["band"], 25, design(64, 19)).files, M55, ROOTS)[:4] == b"\x7fELF"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rate=st.sampled_from((25, 32, 50, 64, 100, 125)), bits=st.integers(8, 24))
def test_the_front_end_in_c_is_the_front_end_for_any_counts(front_ends, seed, rate, bits):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 2**bits, rate * 3)
    counts[rate:] = np.repeat(rng.choice([0, 2**bits - 1], len(counts) - rate), 1)
    device = front_ends(rate, bits)
    device.reset()
    found = device.push(counts)
    x = FixedFrontEnd(rate, bits).push(counts)
    np.testing.assert_array_equal(np.concatenate([f[0] for f in found]), x[: 25 * len(found)])


@pytest.fixture(scope="module")
def front_ends():
    """Devices by rate and resolution, undefined behaviour trapped."""
    built = {}

    def get(rate: int, bits: int):
        if (rate, bits) not in built:
            firmware = firmware_sources(MODELS["band"], 25, design(rate, bits))
            built[rate, bits] = FirmwareStep(firmware, sanitise=True).device
        return built[rate, bits]

    return get


def faulty_run(recordings) -> tuple[Played, tuple[np.ndarray, np.ndarray]]:
    faults = parse_faults(("lost:share=0.05", "clock_jump:every_s=40", "saturation:seconds=5,every_s=30"), 2)
    sensor = Sensor(read_recording(recordings / "v200s.npz"), SENSOR, faults)
    watch = Watch(MODELS["band"], NumpyStep(MODELS["band"], 25), WatchConfig(), witness=True)
    hops = list(watch.run(sensor))[:90]
    chunks, first = np.stack([h.chunk for h in hops]), np.array([h.first for h in hops])
    played = Played(chunks, first, Windows(chunks, first, watch.model.window), [h.counts for h in hops])
    return played, (np.stack([h.embedding for h in hops]), np.stack([h.answers for h in hops]))


def test_a_faulty_stream_with_restarts_is_the_same_on_every_machine(recordings):
    played, outputs = faulty_run(recordings)
    assert played.first.sum() > 1
    runs = run_everywhere(Deployed(load_artifacts("band")), played, outputs)
    assert firmware_gate(runs).passed
    for run in runs[1:]:
        assert run.instructions == sum(run.kernels.values())
        assert 0 < run.share(INNER) < run.share(DENSE) < run.instructions
        assert run.share(DEPTHWISE) > 0
        assert 100 < run.stack < 2000
        assert run.image.data == run.image.bss == 0


def test_one_wrong_byte_fails_the_gate(recordings):
    played, outputs = faulty_run(recordings)
    outputs[0][40, 3] ^= 1
    firmware = firmware_sources(MODELS["band"], 25, design(64, 19))
    run = run_firmware(firmware, None, played, outputs)
    assert run.wrong == 1
    assert not firmware_gate([run] * 4).passed
    assert not firmware_gate([]).passed


def test_two_builds_and_two_counts_are_identical(recordings):
    firmware = firmware_sources(MODELS["band"], 25, design(64, 19))
    counts = Sensor(read_recording(recordings / "v200s.npz"), SENSOR).counts[: 64 * 3]
    for core in CORES:
        assert build_core(firmware.files, core, ROOTS) == build_core(firmware.files, core, ROOTS)
        found = []
        for _ in range(2):
            step = FirmwareStep(firmware, core, count=True)
            step.device.push(counts)
            found.append(dict(step.machine.by_function))
        assert found[0] == found[1]


def test_the_dsp_path_is_taken_and_fast():
    """The inner loop of the dense layers; whole networks add what they add, in the report."""
    model = MODELS["watch"]
    step = FirmwareStep(firmware_sources(model, 25, design(64, 19)), CORES[0], count=True)
    step.step(np.zeros(25, np.int8))
    dense = sum(
        layer.weight.size * {0: 25}.get(i, 5 if i < 8 else 1)
        for i, layer in enumerate(model.layers) if not layer.depthwise
    )  # fmt: skip
    assert sum(step.machine.by_function[name] for name in INNER) / dense < 1.3


def test_no_two_living_tensors_share_memory():
    for data in (
        *(make() for make in NETWORKS.values()),
        *(write_tflite_step(m, h) for m in MODELS.values() for h in (5, 25, 250)),
    ):
        network = read_tflite(data)
        for keep in (False, True):
            plan = plan_memory(network, keep=keep)
            places = [(t, plan.offset[t], network.tensors[t].size) for t in plan.life]
            for i, (a, begin, size) in enumerate(places):
                assert begin + size <= plan.bytes
                for b, other, length in places[:i]:
                    apart = plan.life[a][1] < plan.life[b][0] or plan.life[b][1] < plan.life[a][0]
                    assert apart or begin + size <= other or other + length <= begin


def test_the_state_is_one_piece_of_memory_and_everything_else_is_lent():
    for model in MODELS.values():
        network = read_tflite(write_tflite_step(model, 25))
        plan = plan_memory(network)
        assert len(plan.state) == len(model.first_state(25))
        assert all(plan.offset[a] == plan.offset[b] for a, b in plan.state)
        assert plan.bytes < sum(t.size for t in network.tensors if t.data is None) / 2


def test_another_generator_gives_the_same_bytes_with_more_instructions():
    pytest.importorskip("bakenn", reason="the other generator is not installed: pip install 'bakenn[tflite]'")
    data = write_tflite(MODELS["band"], answers=False)
    x = np.random.default_rng(1).integers(-128, 128, 400).astype(np.int8)
    expected = MODELS["band"].run(x[None])[0][0]
    mine, *others = ours(data, x, expected), theirs(data, x, expected, False), theirs(data, x, expected, True)
    assert mine.equal
    assert all(o.equal for o in others)
    assert all(mine.instructions < o.instructions for o in others)


def keyword_spotting() -> bytes:
    """The layers of MLPerf Tiny's keyword model, at its sizes."""
    net = Net((49, 10, 1)).conv(64, (10, 4), (2, 2), activation=NONE)
    for _ in range(4):
        net = net.depthwise(activation=NONE).conv(64, (1, 1), activation=NONE)
    return net.pool((25, 5)).flat().dense(12).softmax().bytes()


def test_layers_are_counted_one_by_one_and_cost_what_the_documents_say():
    counted = count_layers(keyword_spotting())
    assert counted.equal
    assert counted.whole.macs == 2_656_768
    kinds = {k.kind: k for k in by_kind(counted.layers)}
    assert kinds["depthwise 3x3"].count == 4
    assert kinds["average pool 25x5"].instructions < 60_000
    # All layers one after the other are a run, but for the calls.
    files = sources(keyword_spotting())
    machine = Emulator(build_core(files, CORES[0], ("net_run",)), CORES[0])
    Model(files, machine).run(np.zeros((49, 10), np.int8))
    assert counted.whole.instructions == pytest.approx(machine.instructions, rel=0.01)


@pytest.mark.parametrize(("channels", "each", "most"), ((1, 8, 8), (8, 2, 8), (16, 4, 8)))
def test_several_outputs_of_a_channel_stay_below_eight_instructions_per_mac(channels, each, most):
    data = Net((24, 24, channels)).depthwise(multiplier=each, activation=NONE).bytes()
    counted = count_layers(data)
    assert counted.equal
    assert counted.whole.instructions / counted.whole.macs < most


def test_anybodys_file_is_counted_through_the_command(run_script, tmp_path):
    file = tmp_path / "mine.tflite"
    file.write_bytes(NETWORKS["anomaly"](0))
    done = run_script("firmware_sim/versus.py", "--tflite", file)
    assert done.returncode == 0, done.stderr
    assert "| mine.tflite | 4 dense |" in done.stdout
    assert "bytes equal to TFLM's: yes" in done.stderr
    done = run_script("firmware_sim/versus.py", "--tflite", tmp_path / "none.tflite")
    assert done.returncode == 2
    assert "none.tflite: cannot be read" in done.stderr


def test_what_is_not_known_is_refused_by_name(artifacts):
    net = Net((8, 8, 4)).conv(4)
    net.graph.operators[0].opcodeIndex = net.graph.code(schema.BuiltinOperator.TANH, 1)
    with pytest.raises(ExportError, match="operator 0 is TANH"):
        read_tflite(net.bytes())
    net = Net((8, 8, 4)).conv(4, activation=schema.ActivationFunctionType.TANH)
    with pytest.raises(ExportError, match="fused activation"):
        read_tflite(net.bytes())
    net = Net((8, 8, 4)).conv(4)
    net.graph.tensors[net.input].type = schema.TensorType.FLOAT32
    with pytest.raises(ExportError, match="FLOAT32"):
        read_tflite(net.bytes())
    net = Net((8, 8, 4)).mean()
    net.graph.operators[0].inputs[1] = net.graph.index([1])
    with pytest.raises(ExportError, match="other axes"):
        read_tflite(net.bytes())
    for junk in (b"", b"TFL3", artifacts.tflite[:1000], b"\0" * 64, artifacts.onnx):
        with pytest.raises(ExportError):
            read_tflite(junk)
    with pytest.raises(ConfigError, match="C name"):
        write_c(artifacts.tflite, "no name")


def test_through_the_script(run_script, tmp_path, artifacts):
    done = run_script("export/to_c.py", "--size", artifacts.size, "--out", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    files = {
        p.relative_to(tmp_path / "c").as_posix(): p.read_text() for p in (tmp_path / "c").rglob("*") if p.is_file()
    }
    sources = firmware_sources(artifacts.model, 25, design(64, 19)).files
    assert files == {**sources, **package_files(sources, artifacts.model.digest())}
    (tmp_path / "net.tflite").write_bytes(NETWORKS["anomaly"]())
    for words in ((), ("--array",)):
        done = run_script(
            "export/to_c.py", "--tflite", tmp_path / "net.tflite", "--name", "net", "--out", tmp_path / "d", *words
        )
        assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "d").iterdir()} == {"net.c", "net.h", "net_tflite.h", *KERNELS}
    done = run_script("export/to_c.py", "--tflite", tmp_path / "none.tflite", "--out", tmp_path / "e")
    assert done.returncode == 2
    assert not (tmp_path / "e").exists()
