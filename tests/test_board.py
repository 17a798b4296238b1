"""What a board says of itself: one line of JSON from the self-test, and the row that it becomes."""

import functools
import json
import re
import subprocess
import sys

import made
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.errors import ConfigError
from onwrist.export.handoff.artifacts import load_artifacts
from onwrist.export.handoff.bundle import bundle_sources
from onwrist.export.handoff.golden import golden_vectors
from onwrist.firmware_sim.parity import parts
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.measured import read_rows, with_measured
from onwrist.firmware_sim.parity.parts import PARTS, cells, cost
from onwrist.firmware_sim.parts import PartsConfig, main
from onwrist.firmware_sim.runtimes.compiler import CORES, M55, PORTABLE_CORES, STRICT, build_core
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.runtimes.qemu import absent, board_image, talk
from onwrist.firmware_sim.watch.golden import golden_watch_header
from onwrist.quantize.integers.training import load_integers
from onwrist.resources import C_SOURCES
from onwrist.signals.front_end.fixed import design

WHO = ('ONWRIST_BOARD_PART="STM32L4R5"', "ONWRIST_BOARD_MHZ=120")
# A program for a core whose characters are left in memory.
MAIN = """
#include <stdint.h>
int32_t onwrist_selftest_board(void (*put)(char));
char said[2048];
int32_t length;
static void put(char c) { if (length < 2047) said[length++] = c; }
int32_t board_main(void) { return onwrist_selftest_board(put); }
"""
# What the page leaves to its reader, on a board of QEMU.
YOURS = """
#include "board.h"
int main(void);
void uart_put(char c);
void uart_put(char c) { board_char(c); }
int32_t board_main(void) { return main(); }
"""
# Of the system space: the counters' page with its registers, and the page that switches them on.
DWT, SYSTEM, PAGE, CTRL, COUNT = 0xE000_1000, 0xE000_E000, 0x1000, 0, 4


@pytest.fixture(scope="module")
def files():
    model, fixed = load_integers("band"), design(64, 19)
    golden, rules = golden_vectors(model, 25, fixed), made.reference(model).rules
    return bundle_sources(model, 25, fixed, golden, golden_watch_header, rules)[1]


@pytest.fixture(scope="module")
def students():
    return [Deployed(load_artifacts("band"))]


def blocks(language: str) -> list[str]:
    """Of the page for firmware engineers."""
    return re.findall(rf"```{language}\n(.*?)```", (C_SOURCES / "FIRMWARE.md").read_text(), re.DOTALL)


@functools.cache
def digest() -> str:
    return load_integers("band").digest()[:16]


def on_core(files, core, counts: bool) -> tuple[int, dict]:
    """The self-test on an emulated core, whose counter of cycles counts instructions or is not there."""
    machine = Emulator(build_core({**files, "main.c": MAIN}, core, ("board_main",), defines=WHO), core)
    machine.engine.mem_map(SYSTEM, PAGE)
    on = []

    def read(engine, offset, size, _) -> int:
        return machine.instructions if offset == COUNT and on and counts else 0

    def write(engine, offset, size, value, _) -> None:
        if offset == CTRL and value & 1:
            on.append(value)

    machine.engine.mmio_map(DWT, PAGE, read, None, write, None)
    wrong = machine.call("board_main")
    return wrong, json.loads(bytes(machine.read(machine.symbols["said"], 2048)).split(b"\0")[0])


@pytest.mark.slow
def test_a_board_says_the_cycles_of_a_hop_where_it_has_a_counter(files):
    wrong, said = on_core(files, CORES[0], counts=True)
    assert (wrong, said["wrong"], said["counter"], said["part"], said["mhz"]) == (0, 0, "DWT", "STM32L4R5", 120)
    assert said["digest"] == digest()
    assert 150_000 < said["cycles"]["least"] <= said["cycles"]["mean"] <= said["cycles"]["most"] < 250_000
    for core, counts in ((CORES[0], False), (PORTABLE_CORES[0], True)):
        wrong, said = on_core(files, core, counts)
        assert (wrong, said["counter"], said["cycles"]) == (0, None, None)


@pytest.mark.skipif(bool(absent()), reason=absent() or "QEMU is here")
def test_from_the_page_to_the_wire_of_an_emulated_board_to_the_table(files, monkeypatch, capsys, tmp_path):
    """What the page has for a UART; instructions are counted elsewhere."""
    (page,) = (b for b in blocks("c") if "selftest_board" in b)
    words = ('ONWRIST_BOARD_PART="QEMU"', "ONWRIST_BOARD_MHZ=32.5")
    said = talk(board_image({**files, "main.c": page, "yours.c": YOURS}, M55, defines=words))
    assert json.loads(said)["cycles"] is None  # QEMU has no counter of cycles, and nothing is made up
    log = tmp_path / "board.log"
    log.write_text(f"boot...\n{said}\nidle\n")
    (command,) = (b for b in blocks("sh") if "--measured" in b)
    assert command.split() == ["onwrist", "parts", "--measured", log.name]
    monkeypatch.setattr(parts, "count_mixes", lambda deployed: {})
    main(PartsConfig(measured=log))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| QEMU")]
    assert "ran right there, no cycle counter, 30 hops" in row
    assert row.count("unknown") >= 5


@pytest.mark.skipif(bool(absent()), reason=absent() or "QEMU is here")
def test_the_program_says_its_line_by_semihosting(files):
    started = '#include "board.h"\nint main(void);\nint32_t board_main(void) { return main(); }\n'
    said = talk(board_image({**files, "started.c": started}, M55, defines=("ONWRIST_SELFTEST_BOARD_MAIN", *WHO)))
    assert {k: json.loads(said)[k] for k in ("part", "mhz", "wrong")} == {"part": "STM32L4R5", "mhz": 120, "wrong": 0}


def test_a_counter_of_ones_own_on_a_machine_without(files, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "clock.c").write_text(
        "#include <stdint.h>\nuint32_t ticks(void);\nuint32_t ticks(void) { static uint32_t t; return t += 500; }\n"
    )
    words = ["-DONWRIST_SELFTEST_BOARD_MAIN", "-DONWRIST_BOARD_CYCLES=ticks", "-DONWRIST_BOARD_MHZ=1"]
    sources = [n for n in files if n.endswith(".c") and n not in ("selftest.c", "selftest_watch.c")]
    build = [sys.executable, "-m", "ziglang", "cc", "-std=c11", "-O1", *STRICT, *words, *sources, "clock.c", "-o", "t"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([tmp_path / "t"], capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["cycles"] == {"least": 1000, "most": 1000, "mean": 1000}


def row(**changes) -> dict:
    base = {
        "schema": "onwrist.board/1", "part": "STM32L4R5", "mhz": 120, "student": "band",
        "digest": digest(), "sensor_hz": 64, "hop": 25, "hops": 30, "wrong": 0, "counter": "DWT",
        "cycles": {"least": 300000, "most": 330000, "mean": 310000}, "compiler": "gcc 12.2",
    }  # fmt: skip
    return base | changes


def test_a_measured_row_replaces_the_estimate_of_its_part(tmp_path, students):
    path = tmp_path / "rows.txt"
    path.write_text(f"[00:01] {json.dumps(row())}\n{json.dumps(row(part='Mine', mhz=64))}\n")
    estimates = [cost(part, students[0], {}) for part in PARTS]
    found = with_measured(estimates, read_rows(path), students, path)
    assert len(found) == len(estimates) + 1
    by_name = {c.part: c for c in found}
    assert by_name["STM32L4R5"].measured
    assert by_name["STM32L4R5"].seconds == pytest.approx((300000 / 120e6, 330000 / 120e6))
    assert by_name["STM32L4R5"].joules is not None
    assert by_name["Mine"].joules is None
    assert "measured, DWT" in " ".join(cells(by_name["Mine"]))
    path.write_text(json.dumps(row(counter=None, cycles=None)))
    kept = with_measured(estimates, read_rows(path), students, path)
    assert [c.measured for c in kept if c.part == "STM32L4R5"] == [False, True]
    # At another clock it is another row.
    path.write_text(json.dumps(row(mhz=80)))
    assert len(with_measured(estimates, read_rows(path), students, path)) == len(estimates) + 1


BAD = {
    "digest": (row(digest="0" * 16), "other integers"), "letters": (row(digest="x"), "digest"), "wrong": (row(wrong=3), "differs in 3"),
    "hop": (row(hop=50), "--hop-s"), "rate": (row(sensor_hz=100), "--sensor-hz"), "none": (row(hops=0), "over 0 hops"),
    "order": (row(cycles={"least": 9, "most": 1, "mean": 5}), "least <= mean"), "negative": (row(wrong=-1), "greater"),
    "clock": (row(mhz=0), "ONWRIST_BOARD_MHZ"), "counter": (row(counter=None), "without"), "more": (row(extra=1), "extra"),
    "schema": (row(schema="onwrist.board/9"), "onwrist.board/1"), "text": (row(part="a|b"), "part"), "fields": ({"schema": "onwrist.board/1"}, "part"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_by_line_or_field(tmp_path, students, name):
    bad, match = BAD[name]
    path = tmp_path / "rows"
    path.write_text(f"hello\n{json.dumps(bad)}\n")
    with pytest.raises(ConfigError, match=re.escape(match)) as error:
        with_measured([], read_rows(path), students, path)
    assert error.value.cure
    assert error.value.where == path


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(30, 400), junk=st.binary(max_size=40))
def test_a_line_that_was_cut_off_is_an_error_not_a_row(tmp_path_factory, cut, junk):
    text = json.dumps(row())
    path = tmp_path_factory.getbasetemp() / "cut"
    path.write_bytes(text[: min(cut, len(text) - 1)].encode() + b"\n" + junk)
    with pytest.raises(ConfigError, match=r"cut off|no line"):
        read_rows(path)


def test_no_row_and_no_file_are_said_at_once(run_script, tmp_path):
    (tmp_path / "log").write_text("boot\n")
    for name, said in (("log", "has no line of onwrist.board/1"), ("nothing", "cannot be read")):
        done = run_script("firmware_sim/parts.py", "--measured", tmp_path / name)
        assert done.returncode == 2
        assert said in done.stderr
