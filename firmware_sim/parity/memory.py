"""What a device has to hold, component by component, and the budgets of each size."""

from __future__ import annotations

from dataclasses import dataclass

from onwrist.export.handoff.artifacts import Artifacts
from onwrist.export.sources.acceleration_rules import acceleration_of, acceleration_rules
from onwrist.export.sources.watch_rules import capacity_for
from onwrist.firmware_sim.runtimes.hop import TFLMStep, time_major
from onwrist.firmware_sim.runtimes.window import TFLM
from onwrist.firmware_sim.watch.ring import RingBuffer
from onwrist.firmware_sim.watch.sensor import SensorConfig
from onwrist.models.student.work import Work, work
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.acceleration import AXES
from onwrist.signals.front_end.fixed import FixedDesign

# Of acceleration: x, y, z, and whether it was there.
ROW_BYTES = 4


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
        model, step: the TFLite files of a window and of a hop (flash); weights: the integers alone.
        activations, step_activations: TFLM's activation plans; planned: of the window, from tensor lifetimes.
        state: what a stream keeps between hops. window: the input ring of a recomputed window.
        ring, front_end: sensor ring, front-end state; front_end_tables: its coefficients (flash). Of a student that takes
            acceleration those of both sensors, and the rows that are kept between them.
        work: multiply-accumulates per 10 s.
    """

    model: int
    step: int
    weights: int
    activations: int
    step_activations: int
    planned: int
    state: int
    window: int
    ring: int
    front_end: int
    front_end_tables: int
    work: Work

    @property
    def ram(self) -> int:
        """RAM of the stream, without stack and TFLM's own bookkeeping.

        The plan holds the state twice, as input and as output; between hops the arena may be lent to others, so that
        the state is counted once more.
        """
        return self.step_activations + self.state + self.ring + self.front_end

    @property
    def windowed_ram(self) -> int:
        """RAM if each hop recomputes its window."""
        return self.activations + self.window + self.ring + self.front_end


def planned_activations(model: IntegerModel) -> int:
    """Bytes of the largest pair of input and output that must exist at once, layer by layer."""
    frames = model.timing.window_of(model.timing.samples(model.window)).frames
    size = {place: n * model.width(place) for place, n in frames.items()}
    return max(size[i] + sum(size[s] for s in set(sources)) for i, sources in enumerate(model.sources))


def measure(artifacts: Artifacts, step: bytes, fixed: FixedDesign, sensor: SensorConfig, hop_s: float) -> Memory:
    """Memory of a student behind a sensor at a hop.

    Args:
        step: TFLite file of the hop. fixed: the front end at the sensor's rate. hop_s: seconds.
    """
    model, hop = artifacts.model, round(hop_s * artifacts.model.sees.rate_hz)
    acceleration, more, state, tables, patience = acceleration_of(model, fixed), 0, 0, 0, 0
    if acceleration and sensor.acceleration:
        rules = acceleration_rules(fixed, hop, sensor.acceleration.fifo, sensor.fifo)
        more, patience = RingBuffer(rules.ring, AXES).bytes, rules.patience
        state, tables = acceleration.state_bytes + ROW_BYTES * rules.line, acceleration.table_bytes
    capacity = capacity_for(fixed.rate_hz, sensor.fifo, hop_s) + patience
    return Memory(
        model=len(artifacts.tflite),
        step=len(step),
        weights=sum(layer.weight.nbytes + layer.bias.nbytes for layer in model.layers),
        activations=TFLM(artifacts.tflite).activation_bytes(),
        step_activations=TFLMStep(step, time_major(model, hop)).activation_bytes(),
        planned=planned_activations(model),
        state=sum(state.size for state in model.first_state(hop)),
        window=sum(i.channels for i in model.inputs) * model.window,
        ring=RingBuffer(capacity).bytes + more,
        front_end=fixed.state_bytes + state,
        front_end_tables=fixed.table_bytes + tables,
        work=work(artifacts.student, hop_s),
    )
