"""A bundle is written whole or not at all, says where its students come from, and is refused before the work if it cannot be."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from bundles import BITS, HOP, RATE, band, edit_run, judged_bundle, plain_bundle, report

from onwrist import writing
from onwrist.errors import BundleError, ConfigError, ExportError
from onwrist.export.handoff.bundle import claim_bundle, held_files, write_bundle
from onwrist.export.handoff.golden import golden_vectors
from onwrist.export.handoff.names import CARD, MANIFEST, REPORT_JSON, SIGNATURE
from onwrist.export.handoff.provenance import model_card, origin, shipped_digests
from onwrist.firmware_sim.handoff.opening import read_bundle
from onwrist.firmware_sim.handoff.verify import STATUS
from onwrist.signals.front_end.fixed import design
from onwrist.writing import claim, replace_folder, write_whole


def test_the_same_files_give_the_same_zip(tmp_path):
    first, again = (write_bundle(tmp_path / n, plain_bundle()) for n in ("a", "b"))
    assert first.read_bytes() == again.read_bytes()
    assert read_bundle(first) == read_bundle(tmp_path / "a")


def test_golden_vectors_cover_rails_and_rest():
    golden = golden_vectors(band().model, HOP, design(RATE, BITS))
    assert set(np.unique(golden.counts)) >= {0, 2**BITS - 1}
    assert {-128, 127, 0} <= set(golden.input.ravel().tolist())
    assert not golden.input[-1].any()
    assert len(golden.layers) == len(band().model.layers)


def test_scripts_make_and_check_it(run_script, tmp_path):
    out = tmp_path / "out"
    done = run_script(
        "firmware_sim/bundle.py", "--sizes", "band", "--hop-s", 2, "--sensor-hz", 100, "--bits", 22, "--out", out
    )
    assert done.returncode == 0, done.stderr
    done = run_script("firmware_sim/verify.py", out)
    assert done.returncode == STATUS["degraded"], done.stdout
    assert "not judged" in done.stdout.splitlines()[-2]
    (out / "band" / "step.tflite").write_bytes(b"")
    done = run_script("firmware_sim/verify.py", out)
    assert done.returncode == STATUS["invalid"]
    assert done.stdout.startswith("REFUSED")
    assert done.stderr == ""


# --- whole or not at all ---


def snapshot(folder) -> dict:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("nth", [0, 1, 7, 20, "zip", "rename"])
def test_a_full_disk_leaves_the_last_good_bundle(tmp_path, monkeypatch, nth):
    write_bundle(tmp_path / "b", plain_bundle())
    before, calls = snapshot(tmp_path), []

    def full(real, when):
        def call(path, *more):
            calls.append(path)
            if when == len(calls) - 1 or (when == "zip" and path.suffix == ".part"):
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(path, *more)

        return call

    if nth == "rename":
        monkeypatch.setattr(os, "rename", full(os.rename, 1))
    else:
        monkeypatch.setattr(writing, "_write", full(writing._write, nth))
    with pytest.raises(ExportError, match="No space left"):
        write_bundle(tmp_path / "b", judged_bundle())
    assert snapshot(tmp_path) == before
    monkeypatch.undo()
    write_bundle(tmp_path / "b", judged_bundle())
    assert json.loads((tmp_path / "b" / MANIFEST).read_text())["verdict"] == "valid"


KILLED = """
import sys, pathlib
from onwrist.writing import replace_folder
folder = pathlib.Path(sys.argv[1])
print("ready", flush=True)
for i in range(10**6):
    files = {f"{k}.txt": str(i).encode() * 1000 for k in range(20)}
    replace_folder(folder, files, disposable=files, beside={folder.with_suffix(".zip"): str(i).encode()})
"""


def test_a_killed_run_leaves_a_whole_folder_and_blocks_nothing(tmp_path):
    folder = tmp_path / "out"
    replace_folder(
        folder, {f"{k}.txt": b"first" for k in range(20)}, disposable=(), beside={tmp_path / "out.zip": b"first"}
    )
    for pause in (0.01, 0.05, 0.12, 0.2):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with claim(folder):
            held = snapshot(folder)
            assert len(held) == 20
            assert len(set(held.values())) == 1
            assert folder.with_suffix(".zip").read_bytes()


def test_a_run_killed_between_the_two_renames_is_put_right(tmp_path):
    write_bundle(tmp_path / "b", plain_bundle())
    before = snapshot(tmp_path / "b")
    (tmp_path / "b").rename(tmp_path / ".b.old")
    (tmp_path / ".b.new").mkdir()
    with claim_bundle(tmp_path / "b"):
        assert snapshot(tmp_path / "b") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "b.zip"]


def test_what_is_somebodys_own_stays_and_what_was_the_bundles_goes(tmp_path):
    first = plain_bundle().with_files({"hub/encoder.int8.onnx": b"old"})
    write_bundle(tmp_path / "b", first)
    for name in ("notes.txt", "board/main.c"):
        (tmp_path / "b" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "b" / name).write_text("years of work")
    (tmp_path / "b" / "link").symlink_to("notes.txt")
    write_bundle(tmp_path / "b", plain_bundle())
    held = {p.relative_to(tmp_path / "b").as_posix() for p in (tmp_path / "b").rglob("*") if not p.is_dir()}
    assert held == {*plain_bundle().files, MANIFEST, "notes.txt", "board/main.c", "link"}
    assert (tmp_path / "b" / "link").is_symlink()
    assert not (tmp_path / "b" / "hub").exists()


def test_a_file_of_somebodys_own_is_not_written_over(tmp_path):
    write_bundle(tmp_path / "b", plain_bundle())
    (tmp_path / "b" / REPORT_JSON).write_text("mine")
    with pytest.raises(ExportError, match="not ours"):
        write_bundle(tmp_path / "b", judged_bundle())
    assert (tmp_path / "b" / REPORT_JSON).read_text() == "mine"


# --- refused before the work ---


def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="no bundle"), claim_bundle(tmp_path / "home"):
        pass
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["thesis.tex"]


def test_what_cannot_be_written_is_refused_before_the_work(run_script, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "b.zip").mkdir()
    for out in (tmp_path / "file", tmp_path / "file" / "inside", tmp_path / "b", "/", "/proc/out"):
        with pytest.raises(ExportError), claim_bundle(writing.Path(out)):
            raise AssertionError("the work was begun")
    done = run_script("firmware_sim/bundle.py", "--out", tmp_path / "file")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is a file" in done.stderr


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    with claim(tmp_path / "b"), pytest.raises(ExportError, match="another run"), claim(tmp_path / "b"):
        raise AssertionError("both were let in")
    with claim(tmp_path / "b"):
        pass


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_whole(tmp_path / "deep" / "file", b"first")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(ExportError, match="No space"):
        write_whole(tmp_path / "deep" / "file", b"second")
    assert snapshot(tmp_path) == {"deep/file": b"first"}


# --- where it comes from ---


def test_a_report_of_another_model_or_none_is_refused():
    other = edit_run(judged_bundle(), lambda run: run.update(digest="0" * 64)).files
    for found in (other[REPORT_JSON], b"{}", b"[]", b"{", b"[" * 10000):
        with pytest.raises(ExportError):
            plain_bundle().with_report({**report(), REPORT_JSON: found})


def test_a_failed_report_makes_an_invalid_bundle():
    failed = edit_run(judged_bundle(), lambda run: run.update(passed=False)).files
    assert plain_bundle().with_report({**report(), REPORT_JSON: failed[REPORT_JSON]}).verdict == "invalid"


def test_the_card_is_that_of_the_model_at_hand(tmp_path):
    shipped, mine = shipped_digests(), {"band": "0" * 64}
    assert set(shipped) == {"band", "watch"}
    assert model_card(shipped, {}).startswith(b"# Model card\n\n| file")
    (tmp_path / "my_encoder.py").write_text("")
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"x")
    said = replace(origin("band", None, weights, weights), teacher="my_encoder.py:make").plain()
    card = model_card(mine, {"band": said}).decode()
    assert "my_encoder.py:make" in card
    assert "0" * 64 in card
    assert "xmae" not in card
    assert str(tmp_path) not in card
    assert plain_bundle().files[CARD] == model_card({"band": shipped["band"]}, {})
    assert plain_bundle().origins["band"]["teacher"] == "xmae-rhythm"


def test_signatures_are_those_of_minisign(tmp_path):
    minisign = pytest.importorskip("minisign", reason="no py-minisign")
    from onwrist.export.handoff.signature import PASSWORD, check_signature, read_secret_key

    pair = minisign.KeyPair.generate()
    (tmp_path / "key").write_bytes(bytes(pair.secret_key))
    (tmp_path / "key.pub").write_bytes(bytes(pair.public_key))
    (tmp_path / "other.pub").write_bytes(bytes(minisign.KeyPair.generate().public_key))
    write_bundle(tmp_path / "b", plain_bundle(), read_secret_key(tmp_path / "key"))
    held = read_bundle(tmp_path / "b.zip")
    assert SIGNATURE in (held_files(tmp_path / "b") or ())
    assert "onwrist bundle" in check_signature(held[MANIFEST], held[SIGNATURE], tmp_path / "key.pub")
    for found, signature, key in (
        (held[MANIFEST], held[SIGNATURE], "other.pub"), (held[MANIFEST] + b" ", held[SIGNATURE], "key.pub"),
        (held[MANIFEST], None, "key.pub"), (held[MANIFEST], b"garbage", "key.pub"), (held[MANIFEST], b"", "key.pub"),
    ):  # fmt: skip
        with pytest.raises(BundleError):
            check_signature(found, signature, tmp_path / key)
    pair.secret_key.encrypt("secret", opslimit=1 << 15, memlimit=1 << 24)
    (tmp_path / "locked").write_bytes(bytes(pair.secret_key))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD, "wrong")
        with pytest.raises(ConfigError):
            read_secret_key(tmp_path / "locked")
        patch.setenv(PASSWORD, "secret")
        assert read_secret_key(tmp_path / "locked")
    (tmp_path / "none").write_bytes(b"none")
    with pytest.raises(ConfigError, match="no minisign key"):
        read_secret_key(tmp_path / "none")
