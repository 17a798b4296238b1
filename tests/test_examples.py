"""What examples are made of: a window without a pulse teaches that it is bad, and nothing else."""

from dataclasses import replace

import numpy as np

from onwrist.models.student.outputs import ANSWERS
from onwrist.quantize.teaching.examples import _examples
from onwrist.signals.people.cohort import cut, prepare
from onwrist.signals.recordings.readers import read_recording


def test_a_constant_window_weighs_nothing_and_is_bad(recordings):
    track = prepare(read_recording(recordings / "bidmc_05.npz"), "bidmc_05", "bidmc")
    clean = track.student
    # Of 0.1 the mean is not 0.1 in single precision: its spread is rounding, and its correlation with anything NaN.
    still = clean.copy()
    still[25 * 60 : 25 * 75] = 0.1
    cohort = cut([replace(track, student=still)], 5.0)
    labels = np.stack([cohort.labels[{"heart_rate": "hr"}.get(name, name)] for name in ANSWERS], axis=1)
    nothing, frames = np.zeros((len(cohort), 4), np.float32), np.zeros((*labels.shape, 0), np.float32)
    made = _examples(cohort, [clean], 0, nothing, labels.copy(), frames, ANSWERS.index("quality"), False)
    inside = (cohort.start_s >= 60) & (cohort.start_s + 10 <= 75)
    assert inside.any()
    assert np.isfinite(made.weight).all()
    assert not made.weight[inside].any()
    assert (made.labels[inside, ANSWERS.index("quality")] == 0.0).all()
    assert np.isnan(made.labels[inside, ANSWERS.index("heart_rate")]).all()
    whole = (cohort.start_s + 10 <= 60) & (labels[:, ANSWERS.index("quality")] == 1.0)
    assert (made.weight[whole] == 1.0).all()
