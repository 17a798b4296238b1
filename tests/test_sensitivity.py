"""Where INT8 hurts: the switches do what they say, a planted fault is found, and the command leaves picture and numbers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from onwrist.errors import ConfigError
from onwrist.firmware_sim.sensitivity import SensitivityConfig, main
from onwrist.models.student.network import LADDER, Student
from onwrist.quantize.integers.training import load_quantised
from onwrist.quantize.judging.evaluate import Evaluation, evaluation_of, part_of, run_torch
from onwrist.quantize.judging.sensitivity import ACTIVATIONS, WEIGHTS, calibrated, only, quantisers, sensitivity
from onwrist.quantize.teaching.student_files import float_weights, int8_weights, load_student
from onwrist.resources import SHIPPED
from onwrist.signals.people.cohort import cut, prepare
from onwrist.signals.recordings.readers import read_recording


@pytest.fixture(scope="module")
def data() -> Evaluation:
    tracks = [prepare(read_recording(SHIPPED / f"{n}.npz"), n, "recordings") for n in ("bidmc_05", "bidmc_13")]
    return part_of(evaluation_of(cut(tracks), LADDER["band"].context, "two people"), "all", 20)


@pytest.fixture(scope="module")
def parent() -> Student:
    return load_student(float_weights("band"))[0]


@pytest.fixture
def quantised():
    return load_quantised(int8_weights("band"))


def test_one_tensor_alone_is_that_tensor_rounded_by_hand(quantised, data):
    """The witness: a plain float student with the same weights, one of them rounded."""
    x = torch.from_numpy(data.x)
    every = quantisers(quantised, x[:1])
    plain = Student(LADDER["band"]).eval()
    for layer in plain.features:
        layer[0].bias = torch.nn.Parameter(torch.zeros(layer[0].out_channels))
        layer[1] = torch.nn.Identity()
    weights = {
        re.sub(r"(features\.\d+)", r"\1.0", n.removeprefix("layers.").replace("/", ".")): p
        for n, p in quantised.state_dict().items()
        if n.endswith((".weight", ".bias"))
    }
    plain.load_state_dict(weights)
    (one,) = [q for q in every if (q.layer, q.kind) == ("features.1", WEIGHTS)]
    with only(every, []):
        np.testing.assert_allclose(
            run_torch(quantised, data.x).embedding, run_torch(plain, data.x).embedding, atol=1e-4
        )
    with torch.no_grad():
        plain.features[1][0].weight.copy_(one.module.quant_weight().value)
    with only(every, [one]):
        np.testing.assert_allclose(
            run_torch(quantised, data.x).embedding, run_torch(plain, data.x).embedding, atol=1e-4
        )


def test_every_tensor_on_is_the_student_and_it_is_left_as_it_was(quantised, data):
    before = run_torch(quantised, data.x)
    every = quantisers(quantised, torch.from_numpy(data.x[:1]))
    with only(every, every):
        all_on = run_torch(quantised, data.x)
    step = quantised.range_of(quantised.outputs[0].place).act_quant.scale().item()
    assert (
        np.abs(all_on.embedding - before.embedding).max() <= 2 * step + 1e-6
    )  # the biases' 32 bits are no more than this
    np.testing.assert_array_equal(run_torch(quantised, data.x).embedding, before.embedding)
    names = [(q.layer, q.kind) for q in every]
    assert len(set(names)) == len(names) == 12 + 13
    assert names[:3] == [("input", ACTIVATIONS), ("features.0", WEIGHTS), ("features.0", ACTIVATIONS)]


def test_a_planted_fault_is_named(parent, data):
    """One weight far beyond the others takes the scale of its tensor: that tensor has to be what hurts."""
    model = calibrated(parent, data.x)
    with torch.no_grad():
        model.layers["head/0"].weight[0, 0, 0] = 60 * model.layers["head/0"].weight.abs().max()
    found = sensitivity(parent, model, data)
    moved = {n.name: n.weights.alone.answers["heart_rate"].moved for n in found.layers if n.weights}
    assert max(moved, key=moved.get) == "head.0"
    # Nothing of it reaches the embedding.
    head = next(n for n in found.layers if n.name == "head.0")
    assert head.weights.alone.distance == pytest.approx(0, abs=1e-9)


def test_calibrated_costs_are_its_parents_and_add_up(parent, data):
    found = sensitivity(parent, calibrated(parent, data.x), data)
    assert found.nothing.distance < 1e-6  # equalised and folded, but the same function
    tensors = [t for n in found.layers for t in (n.weights, n.activations) if t]
    total = sum(t.alone.distance for t in tensors)
    # Roundings of different tensors are nearly independent: their squared lengths add up.
    assert 0.5 < total / found.everything.distance < 2
    assert min(t.without.distance for t in tensors) < found.everything.distance


@pytest.mark.slow
def test_the_command_leaves_picture_and_numbers(run_script, tmp_path):
    done = run_script(
        "firmware_sim/sensitivity.py", "--size", "band", "--most-windows", "10", "--out", tmp_path,
        ONWRIST_DATA=str(tmp_path / "nowhere"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "sensitivity.json").read_text())
    assert found["schema"] == "onwrist-sensitivity-1"
    assert found["stage"] == "trained"
    assert len(found["layers"]) == 13
    page = (tmp_path / "sensitivity.html").read_text()
    assert "<svg" in page
    assert "Where INT8 hurts" in page
    assert "features.0 weights" in done.stdout


def test_a_spec_without_its_student_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text('name = "mine"\n[student]\ntrain = true\n')
    with pytest.raises(ConfigError, match=r"onwrist deploy my\.toml"):
        main(SensitivityConfig(Path("my.toml")))
