"""What is refused before anything of a bundle is loaded, and what is harmless."""

import json
import os
import shutil
import struct
import zipfile

import pytest
from bundles import array_file, arrays, derived_only, edit_json, files_of, packed, plain_bundle, rehashed

from onwrist.errors import BundleError
from onwrist.export.handoff.bundle import write_bundle
from onwrist.export.handoff.names import MANIFEST
from onwrist.firmware_sim.handoff import opening
from onwrist.firmware_sim.handoff.opening import read_bundle
from onwrist.firmware_sim.handoff.schema import MOST_ARRAYS, read_arrays, read_json
from onwrist.firmware_sim.handoff.verify import verify


def nothing_runs(job, _):
    """Any attempt to load, compile or run something of a refused bundle fails the test."""
    raise AssertionError(f"{job} of a refused bundle was run")


def refused(path) -> str:
    with pytest.raises(BundleError) as caught:
        verify(path, run=nothing_runs)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.fixture
def files():
    return files_of(plain_bundle())


def change(name, how):
    def damage(files):
        files[name] = how(files[name])

    return damage


def edit_manifest(how):
    return change(MANIFEST, lambda data: edit_json(data, how))


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def of_hash(value):
    return edit_manifest(lambda m: m["sha256"].update({"LICENSE": value}))


DAMAGED = {
    "a bit of the model": change("band/step.tflite", flip),
    "a bit of the window": change("band/window.onnx", flip),
    "a bit of the weights in C": change("band/c/onwrist_model.c", flip),
    "a bit of the golden vectors": change("band/golden.npz", flip),
    "a bit of the contract": change("band/contract.json", flip),
    "a truncated model": change("band/step.tflite", lambda d: d[:-1]),
    "an empty header": change("band/c/onwrist.h", lambda d: b""),
    "another licence": change("LICENSE", lambda d: b"none"),
    "a missing file": lambda files: files.pop("band/c/onwrist_tables.h"),
    "a stray source": lambda files: files.update({"band/c/zz_constructor.c": b"int x;"}),
    "a stray file": lambda files: files.update({"README.txt": b"run me"}),
    "no manifest": lambda files: files.pop(MANIFEST),
    "half a manifest": change(MANIFEST, lambda d: d[: len(d) // 2]),
    "a manifest of nothing": change(MANIFEST, lambda d: b"{}"),
    "a manifest that is a list": change(MANIFEST, lambda d: b"[]"),
    "a manifest that is no text": change(MANIFEST, lambda d: b"\xff\xfe" + d),
    "a nested manifest": change(MANIFEST, lambda d: b"[" * 100_000 + b"]" * 100_000),
    "a nested field": edit_manifest(lambda m: m.update(packages=json.loads("[" * 50 + "]" * 50))),
    "a number that is none": change(MANIFEST, lambda d: d.replace(b'"not judged"', b"NaN")),
    "a key twice": change(MANIFEST, lambda d: d.replace(b"{", b'{"verdict": "valid",', 1)),
    "an endless number": change(MANIFEST, lambda d: d.replace(b'"not judged"', b"1" * 10_000)),
    "another format": edit_manifest(lambda m: m.update(format="onwrist-bundle-9")),
    "a format that is a list": edit_manifest(lambda m: m.update(format=[])),
    "no verdict": edit_manifest(lambda m: m.pop("verdict") and None),
    "an unknown verdict": edit_manifest(lambda m: m.update(verdict="Valid")),
    "a verdict that is true": edit_manifest(lambda m: m.update(verdict=True)),
    "a field that no manifest has": edit_manifest(lambda m: m.update(trust="me")),
    "no students": edit_manifest(lambda m: m.update(students={})),
    "students that are a list": edit_manifest(lambda m: m.update(students=["band"])),
    "a student with a path for a name": edit_manifest(lambda m: m.update(students={"../band": "0" * 64})),
    "a student that is not there": edit_manifest(lambda m: m["students"].update(watch="0" * 64)),
    "a digest that is none": edit_manifest(lambda m: m.update(students={"band": "x"})),
    "no origins": edit_manifest(lambda m: m.update(origins={})),
    "an origin with a line break": edit_manifest(lambda m: m["origins"]["band"].update(teacher="a\n\x1b[2Jvalid")),
    "hashes that are no strings": edit_manifest(lambda m: m.update(sha256=dict.fromkeys(m["sha256"], 7))),
    "hashes that are a list": edit_manifest(lambda m: m.update(sha256=list(m["sha256"]))),
    "a hash that is a list": of_hash([]),
    "a hash that is nothing": of_hash(None),
    "a hash in capitals": change(MANIFEST, lambda d: d.replace(b"a", b"A")),
    "a path that climbs": edit_manifest(lambda m: m["sha256"].update({"../../etc/passwd": "0" * 64})),
    "a path from the root": edit_manifest(lambda m: m["sha256"].update({"/etc/passwd": "0" * 64})),
    "a windows path": edit_manifest(lambda m: m["sha256"].update({"..\\x": "0" * 64})),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_refused(files, tmp_path, name):
    DAMAGED[name](files)
    refused(packed(files, tmp_path / "damaged.zip"))


# A manifest to match: what is refused for what it is, not for its hash.
UNLISTED = {
    "an unlisted student": lambda f: f.update(
        {n.replace("band/", "watch/"): d for n, d in f.items() if n[:5] == "band/"}
    ),
    "a response file": lambda f: f.update({"@a.c": b"-o /tmp/evil"}),
    "a file that no bundle has": lambda f: f.update({"install.sh": b"rm -rf /"}),
    "a hub file of another name": lambda f: f.update({"hub/encoder.exe": b"MZ"}),
    "no golden vectors": lambda f: f.pop("band/golden.npz"),
    "no card": lambda f: f.pop("MODEL_CARD.md"),
    "a page without its numbers": lambda f: f.update({"report.html": b"PASS"}),
}


@pytest.mark.parametrize("name", UNLISTED)
def test_what_belongs_to_nothing_is_refused(files, tmp_path, name):
    UNLISTED[name](files)
    refused(packed(rehashed(files), tmp_path / "b.zip"))


def test_golden_vectors_that_lie_or_burst_are_refused(files, tmp_path):
    good = arrays(files["band/golden.npz"])
    whole = array_file({"counts": good["counts"]})
    for old, new in ((b"'shape': (1920,)", b"'shape': (10**9,)"), (b"(1920,)", b"(9999,)"), (b"(1920,)", b"(-1, )"),
                     (b"'<i4'", b"'|O' "), (b"False", b"True "), (b"{", b"(")):  # fmt: skip
        member = zipfile.ZipFile(__import__("io").BytesIO(whole)).read("counts.npy").replace(old, new)
        assert member.count(new)
        files["band/golden.npz"] = packed({"counts.npy": member}, tmp_path / "g.npz").read_bytes()
        refused(packed(rehashed(files), tmp_path / "b.zip"))
    for values in ({}, {"counts": good["counts"]}, {**good, "input": good["input"].astype("i4")},
                   {**good, "answers": good["answers"][1:]}, {**good, "input": good["input"][:, 1:]},
                   {f"x{i}": good["counts"] for i in range(MOST_ARRAYS + 1)}):  # fmt: skip
        files["band/golden.npz"] = array_file(values)
        refused(packed(rehashed(files), tmp_path / "b.zip"))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("counts.npy", bytes(1 << 26))
    files["band/golden.npz"] = (tmp_path / "bomb.npz").read_bytes()
    refused(packed(rehashed(files), tmp_path / "b.zip"))


def test_a_header_is_not_believed():
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
    header = "{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117).encode() + b"\n"
    with pytest.raises(BundleError):
        read_arrays(zip_of({"counts.npy": body + header}), "x", "golden.npz")


def zip_of(members) -> bytes:
    import io

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_json_is_read_strictly():
    assert read_json(b'{"a": [1, 2.5, null, "x"]}', "x", "y") == {"a": [1, 2.5, None, "x"]}
    for text in (
        b"",
        b"{",
        b"nope",
        b'{"a": 1, "a": 2}',
        b"[1e999]",
        b"[Infinity]",
        b"[" * 10**6,
        b'"\xff"',
        b"[" * 20 + b"]" * 20,
    ):
        with pytest.raises(BundleError):
            read_json(text, "x", "y")


# --- zips and folders ---


def test_a_zip_that_climbs_or_repeats_or_links_is_refused(files, tmp_path):
    for name in ("../evil", "/evil", "a/../../evil", "c:evil", "a\\b", "./evil", "a//b"):
        assert "leaves the bundle" in refused(packed({**files, name: b"x"}, tmp_path / "z.zip"))
    for name in ("LICENSE", "license"):
        packed(files, tmp_path / "twice.zip")
        with zipfile.ZipFile(tmp_path / "twice.zip", "a") as archive:
            if name in files:
                with pytest.warns(UserWarning, match="Duplicate"):
                    archive.writestr(name, b"x")
            else:
                archive.writestr(name, b"x")
        assert "twice" in refused(tmp_path / "twice.zip")
    for kind in (0o120777, 0o010644, 0o060644):
        link = zipfile.ZipInfo("band/link")
        link.external_attr = kind << 16
        with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
            archive.writestr(link, "/etc/passwd")
        assert "link" in refused(tmp_path / "link.zip")


def test_a_truncated_zip_or_nothing_is_refused(tmp_path):
    whole = write_bundle(tmp_path / "b", plain_bundle()).read_bytes()
    for data in (whole[: len(whole) // 2], whole[:-1], b"", b"PK", b"PK\x05\x06" + bytes(18)):
        (tmp_path / "short.zip").write_bytes(data)
        refused(tmp_path / "short.zip")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in ("empty", "none.zip", "pipe"):
        refused(tmp_path / path)
    refused(type(tmp_path)("/dev/zero"))


def test_a_folder_with_a_link_or_a_pipe_or_too_much_is_refused(tmp_path, monkeypatch):
    write_bundle(tmp_path / "b", plain_bundle())
    for spoil in (lambda p: p.symlink_to("/etc/passwd"), os.mkfifo):
        copy = tmp_path / f"copy{len(os.listdir(tmp_path))}"
        shutil.copytree(tmp_path / "b", copy)
        (copy / "LICENSE").unlink()
        spoil(copy / "LICENSE")
        assert "link or no plain file" in refused(copy)
    monkeypatch.setattr(opening, "MOST_FILES", 10)
    assert "larger" in refused(tmp_path / "b")


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MOST_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (1 << 21))
    assert "larger" in refused(tmp_path / "bomb.zip")
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for i in range(2 * opening.MOST_FILES):
            archive.writestr(str(i), b"")
    assert "larger" in refused(tmp_path / "many.zip")


def test_what_archivers_add_is_harmless_and_said(files, tmp_path):
    clutter = {"__MACOSX/._LICENSE": b"\0", ".DS_Store": b"\0", "band/.DS_Store": b"\0", "band/Thumbs.db": b"\0"}
    with zipfile.ZipFile(tmp_path / "again.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in ("mein Bündel (1)/", "mein Bündel (1)/band/"):
            archive.writestr(zipfile.ZipInfo(folder), b"")
        for name, data in {**files, **clutter}.items():
            top = "" if name.startswith("__MACOSX") else "mein Bündel (1)/"
            archive.writestr(top + name, data)
    verdict = verify(tmp_path / "again.zip", run=derived_only)
    assert not verdict.failed, verdict.lines
    said = " ".join(row.found for row in verdict.rows if row.what == "harmless")
    assert "4 files" in said
    assert "mein Bündel (1)" in said
    with zipfile.ZipFile(tmp_path / "again.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert read_bundle(tmp_path / "unpacked" / "mein Bündel (1)") == files


def test_files_of_somebodys_own_in_the_folder_are_named(tmp_path):
    write_bundle(tmp_path / "b", plain_bundle())
    (tmp_path / "b" / "notes.txt").write_text("mine")
    verdict = verify(tmp_path / "b", run=derived_only)
    assert not verdict.failed
    assert [r.state for r in verdict.rows if r.what == "notes.txt"] == ["not checked"]
    for name in ("report.html", "license", "band/more.bin", "main.c", "hub/x", "BAND/step.tflite"):
        (tmp_path / "b" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "b" / name).write_text("mine")
        assert "not in the manifest" in refused(tmp_path / "b")
        (tmp_path / "b" / name).unlink()
