"""A recording as the counts of an optical sensor."""

from __future__ import annotations

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.front_end.acceleration import AXES
from onwrist.signals.pulse.clean import fill_gaps, resample
from onwrist.signals.recordings.recording import Recording

# A photodiode current sits mid-range with a pulse of a few per cent on it.
PULSE_SHARE = 0.02
SPREAD_QUANTILES = (5.0, 95.0)
# Samples that are looked at together: a day of them is held once, not once for each step of a formula.
BLOCK = 1 << 18


def count_wave(recording: Recording, rate_hz: float, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The light before the converter.

    Counts rise when blood comes, as in the recordings (pulse oximeters and wristbands store the inverted light); a bare
    converter of reflected light counts down then, and firmware has to turn its counts round.

    Returns:
        (wave, present): wave float64 (n,) in counts at `rate_hz`, mid-range with a pulse of 2 % of 2^bits; present bool
        (n,), False where the recording has no sample.
    """
    raw = recording.ppg.samples
    wave = resample(fill_gaps(raw), recording.ppg.rate_hz, rate_hz)
    full = 2**bits - 1
    low, high = np.percentile(wave, SPREAD_QUANTILES)
    gain = PULSE_SHARE * full / (high - low) if high > low else 1.0
    return (wave - np.median(wave)) * gain + full / 2, _present(raw, recording.ppg.rate_hz, rate_hz, len(wave))


def recorded_counts(
    recording: Recording, rate_hz: float, bits: int, *, falling: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The counts that a recording holds, as they are; at another rate than its own, between them.

    Args:
        falling: they fall when blood comes, and are turned round as firmware turns them.

    Returns:
        As `count_wave`.

    Raises:
        RecordingError: they are no counts of so many bits.
    """
    channel = recording.ppg
    wave = resample(fill_gaps(channel.samples), channel.rate_hz, rate_hz).astype(np.float64) + channel.offset
    low, high = np.nanmin(channel.samples) + channel.offset, np.nanmax(channel.samples) + channel.offset
    full = 2**bits - 1
    if low < 0 or high > full:
        raise RecordingError(
            f"holds {low:,.0f} to {high:,.0f}, and a sensor of {bits} bits counts from 0 to {full:,}",
            where=recording.source, field=channel.name, cure='Give its bits, or replay = "scaled"',
        )  # fmt: skip
    return full - wave if falling else wave, _present(channel.samples, channel.rate_hz, rate_hz, len(wave))


def _present(samples: np.ndarray, from_hz: float, to_hz: float, count: int) -> np.ndarray:
    """bool (count,), whether the recording has the sample that each of the sensor's comes from."""
    known = np.isfinite(samples)
    found = np.empty(count, bool)
    for i in range(0, count, BLOCK):
        source = np.minimum((np.arange(i, min(i + BLOCK, count)) * from_hz / to_hz).astype(int), len(known) - 1)
        found[i : i + BLOCK] = known[source]
    return found


def acceleration_wave(recording: Recording, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """A recording's acceleration beside its light, from the light's first sample to its last.

    Returns:
        (wave, present): wave float64 (n, 3) in g at `rate_hz`; present bool (n,), False where the recording has no sample,
        which is everywhere in one without acceleration.

    Raises:
        RecordingError: its acceleration is not in g.
    """
    n, found = int(recording.seconds * rate_hz), recording.acc
    if found is None:
        return np.zeros((n, AXES)), np.zeros(n, bool)
    if found.units != "g":
        cure = "Give acceleration in g"
        raise RecordingError(f"is in {found.units}", where=recording.source, field=found.name, cure=cure)
    at = (np.arange(n) / rate_hz + recording.ppg.start_s - found.start_s) * found.rate_hz
    known = np.isfinite(found.samples).all(axis=1)
    if not known.any():
        return np.zeros((n, AXES)), np.zeros(n, bool)
    own = np.flatnonzero(known)
    wave = np.stack([np.interp(at, own, found.samples[own, i]) for i in range(AXES)], axis=1)
    inside = (at > -0.5) & (at <= len(known) - 0.5)
    return wave, inside & known[np.clip(np.rint(at).astype(int), 0, len(known) - 1)]


def convert_acceleration(wave: np.ndarray, bits: int, counts_per_g: float) -> np.ndarray:
    """The accelerometer's converter: g (n, 3) to signed counts of so many bits, int32."""
    low = -(1 << (bits - 1))
    return np.clip(np.rint(wave * counts_per_g), low, -low - 1).astype(np.int32)


def convert(wave: np.ndarray, bits: int) -> np.ndarray:
    """The converter: a wave in counts to int32 0 ... 2^bits - 1."""
    counts = np.empty(len(wave), np.int32)
    for i in range(0, len(wave), BLOCK):
        counts[i : i + BLOCK] = np.clip(np.rint(wave[i : i + BLOCK]), 0, 2**bits - 1)
    return counts
