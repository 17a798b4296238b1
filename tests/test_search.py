"""Students under a budget: the space holds the ladder, the store is joined and goes on, budgets refuse, a spec of any shape is deployed."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from onwrist.errors import ConfigError
from onwrist.export.handoff.artifacts import load_artifacts
from onwrist.firmware_sim.handoff.road import embed, most_context, shape_of
from onwrist.firmware_sim.handoff.verify import verify
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.shapes.costs import Budget, Costs, costs_of, measured_costs
from onwrist.firmware_sim.shapes.page import spec_of
from onwrist.firmware_sim.shapes.space import knobs, shape
from onwrist.firmware_sim.shapes.study import (
    JUDGED,
    Point,
    Task,
    better_than,
    explore,
    front,
    open_study,
    points,
    refused,
)
from onwrist.firmware_sim.watch.watch import WatchConfig
from onwrist.models.student.network import LADDER, Student
from onwrist.models.student.work import work
from onwrist.quantize.teaching.examples import Examples, Standard, load_examples, save_examples
from onwrist.quantize.teaching.trial import Judged, split
from onwrist.resources import SHIPPED
from onwrist.signals.front_end.student_input import USUAL
from onwrist.signals.people.cohort import silent
from onwrist.spec import Spec, read_spec

optuna = pytest.importorskip("optuna", reason="Optuna is not installed: the extra `search`")
HOP = 25
MOST_CONTEXT = most_context(USUAL)


def costs(config, budget=Budget()) -> Costs:
    """Without a compiler: bytes and work by the layers alone."""
    macs = round(work(Student(config)).of_hop(1.0))
    return Costs(macs // 3, macs // 10, macs, 2 * macs, macs < 120_000)


def learnt(config, give_up) -> Judged | None:
    """A student whose error falls with its work, and with a sharp eye for the stem's kernel."""
    error = 1 / work(Student(config)).streamed ** 0.5 + 1e-4 * abs(config.stem_kernel - 7)
    return None if give_up(2 * error) else Judged(error, 0.9, {"heart_rate": 3.0})


@pytest.fixture
def task() -> Task:
    return Task(
        replace(LADDER["watch"], name="searched"), HOP, 400, Budget(instructions=1_000_000), "instructions", {"a": 1}
    )


def run(study, task, count):
    steps = explore(study, task, costs, learnt)
    return [next(steps) for _ in range(count)]


@pytest.mark.parametrize("size", LADDER)
def test_the_space_holds_the_ladder(size):
    config = LADDER[size]
    for hop in (25, 50):
        assert shape(optuna.trial.FixedTrial(knobs(config, hop)), config, hop) == config


def test_a_store_is_joined_goes_on_and_refuses_another_task(task, tmp_path):
    store = str(tmp_path / "study.db")
    run(open_study(store, "mine", task, 0), task, 3)
    again = open_study(store, "mine", task, 0)
    assert len(again.trials) == 3
    run(again, task, 12)
    study = open_study(f"sqlite:///{store}", "mine", task, 0)
    assert len(study.trials) == 15
    found = points(study, task)
    assert [p.ladder for p in found[:2]] == ["watch", "band"]
    assert found[0].config == replace(LADDER["watch"], name="searched")
    assert len(found) + sum(refused(study).values()) == 15
    with pytest.raises(ConfigError, match="another a"):
        open_study(store, "mine", replace(task, identity={"a": 2}), 0)
    with pytest.raises(ConfigError, match="cannot be used"):
        open_study(str(tmp_path / "no" / "such" / "folder.db"), "mine", task, 0)


def test_nothing_on_the_front_is_beaten_or_over_budget(task, tmp_path):
    narrow = replace(task, budget=Budget(instructions=500_000))
    study = open_study(str(tmp_path / "study.db"), "mine", narrow, 1)
    run(study, narrow, 25)
    found = points(study, narrow)
    best = front(found, narrow)
    assert all(p.costs.instructions <= 500_000 for p in best)
    assert all(p.costs.instructions <= 500_000 or p.ladder for p in found)  # who is over is not trained
    for p in best:
        assert not any(o.judged.error < p.judged.error and o.costs.instructions <= p.costs.instructions for o in found)
    for p in better_than(found, "watch"):
        assert p.judged.error <= found[0].judged.error
        assert p.costs.flash <= found[0].costs.flash
    assert JUDGED in study.trials[0].user_attrs


def test_a_long_search_of_which_little_is_trained_goes_on(task, tmp_path):
    """The sampler weighs a tenth of all shapes, and has to have values of each: far more are refused than trained."""
    narrow = replace(task, budget=Budget(instructions=1_000))
    study = open_study(str(tmp_path / "study.db"), "mine", narrow, 2)
    run(study, narrow, 60)
    assert len(points(study, narrow)) == 2  # the ladder's, which are there whatever they cost
    assert sum(refused(study).values()) == 58


@pytest.mark.slow
def test_costs_before_training_are_those_of_the_shipped_student():
    """Random weights cost what trained ones do, to the byte and to the instruction."""
    trained = measured_costs(Deployed(load_artifacts("band"), WatchConfig()))
    assert costs_of(LADDER["band"], WatchConfig()) == trained
    assert trained.instructions > trained.macs
    assert trained.small


def test_what_is_over_budget_is_not_compiled():
    tight = Budget(flash=40_000)
    found = costs_of(LADDER["band"], WatchConfig(), tight)
    assert found.instructions is None
    assert "flash 47,888, more than 40,000" in tight.broken(found)


def made_examples(people: int, window: int = 400) -> Examples:
    rng = np.random.default_rng(0)
    n = 8 * people
    labels = np.stack([rng.normal(size=n), rng.integers(0, 2, n), rng.integers(0, 2, n)], axis=1).astype(np.float32)
    return Examples(
        rng.normal(size=(n, window)).astype(np.float32), rng.normal(size=(n, 256)).astype(np.float32), labels,
        np.zeros((n, 2), np.float32), np.zeros((n, 250), np.int8), np.ones(n, np.float32),
        np.repeat([f"p{i:02d}" for i in range(people)], 8),
    )  # fmt: skip


def test_nobody_is_on_both_sides_of_the_choice():
    taught, choice = split(made_examples(12))
    assert set(taught.records) & set(choice.records) == set()
    assert set(choice.records) == {"p04", "p09"}
    taught, choice = split(made_examples(4), {"p00": "a", "p01": "a", "p02": "b", "p03": "b"})
    assert set(taught.records) == {"p00", "p01"}
    with pytest.raises(ConfigError, match="one person"):
        split(made_examples(1))


SPEC = """
name = "shaped"
[teacher]
source = "encoder.py:make"
[data]
recordings = ["study/*.npz"]
held_out = ["bidmc_13"]
sets = false
[student]
size = "band"
steps = 4
qat_steps = 1
versions = 1
embedding = 32
[student.shape]
stem = 8
stem_kernel = 4
frames = 24
frame_kernel = 7
widths = [24, 40]
dilations = [1, 3]
kernel = 3
head = []
[stream]
recording = "study/bidmc_13.npz"
hop_s = 10.0
"""
ENCODER = """
import torch
def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Unflatten(1, (1, 1000)), torch.nn.Conv1d(1, 8, 50, 25), torch.nn.ReLU(),
                               torch.nn.Flatten(), torch.nn.Linear(312, 64)).eval()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shaped")
    (folder / "study").mkdir()
    for name in ("bidmc_05", "bidmc_13"):
        shutil.copy(SHIPPED / f"{name}.npz", folder / "study")
    (folder / "encoder.py").write_text(ENCODER)
    (folder / "my.toml").write_text(SPEC)
    return folder


@pytest.mark.slow
def test_a_spec_with_a_shape_of_its_own_goes_the_whole_road(home, run_script):
    done = run_script("firmware_sim/deploy.py", "my.toml", "--no-firmware", cwd=home)
    assert done.returncode == 1, done.stderr  # four steps are no student
    bundle = home / "build" / "shaped" / "handoff"
    contract = json.loads((bundle / "band" / "contract.json").read_text())
    shaped = shape_of(read_spec(home / "my.toml"))
    assert (shaped.widths, shaped.head, shaped.embedding) == ((24, 40), (), 32)
    assert contract["input"]["shape"] == [1, 1, shaped.window, 1]
    assert read_spec(bundle / "spec.toml").student.shape.dilations == (1, 3)
    lines = verify(bundle.with_suffix(".zip")).lines  # its own gates failed, and nothing else
    assert not [line for line in lines if line.startswith("FAIL") and "gates" not in line and "verdict" not in line]
    (run,) = json.loads((bundle / "report.json").read_text())["runs"]
    exact = [g for g in run["gates"] if g["group"] == "exact"]
    assert exact
    assert all(g["passed"] for g in exact)


@pytest.mark.slow
def test_the_examples_of_a_search_see_as_far_back_as_any_shape_may(home):
    """Embedded once, for shapes that see more of the past than the spec's own student does."""
    spec = read_spec(home / "my.toml")
    assert shape_of(spec).context < MOST_CONTEXT
    embed(spec, home / "far.npz", MOST_CONTEXT, silent, lambda text: None)
    examples, _ = load_examples(home / "far.npz")
    assert examples.x.shape[1] == USUAL.samples + MOST_CONTEXT


@pytest.mark.slow
def test_the_command_leaves_picture_numbers_and_specs(home, run_script):
    save_examples(
        home / "examples.npz", made_examples(6), Standard(np.zeros(256, np.float32), np.ones(256, np.float32))
    )
    words = ("--examples", "examples.npz", "--trials", "1", "--steps", "2", "--batch", "8", "--out", "found")
    done = run_script("firmware_sim/search.py", *words, cwd=home)
    assert done.returncode == 0, done.stderr
    found = json.loads((home / "found" / "front.json").read_text())
    assert [p["ladder"] for p in found["points"]] == ["watch"]
    assert "<svg" in (home / "found" / "front.html").read_text()
    spec = read_spec(home / "found" / "shipped-0.toml")
    assert replace(shape_of(spec), name="watch") == LADDER["watch"]
    assert spec.trains
    assert "Better than watch" in done.stdout


def test_shapes_that_cannot_be_are_refused_with_their_reason(tmp_path):
    def refuse(text: str) -> str:
        (tmp_path / "my.toml").write_text(f"[student.shape]\n{text}\n")
        with pytest.raises(ConfigError) as caught:
            shape_of(read_spec(tmp_path / "my.toml"))
        return str(caught.value)

    assert "did you mean widths" in refuse("width = [8]")
    assert "250 samples" in refuse("stride = 7")
    assert "one of each per block" in refuse("widths = [8]\ndilations = [1, 2]")
    assert "as many widths" in refuse("widths = [8]")
    assert "before its 10 s" in refuse("dilations = [1, 2, 30]")


def test_a_point_becomes_its_spec():
    config = replace(LADDER["watch"], widths=(24, 32), dilations=(1, 3), head=())
    point = Point(7, config, Costs(1, 1, 1, 1, True), Judged(0.1, 0.9, {}), "")
    made = spec_of(Spec(), point)
    assert (made.name, made.student.size) == ("shipped-7", "band")
    assert replace(shape_of(made), name=config.name) == config


def test_a_network_of_one_s_own_has_no_shape_to_search(tmp_path, run_script):
    (tmp_path / "net.py").write_text("def make(embedding, answers): ...\n")
    (tmp_path / "my.toml").write_text('[student]\nsource = "net.py:make"\n')
    done = run_script("firmware_sim/search.py", str(tmp_path / "my.toml"), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "student.source" in done.stderr
    assert not (tmp_path / "out").exists()
