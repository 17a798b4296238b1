"""The bench compares encoders person by person; a user's labels and a user's encoder join it from the command line."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.errors import ConfigError, RecordingError, SplitError
from onwrist.models.bench.comparison import MeanError, Ranking, difference, scores
from onwrist.models.bench.efficiency import SHARES, best, curve, some_people
from onwrist.models.bench.efficiency import table as efficiency_table
from onwrist.models.bench.features import reborn
from onwrist.models.bench.labels import SEED_TASKS, load_labels
from onwrist.models.bench.probe import auroc, fold_rows, paired, predict
from onwrist.models.bench.published import table as published_table
from onwrist.models.bench.subsets import FEWEST, interval, text
from onwrist.models.bench.systems import cell, page, run_task, tally
from onwrist.models.bench.tasks import Task, Windows
from onwrist.models.objectives.curves import table as curves_table
from onwrist.resources import SHIPPED
from onwrist.signals.people.cohort import cut, prepare
from onwrist.signals.people.split import person_folds
from onwrist.signals.recordings.readers import read_recording

# The encoder of docs/encoders.md as it stands there, and two that are none.
ENCODER = (
    re.search(r"```python\n(# my_encoder.py.*?)```", (ROOT / "docs" / "encoders.md").read_text(), re.S)[1]
    + """
def wrong():
    return torch.nn.Linear(7, 7)

def text():
    return "an encoder"
"""
)


# --- statistics ---


@st.composite
def cohorts(draw):
    people = draw(st.integers(2, 5))
    rows = draw(
        st.lists(st.tuples(st.integers(0, people - 1), st.booleans(), st.integers(0, 4)), min_size=6, max_size=40)
    )
    person, truth, predicted = (np.array(c) for c in zip(*rows, strict=True))
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=people, max_size=people)))
    return people, person, truth.astype(float), predicted.astype(float), weights


@settings(max_examples=60, deadline=None)
@given(cohorts())
def test_a_tally_is_the_score_of_the_drawn_people(cohort):
    """Weights stand for people drawn that many times: the same windows, copied, must score the same."""
    people, person, truth, predicted, weights = cohort
    rows = np.concatenate([np.flatnonzero(person == p) for p in range(people) for _ in range(weights[p])] or [[]])
    rows = rows.astype(int)
    ranking = Ranking.of(truth, predicted, person, people).score(weights[None].astype(float))[0]
    np.testing.assert_allclose(ranking, auroc(truth[rows], predicted[rows]) if len(rows) else np.nan)
    error = MeanError.of(truth, predicted, person, people).score(weights[None].astype(float))[0]
    np.testing.assert_allclose(error, np.abs(truth[rows] - predicted[rows]).mean() if len(rows) else np.nan)


def test_a_difference_is_seen_where_there_is_one_and_not_where_there_is_none():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(20), 30)
    y = rng.integers(0, 2, 600).astype(float)
    folds = [np.flatnonzero(person % 4 == k) for k in range(4)]
    good = scores("auroc", y, y + rng.normal(0, 0.5, 600), person, folds)
    bad = scores("auroc", y, y + rng.normal(0, 3.0, 600), person, folds)
    found, low, high, stars = difference(bad, good)
    assert low <= found <= high
    assert low > 0
    assert stars == "**"
    assert difference(good, good) == (0, 0, 0, "")


@pytest.mark.parametrize("people", [8, 12, 20, 50])
@pytest.mark.parametrize("kind", ["auroc", "value"])
def test_noise_gets_a_star_as_often_as_it_should(kind, people):
    """Two equally good systems, each with errors of its own by person: within 2 points of 5 % (and sampling error)."""
    runs, stars = 200, []
    for seed in range(runs):
        rng = np.random.default_rng([people, seed])
        each = rng.integers(5, 40, people)
        person = np.repeat(np.arange(people), each)
        y = (rng.random(len(person)) < 0.5).astype(float) if kind == "auroc" else rng.normal(size=len(person))
        guesses = [
            y * np.repeat(abs(rng.normal(1, 0.5, people)), each) + np.repeat(rng.normal(0, 0.5, people), each)
            + rng.normal(size=len(person))
            for _ in range(2)
        ]  # fmt: skip
        folds = person_folds(person, 4)
        first, other = (scores(kind, y, g, person, folds) for g in guesses)
        stars.append(difference(first, other)[3])
    rate, error = np.mean([bool(s) for s in stars]), 2.6 * np.sqrt(0.05 * 0.95 / runs)
    assert abs(rate - 0.05) < 0.02 + error
    assert np.mean([s == "**" for s in stars]) < 0.02 + error


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=FEWEST, max_size=20), st.floats(-3, 3))
def test_an_interval_moves_with_its_values_and_agrees_with_its_test(values, by):
    one, other = interval(np.array(values) / len(values)), interval((np.array(values) + by) / len(values))
    if one.low != one.high and other.low != other.high:
        assert other.low == pytest.approx(one.low + by, abs=1e-6)
        assert other.high == pytest.approx(one.high + by, abs=1e-6)
        assert one.low <= one.value + 1e-9
        assert one.value - 1e-9 <= one.high
        assert (one.p < 0.05) == (one.low > 0 or one.high < 0)


def test_too_few_people_are_said_to_be_too_few():
    rng = np.random.default_rng(0)
    person, y = np.repeat(np.arange(5), 30), rng.integers(0, 2, 150).astype(float)
    folds = [np.flatnonzero(person % 2 == k) for k in range(2)]
    good, bad = (scores("auroc", y, y + rng.normal(0, s, 150), person, folds) for s in (0.1, 3.0))
    found = difference(bad, good)
    assert found[1:] == (None, None, "")
    assert text(found).endswith("(too few people)")
    d, low, high = paired("auroc", y, y + rng.normal(0, 0.1, 150), rng.normal(size=150), person)
    assert d > 0.3
    assert np.isnan([low, high]).all()
    assert "nan" not in text((d, low, high)) + text((float("nan"), None, None))
    # Twenty people of whom five have a positive are five.
    person = np.repeat(np.arange(20), 20)
    y = ((person < 5) & (rng.random(400) < 0.5)).astype(float)
    few = [scores("auroc", y, y + rng.normal(0, s, 400), person, [np.arange(400)]) for s in (0.1, 3.0)]
    assert difference(*few)[1:] == (None, None, "")


def test_one_fold_has_no_spread():
    row = {"task": "t", "kind": "auroc", "score": 0.8, "spread": 0.0, "folds": [0.8]}
    assert cell(row) == "80.0"
    assert cell({**row, "folds": [0.7, 0.9], "spread": 0.1}) == "80.0 ± 10.0"


def labelled(people: int = 12, each: int = 10) -> Windows:
    rng = np.random.default_rng(1)
    person = np.repeat([f"p{i}" for i in range(people)], each)
    y = rng.integers(0, 2, people * each).astype(float)
    labels = {"y": y, "log_v": 3 + y}
    return Windows(np.zeros((len(y), 10)), person, person, np.arange(len(y)) < len(y) // 2, labels)


def test_one_task_compares_every_system_with_the_first():
    windows = labelled()
    y = windows.labels["y"]
    features = {"knows": y[:, None] + 0.1, "guesses": np.random.default_rng(2).normal(size=(len(y), 3))}
    rows = run_task(Task("t", "d", "y", "auroc", "folds", 3), windows, features)
    assert [r["system"] for r in rows] == ["knows", "guesses"]
    assert rows[0]["score"] == 1
    assert "versus" not in rows[0]
    assert rows[1]["versus"][0] == pytest.approx(rows[1]["score"] - 1)
    assert rows[1]["versus"][3] == "**"
    assert cell(rows[1]).endswith("↓**")
    assert len(rows[1]["folds"]) == 3
    logs = run_task(Task("v (log ms)", "d", "log_v", "value", "held_out", 3), windows, features)
    assert [r["task"] for r in logs] == ["v (log ms)"] * 2 + ["v (ms)"] * 2
    assert logs[2]["score"] > logs[0]["score"]  # in ms, not in log ms
    assert logs[1]["people"] == 6  # the half that nothing was fitted on
    assert "| guesses | 2.0 | 0 / 2 |" in tally([*rows, *logs])


def test_a_system_is_compared_with_its_own_network_at_random_weights():
    windows = labelled()
    y = windows.labels["y"]
    features = {"xmae": y[:, None] + 0.1, "random xMAE": np.random.default_rng(2).normal(size=(len(y), 3))}
    rows = run_task(Task("t", "d", "y", "auroc", "folds", 3), windows, features, {"xmae": "random xMAE"})
    assert rows[0]["versus_random"][0] == pytest.approx(1 - rows[1]["score"])
    assert "| xMAE | 1.0 |  | 1 / 0 |" in tally(rows)


def test_held_out_people_are_never_fitted_on():
    windows = labelled()
    task = Task("t", "d", "y", "auroc", "held_out", 3)
    assert not windows.fit[np.concatenate(fold_rows(task, windows))].any()
    leaked = windows.labels["y"][:, None].copy()
    leaked[windows.fit] = 0  # what is fitted tells nothing, so that nothing can be known
    assert np.ptp(predict(task, windows, leaked)[~windows.fit]) == 0


# --- fewer people ---


def test_fewer_people_are_people_not_windows():
    windows, task = labelled(20), Task("t", "d", "y", "auroc", "folds", 4)
    for share, count in ((0.01, 1), (0.25, 5), (1.0, 20)):
        chosen = some_people(windows, task, share, 0)
        assert len(np.unique(windows.person[chosen])) == count
        assert chosen.sum() == 10 * count
    assert (some_people(windows, task, 0.25, 0) != some_people(windows, task, 0.25, 1)).any()


def test_a_curve_rises_with_people():
    windows, task = labelled(20), Task("t", "d", "y", "auroc", "folds", 4)
    rng = np.random.default_rng(0)
    x = np.concatenate([windows.labels["y"][:, None] + rng.normal(0, 1, (200, 1)), rng.normal(0, 1, (200, 40))], axis=1)
    rows = curve(task, windows, {"xmae": x}, draws=3)
    assert [r["share"] for r in rows] == list(SHARES)
    assert rows[-1]["score"] > rows[0]["score"] + 0.1
    assert all(r["low"] <= r["score"] <= r["high"] for r in rows)


def test_the_best_others_are_not_xmae_nor_a_floor():
    rows = [
        {"task": "t", "kind": kind, "system": s, "score": v}
        for kind, task in (("auroc", "t"),)
        for s, v in (("xmae", 0.9), ("mae", 0.5), ("lsm", 0.8), ("dino", 0.7), ("no signal", 0.99))
    ]
    assert best(rows) == ["lsm", "dino"]


# --- a user's labels ---


def write_csv(path, rows, header=("person", "recording", "start", "label")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


NAMES = ("bidmc_05", "bidmc_13", "bidmc_18", "bidmc_19", "t458s", "t477l", "v470s")


@pytest.fixture(scope="module")
def heart_rates(tmp_path_factory):
    rows = []
    for name in NAMES:
        cohort = cut([prepare(read_recording(SHIPPED / f"{name}.npz"))])
        rate = cohort.labels["hr"]
        rows += [
            (name, SHIPPED / f"{name}.npz", s, f"{v:.1f}")
            for s, v in zip(cohort.start_s, rate, strict=True)
            if np.isfinite(v)
        ]
    return write_csv(tmp_path_factory.mktemp("csv") / "rates.csv", rows)


def test_a_csv_gives_windows_people_and_a_task(heart_rates):
    windows, (task,) = load_labels(heart_rates, "heart rate")
    assert task.kind == "value"
    assert task.folds == 5
    assert set(windows.person) == set(NAMES)
    assert windows.teacher.shape[1] == 1000
    assert np.abs(windows.teacher).max() == 1
    own = cut([prepare(read_recording(SHIPPED / "bidmc_05.npz"))])
    np.testing.assert_allclose(windows.teacher[0], own.teacher_windows()[0], atol=1e-5)


def test_a_label_without_a_start_is_of_the_whole_recording(tmp_path):
    path = write_csv(tmp_path / "a.csv", [(n, SHIPPED / f"{n}.npz", "", i % 2) for i, n in enumerate(NAMES[:4])])
    windows, (task,) = load_labels(path)
    assert task.kind == "auroc"
    assert task.name == "a"
    assert len(windows.person) == pytest.approx(4 * 48, abs=2)


def test_words_are_classes_against_the_rest(tmp_path):
    words = ["wake", "light", "deep", "light"]
    path = write_csv(
        tmp_path / "s.csv", [(n, SHIPPED / f"{n}.npz", 20, w) for n, w in zip(NAMES[:4], words, strict=True)]
    )
    windows, tasks = load_labels(path, "stage")
    assert [t.name for t in tasks] == ["stage: deep", "stage: light", "stage: wake"]
    assert windows.labels["stage: light"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        ("a1c", ["6.4", "6.5"], [0, 1]),
        ("sodium", ["134.9", "135"], [1, 0]),
        ("platelets", ["149", "150"], [1, 0]),
        ("haemoglobin", ["11.9", "12"], [1, 0]),
        ("hypertension-lab", ["139", "140"], [0, 1]),
        ("hypertension-free-living", ["134", "135"], [0, 1]),
        ("ectopic", ["PAC", "SR"], [1, 0]),
        ("pvc", ["PAC", "PVC"], [0, 1]),
        ("wake", ["N2", "W"], [0, 1]),
        ("light", ["N2", "N3"], [1, 0]),
        ("deep", ["N2", "N3"], [0, 1]),
        ("rem", ["R", "light"], [1, 0]),
        ("a1c", ["1", "0"], [1, 0]),  # already a class
    ],
)
def test_the_published_tasks_are_there_by_name(tmp_path, task, labels, expected):
    path = write_csv(
        tmp_path / "a.csv", [(n, SHIPPED / f"{n}.npz", 30, v) for n, v in zip(NAMES, labels, strict=False)]
    )
    windows, (found,) = load_labels(path, task)
    assert found.name == task
    assert windows.labels[task].tolist() == expected


def test_the_twelve_stand_in_the_docs_with_their_definitions():
    page_ = (ROOT / "docs" / "encoders.md").read_text()
    assert len(SEED_TASKS) == 12
    for name, task in SEED_TASKS.items():
        assert f"| `{name}` | {task.definition} |" in page_


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([], ("person", "recording", "label"), "lacks start"),
        ([("a", "", "0", "1")], None, r"labels\.csv:2.*empty cell"),
        ([("a", "none.npz", "0", "1")], None, "none.npz"),
        ([("a", SHIPPED / "bidmc_05.npz", "9999", "1")], None, "leaves no 10 s"),
        ([("a", SHIPPED / "bidmc_05.npz", "soon", "1")], None, "'soon'"),
        ([], None, "no 10-s window"),
    ],
)
def test_a_bad_csv_says_where(tmp_path, rows, header, message):
    path = write_csv(tmp_path / "labels.csv", rows, header or ("person", "recording", "start", "label"))
    with pytest.raises(RecordingError, match=message):
        load_labels(path, "mine")


def test_a_lab_value_that_is_no_number_is_told_what_it_should_be(tmp_path):
    path = write_csv(
        tmp_path / "a.csv", [("a", SHIPPED / "bidmc_05.npz", 0, "high"), ("b", SHIPPED / "bidmc_05.npz", 0, "low")]
    )
    with pytest.raises(RecordingError, match="mmol/L"):
        load_labels(path, "sodium")


def test_one_person_is_not_enough(tmp_path):
    path = write_csv(tmp_path / "a.csv", [("a", SHIPPED / "bidmc_05.npz", s, s % 20) for s in (0, 10, 20, 30)])
    with pytest.raises(SplitError, match="one person"):
        load_labels(path)


@pytest.mark.parametrize(("name", "meant"), [("sodum", "sodium"), ("Platelets", "platelets"), ("pvcs", "pvc")])
def test_a_typo_of_a_task_is_no_title(tmp_path, name, meant):
    path = write_csv(tmp_path / "a.csv", [("a", SHIPPED / "bidmc_05.npz", 0, 1), ("b", SHIPPED / "bidmc_13.npz", 0, 2)])
    with pytest.raises(ConfigError, match=f"did you mean {meant}"):
        load_labels(path, name)


def test_files_of_several_columns_and_without_a_rate(tmp_path):
    t = np.arange(30 * 50) / 50
    rows = "".join(f"{np.sin(7 * x):.5f},{np.sin(9 * x):.5f}\n" for x in t)
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("left,right\n" + rows)
    path = write_csv(tmp_path / "labels.csv", [("a", "a.csv", "", 1), ("b", "b.csv", "", 2)])
    with pytest.raises(RecordingError):
        load_labels(path)
    found = {c: load_labels(path, channel=c, rate_hz=50)[0].teacher[0] for c in ("left", "right")}
    assert np.abs(np.fft.rfft(found["left"])).argmax() == round(10 * 7 / (2 * np.pi))
    assert np.abs(np.fft.rfft(found["right"])).argmax() == round(10 * 9 / (2 * np.pi))


def test_a_network_is_born_again_without_what_it_learnt():
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(1000, 8), torch.nn.BatchNorm1d(8))
    net[1].running_mean.fill_(5.0)
    net.extra = torch.nn.Parameter(torch.arange(8.0))
    again, twice = reborn(net), reborn(net)
    assert not torch.equal(again[0].weight, net[0].weight)
    assert torch.equal(again[0].weight, twice[0].weight)
    assert again[1].running_mean.abs().max() == 0
    assert sorted(again.extra.tolist()) == list(range(8)) != again.extra.tolist()


# --- from the command line ---


def test_a_users_encoder_and_labels_join_the_bench(heart_rates, tmp_path, run_script):
    """The two commands of docs/encoders.md: a tenth encoder on a tenth task, with the floors."""
    (tmp_path / "my_encoder.py").write_text(ENCODER)
    done = run_script(
        "models/benchmark.py", "--labels", heart_rates, "--task", "heart rate", "--systems", "xmae-rhythm",
        "my_encoder.py:make", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {r["system"]: r for r in json.loads((tmp_path / "runs" / "benchmark.json").read_text())}
    assert rows["xmae-rhythm"]["people"] == len(NAMES)
    assert rows["xmae-rhythm"]["score"] < rows["random xMAE"]["score"]
    assert rows["xmae-rhythm"]["score"] < 0.5 * rows["no signal"]["score"]
    assert rows["my_encoder.py:make"]["versus"][0] > 0  # a larger error than the first, and it is said by how much
    assert "| my_encoder.py:make | " in done.stdout
    # Her own network with random weights is her floor, and she is held against it.
    assert rows["random my_encoder.py:make"]["people"] == len(NAMES)
    assert "versus_random" in rows["my_encoder.py:make"]
    again = run_script("models/benchmark.py", "--show", tmp_path / "runs" / "benchmark.json")
    assert again.stdout == done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_encoder.py:wrong", "does not take a window"),
        ("my_encoder.py:text", "gave a str"),
        ("my_encoder.py:none", "gives no encoder"),
        ("nowhere.py:make", "gives no encoder"),
        ("msn", "pretrain.py --method msn"),
    ],
)
def test_what_is_no_encoder_is_told_why(heart_rates, tmp_path, run_script, name, message):
    (tmp_path / "my_encoder.py").write_text(ENCODER)
    done = run_script("models/benchmark.py", "--labels", heart_rates, "--systems", name, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.fixture(scope="module")
def small_root(tmp_path_factory):
    """Two training recordings and a test recording where the larger sets would be."""
    root = tmp_path_factory.mktemp("sets")
    (root / "cinc2015_125hz").mkdir()
    for source, name in (("v200s", "a101l"), ("bidmc_05", "a120l"), ("t458s", "t458s")):
        shutil.copy(SHIPPED / f"{source}.npz", root / "cinc2015_125hz" / f"{name}.npz")
    return root


def test_a_users_encoder_goes_all_the_way_to_the_stream(small_root, tmp_path, run_script):
    """distil -> QAT -> TFLite, ONNX, C -> stream, by the teacher's name alone; few steps, so that only the road counts."""
    (tmp_path / "my_encoder.py").write_text(ENCODER)
    teacher = ("--teacher", "my_encoder.py:make", "--size", "band")
    steps = (
        ("quantize/distill.py", *teacher, "--steps", 5, "--versions", 1, "--data", small_root),
        ("quantize/qat.py", *teacher, "--steps", 2, "--data", small_root),
        ("export/to_tflite.py", *teacher, "--out", "w.tflite"),
        ("export/to_onnx.py", *teacher, "--out", "w.onnx"),
        ("export/to_c.py", *teacher, "--out", "c"),
        ("firmware_sim/stream.py", SHIPPED / "v470s.npz", *teacher, "--no-cohort", "--out", "stream"),
    )
    for step in steps:
        done = run_script(*step, cwd=tmp_path)
        assert done.returncode in ((0, 1) if "stream" in str(step[0]) else (0,)), (step, done.stderr)
    assert (tmp_path / "runs/distill/my-encoder-py-make/band.safetensors").exists()
    assert (tmp_path / "w.tflite").stat().st_size > 40_000
    assert (tmp_path / "c" / "onwrist_model.c").exists()
    (run,) = json.loads((tmp_path / "stream/report.json").read_text())["runs"]
    (same,) = [g for g in run["gates"] if "same bytes" in g["name"]]
    assert same["passed"], same


def test_a_teacher_without_a_student_says_what_to_run(tmp_path, run_script):
    done = run_script("export/to_tflite.py", "--teacher", "dino", cwd=tmp_path)
    assert done.returncode == 2
    assert "quantize/qat.py --teacher dino" in done.stderr


# --- what the page says ---


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("benchmark", page),
        ("benchmark", published_table),
        ("efficiency", efficiency_table),
        ("teachers", page),
        ("pretraining", curves_table),
    ],
)
def test_the_results_page_shows_what_is_stored(name, tables):
    """Every table of docs/encoders-compared.md that comes from a stored result is that result's, to the letter."""
    text = (ROOT / "docs" / "encoders-compared.md").read_text()
    stored = tables(json.loads((ROOT / "docs" / f"{name}.json").read_text()))
    parts = [part.strip() for part in re.split(r"^### .*$", stored, flags=re.M) if part.strip()]
    assert parts
    for part in parts:
        assert part in text
