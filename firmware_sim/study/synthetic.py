"""People made of shipped recordings: as many and as long as a measurement of speed needs. They measure nothing else."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onwrist.resources import SHIPPED
from onwrist.signals.pulse.clean import fill_gaps, resample
from onwrist.signals.recordings.readers import read_recording
from onwrist.writing import write_whole

RATE_HZ = 64.0
# Hearts of made-up people beat this much slower or faster than the one they are made of.
STRETCH = (0.8, 1.25)
# Their light fades and comes back within hours, and is as noisy as a wrist's.
WANDER, NOISE = 0.2, 0.02
INT16 = 12_000


def sources() -> list[np.ndarray]:
    """PPG of the shipped recordings at 64 Hz, zero median and unit spread, float32 (n,) each."""
    found = []
    for path in sorted(SHIPPED.glob("*.npz")):
        recording = read_recording(path)
        x = resample(fill_gaps(recording.ppg.samples), recording.ppg.rate_hz, RATE_HZ)
        low, middle, high = np.percentile(x, (5, 50, 95))
        found.append(((x - middle) / (high - low)).astype(np.float32))
    return found


def write_person(path: Path, of: Sequence[np.ndarray], number: int, hours: float) -> None:
    """One made-up person, drawn by `number` alone, as .npz; whole or not at all."""
    rng = np.random.default_rng(number)
    x = of[number % len(of)]
    count = int(hours * 3600 * RATE_HZ)
    # To and fro through the recording, so that there is no jump where it ends.
    at = rng.uniform(0, len(x)) + rng.uniform(*STRETCH) * np.arange(count)
    at = np.abs((at + len(x) - 1) % (2 * (len(x) - 1)) - (len(x) - 1))
    wander = 1 + WANDER * np.sin(2 * np.pi * (np.arange(count) / (RATE_HZ * 3600 * rng.uniform(1, 4)) + rng.uniform()))
    made = np.interp(at, np.arange(len(x)), x) * wander + rng.normal(0, NOISE, count)
    counts = np.clip(np.rint(made * INT16 / 4), -32_000, 32_000).astype(np.int16)
    whole = io.BytesIO()
    np.savez_compressed(whole, ppg=counts, fs_ppg=RATE_HZ, subject=path.stem)
    # A maker that is killed leaves no half of a person, which would be taken for made.
    write_whole(path, whole.getvalue())
