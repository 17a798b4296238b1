"""The handoff: a bundle verifies, and damaged in any way it does not; what is refused was not run."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from onwrist.errors import BundleError, ExportError
from onwrist.export.handoff.artifacts import load_artifacts
from onwrist.export.handoff.bundle import MANIFEST, golden_vectors, manifest, shared_files, student_files, write_bundle
from onwrist.firmware_sim.handoff import verify as verifier
from onwrist.firmware_sim.handoff.verify import DEGRADED, INVALID, VALID, read_bundle, verify
from onwrist.firmware_sim.runtimes.compiler import SPEED, STRICT
from onwrist.resources import C_SOURCES
from onwrist.signals.front_end.fixed import design


@pytest.fixture(scope="module")
def pieces():
    artifacts = load_artifacts("band")
    return {**shared_files(), **student_files(artifacts, 25, design(64, 19))}, {"band": artifacts.model.digest()}


@pytest.fixture(scope="module")
def bundle(pieces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "band"
    write_bundle(folder, *pieces, "valid")
    return folder


def test_a_bundle_verifies_as_folder_and_as_zip(bundle):
    for path in (bundle, bundle.with_name("band.zip")):
        verdict = verify(path)
        assert (verdict.word, verdict.status) == ("valid", VALID), verdict.lines
        assert sum("emulated" in line for line in verdict.lines) == 3
        assert len(verdict.lines) == 9


def test_the_same_files_give_the_same_zip(pieces, bundle, tmp_path):
    write_bundle(tmp_path / "again", *pieces, "valid")
    assert (tmp_path / "again.zip").read_bytes() == bundle.with_name("band.zip").read_bytes()


def test_golden_vectors_cover_rails_and_rest(pieces):
    golden = golden_vectors(load_artifacts("band"), 25, design(64, 19))
    assert set(np.unique(golden.counts)) >= {0, 2**19 - 1}
    assert {-128, 127, 0} <= set(golden.input.ravel().tolist())
    assert not golden.input[-1].any()
    assert len(golden.layers) == 12


def test_scripts_make_and_check_it(run_script, tmp_path):
    out = tmp_path / "out"
    done = run_script(
        "export/bundle.py", "--sizes", "band", "--hop-s", 2, "--sensor-hz", 100, "--bits", 22, "--out", out
    )
    assert done.returncode == 0, done.stderr
    done = run_script("firmware_sim/verify.py", out)
    assert done.returncode == VALID, done.stdout
    assert done.stdout.splitlines()[-1] == "valid"
    (out / "band" / "step.tflite").write_bytes(b"")
    done = run_script("firmware_sim/verify.py", out)
    assert done.returncode == INVALID
    assert done.stdout.startswith("REFUSED")


# --- damage that is refused: nothing is loaded, compiled or run ---


def change(name: str, how):
    def damage(files: dict[str, bytes]) -> None:
        files[name] = how(files[name])

    return damage


def edit_manifest(how):
    def damage(files: dict[str, bytes]) -> None:
        found = json.loads(files[MANIFEST])
        files[MANIFEST] = json.dumps(how(found) or found).encode()

    return damage


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


REFUSED = {
    "a bit of the model": change("band/step.tflite", flip),
    "a bit of the window": change("band/window.onnx", flip),
    "a bit of the weights in C": change("band/c/onwrist_model.c", flip),
    "a bit of the kernels": change("band/c/onwrist_kernels.c", flip),
    "a bit of the golden vectors": change("band/golden.npz", flip),
    "a bit of the contract": change("band/contract.json", flip),
    "a truncated model": change("band/step.tflite", lambda d: d[:-1]),
    "an empty header": change("band/c/onwrist.h", lambda d: b""),
    "another licence": change("LICENSE", lambda d: b"none"),
    "a missing file": lambda files: files.pop("band/c/onwrist_tables.h"),
    "a stray file": lambda files: files.update({"band/c/zz_constructor.c": b"int x;"}),
    "no manifest": lambda files: files.pop(MANIFEST),
    "half a manifest": change(MANIFEST, lambda d: d[: len(d) // 2]),
    "a manifest of nothing": change(MANIFEST, lambda d: b"{}"),
    "a manifest that is a list": change(MANIFEST, lambda d: b"[]"),
    "another format": edit_manifest(lambda m: m.update(format="onwrist-bundle-9")),
    "no students": edit_manifest(lambda m: m.update(students={})),
    "a student with a path for a name": edit_manifest(lambda m: m.update(students={"../band": "x"})),
    "hashes that are no strings": edit_manifest(lambda m: m.update(sha256=dict.fromkeys(m["sha256"], 7))),
    "a path that climbs": edit_manifest(lambda m: m["sha256"].update({"../../etc/passwd": "0" * 64})),
    "a path from the root": edit_manifest(lambda m: m["sha256"].update({"/etc/passwd": "0" * 64})),
    "a windows path": edit_manifest(lambda m: m["sha256"].update({"..\\x": "0" * 64})),
}


@pytest.fixture
def nothing_runs(monkeypatch):
    """Any attempt to load, compile or run something of a refused bundle fails the test."""

    def forbidden(*_, **__):
        raise AssertionError("something of a refused bundle was run")

    for name in ("read_student", "build_core", "_tflm", "_litert", "_onnx", "_selftest", "_front_end", "_windows"):
        monkeypatch.setattr(verifier, name, forbidden)


def packed(files: dict[str, bytes], path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("name", REFUSED)
def test_damage_is_refused(bundle, tmp_path, nothing_runs, name):
    files = read_bundle(bundle)
    REFUSED[name](files)
    packed(files, tmp_path / "damaged.zip")
    with pytest.raises(BundleError):
        verify(tmp_path / "damaged.zip")


def test_a_zip_that_climbs_or_repeats_or_links_is_refused(bundle, tmp_path, nothing_runs):
    files = read_bundle(bundle)
    for name in ("../evil", "/evil", "a/../../evil", "c:evil"):
        packed({**files, name: b"x"}, tmp_path / "z.zip")
        with pytest.raises(BundleError, match="leaves the bundle"):
            verify(tmp_path / "z.zip")
    packed(files, tmp_path / "twice.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("LICENSE", b"x")
    with pytest.raises(BundleError, match="twice"):
        verify(tmp_path / "twice.zip")
    link = zipfile.ZipInfo("band/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BundleError, match="link"):
        verify(tmp_path / "link.zip")


def test_a_folder_with_a_link_or_a_truncated_zip_or_nothing_is_refused(bundle, tmp_path, nothing_runs):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / "LICENSE").unlink()
    (copy / "LICENSE").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="link"):
        verify(copy)
    whole = bundle.with_name("band.zip").read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"PK"):
        (tmp_path / "short.zip").write_bytes(data)
        with pytest.raises(BundleError):
            verify(tmp_path / "short.zip")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "none.zip"):
        with pytest.raises(BundleError):
            verify(path)


def test_a_bomb_is_refused(tmp_path, nothing_runs, monkeypatch):
    monkeypatch.setattr(verifier, "MOST_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (1 << 21))
    with pytest.raises(BundleError, match="larger"):
        verify(tmp_path / "bomb.zip")


# --- damage with a manifest to match: hashes are right, the bytes are not ---


def golden_with(**changes):
    def damage(files: dict[str, bytes]) -> None:
        with np.load(io.BytesIO(files["band/golden.npz"])) as archive:
            arrays = {k: archive[k].copy() for k in archive}
        for name, how in changes.items():
            arrays[name] = how(arrays[name])
        out = io.BytesIO()
        np.savez(out, **arrays)
        files["band/golden.npz"] = out.getvalue()

    return damage


def one_more(values: np.ndarray) -> np.ndarray:
    values[3, 2] += 1
    return values


CONSISTENT = {
    "a golden byte": golden_with(embedding=one_more),
    "a golden input": golden_with(input=one_more),
    "a weight in C": change(
        "band/c/onwrist_model.c", lambda d: re.sub(rb"(uint32_t op\d+_w\[\d+\] = \{\s*)\d+", rb"\g<1>1", d, count=1)
    ),
    "C that does not compile": change("band/c/onwrist.c", lambda d: d + b"\nint"),
    "a front end of the contract": change(
        "band/contract.json", lambda d: re.sub(rb'"floor": \d+', b'"floor": 1000000000', d)
    ),
    "a start of the contract": change("band/contract.json", lambda d: re.sub(rb"-128,", b"-1,", d)),
    "a model that is none": change("band/step.tflite", lambda d: d[:2000]),
    "an ONNX that is none": change("band/step.onnx", lambda d: d[:2000]),
    "a self-test that is missing": lambda files: files.pop("band/c/selftest.c"),
}


@pytest.mark.parametrize("name", CONSISTENT)
def test_consistent_damage_is_invalid(pieces, tmp_path, name):
    files, students = dict(pieces[0]), pieces[1]
    CONSISTENT[name](files)
    assert files != pieces[0]
    write_bundle(tmp_path / "b", files, students, "valid")
    verdict = verify(tmp_path / "b")
    assert (verdict.word, verdict.status) == ("invalid", INVALID)


def test_a_failed_gate_and_another_digest_are_invalid(pieces, tmp_path):
    files, students = pieces
    write_bundle(tmp_path / "a", files, students, "invalid")
    write_bundle(tmp_path / "b", files, {"band": "0" * 64}, "valid")
    assert verify(tmp_path / "a").failed
    assert verify(tmp_path / "b").failed


def test_what_cannot_be_run_is_said_and_degrades(bundle, monkeypatch):
    def absent(*_):
        raise ImportError("gone", name="unicorn")

    monkeypatch.setattr(verifier, "_selftest", absent)
    verdict = verify(bundle)
    assert (verdict.word, verdict.status) == ("degraded", DEGRADED)
    assert sum("unicorn is not installed" in line for line in verdict.lines) == 3


def test_a_folder_that_is_no_bundle_is_left_alone(pieces, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="no bundle"):
        write_bundle(tmp_path / "home", *pieces, "valid")
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["thesis.tex"]


def test_an_older_bundle_is_replaced_whole(pieces, tmp_path):
    files, students = pieces
    write_bundle(tmp_path / "b", {**files, "old.txt": b"old"}, students, "valid")
    write_bundle(tmp_path / "b", files, students, "valid")
    assert set(read_bundle(tmp_path / "b")) == {*files, MANIFEST}
    found = json.loads((tmp_path / "b" / MANIFEST).read_text())
    assert found["sha256"]["LICENSE"] == hashlib.sha256(files["LICENSE"]).hexdigest()
    assert manifest(files, students, "valid") == (tmp_path / "b" / MANIFEST).read_bytes()


# --- what the page for firmware engineers says ---


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


def test_the_self_test_is_a_program_that_fails_when_it_should(pieces, tmp_path):
    for name, data in pieces[0].items():
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
def test_the_self_test_under_another_compiler_and_sanitizers(pieces, tmp_path):
    for name, data in pieces[0].items():
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


def test_the_main_of_the_page_compiles_and_runs(pieces, tmp_path):
    for name, data in pieces[0].items():
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
    assert compile_and_run(tmp_path, *sources, "-DONWRIST_GAP_SAMPLES=64") == 0
