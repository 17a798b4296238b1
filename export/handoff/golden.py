"""Golden vectors: counts of a sensor, and what every core has to make of them."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass, field

import numpy as np

from onwrist.export.sources.c_text import c_array
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.quantize.integers.stream import IntegerStream
from onwrist.signals.front_end.fixed import FixedDesign, FixedFrontEnd

# A good stretch of a real wrist, rails at random, a constant.
GOLDEN_RECORDING, GOLDEN_FROM_S = "S34.npz", 660
GOLDEN_REAL_S, GOLDEN_RAILS_S, GOLDEN_FLAT_S = 20, 4, 6
GOLDEN_S = GOLDEN_REAL_S + GOLDEN_RAILS_S + GOLDEN_FLAT_S
# Of the good stretch that a window fits into, whatever the student sees.
GOLDEN_VALID_S = 4
LAYER, OTHER = "layer_", "output_"
# Digits of a student's digest that its self-test says.
DIGEST = 16


@dataclass(frozen=True)
class Golden:
    """Counts and what they have to become.

    Attributes:
        counts: int32 (n,). input: int8 (hops, hop). embedding: int8 (hops, 256). answers: int8 (hops, 3).
        layers: name -> int8 (channels, frames), every layer's output of the last hop. others: name -> int8 (hops or frames,
            C), of what it says beside the two.
    """

    counts: np.ndarray
    input: np.ndarray
    embedding: np.ndarray
    answers: np.ndarray
    layers: dict[str, np.ndarray]
    others: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """As `golden.npz` holds them."""
        found = {
            "counts": self.counts,
            "input": self.input,
            EMBEDDING_OUTPUT: self.embedding,
            ANSWERS_OUTPUT: self.answers,
        }
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


def golden_of(model: IntegerModel, hop: int, fixed: FixedDesign, counts: np.ndarray) -> Golden:
    """Counts (n,) through the fixed-point front end and the numpy model of the firmware's arithmetic: integers only."""
    x = FixedFrontEnd.of(fixed).push(counts)
    hops = len(x) // hop
    x = x[: hops * hop].reshape(hops, hop)
    stream = IntegerStream(model, hop)
    rows = [stream.push(chunk) for chunk in x]
    layers = {f"{i:02d}_{n}": o for i, (n, o) in enumerate(zip(model.labels, stream.outputs, strict=True))}
    embedding, answers, *others = (np.concatenate(each) for each in zip(*rows, strict=True))
    names = [o.name for o in model.outputs[2:]]
    return Golden(counts, x, embedding, answers, layers, dict(zip(names, others, strict=True)))


def golden_vectors(model: IntegerModel, hop: int, fixed: FixedDesign) -> Golden:
    """The vectors that this release hands over for a student at a hop, behind a sensor."""
    real_s = max(GOLDEN_REAL_S, math.ceil(model.window / model.sees.rate_hz) + GOLDEN_VALID_S)
    return golden_of(model, hop, fixed, golden_counts(fixed.rate_hz, fixed.bits, real_s))


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
            c_array("int8_t", "onwrist_golden_answers", golden.answers), "", "#endif", "",
        ]
    )  # fmt: skip
