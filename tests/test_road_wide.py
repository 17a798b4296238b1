"""Another rate, another window, and an answer of every frame: somebody's residual network at 50 Hz over 30 s that says one of
four classes five times a second goes the whole road, on shipped recordings, to a bundle that verifies, with the same bytes as a
window, as a stream, in TFLM and in C on emulated cores. (Done-when (c) of the spec.)"""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from roads import exact_everywhere

from onwrist.errors import ConfigError, ExportError
from onwrist.export.graphs.step_reader import read_step
from onwrist.firmware_sim.handoff.road import student_of
from onwrist.firmware_sim.handoff.verify import verify
from onwrist.models.student.graph import Framing
from onwrist.models.student.network import LADDER, Student
from onwrist.models.student.outputs import Answer, Answers
from onwrist.quantize.teaching.examples import Standard
from onwrist.quantize.teaching.questions import Question, Questions, label_frames, label_windows
from onwrist.quantize.teaching.student_files import load_student, save_student
from onwrist.resources import SHIPPED
from onwrist.signals.front_end.student_input import StudentInput
from onwrist.signals.people.cohort import Track, cut
from onwrist.signals.people.windows import window_starts
from onwrist.spec import Spec, read_spec

WORDS = ("still", "walking", "cycling", "bed")
SPEC = """
name = "night"
[teacher]
source = "users.py:encoder"
rate_hz = 32
[data]
recordings = ["study/*.npz"]
people = "stages.csv"
held_out = ["Bea", "Cai"]
sets = false
[sensor]
rate_hz = 100
[input]
rate_hz = 50
window_s = 30.0
high_hz = 12.0
[[answers]]
name = "stage"
at = "frames"
kind = "classes"
labels = "stages.csv"
words = ["still", "walking", "cycling", "bed"]
weight = 1
[student]
source = "users.py:night"
embedding = 32
steps = 25
qat_steps = 3
versions = 1
flash_bytes = 20_000
instructions_per_hop = 2_000_000
[gates]
cosine_median = 0.98
usual_error = 0.2
worst_error = 0.5
f1_points = 0.5
[stream]
recording = "study/bidmc_13.npz"
hop_s = 2.0
"""
PEOPLE = {"bidmc_05": "Ada", "bidmc_13": "Bea", "bidmc_18": "Cai", "bidmc_19": "Dan"}
SEES = StudentInput(50, 30.0, high_hz=12.0)
# Five frames a second, two seconds of them a hop.
FRAMES = 10


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    (folder / "study").mkdir()
    shutil.copy(Path(__file__).with_name("users.py"), folder)
    with (folder / "stages.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(("person", "recording", "start", "label", "duration"))
        for name, person in PEOPLE.items():
            shutil.copy(SHIPPED / f"{name}.npz", folder / "study")
            table.writerows((person, f"study/{name}.npz", 7 * k, WORDS[k % 4], 7) for k in range(70))
    (folder / "my.toml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def done(home, run_script):
    return run_script("firmware_sim/deploy.py", "my.toml", "--no-hub", cwd=home)


@pytest.fixture(scope="module")
def bundle(home, done):
    found = home / "build/night/handoff"
    assert found.is_dir(), done.stdout + done.stderr
    return found


@pytest.mark.slow
def test_the_bundle_verifies(bundle):
    verdict = verify(bundle.with_suffix(".zip"))
    assert verdict.word == "valid", verdict.lines


@pytest.mark.slow
def test_every_byte_is_the_same_everywhere(bundle):
    (run,) = json.loads((bundle / "report.json").read_text())["runs"]
    # Input, embedding, the newest answers, and those of every frame of a hop.
    exact_everywhere(run, 100 + 32 + 4 + 4 * FRAMES)
    gates = {g["name"]: g for g in run["gates"]}
    assert gates["whole watch in C: bytes, flags, counters that differ"]["passed"]
    assert gates["budget of the spec, flash"]["passed"]
    floor = next(g for name, g in gates.items() if "above its floor" in name)
    assert "macro-F1" in floor["value"]


@pytest.mark.slow
def test_rate_window_and_frames_are_in_every_file(home, bundle):
    contract = json.loads((bundle / "own/contract.json").read_text())
    assert (contract["rate_hz"], contract["stream"]["hop_samples"]) == (50, 100)
    assert contract["window_samples"] >= 1500
    assert contract["front_end"]["lowpass_hz"] == 12.0
    front = contract["fixed_point_front_end"]
    assert front["rate_hz"] * front["up"] == 50 * front["down"]
    assert contract["frame_answers"]["shape"] == [1, 1, FRAMES, 4]
    assert contract["frame_answers"]["frame_samples"] == 10
    assert contract["answers"]["names"] == [f"stage.{word}" for word in WORDS]
    step = read_step((bundle / "own/step.tflite").read_bytes())
    assert (step.model.sees, step.hop, step.model.digest()) == (SEES, 100, contract["digest"])
    golden = np.load(bundle / "own/golden.npz")
    hops = len(golden["input"])
    frames = golden["output_frame_answers"].reshape(hops, FRAMES, 4)
    np.testing.assert_array_equal(frames[:, -1], golden["answers"])
    assert len(np.unique(frames)) > 4
    assert hops * 100 > contract["window_samples"]  # outputs of whole windows are among them
    config = next(bundle.rglob("onwrist_config.h")).read_text()
    assert f"#define ONWRIST_FRAME_ANSWERS_FRAMES {FRAMES}\n" in config
    assert "ONWRIST_WITH_BEATS" not in config  # their rules are of 25 Hz
    student, _ = load_student(home / "build/night/student.safetensors")
    assert (student.sees, student.framing.count, student.framing.seconds) == (SEES, 150, 0.2)


# --- what every frame is --------------------------------------------------------------------------------


def stages(folder: Path, rows: list[tuple]) -> Questions:
    """Questions of a table with so many (start, label, duration)."""
    path = folder / "stages.csv"
    lines = [f"ada,night.csv,{start},{label},{duration}" for start, label, duration in rows]
    path.write_text("person,recording,start,label,duration\n" + "\n".join(lines))
    return Questions((Question(Answer("stage", "classes", words=WORDS, at="frames"), str(path)),))


def recording(folder: Path, seconds: float, sees: StudentInput, **more) -> Track:
    wave = np.random.default_rng(0).standard_normal(int(seconds * 100)).astype(np.float32)
    student = wave[: int(seconds * sees.rate_hz)]
    path = (folder / "night.csv").resolve()
    return Track("night", "ada", "train", "own", wave, student, path=path, sees=sees, **more)


def said(frames: np.ndarray) -> list[str]:
    """Classes of frames (columns, n) as words, "" where there is none."""
    return [WORDS[int(f.argmax())] if np.isfinite(f).all() else "" for f in frames.T]


def test_a_frame_has_the_label_of_its_middle(tmp_path):
    sees = StudentInput(25, 8.0)
    questions = stages(tmp_path, [(0, "bed", 3), (3, "still", 2.4), (7, "walking", "")])
    cohort = cut([recording(tmp_path, 16, sees)])
    frames = label_frames(cohort, questions, Framing(8, 1.0))
    assert frames.shape == (2, 4, 8)
    # The last row has no duration: it is good for a window. Nothing is said of 5.4 to 7 s, whose middles are 5.5 and 6.5.
    assert said(frames[0]) == ["bed"] * 3 + ["still"] * 2 + ["", "", "walking"]
    assert said(frames[1]) == ["walking"] * 7 + [""]
    assert np.isnan(label_windows(cohort, questions)).all()  # it is not asked once a hop
    # Fewer frames than a window has are its newest.
    np.testing.assert_array_equal(label_frames(cohort, questions, Framing(3, 1.0)), frames[..., -3:])


def test_frames_of_what_is_played_faster_are_those_of_the_recording(tmp_path):
    sees = StudentInput(25, 8.0)
    questions = stages(tmp_path, [(0, "bed", 8), (8, "still", 8)])
    twice = np.array([0.0, 8.0]), np.array([0.0, 16.0])
    cohort = cut([recording(tmp_path, 8, sees, played=twice)])
    assert said(label_frames(cohort, questions, Framing(8, 1.0))[0]) == ["bed"] * 4 + ["still"] * 4


def test_a_window_is_as_long_as_its_student_sees(tmp_path):
    sees = StudentInput(50, 30.0)
    cohort = cut([recording(tmp_path, 100, sees)])
    assert cohort.start_s.tolist() == [0.0, 30.0, 60.0]
    assert cohort.teacher_windows().shape == (3, 3000)
    windows = cohort.student_windows(7)
    np.testing.assert_array_equal(windows[1], cohort.tracks[0].student[1500 - 7 : 3000])


@given(st.integers(0, 2**32 - 1), st.sampled_from([4.0, 10.0, 30.0]), st.sampled_from([1.0, 8.0, 30.0]))
@settings(max_examples=30, deadline=None)
def test_one_rule_says_what_a_window_is(seed, window_s, hop_s):
    rng = np.random.default_rng(seed)
    wave, missing = rng.standard_normal(9000), rng.random(9000) < 0.02
    for first in rng.integers(0, 8000, 3):
        missing[first : first + rng.integers(100, 1500)] = True
    wave[2000:5500] = 1.0
    found = window_starts(wave, missing, 100.0, window_s, hop_s, end_s=88.0)
    length = int(window_s * 100)
    for start in np.arange(0, 90, hop_s):
        a = int(start * 100)
        good = (
            start + window_s <= 88
            and missing[a : a + length].sum() <= 0.05 * length
            and len(set(wave[a : a + length])) > 1
        )
        assert (start in found) == good, start


@pytest.mark.parametrize(
    ("answer", "student", "said_of_it"),
    [
        ('name = "quality"\nat = "frames"', 'source = "x.py:make"', "quality is said of windows"),
        ('name = "up"\nlabels = "x.csv"\nat = "frames"\ndecides = true', 'source = "x.py:make"', "decides nothing"),
        ('name = "up"\nlabels = "x.csv"\nat = "frames"', "", "give student.source"),
        ('name = "up"\nlabels = "x.csv"\nat = "frame"', 'source = "x.py:make"', "answers.0.at"),
    ],
)
def test_what_cannot_be_said_of_frames_is_refused(tmp_path, answer, student, said_of_it):
    (tmp_path / "my.toml").write_text(f"[[answers]]\n{answer}\n[student]\n{student}\n")
    with pytest.raises(ConfigError, match=said_of_it):
        read_spec(tmp_path / "my.toml")


@pytest.mark.parametrize(
    ("made", "given", "why"),
    [
        ("Residual(embedding, answers)", {}, "says the newest frame alone, and stage is asked of every frame"),
        ("Night(embedding, answers)", {"rate_hz": 50, "window_s": 60.0}, "sees 32.7 s of the 60 s"),
        ("Night(embedding, answers)", {"rate_hz": 50, "window_s": 15.0}, "more than twice the 15 s"),
        ("Short(embedding, answers)", {"rate_hz": 50, "window_s": 30.0}, "says 2 frames of a window, and a hop has 5"),
    ],
)
def test_a_network_that_does_not_fit_its_input_is_said_before_anything_long(tmp_path, made, given, why):
    (tmp_path / "users.py").write_text(Path(__file__).with_name("users.py").read_text())
    text = """
from users import *
class Short(Night):
    def __init__(self, embedding, answers):
        super().__init__(embedding, answers)
        self.far = nn.Conv1d(8, 8, 3, dilation=74)
    def forward(self, ppg):
        frames = self.blocks(self.frames(self.stem(ppg.unsqueeze(1))))
        return {"embedding": self.embed(self.pool(frames)[..., -1]), "answers": self.say(self.far(frames))}
def make(embedding, answers):
    return """
    (tmp_path / "own.py").write_text(text + made)
    stages(tmp_path, [(0, "bed", 3), (3, "still", 2)])
    answer = {
        "name": "stage",
        "at": "frames",
        "kind": "classes",
        "words": WORDS,
        "labels": str(tmp_path / "stages.csv"),
    }
    student = {"source": f"{tmp_path / 'own.py'}:make", "embedding": 8}
    spec = Spec.model_validate({"input": given, "answers": [answer], "student": student})
    with pytest.raises(ExportError, match=why):
        student_of(spec)


# --- files ----------------------------------------------------------------------------------------------


def test_a_students_file_carries_what_it_is_fed_and_a_shipped_one_means_the_usual(tmp_path):
    standard = Standard(np.zeros(256, np.float32), np.ones(256, np.float32))
    for sees in (SEES, StudentInput()):
        path = tmp_path / f"{sees.rate_hz}.safetensors"
        student = Student(replace(LADDER["band"], sees=sees)).eval()
        save_student(path, student, standard, {})
        again, _ = load_student(path)
        assert (again.sees, again.config) == (sees, student.config)
        assert (b'"sees"' in path.read_bytes().replace(b"\\", b"")) == (sees != StudentInput())
        assert student.config.window - student.context == sees.samples


def test_answers_from_before_there_were_frames_are_what_they_were():
    at = Answers((Answer("up", "yes/no"), Answer("stage", "classes", words=WORDS, at="frames")))
    assert [set(a) for a in at.plain["each"]] == [
        {"name", "kind", "unit", "centre", "span", "words"},
        {"name", "kind", "unit", "centre", "span", "words", "at"},
    ]
    assert Answers.of(at.plain) == at
