"""A band student's bundle and its report, made once, and ways to change them."""

import copy
import functools
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onwrist.export.handoff.artifacts import load_artifacts
from onwrist.export.handoff.bundle import Bundle, assemble, manifest
from onwrist.export.handoff.names import MANIFEST, REPORT_JSON, REPORT_PAGE, SIGNATURE
from onwrist.export.handoff.provenance import origin
from onwrist.firmware_sim.fleet.counting import shipped_reference
from onwrist.firmware_sim.handoff import jobs
from onwrist.firmware_sim.handoff.confined import Row
from onwrist.firmware_sim.watch.golden import golden_watch_header
from onwrist.resources import SHIPPED
from onwrist.signals.front_end.fixed import design

HOP, RATE, BITS = 25, 64, 19
REPORT_S = 40


@functools.cache
def band():
    return load_artifacts("band")


@functools.cache
def plain_bundle() -> Bundle:
    """Not judged."""
    return assemble([(band(), origin("band"))], HOP, design(RATE, BITS), golden_watch_header, shipped_reference)


@functools.cache
def report() -> dict[str, bytes]:
    """Of a stretch of a wrist, with the stored gates on labelled people; its page is not what is tested."""
    from onwrist.firmware_sim.parity.deployed import Deployed
    from onwrist.firmware_sim.parity.gates import cohort_gates, stored_path
    from onwrist.firmware_sim.parity.play import stream
    from onwrist.firmware_sim.parity.summary import summary
    from onwrist.signals.recordings.readers import read_recording

    whole = read_recording(SHIPPED / "S34.npz")
    first, last = (int(s * whole.ppg.rate_hz) for s in (660, 660 + REPORT_S))
    short = replace(whole, ppg=replace(whole.ppg, samples=whole.ppg.samples[first:last]), ecg=None, labels={})
    result = stream(short, Deployed(band()))
    stored = json.loads(stored_path("band").read_text())
    result = result.with_gates(cohort_gates(stored["result"], "stored", stored["date"]))
    return {
        REPORT_PAGE: b"<title>report</title>",
        REPORT_JSON: json.dumps({"runs": [summary(result)], "hub": []}).encode(),
    }


@functools.cache
def judged_bundle() -> Bundle:
    """With a report in which every gate passed; skips where the shipped student fails one, which is for its own tests to say."""
    bundle = plain_bundle().with_report(report())
    failed = [g["name"] for g in json.loads(report()[REPORT_JSON])["runs"][0]["gates"] if not g["passed"]]
    if failed:
        pytest.skip(f"the shipped band student fails its own gates: {', '.join(failed)}")
    return bundle


def files_of(bundle: Bundle) -> dict[str, bytes]:
    """As a reader finds them, manifest included."""
    return {**bundle.files, MANIFEST: manifest(bundle)}


def rehashed(files: dict[str, bytes], **fields) -> dict[str, bytes]:
    """With a manifest to match: its hashes are right again, its other fields as they were or as given."""
    found = json.loads(files[MANIFEST])
    rest = {n: d for n, d in files.items() if n not in (MANIFEST, SIGNATURE)}
    again = json.loads(manifest(Bundle(rest, found["students"], found["origins"], found["verdict"])))
    return {**files, MANIFEST: json.dumps({**found, "sha256": again["sha256"], **fields}).encode()}


def packed(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def arrays(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data)) as archive:
        return {k: archive[k].copy() for k in archive}


def array_file(values: dict[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **values)
    return out.getvalue()


def edit_json(data: bytes, how) -> bytes:
    """`how` changes what is in the file, or returns something in its place."""
    found = json.loads(data)
    changed = how(found)
    return json.dumps(found if changed is None else changed, indent=1).encode()


def edit_run(bundle: Bundle, how) -> Bundle:
    """With another report.json, whatever it says."""

    def edit(found: dict) -> None:
        how(found["runs"][0])

    return replace(bundle, files={**bundle.files, REPORT_JSON: edit_json(bundle.files[REPORT_JSON], edit)})


def here(job: str, given) -> list[Row]:
    """A job in this process: what is tested is what it finds, not that it is confined."""
    return jobs.run(job, copy.copy(given))


def derived_only(job: str, given) -> list[Row]:
    """The first job alone: nothing is loaded by an interpreter, compiled or emulated."""
    return here(job, given) if job == "derive" else [Row("ok", job, "left out by the test")]
