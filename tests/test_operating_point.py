"""The rule by which thresholds are chosen, on answers whose right threshold is known."""

import numpy as np

from onwrist.models.student.network import ANSWERS
from onwrist.models.student.outputs import LOGIT_SPAN
from onwrist.quantize.judging.answers import Judged
from onwrist.quantize.judging.operating_point import in_words, operating_point

EACH = 100


def people(quality, irregular):
    """A hundred windows of each rhythm, from name -> logits (100,)."""
    names = ["AF", "PAC", "PVC", "SR"]
    rhythm = np.repeat(names, EACH)
    answers = np.zeros((len(rhythm), len(ANSWERS)), np.float32)
    answers[:, ANSWERS.index("quality")] = np.concatenate([quality[n] for n in names]) / LOGIT_SPAN
    answers[:, ANSWERS.index("irregular")] = np.concatenate([irregular[n] for n in names]) / LOGIT_SPAN
    nothing = np.zeros((len(rhythm), 1))
    return Judged(nothing, rhythm, nothing[:, 0], rhythm), answers


def test_as_strict_as_the_rarest_rhythm_allows_and_as_kind_as_an_even_heart():
    good = np.linspace(-1.0, 3.0, EACH)
    quality = {"AF": good - 1.0, "PAC": good, "PVC": good, "SR": np.full(EACH, 5.0)}
    irregular = {
        "AF": np.full(EACH, 2.0),
        "PAC": np.full(EACH, 2.0),
        "PVC": np.full(EACH, 2.0),
        "SR": np.linspace(-3, 1.0, EACH),
    }
    found = operating_point(*people(quality, irregular))
    # 80 % of -2 ... 2 lie above -1.2, 99 % of -3 ... 1 below 0.96; in steps of 0.25.
    assert (found.quality_at, found.irregular_at) == (-1.25, 1.0)
    assert found.shown["AF"] >= 0.8
    assert found.flagged == {"AF": 1.0, "PAC": 1.0, "PVC": 1.0, "SR": 0.0}
    assert in_words(found).startswith("--quality-at -1.25 --irregular-at 1: AF")


def test_without_a_step_that_keeps_every_share_there_is_no_point():
    flat = dict.fromkeys(("AF", "PAC", "PVC", "SR"), np.full(EACH, -9.0))
    assert operating_point(*people(flat, flat)) is None
    assert "no operating point" in in_words(None)
