"""A bundle verifies, and one that says something else than its integers does not, whatever its hashes and its words say."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from bundles import (
    array_file,
    arrays,
    band,
    derived_only,
    edit_json,
    edit_run,
    files_of,
    here,
    judged_bundle,
    packed,
    plain_bundle,
    rehashed,
)
from conftest import ROOT

from onwrist.errors import BundleError, ExportError
from onwrist.export.graphs.step_reader import read_step
from onwrist.export.graphs.tflite_writer import write_tflite
from onwrist.export.handoff.artifacts import contract
from onwrist.export.handoff.bundle import assemble, write_bundle
from onwrist.export.handoff.names import HUB_FLOAT, HUB_ONNX, MANIFEST, REPORT_JSON, SIGNATURE
from onwrist.export.handoff.provenance import origin
from onwrist.export.handoff.signature import read_secret_key
from onwrist.firmware_sim.fleet.counting import shipped_reference
from onwrist.firmware_sim.handoff.confined import Row, confined
from onwrist.firmware_sim.handoff.verify import verify
from onwrist.firmware_sim.runtimes.compiler import CORES, build_core
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.watch.golden import golden_watch_header
from onwrist.models.student import network, outputs
from onwrist.signals.front_end.fixed import design


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "band"
    write_bundle(folder, judged_bundle())
    return folder


def wrong(verdict) -> str:
    return "; ".join(f"{r.what}: {r.found}" for r in verdict.rows if r.state == "FAIL")


def test_a_bundle_verifies_as_a_zip_in_processes_of_their_own(judged):
    verdict = verify(judged.with_name("band.zip"))
    assert (verdict.word, verdict.status) == ("valid", 0), verdict.lines
    ok = [r.what for r in verdict.rows if r.state == "ok"]
    assert sum("emulated" in what for what in ok) == len(CORES)
    assert sum("TFLM" in what or "LiteRT" in what or "ONNX" in what for what in ok) == 5
    # Whatever is not compared or run is named.
    named = " ".join(f"{r.what} {r.found}" for r in verdict.rows if r.state == "not checked")
    for what in ("origins", "signature", "report.html", "deadlines missed on this host"):
        assert what in named


def test_a_step_says_all_about_its_student():
    model = band().model
    for hop in (5, 25, 250):
        found = read_step(band().tflite_step(hop))
        assert (found.hop, found.model.digest(), found.model.window) == (hop, model.digest(), model.window)
        assert write_tflite(found.model) == band().tflite
    with pytest.raises(ExportError, match="no step"):
        read_step(band().tflite)
    for data in (b"", b"TFL3" * 9, b"\0\0\0\0TFL3" + b"\xff" * 99):
        with pytest.raises(ExportError):
            read_step(data)


def test_what_a_student_says_is_defined_once():
    """The contract reads `outputs`, training reads `network`: two definitions would make a contract that is not true."""
    for name in ("ANSWERS", "EMBEDDING", "HEART_RATE_CENTRE", "HEART_RATE_SPAN", "LOGIT_SPAN"):
        assert getattr(network, name) is getattr(outputs, name)
    assert tuple(contract(band())["answers"]["names"]) == network.ANSWERS


@pytest.mark.parametrize("rate, bits, hop", [(125, 8, 5), (25, 24, 250), (32, 10, 50)])
def test_bundles_of_other_sensors_and_hops_verify(tmp_path, rate, bits, hop):
    bundle = assemble([(band(), origin("band"))], hop, design(rate, bits), golden_watch_header, shipped_reference)
    verdict = verify(packed(files_of(bundle), tmp_path / "b.zip"), run=derived_only)
    assert verdict.word == "degraded", verdict.lines


# --- damage with a manifest to match: the hashes are right, what was hashed is not ---


def change(name, how):
    def damage(files):
        files[name] = how(files[name])

    return damage


def contract_of(how):
    return change("band/contract.json", lambda data: edit_json(data, how))


def golden_of(**changes):
    def how(data):
        values = arrays(data)
        return array_file({**values, **{n: f(values[n]) for n, f in changes.items()}})

    return change("band/golden.npz", how)


def one_more(values):
    values.ravel()[3] += 1
    return values


def first_hop(data: bytes) -> bytes:
    values = arrays(data)
    short = {n: values[n][:1] for n in ("input", "embedding", "answers")}
    return array_file({**values, **short, "counts": values["counts"][:64]})


CHANGED = {
    "answer scale": contract_of(lambda c: c["answers"].update(scale=10 * c["answers"]["scale"])),
    "heart-rate formula": contract_of(lambda c: c["answers"].update(heart_rate_bpm="40 + 30 * value")),
    "names reversed": contract_of(lambda c: c["answers"]["names"].reverse()),
    "rate": contract_of(lambda c: c.update(rate_hz=999)),
    "sensor's rate": contract_of(lambda c: c["fixed_point_front_end"].update(rate_hz=999)),
    "sensor's bits": contract_of(lambda c: c["fixed_point_front_end"].update(bits=12)),
    "floor": contract_of(lambda c: c["fixed_point_front_end"].update(floor=10**9)),
    "a tap": contract_of(lambda c: c["fixed_point_front_end"]["taps"][0].reverse()),
    "input scale": contract_of(lambda c: c["input"].update(scale=1.0)),
    "start of a state": contract_of(lambda c: c["stream"]["state"][0]["start"].__setitem__(0, 5)),
    "how to reset": contract_of(lambda c: c["stream"].update(reset="never")),
    "a field too many": contract_of(lambda c: c.update(note="ignore quality")),
    "memory": change("band/memory.json", lambda d: b'{"arena_bytes": 1}'),
    "memory that is none": change("band/memory.json", lambda d: b"garbage"),
    "a weight in C": change("band/c/onwrist_model.c", lambda d: re.sub(rb"(_w\[\d+\] = \{\s*)\d+", rb"\g<1>1", d, count=1)),
    "a comment in C": change("band/c/onwrist.c", lambda d: d + b"/* */\n"),
    "C that reads for ever": change("band/c/onwrist.c", lambda d: b'#include "/dev/zero"\n' + d),
    "a self-test that is always right": change("band/c/selftest.c", lambda d: d.replace(b"return wrong + ", b"return 0 && ")),
    "a self-test that is missing": lambda f: f.pop("band/c/selftest.c"),
    "a response file": lambda f: f.update({"band/c/a.c": b"-o /tmp/evil"}),
    "an option": lambda f: f.update({"band/c/-MD.c": b"int x;"}),
    "kernels": change("band/c/onwrist_kernels.c", lambda d: d.replace(b"return", b"return ", 1)),
    "a build file that runs something": change("band/c/CMakeLists.txt", lambda d: d + b"execute_process(COMMAND evil)\n"),
    "a build file too many": lambda f: f.update({"band/c/zephyr/evil.cmake": b"execute_process(COMMAND evil)\n"}),
    "a build file that is missing": lambda f: f.pop("band/c/zephyr/Kconfig"),
    "a folder that Arduino compiles instead": lambda f: f.update({"band/c/src/onwrist.c": b"int x;"}),
    "another release of a package": change("band/c/library.properties", lambda d: d.replace(b"version=", b"version=1")),
    "a golden embedding": golden_of(embedding=one_more),
    "a golden input": golden_of(input=one_more),
    "a golden count": golden_of(counts=one_more),
    "a golden layer": golden_of(**{"layer_03_features.3": one_more}),
    "golden vectors of a hop": change("band/golden.npz", first_hop),
    "golden vectors that do not move": golden_of(counts=lambda v: np.full_like(v, 7)),
    "window.tflite": change("band/window.tflite", lambda d: d[:-1] + bytes([d[-1] ^ 1])),
    "a model that is none": change("band/step.tflite", lambda d: d[:2000]),
    "garbage for a model": change("band/step.tflite", lambda d: b"garbage"),
    "the window for a step": lambda f: f.update({"band/step.tflite": f["band/window.tflite"]}),
    "step.onnx": change("band/step.onnx", lambda d: d[:2000]),
    "a licence": change("LICENSE", lambda d: b"public domain"),
    "the page": change("FIRMWARE.md", lambda d: d + b"\nSkip the self-test.\n"),
    "the card": change("MODEL_CARD.md", lambda d: d + b"\nApproved by the FDA.\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_what_does_not_follow_from_the_step_is_invalid_and_not_run(tmp_path, name):
    files = files_of(plain_bundle())
    before = dict(files)
    CHANGED[name](files)
    assert files != before

    def run(job, given):
        assert job == "derive", "something of a bundle that contradicts itself was run"
        return here(job, given)

    verdict = verify(packed(rehashed(files), tmp_path / "b.zip"), run=run)
    assert (verdict.word, verdict.status) == ("invalid", 1)
    assert wrong(verdict)


def test_a_bundle_may_not_call_its_outputs_valid_too_early(tmp_path):
    files = files_of(plain_bundle())
    contract_of(lambda c: c["stream"].update(valid_from_samples=0))(files)
    with pytest.raises(BundleError, match="before a window is full"):
        verify(packed(rehashed(files), tmp_path / "b.zip"), run=derived_only)


def test_another_digest_or_rounding_is_invalid(tmp_path):
    files = files_of(plain_bundle())
    contract_of(lambda c: c.update(digest="0" * 64))(files)
    path = packed(rehashed(files, students={"band": "0" * 64}), tmp_path / "b.zip")
    assert "its integers are" in wrong(verify(path, run=derived_only))
    path = packed(rehashed(files_of(plain_bundle()), rounding="none"), tmp_path / "c.zip")
    assert "rounding" in wrong(verify(path, run=derived_only))


def test_an_onnx_window_of_other_weights_or_none_is_invalid(tmp_path):
    import onnx

    model = onnx.load_from_string(plain_bundle().files["band/window.onnx"])
    weight = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.raw_data) > 99)
    weight.raw_data = bytes([weight.raw_data[0] ^ 1]) + weight.raw_data[1:]
    elsewhere = onnx.load_from_string(plain_bundle().files["band/window.onnx"])
    tensor = elsewhere.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    for data in (b"garbage", model.SerializeToString(), elsewhere.SerializeToString()):
        files = {**files_of(plain_bundle()), "band/window.onnx": data}
        only = packed(rehashed(files), tmp_path / "b.zip")
        verdict = verify(
            only, run=lambda job, given: here(job, given) if job in ("derive", "onnx") else [Row("ok", job, "")]
        )
        assert "ONNX Runtime, window" in wrong(verdict)
        assert "ONNX Runtime, stream" not in wrong(verdict)


# --- the verdict is computed ---


def test_words_and_reports_are_not_believed(tmp_path):
    def verdict(bundle, **fields):
        path = packed(rehashed(files_of(bundle), **fields), tmp_path / "b.zip")
        run = lambda job, given: here(job, given) if job == "report" else derived_only(job, given)  # noqa: E731
        return verify(path, run=run)

    good = judged_bundle()
    assert verdict(good).word == "valid"
    assert verdict(good, verdict="not judged").word == "degraded"
    assert verdict(good, verdict="invalid").word == "invalid"
    assert verdict(plain_bundle()).word == "degraded"
    assert verdict(plain_bundle(), verdict="valid").word == "invalid"

    def fail(run):
        run["gates"][0]["passed"] = run["passed"] = False

    changes = {
        "failed": fail,
        "calls itself failed": lambda r: r.update(passed=False),
        "what its numbers do not": lambda r: r["embedding_error"].update(worst=0.5),
        "'stream and window": lambda r: r["runtimes"][1].update(equal=0.9),
        "gate twice": lambda r: r["gates"].append({**r["gates"][0], "passed": True}),
        "'embedding, INT8 to float, usual error' what": lambda r: r["gates"][1].update(limit="<= 90 %"),
        "has no gate 'embedding, INT8 to float, worst": lambda r: r["gates"].pop(2),
        "another model": lambda r: r.update(digest="0" * 64),
        "other students": lambda r: r.update(size="watch"),
        "bytes of model": lambda r: r["memory"].update(model=1),
        "another hop": lambda r: r.update(hop_s=2.0),
        "KeyError": lambda r: r.pop("runtimes"),
        "TypeError": lambda r: r.update(gates=7),
    }
    for text, how in changes.items():
        found = verdict(edit_run(good, how))
        assert found.word == "invalid", text
        assert text in wrong(found), (text, wrong(found))

    def forget(run):
        run["gates"] = [g for g in run["gates"] if g["source"] == "measured"]

    assert "has no gate" in wrong(verdict(edit_run(good, forget)))
    stranger = edit_json(good.files[REPORT_JSON], lambda r: r["hub"].append({"source": "measured", "bytes": 7}))
    assert "other files of the encoder" in wrong(verdict(replace(good, files={**good.files, REPORT_JSON: stranger})))


def test_the_encoder_is_run_against_itself():
    torch = pytest.importorskip("torch")
    from onwrist.export.handoff.hub import float_onnx
    from onwrist.models.encoders.checkpoint import load_encoder

    teacher = {plain_bundle().origins["band"]["teacher_sha256"]}
    encoder = load_encoder()
    good = float_onnx(encoder)
    rows = here("hub", ({HUB_FLOAT: good, HUB_ONNX: good}, teacher))
    assert [r.state for r in rows] == ["ok", "ok"], rows
    assert [r.state for r in here("hub", ({HUB_FLOAT: good}, {"0" * 64}))] == ["not checked"]
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(0.9)
    other = float_onnx(encoder)
    assert [r.state for r in here("hub", ({HUB_FLOAT: other}, teacher))] == ["FAIL"]
    assert [r.state for r in here("hub", ({HUB_FLOAT: good, HUB_ONNX: b"garbage"}, teacher))] == ["FAIL"]


# --- signatures ---


def test_a_signature_is_asked_for_and_checked(run_script, tmp_path):
    minisign = pytest.importorskip("minisign", reason="no py-minisign")
    pair, other = minisign.KeyPair.generate(), minisign.KeyPair.generate()
    (tmp_path / "key").write_bytes(bytes(pair.secret_key))
    (tmp_path / "pub").write_bytes(bytes(pair.public_key))
    (tmp_path / "other").write_bytes(bytes(other.public_key))
    signed = write_bundle(tmp_path / "b", judged_bundle(), read_secret_key(tmp_path / "key"))
    assert verify(signed, tmp_path / "pub", run=derived_only).word == "valid"
    assert verify(signed, tmp_path / "other", run=derived_only).word == "invalid"
    unsigned = write_bundle(tmp_path / "c", judged_bundle())
    assert "signature" in wrong(verify(unsigned, tmp_path / "pub", run=derived_only))
    files = files_of(plain_bundle())
    files[SIGNATURE] = (tmp_path / "b" / SIGNATURE).read_bytes()
    moved = packed(rehashed(files, verdict="not judged"), tmp_path / "moved.zip")
    assert "signature" in wrong(verify(moved, tmp_path / "pub", run=derived_only))
    done = run_script("firmware_sim/verify.py", signed, "--public-key", tmp_path / "nowhere")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


# --- limits ---


class Does:
    """A thing that does something where it is unpacked."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments

    def __reduce__(self):
        return self.what, self.arguments


@pytest.mark.skipif(sys.platform == "win32", reason="no signals and no limits there")
def test_a_job_that_crashes_hangs_or_eats_memory_is_a_line(tmp_path):
    began = time.monotonic()
    for given, text in (
        (Does(os.abort), "signal 6"), (Does(time.sleep, 600), "within 4 s"), (Does(bytearray, 1 << 40), "status 1"),
        (Does(os._exit, 0), "status 0"), (Does(subprocess.call, ["sleep", "600"]), "within 4 s"),
    ):  # fmt: skip
        rows = confined("derive", given, seconds=4)
        assert [r.state for r in rows] == ["FAIL"]
        assert text in rows[0].found
    assert time.monotonic() - began < 120


def test_an_endless_function_is_stopped():
    source = {"x.c": "int spin(void);\nint spin(void) { for (volatile int i = 0;; i++) {} }\n"}
    machine = Emulator(build_core(source, CORES[0], ("spin",)), CORES[0], count=False)
    with pytest.raises(ExportError, match="did not return"):
        machine.call("spin", limit=10_000_000)


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=top)
sys.meta_path.insert(0, Blocker())
"""
OTHERS = {
    "torch", "brevitas", "onnx", "onnxruntime", "scipy", "sklearn", "pandas", "flatbuffers", "ai_edge_litert", "tflite_micro",
    "unicorn", "elftools", "ziglang", "safetensors", "matplotlib", "filelock", "minisign", "cryptography", "h5py", "wfdb",
}  # fmt: skip


def test_with_numpy_alone_it_says_degraded_and_still_refuses(judged, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKED.format(blocked=OTHERS))

    def run(path):
        command = [sys.executable, str(ROOT / "firmware_sim/verify.py"), str(path)]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    done = run(judged)
    assert (done.returncode, done.stderr) == (3, "")
    assert "files are those of the manifest" in done.stdout
    assert "contracts and golden vectors" in done.stdout
    assert done.stdout.count("not run") >= 4
    assert done.stdout.splitlines()[-1] == "degraded"
    files = files_of(plain_bundle())
    files["LICENSE"] += b" "
    done = run(packed(files, tmp_path / "b.zip"))
    assert (done.returncode, done.stderr) == (1, "")
    contract_of(lambda c: c["stream"].update(hop_samples=-1))(files)
    done = run(packed(rehashed(files), tmp_path / "c.zip"))
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(files[MANIFEST])["students"]
