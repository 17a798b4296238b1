"""A heart rate followed over time, forward only and in integers: what was said before weighs on what is said now.

    track = RateTrack()
    for rate_bpm, quality in hops:                # what a student says once a second
        found = track.push(track.of_answer(rate_bpm, quality))
        found.bpm, found.margin

Each rate on a grid keeps the best score of any way to it, as the forward half of Viterbi's algorithm: a hop may move it by
some beats a minute at a cost, and what is said now adds what speaks for each rate. Scores are plain integers, the way is not
kept, and nothing looks ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# The grid, beats a minute.
LOWEST_BPM, RATES = 30, 200
# Scores never fall further below the best one than this: what was long ago is forgotten, and int16 is enough.
FLOOR = 4000
# Two rates within this (beats a minute) are the same one when it is asked how sure the best one is.
SAME_BPM = 8


@dataclass(frozen=True)
class TrackConfig:
    """How a rate is followed.

    Attributes:
        most: beats/min that it may move in a hop. move: cost of the first of them, each more costs one more of it.
        slope: what a beat/min away from what was said costs. cap: most that it costs at a quality logit of 0, and `surer` more
            for each of the logit, never below `least`.
    """

    most: int = 4
    move: int = 6
    slope: int = 4
    cap: int = 40
    surer: int = 12
    least: int = 4


class Tracked(NamedTuple):
    """Beats/min, and by how much it is ahead of any other rate."""

    bpm: float
    margin: int


class RateTrack:
    """Follows a rate.

    Args:
        config: how.
    """

    def __init__(self, config: TrackConfig = TrackConfig()):
        self.config = config
        self.costs = [config.move * d * (d + 1) // 2 for d in range(config.most + 1)]
        self.reset()

    def reset(self) -> None:
        """Forget everything: every rate is as good as another."""
        self.scores = np.zeros(RATES, np.int32)

    def of_answer(self, bpm: float, quality: float) -> np.ndarray:
        """What a student's answer (rate, quality logit) speaks for each rate: int (200,), at most 0; nothing of NaN."""
        if not np.isfinite(bpm):
            return np.zeros(RATES, np.int32)
        c = self.config
        cap = max(c.least, c.cap + round(c.surer * float(np.clip(quality, -16, 16))))
        away = np.abs(np.arange(RATES) - round(bpm - LOWEST_BPM))
        return -np.minimum(c.slope * away, cap).astype(np.int32)

    def push(self, evidence: np.ndarray) -> Tracked:
        """One hop: int (200,) of what speaks for each rate."""
        padded = np.pad(self.scores, self.config.most, constant_values=-FLOOR)
        ways = [
            padded[self.config.most + d : self.config.most + d + RATES] - self.costs[abs(d)]
            for d in range(-self.config.most, self.config.most + 1)
        ]
        scores = np.max(ways, axis=0) + evidence
        self.scores = np.maximum(scores - scores.max(), -FLOOR).astype(np.int32)
        best = int(np.argmax(self.scores))
        others = np.abs(np.arange(RATES) - best) > SAME_BPM
        return Tracked(float(LOWEST_BPM + best), int(-self.scores[others].max()))


def tracked(bpm: np.ndarray, quality: np.ndarray, config: TrackConfig = TrackConfig()) -> np.ndarray:
    """What a student says over hops, (n,) beats/min and (n,) quality logit, followed: (n, 2), beats/min and margin."""
    track = RateTrack(config)
    return np.array([track.push(track.of_answer(r, q)) for r, q in zip(bpm, quality, strict=True)]).reshape(-1, 2)
