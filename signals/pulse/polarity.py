"""Which way up a pulse is. Blood absorbs light: a raw photodiode current falls with every beat and has to be turned."""

from __future__ import annotations

import numpy as np
from scipy.stats import skew

from onwrist.signals.pulse.clean import WINDOW_S, clean_ppg, fill_gaps

# A pulse rises fast and falls slowly, so its slope leans to the right: skewness per 10-s window is 0.8 to 1.5 in most
# upright sets; none of the eleven recordings that ship falls below -0.25 in the median (a test holds that).
UPSIDE_DOWN_SKEW = -0.25
# And most windows agree; in pure noise half of them do.
UPSIDE_DOWN_SHARE = 0.66
# Enough windows to judge a day by.
MAX_WINDOWS = 60
MIN_WINDOWS = 3


def upside_down(samples: np.ndarray, rate_hz: float) -> bool | None:
    """Whether the pulses of a PPG (n,) point down; None where too little signal is there to tell.

    The direction of the steeper slope decides, over up to 60 windows of 10 s spread over the recording.
    """
    length = int(WINDOW_S * rate_hz)
    count = len(samples) // length if length > 0 else 0
    slopes = []
    for i in np.unique(np.linspace(0, count - 1, min(count, MAX_WINDOWS)).astype(int)) if count else ():
        window = np.asarray(samples[i * length : (i + 1) * length], np.float64)
        if not np.isfinite(window).all() or np.ptp(window) == 0:
            continue
        slope = np.diff(clean_ppg(fill_gaps(window - window.mean()), rate_hz))
        if np.ptp(slope) > 0:
            slopes.append(float(skew(slope)))
    if len(slopes) < MIN_WINDOWS:
        return None
    return bool(np.median(slopes) < UPSIDE_DOWN_SKEW and np.mean(np.array(slopes) < 0) >= UPSIDE_DOWN_SHARE)
