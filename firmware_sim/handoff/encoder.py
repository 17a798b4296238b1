"""Whether the encoder's own files in a bundle are one encoder, in a process of its own (see `jobs`)."""

from __future__ import annotations

import numpy as np

from onwrist.errors import OnwristError
from onwrist.export.handoff.names import HUB_FLOAT, HUB_ONNX, HUB_TFLITE
from onwrist.firmware_sim.handoff.confined import Row, check
from onwrist.firmware_sim.handoff.opening import plain

# Its files against its float one, on pulses: far below what INT8 costs (0.99), far above another network.
HUB_COSINE, HUB_DIFFERENCE, HUB_WINDOWS = 0.95, 1e-3, 12


def hub(given: tuple[dict[str, bytes], set[str]]) -> list[Row]:
    """The encoder's files: INT8 against float on pulses, and float against the shipped encoder where it is that.

    Args:
        given: files by path; SHA-256 of the teachers that the manifest names.
    """
    files, teachers = given
    try:
        windows = _pulses()
        outputs = {name: _encode(name, data, windows) for name, data in files.items()}
    except ImportError as error:
        return [Row("not run", "the encoder", f"{error.name} is not installed")]
    except Exception as error:  # whatever a damaged file makes a runtime raise, the bundle is not valid
        return [Row("FAIL", "the encoder", f"{type(error).__name__}: {plain(str(error))[:160]}")]
    rows = []
    if HUB_FLOAT in outputs:
        rows.append(_as_shipped(outputs[HUB_FLOAT], windows, teachers))
    for name in (HUB_ONNX, HUB_TFLITE):
        if name in outputs and HUB_FLOAT in outputs:
            worst = _cosines(outputs[HUB_FLOAT], outputs[name]).min()
            wrong = "" if worst >= HUB_COSINE else f"cosine to {HUB_FLOAT} {worst:.3f}, below {HUB_COSINE}"
            rows.append(check(name, wrong, f"worst cosine to {HUB_FLOAT} {worst:.4f} on {len(windows)} windows"))
        elif name in outputs:
            rows.append(Row("not checked", name, f"there is no {HUB_FLOAT} to compare it with"))
    return rows


def _pulses() -> np.ndarray:
    """(HUB_WINDOWS, 1000): stretches of the golden recording as the encoder takes them, 10 s at 100 Hz in [-1, 1]."""
    from onwrist.export.handoff.golden import GOLDEN_FROM_S, GOLDEN_RECORDING
    from onwrist.resources import SHIPPED
    from onwrist.signals.pulse.clean import clean_ppg, fill_gaps, resample
    from onwrist.signals.recordings.readers import read_recording

    ppg = read_recording(SHIPPED / GOLDEN_RECORDING).ppg
    first = int(GOLDEN_FROM_S * ppg.rate_hz)
    piece = fill_gaps(ppg.samples[first : first + int((10 * HUB_WINDOWS + 1) * ppg.rate_hz)])
    wave = resample(clean_ppg(piece, ppg.rate_hz), ppg.rate_hz, 100)[: 1000 * HUB_WINDOWS].reshape(HUB_WINDOWS, 1000)
    low, high = wave.min(axis=1, keepdims=True), wave.max(axis=1, keepdims=True)
    return (2 * (wave - low) / (high - low) - 1).astype(np.float32)


def _encode(name: str, data: bytes, windows: np.ndarray) -> np.ndarray:
    from onwrist.export.graphs.onnx_writer import check_self_contained
    from onwrist.export.handoff.hub import run_onnx, run_tflite

    if name == HUB_TFLITE:
        found = run_tflite(data, windows)
    else:
        check_self_contained(data)
        found = run_onnx(data, windows)
    if found.ndim != 2 or len(found) != len(windows) or not np.isfinite(found).all():
        raise OnwristError("gives no embeddings", where=name)
    return found


def _as_shipped(found: np.ndarray, windows: np.ndarray, teachers: set[str]) -> Row:
    import hashlib

    from onwrist.models.encoders.checkpoint import TEACHER, load_encoder

    if teachers != {hashlib.sha256(TEACHER.read_bytes()).hexdigest()}:
        return Row("not checked", HUB_FLOAT, "whether it is the teacher's: that encoder is not here to compare with")
    import torch

    with torch.no_grad():
        ours = load_encoder()(torch.from_numpy(windows)).numpy()
    far = float(np.abs(ours - found).max() / np.abs(ours).max()) if ours.shape == found.shape else float("inf")
    wrong = "" if far <= HUB_DIFFERENCE else f"is {far:.1e} of the range away from the shipped encoder"
    return check(HUB_FLOAT, wrong, f"within {far:.0e} of the range of the shipped encoder")


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.shape != b.shape:
        return np.zeros(1)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(norms, 1e-12)
