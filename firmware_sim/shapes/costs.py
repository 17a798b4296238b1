"""What a shape costs on the device, before anything is trained: counts of work do not depend on the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch

from onwrist.export.graphs.tflite_writer import write_tflite
from onwrist.export.handoff.artifacts import Artifacts
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.firmware import FirmwareRun, measured
from onwrist.firmware_sim.parity.gates import budget_gates
from onwrist.firmware_sim.parity.parts import hop_of_counts
from onwrist.firmware_sim.runtimes.compiler import CORES
from onwrist.firmware_sim.watch.watch import WatchConfig
from onwrist.models.student.network import Student, StudentConfig
from onwrist.quantize.integers.arithmetic import read_integers
from onwrist.quantize.integers.fake_quant import quantise

# Enough random windows for ranges that are not zero.
WINDOWS = 8


@dataclass(frozen=True)
class Costs:
    """Of one student behind one sensor at one hop.

    Attributes:
        flash: bytes of the TFLite step. ram: of the stream, sensor ring and front end included. macs: of a hop.
        instructions: of a hop on the emulated Cortex-M4F, front end included; None: not counted, it is over budget already.
        small: whether it keeps the budget of `band`.
    """

    flash: int
    ram: int
    macs: int
    instructions: int | None
    small: bool


@dataclass(frozen=True)
class Budget:
    """What a student may cost; None: anything."""

    flash: int | None = None
    ram: int | None = None
    macs: int | None = None
    instructions: int | None = None

    def broken(self, costs: Costs) -> str:
        """What is over, in words; empty if nothing is."""
        spent = asdict(costs)
        over = [(n, spent[n], most) for n, most in asdict(self).items() if most is not None and (spent[n] or 0) > most]
        return "; ".join(f"{name} {value:,}, more than {most:,}" for name, value, most in over)


def costs_of(config: StudentConfig, watch: WatchConfig, budget: Budget = Budget()) -> Costs:
    """Costs of a shape with random weights, as `measured_costs` counts them.

    Raises:
        ConfigError: the hop is not a whole number of its frames. ExportError: as the compiler says.
    """
    torch.manual_seed(0)
    child = quantise(Student(config).eval(), [torch.randn(WINDOWS, config.window)])
    model = read_integers(child)
    # The float student, the fake-quantised one and ONNX have no part in what a device holds.
    deployed = Deployed(Artifacts(config.name, Student(config), child, model, write_tflite(model), b""), watch)
    return measured_costs(deployed, budget)


def measured_costs(deployed: Deployed, budget: Budget = Budget()) -> Costs:
    """Costs of a student as it is deployed; the C is built and run only where everything else is within budget."""
    memory = deployed.memory
    small = all(gate.passed for gate in budget_gates("band", memory))
    costs = Costs(memory.step, memory.ram, round(memory.work.of_hop(deployed.config.hop_s)), None, small)
    if budget.broken(costs):
        return costs
    run = measured(FirmwareRun(CORES[0].name, 1, 0, 0, 0), deployed.firmware, CORES[0], hop_of_counts(deployed.config))
    return replace(costs, instructions=run.instructions)
