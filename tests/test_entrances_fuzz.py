"""Damaged recipes, specs and weights, a thousand each: what is asked for, or one typed error; never a traceback or a hang."""

import json
import math
import time
import tomllib

import numpy as np
import pytest
import tomli_w
import torch
from damage import INPUTS, damaged
from safetensors.torch import load, save

from onwrist.errors import CheckpointError, ConfigError
from onwrist.firmware_sim.watch.faults import KINDS, parse_faults, read_faults
from onwrist.models.student.network import StudentConfig
from onwrist.quantize.integers.fake_quant import quantise
from onwrist.quantize.integers.training import load_quantised, save_quantised
from onwrist.quantize.teaching.examples import Standard
from onwrist.quantize.teaching.student_files import Student, load_student, save_student
from onwrist.resources import weights_metadata
from onwrist.spec import Spec, read_spec

# Of one input, on a machine that does other things too.
SECONDS = 10
ODD_VALUES = [
    True, 0, -1, 10**30, 2**63 - 1, 0.5, 1e308, math.nan, math.inf, "", "x", "7", "../x", "\u202e", "x" * 5000, [], [[1]], ["a"], {},
    {"kind": "lost"}, [{}],
]  # fmt: skip


def odd(rng):
    return ODD_VALUES[rng.integers(len(ODD_VALUES))]


def bent(values: dict, rng: np.random.Generator) -> dict:
    """A table with one value of it, at any depth, replaced, renamed, or left out."""
    values = json.loads(json.dumps(values))
    at = values
    while True:
        if isinstance(at, list):
            at = at[rng.integers(len(at))]
            continue
        key = list(at)[rng.integers(len(at))]
        inner = at[key]
        if (
            inner
            and isinstance(inner, dict | list)
            and not isinstance(next(iter(inner)), int | float)
            and rng.random() < 0.8
        ):
            if isinstance(inner, list) and not isinstance(inner[0], dict):
                break
            at = inner
            continue
        break
    match rng.integers(4):
        case 0:
            at[key + "s"] = at.pop(key)
        case 1:
            del at[key]
        case _:
            at[key] = odd(rng)
    return values


RECIPE = {
    "seed": 7,
    "fault": [{"kind": kind} for kind in KINDS] + [{"kind": "lost", "share": 0.5}, {"kind": "gain", "factor": 2.0}],
}


def toml_inputs(whole: dict, rng: np.random.Generator):
    """Half of them damaged as text, half as values."""
    text = tomli_w.dumps(whole).encode()
    for i in range(INPUTS):
        yield damaged(text, rng) if i % 2 else tomli_w.dumps(bent(whole, rng)).encode()


def answers(make, expected, inputs, path):
    """How many inputs were taken; each of the others is one typed error that names the file and a cure."""
    taken = 0
    for data in inputs:
        path.write_bytes(data)
        began = time.process_time()
        try:
            make(path)
        except expected as error:
            assert path.name in str(error), data
            assert error.cure, data
        else:
            taken += 1
        assert time.process_time() - began < SECONDS, data
    assert 0 < taken < INPUTS
    return taken


def sound_recipe(path):
    faults = read_faults(path)
    for fault in faults.faults:
        for name, value in vars(fault).items():
            assert isinstance(value, int | float), name
            assert math.isfinite(value), name
    assert isinstance(faults.seed, int)
    assert faults.seed >= 0


def test_damaged_recipes(tmp_path):
    answers(sound_recipe, ConfigError, toml_inputs(RECIPE, np.random.default_rng(1)), tmp_path / "recipe.toml")


def test_damaged_words_of_faults():
    rng = np.random.default_rng(2)
    for i in range(INPUTS):
        kind = list(KINDS)[i % len(KINDS)]
        word = damaged(f"{kind}:seconds=3,every_s=20".encode(), rng).decode("latin-1")
        try:
            found = parse_faults((word,))
        except ConfigError as error:
            assert error.cure
        else:
            assert all(math.isfinite(v) for f in found.faults for v in vars(f).values())


def test_damaged_specs(tmp_path):
    whole = tomllib.loads(Spec().resolved())
    whole["data"] = {"recordings": ["study/*.csv"], "person": "(p[0-9]+)_", "held_out": ["p1"]}

    def sound(path):
        spec = read_spec(path)
        assert math.isfinite(spec.stream.hop_s)
        assert tomllib.loads(spec.resolved())

    answers(sound, ConfigError, toml_inputs(whole, np.random.default_rng(3)), tmp_path / "my.toml")


SMALL = StudentConfig("small", stem=4, frames=4, widths=(4,), dilations=(1,), head=(4,))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Bytes, tensors and metadata (without digests) of a small float student and its quantised one."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    student = Student(SMALL).eval()
    save_student(folder / "f", student, Standard(np.zeros(256), np.ones(256)), {"recipe": {"steps": 1}})
    save_quantised(folder / "q", quantise(student, [torch.randn(4, SMALL.window)]), {"recipe": {"steps": 1}})
    found = []
    for name in ("f", "q"):
        data = (folder / name).read_bytes()
        found.append((data, load(data), {k: v for k, v in weights_metadata(data).items() if k != "digests"}))
    return found


def bent_weights(state, metadata, rng) -> bytes:
    """A file that is whole, of tensors or metadata that are not what they should be, and without digests."""
    state, metadata = {n: v.clone() for n, v in state.items()}, dict(metadata)
    name = sorted(state)[rng.integers(len(state))]
    match rng.integers(6):
        case 0:
            del state[name]
        case 1:
            state[name] = torch.zeros(tuple(int(n) for n in rng.integers(0, 4, rng.integers(0, 4))))
        case 2:
            state[name] = state[name].to([torch.int8, torch.float64, torch.bool, torch.bfloat16][rng.integers(4)])
        case 3:
            state[name] = torch.full_like(
                state[name],
                [math.nan, math.inf, -1.0, 0.0, 1e30][rng.integers(5)] if state[name].is_floating_point() else 1,
            )
        case 4:
            metadata["student"] = json.dumps(bent(json.loads(metadata["student"]), rng))
        case 5:
            key = list(metadata)[rng.integers(len(metadata))]
            metadata[key] = damaged(metadata[key].encode(), rng).decode("latin-1")
    return save(state, metadata)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_damaged_weights(weights, tmp_path, which):
    data, state, metadata = weights[which]
    rng = np.random.default_rng(4 + which)
    # What is whole but wrong is loaded first, and a quantised student takes a tenth of a second.
    every = (2, 20)[which]
    inputs = (damaged(data, rng) if i % every else bent_weights(state, metadata, rng) for i in range(INPUTS))

    def sound(path):
        if which:
            load_quantised(path)
            return
        student, _ = load_student(path)
        assert all(torch.isfinite(v).all() for v in student.state_dict().values())

    answers(sound, CheckpointError, inputs, tmp_path / "w.safetensors")


@pytest.mark.parametrize(("make", "name"), [(read_faults, "recipe"), (read_spec, "spec")])
def test_nesting_without_end(tmp_path, make, name):
    for text in ("x = " + "[" * 20_000, "x = " + "{a=" * 20_000, "[" + "a." * 20_000 + "b]"):
        (tmp_path / f"{name}.toml").write_text(text)
        with pytest.raises(ConfigError, match=name):
            make(tmp_path / f"{name}.toml")
