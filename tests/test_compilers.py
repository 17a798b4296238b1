"""The sources with the compilers that firmware teams use: no warning, and the self-test passes on every emulated core.

ONWRIST_MATRIX=all runs every combination; otherwise each compiler, level, language and core comes up at least once.
"""

import itertools
import os
import re
import subprocess

import made
import numpy as np
import pytest
from networks import NETWORKS

from onwrist.export.graphs.tflite_reader import read_tflite
from onwrist.export.graphs.tflite_writer import write_tflite
from onwrist.export.handoff.bundle import bundle_sources
from onwrist.export.handoff.golden import golden_vectors
from onwrist.export.sources.c_text import array_header, c_array
from onwrist.export.sources.c_writer import write_c
from onwrist.export.sources.files import runtime_sources
from onwrist.export.sources.firmware import firmware_sources
from onwrist.firmware_sim.runtimes.compiler import CORES, GNU, M55, PORTABLE_CORES, Toolchain, build_core
from onwrist.firmware_sim.runtimes.device import ROOTS, Device
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.runtimes.qemu import absent, board_image, instructions, run_board
from onwrist.firmware_sim.runtimes.window import litert_interpreter
from onwrist.firmware_sim.watch.golden import golden_watch_header
from onwrist.quantize.integers.training import load_integers
from onwrist.resources import C_SOURCES
from onwrist.signals.front_end.fixed import design

EVERY_CORE = (*PORTABLE_CORES, *CORES, M55)
TOOLCHAINS = [
    Toolchain(c, level, free) for c in ("zig", "gcc") for level in ("-O2", "-O3", "-Os") for free in (True, False)
]
ALL = [(t, core, cxx) for t, core, cxx in itertools.product(TOOLCHAINS, EVERY_CORE, (False, True))]
# A diagonal: every core with both compilers, everything else in turn.
FEW = [
    (Toolchain(c, ("-O2", "-O3", "-Os")[(i + k) % 3], (i + k) % 2 == 0), core, (i + k) % 4 == 1)
    for k, c in enumerate(("zig", "gcc")) for i, core in enumerate(EVERY_CORE)
]  # fmt: skip
MATRIX = ALL if os.environ.get("ONWRIST_MATRIX") == "all" else FEW
CALLER = """
#include "onwrist.h"
#include "onwrist_model.h"
#include "array.h"
#include "board.h"
extern "C" int32_t onwrist_selftest(void);
extern "C" int32_t onwrist_selftest_watch(void);
extern "C" int32_t board_main(void);
static onwrist watch;
alignas(8) static int8_t arena[ONWRIST_ARENA_BYTES];
int32_t board_main(void) {
    onwrist_init(&watch, arena);
    return onwrist_selftest() + onwrist_selftest_watch() + (array_tflite[0] != 1);
}
"""
PLAIN = """
#include "board.h"
int32_t onwrist_selftest(void);
int32_t onwrist_selftest_watch(void);
int32_t board_main(void) { return onwrist_selftest() + onwrist_selftest_watch(); }
"""


@pytest.fixture(scope="module")
def firmware():
    model = load_integers("band")
    return firmware_sources(model, 25, design(64, 19))


@pytest.fixture(scope="module")
def files():
    model, fixed = load_integers("band"), design(64, 19)
    golden = golden_vectors(model, 25, fixed)
    rules = made.reference(model).rules
    sources = bundle_sources(model, 25, fixed, golden, golden_watch_header, rules)[1]
    return {**sources, "board.h": "#include <stdint.h>\n"}


def name_of(case) -> str:
    toolchain, core, cxx = case
    free = "freestanding" if toolchain.freestanding else "hosted"
    return f"{toolchain.compiler}{toolchain.level}-{free}-{'c++' if cxx else 'c'}-{core.name}"


@pytest.mark.parametrize("case", MATRIX, ids=name_of)
def test_the_selftest_passes_with_every_compiler_on_every_core(files, case):
    toolchain, core, cxx = case
    if toolchain.absent:
        pytest.skip(toolchain.absent)
    caller = {"main.cpp": CALLER, "array.h": array_header(b"\1\2\3", "array")} if cxx else {"main.c": PLAIN}
    if core is M55:
        if absent():
            pytest.skip(absent())
        assert run_board(board_image({**files, **caller}, core, toolchain=toolchain)) == []
    else:
        machine = Emulator(
            build_core({**files, **caller}, core, ("board_main",), toolchain=toolchain), core, count=False
        )
        assert machine.call("board_main") == 0


def instructions_of_a_hop(firmware, toolchain, core) -> int:
    """Instructions of the model alone in one hop."""
    machine = Emulator(build_core(firmware.files, core, ROOTS, toolchain=toolchain), core)
    device = Device(firmware, machine)
    device.step(np.zeros(25, np.int8))
    return machine.instructions


@pytest.mark.skipif(bool(Toolchain("gcc").absent), reason=Toolchain("gcc").absent or "here")
def test_gcc_needs_no_more_than_a_tenth_more_instructions(firmware):
    for core in (CORES[0], PORTABLE_CORES[1]):
        clang, gcc = (instructions_of_a_hop(firmware, Toolchain(c), core) for c in ("zig", "gcc"))
        assert gcc < 1.1 * clang


@pytest.mark.skipif(bool(absent()), reason=absent() or "here")
@pytest.mark.parametrize(("size", "most"), (("watch", 0.42), ("band", 0.7)))
def test_vectors_are_used_and_exact_and_counted_the_same_twice(size, most):
    model = load_integers(size)
    made = write_c(write_tflite(model), "net")
    x = np.random.default_rng(0).integers(-128, 128, model.window).astype(np.int8)
    elf = on_the_board(made, x)
    said = run_board(elf)
    np.testing.assert_array_equal(np.frombuffer(said[2], np.int8), model.run(x[None])[0][0])
    assert instructions(*said[:2]) / made.network.macs < most
    assert run_board(elf) == said


@pytest.mark.skipif(bool(absent()), reason=absent() or "here")
@pytest.mark.parametrize("name", ("multiplied", "odd"))
def test_other_peoples_networks_are_exact_with_vectors(name):
    data = NETWORKS[name](3)
    network = read_tflite(data)
    shape = network.tensors[network.inputs[0]].shape
    x = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    call = litert_interpreter(data, "reference")
    call.set_tensor(call.get_input_details()[0]["index"], x)
    call.invoke()
    expected = call.get_tensor(call.get_output_details()[0]["index"]).ravel()
    said = run_board(on_the_board(write_c(data, "net"), x.ravel()))
    np.testing.assert_array_equal(np.frombuffer(said[2], np.int8), expected)


def on_the_board(made, x) -> bytes:
    """An image that runs a model once on x and says the ticks before and after, and its first output."""
    main = f"""
#include "board.h"
#include "net.h"
#include <string.h>
{c_array("int8_t", "input", x)}
static _Alignas(16) int8_t arena[NET_ARENA_BYTES];
int32_t board_main(void) {{
    memcpy(arena + NET_INPUT0_OFFSET, input, sizeof(input));
    const uint32_t before = board_ticks();
    net_run(arena);
    const uint32_t after = board_ticks();
    board_number(before), board_number(after);
    board_bytes(arena + NET_OUTPUT0_OFFSET, NET_OUTPUT0_BYTES);
    return 0;
}}
"""
    return board_image({**made.files, **runtime_sources(), "main.c": main})


@pytest.mark.skipif(bool(Toolchain("gcc").absent), reason=Toolchain("gcc").absent or "here")
def test_the_page_for_firmware_engineers_is_followed_to_the_letter(files, tmp_path):
    page = (C_SOURCES / "FIRMWARE.md").read_text()
    blocks = [b for b in re.findall(r"```sh\n(.*?)```", page, re.S) if GNU in b]
    assert len(blocks) == 1
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(["sh", "-e", "-c", blocks[0]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "libonwrist.a").is_file()
