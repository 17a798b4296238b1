"""Answers by name: what they are called wherever they are carried, and labels out of tables, files and beats."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onwrist.errors import ConfigError, ExportError, RecordingError
from onwrist.export.graphs.step_reader import read_step
from onwrist.export.graphs.tflite_writer import write_tflite_step
from onwrist.firmware_sim.page.meaning import meanings
from onwrist.models.student.network import LADDER, Student, StudentConfig, describe
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answer, Answers
from onwrist.quantize.integers.arithmetic import read_integers
from onwrist.quantize.integers.fake_quant import quantise
from onwrist.quantize.judging.evaluate import Evaluation, Outputs, compare, macro_f1
from onwrist.quantize.judging.useful import floors
from onwrist.quantize.teaching.course import Course, Keeper, distil
from onwrist.quantize.teaching.distillation import answer_loss
from onwrist.quantize.teaching.examples import Examples
from onwrist.quantize.teaching.questions import Question, Questions, label_windows, read_table
from onwrist.quantize.teaching.student_files import student_config
from onwrist.signals.people.cohort import Cohort, Track

MINE = Answers(
    (
        Answer("sleep", "classes", words=("wake", "light", "deep")),
        Answer("spo2", "value", "%", 94.0, 4.0),
        Answer("clean"),
    ),
    shown_by="clean",
)


def mine(answers: Answers = MINE) -> StudentConfig:
    return StudentConfig("mine", stem=8, frames=16, widths=(16, 16, 16), head=(8,), embedding=24, answers=answers)


def integers(answers: Answers = MINE):
    torch.manual_seed(0)
    config = mine(answers)
    student = quantise(Student(config), [torch.randn(32, config.window)])
    return read_integers(student)


def test_columns_and_places():
    assert MINE.columns == ("sleep.wake", "sleep.light", "sleep.deep", "spo2", "clean")
    assert MINE.at("sleep") == slice(0, 3)
    assert (MINE.column("spo2"), MINE.gate, MINE.rate) == (3, 4, None)
    assert SHIPPED_ANSWERS.columns == ("heart_rate", "quality", "irregular")
    assert SHIPPED_ANSWERS.gate == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: Answer("Heart rate"),
        lambda: Answer("a", "number"),
        lambda: Answer("a", "value", span=0.0),
        lambda: Answer("a", "classes", words=("one",)),
        lambda: Answers(()),
        lambda: Answers((Answer("a"), Answer("a"))),
        lambda: Answers((Answer("a", "value", "", 0.0, 1.0),), shown_by="a"),
        lambda: Answers.of({"each": [{"name": "a"}]}),
        lambda: Answers.of([1]),
    ],
)
def test_what_is_no_answer_is_refused(make):
    with pytest.raises(ConfigError):
        make()


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5), lambda x: st.lists(x) | st.dictionaries(st.text(max_size=9), x)
    )
)
def test_a_strangers_answers_are_answers_or_refused(values):
    with pytest.raises(ConfigError):
        Answers.of({"each": values, "shown_by": None} if isinstance(values, list) else values)


def test_a_students_file_carries_them():
    metadata = {"student": json.dumps(describe(mine()))}
    assert student_config(metadata, "x") == mine()
    old = {k: v for k, v in describe(LADDER["band"]).items() if k not in ("answers", "embedding")}
    assert student_config({"student": json.dumps(old)}, "x") == LADDER["band"]  # as files of before are


def test_a_step_carries_them_and_the_digest_covers_them():
    model = integers()
    data = write_tflite_step(model, 25)
    assert read_step(data).model.answers == MINE
    assert read_step(data).model.digest() == model.digest()
    other = Answers((*MINE.each[:2], Answer("dirty")), shown_by="dirty")
    assert integers(other).digest() != model.digest()
    wrong = data.replace(b'"deep"', b'"DEEP"')
    assert wrong != data
    with pytest.raises(ExportError):
        read_step(wrong)


def test_a_page_reads_what_a_contract_says():
    close = Answers((Answer("heart", "value", "BPM", 100, 40), Answer("heart_rate", "value", "BPM", 130, 50)))
    found = meanings({"names": list(close.columns), "scale": 0.5, **close.sentences()})
    assert [(m["offset"], m["gain"]) for m in found] == [(100, 20), (130, 25)]


# --- labels ---------------------------------------------------------------------------------------------


def cohort(tmp_path, starts, played=None, extra=None):
    track = Track(
        "a", "ann", "train", "own", np.zeros(1), np.zeros(1), path=tmp_path / "a.csv", played=played, extra=extra or {}
    )
    return Cohort([track], np.zeros(len(starts), np.int32), np.array(starts, float), {"hr": np.full(len(starts), 80.0)})


def table(tmp_path, rows, name="t.csv"):
    path = tmp_path / name
    path.write_text("person,recording,start,label\n" + "".join(f"ann,a.csv,{start},{label}\n" for start, label in rows))
    return path


def ask(answer, labels):
    return Questions((Question(answer, str(labels)),))


def test_a_window_is_labelled_as_most_of_it_is(tmp_path):
    path = table(tmp_path, [(0, "stressed"), (10, "calm"), (40, "calm")])
    found = label_windows(
        cohort(tmp_path, [0, 4, 6, 10, 20, 36, 44, 46]), ask(Answer("stress", words=("stressed",)), path)
    )
    np.testing.assert_equal(found[:, 0], [1, 1, 0, 0, np.nan, 0, 0, np.nan])


def test_classes_are_one_column_each_and_values_are_standardised(tmp_path):
    path = table(tmp_path, [(0, "wake"), (10, "deep"), (20, "")])
    found = label_windows(cohort(tmp_path, [0, 10, 20]), ask(MINE["sleep"], path))
    np.testing.assert_equal(found, [[1, 0, 0], [0, 0, 1], [np.nan] * 3])
    path = table(tmp_path, [(0, 98), (10, 90)], "v.csv")
    found = label_windows(cohort(tmp_path, [0, 5, 10]), ask(MINE["spo2"], path))
    np.testing.assert_allclose(found[:, 0], [1, 0, -1])


def test_a_recording_played_faster_keeps_its_labels_where_they_were(tmp_path):
    path = table(tmp_path, [(0, 0), (10, 0), (20, 1), (30, 1)])
    twice = (np.array([0.0, 20.0]), np.array([0.0, 40.0]))
    played = cohort(tmp_path, [0, 10], twice)
    original = cohort(tmp_path, [0]).tracks
    np.testing.assert_equal(label_windows(played, ask(Answer("x"), path), original)[:, 0], [0, 1])
    # A heart that is played twice as fast beats twice as often.
    path = table(tmp_path, [(0, 60), (10, 60), (20, 70), (30, 70)], "hr.csv")
    rate = SHIPPED_ANSWERS["heart_rate"]
    np.testing.assert_allclose(
        rate.in_units(label_windows(played, ask(rate, path), original)[:, 0]), [120, 140], rtol=1e-5
    )


def test_seconds_of_the_file_are_a_label_where_they_agree(tmp_path):
    seconds = np.r_[np.zeros(15), np.ones(15)].astype(np.float32)
    found = label_windows(cohort(tmp_path, [0, 10, 20], extra={"task": seconds}), ask(Answer("x"), "recording:task"))
    np.testing.assert_equal(found[:, 0], [0, np.nan, 1])


@pytest.mark.parametrize(
    ("answer", "rows", "said"),
    [
        (Answer("x", words=("af",)), [(0, "sinus"), (10, "sinus")], "a yes is 'af'"),
        (MINE["sleep"], [(0, "wake"), (10, "dreaming")], "none of wake, light, deep"),
        (MINE["spo2"], [(0, 98), (10, "high")], "is no number"),
        (Answer("x"), [("soon", 1), (0, 0)], "start 'soon'"),
    ],
)
def test_a_table_that_cannot_be_is_said(tmp_path, answer, rows, said):
    with pytest.raises(RecordingError, match=said):
        read_table(table(tmp_path, rows), answer)


# --- losses, scores, floors ------------------------------------------------------------------------------


def test_every_kind_of_answer_is_learnt_and_unknown_labels_teach_nothing():
    questions = Questions(tuple(Question(a, "x") for a in MINE), "clean")
    labels = torch.tensor([[0.0, 1.0, 0.0, 0.5, 1.0], [float("nan")] * 5])
    right = torch.tensor([[-1.0, 1.0, -1.0, 0.5, 1.0], [9.0] * 5], requires_grad=True)
    loss = answer_loss(right, labels, torch.ones(2), questions)
    loss.backward()
    assert float(loss.detach()) < 1e-3
    assert torch.all(right.grad[1] == 0)
    assert float(answer_loss(-right.detach(), labels, torch.ones(2), questions)) > 1


def judged(count=12, each=30, seed=0):
    rng = np.random.default_rng(seed)
    n = count * each
    stage = rng.integers(0, 3, n)
    labels = np.concatenate([np.eye(3)[stage], rng.normal(0, 0.5, (n, 1)), rng.integers(0, 2, (n, 1))], axis=1).astype(
        np.float32
    )
    return Evaluation(
        "made up", np.zeros((n, 4), np.float32), labels, np.repeat(np.arange(count), each).astype(str), MINE
    )


def test_floors_and_costs_by_kind():
    data = judged()
    rng = np.random.default_rng(1)
    knows = Outputs(
        np.ones((len(data.x), 8), np.float32), data.labels + rng.normal(0, 0.1, data.labels.shape).astype(np.float32)
    )
    flat = Outputs(knows.embedding, np.zeros_like(data.labels))
    assert all(f.above for f in floors(knows, data))
    assert not any(f.above for f in floors(flat, data))
    words = {f.answer: f.words for f in floors(flat, data)}
    assert "commonest class" in words["sleep"]
    assert "%, the best constant" in words["spo2"]
    found = compare(knows, flat, data)
    assert found["sleep"]["reference"] > 0.95 > 0.4 > found["sleep"]["other"]
    assert found["sleep"]["difference"][2] < 0
    assert found["spo2"]["difference"][1] > 0


def test_macro_f1_is_scikit_learns():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    assert macro_f1(truth, said) == pytest.approx(f1_score(truth, said, average="macro"))


# --- a training that is killed ------------------------------------------------------------------------------


def examples(n=64):
    rng = np.random.default_rng(0)
    config = mine()
    return Examples(
        rng.normal(size=(n, config.window)).astype(np.float32), rng.normal(size=(n, 24)).astype(np.float32),
        np.full((n, 5), np.nan, np.float32), np.full((n, 2), np.nan, np.float32), np.full((n, 250), -1, np.int8),
        np.ones(n, np.float32), np.array(["a"] * n),
    )  # fmt: skip


QUESTIONS = Questions(tuple(Question(a, "x") for a in MINE), "clean")


def taught(out, killed_at=None):
    torch.manual_seed(0)
    student = Student(mine())
    torch.manual_seed(1)

    class Killed(Exception):
        pass

    def progress(items, what, *, total=None):
        for i, item in enumerate(items):
            if i == killed_at:
                raise Killed
            yield item

    course = Course(12, 16, 1e-3, 0, 0.05)
    try:
        distil(student, examples(), course, questions=QUESTIONS, out=out, progress=progress)
    except Killed:
        return None
    return {k: v.clone() for k, v in student.state_dict().items()}


def test_a_killed_training_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(Keeper.__init__, "__defaults__", (0.0,))  # keeps every step
    whole = taught(tmp_path / "whole.safetensors")
    out = tmp_path / "killed.safetensors"
    assert taught(out, killed_at=5) is None
    assert (tmp_path / "killed.safetensors.course.pt").exists()
    again = taught(out)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    curves = [(tmp_path / f"{n}.safetensors.curve.jsonl").read_text() for n in ("whole", "killed")]
    assert curves[0] == curves[1]
    assert [json.loads(line)["step"] for line in curves[1].splitlines()] == list(range(12))
    assert not (tmp_path / "killed.safetensors.course.pt").exists()
    # Half a file is no state: the training starts anew.
    (tmp_path / "killed.safetensors.course.pt").write_bytes(b"PK\x03\x04half")
    assert all(torch.equal(whole[name], value) for name, value in taught(out).items())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_ends_a_training_with_one_line_and_keeps_its_state(tmp_path, monkeypatch):
    monkeypatch.setattr(Keeper.__init__, "__defaults__", (0.0,))
    whole = taught(tmp_path / "whole.safetensors")
    out, state = tmp_path / "full.safetensors", tmp_path / "full.safetensors.course.pt"
    taught(out, killed_at=5)
    kept = state.read_bytes()
    with monkeypatch.context() as m:
        m.setattr("onwrist.writing._write", lambda path, data: Path("/dev/full").write_bytes(data))
        with pytest.raises(ExportError, match="No space left"):
            taught(out)
    assert state.read_bytes() == kept
    assert all(torch.equal(whole[name], value) for name, value in taught(out).items())  # room was made


def test_a_device_that_is_not_there_is_refused():
    from onwrist.models.encoders.devices import device_of

    assert device_of("cpu") == "cpu"
    assert device_of("auto") in ("cpu", "cuda", "mps")
    for name in ("cuda", "mps"):
        if device_of("auto") == "cpu":
            with pytest.raises(ConfigError, match=f"no {name} on this machine"):
                device_of(name)
