"""The sensors: a recording's light and acceleration become integer counts in FIFO bursts at a watch's rates."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval
from scipy.interpolate import CubicSpline

from onwrist.errors import ConfigError
from onwrist.firmware_sim.watch.faults import Burst, Faults, Scene
from onwrist.ranges import Checked
from onwrist.signals.front_end.acceleration import AccelerationConfig
from onwrist.signals.front_end.counts import BLOCK, acceleration_wave, count_wave, recorded_counts
from onwrist.signals.front_end.fixed import FixedDesign
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ
from onwrist.signals.recordings.recording import Recording

# No wearable's PPG is faster.
FASTEST_HZ = 1000


@dataclass(frozen=True)
class AccelerometerConfig(AccelerationConfig):
    """An accelerometer beside the light."""

    fifo: Annotated[int, Interval(ge=1, le=FASTEST_HZ)] = 16
    """Samples per burst."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fifo > self.rate_hz:
            cure = f"Use 1 to {self.rate_hz}, a second of samples"
            raise ConfigError(f"{self.fifo} samples", field="fifo", cure=cure)


@dataclass(frozen=True)
class SensorConfig(Checked):
    """The sensor's side of the contract."""

    rate_hz: Annotated[int, Interval(ge=STUDENT_RATE_HZ, le=FASTEST_HZ)] = 64
    """Sampling rate: 25 to 1,000."""
    fifo: Annotated[int, Interval(ge=1, le=FASTEST_HZ)] = 16
    """Samples per burst; the sensor wakes the processor once a burst."""
    bits: Annotated[int, Interval(ge=8, le=24)] = 19
    """ADC resolution (common optical front ends give 18 to 22)."""
    replay: Literal["scaled", "counts"] = "scaled"
    """A recording at mid-range with a pulse of 2 % of it, whatever it holds; or the counts that it holds, as they are."""
    when_blood_comes: Literal["rise", "fall"] = "rise"
    """Which way the recording's counts go then; the students are taught on rising ones, and falling ones are turned."""
    acceleration: AccelerometerConfig | None = None
    """An accelerometer beside it; a student that takes light alone has no use for one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fifo > self.rate_hz:
            cure = f"Use 1 to {self.rate_hz}, a second of samples"
            raise ConfigError(f"{self.fifo} samples", field="fifo", cure=cure)


def sensor_as(fixed: FixedDesign, burst: int) -> SensorConfig:
    """The sensors that a front end was designed for; both are read out in bursts of so many samples."""
    beside = AccelerometerConfig(**vars(fixed.acceleration.config), fifo=burst) if fixed.acceleration else None
    return SensorConfig(int(fixed.rate_hz), burst, fixed.bits, acceleration=beside)


class _Converter:
    """Counts of a sensor in bursts, faults and all.

    Attributes:
        sent: samples of all bursts so far, `saturated` of them at a rail of the converter.
    """

    def __init__(
        self, wave: np.ndarray, present: np.ndarray, config: SensorConfig | AccelerometerConfig, rails: tuple[int, int],
        faults: Faults, repeat: int,
    ):  # fmt: skip
        self.wave, self.present, self.rails = wave, present, rails
        self.rate_hz, self.fifo, self.faults, self.repeat = config.rate_hz, config.fifo, faults, repeat
        self.scene = Scene(config.rate_hz, rails[1], len(wave) / config.rate_hz, wave)
        self.sent = self.saturated = 0

    def __len__(self) -> int:
        return len(self.wave) * self.repeat

    @property
    def counts(self) -> np.ndarray:
        """int32 (n,), or (n, 3): the converter's output in the first round."""
        return self._convert(0)

    def _convert(self, cycle: int) -> np.ndarray:
        if not self.faults.faults:
            return self._counts_of(self.wave)
        t = np.arange(len(self.wave)) / self.rate_hz
        x = self.wave
        instants = self.faults.instants(t, self.scene, cycle)
        if instants is not t:
            x = CubicSpline(t, x)(np.clip(instants, 0, t[-1]))
        x = self.faults.wave(t, x, self.scene, cycle)
        return self._counts_of(x)

    def _counts_of(self, wave: np.ndarray) -> np.ndarray:
        counts = np.empty(wave.shape, np.int32)
        for i in range(0, len(wave), BLOCK):
            counts[i : i + BLOCK] = np.clip(np.rint(wave[i : i + BLOCK]), *self.rails)
        return counts

    def bursts(self) -> Iterator[Burst]:
        """FIFO read-outs in order of their arrival; the last of a round may be short."""
        pending: list[tuple[float, int, Burst]] = []
        for order, (clock, burst) in enumerate(self.faults.deliver(self._read_outs(), self.scene)):
            heapq.heappush(pending, (burst.time_s, order, burst))
            # What arrives from now on arrives at `clock` or later.
            while pending and pending[0][0] <= clock:
                yield self._counted(heapq.heappop(pending)[2])
        while pending:
            yield self._counted(heapq.heappop(pending)[2])

    def _counted(self, burst: Burst) -> Burst:
        self.sent += len(burst.counts)
        return burst

    def _read_outs(self) -> Iterator[Burst]:
        size, rate = self.fifo, self.rate_hz
        for cycle in range(self.repeat):
            counts, offset = self._convert(cycle), cycle * len(self.wave)
            rail = (counts == self.rails[0]) | (counts == self.rails[1])
            self.saturated += int(np.sum(rail.reshape(len(rail), -1).any(axis=1) & self.present))
            for first in range(0, len(counts), size):
                last = min(first + size, len(counts))
                edges = np.flatnonzero(np.diff(self.present[first:last].astype(np.int8), prepend=0, append=0))
                for a, b in zip(edges[::2], edges[1::2], strict=True):
                    start = first + int(a)
                    yield Burst(offset + start, counts[start : first + int(b)], (offset + last) / rate)


class Accelerometer(_Converter):
    """Plays a recording's acceleration beside its light; of a recording that has none, nothing is sent.

    Args:
        recording: acceleration in g, at any rate. config: rate, FIFO depth, counts.
        faults: of acceleration. repeat: as the light's.

    Raises:
        RecordingError: its acceleration is not in g.
    """

    def __init__(self, recording: Recording, config: AccelerometerConfig, faults: Faults = Faults(), repeat: int = 1):
        wave, present = acceleration_wave(recording, config.rate_hz)
        low = -(1 << (config.bits - 1))
        super().__init__(wave * config.counts_per_g, present, config, (low, -low - 1), faults, repeat)


class Sensor(_Converter):
    """Plays a recording as a sensor would.

    Samples that the recording does not have are never sent: their sequence numbers are missing from the bursts.

    Args:
        recording: any rate.
        config: rate, FIFO depth, resolution, and an accelerometer's.
        faults: what goes wrong on the way; nothing by default.
        repeat: how often the recording is played, one after the other; memory does not grow with it.

    Attributes:
        sent: samples of light of all bursts so far, `saturated` of them at a rail of the ADC.
        accelerometer: beside it, where the config has one.
    """

    def __init__(
        self, recording: Recording, config: SensorConfig = SensorConfig(), faults: Faults = Faults(), repeat: int = 1
    ):
        self.config = config
        full, falling = 2**config.bits - 1, config.when_blood_comes == "fall"
        if config.replay == "counts":
            wave, present = recorded_counts(recording, config.rate_hz, config.bits, falling=falling)
        else:
            wave, present = count_wave(recording, config.rate_hz, config.bits)
            wave = full - wave if falling else wave
        super().__init__(wave, present, config, (0, full), faults.of_light, repeat)
        self.accelerometer = (
            Accelerometer(recording, config.acceleration, faults.of_acceleration, repeat)
            if config.acceleration
            else None
        )

    @property
    def seconds(self) -> float:
        """Length of all that is played."""
        return len(self) / self.config.rate_hz

    def bursts(self) -> Iterator[Burst]:
        """FIFO read-outs in order of their arrival, acceleration before light where both come at once."""
        if self.accelerometer is None:
            return super().bursts()
        return heapq.merge(self.accelerometer.bursts(), super().bursts(), key=lambda burst: burst.time_s)
