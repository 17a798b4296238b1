"""The optical sensor: a recording becomes integer counts in FIFO bursts at a watch's rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from signals.clean import fill_gaps, resample
from signals.errors import ConfigError
from signals.frontend import WATCH_RATES_HZ
from signals.recording import Recording

# A photodiode current sits mid-range with a pulse of a few per cent on it.
PULSE_SHARE = 0.02
SPREAD_QUANTILES = (5.0, 95.0)


@dataclass(frozen=True)
class SensorConfig:
    """The sensor's side of the contract."""

    rate_hz: int = 64
    """Sampling rate: 25, 32, 50, 64, 100 or 125."""
    fifo: int = 16
    """Samples per burst; the sensor wakes the processor once a burst."""
    bits: int = 19
    """ADC resolution (common optical front ends give 18 to 22)."""

    def __post_init__(self) -> None:
        if self.rate_hz not in WATCH_RATES_HZ:
            raise ConfigError(
                f"{self.rate_hz} Hz is no watch rate", field="rate_hz", cure=f"Use one of {WATCH_RATES_HZ}"
            )
        if not 1 <= self.fifo <= self.rate_hz:
            raise ConfigError(f"{self.fifo} samples", field="fifo", cure="Use 1 to one second of samples")
        if not 8 <= self.bits <= 24:
            raise ConfigError(f"{self.bits} bits", field="bits", cure="Use 8 to 24")


@dataclass(frozen=True)
class Burst:
    """One FIFO read-out.

    Attributes:
        sequence: number of the first sample since power-up.
        counts: int32 (n,).
        time_s: when the burst is complete, seconds since power-up.
    """

    sequence: int
    counts: np.ndarray
    time_s: float


class Sensor:
    """Plays a recording as a sensor would.

    Samples that the recording does not have are never sent: their sequence numbers are missing from the bursts.

    Args:
        recording: any rate.
        config: rate, FIFO depth, resolution.
    """

    def __init__(self, recording: Recording, config: SensorConfig = SensorConfig()):
        self.config = config
        raw = recording.ppg.samples
        wave = resample(fill_gaps(raw), recording.ppg.rate_hz, config.rate_hz)
        source = np.minimum((np.arange(len(wave)) * recording.ppg.rate_hz / config.rate_hz).astype(int), len(raw) - 1)
        self.present = np.isfinite(raw)[source]
        full = 2**config.bits - 1
        low, high = np.percentile(wave, SPREAD_QUANTILES)
        gain = PULSE_SHARE * full / (high - low) if high > low else 1.0
        counts = np.rint((wave - np.median(wave)) * gain + full / 2)
        self.saturated = int(np.sum((counts < 0) | (counts > full)))
        self.counts = np.clip(counts, 0, full).astype(np.int32)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.counts) / self.config.rate_hz

    def bursts(self) -> Iterator[Burst]:
        """FIFO read-outs in order of time; the last may be short."""
        size, rate = self.config.fifo, self.config.rate_hz
        for first in range(0, len(self.counts), size):
            last = min(first + size, len(self.counts))
            present = self.present[first:last]
            edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(np.int8), [0]])))
            for a, b in zip(edges[::2], edges[1::2], strict=True):
                yield Burst(first + int(a), self.counts[first + a : first + b], last / rate)
