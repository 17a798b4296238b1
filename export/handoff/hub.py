"""The xMAE encoder itself in INT8, for an application processor: the `hub` size.

ONNX by ONNX Runtime's static quantisation; TFLite by Google's converter (`litert-torch`, the `hub` extra). Both are
post-training: per-channel weights, activations calibrated on shipped recordings. A transformer of this width does
not fit a microcontroller; it is here because a phone or a watch's application processor runs it in milliseconds.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from onwrist.errors import ExportError
from onwrist.export.graphs.onnx_writer import onnx_session
from onwrist.models.encoders.checkpoint import load_encoder
from onwrist.signals.people.cohort import cut, shipped_tracks

OPSET = 17
# Calibration and evaluation use different people of the shipped recordings.
CALIBRATION_WINDOWS = 128


def people_windows() -> tuple[np.ndarray, np.ndarray]:
    """(calibration, evaluation) min-max windows of disjoint shipped people."""
    cohort = cut(shipped_tracks())
    names = sorted(set(cohort.people))
    calibration = np.isin(cohort.people, names[::2])
    windows = cohort.teacher_windows()
    rng = np.random.default_rng(0)
    chosen = rng.permutation(np.flatnonzero(calibration))[:CALIBRATION_WINDOWS]
    return windows[chosen], windows[~calibration]


def float_onnx(encoder: nn.Module) -> bytes:
    """The encoder as float ONNX, (1, 1000) to (1, 256)."""
    sink = io.BytesIO()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator does not exist in ONNX
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            encoder,
            (torch.zeros(1, 1000),),
            sink,  # type: ignore[arg-type]  # a file object is taken too
            dynamo=False,
            opset_version=OPSET,
            input_names=["ppg"],
            output_names=["embedding"],
        )
    torch.backends.mha.set_fastpath_enabled(fast)
    return sink.getvalue()


def hub_onnx(checkpoint: str | Path | None = None) -> bytes:
    """Statically quantised ONNX of the encoder (QDQ, per-channel int8 weights, int8 activations)."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, windows: np.ndarray):
            self.rows = iter([{"ppg": row[None]} for row in windows])

        def get_next(self):
            return next(self.rows, None)

    calibration, _ = people_windows()
    with tempfile.TemporaryDirectory() as folder:
        source, ready, target = (str(Path(folder) / f"{n}.onnx") for n in ("float", "ready", "int8"))
        Path(source).write_bytes(float_onnx(load_encoder(checkpoint)))
        root_logger = logging.getLogger()
        level = root_logger.level
        root_logger.setLevel(logging.ERROR)  # onnxruntime advises pre-processing, which has just been done
        try:
            quant_pre_process(source, ready, skip_symbolic_shape=True)
            quantize_static(
                ready, target, Reader(calibration), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip
        finally:
            root_logger.setLevel(level)
        return Path(target).read_bytes()


def hub_tflite(checkpoint: str | Path | None = None) -> bytes:
    """INT8 TFLite of the encoder through litert-torch's PT2E flow; LayerNorm, GELU and softmax stay float.

    Raises:
        ExportError: the extra is not installed.
    """
    try:
        import litert_torch
        from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
        from litert_torch.quantize.quant_config import QuantConfig
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    except ImportError as error:
        raise ExportError(
            f"needs Google's converter ({error.name} is missing)", field="hub", cure="Install it: make witness"
        ) from None
    calibration, _ = people_windows()
    example = (torch.zeros(1, 1000),)
    quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False))
    # The converter prints its progress to standard output, which is the caller's.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        graph = torch.export.export(load_encoder(checkpoint), example).module()
        graph = prepare_pt2e(graph, quantizer)
        with torch.no_grad():
            for row in calibration:
                graph(torch.from_numpy(row[None]))
        graph = convert_pt2e(graph, fold_quantize=False)
        edge = litert_torch.convert(graph, example, quant_config=QuantConfig(pt2e_quantizer=quantizer))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "hub.tflite"
        edge.export(str(path))
        return path.read_bytes()


def run_onnx(data: bytes, windows: np.ndarray) -> np.ndarray:
    """(n, 1000) through an encoder file in ONNX Runtime, (n, 256)."""
    session = onnx_session(data)
    return np.concatenate([session.run(None, {"ppg": row[None]})[0] for row in windows])


def run_tflite(data: bytes, windows: np.ndarray) -> np.ndarray:
    """(n, 1000) through an encoder file in LiteRT, (n, 256)."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for row in windows:
        interpreter.set_tensor(source["index"], _to_kind(row[None], source))
        interpreter.invoke()
        rows.append(_to_real(interpreter.get_tensor(target["index"]), target))
    return np.concatenate(rows)


def _to_kind(x: np.ndarray, detail: dict) -> np.ndarray:
    if detail["dtype"] != np.int8:
        return x
    scale, zero = detail["quantization"]
    return np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)


def _to_real(x: np.ndarray, detail: dict) -> np.ndarray:
    if detail["dtype"] != np.int8:
        return x.copy()
    scale, zero = detail["quantization"]
    return (x.astype(np.float32) - zero) * scale
