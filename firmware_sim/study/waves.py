"""The raw light of a study's worst stretches, out of the recordings once more."""

from __future__ import annotations

from typing import Any

import numpy as np

from onwrist.errors import OnwristError
from onwrist.firmware_sim.study.figures import STRETCH_S
from onwrist.firmware_sim.study.part import recordings_of
from onwrist.firmware_sim.study.plan import Plan, Source
from onwrist.firmware_sim.study.store import at_hand

NOTHING = np.zeros((2, 0))


def raw_waves(plan: Plan, stretches: list[dict[str, Any]]) -> list[np.ndarray]:
    """Each stretch as (2, n): seconds from the start of the recording, and its PPG in the file's own units; NaN where the
    recording has no sample. Empty where it cannot be read again: the study's rows stand without it."""
    found = [NOTHING] * len(stretches)
    for source in (s for part in plan.parts for s in part):
        wanted = [i for i, stretch in enumerate(stretches) if _is_of(stretch["recording"], source)]
        if wanted:
            _read(plan, source, stretches, wanted, found)
    return found


def _is_of(recording: str, source: Source) -> bool:
    """A file of many recordings gives each a name of its own behind the file's."""
    return recording == source.name or recording.startswith(source.name + "/")


def _read(
    plan: Plan, source: Source, stretches: list[dict[str, Any]], wanted: list[int], found: list[np.ndarray]
) -> None:
    try:
        with at_hand(source.url) as path:
            for name, recording in recordings_of(path, source.name, plan.setting):
                for i in (i for i in wanted if stretches[i]["recording"] == name):
                    rate, begin = recording.ppg.rate_hz, stretches[i]["begin_s"]
                    samples = recording.ppg.samples[int(begin * rate) : int((begin + STRETCH_S) * rate)]
                    found[i] = np.stack([begin + np.arange(len(samples)) / rate, samples.astype(np.float64)])
    except (OnwristError, OSError):
        return
