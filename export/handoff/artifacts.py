"""A student in every form at once: float, fake-quantised, integers, TFLite bytes, ONNX bytes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from onwrist.export.graphs.tflite_writer import check_integer_only, write_tflite, write_tflite_step
from onwrist.export.sources.acceleration_rules import ACCELERATION_INPUT, acceleration_of, takes_acceleration
from onwrist.models.student.names import EMBEDDING_OUTPUT, FRAMES_OUTPUT, NEXT_STATE, STATE
from onwrist.quantize.integers.arithmetic import IntegerModel, read_integers
from onwrist.signals.front_end.fixed import FixedDesign

if TYPE_CHECKING:
    from onwrist.models.student.graph import AnyStudent
    from onwrist.quantize.integers.fake_quant import QuantGraph

SIZES = ("watch", "band")
# Which way the counts go that the students are trained on; see `count_wave`.
BLOOD = "rise"
ROUNDING = "gemmlowp double rounding (TFLM and LiteRT reference kernels)"


class Named(Protocol):
    """Integers under the name of a size: what a contract is made of."""

    @property
    def size(self) -> str:
        """Name in the ladder."""
        ...

    @property
    def model(self) -> IntegerModel:
        """The integers."""
        ...


@dataclass(frozen=True)
class Artifacts:
    """One student, ready to be compared and handed over.

    Attributes:
        size: name in the ladder.
        student: the float parent, the reference of every parity figure.
        quantised: the QAT student.
        model: its integers.
        tflite, onnx: files.
    """

    size: str
    student: AnyStudent
    quantised: QuantGraph
    model: IntegerModel
    tflite: bytes
    onnx: bytes

    def tflite_step(self, hop: int) -> bytes:
        """The TFLite file of one hop of `hop` samples."""
        data = write_tflite_step(self.model, hop)
        check_integer_only(data)
        return data

    def onnx_step(self, hop: int) -> bytes:
        """The ONNX file of one hop of `hop` samples."""
        from onwrist.export.graphs.onnx_step import write_onnx_step

        return write_onnx_step(self.model, hop)


def load_artifacts(
    size: str, quantised: Path | None = None, student: Path | None = None, teacher: str | None = None
) -> Artifacts:
    """Load the weights of a size (default: the shipped ones, or those made of a teacher) and export them.

    Raises:
        CheckpointError, ExportError.
    """
    from onwrist.export.graphs.onnx_writer import write_onnx
    from onwrist.quantize.integers.training import load_quantised
    from onwrist.quantize.teaching.student_files import float_weights, int8_weights, load_student

    parent, _ = load_student(student or float_weights(size, teacher))
    child = load_quantised(quantised or int8_weights(size, teacher))
    model = read_integers(child)
    tflite = write_tflite(model)
    check_integer_only(tflite)
    return Artifacts(size, parent, child, model, tflite, write_onnx(child))


def contract(artifacts: Named, hop: int | None = None, front_end: FixedDesign | None = None) -> dict:
    """What firmware has to know to feed the model: rates, front end, scales, shapes, state, meaning of the outputs.

    Args:
        hop: input samples between outputs, for the streamed form.
        front_end: integers of the front end at the sensor's rate.
    """
    model = artifacts.model
    found = {
        "model": artifacts.size,
        "digest": model.digest(),
        "rounding": ROUNDING,
        "rate_hz": model.sees.rate_hz,
        "window_samples": model.window,
        "hop_multiple_samples": model.stride,
        # What comes out of it stands above.
        "front_end": {k: v for k, v in asdict(model.sees.counts).items() if k != "student_hz"},
        "input": {"type": "int8", "shape": [1, 1, model.window, 1], "scale": float(model.input_scale), "zero_point": 0},
        "embedding": {"type": "int8", "shape": [1, 1, 1, model.channels_of(EMBEDDING_OUTPUT)], "scale": float(model.embedding_scale), "zero_point": 0},
        "answers": {
            "type": "int8", "shape": [1, 1, 1, len(model.answers.columns)], "scale": float(model.answers_scale), "zero_point": 0,
            "names": list(model.answers.columns), "shown_by": model.answers.shown_by, **model.answers.sentences(),
        },
    }  # fmt: skip
    if hop and model.answers.framed:
        frames = model.output(FRAMES_OUTPUT)
        found["frame_answers"] = {
            "type": "int8", "shape": [1, 1, model.frames_of(FRAMES_OUTPUT, hop), len(model.answers.columns)],
            "scale": float(model.answers_scale), "zero_point": 0, "names": list(model.answers.columns),
            "frame_samples": int(model.timing.period[frames.place]),
            "note": "of every frame of a hop, oldest first, the newest with the hop's last sample; answers has the newest alone. "
            "In C: int8 at arena + ONWRIST_FRAME_ANSWERS_OFFSET, good until the next hop",
        }  # fmt: skip
    moves = len(model.inputs) > 1 and takes_acceleration(model)
    if moves:
        second = model.inputs[1]
        shape = [1, 1, model.window, second.channels]
        found[ACCELERATION_INPUT] = {"type": "int8", "shape": shape, "scale": float(second.scale), "zero_point": 0}
    if hop:
        found["stream"] = {
            "hop_samples": hop,
            "valid_from_samples": model.window,
            "start": "state[i] holds start[i] of its channel in every frame, as if the input had been 0 for ever",
            "reset": "set the state to its start again, and the front end to its own; outputs are valid a window later",
            "state": [
                {"input": f"{STATE}{i}", "output": f"{NEXT_STATE}{i}", "shape": [1, 1, s.shape[1], s.shape[0]], "start": s[:, 0].tolist()}
                for i, s in enumerate(model.first_state(hop))
            ],
        }  # fmt: skip
    if front_end:
        found["counts"] = {
            "lowest": 0, "highest": 2**front_end.bits - 1, "when_blood_comes": BLOOD,
            "note": "a converter of reflected light mostly counts down then: give highest - count (in C: ONWRIST_COUNTS_FALL)",
        }  # fmt: skip
        found["fixed_point_front_end"] = {
            **front_end.plain(),
            "start": "FIR history, x1 and x2 hold the first value, everything else 0",
            "rounding": "FIR half up; high-pass floor, its remainder fed back; magnitude floor; quotient half away from zero",
        }
        if moves:
            found["acceleration"] = _acceleration(model, front_end)
    return found


def _acceleration(model: IntegerModel, front_end: FixedDesign) -> dict:
    """What firmware has to know of the accelerometer."""
    design = acceleration_of(model, front_end)
    assert design is not None
    return {
        "lowest": design.lowest, "highest": -design.lowest - 1, "axes": ["x", "y", "z"],
        "note": "gravity is +1 g on the axis that points up; where no acceleration is, all three axes are 0",
        "fixed_point_front_end": {
            **design.plain(),
            "start": "FIR history, x1 and x2 hold the first value, everything else 0; so behind a gap, its clock going on",
            "rounding": "FIR half up; high-pass floor, its remainder fed back; steps half away from zero",
        },
    }  # fmt: skip


def contract_text(artifacts: Named, hop: int | None = None, front_end: FixedDesign | None = None) -> str:
    """`contract` as JSON."""
    return json.dumps(contract(artifacts, hop, front_end), indent=1)
