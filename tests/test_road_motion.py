"""A watch with an accelerometer goes the whole road of a spec: PPG at 64 Hz, acceleration at 32 Hz, a yes or no from the files'
own seconds, to a bundle that verifies, with the same bytes as a window, as a stream, in TFLM and in C on emulated cores."""

import json

import numpy as np
import pytest
from roads import exact_everywhere

from onwrist.errors import ExportError
from onwrist.export.graphs.step_reader import read_step
from onwrist.firmware_sim.handoff.road import (
    EXAMPLES,
    JUDGED,
    QUANTISED,
    STUDENT,
    TAUGHT,
    held_out,
    student_of,
    training_stages,
)
from onwrist.firmware_sim.handoff.verify import verify
from onwrist.models.student.graph import takes_acceleration
from onwrist.quantize.integers.training import load_integers
from onwrist.quantize.judging.evaluate import run_torch
from onwrist.quantize.teaching.examples import load_examples
from onwrist.quantize.teaching.student_files import load_student
from onwrist.resources import SHIPPED
from onwrist.signals.people.cohort import silent
from onwrist.spec import Spec, read_spec

SPEC = """
name = "stress"
[data]
recordings = ["study/*.npz"]
held_out = ["S34"]
sets = false
[sensor]
rate_hz = 64
[accelerometer]
rate_hz = 32
bits = 8
counts_per_g = 64
[[answers]]
name = "stress"
labels = "recording:label_1hz"
words = ["stressed"]
weight = 1
[student]
size = "band"
embedding = 32
steps = 20
qat_steps = 2
versions = 1
[gates]
cosine_median = 0.95
usual_error = 0.3
worst_error = 0.8
auroc_points = 0.3
[stream]
recording = "study/S34.npz"
"""
# Of the hour that ships, seven minutes in which stress begins and ends.
FROM_S, TO_S = 840, 1260


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stress")
    (folder / "study").mkdir()
    for name, first, last in (("S02", 0, 420), ("S34", FROM_S, TO_S)):
        with np.load(SHIPPED / f"{name}.npz") as whole:
            part = {k: whole[k] for k in ("ppg_scale", "fs_ppg", "fs_acc", "acc_lsb_per_g", "subject")}
            for k, rate in (("ppg", 64), ("acc", 32), ("label_1hz", 1)):
                part[k] = whole[k][first * rate : last * rate]
        np.savez(folder / "study" / f"{name}.npz", **part)
    (folder / "my.toml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def done(home, run_script):
    return run_script("firmware_sim/deploy.py", "my.toml", "--no-hub", cwd=home)


@pytest.fixture(scope="module")
def made(home, done):
    found = home / "build/stress"
    assert (found / "handoff.zip").is_file(), done.stdout + done.stderr
    return found


@pytest.mark.slow
def test_the_bundle_verifies(made):
    verdict = verify(made / "handoff.zip")
    assert verdict.word == "valid", verdict.lines


@pytest.mark.slow
def test_every_byte_is_the_same_everywhere(made):
    (run,) = json.loads((made / "handoff/report.json").read_text())["runs"]
    exact_everywhere(run, 25 + 32 + 1)


@pytest.mark.slow
def test_both_inputs_are_in_every_file(made):
    contract = json.loads((made / "handoff/band/contract.json").read_text())
    assert contract["answers"]["names"] == ["stress"]
    step = read_step((made / "handoff/band/step.tflite").read_bytes())
    assert [(i.name, i.channels) for i in step.model.inputs] == [("ppg", 1), ("acc", 3)]
    assert step.model.digest() == contract["digest"]


@pytest.mark.slow
def test_a_student_of_two_inputs_is_taught_and_judged(made, done):
    assert {EXAMPLES, STUDENT, TAUGHT, QUANTISED, JUDGED} <= {p.name for p in made.iterdir()}
    student, _ = load_student(made / STUDENT)
    integers = load_integers(made / QUANTISED)
    assert takes_acceleration(student)
    assert [(i.name, i.channels, float(i.scale)) for i in integers.inputs] == [("ppg", 1, 1 / 32), ("acc", 3, 1 / 32)]
    assert [o.name for o in integers.outputs] == ["embedding", "answers"]
    examples, _ = load_examples(made / EXAMPLES)
    assert set(examples.records) == {"S02"}
    assert examples.acceleration.any()
    judged = json.loads((made / JUDGED).read_text())
    for step in ("ptq", "qat"):
        assert judged[step]["people"] == 1
        assert judged[step]["windows"] == 42
        assert 0 <= judged[step]["stress"]["other"] <= 1
        assert judged[step]["cosine"]["median"] > 0.95
    assert "stress: AUROC" in done.stdout + done.stderr


@pytest.mark.slow
def test_what_the_wrist_did_is_part_of_what_is_judged(home, made):
    """The same held-out person without the sensor is said something else of."""
    student, _ = load_student(made / STUDENT)
    data = held_out(read_spec(home / "my.toml"), student, silent)
    light, acceleration = data.fed(student)
    assert acceleration.any()
    with_it, without = (run_torch(student, light, a).embedding for a in (acceleration, 0 * acceleration))
    assert np.abs(with_it - without).max() > 0


@pytest.mark.slow
def test_a_sensor_that_is_taken_away_makes_another_student(home):
    bare = SPEC[: SPEC.index("[accelerometer]")] + SPEC[SPEC.index("[[answers]]") :]
    (home / "bare.toml").write_text(bare)
    ways = [training_stages(read_spec(home / f), home / "made", silent)[0].values for f in ("my.toml", "bare.toml")]
    assert ways[0] != ways[1]
    assert not takes_acceleration(student_of(read_spec(home / "bare.toml")))


MAKE = """
from torch import nn
class make(nn.Module):
    def __init__(self, embedding, answers):
        super().__init__()
        self.light, self.motion = nn.Conv1d(1, 4, 3), nn.Conv1d({axes}, 4, 3)
        self.embed, self.say = nn.Conv1d(4, embedding, 250), nn.Conv1d(4, answers, 250)
    def forward(self, ppg{acc}):
        x = self.light(ppg[:, None]) + self.motion({of})
        return self.embed(x)[..., -1], self.say(x)[..., -1]
"""


@pytest.mark.parametrize(
    ("axes", "arguments", "of", "sensor", "refused"),
    [
        (3, ", acc", "acc", True, None),
        (1, "", "ppg[:, None]", False, None),
        (3, ", acc", "acc", False, "Without .accelerometer. a student takes one argument"),
        (1, "", "ppg[:, None]", True, "With .accelerometer. a student takes two arguments"),
        (1, ", acc", "acc", True, "two arguments"),
    ],
)
def test_a_network_of_ones_own_takes_what_the_spec_has(tmp_path, axes, arguments, of, sensor, refused):
    (tmp_path / "own.py").write_text(MAKE.format(axes=axes, acc=arguments, of=of))
    spec = Spec.model_validate(
        {"student": {"source": f"{tmp_path / 'own.py'}:make", "embedding": 8}}
        | ({"accelerometer": {}} if sensor else {})
    )
    assert spec.trains
    if refused:
        with pytest.raises(ExportError, match=refused):
            student_of(spec)
    else:
        assert takes_acceleration(student_of(spec)) == sensor
