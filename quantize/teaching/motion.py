"""Motion as a wrist sensor sees it: steps, which are a second even rhythm, and the acceleration of daily life.

Both are put onto a pulse whose rate is known, so that the truth stays known: a student learns which of two rhythms the
heart is, and when that can no longer be told.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, sosfiltfilt

from onwrist.signals.front_end.floating import STUDENT_RATE_HZ
from onwrist.signals.pulse.clean import resample
from onwrist.signals.recordings.recording import Channel

# Steps a second from a stroll to a sprint; the arm swings at half of it. Some of them close to the heart's rate or its
# half, which is where they are taken for it. A heart follows its legs: never more than MOST_STEPS to a beat. Steps at the
# double of the heart would teach that a fast pulse is a slow one beside steps (tried: 180/min became 134).
STEPS_HZ = (1.0, 3.3)
NEAR_HEART_SHARE, NEAR_HEART, MOST_STEPS = 0.35, 0.15, 1.5
# Slow drift of the cadence, and of the strength of the artefact, over this time.
DRIFT_S, CADENCE_DRIFT, STRENGTH_DRIFT = 8.0, 0.04, 0.3
# Phase strays by this much of a step in a second.
STRAY = 0.03
# Most strength of arm swing, steps and their overtones, as multiples of the step.
PARTS = {0.5: 1.2, 1.0: 1.0, 1.5: 0.3, 2.0: 0.6, 3.0: 0.25}
# Bouts of motion and their strength, times the pulse's spread.
BOUT_S, SHORTEST_S, LONGEST_S = 45.0, 12.0, 180.0
STRENGTH = (0.2, 4.0)
# Share of versions with bouts, of a version's time in one, and of bouts that are steps.
MOVING_SHARE, BOUT_SHARE, STEPS_SHARE = 0.5, 0.5, 0.75
# Spread of acceleration (g) from which a stretch is motion.
LEAST_G = 0.03


def steps(count: int, rate_hz: float, rng: np.random.Generator, heart_hz: float = float("nan")) -> np.ndarray:
    """What steps add to a PPG: (count,) of unit spread.

    Args:
        heart_hz: beats a second; some of the cadences are near it or its half. NaN where unknown.
    """
    slowest, fastest = STEPS_HZ
    if np.isfinite(heart_hz):
        fastest = float(np.clip(MOST_STEPS * heart_hz, slowest, fastest))
    cadence = rng.uniform(slowest, fastest)
    if np.isfinite(heart_hz) and rng.random() < NEAR_HEART_SHARE:
        near = heart_hz * rng.choice([0.5, 1.0, 1.0]) * rng.uniform(1 - NEAR_HEART, 1 + NEAR_HEART)
        cadence = float(np.clip(near, slowest, fastest))
    speed = cadence * (1 + CADENCE_DRIFT * _slow(count, rate_hz, rng))
    stray = np.cumsum(rng.standard_normal(count)) * STRAY / np.sqrt(rate_hz)
    phase = 2 * np.pi * (np.cumsum(speed) / rate_hz + stray)
    wave = np.zeros(count)
    for multiple, most in PARTS.items():
        strength = most if multiple == 1.0 else rng.uniform(0, most) * (rng.random() < 0.7)
        wave += strength * np.cos(multiple * phase + rng.uniform(0, 2 * np.pi))
    return _unit(wave * np.exp(STRENGTH_DRIFT * _slow(count, rate_hz, rng)))


def accelerations(channels: Sequence[Channel | None]) -> list[np.ndarray]:
    """Acceleration of people in daily life, (n, 3) g at 25 Hz, 0.5 to 8 Hz, ready for `shaken`."""
    found = []
    for channel in channels:
        if channel is not None and channel.units == "g":
            at = np.stack([resample(axis, channel.rate_hz, STUDENT_RATE_HZ) for axis in channel.samples.T], axis=1)
            band = butter(2, (0.5, 8.0), "bandpass", fs=STUDENT_RATE_HZ, output="sos")
            found.append(sosfiltfilt(band, at, axis=0).astype(np.float32))
    return found


def shaken(
    count: int, rate_hz: float, rng: np.random.Generator, sources: Sequence[np.ndarray], tries: int = 20
) -> np.ndarray | None:
    """Acceleration of one of `sources` along one direction, (count,) of unit spread; None if none of `tries` moves."""
    length = int(count / rate_hz * STUDENT_RATE_HZ) + 2
    for _ in range(tries):
        source = sources[int(rng.integers(len(sources)))]
        if length >= len(source):
            continue
        first = rng.integers(0, len(source) - length)
        direction = rng.standard_normal(3)
        wave = source[first : first + length] @ (direction / np.linalg.norm(direction))
        if wave.std() > LEAST_G:
            return _unit(np.interp(np.arange(count) / rate_hz, np.arange(length) / STUDENT_RATE_HZ, wave))
    return None


def bouts(
    count: int, rate_hz: float, rng: np.random.Generator, sources: Sequence[np.ndarray], heart_hz: float = float("nan")
) -> np.ndarray:
    """Bouts of steps and of other motion over a recording: (count,), in units of the pulse's spread.

    Args:
        sources: what `accelerations` found; without any, every bout is steps.
    """
    motion = np.zeros(count)
    if rng.random() > MOVING_SHARE:
        return motion
    at = 0
    while at < count:
        seconds = float(np.clip(rng.exponential(BOUT_S), SHORTEST_S, LONGEST_S))
        length = min(count - at, int(seconds * rate_hz))
        if rng.random() < BOUT_SHARE and length > rate_hz:
            wave = None
            if sources and rng.random() > STEPS_SHARE:
                wave = shaken(length, rate_hz, rng, sources)
            if wave is None:
                wave = steps(length, rate_hz, rng, heart_hz)
            ramp = np.minimum(1.0, np.minimum(np.arange(length), np.arange(length)[::-1]) / rate_hz)
            motion[at : at + length] = wave * ramp * np.exp(rng.uniform(*np.log(STRENGTH)))
        at += length
    return motion


def _slow(count: int, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    knots = max(4, int(count / rate_hz / DRIFT_S) + 1)
    return np.interp(np.arange(count), np.linspace(0, count, knots), rng.standard_normal(knots))


def _unit(wave: np.ndarray) -> np.ndarray:
    return wave / (float(wave.std()) + 1e-9)
