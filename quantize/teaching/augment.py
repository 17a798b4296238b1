"""Watch-like versions of open recordings: played at other rates and rhythms, sampled as a watch does, disturbed.

Disturbances are put on the raw signal and then pass through the real front end, so that the student meets what the
filter and the running scale make of them, not a picture of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import butter, sosfiltfilt

from onwrist.quantize.teaching.motion import bouts
from onwrist.signals.front_end.acceleration import STEP_G
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ, WATCH_RATES_HZ, condition
from onwrist.signals.people.cohort import Track, steps_of
from onwrist.signals.pulse.beats import Beats, DeviceIntervals
from onwrist.signals.pulse.clean import TEACHER_RATE_HZ, clean_ppg, fill_gaps, resample, teacher_input
from onwrist.signals.recordings.recording import Recording

# Usual versions keep their rate within 0.8 to 1.25; the others get a rate drawn evenly from what the watch has to tell,
# as far as a stretch of the recording reaches it.
MAX_STRETCH = 0.22
USUAL_SHARE = 0.45
RATES_BPM, STRETCHES = (30.0, 236.0), (0.45, 3.3)
# Share of versions whose beats are given another rhythm.
FIBRILLATION_SHARE, ECTOPY_SHARE = 0.18, 0.16
# Above this a pulse loses its harmonics, and often every other beat is weaker.
FAST_BPM = 120.0
INTERVALS_S = (0.255, 2.3)
# Share of each recording's 20-s stretches that get motion.
MOTION_SHARE = 0.35
STRETCH_S = 20.0
# How an accelerometer sits and what it gives for a g varies; its noise, g.
GAIN_SPREAD, NOISE_G = 0.2, (0.001, 0.015)
# The light of a stretch of wrist has been through the front end once already, which is this late.
FRONT_END_DELAY = 5


@dataclass(frozen=True)
class Motion:
    """What disturbs a pulse: stretches of wrist PPG in daily life (n,) at `ppg_hz`, and of acceleration (n, 3) at 25 Hz; where
    there are as many of both, each belongs to its own."""

    ppg: list[np.ndarray]
    acceleration: list[np.ndarray]
    ppg_hz: int = STUDENT_RATE_HZ


@dataclass(frozen=True)
class Replay:
    """How a recording is played again: the same pulses at other times, some of them weaker.

    Attributes:
        old, new: knots of the time map, seconds; pulses keep their shape, the time between them gives way.
        at, gain: new pulse times and the factor on each pulse's amplitude.
        rate_bpm: mean rate of the new pulses, NaN where the pulses are not known.
    """

    old: np.ndarray
    new: np.ndarray
    at: np.ndarray
    gain: np.ndarray
    rate_bpm: float

    def moved(self, times: np.ndarray) -> np.ndarray:
        """Old times (s) to new."""
        return np.interp(times, self.old, self.new)


def stretch(seconds: float, factor: float, rate_bpm: float = float("nan")) -> Replay:
    """A replay `factor` times faster and otherwise as it was."""
    ends = np.array([0.0, seconds])
    return Replay(ends, ends / factor, ends / factor, np.ones(2), rate_bpm * factor)


def replay(pulse_s: np.ndarray, seconds: float, rng: np.random.Generator) -> Replay:
    """Another rate and, now and then, another rhythm for a recording whose pulses are at `pulse_s`."""
    rr = np.diff(pulse_s)
    heart = rr[(rr > INTERVALS_S[0]) & (rr < INTERVALS_S[1])]
    if len(heart) < 8:
        return stretch(seconds, float(np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH))))
    rate = 60.0 / float(np.median(heart))
    factor = float(np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH)))
    if rng.random() > USUAL_SHARE:
        factor = float(np.clip(rng.uniform(*RATES_BPM) / rate, *STRETCHES))
    fresh, gain = rr / factor, np.ones(len(pulse_s))
    kind = rng.random()
    if kind < FIBRILLATION_SHARE and rate * factor < 190:
        fresh, gain[1:] = _fibrillating(fresh, rng)
    elif kind < FIBRILLATION_SHARE + ECTOPY_SHARE and rate * factor < 170:
        fresh, gain[1:] = _ectopic(fresh, rng)
    if rate * factor > FAST_BPM and rng.random() < 0.4:
        gain[::2] *= 1 - rng.uniform(0.05, 0.5)
    # The upstroke and the top of a pulse keep their shape; what follows is longer or shorter. Ejection shortens with
    # the square root of the beat (Bazett), so that a slow pulse is not a wide one.
    ejection = np.sqrt(factor)
    before, after = 0.12 * np.r_[rr[:1], rr], 0.28 * np.r_[rr, rr[-1:]]
    new = pulse_s[0] / factor + np.r_[0.0, np.cumsum(fresh)]
    new_before = np.minimum(before / ejection, 0.3 * np.r_[fresh[:1], fresh])
    new_after = np.minimum(after / ejection, 0.55 * np.r_[fresh, fresh[-1:]])
    old_knots = np.stack([pulse_s - before, pulse_s, pulse_s + after], 1).ravel()
    new_knots = np.stack([new - new_before, new, new + new_after], 1).ravel()
    inside = (old_knots > 0) & (old_knots < seconds)
    old_knots, new_knots = old_knots[inside], new_knots[inside]
    head = max(1e-3, new_knots[0] - old_knots[0] / factor)
    shift = head - (new_knots[0] - old_knots[0] / factor)
    old_knots = np.r_[0.0, old_knots, seconds]
    new_knots = np.r_[head, new_knots + shift, new_knots[-1] + shift + (seconds - old_knots[-2]) / factor] - head
    mean = 60.0 / float(np.median(fresh))
    return Replay(old_knots, new_knots, new + shift - head, gain, mean)


def _fibrillating(rr: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Intervals without order around the old ones' mean; a pulse after a short interval is weaker."""
    spread = rng.uniform(0.14, 0.34)
    middle = max(float(np.median(rr)), 0.33)
    fresh = np.clip(middle * np.exp(spread * rng.standard_normal(len(rr))), *INTERVALS_S)
    filled = 1 - np.exp(-(fresh - 0.15) / rng.uniform(0.1, 0.35))
    return fresh, np.clip(filled / np.median(filled), 0.15, 1.5)


def _ectopic(rr: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Early beats with a pause after them, at random or in a fixed order, each with a weaker pulse."""
    fresh, gain = rr.copy(), np.ones(len(rr))
    early = rng.uniform(0.5, 0.78)
    full = rng.random() < 0.7
    if rng.random() < 0.35:
        where = np.arange(int(rng.integers(1, 4)), len(rr) - 1, int(rng.integers(2, 5)))
    else:
        where = np.flatnonzero(rng.random(len(rr) - 1) < rng.uniform(0.06, 0.25))
    for k in where:
        if gain[k] < 1:
            continue
        lost = fresh[k] * (1 - early * rng.uniform(0.95, 1.05))
        fresh[k] = max(INTERVALS_S[0], fresh[k] - lost)
        fresh[k + 1] += lost if full else lost * rng.uniform(0.0, 0.6)
        gain[k] = rng.uniform(0.15, 0.85)
    return fresh, gain


def play(x: np.ndarray, rate_hz: float, way: Replay, rng: np.random.Generator) -> np.ndarray:
    """A raw signal (n,) played in another way, at the same sampling rate."""
    grid = np.arange(0.0, way.new[-1], 1.0 / rate_hz)
    y = np.interp(np.interp(grid, way.new, way.old), np.arange(len(x)) / rate_hz, x)
    slow = sosfiltfilt(butter(2, 0.4, fs=rate_hz, output="sos"), y)
    wave = (y - slow) * np.interp(grid, way.at, way.gain)
    if way.rate_bpm > FAST_BPM and rng.random() < 0.7:
        edge = min(0.45 * rate_hz, way.rate_bpm / 60 * rng.uniform(1.1, 3.0))
        wave = sosfiltfilt(butter(2, edge, fs=rate_hz, output="sos"), wave)
    return (slow + wave).astype(np.float32)


def disturb(
    x: np.ndarray,
    rate_hz: float,
    rng: np.random.Generator,
    motion: Motion,
    heart_hz: float = float("nan"),
    worn: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Gain steps, baseline wander, noise, lost samples, steps and wrist motion on a raw signal (n,) at `rate_hz`.

    Args:
        motion: what is used as artefact.
        heart_hz: beats a second, NaN where unknown.
        worn: (n, 3) g, acceleration of the recording itself; None where there is no accelerometer.

    Returns:
        The signal, and the acceleration with that of every artefact.
    """
    n = len(x)
    level = float(np.median(x))
    pulse = float(np.std(clean_ppg(x - level, rate_hz))) + 1e-9
    y: np.ndarray = x - level
    # LED driver steps: a few an hour.
    for at in rng.integers(0, n, size=rng.poisson(n / rate_hz / 400)):
        y[at:] = y[at:] * float(np.exp(rng.uniform(-0.7, 0.7)))
    # Breathing and posture.
    knots = max(4, int(n / rate_hz * rng.uniform(0.05, 0.5)))
    y = y + pulse * rng.uniform(0, 3) * np.interp(np.arange(n), np.linspace(0, n, knots), rng.standard_normal(knots))
    y = y + pulse * rng.uniform(0.0, 0.15) * rng.standard_normal(n)
    made = bouts(n, rate_hz, rng, motion.acceleration, heart_hz, felt=worn is not None)
    y = y + pulse * made.light
    felt = None if worn is None or made.acceleration is None else worn + made.acceleration
    pairs = felt is not None and len(motion.acceleration) == len(motion.ppg)
    for first in range(0, n, int(STRETCH_S * rate_hz)):
        last = min(n, first + int(STRETCH_S * rate_hz))
        if motion.ppg and rng.random() < MOTION_SHARE:
            which = rng.integers(len(motion.ppg))
            source = motion.ppg[which]
            count = int((last - first) / rate_hz * motion.ppg_hz) + 2
            if count < len(source):
                start = rng.integers(0, len(source) - count)
                at, grid = np.arange(last - first) / rate_hz, np.arange(count) / motion.ppg_hz
                wave = np.interp(at, grid, source[start : start + count])
                y[first:last] += pulse * float(np.exp(rng.uniform(-2.5, 1.5))) * wave
                if pairs and felt is not None:
                    own = motion.acceleration[which][max(0, start - FRONT_END_DELAY) :][:count]
                    for axis in range(own.shape[1]):
                        felt[first:last, axis] += np.interp(at, grid[: len(own)], own[:, axis])
        if rng.random() < 0.05:
            # A lost packet: the front end holds the last value.
            lost = first + rng.integers(0, max(1, last - first))
            y[lost : min(n, lost + int(rng.uniform(0.05, 0.5) * rate_hz))] = y[lost]
    return y.astype(np.float32), felt


def turned(acceleration: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Acceleration (n, 3) of a sensor that sits otherwise, mirrored at times, and gives another number for a g."""
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return acceleration @ turn * float(np.exp(rng.uniform(-GAIN_SPREAD, GAIN_SPREAD)))


def _worn(track: Track, way: Replay, count: int, rate_hz: float) -> np.ndarray:
    """Acceleration (count, 3) g of a recording that is played another way: as strong, at other times; 0 where it has none."""
    found = np.zeros((count, 3))
    if track.acceleration is not None:
        at = np.interp(np.arange(count) / rate_hz, way.new, way.old) + FRONT_END_DELAY / STUDENT_RATE_HZ
        for axis in range(3):
            own = track.acceleration[:, axis] * STEP_G
            found[:, axis] = np.interp(at, np.arange(len(own)) / STUDENT_RATE_HZ, own)
    return found


def watch_version(
    recording: Recording, track: Track, rng: np.random.Generator, motion: Motion, *, accelerometer: bool = False
) -> tuple[Track, np.ndarray, float]:
    """One augmented version of a recording.

    Args:
        track: the recording, prepared.
        accelerometer: of the watch; the track's acceleration is then what it felt, else None.

    Returns:
        (track, clean, factor): the track's teacher signal and beats are of the undisturbed version, its student signal
        is the disturbed one; `clean` is the student signal without disturbance, same length; `factor` is how much
        faster it is than the recording. ECG and 1 Hz labels are dropped.
    """
    raw, rate = fill_gaps(recording.ppg.samples), recording.ppg.rate_hz
    seconds = len(raw) / rate
    if track.beats is not None and np.isfinite(track.beats.delay_s):
        pulses = track.beats.r + track.beats.delay_s
        way = replay(pulses[(pulses > 0) & (pulses < seconds)], seconds, rng)
    elif track.device is not None and len(track.device.rr):
        usual = rng.random() < USUAL_SHARE
        bpm = 60.0 / float(np.median(track.device.rr))
        drawn = float(np.clip(rng.uniform(*RATES_BPM) / bpm, 0.6, 2.2))
        way = stretch(seconds, float(np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH))) if usual else drawn, bpm)
    else:
        way = stretch(seconds, float(np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH))))
    factor = seconds / way.new[-1]
    played = play(raw, rate, way, rng)
    beats = device = None
    if track.beats is not None:
        delay = track.beats.delay_s / factor
        expected = way.moved(track.beats.r + (track.beats.delay_s if np.isfinite(track.beats.delay_s) else 0.0))
        beats = Beats(expected - (delay if np.isfinite(delay) else 0.0), way.moved(track.beats.upslope), delay)
    if track.device is not None:
        d = track.device
        device = DeviceIntervals(d.at / factor, d.rr / factor, d.upslope / factor)
    teacher = teacher_input(played, rate)
    sees = track.sees
    sensors = [hz for hz in WATCH_RATES_HZ if hz >= sees.rate_hz]
    watch_rate = float(rng.choice(sensors)) if rate >= sees.rate_hz else float(sees.rate_hz)
    at_watch = resample(played, rate, watch_rate)
    clean = condition(at_watch, watch_rate, sees.floating)
    missing = None
    if track.missing is not None:
        at = np.interp(np.arange(len(teacher)) / TEACHER_RATE_HZ, way.new, way.old) * TEACHER_RATE_HZ
        missing = track.missing[np.minimum(at.astype(int), len(track.missing) - 1)]
    worn = None
    if accelerometer:
        worn = _worn(track, way, len(at_watch), watch_rate)
    disturbed, felt = disturb(at_watch.copy(), watch_rate, rng, motion, way.rate_bpm / 60, worn)
    student = condition(disturbed, watch_rate, sees.floating)
    acceleration = None
    if felt is not None:
        felt = turned(felt, rng) + rng.uniform(*NOISE_G) * rng.standard_normal(felt.shape)
        acceleration = steps_of(felt, watch_rate)
    version = replace(
        track, teacher=teacher, student=student, ecg=None, beats=beats, device=device, missing=missing, extra={},
        played=(way.new, way.old), acceleration=acceleration,
    )  # fmt: skip
    return version, clean, factor
