"""Files of other people: refused by name and all at once, or right; damaged ones are answered, never followed."""

import re
import time

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import INT8, NETWORKS, OPERATOR, OPTIONS, Net, remembered

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_reader import read_tflite
from onwrist.export.sources.c_writer import write_c
from onwrist.export.sources.files import runtime_sources
from onwrist.export.sources.layers.rounding import dead_channels
from onwrist.firmware_sim.runtimes.compiler import build_native
from onwrist.firmware_sim.runtimes.device import Native

SOUND = [make(1) for make in (*NETWORKS.values(), remembered)]
FILES_EACH = 10
# Of one file, on a machine that does other things too.
SECONDS = 20


def damaged(rng: np.random.Generator) -> bytes:
    """A sound file with some bytes or words changed, cut, or moved."""
    data = bytearray(SOUND[rng.integers(len(SOUND))])
    # Most of a file is weights: look for trouble where the structure is, too.
    ends = (len(data), 2000)[rng.integers(2)]
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(8, ends - 4)) & (~3 if rng.integers(2) else ~0)
        if rng.integers(3) == 0:
            data[at : at + 4] = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**31, 10**6, 65536])).to_bytes(4, "little")
        elif rng.integers(2):
            data[at] ^= 1 << int(rng.integers(8))
        else:
            data[at] = int(rng.integers(256))
    return bytes(data[: rng.integers(8, len(data))]) if rng.integers(12) == 0 else bytes(data)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_an_error_or_a_model(seed):
    rng = np.random.default_rng(seed)
    for _ in range(FILES_EACH):
        data = damaged(rng)
        began = time.process_time()
        try:
            answer = f"arena {write_c(data, 'net').plan.bytes}"
        except ExportError as error:
            answer = error.cure
        assert answer
        assert time.process_time() - began < SECONDS


def test_damaged_files_that_are_taken_compile_and_stay_within_their_memory():
    rng, taken = np.random.default_rng(0), 0
    while taken < 6:
        data = damaged(rng)
        try:
            made = write_c(data, "net")
        except ExportError:
            continue
        if data in SOUND:
            continue
        taken += 1
        machine = Native(build_native({**made.files, **runtime_sources()}, sanitise=True))
        fence = 4096
        arena = machine.allocate(made.plan.bytes + fence)
        machine.write(arena + made.plan.bytes, np.full(fence, 77, np.int8))
        machine.call("net_run", arena)
        assert (machine.read(arena + made.plan.bytes, fence) == 77).all()


def test_a_refusal_lists_everything_operators_first():
    net = Net((8, 8, 4)).conv(4, activation=schema.ActivationFunctionType.TANH).conv(4).conv(4)
    net.graph.operators[1].opcodeIndex = net.graph.code(OPERATOR.TANH, 1)
    net.graph.operators[2].opcodeIndex = net.graph.code(OPERATOR.SIN, 1)
    with pytest.raises(ExportError, match=r"operator 1 is TANH; operator 2 is SIN; operator 0 .*fused activation"):
        write_c(net.bytes(), "net")
    net = Net((8, 8, 4)).conv(4).conv(4).softmax()
    for tensor in net.graph.tensors:
        if tensor.name.startswith(b"w"):
            tensor.quantization.scale = np.full(4, 1e9, np.float32)
            tensor.quantization.key = b"absurd"
    with pytest.raises(ExportError, match=r"operator 0 \(CONV_2D\).*operator 1 \(CONV_2D\)"):
        write_c(net.bytes(), "net")


def test_names_of_tensors_do_not_become_c():
    net = Net((8, 8, 4)).conv(4)
    net.graph.tensors[net.input].name = b"*/ int evil; /* \\ ??/ \n#error no"
    header = write_c(net.bytes(), "net").files["net.h"]
    assert "evil; " in header
    assert not any(bad in header for bad in ("*/ int", "#error", "??/", "\\"))
    build_native({**write_c(net.bytes(), "net").files, **runtime_sources()})


def test_dead_channels_are_what_they_always_give():
    weights, pairs = np.array([[1, -2], [1, -2], [3, 3]]), np.array([[1 << 30, 0], [1 << 30, -3], [1 << 30, -8]])
    assert dead_channels(weights, np.array([1 << 30, -(1 << 30), 5]), pairs, 3, (-128, 127)) == {0: 127, 1: -128}
    wide = np.array([[1, 1], [4_500_000, 4_500_000]])
    with pytest.raises(ExportError, match="channel 1"):
        dead_channels(wide, np.zeros(2, np.int64), np.array([[1 << 30, -5], [1 << 30, -24]]), 0, (-128, 127))


def test_a_network_with_a_dead_channel_has_tflms_bytes():
    from tflite_micro.python.tflite_micro import runtime

    net = Net((1, 12, 3)).conv(6, (1, 3))
    buffer = net.graph.buffers[net.graph.tensors[2].buffer]
    bias = np.frombuffer(np.asarray(buffer.data, np.uint8).tobytes(), np.int32).copy()
    bias[2], bias[4] = (1 << 30) + 5, -(1 << 30) - 9
    buffer.data = np.frombuffer(bias.tobytes(), np.uint8)
    data = net.conv(4, (1, 1)).bytes()
    made = write_c(data, "net")
    machine = Native(build_native({**made.files, **runtime_sources()}, sanitise=True))
    call, arena = runtime.Interpreter.from_bytes(data, arena_size=1 << 18), machine.allocate(made.plan.bytes)
    for seed in range(4):
        x = np.random.default_rng(seed).integers(-128, 128, (1, 1, 12, 3)).astype(np.int8)
        call.set_input(x, 0)
        call.invoke()
        machine.write(arena + made.plan.offset[made.network.inputs[0]], x)
        machine.call("net_run", arena)
        expected = call.get_output(0).reshape(-1)
        np.testing.assert_array_equal(machine.read(arena + made.plan.offset[made.network.outputs[0]], 48), expected)


def test_float_ends_are_the_callers():
    net = Net((1, 12, 3)).conv(6, (1, 3))
    net.graph.tensors[net.input].name = b"inside"
    outside = net.graph.tensor("outside", (1, 1, 12, 3), INT8, np.float32(1), 0)
    net.graph.tensors[outside].type = schema.TensorType.FLOAT32
    body = list(net.graph.operators)
    net.graph.operators.clear()
    net.graph.append(
        net.graph.code(OPERATOR.QUANTIZE, 1), [outside], net.input, schema.QuantizeOptionsT(), OPTIONS.QuantizeOptions
    )
    net.graph.operators.extend(body)
    network = read_tflite(net.graph.pack("net", [outside], [net.at]))
    assert [network.tensors[i].name for i in network.inputs] == ["inside"]
    assert [op.kind for op in network.operators] == ["CONV_2D"]


@pytest.mark.parametrize("name", ("QUANTIZE", "RELU", "RELU6", "LOGISTIC"))
def test_tables_are_tflms_for_every_byte(name):
    from tflite_micro.python.tflite_micro import runtime

    rng = np.random.default_rng(0)
    for _ in range(8):
        net = Net((256,), int(rng.integers(1000)))
        scale, zero = {"LOGISTIC": (1 / 256, -128), "RELU6": (None, None)}.get(name, (rng.uniform(0.01, 0.1), -30))
        x_scale = np.float32(rng.uniform(0.005, 0.2))
        net.scales[net.at] = (x_scale, net.scales[net.at][1])
        net.graph.tensors[net.at].quantization.scale = np.array([x_scale])
        net.graph.tensors[net.at].quantization.key = x_scale.tobytes()
        data = net.one_input(name, scale=None if scale is None else np.float32(scale), zero=zero).bytes()
        call = runtime.Interpreter.from_bytes(data, arena_size=1 << 16)
        call.set_input(np.arange(-128, 128).astype(np.int8)[None], 0)
        call.invoke()
        text = write_c(data, "net").files["net.c"]
        table = re.search(r"op0_t\[256\] = \{(.*?)\}", text, re.S)[1]
        np.testing.assert_array_equal(np.array(table.split(","), int), call.get_output(0).ravel())
