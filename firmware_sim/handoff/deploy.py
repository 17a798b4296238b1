"""From the shipped weights and recordings to a handoff folder and a parity report: what `make deploy` runs."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.handoff.hub import float_onnx, hub_onnx, hub_tflite, people_windows, run_onnx, run_tflite
from onwrist.export.handoff.names import HUB_FLOAT, HUB_ONNX, HUB_TFLITE
from onwrist.models.encoders.checkpoint import TEACHER, load_encoder
from onwrist.quantize.judging.evaluate import cosine
from onwrist.quantize.teaching.examples import embed_teacher
from onwrist.resources import WEIGHTS
from onwrist.signals.people.cohort import Progress, silent

HUB_STORED = WEIGHTS / "hub.json"

# Windows of the encoder's own comparison: enough for a median, a few seconds of work.
HUB_WINDOWS = 200


def hub_figures(progress: Progress = silent) -> tuple[list[dict], dict[str, bytes]]:
    """Export the encoder in every format that can be made here; size and cosine of each on held-out people, and files.

    A format whose converter is not installed comes from the stored figures, marked as stored, if they are of the
    same weights.
    """
    encoder = load_encoder()
    _, windows = people_windows()
    windows = windows[:: max(1, len(windows) // HUB_WINDOWS)]
    reference = embed_teacher(encoder, windows)
    digest = hashlib.sha256(TEACHER.read_bytes()).hexdigest()
    rows, files = [], {}
    makers = (
        ("ONNX float32", lambda: float_onnx(encoder), run_onnx, HUB_FLOAT),
        ("ONNX INT8", hub_onnx, run_onnx, HUB_ONNX),
        ("TFLite INT8", hub_tflite, run_tflite, HUB_TFLITE),
    )
    for name, make, run_file, file in progress(makers, "hub"):
        try:
            data = make()
        except ExportError as error:
            rows += _stored_hub(name, digest, str(error))
            continue
        files[file] = data
        similarity = cosine(reference, run_file(data, windows))
        rows.append(
            {
                "format": name, "bytes": len(data), "cosine_median": float(np.median(similarity)),
                "cosine_worst": float(similarity.min()), "windows": len(windows), "source": "measured", "teacher": digest,
            }
        )  # fmt: skip
    return rows, files


def _stored_hub(name: str, digest: str, why: str) -> list[dict]:
    if not HUB_STORED.exists():
        return []
    rows = [r for r in json.loads(HUB_STORED.read_text()) if r["format"] == name and r["teacher"] == digest]
    return [{**r, "source": f"stored ({why})"} for r in rows]
