"""No student passes that says the same to everybody, however exactly its integers say it."""

import numpy as np
import pytest

from onwrist.models.bench.subsets import interval, subsets
from onwrist.models.student.network import ANSWERS, HEART_RATE_CENTRE, HEART_RATE_SPAN
from onwrist.quantize.judging.evaluate import Evaluation, Outputs
from onwrist.quantize.judging.useful import floors


def people(count: int = 12, each: int = 30, seed: int = 0) -> Evaluation:
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(count), each)
    rate = np.repeat(rng.uniform(50, 120, count), each) + rng.normal(0, 5, count * each)
    labels = np.stack(
        [(rate - HEART_RATE_CENTRE) / HEART_RATE_SPAN, rng.integers(0, 2, len(rate)), rng.integers(0, 2, len(rate))],
        axis=1,
    )
    return Evaluation("made up", np.zeros((len(rate), 4), np.float32), labels.astype(np.float32), person.astype(str))


def outputs(answers: np.ndarray) -> Outputs:
    return Outputs(np.zeros((len(answers), 8), np.float32), answers.astype(np.float32))


def test_a_student_that_knows_is_above_every_floor():
    data = people()
    noisy = data.labels + np.random.default_rng(1).normal(0, 0.1, data.labels.shape)
    found = floors(outputs(noisy), data)
    assert [f.answer for f in found] == list(ANSWERS)
    assert all(f.above for f in found), [f.words for f in found]


def test_a_flat_one_is_above_none_and_the_words_say_why():
    data = people()
    flat = np.zeros_like(data.labels)
    flat[:, 0] = (88 - HEART_RATE_CENTRE) / HEART_RATE_SPAN
    found = floors(outputs(flat), data)
    assert not any(f.above for f in found)
    assert all("the same to everybody" in f.words for f in found)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_above_none(seed):
    data = people(seed=seed)
    noise = np.random.default_rng(seed + 100).normal(0, 0.3, data.labels.shape)
    rate, *classes = floors(outputs(noise), data)
    assert not rate.above
    assert sum(f.above for f in classes) <= 1  # 2.5 % a side each, five seeds


def test_too_few_people_are_said():
    data = people(count=3)
    (rate, *_) = floors(outputs(data.labels), data)
    assert rate.margin.low is None
    assert "too few people" in rate.words


def test_answers_without_labels_are_left_out():
    data = people()
    data.labels[:, 1:] = np.nan
    assert [f.answer for f in floors(outputs(data.labels), data)] == ["heart_rate"]


@pytest.mark.parametrize("people", [6, 12, 13, 14, 40])
def test_no_subset_is_nobody(people):
    chosen = subsets(people)
    assert chosen.any(axis=1).all()
    found = interval(np.arange(1.0, people + 1))
    assert np.isfinite([found.low, found.high]).all()
