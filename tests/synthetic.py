"""A made-up person: pulses and R-peaks at known times."""

import numpy as np

from onwrist.signals.people.cohort import Track
from onwrist.signals.pulse.beats import Beats


def synthetic_track(seed: int, name: str = "a300l", seconds: int = 60) -> Track:
    rng = np.random.default_rng(seed)
    r = np.cumsum(rng.uniform(0.7, 0.9, int(seconds / 0.7)))
    r = r[r < seconds - 1]
    t = np.arange(seconds * 100) / 100
    ecg = sum(np.exp(-0.5 * ((t - x) / 0.02) ** 2) for x in r)
    ppg = sum(np.exp(-0.5 * ((t - x - 0.35) / 0.12) ** 2) for x in r)
    beats = Beats(r, r + 0.25, 0.25)
    return Track(
        name,
        name,
        "train",
        "synthetic",
        ppg.astype(np.float32),
        ppg[::4].astype(np.float32),
        ecg.astype(np.float32),
        beats,
        np.zeros(len(t), bool),
    )
