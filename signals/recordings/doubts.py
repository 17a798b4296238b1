"""What is looked at in every recording after it was read: no signal at all, upside down, clipped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.pulse.clean import WINDOW_S
from onwrist.signals.pulse.polarity import upside_down
from onwrist.signals.recordings.recording import Recording

# What programs write for a sample that is missing, where it lies this many times the others' range from all of them.
MARKS = (*(s * v for v in (99, 999, 9999, 99999, 999999) for s in (-1, 1)), -1, -32768, 32767, 65535, -(2**31))
MARK_RANGES = 5.0
# Real pulses touch their own maximum once; a converter at its rail stays there.
CLIPPED_SHARE = 0.1


def judged(recording: Recording, invert: bool = False) -> Recording:
    """The recording, turned if asked for, with notices on what is odd in its PPG.

    Raises:
        RecordingError: every sample of a window's length or more has the same value.
    """
    ppg = recording.ppg
    notices = list(recording.notices)
    samples = _without_marks(ppg.samples, ppg.name, notices) if ppg.offset == 0 else ppg.samples
    if samples is not ppg.samples:
        recording = replace(recording, ppg=(ppg := replace(ppg, samples=samples)))
    known = np.isfinite(ppg.samples)
    present = ppg.samples if known.all() else ppg.samples[known]
    if recording.seconds >= WINDOW_S and present.min() == present.max():
        raise RecordingError(
            f"every sample is {present[0] + ppg.offset:g}: there is no signal", where=recording.source, field=ppg.name,
            cure="Choose another channel, or check the sensor",
        )  # fmt: skip
    if recording.ecg is not None and not np.isfinite(recording.ecg.samples).any():
        notices.append(f"'{recording.ecg.name}' has no samples and is left out")
        recording = replace(recording, ecg=None)
    if invert:
        recording = replace(recording, ppg=replace(ppg, samples=-ppg.samples, offset=-ppg.offset))
    for value, word in ((present.max(), "highest"), (present.min(), "lowest")):
        share = float(np.mean(present == value))
        if share > CLIPPED_SHARE:
            notices.append(
                f"{100 * share:.0f} % of '{ppg.name}' are at its {word} value ({value + ppg.offset:g}): clipped"
            )
    if upside_down(recording.ppg.samples, ppg.rate_hz):
        cure = "leave invert (--invert) out" if invert else "use invert (--invert)"
        notices.append(f"the pulse in '{ppg.name}' seems to be upside down: {cure} if it is")
    return replace(recording, notices=tuple(notices)) if tuple(notices) != recording.notices else recording


def _without_marks(samples: np.ndarray, name: str, notices: list[str]) -> np.ndarray:
    """The samples with NaN where a number stands for a missing one (-9999); the same array where none does."""
    low, high = np.nanmin(samples), np.nanmax(samples)
    for value in (low, high):
        if float(value) not in MARKS:
            continue
        here = samples == value
        others = samples[~here & np.isfinite(samples)]
        if len(others) == 0:
            continue
        nearest = min(abs(float(others.min()) - float(value)), abs(float(others.max()) - float(value)))
        if nearest > MARK_RANGES * max(float(np.ptp(others)), 1e-6 * abs(float(value))) > 0:
            notices.append(
                f"{np.mean(here):.1%} of '{name}' are {value:g}, far from all others: a mark for missing samples, read as such"
            )
            samples = np.where(here, np.float32(np.nan), samples)
    return samples
