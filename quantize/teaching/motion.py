"""Motion as a wrist sensor sees it: steps, which are a second even rhythm, and the acceleration of daily life.

Both are put onto a pulse whose rate is known, so that the truth stays known: a student learns which of two rhythms the
heart is, and when that can no longer be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt, sosfiltfilt

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
# With an accelerometer: who moves is seen, so that steps may be twice as fast as the heart, and there may be more of them.
FELT_MOST_STEPS, FELT_MOVING_SHARE = 2.5, 0.75
# Spread (g, three axes together) of made steps, from a stroll with a still arm to a run; strength of what each axis feels of
# them, as multiples of the step: heels are harder than a pulse.
FELT_G = (0.05, 1.5)
FELT_PARTS = {0.5: 1.0, 1.0: 1.0, 1.5: 0.3, 2.0: 1.0, 3.0: 0.6, 4.0: 0.4}
# Share of bouts that are felt and leave the light alone, as under a tight strap.
SPARED_SHARE = 0.15
# What makes light of acceleration: a band-pass of these edges (Hz), and up to so much of its square.
COUPLED_LOW_HZ, COUPLED_HIGH_HZ, COUPLED_SQUARE = (0.4, 1.5), (2.5, 7.0), 0.5


@dataclass(frozen=True)
class Moved:
    """Motion of a wrist, both of one cause.

    Attributes:
        light: (n,) what it adds to a PPG, in units of the pulse's spread. acceleration: (n, 3) g, without gravity; None where
            nobody asked.
    """

    light: np.ndarray
    acceleration: np.ndarray | None = None


def steps(
    count: int, rate_hz: float, rng: np.random.Generator, heart_hz: float = float("nan"), *, felt: bool = False
) -> Moved:
    """Steps, of unit spread in the light.

    Args:
        heart_hz: beats a second; some of the cadences are near it or its half. NaN where unknown.
        felt: their acceleration too. Light and each axis have the steps' overtones in strengths and phases of their own: what
            any filter would make of one another.
    """
    slowest, fastest = STEPS_HZ
    if np.isfinite(heart_hz):
        fastest = float(np.clip((FELT_MOST_STEPS if felt else MOST_STEPS) * heart_hz, slowest, fastest))
    cadence = rng.uniform(slowest, fastest)
    if np.isfinite(heart_hz) and rng.random() < NEAR_HEART_SHARE:
        near = heart_hz * rng.choice([0.5, 1.0, 1.0]) * rng.uniform(1 - NEAR_HEART, 1 + NEAR_HEART)
        cadence = float(np.clip(near, slowest, fastest))
    speed = cadence * (1 + CADENCE_DRIFT * _slow(count, rate_hz, rng))
    stray = np.cumsum(rng.standard_normal(count)) * STRAY / np.sqrt(rate_hz)
    phase = 2 * np.pi * (np.cumsum(speed) / rate_hz + stray)
    wave = _overtones(phase, PARTS, rng)
    light = _unit(wave * np.exp(STRENGTH_DRIFT * _slow(count, rate_hz, rng)))
    if not felt:
        return Moved(light)
    axes = np.stack([rng.uniform(0.2, 1.0) * _overtones(phase, FELT_PARTS, rng) for _ in range(3)], axis=1)
    axes *= np.exp(STRENGTH_DRIFT * _slow(count, rate_hz, rng))[:, None]
    level = float(np.exp(rng.uniform(*np.log(FELT_G))))
    return Moved(light, level * axes / (float(np.sqrt(np.sum(axes.std(axis=0) ** 2))) + 1e-9))


def _overtones(phase: np.ndarray, parts: dict[float, float], rng: np.random.Generator) -> np.ndarray:
    wave = np.zeros(len(phase))
    for multiple, most in parts.items():
        strength = most if multiple == 1.0 else rng.uniform(0, most) * (rng.random() < 0.7)
        wave += strength * np.cos(multiple * phase + rng.uniform(0, 2 * np.pi))
    return wave


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
    count: int,
    rate_hz: float,
    rng: np.random.Generator,
    sources: Sequence[np.ndarray],
    tries: int = 20,
    *,
    felt: bool = False,
) -> Moved | None:
    """Acceleration of one of `sources` along one direction, in the light of unit spread; None if none of `tries` moves.

    Args:
        felt: the acceleration itself too, and in the light what `coupled` makes of it.
    """
    length = int(count / rate_hz * STUDENT_RATE_HZ) + 2
    for _ in range(tries):
        source = sources[int(rng.integers(len(sources)))]
        if length >= len(source):
            continue
        first = rng.integers(0, len(source) - length)
        direction = rng.standard_normal(3)
        wave = source[first : first + length] @ (direction / np.linalg.norm(direction))
        if wave.std() > LEAST_G:
            at, grid = np.arange(count) / rate_hz, np.arange(length) / STUDENT_RATE_HZ
            if not felt:
                return Moved(_unit(np.interp(at, grid, wave)))
            axes = np.stack([np.interp(at, grid, axis) for axis in source[first : first + length].T], axis=1)
            return Moved(coupled(axes, rate_hz, rng), axes)
    return None


def coupled(acceleration: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """What acceleration (n, 3) does to the light: (n,) of unit spread, filtered along a direction, some of it squared.

    A filter of second order drawn by chance, causal as the tissue is.
    """
    direction = rng.standard_normal(3)
    along = acceleration @ (direction / np.linalg.norm(direction))
    along = along + rng.uniform(0, COUPLED_SQUARE) * along**2 / (float(along.std()) + 1e-9)
    edges = rng.uniform(*COUPLED_LOW_HZ), rng.uniform(*COUPLED_HIGH_HZ)
    return _unit(sosfilt(butter(1, edges, "bandpass", fs=rate_hz, output="sos"), along - along.mean()))


def bouts(
    count: int,
    rate_hz: float,
    rng: np.random.Generator,
    sources: Sequence[np.ndarray],
    heart_hz: float = float("nan"),
    *,
    felt: bool = False,
) -> Moved:
    """Bouts of steps and of other motion over a recording of `count` samples.

    Args:
        sources: what `accelerations` found; without any, every bout is steps.
        felt: their acceleration too; a bout may then leave the light alone.
    """
    light, acceleration = np.zeros(count), np.zeros((count, 3)) if felt else None
    if rng.random() > (FELT_MOVING_SHARE if felt else MOVING_SHARE):
        return Moved(light, acceleration)
    at = 0
    while at < count:
        seconds = float(np.clip(rng.exponential(BOUT_S), SHORTEST_S, LONGEST_S))
        length = min(count - at, int(seconds * rate_hz))
        if rng.random() < BOUT_SHARE and length > rate_hz:
            moved = None
            if sources and rng.random() > STEPS_SHARE:
                moved = shaken(length, rate_hz, rng, sources, felt=felt)
            if moved is None:
                moved = steps(length, rate_hz, rng, heart_hz, felt=felt)
            ramp = np.minimum(1.0, np.minimum(np.arange(length), np.arange(length)[::-1]) / rate_hz)
            strength = float(np.exp(rng.uniform(*np.log(STRENGTH))))
            if acceleration is not None and moved.acceleration is not None:
                acceleration[at : at + length] = moved.acceleration * ramp[:, None]
                strength *= rng.random() > SPARED_SHARE
            light[at : at + length] = moved.light * ramp * strength
        at += length
    return Moved(light, acceleration)


def _slow(count: int, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    knots = max(4, int(count / rate_hz / DRIFT_S) + 1)
    return np.interp(np.arange(count), np.linspace(0, count, knots), rng.standard_normal(knots))


def _unit(wave: np.ndarray) -> np.ndarray:
    return wave / (float(wave.std()) + 1e-9)
