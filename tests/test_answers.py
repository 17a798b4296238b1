"""What students say is judged by bin of true rate and by rhythm; figures come from the rows that they claim."""

import numpy as np
import pytest

from onwrist.models.student.network import ANSWERS, HEART_RATE_CENTRE, HEART_RATE_SPAN
from onwrist.quantize.judging.answers import (
    Judged,
    agreed_rate,
    by_rate,
    by_rhythm,
    half_of,
    judge,
    risk_coverage,
    said,
    text,
)
from onwrist.signals.people.split import group_of


def answers(rate, quality, irregular):
    columns = {"heart_rate": (np.asarray(rate) - HEART_RATE_CENTRE) / HEART_RATE_SPAN}
    columns |= {"quality": np.asarray(quality), "irregular": np.asarray(irregular)}
    return np.stack([columns[name] for name in ANSWERS], axis=1).astype(np.float32)


@pytest.fixture
def people() -> Judged:
    rate = np.r_[np.full(10, 60.0), np.full(10, 210.0), np.full(4, np.nan)]
    return Judged(
        np.zeros((24, 400)), np.repeat(["a", "b", "c"], (10, 10, 4)), rate, np.repeat(["SR", "VT", ""], (10, 10, 4))
    )


def test_a_rate_counts_where_pulses_and_spectrum_agree():
    t = np.arange(1000) / 100
    assert agreed_rate(np.sin(2 * np.pi * 3.3 * t)) == pytest.approx(198, rel=0.02)
    assert np.isnan(agreed_rate(np.random.default_rng(0).normal(size=1000)))
    assert np.isnan(agreed_rate(np.zeros(1000)))


def test_bins_hold_bias_and_error_of_what_is_shown(people):
    given = said(
        answers(
            np.r_[np.full(10, 62.0), np.full(10, 180.0), np.full(4, 90.0)], np.r_[np.ones(15), -np.ones(9)], np.ones(24)
        )
    )
    bins = by_rate(people, given)
    assert set(bins) == {"50-70", "200-230"}
    assert bins["50-70"]["bias_shown"] == pytest.approx(2, abs=1e-3)
    assert bins["200-230"]["mae_all"] == pytest.approx(30, abs=1e-3)
    assert bins["200-230"]["shown"] == 0.5


def test_rhythms_hold_shares_of_what_is_shown(people):
    given = said(
        answers(np.full(24, 60.0), np.r_[np.ones(5), -np.ones(5), np.ones(14)], np.r_[-np.ones(10), np.ones(14)])
    )
    found = by_rhythm(people, given)
    assert set(found) == {"SR", "VT"}
    assert (found["SR"]["shown_of_all"], found["SR"]["flagged"]) == (0.5, 0)
    assert (found["VT"]["shown_of_all"], found["VT"]["flagged"]) == (1, 1)


def test_nothing_shown_is_no_figure(people):
    bins = by_rate(people, said(answers(np.full(24, 60.0), -np.ones(24), np.ones(24))))
    assert bins["50-70"]["mae_shown"] is None
    assert bins["50-70"]["shown"] == 0


def test_the_surest_windows_come_first(people):
    given = answers(np.r_[np.full(10, 60.0), np.full(14, 100.0)], np.r_[np.ones(10), np.zeros(14)], np.zeros(24))
    curve = risk_coverage(people, given, np.ones(24, bool))
    assert curve["0.5"] == pytest.approx(0, abs=1e-3)
    assert curve["0.9"] > 40


def test_students_side_by_side(people):
    found = {
        n: judge(lambda w, r=r: answers(np.full(len(w.x), r), np.ones(len(w.x)), np.ones(len(w.x))), {"some": people})
        for n, r in (("a", 60.0), ("b", 200.0))
    }
    table = text(found)
    assert "| true rate | a:" in table
    assert "+0.0, 0.0; 0.0; 100%" in table
    assert "-10.0, 10.0; 10.0; 100%" in table


def test_halves_share_nobody_and_neighbours_stay_together():
    names = np.array([f"a{n}s" for n in range(200, 300, 7)] + [f"bidmc_{n:02}" for n in range(1, 9)]).repeat(2)
    everyone = Judged(np.arange(len(names))[:, None], names, np.zeros(len(names)), np.full(len(names), ""))
    even, odd = (half_of(everyone, half) for half in ("even", "odd"))
    assert sorted([*even.x[:, 0], *odd.x[:, 0]]) == list(range(len(names)))
    assert {group_of(p) for p in even.person}.isdisjoint({group_of(p) for p in odd.person})
    assert half_of(everyone, "all") is everyone
