"""What a device has to hold, component by component, and the budgets of each size."""

from __future__ import annotations

from dataclasses import dataclass

from export.artifacts import Artifacts
from firmware_sim.ring import RingBuffer, capacity_for
from firmware_sim.runtimes import TFLM
from firmware_sim.sensor import SensorConfig
from models.student import Work, work
from quantize.integers import IntegerModel
from signals.frontend import FrontEnd


@dataclass(frozen=True)
class Budget:
    """Limits of a size: flash and activations in bytes, streamed work in MACs per 10 s (None: no limit)."""

    flash: int
    activations: int
    streamed_macs: int | None = None


# From the product's requirements: `watch` for a part with 256 kB of RAM, `band` for one with 64 kB.
BUDGETS = {"watch": Budget(160_000, 48_000), "band": Budget(48_000, 16_000, 2_000_000)}


@dataclass(frozen=True)
class Memory:
    """Bytes on the device.

    Attributes:
        model: the TFLite file (flash); weights: its integers alone.
        activations: TFLM's activation plan; planned: the same from tensor lifetimes (input and output of one layer).
        ring, front_end, window: sensor ring, front-end state, model input ring.
    """

    model: int
    weights: int
    activations: int
    planned: int
    ring: int
    front_end: int
    window: int
    work: Work

    @property
    def ram(self) -> int:
        """All RAM but stack and TFLM's own bookkeeping."""
        return self.activations + self.ring + self.front_end + self.window


def planned_activations(model: IntegerModel) -> int:
    """Bytes of the largest pair of input and output that must exist at once, layer by layer."""
    length, channels, most = model.window, 1, 0
    for layer in model.layers:
        before = length * channels
        length = (length - layer.reach - 1) // layer.stride + 1
        channels = len(layer.bias)
        most = max(most, before + length * channels)
    return most


def measure(artifacts: Artifacts, sensor: SensorConfig, hop_s: float) -> Memory:
    """Memory of a student behind a sensor at a hop."""
    model = artifacts.model
    tflm = TFLM(artifacts.tflite, model.window)
    return Memory(
        model=len(artifacts.tflite),
        weights=sum(layer.weight.nbytes + layer.bias.nbytes for layer in model.layers),
        activations=tflm.activation_bytes(),
        planned=planned_activations(model),
        ring=RingBuffer(capacity_for(sensor.rate_hz, sensor.fifo, hop_s)).bytes,
        front_end=FrontEnd(sensor.rate_hz).state_bytes,
        window=model.window,
        work=work(artifacts.student.config, hop_s),
    )
