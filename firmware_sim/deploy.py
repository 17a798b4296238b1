"""From the shipped weights and recordings to a handoff folder and a parity report: what `make deploy` runs.

python firmware_sim/deploy.py
python firmware_sim/deploy.py --recording my_e4_folder --out build/mine
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from export.artifacts import SIZES, Artifacts, contract_text, load_artifacts
from export.hub import float_onnx, hub_onnx, hub_tflite, people_windows, run_onnx, run_tflite
from export.to_tflite import write_whole
from firmware_sim.parity import judge_cohort
from firmware_sim.report import table, write_report
from firmware_sim.sensor import SensorConfig
from firmware_sim.stream import stream
from firmware_sim.sweep import stored_curves
from firmware_sim.watch import WatchConfig
from models.checkpoint import TEACHER, WEIGHTS, load_encoder
from quantize.dataset import embed_teacher
from quantize.evaluate import cosine
from signals.cohort import Progress, silent
from signals.errors import ExportError
from signals.fixed import design
from signals.readers import read_recording

MANIFEST = "manifest.json"
HUB_STORED = WEIGHTS / "hub.json"
PACKAGES = ("torch", "brevitas", "onnx", "onnxruntime", "ai-edge-litert", "tflite-micro", "numpy", "scipy")
# Windows of the encoder's own comparison: enough for a median, a few seconds of work.
HUB_WINDOWS = 200


@dataclass(frozen=True)
class DeployConfig:
    """The whole road, once."""

    recording: Path = Path("recordings/S34.npz")
    """What is streamed: an hour on a wrist."""
    out: Path = Path("build/handoff")
    """The handoff folder."""
    hop_s: float = 1.0
    """Seconds between outputs."""
    hub: bool = True
    """Also export the encoder itself."""
    firmware: bool = True
    """Also run the exported C, natively and on emulated Cortex-M4F, M33 and M7."""
    store: bool = False
    """Keep the encoder's figures beside the weights, for machines without the converter."""


def hub_figures(folder: Path, progress: Progress = silent) -> list[dict]:
    """Export the encoder in every format that can be made here; size and cosine of each on held-out people.

    A format whose converter is not installed comes from the stored figures, marked as stored, if they are of the
    same weights.
    """
    encoder = load_encoder()
    _, windows = people_windows()
    windows = windows[:: max(1, len(windows) // HUB_WINDOWS)]
    reference = embed_teacher(encoder, windows)
    digest = hashlib.sha256(TEACHER.read_bytes()).hexdigest()
    rows = []
    makers = (
        ("ONNX float32", lambda: float_onnx(encoder), run_onnx, "hub.float.onnx"),
        ("ONNX INT8", hub_onnx, run_onnx, "hub.onnx"),
        ("TFLite INT8", hub_tflite, run_tflite, "hub.tflite"),
    )
    for name, make, run_file, file in progress(makers, "hub"):
        try:
            data = make()
        except ExportError as error:
            rows += _stored_hub(name, digest, str(error))
            continue
        write_whole(folder / file, data)
        similarity = cosine(reference, run_file(data, windows))
        rows.append(
            {
                "format": name, "bytes": len(data), "cosine_median": float(np.median(similarity)),
                "cosine_worst": float(similarity.min()), "windows": len(windows), "source": "measured", "teacher": digest,
            }
        )  # fmt: skip
    return rows


def _stored_hub(name: str, digest: str, why: str) -> list[dict]:
    if not HUB_STORED.exists():
        return []
    rows = [r for r in json.loads(HUB_STORED.read_text()) if r["format"] == name and r["teacher"] == digest]
    return [{**r, "source": f"stored ({why})"} for r in rows]


def write_handoff(folder: Path, artifacts: Artifacts, watch: WatchConfig) -> None:
    """TFLite and ONNX of one student, as a window and as a hop, and their contract."""
    hop = watch.hop_samples(artifacts.model.stride)
    front_end = design(watch.sensor.rate_hz, watch.sensor.bits)
    write_whole(folder / f"{artifacts.size}.tflite", artifacts.tflite)
    write_whole(folder / f"{artifacts.size}.onnx", artifacts.onnx)
    write_whole(folder / f"{artifacts.size}.step.tflite", artifacts.tflite_step(hop))
    write_whole(folder / f"{artifacts.size}.step.onnx", artifacts.onnx_step(hop))
    write_whole(folder / f"{artifacts.size}.contract.json", contract_text(artifacts, hop, front_end).encode())


def write_manifest(folder: Path, verdict: str) -> Path:
    """SHA-256 of every file and the versions that made them; written last."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    manifest = {
        "verdict": verdict,
        "python": platform.python_version(),
        "packages": {p: _version(p) for p in PACKAGES},
        "sha256": {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files},
    }
    path = folder / MANIFEST
    write_whole(path, (json.dumps(manifest, indent=1) + "\n").encode())
    return path


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def main(config: DeployConfig) -> int:
    """Export every student, stream a real hour through the simulated watch, write the handoff folder and the report."""
    from signals.cli import GATE_FAILED, bar, say

    recording = read_recording(config.recording)
    config.out.mkdir(parents=True, exist_ok=True)
    (config.out / MANIFEST).unlink(missing_ok=True)
    results, curves = [], []
    watch = WatchConfig(config.hop_s, SensorConfig())
    for size in SIZES:
        artifacts = load_artifacts(size)
        write_handoff(config.out, artifacts, watch)
        curves += stored_curves(artifacts)
        result = stream(recording, artifacts, watch, bar, firmware=config.firmware)
        result.gates += judge_cohort(artifacts, bar)
        results.append(result)
    hub = hub_figures(config.out, bar) if config.hub else []
    if config.store:
        HUB_STORED.write_text(json.dumps([r for r in hub if r["source"] == "measured"], indent=1) + "\n")
    report = write_report(results, config.out, hub, curves)
    passed = all(r.passed for r in results)
    write_manifest(config.out, "valid" if passed else "invalid")
    print(table(results, hub))
    say(f"report: {report}")
    return 0 if passed else GATE_FAILED


if __name__ == "__main__":
    from signals.cli import run

    run(main, DeployConfig)
