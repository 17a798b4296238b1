"""The handoff bundle: everything about the students that a firmware team needs, with golden vectors and a manifest.

    bundle = assemble([(artifacts, origin("band"))], hop, fixed, makers).with_report(report_files)
    with claim_bundle(folder):
        write_bundle(folder, bundle)

A folder and the same as a zip. `manifest.json` has the SHA-256 of every file; what is not in it is not of the bundle. All
of a student but `window.onnx` follows from its integers, the sensor, the golden counts and the counters of the reference
(`derived_files`): whoever gets a bundle can make it again and compare.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import platform
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_writer import write_tflite, write_tflite_step
from onwrist.export.handoff.artifacts import ROUNDING, Artifacts, Named, contract_text
from onwrist.export.handoff.golden import Golden, golden_file, golden_header, golden_vectors
from onwrist.export.handoff.names import (
    CARD,
    CONTRACT,
    FORMAT,
    GOLDEN,
    INVALID,
    MANIFEST,
    MEMORY,
    NOT_JUDGED,
    REPORT_JSON,
    REPORT_PAGE,
    SHARED,
    SIGNATURE,
    SOURCES,
    STEP,
    STEP_ONNX,
    TELEMETRY,
    VALID,
    WINDOW,
    WINDOW_ONNX,
)
from onwrist.export.handoff.provenance import Origin, model_card
from onwrist.export.handoff.reference import Reference
from onwrist.export.handoff.signature import sign
from onwrist.export.sources.files import runtime_sources
from onwrist.export.sources.firmware import (
    GOLDEN_HEADER,
    GOLDEN_WATCH_HEADER,
    SELFTEST,
    Firmware,
    firmware_sources,
    with_beats,
    with_telemetry,
)
from onwrist.export.sources.packages import package_files
from onwrist.export.sources.telemetry_rules import TelemetryRules
from onwrist.export.sources.watch_rules import BURST
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.resources import C_SOURCES, licence
from onwrist.signals.front_end.fixed import FixedDesign
from onwrist.writing import claim, replace_folder

PACKAGES = (
    "torch", "brevitas", "onnx", "onnxruntime", "ai-edge-litert", "tflite-micro", "numpy", "scipy", "ziglang", "unicorn",
)  # fmt: skip
# Model, hop, front end, golden vectors, samples a burst, what is counted -> what the simulated watch, which is a floor above,
# makes of them.
WatchHeader = Callable[[IntegerModel, int, FixedDesign, Golden, int, TelemetryRules], str]
# Model, hop, front end -> what such a watch counts of people.
MakeReference = Callable[[IntegerModel, int, FixedDesign], Reference]
# As old as a zip can be: the same files give the same archive.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def memory_plan(firmware: Firmware) -> dict:
    """Arena, state and lifetimes as plain values."""
    plan = firmware.arena
    return {
        "arena_bytes": plan.bytes, "state_tensors": [list(pair) for pair in plan.state],
        "tensors": [
            {"tensor": t, "offset": plan.offset[t], "first_operator": life[0], "last_operator": life[1]}
            for t, life in sorted(plan.life.items())
        ],
    }  # fmt: skip


def bundle_sources(
    model: IntegerModel, hop: int, fixed: FixedDesign, golden: Golden, watch_header: WatchHeader, rules: TelemetryRules
) -> tuple[Firmware, dict[str, str]]:
    """The firmware, and every C file of a student, the self-tests included."""
    firmware = with_telemetry(firmware_sources(model, hop, fixed), rules)
    if model.sees.finds_beats:
        firmware = with_beats(firmware, fixed)
    vectors = {
        GOLDEN_HEADER: golden_header(golden, model),
        GOLDEN_WATCH_HEADER: watch_header(model, hop, fixed, golden, BURST, rules),
    }
    return firmware, {
        **firmware.files,
        **vectors,
        **runtime_sources(*SELFTEST, acceleration=golden.acceleration is not None),
    }


def derived_files(
    named: Named, hop: int, fixed: FixedDesign, golden: Golden, watch_header: WatchHeader, reference: Reference
) -> dict[str, bytes]:
    """What follows from a student's integers, a sensor, golden vectors and a reference, without ONNX: path in the student's
    folder -> bytes."""
    firmware, sources = bundle_sources(named.model, hop, fixed, golden, watch_header, reference.rules)
    packages = package_files(sources, named.model.digest())
    return {
        WINDOW: write_tflite(named.model),
        STEP: write_tflite_step(named.model, hop),
        CONTRACT: contract_text(named, hop, fixed).encode(),
        MEMORY: (json.dumps(memory_plan(firmware), indent=1) + "\n").encode(),
        TELEMETRY: reference.file(),
        **{SOURCES + name: text.encode() for name, text in {**sources, **packages}.items()},
    }


def student_files(
    artifacts: Artifacts, hop: int, fixed: FixedDesign, watch_header: WatchHeader, make_reference: MakeReference
) -> dict[str, bytes]:
    """Path in the bundle -> bytes, of one student."""
    reference = make_reference(artifacts.model, hop, fixed)
    golden = golden_vectors(artifacts.model, hop, fixed)
    found = {
        **derived_files(artifacts, hop, fixed, golden, watch_header, reference),
        GOLDEN: golden_file(golden),
        WINDOW_ONNX: artifacts.onnx,
        STEP_ONNX: artifacts.onnx_step(hop),
    }
    return {f"{artifacts.size}/{name}": data for name, data in found.items()}


def shared_files() -> dict[str, bytes]:
    """What is the same in every bundle: the page for firmware engineers, licences."""
    page, *licences = (name for name in SHARED if name != CARD)
    return {page: (C_SOURCES / page).read_bytes(), **{name: licence(name) for name in licences}}


@dataclass(frozen=True)
class Bundle:
    """What is to be handed over.

    Attributes:
        files: path -> bytes. students: size -> digest of its integers. origins: size -> `Origin.plain`.
        verdict: 'valid', 'invalid' or 'not judged', as the report says.
    """

    files: dict[str, bytes]
    students: dict[str, str]
    origins: dict[str, dict[str, str]]
    verdict: str = NOT_JUDGED

    def with_files(self, more: dict[str, bytes]) -> Bundle:
        """With the encoder's own files."""
        return replace(self, files={**self.files, **more})

    def with_report(self, report: dict[str, bytes], where: str | Path = REPORT_JSON) -> Bundle:
        """With report.html and report.json, and the verdict that follows from them.

        Raises:
            ExportError: the report is of other students, or none.
        """
        cure = "Make it anew from the same students"
        try:
            runs = json.loads(report[REPORT_JSON])["runs"]
            judged = {str(run["size"]): str(run["digest"]) for run in runs}
            passed = all(run["passed"] is True for run in runs)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ExportError("is no report", where=where, field=REPORT_JSON, cure=cure) from None
        for size, digest in self.students.items():
            if judged.get(size) != digest:
                found = judged.get(size, "none")[:12]
                raise ExportError(f"is of {size} {found}, not {digest[:12]}", where=where, field="digest", cure=cure)
        return replace(self, files={**self.files, **report}, verdict=VALID if passed else INVALID)


def read_report(folder: Path) -> dict[str, bytes]:
    """report.html and report.json of a folder.

    Raises:
        ExportError: they are not there.
    """
    try:
        return {name: (folder / name).read_bytes() for name in (REPORT_PAGE, REPORT_JSON)}
    except OSError as error:
        cure = "Name the --out of onwrist stream or deploy"
        raise ExportError(
            f"is no report ({error.strerror})", where=folder, field=Path(str(error.filename)).name, cure=cure
        ) from None


def assemble(
    students: Iterable[tuple[Artifacts, Origin]],
    hop: int,
    fixed: FixedDesign,
    watch_header: WatchHeader,
    make_reference: MakeReference,
) -> Bundle:
    """A bundle of students at a hop, behind a sensor; not judged yet.

    Args:
        watch_header: `onwrist.firmware_sim.watch.golden.golden_watch_header`.
        make_reference: `onwrist.firmware_sim.fleet.counting.shipped_reference`, or of other people.
    """
    files, digests, origins = shared_files(), {}, {}
    for artifacts, origin in students:
        files |= student_files(artifacts, hop, fixed, watch_header, make_reference)
        digests[artifacts.size], origins[artifacts.size] = artifacts.model.digest(), origin.plain()
    files[CARD] = model_card(digests, origins)
    return Bundle(files, digests, origins)


def manifest(bundle: Bundle) -> bytes:
    """The manifest."""
    found = {
        "format": FORMAT, "onwrist": version("onwrist"), "verdict": bundle.verdict, "rounding": ROUNDING,
        "students": bundle.students, "origins": bundle.origins, "python": platform.python_version(),
        "packages": {p: _version(p) for p in PACKAGES},
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(bundle.files.items())},
    }  # fmt: skip
    return (json.dumps(found, indent=1) + "\n").encode()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def held_files(folder: Path) -> set[str] | None:
    """Paths that a folder's manifest calls a bundle's, its own included; None if it is no bundle."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        return {MANIFEST, SIGNATURE, *found["sha256"]} if str(found["format"]).startswith("onwrist-bundle-") else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


@contextlib.contextmanager
def claim_bundle(folder: Path) -> Iterator[None]:
    """Hold a bundle's folder and its zip for the length of a run.

    Raises:
        ExportError: as `onwrist.writing.claim`; or the folder holds something and is no bundle.
    """
    with claim(folder) as place:
        if place.is_dir() and any(place.iterdir()) and held_files(place) is None:
            raise ExportError(
                "is not empty and no bundle", where=folder, cure="Choose another --out, or empty it yourself"
            )
        if zip_of(folder).is_dir():
            raise ExportError("is a folder", where=zip_of(folder), cure="Choose another --out")
        yield


def zip_of(folder: Path) -> Path:
    """Where the same bundle is as one file."""
    return folder.absolute().with_name(folder.absolute().name + ".zip")


def write_bundle(folder: Path, bundle: Bundle, key=None) -> Path:
    """Replace a bundle's folder and its zip; returns the path of the zip. What is in the folder and not of a bundle stays.

    Args:
        key: signs the manifest, of `signature.read_secret_key`.

    Raises:
        ExportError: it cannot be written; everything is as it was.
    """
    whole = {**bundle.files, MANIFEST: manifest(bundle)}
    if key is not None:
        whole[SIGNATURE] = sign(whole[MANIFEST], key)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(whole):
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), whole[name], zipfile.ZIP_DEFLATED)
    path = zip_of(folder)
    replace_folder(folder, whole, disposable=held_files(folder) or (), beside={path: packed.getvalue()})
    return path
