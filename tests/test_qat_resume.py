"""QAT that is killed goes on where it was, and ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from onwrist.models.student.network import Student, StudentConfig
from onwrist.quantize.integers import training
from onwrist.quantize.judging.evaluate import Evaluation
from onwrist.quantize.teaching import course
from onwrist.quantize.teaching.examples import Examples

STEPS, KILLED_AFTER = 10, 6


def quantised(out, after=lambda step: None, seed=0):
    """PTQ and QAT of a small student that knows nothing; its state, every step kept."""
    course.Keeper.__init__.__defaults__ = (0.0,)
    training.CALIBRATION_BATCHES, training.CALIBRATION_BATCH = 1, 32
    torch.manual_seed(0)
    small = StudentConfig("small", stem=4, frames=8, widths=(8,), dilations=(1,), head=(), embedding=16)
    parent = Student(small).eval()
    n = 300
    x = np.random.default_rng(0).normal(size=(n, small.window)).astype(np.float32)
    examples = Examples(
        x, np.zeros((n, 16), np.float32), np.full((n, 5), np.nan, np.float32), np.full((n, 2), np.nan, np.float32),
        np.full((n, 250), -1, np.int8), np.ones(n, np.float32), np.array(["a"] * n),
    )  # fmt: skip
    unknown = np.full((8, len(small.answers.columns)), np.nan, np.float32)
    data = Evaluation("made up", x[:8], unknown, np.array(["b"] * 8), small.answers)

    def progress(items, what, *, total=None):
        for step, item in enumerate(items, 1):
            yield item
            after(step)

    made, _ = course.quantised(parent, examples, course.Course(STEPS, 8, 1e-3, seed), data, out=out, progress=progress)
    return {name: value.clone() for name, value in made.state_dict().items() if isinstance(value, torch.Tensor)}


def killed(out):
    """A process of its own, which kills itself when so many steps are done."""
    quantised(Path(out), lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == KILLED_AFTER else None)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def curve(out):
    return [json.loads(line) for line in out.with_name(f"{out.name}.curve.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module", autouse=True)
def keeper():
    usual = course.Keeper.__init__.__defaults__, training.CALIBRATION_BATCHES, training.CALIBRATION_BATCH
    yield
    course.Keeper.__init__.__defaults__, training.CALIBRATION_BATCHES, training.CALIBRATION_BATCH = usual


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "q.safetensors"
    return quantised(out), curve(out)


@pytest.mark.slow
def test_a_killed_qat_goes_on_and_ends_the_same(tmp_path, whole):
    out, state = tmp_path / "q.safetensors", tmp_path / "q.safetensors.course.pt"
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_qat_resume as t; t.killed(sys.argv[1])"
    died = subprocess.run([sys.executable, "-c", program, str(out)], capture_output=True, text=True, timeout=300)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert state.exists()
    left = []
    assert same(quantised(out, left.append), whole[0])
    assert len(left) == STEPS - KILLED_AFTER
    assert not state.exists()
    assert [row["step"] for row in curve(out)] == list(range(STEPS))
    assert curve(out) == whole[1]


@pytest.mark.slow
def test_the_state_of_another_qat_is_no_help(tmp_path, whole):
    class Killed(Exception):
        pass

    def end(step):
        if step == KILLED_AFTER:
            raise Killed

    out = tmp_path / "q.safetensors"
    with pytest.raises(Killed):
        quantised(out, end, seed=1)
    assert same(quantised(out), whole[0])
    assert curve(out) == whole[1]
