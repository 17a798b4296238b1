"""Somebody's own question goes the whole road: a ResNet as .onnx alone, a table of labels, a narrow embedding, another
sensor, to a bundle that verifies, with the same bytes as a window, as a stream, in TFLM and in C on emulated cores."""

import csv
import json

import pytest
import torch

from onwrist.export.graphs.step_reader import read_step
from onwrist.firmware_sim.handoff.verify import verify
from onwrist.models.encoders.resnet import ResNet1D
from onwrist.models.encoders.teacher import FromOnnx, load_teacher
from onwrist.resources import SHIPPED
from onwrist.signals.recordings.readers import read_recording

SPEC = """
name = "site"
[teacher]
source = "encoder.onnx"
rate_hz = 125
scaling = "z-score"
[data]
recordings = ["study/*.csv"]
people = "site.csv"
held_out = ["Bea", "Wim"]
sets = false
[sensor]
rate_hz = 100
bits = 24
[[answers]]
name = "wrist"
labels = "site.csv"
weight = 1
gate = 0.01
[student]
size = "band"
embedding = 64
steps = 100
qat_steps = 10
versions = 1
flash_bytes = 40_000
instructions_per_hop = 1_000_000
[gates]
cosine_median = 0.99
usual_error = 0.1
worst_error = 0.2
[stream]
recording = "study/bidmc_13.csv"
hop_s = 2.0
"""
# Four minutes of each: who, and where the sensor sat.
PEOPLE = {
    "S34": ("Wanda", "wrist"), "S02": ("Wim", "wrist"), "bidmc_05": ("Ada", "finger"), "bidmc_13": ("Bea", "finger"),
    "bidmc_18": ("Cai", "finger"), "bidmc_19": ("Dan", "finger"),
}  # fmt: skip
SECONDS, WRIST_FROM_S = 240, 660


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    (folder / "study").mkdir()
    for name in PEOPLE:
        ppg = read_recording(SHIPPED / f"{name}.npz").ppg
        first = int((WRIST_FROM_S if name.startswith("S") else 0) * ppg.rate_hz)
        part = ppg.samples[first : first + int(SECONDS * ppg.rate_hz)]
        rows = "".join(f"{i / ppg.rate_hz:.5f},{v:.6g}\n" for i, v in enumerate(part))
        (folder / "study" / f"{name}.csv").write_text("time,ppg\n" + rows)
    with (folder / "site.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(("person", "recording", "start", "label"))
        table.writerows((person, f"study/{name}.csv", "", where) for name, (person, where) in PEOPLE.items())
    torch.manual_seed(0)
    axes = {"x": {0: "n"}}
    torch.onnx.export(
        ResNet1D().eval(), torch.zeros(2, 1250), str(folder / "encoder.onnx"), dynamo=False, input_names=["x"],
        dynamic_axes=axes,
    )  # fmt: skip
    (folder / "my.toml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def done(home, run_script):
    return run_script("firmware_sim/deploy.py", "my.toml", cwd=home)


@pytest.fixture(scope="module")
def bundle(home, done):
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "build/site/handoff"


@pytest.fixture(scope="module")
def verdict(bundle):
    return verify(bundle.with_suffix(".zip"))


@pytest.mark.slow
def test_the_whole_road_of_an_onnx_alone(home, bundle, verdict):
    """Done-when (a) of the spec in one: a ResNet at 125 Hz x 10 s, 512 wide, as `.onnx` alone; one yes or no from a user's CSV; a
    student's embedding of 64; a sensor of 24 bits at 100 Hz; a bundle that verifies; the same bytes as a stream, as a window, in
    TFLM and in C on an emulated M4F."""
    encoder = load_teacher(str(home / "encoder.onnx"), 125, "z-score")
    assert (type(encoder.encoder), encoder.samples) == (FromOnnx, 1250)
    assert encoder(torch.zeros(1, 1000)).shape == (1, 512)
    contract = json.loads((bundle / "band/contract.json").read_text())
    front = contract["fixed_point_front_end"]
    assert (front["rate_hz"], front["bits"], contract["rate_hz"]) == (100, 24, 25)
    assert (contract["embedding"]["shape"][-1], contract["answers"]["names"]) == (64, ["wrist"])
    assert verdict.word == "valid", verdict.lines
    (run,) = json.loads((bundle / "report.json").read_text())["runs"]
    (m4f,) = (f for f in run["firmware"] if "M4F" in f["name"])
    assert (m4f["wrong"], m4f["bytes"]) == (0, run["hops"] * (50 + 64 + 1))
    exact = {r["runtime"]: r["equal"] for r in run["runtimes"]}
    assert {exact[n] for n in ("TFLM, stream", "TFLM", "numpy model", "numpy model, stream")} == {1.0}


@pytest.mark.slow
def test_the_bundle_says_what_its_maker_chose(bundle):
    verdict = verify(bundle.with_suffix(".zip"))
    assert any("limits that its maker chose: cosine_median 0.99" in line for line in verdict.lines)


@pytest.mark.slow
def test_every_byte_is_the_same_everywhere(bundle):
    (run,) = json.loads((bundle / "report.json").read_text())["runs"]
    firmware = {f["name"]: f for f in run["firmware"]}
    assert any("M4F" in name for name in firmware)
    assert all(f["wrong"] == 0 and f["bytes"] == f["hops"] * (50 + 64 + 1) > 0 for f in firmware.values())
    exact = {r["runtime"]: r["equal"] for r in run["runtimes"]}
    assert {exact[n] for n in ("TFLM, stream", "TFLM", "numpy model", "numpy model, stream")} == {1.0}
    gates = {g["name"]: g for g in run["gates"]}
    assert gates["budget of the spec, flash"]["limit"] == "<= 40,000 B"
    assert gates["budget of the spec, instructions per hop, emulated M4F"]["passed"]
    assert gates["embedding, INT8 to float, worst error"]["limit"] == "<= 20.0 % of its size"
    assert gates["AUROC difference, wrist"]["limit"] == "interval inside +-1 point"
    assert not any("heart" in name for name in gates)


@pytest.mark.slow
def test_the_answer_has_its_name_wherever_it_is_told(home, bundle):
    contract = json.loads((bundle / "band/contract.json").read_text())
    assert contract["answers"]["names"] == ["wrist"]
    assert contract["answers"]["wrist"] == "logit = 8 * value: wrist above 0"
    assert contract["answers"]["shown_by"] is None
    assert contract["embedding"]["shape"] == [1, 1, 1, 64]
    step = read_step((bundle / "band/step.tflite").read_bytes()).model
    assert step.answers.columns == ("wrist",)
    assert step.digest() == contract["digest"]
    config = next(bundle.rglob("onwrist_config.h")).read_text()
    assert "#define ONWRIST_ANSWER_WRIST 0" in config
    assert "#define ONWRIST_GATE_ANSWER -1" in config
    (run,) = json.loads((bundle / "report.json").read_text())["runs"]
    assert run["says"].keys() == {"wrist"}
    assert run["says"]["wrist"]["wrist"] < 0.5  # a finger was played


@pytest.mark.slow
def test_it_was_judged_by_the_people_of_the_table(bundle):
    (run,) = json.loads((bundle / "report.json").read_text())["runs"]
    floor = next(g for g in run["gates"] if "above its floor" in g["name"])
    assert "2 people" in floor["detail"]
    assert "too few people" in floor["value"]


@pytest.mark.slow
def test_another_budget_is_another_verdict_and_no_training(home, bundle, run_script):
    (home / "tight.toml").write_text(SPEC.replace("flash_bytes = 40_000", "flash_bytes = 30_000"))
    again = run_script("firmware_sim/deploy.py", "tight.toml", "--no-firmware", cwd=home)
    assert again.returncode == 1
    assert again.stderr.count("nothing has changed") == 3
    assert "budget of the spec, flash" in again.stdout
