"""What Arm's compiler says of the students on its NPUs, and what is said where it is not there or says something else."""

import pytest

from onwrist.errors import ConfigError, ExportError
from onwrist.export.handoff.artifacts import load_artifacts
from onwrist.firmware_sim.parity import npu
from onwrist.firmware_sim.parity.deployed import Deployed

here = pytest.mark.skipif(bool(npu.absent()), reason=npu.absent() or "here")
ROW = {
    "cycles_npu": "900", "cycles_total": "1000", "inference_time": "2e-06", "sram_memory_used": "2.5", "dram_memory_used": "0",
    "on_chip_flash_memory_used": "0", "off_chip_flash_memory_used": "10", "core_clock": "5e8", "system_config": "Some", "memory_mode": "Shared",
}  # fmt: skip
SAID = "CPU operators = 2 (50.0%)\n   CPU: Pad = x (outputs [1])\n   CPU: Passthrough =  (outputs [1])\nNPU operators = 2 (50.0%)\n"


@pytest.fixture(scope="module")
def deployed():
    return Deployed(load_artifacts("band"))


@here
def test_a_step_on_npus_of_two_kinds(deployed):
    small, large = (npu.npu_cost(deployed, name) for name in ("ethos-u55-32", "ethos-u55-256"))
    assert 0 < large.npu_cycles < small.npu_cycles <= small.cycles
    # The state goes in and out, and lives in what it works in.
    state = sum(s.size for s in deployed.model.first_state(deployed.hop))
    assert small.sram > state
    assert small.outside > sum(layer.weight.size for layer in deployed.model.layers) / 2
    assert len(small.on_core) < small.operators / 4
    assert f"ethos-u55-32, band | {small.npu_cycles:,}" in " | ".join(npu.cells(small))


@here
def test_an_npu_that_there_is_not_is_refused(deployed):
    with pytest.raises(ExportError, match="refused by Vela") as error:
        npu.npu_cost(deployed, "ethos-u99-1")
    assert error.value.field == "ethos-u99-1"


def test_without_the_compiler_the_extra_is_named(deployed, monkeypatch):
    monkeypatch.setattr(npu, "PACKAGE", "no-such-package")
    with pytest.raises(ConfigError, match="not installed") as error:
        npu.npu_cost(deployed, "ethos-u55-128")
    assert "onwrist[npu]" in error.value.cure


def test_a_summary_becomes_a_row_or_an_error():
    cost = npu._cost("u", "band", ROW, SAID)
    assert (cost.cycles, cost.sram, cost.outside, cost.on_core) == (1000, 2560, 10240, ("Pad", "Passthrough"))
    assert npu.cells(cost)[-2:] == ["2 of 4 (Pad, Passthrough)", "500 MHz, Some, Shared"]
    for row, said in (({}, SAID), (ROW, ""), (ROW, SAID.replace("   CPU: Pad", "   X"))):
        with pytest.raises(ExportError, match="something else"):
            npu._cost("u", "band", row, said)
