"""Golden vectors: counts of a sensor, and what every core has to make of them."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass, field

import numpy as np

from onwrist.export.sources.acceleration_rules import acceleration_of
from onwrist.export.sources.c_text import c_array
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.quantize.integers.stream import IntegerStream
from onwrist.signals.front_end.acceleration import AXES, AccelerationDesign, FixedAcceleration
from onwrist.signals.front_end.fixed import FixedDesign, FixedFrontEnd

# A good stretch of a real wrist, rails at random, a constant.
GOLDEN_RECORDING, GOLDEN_FROM_S = "S34.npz", 660
GOLDEN_REAL_S, GOLDEN_RAILS_S, GOLDEN_FLAT_S = 20, 4, 6
GOLDEN_S = GOLDEN_REAL_S + GOLDEN_RAILS_S + GOLDEN_FLAT_S
# Of the good stretch that a window fits into, whatever the student sees.
GOLDEN_VALID_S = 4
LAYER, OTHER = "layer_", "output_"
ACCELERATION_COUNTS, ACCELERATION_ROWS = "acc_counts", "acc_input"
# Digits of a student's digest that its self-test says.
DIGEST = 16


@dataclass(frozen=True)
class Golden:
    """Counts and what they have to become.

    Attributes:
        counts: int32 (n,). input: int8 (hops, hop). embedding: int8 (hops, 256). answers: int8 (hops, 3).
        acceleration: int32 (m, 3) counts of an accelerometer of the same seconds, and acceleration_input: int8 (hops, hop, 3),
            of a student that takes it.
        layers: name -> int8 (channels, frames), every layer's output of the last hop. others: name -> int8 (hops or frames,
            C), of what it says beside the two.
    """

    counts: np.ndarray
    input: np.ndarray
    embedding: np.ndarray
    answers: np.ndarray
    layers: dict[str, np.ndarray]
    others: dict[str, np.ndarray] = field(default_factory=dict)
    acceleration: np.ndarray | None = None
    acceleration_input: np.ndarray | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """As `golden.npz` holds them."""
        found = {
            "counts": self.counts,
            "input": self.input,
            EMBEDDING_OUTPUT: self.embedding,
            ANSWERS_OUTPUT: self.answers,
        }
        if self.acceleration is not None and self.acceleration_input is not None:
            found |= {ACCELERATION_COUNTS: self.acceleration, ACCELERATION_ROWS: self.acceleration_input}
        found |= {f"{OTHER}{name}": values for name, values in self.others.items()}
        return found | {f"{LAYER}{name}": values for name, values in self.layers.items()}


def golden_counts(rate_hz: float, bits: int, real_s: int = GOLDEN_REAL_S) -> np.ndarray:
    """int32 (n,) counts of a sensor: GOLDEN_S seconds, or as many more as `real_s` is longer than usual."""
    from onwrist.resources import SHIPPED
    from onwrist.signals.front_end.counts import convert, count_wave
    from onwrist.signals.recordings.readers import read_recording

    wave, _ = count_wave(read_recording(SHIPPED / GOLDEN_RECORDING), rate_hz, bits)
    rate, full = int(rate_hz), 2**bits - 1
    first = GOLDEN_FROM_S * rate
    real = convert(wave[first : first + real_s * rate], bits)
    rails = np.random.default_rng(0).choice([0, full], GOLDEN_RAILS_S * rate)
    return np.concatenate([real, rails, np.full(GOLDEN_FLAT_S * rate, full // 3)]).astype(np.int32)


def golden_acceleration(design: AccelerationDesign) -> np.ndarray:
    """int32 (GOLDEN_S * rate, 3) counts of an accelerometer: the same wrist and seconds, rails at random, a constant."""
    from onwrist.resources import SHIPPED
    from onwrist.signals.front_end.counts import acceleration_wave, convert_acceleration
    from onwrist.signals.recordings.readers import read_recording

    rate, low = design.rate_hz, design.lowest
    wave, _ = acceleration_wave(read_recording(SHIPPED / GOLDEN_RECORDING), rate)
    first = GOLDEN_FROM_S * rate
    real = convert_acceleration(wave[first : first + GOLDEN_REAL_S * rate], design.bits, design.counts_per_g)
    rails = np.random.default_rng(1).choice([low, -low - 1], (GOLDEN_RAILS_S * rate, AXES))
    return np.concatenate([real, rails, np.full((GOLDEN_FLAT_S * rate, AXES), low // 3)]).astype(np.int32)


def golden_of(
    model: IntegerModel, hop: int, fixed: FixedDesign, counts: np.ndarray, acceleration: np.ndarray | None = None
) -> Golden:
    """Counts (n,) through the fixed-point front end and the numpy model of the firmware's arithmetic: integers only.

    Args:
        acceleration: counts (m, 3), of a student that takes it.
    """
    x = FixedFrontEnd.of(fixed).push(counts)
    hops = len(x) // hop
    beside: list[np.ndarray] = []
    if acceleration is not None and fixed.acceleration is not None:
        beside = [FixedAcceleration.of(fixed.acceleration).push(acceleration)]
        hops = min(hops, len(beside[0]) // hop)
        beside = [beside[0][: hops * hop].reshape(hops, hop, AXES)]
    x = x[: hops * hop].reshape(hops, hop)
    stream = IntegerStream(model, hop)
    rows = [stream.push(chunk, *(b[k].T for b in beside)) for k, chunk in enumerate(x)]
    layers = {f"{i:02d}_{n}": o for i, (n, o) in enumerate(zip(model.labels, stream.outputs, strict=True))}
    embedding, answers, *others = (np.concatenate(each) for each in zip(*rows, strict=True))
    names = [o.name for o in model.outputs[2:]]
    more = (acceleration, beside[0]) if beside else ()
    return Golden(counts, x, embedding, answers, layers, dict(zip(names, others, strict=True)), *more)


def golden_vectors(model: IntegerModel, hop: int, fixed: FixedDesign) -> Golden:
    """The vectors that this release hands over for a student at a hop, behind a sensor."""
    real_s = max(GOLDEN_REAL_S, math.ceil(model.window / model.sees.rate_hz) + GOLDEN_VALID_S)
    design = acceleration_of(model, fixed)
    acceleration = golden_acceleration(design) if design else None
    return golden_of(model, hop, fixed, golden_counts(fixed.rate_hz, fixed.bits, real_s), acceleration)


def golden_file(golden: Golden) -> bytes:
    """`golden.npz`."""
    packed = io.BytesIO()
    np.savez(packed, **golden.arrays)  # type: ignore[arg-type]  # names are names
    return packed.getvalue()


def golden_header(golden: Golden, model: IntegerModel) -> str:
    """The vectors for the self-test, and whose they are."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", model.name)
    return "\n".join(
        [
            "/* Generated: counts, and what they have to become. */", "#ifndef ONWRIST_GOLDEN_H", "#define ONWRIST_GOLDEN_H", "",
            "#include <stdint.h>", "", f"#define ONWRIST_GOLDEN_COUNTS {len(golden.counts)}",
            f"#define ONWRIST_GOLDEN_HOPS {len(golden.input)}", f'#define ONWRIST_GOLDEN_STUDENT "{name}"',
            f'#define ONWRIST_GOLDEN_DIGEST "{model.digest()[:DIGEST]}"', "",
            c_array("int32_t", "onwrist_golden_counts", golden.counts),
            c_array("int8_t", "onwrist_golden_input", golden.input), c_array("int8_t", "onwrist_golden_embedding", golden.embedding),
            c_array("int8_t", "onwrist_golden_answers", golden.answers), *_acceleration(golden), "", "#endif", "",
        ]
    )  # fmt: skip


def _acceleration(golden: Golden) -> list[str]:
    """Rows of x, y, z for the five calls, and counts for the watch."""
    if golden.acceleration is None or golden.acceleration_input is None:
        return []
    return [
        f"#define ONWRIST_GOLDEN_ACC_COUNTS {len(golden.acceleration)}",
        c_array("int16_t", "onwrist_golden_acc_counts", golden.acceleration),
        c_array("int8_t", "onwrist_golden_acc_input", golden.acceleration_input),
    ]
