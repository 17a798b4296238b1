"""One recording of one person: the object that every reader returns and every later step takes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.spilled import BLOCK

# A rate outside this range is a unit mistake (milliseconds, kHz), not a PPG sensor.
MIN_RATE_HZ, MAX_RATE_HZ = 5.0, 4000.0


@dataclass(frozen=True)
class Channel:
    """A uniformly sampled signal.

    Attributes:
        samples: float32, shape (n,) or (n, axes); NaN where the source had no sample. `Spilled` where that was asked for.
        rate_hz: samples per second.
        name: the source's own name of it.
        units: the file's units ("counts" where it has none).
        start_s: start relative to the recording's start, seconds.
        offset: what was taken out of `samples` in double precision, because single precision would have lost the
            pulse on top of it (a 32-bit ADC far from zero); 0 almost always.
    """

    samples: np.ndarray
    rate_hz: float
    name: str = "ppg"
    units: str = "counts"
    start_s: float = 0.0
    offset: float = 0.0

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True)
class Recording:
    """A PPG recording with whatever else the file held.

    Attributes:
        ppg: the channel to be encoded.
        subject: person id; splits are by this and by nothing else.
        source: path or name of where it came from, for messages.
        start_unix: start time, seconds since 1970, or None where the file has none.
        ecg, acc, resp: other channels, or None. `acc` is (n, 3).
        labels: name -> array or scalar as the file had it (R-peaks in ECG samples,
            1 Hz numerics, stress task, age ...).
        notices: what the reader found odd and the user should hear, one sentence each: a clock set back, a pulse upside
            down, a channel chosen among several. Nothing here stops a recording from being used.
    """

    ppg: Channel
    subject: str
    source: str
    start_unix: float | None = None
    ecg: Channel | None = None
    acc: Channel | None = None
    resp: Channel | None = None
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for channel in (self.ppg, self.ecg, self.acc, self.resp):
            if channel is None:
                continue
            where = {"where": self.source, "field": channel.name}
            if not MIN_RATE_HZ <= channel.rate_hz <= MAX_RATE_HZ:
                raise RecordingError(
                    f"rate {channel.rate_hz:g} Hz is outside {MIN_RATE_HZ:g}-{MAX_RATE_HZ:g}",
                    cure="Give the rate in samples per second",
                    **where,
                )
            if len(channel.samples) == 0:
                raise RecordingError("no samples", cure="Check that the file is complete", **where)
        if self._known == 0:
            raise RecordingError(
                "every sample is missing", where=self.source, field=self.ppg.name, cure="Choose another channel"
            )

    @property
    def seconds(self) -> float:
        """Length of the PPG in seconds."""
        return self.ppg.seconds

    @property
    def missing(self) -> float:
        """Share of PPG samples that the source did not have, 0..1."""
        return (len(self.ppg.samples) - self._known) / len(self.ppg.samples)

    @property
    def _known(self) -> int:
        samples = self.ppg.samples
        return sum(int(np.count_nonzero(np.isfinite(samples[i : i + BLOCK]))) for i in range(0, len(samples), BLOCK))
