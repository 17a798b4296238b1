"""A student at a hop behind a sensor: the unit that is deployed, and what follows from the three, each made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from onwrist.export.handoff.artifacts import Artifacts, contract
from onwrist.export.sources.files import Firmware
from onwrist.export.sources.firmware import firmware_sources
from onwrist.firmware_sim.parity.memory import Memory, measure
from onwrist.firmware_sim.runtimes.hop import LiteRTStep, OnnxStep, TFLMStep, channel_major, time_major
from onwrist.firmware_sim.watch.watch import WatchConfig
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.fixed import FixedDesign, design
from onwrist.spec import Gates, StudentPart


@dataclass(frozen=True)
class Deployed:
    """One deployment.

    Attributes:
        artifacts: the student.
        config: hop, sensor, gap policy of the watch.
        limits: of its gates. budget: what the spec lets the student cost beside the budget of its size.
    """

    artifacts: Artifacts
    config: WatchConfig = WatchConfig()
    limits: Gates = Gates()
    budget: StudentPart = StudentPart()

    @property
    def model(self) -> IntegerModel:
        """The student's integers."""
        return self.artifacts.model

    @cached_property
    def hop(self) -> int:
        """Student samples between outputs.

        Raises:
            ConfigError: the hop is not a whole number of strides.
        """
        return self.config.hop_samples(self.model.stride, self.model.sees.rate_hz)

    @cached_property
    def front_end(self) -> FixedDesign:
        """Integers of the front end at the sensor's rate, of acceleration too where the student takes it."""
        sensor = self.config.sensor
        return design(sensor.rate_hz, sensor.bits, self.model.sees.counts, acceleration=sensor.acceleration)

    @cached_property
    def step(self) -> bytes:
        """TFLite file of one hop."""
        return self.artifacts.tflite_step(self.hop)

    @cached_property
    def firmware(self) -> Firmware:
        """Its C."""
        sensor = self.config.sensor
        beside = {"acceleration_burst": sensor.acceleration.fifo} if sensor.acceleration else {}
        return firmware_sources(self.model, self.hop, self.front_end, sensor.fifo, **beside)

    @cached_property
    def contract(self) -> dict:
        """What firmware has to know."""
        return contract(self.artifacts, self.hop, self.front_end)

    @cached_property
    def memory(self) -> Memory:
        """Bytes on the device."""
        return measure(self.artifacts, self.step, self.front_end, self.config.sensor, self.config.hop_s)

    def tflm(self) -> TFLMStep:
        """The reference for firmware, at the start of a stream."""
        return TFLMStep(self.step, time_major(self.model, self.hop))

    def litert(self) -> LiteRTStep:
        """The same file in LiteRT's reference kernels, at the start of a stream."""
        return LiteRTStep(self.step, time_major(self.model, self.hop))

    def onnx(self) -> OnnxStep:
        """The ONNX step, at the start of a stream."""
        return OnnxStep(self.artifacts.onnx_step(self.hop), channel_major(self.model, self.hop))
