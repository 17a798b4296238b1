"""Every gate can fail, and the verdict is the worst of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.gates import (
    EXACT,
    LIMITS,
    Agreement,
    Gate,
    agreement,
    budget_gates,
    byte_gate,
    cohort_gates,
    cosine_gate,
    embedding_gates,
    front_end_gates,
    judge_cohort,
    stored_path,
    verdict,
)
from onwrist.signals.front_end.fixed import FrontEndParity


def test_one_wrong_byte_fails_the_gate():
    rng = np.random.default_rng(0)
    good = rng.integers(-128, 128, (10, 256)).astype(np.int8), rng.integers(-128, 128, (10, 3)).astype(np.int8)
    wrong = (good[0].copy(), good[1])
    wrong[0][3, 7] ^= 1
    rows = [agreement(good, good, n) for n in EXACT[:-1]]
    assert byte_gate([*rows, agreement(good, good, EXACT[-1])], 10).passed
    broken = agreement(good, wrong, EXACT[-1])
    assert broken.largest == 1
    assert not byte_gate([*rows, broken], 10).passed
    assert not byte_gate(rows, 10).passed  # a runtime that was not run proves nothing


def test_largest_difference_is_seen_across_the_sign():
    a = np.full((1, 256), -128, np.int8), np.zeros((1, 3), np.int8)
    b = np.full((1, 256), 127, np.int8), np.zeros((1, 3), np.int8)
    assert agreement(a, b, "x").largest == 255


def test_cosine_and_budget_gates_fail(artifacts):
    assert cosine_gate(0.9995, "x").passed
    assert not cosine_gate(0.998, "x").passed
    assert not cosine_gate(float("nan"), "x").passed
    fat = replace(Deployed(artifacts).memory, model=10**6, step=10**6, activations=10**6, step_activations=10**6)
    assert not any(g.passed for g in budget_gates(artifacts.size, fat)[:4])
    poor = FrontEndParity(30.0, 42.0, 0.5, 7)
    assert not any(g.passed for g in front_end_gates(poor))


def cohort_result(low: float = -0.001, high: float = 0.001, bpm: float = 0.05) -> dict:
    auroc = {"reference": 0.9, "other": 0.9, "difference": (0.0, low, high), "windows": 10}
    rate = {"reference": 3.0, "other": 3.05, "difference": (bpm, 0.0, 0.1), "windows": 10}
    return {
        "cosine": {"median": 0.9999, "worst": 0.999, "below_0.99": 0},
        "quality": auroc,
        "irregular": auroc,
        "heart_rate": rate,
    }


def test_cohort_gates_need_the_whole_interval_and_the_same_model():
    assert all(g.passed for g in cohort_gates(cohort_result(), "measured", ""))
    assert not all(g.passed for g in cohort_gates(cohort_result(high=0.006), "measured", ""))
    assert not all(g.passed for g in cohort_gates(cohort_result(bpm=0.2), "measured", ""))
    assert not any(g.passed for g in cohort_gates(cohort_result(), "stored", "", current=False))
    few = [
        g for g in cohort_gates(cohort_result(low=float("nan"), high=float("nan")), "measured", "") if "AUROC" in g.name
    ]
    assert not any(g.passed for g in few)
    assert all("too few people" in g.value for g in few)


def test_stored_results_are_of_the_shipped_integers(artifacts, monkeypatch, tmp_path):
    stored = json.loads(stored_path(artifacts.size).read_text())
    assert stored["digest"] == artifacts.model.digest()
    monkeypatch.setenv("ONWRIST_DATA", str(tmp_path))
    gates = judge_cohort(artifacts)
    assert {g.source for g in gates} == {"stored"}
    assert stored["date"] in gates[0].detail


def test_cohort_gates_are_measured_where_the_cohort_is(artifacts, cohort_root):
    from onwrist.firmware_sim.parity.gates import cohort_comparison
    from onwrist.quantize.judging.evaluate import evaluation

    found = cohort_comparison(artifacts, evaluation(artifacts.student.config.context, cohort_root))
    stored = json.loads(stored_path(artifacts.size).read_text())["result"]
    assert found["windows"] == stored["windows"]
    assert found["cosine"]["median"] == pytest.approx(stored["cosine"]["median"], abs=1e-5)
    for name in ("quality", "irregular", "heart_rate"):
        assert found[name]["other"] == pytest.approx(stored[name]["other"], abs=2e-3)


def test_agreement_is_plain_data():
    assert Agreement("a", 1.0, 0, (1,), 1.0, 1.0).runtime == "a"


def test_the_worst_embedding_is_judged_by_its_length_and_only_where_it_is_shown():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 256))
    close = real + 0.01 * rng.normal(size=real.shape)
    shown = np.ones(200, bool)
    assert all(g.passed for g in embedding_gates(close, real, shown))
    # An output next to the origin: its cosine is anything, its error is as small as the others'.
    real[7] *= 0.01
    close[7] = real[7] + 0.01 * rng.normal(size=256)
    assert all(g.passed for g in embedding_gates(close, real, shown))
    off = close.copy()
    off[3] += 1.5 * LIMITS.worst_error * real[3]
    assert [g.passed for g in embedding_gates(off, real, shown)] == [True, False]
    shown[3] = False
    assert all(g.passed for g in embedding_gates(off, real, shown))
    turned = real + 2 * LIMITS.usual_error * rng.normal(size=real.shape)
    assert [g.passed for g in embedding_gates(turned, real, shown)] == [False, True]
    assert all(g.passed for g in embedding_gates(1.04 * real, real, shown))  # a common factor is no other embedding
    assert not any(g.passed for g in embedding_gates(np.full_like(real, np.nan), real, shown))
    assert {g.word for g in embedding_gates(close, real, np.zeros(200, bool))} == {"not judged"}


def test_a_verdict_is_the_worst_gate_in_words():
    good, bad = Gate("a", "1", "1", True), Gate("b", "<= 2", "3", False)
    poor, unknown = (
        Gate("c", ">= 4", "1", False, severity="warn"),
        Gate("d", "1", "not judged: none", True, judged=False),
    )
    assert verdict([good]) == ("PASS", "")
    assert verdict([good, unknown]) == ("PASS", "d: not judged: none")
    assert verdict([good, poor, unknown])[0] == "WARN"
    word, why = verdict([good, poor, bad])
    assert word == "FAIL"
    assert "b: 3 (asked: <= 2)" in why
    assert verdict([])[0] == "FAIL"
