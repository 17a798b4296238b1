"""A recording of any length as the counts of a sensor, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from onwrist.signals.front_end.counts import PULSE_SHARE, SPREAD_QUANTILES, convert, count_wave
from onwrist.signals.pulse.clean import fill_gaps, resample
from onwrist.signals.recordings.recording import Recording

# A recording up to this length is converted at once, exactly as `Sensor` does; longer ones in pieces of about it, so that
# a worker's memory does not grow with them.
PIECE_S = 4 * 3600.0
# Signal beside a piece that its conversion sees: far more than the resampling filter reaches.
MARGIN_S = 10.0
# Samples from which a long recording's range is read; a quantile of a million is one of all to a thousandth.
RANGE_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Light:
    """A stretch of what the sensor measures.

    Attributes:
        first: sequence number of its first sample. counts: int32 (n,). present: bool (n,), False where the recording has
            no sample: such a number is never sent.
    """

    first: int
    counts: np.ndarray
    present: np.ndarray


def light(recording: Recording, rate_hz: float, bits: int, piece_s: float = PIECE_S) -> Iterator[Light]:
    """Convert a recording to counts.

    Args:
        rate_hz, bits: of the sensor. piece_s: length of a piece, seconds.
    """
    if recording.seconds <= piece_s:
        wave, present = count_wave(recording, rate_hz, bits)
        yield Light(0, convert(wave, bits), present)
        return
    raw, rate = recording.ppg.samples, recording.ppg.rate_hz
    middle, gain = _range(raw, 2**bits - 1)
    ratio = Fraction(rate_hz).limit_denominator(1000) / Fraction(rate).limit_denominator(1000)
    ratio = ratio.limit_denominator(2000)
    up, down = ratio.numerator, ratio.denominator
    # Pieces and margins begin at samples that both rates have.
    size = max(1, round(piece_s * rate / down)) * down
    margin = max(1, round(MARGIN_S * rate / down)) * down
    for start in range(0, len(raw), size):
        begin, end = max(0, start - margin), min(len(raw), start + size + margin)
        stretch = raw[begin:end]
        there = np.isfinite(stretch)
        first = start * up // down
        count = -(-min(size, len(raw) - start) * up // down)
        if not there.any():
            yield Light(first, np.zeros(count, np.int32), np.zeros(count, bool))
            continue
        skip = (start - begin) * up // down
        wave = resample(fill_gaps(stretch), rate, rate_hz)[skip : skip + count].astype(np.float64)
        at = np.minimum((np.arange(skip, skip + len(wave)) * rate / rate_hz).astype(int), len(stretch) - 1)
        yield Light(first, convert((wave - middle) * gain + (2**bits - 1) / 2, bits), there[at])


def _range(raw: np.ndarray, full: int) -> tuple[float, float]:
    """Middle and gain of a recording, as `count_wave` sets them, from evenly spread samples."""
    some = raw[:: max(1, len(raw) // RANGE_SAMPLES)]
    some = some[np.isfinite(some)]
    if len(some) == 0:
        return 0.0, 1.0
    low, middle, high = np.percentile(some, (SPREAD_QUANTILES[0], 50.0, SPREAD_QUANTILES[1]))
    return float(middle), float(PULSE_SHARE * full / (high - low) if high > low else 1.0)
