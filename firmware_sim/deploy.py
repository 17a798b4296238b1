"""From the shipped weights and recordings to a handoff folder and a parity report: what `make deploy` runs.

python firmware_sim/deploy.py
python firmware_sim/deploy.py --recording my_e4_folder --out build/mine
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.handoff.artifacts import SIZES, load_artifacts
from onwrist.export.handoff.bundle import shared_files, student_files, write_bundle
from onwrist.export.handoff.hub import float_onnx, hub_onnx, hub_tflite, people_windows, run_onnx, run_tflite
from onwrist.firmware_sim.handoff.verify import verify
from onwrist.firmware_sim.parity.gates import judge_cohort
from onwrist.firmware_sim.parity.report import REPORT_HTML, report_files, table
from onwrist.firmware_sim.stream import stream
from onwrist.firmware_sim.sweep import stored_curves
from onwrist.firmware_sim.watch.sensor import SensorConfig
from onwrist.firmware_sim.watch.watch import WatchConfig
from onwrist.models.encoders.checkpoint import TEACHER, load_encoder
from onwrist.quantize.judging.evaluate import cosine
from onwrist.quantize.teaching.examples import embed_teacher
from onwrist.resources import WEIGHTS
from onwrist.signals.front_end.fixed import design
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.recordings.readers import read_recording

HUB_STORED = WEIGHTS / "hub.json"
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
        ("ONNX float32", lambda: float_onnx(encoder), run_onnx, "encoder.float.onnx"),
        ("ONNX INT8", hub_onnx, run_onnx, "encoder.int8.onnx"),
        ("TFLite INT8", hub_tflite, run_tflite, "encoder.int8.tflite"),
    )
    for name, make, run_file, file in progress(makers, "hub"):
        try:
            data = make()
        except ExportError as error:
            rows += _stored_hub(name, digest, str(error))
            continue
        files[f"hub/{file}"] = data
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


def main(config: DeployConfig) -> int:
    """Export every student, stream a real hour through the simulated watch and the firmware, write a bundle, verify it."""
    from onwrist.command import GATE_FAILED, bar, say

    recording = read_recording(config.recording)
    watch = WatchConfig(config.hop_s, SensorConfig())
    fixed = design(watch.sensor.rate_hz, watch.sensor.bits)
    results, curves, files, students = [], [], shared_files(), {}
    for size in SIZES:
        artifacts = load_artifacts(size)
        files |= student_files(artifacts, watch.hop_samples(artifacts.model.stride), fixed)
        students[size] = artifacts.model.digest()
        curves += stored_curves(artifacts)
        result = stream(recording, artifacts, watch, bar, firmware=config.firmware)
        result.gates += judge_cohort(artifacts, bar)
        results.append(result)
    hub: list[dict] = []
    if config.hub:
        hub, encoder_files = hub_figures(bar)
        files |= encoder_files
    if config.store:
        HUB_STORED.write_text(json.dumps([r for r in hub if r["source"] == "measured"], indent=1) + "\n")
    passed = all(r.passed for r in results)
    files |= report_files(results, hub, curves)
    packed = write_bundle(config.out, files, students, "valid" if passed else "invalid")
    verdict = verify(packed)
    print(table(results, hub))
    print(f"bundle: {verdict.word} ({len(verdict.lines)} checks)")
    for line in verdict.lines:
        if not line.startswith("ok"):
            print(line)
    say(f"bundle: {config.out} and {packed}\nreport: {config.out / REPORT_HTML}")
    return 0 if passed and not verdict.failed else GATE_FAILED


if __name__ == "__main__":
    from onwrist.command import run

    run(main, DeployConfig)
