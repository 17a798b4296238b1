"""Watch-like versions of open recordings: stretched in time, sampled at a watch's rate, disturbed before the front end.

Disturbances are put on the raw signal and then pass through the real front end, so that the student meets what the
filter and the running scale make of them, not a picture of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onwrist.signals.front_end.floating import STUDENT_RATE_HZ, WATCH_RATES_HZ, condition
from onwrist.signals.people.cohort import Track, prepare
from onwrist.signals.pulse.clean import clean_ppg, fill_gaps, resample
from onwrist.signals.recordings.recording import Recording

MAX_STRETCH = 0.22  # log; 0.8 to 1.25 times
# Share of each recording's 20-s stretches that get motion.
MOTION_SHARE = 0.35
STRETCH_S = 20.0


def stretched(recording: Recording, factor: float) -> Recording:
    """The recording played `factor` times faster: the rates say so, no sample changes. 1 Hz labels are dropped."""

    def faster(channel):
        return None if channel is None else replace(channel, rate_hz=channel.rate_hz * factor)

    labels: dict[str, np.ndarray] = {k: v for k, v in recording.labels.items() if k == "rpeaks"}
    if "delay_s" in recording.labels:
        labels["delay_s"] = np.asarray(recording.labels["delay_s"] / factor)
    return replace(recording, ppg=faster(recording.ppg), ecg=faster(recording.ecg), acc=None, resp=None, labels=labels)


def disturb(x: np.ndarray, rate_hz: float, rng: np.random.Generator, motion: list[np.ndarray]) -> np.ndarray:
    """Gain steps, baseline wander, noise, lost samples and wrist motion on a raw signal (n,) at `rate_hz`.

    Args:
        motion: 25 Hz stretches of wrist PPG, used as artefact.
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
    for first in range(0, n, int(STRETCH_S * rate_hz)):
        last = min(n, first + int(STRETCH_S * rate_hz))
        if motion and rng.random() < MOTION_SHARE:
            source = motion[rng.integers(len(motion))]
            count = int((last - first) / rate_hz * STUDENT_RATE_HZ) + 2
            if count < len(source):
                start = rng.integers(0, len(source) - count)
                wave = np.interp(
                    np.arange(last - first) / rate_hz, np.arange(count) / STUDENT_RATE_HZ, source[start : start + count]
                )
                y[first:last] += pulse * float(np.exp(rng.uniform(-2.5, 1.5))) * wave
        if rng.random() < 0.05:
            # A lost packet: the front end holds the last value.
            lost = first + rng.integers(0, max(1, last - first))
            y[lost : min(n, lost + int(rng.uniform(0.05, 0.5) * rate_hz))] = y[lost]
    return y.astype(np.float32)


def watch_version(
    recording: Recording, name: str, source: str, rng: np.random.Generator, motion: list[np.ndarray]
) -> tuple[Track, np.ndarray]:
    """One augmented version of a recording.

    Returns:
        (track, clean): the track's teacher signal, ECG and beats are of the undisturbed recording, its student signal
        is the disturbed one; `clean` is the student signal without disturbance, same length.
    """
    played = stretched(recording, float(np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH))))
    track = prepare(played, name, source)
    raw, rate = fill_gaps(played.ppg.samples), played.ppg.rate_hz
    watch_rate = float(rng.choice(WATCH_RATES_HZ))
    at_watch = resample(raw, rate, watch_rate) if rate >= STUDENT_RATE_HZ else resample(raw, rate, 25.0)
    watch_rate = watch_rate if rate >= STUDENT_RATE_HZ else 25.0
    clean = condition(at_watch, watch_rate)
    track.student = condition(disturb(at_watch.copy(), watch_rate, rng, motion), watch_rate)
    return track, clean
