"""The TFLite and ONNX files of a quantised student, as a window or as one hop of a stream."""

from __future__ import annotations

from pathlib import Path

from onwrist.export.graphs.onnx_step import write_onnx_step
from onwrist.export.graphs.onnx_writer import write_onnx
from onwrist.export.graphs.tflite_writer import check_integer_only, write_tflite, write_tflite_step
from onwrist.quantize.integers.training import load_integers, load_quantised
from onwrist.signals.front_end.floating import hop_samples


def student_tflite(weights: Path, hop_s: float | None = None) -> bytes:
    """A quantised student as full-integer TFLite: the window, or with `hop_s` (seconds) one hop with its state.

    Raises:
        CheckpointError: the weights do not fit. ExportError: a float operator would be left.
        ConfigError: no such hop.
    """
    model = load_integers(weights)
    data = (
        write_tflite_step(model, hop_samples(hop_s, model.stride, model.sees.rate_hz)) if hop_s else write_tflite(model)
    )
    check_integer_only(data)
    return data


def student_onnx(weights: Path, hop_s: float | None = None) -> bytes:
    """The same as quantised ONNX: Q/DQ around every operation of the window, integers in the open in the hop.

    Raises:
        CheckpointError: the weights do not fit. ConfigError: no such hop.
    """
    if hop_s:
        model = load_integers(weights)
        return write_onnx_step(model, hop_samples(hop_s, model.stride, model.sees.rate_hz))
    return write_onnx(load_quantised(weights))
