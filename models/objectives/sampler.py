"""Windows for pretraining, drawn at random times from training people, so that no two epochs see the same cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from onwrist.errors import ConfigError, RecordingError
from onwrist.models.objectives.base import Batch
from onwrist.models.objectives.rhythm import BINS, TARGETS, beat_map, targets
from onwrist.signals.people.cohort import COMMON_DELAY_S, Track
from onwrist.signals.people.split import challenge_number
from onwrist.signals.pulse.beats import Beats, agreement
from onwrist.signals.pulse.clean import TEACHER_RATE_HZ, WINDOW_S, min_max

SAMPLES = int(WINDOW_S * TEACHER_RATE_HZ)
# Log of the time stretch of a disturbed window: most are played at about their own speed, the others so that a resting
# pulse of 80 becomes anything from 44 to 200: without them nobody's heart beats above 150.
USUAL_STRETCH, WIDE_STRETCH, WIDE_SHARE = 0.25, (-0.6, 0.92), 0.4
# Validation people, inside the training role: one block of record numbers, with the neighbour gap around it.
VALIDATION_NUMBERS = range(400, 450)
VALIDATION_GAP = 8
# Reconstruction is only asked for where the pulse follows the ECG.
RECONSTRUCT_RECALL = 0.6


def split_tracks(tracks: list[Track]) -> tuple[list[Track], list[Track]]:
    """(train, validation) tracks of the training role that have ECG and a known pulse delay."""
    usable = [t for t in tracks if t.role == "train" and t.beats is not None and np.isfinite(t.beats.delay_s)]
    numbers = {t.name: challenge_number(t.name) or -1 for t in usable}
    near = range(VALIDATION_NUMBERS.start - VALIDATION_GAP, VALIDATION_NUMBERS.stop + VALIDATION_GAP)
    train = [t for t in usable if numbers[t.name] not in near]
    return train, [t for t in usable if numbers[t.name] in VALIDATION_NUMBERS]


def motion_of(tracks: list[Track]) -> list[np.ndarray]:
    """Wrist PPG of training people, as a store of real artefacts."""
    return [t.teacher for t in tracks if t.role == "train" and len(t.teacher) > 10 * SAMPLES]


def heart_of(track: Track) -> tuple[Beats, np.ndarray]:
    """A track's beats and its ECG.

    Raises:
        RecordingError: it has none.
    """
    if track.beats is None or track.ecg is None:
        raise RecordingError("has no ECG", where=track.name, cure="Leave it out: pretraining learns from both")
    return track.beats, track.ecg


def _stretch(rng: np.random.Generator) -> float:
    wide = rng.random() < WIDE_SHARE
    return float(np.exp(rng.uniform(*WIDE_STRETCH) if wide else rng.uniform(-USUAL_STRETCH, USUAL_STRETCH)))


class Sampler:
    """Draws batches of windows from tracks.

    Args:
        tracks: with ECG and beats.
        align: move every record's ECG to the common delay and divide it by its spread; else scale it to [-1, 1].
        motion: 100 Hz wrist PPG without a usable pulse, added as artefact; may be empty.
    """

    def __init__(self, tracks: Sequence[Track], align: bool = True, motion: Sequence[np.ndarray] = ()):
        if not tracks:
            raise ConfigError("no training recordings", field="data", cure="Point --data at the sets")
        self.tracks, self.align, self.motion = list(tracks), align, list(motion)

    def batch(self, rng: np.random.Generator, count: int, *, disturb: bool = False, pairs: bool = False) -> Batch:
        """Windows at random places of random recordings.

        Args:
            count: windows.
            disturb: stretch them in time and add noise and motion.
            pairs: rows 2i and 2i + 1 are of one person; no person comes twice while there are enough.

        Raises:
            ConfigError: an odd `count` with `pairs`; no recording has a usable window.
        """
        ppg, ecg = np.empty((count, SAMPLES), np.float32), np.empty((count, SAMPLES), np.float32)
        target, weight = np.empty((count, len(TARGETS)), np.float32), np.zeros(count, np.float32)
        beats, person = np.empty((count, BINS), np.float32), np.empty(count, np.int64)
        chosen = self._pairs(rng, count) if pairs else [None] * count
        for row in range(count):
            at, start, stretch = self._place(rng, disturb, chosen[row])
            track, person[row] = self.tracks[at], at
            ppg[row], ecg[row] = self._waves(track, start, stretch)
            end = start + WINDOW_S * stretch
            heart, _ = heart_of(track)
            target[row] = targets(heart, start, end, stretch)
            beats[row] = beat_map(heart, start, end, BINS)
            weight[row] = agreement(heart, start, end)[0] >= RECONSTRUCT_RECALL
            if disturb:
                weight[row] *= self._disturb(rng, ppg[row], target[row])
        return Batch(*map(torch.from_numpy, (min_max(ppg), ecg, person, target, beats, weight)))

    def _pairs(self, rng: np.random.Generator, count: int) -> list[int]:
        if count % 2:
            raise ConfigError(f"{count} windows are no pairs", field="batch", cure="Use an even batch")
        drawn = rng.choice(len(self.tracks), count // 2, replace=count // 2 > len(self.tracks))
        return [int(i) for i in np.repeat(drawn, 2)]

    def _place(self, rng: np.random.Generator, disturb: bool, chosen: int | None) -> tuple[int, float, float]:
        for _ in range(50):
            at = int(rng.integers(len(self.tracks))) if chosen is None else chosen
            track = self.tracks[at]
            stretch = _stretch(rng) if disturb else 1.0
            room = len(track.teacher) / TEACHER_RATE_HZ - WINDOW_S * stretch - 1.0
            if room <= 0:
                continue
            start = float(rng.uniform(0, room))
            first, last = int(start * TEACHER_RATE_HZ), int((start + WINDOW_S * stretch) * TEACHER_RATE_HZ)
            # Of its own, not `signals.people.windows`: a stretched window, and the draws of the shipped teacher's training.
            if track.missing[first:last].mean() < 0.05 and np.ptp(track.teacher[first:last]) > 0:
                return at, start, stretch
        raise ConfigError("no usable window found", field="data", cure="The recordings are too short or empty")

    def _waves(self, track: Track, start: float, stretch: float) -> tuple[np.ndarray, np.ndarray]:
        t = start * TEACHER_RATE_HZ + np.arange(SAMPLES) * stretch
        grid = np.arange(len(track.teacher))
        low, high = int(t[0]) - 1, int(t[-1]) + 2
        low = max(0, low)
        ppg = np.interp(t, grid[low:high], track.teacher[low:high])
        beats, heart = heart_of(track)
        shift = (beats.delay_s - COMMON_DELAY_S * stretch) * TEACHER_RATE_HZ if self.align else 0.0
        te = np.clip(t - shift, 0, len(heart) - 1)
        low = max(0, int(te[0]) - 1)
        ecg = np.interp(te, grid[low : int(te[-1]) + 2], heart[low : int(te[-1]) + 2])
        if not self.align:
            return ppg, min_max(ecg)
        ecg = ecg - np.median(ecg)
        return ppg, np.clip(ecg / (2.0 * ecg.std() + 1e-6), -4.0, 4.0)

    def _disturb(self, rng: np.random.Generator, ppg: np.ndarray, target: np.ndarray) -> float:
        """Noise, wander and motion, in place; returns 0 where the pulse was drowned, else 1."""
        spread = ppg.std() + 1e-9
        kind = rng.random()
        if kind < 0.4:
            return 1.0
        heavy = kind > 0.92
        level = spread * (rng.uniform(1.5, 4.0) if heavy else rng.uniform(0.02, 0.5))
        ppg += level * self._artefact(rng)
        if heavy:
            target[:] = np.nan
            target[TARGETS.index("quality")] = 0.0
        return 0.0 if heavy else 1.0

    def _artefact(self, rng: np.random.Generator) -> np.ndarray:
        if self.motion and rng.random() < 0.5:
            source = self.motion[rng.integers(len(self.motion))]
            first = rng.integers(0, len(source) - SAMPLES)
            wave = source[first : first + SAMPLES]
        else:
            knots = rng.integers(8, 200)
            wave = np.interp(np.linspace(0, 1, SAMPLES), np.linspace(0, 1, knots), rng.standard_normal(knots))
        return (wave - wave.mean()) / (wave.std() + 1e-9)
