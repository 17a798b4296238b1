"""The rules by which the watch brings acceleration and light together, in integers: for the exported C and the simulated watch.

Both sensors number their samples. A row of acceleration (x, y, z at the student's rate) belongs to the output of the light's
front end that has the same time by these numbers; where the two clocks have come apart, the newest row belongs to the newest
light. A burst of light waits until acceleration of the same time is there, but not for long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from onwrist.errors import ExportError
from onwrist.export.sources.watch_rules import BURST, MAX_BRIDGE_S, MAX_LATE_S, capacity_for
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.acceleration import AXES, AccelerationDesign
from onwrist.signals.front_end.fixed import FixedDesign
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ

# Beyond what bursts explain; a runner's step is longer. Clocks that differ by more are brought together anew.
MAX_APART_S = 0.25


# What a student's second input is called that takes acceleration.
ACCELERATION_INPUT = "acc"


def takes_acceleration(model: IntegerModel) -> bool:
    """Whether a student wants an accelerometer beside the light.

    Raises:
        ExportError: it wants something else than one channel of light and, if anything, three of acceleration.
    """
    light, *others = model.inputs
    if light.channels == 1 and not others:
        return False
    if light.channels == 1 and len(others) == 1:
        (other,) = others
        if (other.name, other.channels, other.period) == (ACCELERATION_INPUT, AXES, 1):
            return True
    inputs = ", ".join(
        f"{i.name} of {i.channels} channels" + ("" if i.period == 1 else f", a sample per {i.period}")
        for i in model.inputs
    )
    cure = (
        "The watch feeds one channel of PPG, and three of acceleration at the same rate to an input that is called "
        f"{ACCELERATION_INPUT}: use to_c --tflite for others"
    )
    raise ExportError(f"takes {inputs}", field=model.name, cure=cure)


@dataclass(frozen=True)
class AccelerationRules:
    """Every number of the layer between an accelerometer and the model.

    Attributes:
        burst: samples per read-out of the accelerometer. ring: slots of its ring. late: farthest that a packet can be behind,
            and longest gap that its clock is followed over, samples.
        hop: rows of a hop. line: rows that are kept.
        apart: rows by which what has come of the two may differ. patience: samples of light beyond a burst that wait for acceleration.
        reach: samples of light, gap included, over which the clocks are compared.
    """

    burst: int
    ring: int
    late: int
    hop: int
    line: int
    apart: int
    patience: int
    reach: int

    def constants(self) -> dict[str, int | str]:
        """As macros of the C."""
        return {
            "ONWRIST_ACC_RING": self.ring, "ONWRIST_ACC_LATE": self.late, "ONWRIST_ACC_LINE": self.line,
            "ONWRIST_ACC_APART": self.apart, "ONWRIST_ACC_PATIENCE": self.patience, "ONWRIST_ACC_REACH": self.reach,
        }  # fmt: skip


def acceleration_of(model: IntegerModel, light: FixedDesign) -> AccelerationDesign | None:
    """The accelerometer's front end that a student needs, None of one that takes light alone.

    Raises:
        ExportError: it needs one, and none is there.
    """
    if not takes_acceleration(model):
        return None
    if light.acceleration is None:
        cure = "Describe it: SensorConfig(acceleration=AccelerometerConfig(rate_hz, bits, counts_per_g)), or the same of design()"
        raise ExportError("takes acceleration, and the sensor has no accelerometer", field=model.name, cure=cure)
    return light.acceleration


def acceleration_rules(light: FixedDesign, hop: int, burst: int = BURST, light_burst: int = BURST) -> AccelerationRules:
    """The rules of an accelerometer beside an optical sensor.

    Args:
        light: with an accelerometer. hop: samples of the student. burst, light_burst: samples per read-out of either sensor.
    """
    design = light.acceleration
    assert design is not None
    hop_s = hop / STUDENT_RATE_HZ
    apart_s = MAX_APART_S + burst / design.rate_hz + light_burst / light.rate_hz
    apart, patience = math.ceil(apart_s * STUDENT_RATE_HZ), math.ceil(apart_s * light.rate_hz)
    reach = int(MAX_BRIDGE_S * light.rate_hz) + light_burst
    waiting = max(reach, capacity_for(light.rate_hz, light_burst, hop_s) + patience)
    return AccelerationRules(
        burst, capacity_for(design.rate_hz, burst, hop_s), int(MAX_LATE_S * design.rate_hz), hop,
        hop + math.ceil(waiting * light.up / light.down) + apart + 2, apart, patience, reach,
    )  # fmt: skip
