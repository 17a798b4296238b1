"""The last stage of the road: students in every form, played, judged, packed and verified.

done = hand_over(spec, folder, out)
print(summary(done))
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.handoff.artifacts import SIZES, Artifacts, load_artifacts
from onwrist.export.handoff.bundle import assemble, claim_bundle, write_bundle
from onwrist.export.handoff.hub import float_onnx, hub_onnx, hub_tflite, people_windows, run_onnx, run_tflite
from onwrist.export.handoff.names import HUB_FLOAT, HUB_ONNX, HUB_TFLITE, INDEX_PAGE, SPEC
from onwrist.export.handoff.provenance import Origin, origin
from onwrist.firmware_sim.fleet.counting import shipped_reference
from onwrist.firmware_sim.handoff.index import with_index
from onwrist.firmware_sim.handoff.road import OWN_STUDENT, QUANTISED, STUDENT, TAUGHT, held_out
from onwrist.firmware_sim.handoff.verify import Verdict, verify
from onwrist.firmware_sim.page.builder import page_files
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.gates import judge_people
from onwrist.firmware_sim.parity.making import read_making
from onwrist.firmware_sim.parity.play import stream
from onwrist.firmware_sim.parity.report import report_files
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.parity.sweep import stored_curves
from onwrist.firmware_sim.parity.terminal import table
from onwrist.firmware_sim.watch.golden import golden_watch_header
from onwrist.firmware_sim.watch.sensor import AccelerometerConfig, SensorConfig
from onwrist.firmware_sim.watch.watch import WatchConfig
from onwrist.models.encoders.checkpoint import TEACHER, load_encoder
from onwrist.quantize.judging.evaluate import Evaluation, cosine
from onwrist.quantize.teaching.examples import embed_teacher
from onwrist.resources import WEIGHTS
from onwrist.resources import recording as shipped_or_own
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.recordings.readers import read_recording
from onwrist.spec import InputPart, Spec, Teacher

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


@dataclass(frozen=True)
class Done:
    """What a handoff left.

    Attributes:
        folder, packed: the bundle and its zip. page: name of the page to begin with.
        results: a run per student. hub: figures of the encoder itself. verdict: of the verifier.
    """

    folder: Path
    packed: Path
    page: str
    results: list[Streamed]
    hub: list[dict]
    verdict: Verdict

    @property
    def passed(self) -> bool:
        """Whether every gate holds and the bundle verifies."""
        return all(r.passed for r in self.results) and not self.verdict.failed


def hand_over(
    spec: Spec,
    work: Path,
    out: Path,
    *,
    hub: bool = True,
    firmware: bool = True,
    store: bool = False,
    progress: Progress = silent,
) -> Done:
    """Export a spec's students, play its recording, judge, write the bundle and verify it.

    Args:
        work: folder where `road.training_stages` left a student of the spec's own.
        out: the bundle's folder; its zip is written beside it.
        hub: also the encoder itself, where it is the shipped one. store: keep its figures beside the weights.

    Raises:
        OnwristError: a recording, weights, or a folder that cannot be used.
    """
    s = spec.sensor
    beside = accelerometer_of(spec)
    sensor = SensorConfig(s.rate_hz, s.fifo, s.bits, s.replay, s.when_blood_comes, beside)
    # The page plays the people that ship, whose counts are others.
    shipped = SensorConfig(s.rate_hz, s.fifo, s.bits)
    watch = WatchConfig(spec.stream.hop_s, sensor, spec.stream.gap)
    results, curves, students = [], [], []
    costs = {a.name: a.gate for a in spec.answers if a.gate is not None}
    with claim_bundle(out):
        recording = read_recording(shipped_or_own(Path(spec.stream.recording)))
        for artifacts, source in _students(spec, work):
            students.append((artifacts, source))
            curves += stored_curves(artifacts)
            result = stream(
                recording, Deployed(artifacts, watch, spec.gates, spec.student), progress, firmware=firmware
            )
            people = judge_people(artifacts, _people(spec, artifacts, progress), progress, spec.gates, costs)
            results.append(result.with_gates(people))
        figures, encoder_files = hub_figures(progress) if hub and spec.teacher == Teacher() else ([], {})
        if store:
            kept = [r for r in figures if r["source"] == "measured"]
            HUB_STORED.write_text(json.dumps(kept, indent=1) + "\n")
        first = results[0].deployed
        bundle = assemble(students, first.hop, first.front_end, golden_watch_header, shipped_reference).with_files(
            encoder_files
        )
        bundle = bundle.with_files({SPEC: spec.resolved().encode()})
        if beside is None:  # the page has no accelerometer yet
            bundle = bundle.with_files(page_files([a for a, _ in students], replace(watch, sensor=shipped), progress))
        making = read_making(work / TAUGHT) if spec.trains else None
        bundle = bundle.with_report(report_files(results, figures, curves, making))
        packed = write_bundle(out, with_index(bundle))
    return Done(out, packed, INDEX_PAGE, results, figures, verify(packed))


def summary(done: Done) -> str:
    """The run's table, and the lines of the verifier that are not plainly good."""
    lines = [table(done.results, done.hub), f"bundle: {done.verdict.word} ({len(done.verdict.lines)} checks)"]
    return "\n".join([*lines, *(line for line in done.verdict.lines if not line.startswith("ok"))])


def accelerometer_of(spec: Spec) -> AccelerometerConfig | None:
    """A spec's accelerometer, read out as often as its light."""
    a, s = spec.accelerometer, spec.sensor
    if a is None:
        return None
    fifo = max(1, round(s.fifo * a.rate_hz / s.rate_hz))
    return AccelerometerConfig(rate_hz=a.rate_hz, bits=a.bits, counts_per_g=a.counts_per_g, fifo=fifo)


def _students(spec: Spec, work: Path) -> list[tuple[Artifacts, Origin]]:
    if not spec.trains:
        return [(load_artifacts(size), origin(size)) for size in SIZES]
    size = OWN_STUDENT if spec.student.source else spec.student.size
    quantised, student = work / QUANTISED, work / STUDENT
    named = origin(size, spec.teacher.source, quantised, student)
    return [(load_artifacts(size, quantised, student), named)]


def _people(spec: Spec, artifacts: Artifacts, progress: Progress) -> Evaluation | None:
    """The held-out people of a spec's own student; None for the shipped deployment, and for its answers on its people."""
    own = spec.trains and (spec.data.recordings or spec.answers or spec.input != InputPart())
    return held_out(spec, artifacts.student, progress) if own else None
