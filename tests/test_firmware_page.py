"""What the page for firmware engineers says: its sources compile, its self-test fails when it should, its main runs."""

import re
import shutil
import subprocess
import sys

import pytest
from bundles import plain_bundle

from onwrist.export.sources.firmware import ACCELERATION, ACCELERATION_TABLES
from onwrist.firmware_sim.runtimes.compiler import CORES, GCC, M55, SPEED, STRICT
from onwrist.resources import C_SOURCES


def compile_and_run(folder, *words: str) -> int:
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        *SPEED,
        *STRICT,
        "-I",
        str(folder),
        *words,
        "-o",
        str(folder / "program"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return subprocess.run([folder / "program"]).returncode


def test_the_self_test_is_a_program_that_fails_when_it_should(tmp_path):
    for name, data in plain_bundle().files.items():
        if name.startswith("band/c/"):
            (tmp_path / name.rpartition("/")[2]).write_bytes(data)
    words = [*(str(p) for p in sorted(tmp_path.glob("*.c"))), "-DONWRIST_SELFTEST_MAIN"]
    assert compile_and_run(tmp_path, *words) == 0
    header = tmp_path / "onwrist_golden.h"
    header.write_text(
        re.sub(r"(embedding\[\d+\] = \{\s*)(-?\d+)", lambda m: m[1] + str(int(m[2]) ^ 1), header.read_text())
    )
    assert compile_and_run(tmp_path, *words) == 1


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc, whose package has the address sanitizer")
def test_the_self_test_under_another_compiler_and_sanitizers(tmp_path):
    for name, data in plain_bundle().files.items():
        if name.startswith("band/c/"):
            (tmp_path / name.rpartition("/")[2]).write_bytes(data)
    words = [
        "-std=c11",
        "-O1",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-DONWRIST_SELFTEST_MAIN",
    ]
    built = subprocess.run(["gcc", *words, *tmp_path.glob("*.c"), "-o", tmp_path / "t"], capture_output=True, text=True)
    if "cannot find" in built.stderr:
        pytest.skip("this gcc has no sanitizer libraries")
    assert built.returncode == 0, built.stderr
    run = subprocess.run([tmp_path / "t"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_main_of_the_page_compiles_and_runs(tmp_path):
    for name, data in plain_bundle().files.items():
        if name.startswith("band/c/") and not name.endswith("selftest.c"):
            (tmp_path / name.rpartition("/")[2]).write_bytes(data)
    page = (C_SOURCES / "FIRMWARE.md").read_text()
    (tmp_path / "main.c").write_text(re.search(r"```c\n(.*?)```", page, re.DOTALL)[1])
    # A board: golden counts come in 29 at a time, and the program ends when they do.
    (tmp_path / "board.c").write_text("""
#include <stdint.h>
#include <stdlib.h>
#include "onwrist_golden.h"
int32_t sensor_read(int32_t *counts, int32_t most);
int32_t sensor_lost(void);
void show(int32_t beats_per_minute);
static int32_t at, shown;
int32_t sensor_read(int32_t *counts, int32_t most) {
    int32_t n = 0;
    if (at >= ONWRIST_GOLDEN_COUNTS) exit(shown ? 0 : 3);
    while (n < most && n < 29 && at < ONWRIST_GOLDEN_COUNTS) counts[n++] = onwrist_golden_counts[at++];
    return n;
}
int32_t sensor_lost(void) { return 0; }
void show(int32_t beats_per_minute) { shown += beats_per_minute > 30 && beats_per_minute < 220; }
int8_t unused(void); int8_t unused(void) { return (int8_t)(onwrist_golden_input[0] + onwrist_golden_embedding[0] + onwrist_golden_answers[0]); }
""")
    sources = [str(p) for p in sorted(tmp_path.glob("*.c"))]
    assert compile_and_run(tmp_path, *sources) == 0


def test_the_page_says_of_each_source_what_it_is_for():
    table = (C_SOURCES / "FIRMWARE.md").read_text().split("## What to copy")[1].split("\nCompile with")[0]
    there = {n.rpartition("/")[2] for n in plain_bundle().files if n.startswith("band/c/") and n.endswith((".c", ".h"))}
    # Of a student that takes acceleration there are three more.
    assert set(re.findall(r"`(\w+\.[ch])`", table)) == there | {*ACCELERATION, ACCELERATION_TABLES}


@pytest.mark.parametrize("core", (*CORES, M55), ids=lambda c: c.name)
@pytest.mark.parametrize("cxx", (False, True), ids=("C", "C++"))
@pytest.mark.skipif(bool(GCC.absent), reason=GCC.absent or "here")
def test_every_example_of_the_page_is_c_and_cxx_as_it_stands(tmp_path, core, cxx):
    for name, data in plain_bundle().files.items():
        if name.startswith("band/c/on") and name.endswith(".h"):
            (tmp_path / name.rpartition("/")[2]).write_bytes(data)
    examples = re.findall(r"```c\n(.*?)```", (C_SOURCES / "FIRMWARE.md").read_text(), re.DOTALL)
    assert len(examples) == 3
    for k, text in enumerate(examples):
        file = tmp_path / f"example{k}.{'cpp' if cxx else 'c'}"
        file.write_text(text)
        done = subprocess.run(
            [*GCC.words(core, cxx), *STRICT, "-c", file, "-o", file.with_suffix(".o")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
