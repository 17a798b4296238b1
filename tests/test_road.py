"""A spec goes the whole road: an ONNX encoder at its own rate, somebody's recordings, a student of a few steps; and such a
student does not pass."""

import json
import shutil

import pytest
import torch

from onwrist.errors import CheckpointError, ConfigError
from onwrist.firmware_sim.handoff.road import JUDGED, QUANTISED, STUDENT, Stage, travel
from onwrist.firmware_sim.handoff.verify import verify
from onwrist.resources import SHIPPED
from onwrist.spec import read_spec

SPEC = """
name = "mine"
[teacher]
source = "encoder.onnx"
rate_hz = 125
scaling = "z-score"
[data]
recordings = ["study/*.npz"]
person = '(bidmc_\\d+|neurokit)'
held_out = ["bidmc_13"]
sets = false
[sensor]
rate_hz = 100
bits = 22
[student]
size = "band"
steps = 60
qat_steps = 2
versions = 1
[stream]
recording = "study/bidmc_13.npz"
hop_s = 4.0
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    (folder / "study").mkdir()
    for name in ("bidmc_05", "bidmc_13"):
        shutil.copy(SHIPPED / f"{name}.npz", folder / "study")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 1250)), torch.nn.Conv1d(1, 32, 63, 16), torch.nn.ReLU(),
        torch.nn.AvgPool1d(9), torch.nn.Flatten(), torch.nn.Linear(256, 512),
    ).eval()  # fmt: skip
    axes = {"x": {0: "n"}}
    torch.onnx.export(
        net, torch.zeros(2, 1250), str(folder / "encoder.onnx"), dynamo=False, input_names=["x"], dynamic_axes=axes
    )
    (folder / "my.toml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def done(home, run_script):
    return run_script("firmware_sim/deploy.py", "my.toml", "--no-firmware", cwd=home)


@pytest.mark.slow
def test_it_leaves_everything_in_one_folder(home, done):
    assert done.returncode == 1, done.stderr  # sixty steps on two people are no student
    made = home / "build" / "mine"
    assert {STUDENT, QUANTISED, JUDGED, "spec.toml", "stages.json"} <= {p.name for p in made.iterdir()}
    assert read_spec(made / "handoff" / "spec.toml") == read_spec(home / "my.toml")
    manifest = json.loads((made / "handoff" / "manifest.json").read_text())
    assert manifest["origins"]["band"]["teacher"] == "encoder.onnx"
    assert len(manifest["origins"]["band"]["teacher_sha256"]) == 64
    assert "somebody's own encoder" in (made / "handoff" / "MODEL_CARD.md").read_text()
    (run,) = json.loads((made / "handoff" / "report.json").read_text())["runs"]
    assert (run["rate_hz"], run["hop_s"]) == (100, 4.0)


@pytest.mark.slow
def test_the_bytes_are_right_and_the_student_is_refused(home, done):
    (run,) = json.loads((home / "build/mine/handoff/report.json").read_text())["runs"]
    gates = {g["name"]: g for g in run["gates"]}
    (same,) = [g for n, g in gates.items() if "same bytes" in n]
    assert same["passed"]
    floors = [g for n, g in gates.items() if "above its floor" in n]
    assert floors
    assert not all(g["passed"] for g in floors)
    assert run["verdict"] == "FAIL"
    verdict = verify(home / "build/mine/handoff.zip")
    assert verdict.word == "invalid"  # its own gates failed, and nothing else
    assert not [
        line for line in verdict.lines if line.startswith("FAIL") and "gates" not in line and "verdict" not in line
    ]


@pytest.mark.slow
def test_what_has_not_changed_is_not_done_again(home, done, run_script):
    before = (home / "build/mine" / QUANTISED).stat().st_mtime_ns
    again = run_script("firmware_sim/deploy.py", "my.toml", "--no-firmware", cwd=home)
    assert "stage distil: nothing has changed" in again.stderr
    assert "stage quantise: nothing has changed" in again.stderr
    assert (home / "build/mine" / QUANTISED).stat().st_mtime_ns == before


# --- the stages themselves ------------------------------------------------------------------------------


def stages(folder, ran, value=1, broken=False):
    first, second = folder / "first.txt", folder / "second.txt"

    def make_first():
        ran.append("first")
        first.write_text(str(value))

    def make_second():
        ran.append("second")
        if broken:
            raise CheckpointError("is damaged", where=first, cure="Make it anew")
        second.write_text(first.read_text() * 2)

    return [
        Stage("first", (folder / "input.txt",), (first,), {"value": value}, make_first),
        Stage("second", (first,), (second,), {}, make_second),
    ]


def test_a_stage_runs_for_its_inputs_its_values_and_its_missing_outputs(tmp_path):
    (tmp_path / "input.txt").write_text("a")

    def run(**more):
        ran = []
        travel(stages(tmp_path, ran, **more), tmp_path, lambda text: None)
        return ran

    assert run() == ["first", "second"]
    assert run() == []
    (tmp_path / "input.txt").write_text("b")
    assert run() == ["first"]  # it wrote what was there before
    assert run(value=2) == ["first", "second"]
    (tmp_path / "second.txt").unlink()
    assert run(value=2) == ["second"]


def test_the_error_of_a_stage_is_its_own_and_what_was_done_stays_done(tmp_path):
    (tmp_path / "input.txt").write_text("a")
    ran = []
    with pytest.raises(CheckpointError, match="is damaged"):
        travel(stages(tmp_path, ran, broken=True), tmp_path, lambda text: None)
    ran.clear()
    travel(stages(tmp_path, ran), tmp_path, lambda text: None)
    assert ran == ["second"]


def test_a_store_that_is_damaged_is_said(tmp_path):
    (tmp_path / "input.txt").write_text("a")
    (tmp_path / "stages.json").write_text("{no json")
    with pytest.raises(ConfigError, match=r"stages\.json"):
        travel(stages(tmp_path, []), tmp_path, lambda text: None)
