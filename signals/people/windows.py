"""Where the windows of a recording lie: one cutter, one rule for gaps.

A window is inside its recording, at most a twentieth of it was made up over gaps, and something moves in it. What is labelled,
taught, judged and probed is cut by this rule. Two places have reasons for another: `models.objectives.sampler` draws windows
at random moments and stretches, as the shipped teacher was trained, and the watch, which sees a stream, has rules of its own
(`export.sources.watch_rules`).
"""

from __future__ import annotations

import numpy as np

# A window with more missing samples than this is not a window.
MAX_MISSING = 0.05


def is_window(wave: np.ndarray, missing: np.ndarray | None, first: int, length: int) -> bool:
    """Whether `length` samples from `first` on are a window of a signal (n,).

    Args:
        missing: bool (n,), samples that were interpolated; None: none were.
    """
    if first < 0 or first + length > len(wave):
        return False
    if missing is not None and missing[first : first + length].mean() > MAX_MISSING:
        return False
    return bool(np.ptp(wave[first : first + length]) > 0)


def window_starts(
    wave: np.ndarray,
    missing: np.ndarray | None,
    rate_hz: float,
    window_s: float,
    hop_s: float,
    end_s: float = np.inf,
) -> list[float]:
    """Starts (s) of the windows of a signal (n,) at `rate_hz`, one every `hop_s` where there is one.

    Args:
        end_s: that no window reaches beyond, where another signal of the recording ends before this one.
    """
    end = min(end_s, len(wave) / rate_hz)
    length = round(window_s * rate_hz)
    starts = np.arange(0.0, end - window_s + 1e-6, hop_s).tolist()
    return [s for s in starts if is_window(wave, missing, round(s * rate_hz), length)]
