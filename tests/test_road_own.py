"""Somebody's own network goes the whole road: a residual one with a four-class answer, on shipped recordings, to a bundle that
verifies, with the same bytes as a window, as a stream, in TFLM and in C on emulated cores."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from roads import exact_everywhere

from onwrist.errors import ExportError
from onwrist.export.graphs.step_reader import read_step
from onwrist.firmware_sim.handoff.road import student_of
from onwrist.firmware_sim.handoff.verify import verify
from onwrist.resources import SHIPPED
from onwrist.spec import Spec

WORDS = ("still", "walking", "cycling", "bed")
SPEC = """
name = "sleep"
[data]
recordings = ["study/*.npz"]
people = "stages.csv"
held_out = ["Bea", "Cai"]
sets = false
[[answers]]
name = "stage"
kind = "classes"
labels = "stages.csv"
words = ["still", "walking", "cycling", "bed"]
weight = 1
[student]
source = "users.py:make"
embedding = 32
steps = 60
qat_steps = 5
versions = 1
flash_bytes = 20_000
instructions_per_hop = 1_000_000
[gates]
cosine_median = 0.98
usual_error = 0.2
worst_error = 0.5
f1_points = 0.5
[stream]
recording = "study/bidmc_13.npz"
hop_s = 2.0
"""
# Who, and a word for each minute in turn.
PEOPLE = {"bidmc_05": "Ada", "bidmc_13": "Bea", "bidmc_18": "Cai", "bidmc_19": "Dan"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sleep")
    (folder / "study").mkdir()
    shutil.copy(Path(__file__).with_name("users.py"), folder)
    with (folder / "stages.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(("person", "recording", "start", "label"))
        for name, person in PEOPLE.items():
            shutil.copy(SHIPPED / f"{name}.npz", folder / "study")
            table.writerows((person, f"study/{name}.npz", 60 * k, WORDS[k % 4]) for k in range(8))
    (folder / "my.toml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def done(home, run_script):
    return run_script("firmware_sim/deploy.py", "my.toml", "--no-hub", cwd=home)


@pytest.fixture(scope="module")
def bundle(home, done):
    found = home / "build/sleep/handoff"
    assert found.is_dir(), done.stdout + done.stderr
    return found


@pytest.mark.slow
def test_the_bundle_verifies(bundle):
    verdict = verify(bundle.with_suffix(".zip"))
    assert verdict.word == "valid", verdict.lines


@pytest.mark.slow
def test_every_byte_is_the_same_everywhere(bundle):
    (run,) = json.loads((bundle / "report.json").read_text())["runs"]
    exact_everywhere(run, 50 + 32 + 4)
    gates = {g["name"]: g for g in run["gates"]}
    assert gates["budget of the spec, flash"]["passed"]
    assert gates["budget of the spec, instructions per hop, emulated M4F"]["passed"]


@pytest.mark.slow
def test_the_graph_is_in_every_file(bundle):
    contract = json.loads((bundle / "own/contract.json").read_text())
    assert contract["answers"]["names"] == [f"stage.{word}" for word in WORDS]
    step = read_step((bundle / "own" / "step.tflite").read_bytes())
    assert [node.kind for node in step.model.nodes].count("add") == 2
    assert step.model.digest() == contract["digest"]


def own(text: str, folder: Path) -> Spec:
    (folder / "own.py").write_text("from users import *\nfrom torch import nn\n" + text)
    return Spec.model_validate({"student": {"source": f"{folder / 'own.py'}:make", "embedding": 8}})


LIGHT_AND_MOTION = """
class make(nn.Module):
    def __init__(self, embedding, answers):
        super().__init__()
        self.light, self.motion = nn.Conv1d(1, 4, 3), nn.Conv1d(3, 4, 3)
        self.embed, self.say = nn.Conv1d(4, embedding, 250), nn.Conv1d(4, answers, 250)

    def forward(self, ppg, acc):
        x = self.light(ppg[:, None]) + self.motion(acc)
        return self.embed(x)[..., -1], self.say(x)[..., -1]
"""
SHORT = "def make(embedding, answers):\n    return Residual(embedding, answers, pool=20)"
MORE = """
class make(Residual):
    def forward(self, ppg):
        return super().forward(ppg) | {"more": self.stem(ppg[:, None])}
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LIGHT_AND_MOTION, "takes ppg of 1 channels, acc of 3 channels"),
        (SHORT, "of the 10 s that its teacher sees"),
        (MORE, "returns embedding, answers, more"),
    ],
)
def test_a_network_that_no_spec_can_teach_is_said_before_anything_long(tmp_path, text, why):
    (tmp_path / "users.py").write_text(Path(__file__).with_name("users.py").read_text())
    (tmp_path / "own.py").write_text("from users import *\nfrom torch import nn\n" + text)
    spec = Spec.model_validate({"student": {"source": f"{tmp_path / 'own.py'}:make", "embedding": 8}})
    with pytest.raises(ExportError, match=why) as refused:
        student_of(spec)
    assert refused.value.field == "student.source"
