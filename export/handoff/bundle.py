"""The handoff bundle: everything about the students that a firmware team needs, with golden vectors and a manifest.

    python export/bundle.py --out build/bundle
    python firmware_sim/verify.py build/bundle

A folder and the same as a zip. Files are written first, `manifest.json` with the SHA-256 of each last: a bundle without
a manifest was not finished.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.handoff.artifacts import ROUNDING, Artifacts, contract_text
from onwrist.export.sources.c_writer import c_array, runtime_sources
from onwrist.export.sources.firmware import Firmware, firmware_sources
from onwrist.quantize.integers.stream import IntegerStream
from onwrist.resources import C_SOURCES, SHIPPED, WEIGHTS, licence
from onwrist.signals.front_end.counts import convert, count_wave
from onwrist.signals.front_end.fixed import FixedDesign, FixedFrontEnd
from onwrist.signals.recordings.readers import read_recording
from onwrist.writing import write_whole

MANIFEST, FORMAT = "manifest.json", "onwrist-bundle-1"
PACKAGES = (
    "torch", "brevitas", "onnx", "onnxruntime", "ai-edge-litert", "tflite-micro", "numpy", "scipy", "ziglang", "unicorn",
)  # fmt: skip
# Golden input: a good stretch of a real wrist, rails at random, a constant.
GOLDEN_RECORDING, GOLDEN_FROM_S = "S34.npz", 660
GOLDEN_REAL_S, GOLDEN_RAILS_S, GOLDEN_FLAT_S = 20, 4, 6
# As old as a zip can be: the same files give the same archive.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Golden:
    """Counts and what they have to become.

    Attributes:
        counts: int32 (n,). input: int8 (hops, hop). embedding: int8 (hops, 256). answers: int8 (hops, 3).
        layers: name -> int8 (channels, frames), every layer's output of the last hop.
    """

    counts: np.ndarray
    input: np.ndarray
    embedding: np.ndarray
    answers: np.ndarray
    layers: dict[str, np.ndarray]


def golden_vectors(artifacts: Artifacts, hop: int, fixed: FixedDesign) -> Golden:
    """Through the fixed-point front end and the numpy model of the firmware's arithmetic."""
    wave, _ = count_wave(read_recording(SHIPPED / GOLDEN_RECORDING), fixed.rate_hz, fixed.bits)
    rate, full = int(fixed.rate_hz), 2**fixed.bits - 1
    first = GOLDEN_FROM_S * rate
    rails = np.random.default_rng(0).choice([0, full], GOLDEN_RAILS_S * rate)
    counts = np.concatenate(
        [
            convert(wave[first : first + GOLDEN_REAL_S * rate], fixed.bits),
            rails,
            np.full(GOLDEN_FLAT_S * rate, full // 3),
        ]
    ).astype(np.int32)
    x = FixedFrontEnd.of(fixed).push(counts)
    hops = len(x) // hop
    x = x[: hops * hop].reshape(hops, hop)
    stream = IntegerStream(artifacts.model, hop)
    rows = [stream.push(chunk) for chunk in x]
    names = [layer.name for layer in artifacts.model.layers]
    layers = {f"{i:02d}_{n}": o for i, (n, o) in enumerate(zip(names, stream.outputs, strict=True))}
    return Golden(counts, x, np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows]), layers)


def golden_header(golden: Golden) -> str:
    """The vectors for `selftest.c`."""
    return "\n".join(
        [
            "/* Generated: counts, and what they have to become. */", "#ifndef ONWRIST_GOLDEN_H", "#define ONWRIST_GOLDEN_H", "",
            "#include <stdint.h>", "", f"#define ONWRIST_GOLDEN_COUNTS {len(golden.counts)}",
            f"#define ONWRIST_GOLDEN_HOPS {len(golden.input)}", "", c_array("int32_t", "onwrist_golden_counts", golden.counts),
            c_array("int8_t", "onwrist_golden_input", golden.input), c_array("int8_t", "onwrist_golden_embedding", golden.embedding),
            c_array("int8_t", "onwrist_golden_answers", golden.answers), "", "#endif", "",
        ]
    )  # fmt: skip


def memory_plan(firmware: Firmware) -> dict:
    """Arena, state and lifetimes as plain values."""
    plan = firmware.plan
    return {
        "arena_bytes": plan.bytes, "state_tensors": [list(pair) for pair in plan.state],
        "tensors": [
            {"tensor": t, "offset": plan.offset[t], "first_operator": life[0], "last_operator": life[1]}
            for t, life in sorted(plan.life.items())
        ],
    }  # fmt: skip


def student_files(artifacts: Artifacts, hop: int, fixed: FixedDesign) -> dict[str, bytes]:
    """Path in the bundle -> bytes, of one student."""
    size, firmware = artifacts.size, firmware_sources(artifacts.model, hop, fixed)
    golden = golden_vectors(artifacts, hop, fixed)
    vectors = io.BytesIO()
    arrays: dict[str, Any] = {
        "counts": golden.counts, "input": golden.input, "embedding": golden.embedding, "answers": golden.answers,
    }  # fmt: skip
    arrays |= {f"layer_{n}": v for n, v in golden.layers.items()}
    np.savez(vectors, **arrays)
    sources = {
        **firmware.files, "onwrist_golden.h": golden_header(golden), **runtime_sources("selftest.c"),
    }  # fmt: skip
    return {
        f"{size}/window.tflite": artifacts.tflite,
        f"{size}/window.onnx": artifacts.onnx,
        f"{size}/step.tflite": artifacts.tflite_step(hop),
        f"{size}/step.onnx": artifacts.onnx_step(hop),
        f"{size}/contract.json": contract_text(artifacts, hop, fixed).encode(),
        f"{size}/golden.npz": vectors.getvalue(),
        f"{size}/memory.json": (json.dumps(memory_plan(firmware), indent=1) + "\n").encode(),
        **{f"{size}/c/{name}": text.encode() for name, text in sources.items()},
    }


def shared_files() -> dict[str, bytes]:
    """What belongs to no one student: the page for firmware engineers, model card, licences."""
    return {
        "FIRMWARE.md": (C_SOURCES / "FIRMWARE.md").read_bytes(), "MODEL_CARD.md": (WEIGHTS / "README.md").read_bytes(),
        "LICENSE": licence("LICENSE"), "NOTICE": licence("NOTICE"),
    }  # fmt: skip


def manifest(files: dict[str, bytes], students: dict[str, str], verdict: str) -> bytes:
    """The manifest of files by path; `students` is size -> digest of its integers."""
    found = {
        "format": FORMAT, "verdict": verdict, "rounding": ROUNDING, "students": students, "python": platform.python_version(),
        "packages": {p: _version(p) for p in PACKAGES},
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }  # fmt: skip
    return (json.dumps(found, indent=1) + "\n").encode()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def is_bundle(folder: Path) -> bool:
    """Whether a folder's manifest says that it is a bundle."""
    try:
        return json.loads((folder / MANIFEST).read_text()).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def write_bundle(folder: Path, files: dict[str, bytes], students: dict[str, str], verdict: str) -> Path:
    """Write files, the manifest last, and the same as `folder.zip`; returns the path of the zip.

    Raises:
        ExportError: the folder holds something that is no bundle; nothing in it is touched.
    """
    held = sorted((p for p in folder.rglob("*") if not p.is_dir()), reverse=True) if folder.is_dir() else []
    if held and not is_bundle(folder):
        raise ExportError("is not empty and no bundle", where=folder, cure="Choose another --out, or empty it yourself")
    (folder / MANIFEST).unlink(missing_ok=True)
    # A stray file of an older bundle would make the new one invalid.
    for old in held:
        if old.relative_to(folder).as_posix() not in files:
            old.unlink(missing_ok=True)
    for name, data in files.items():
        write_whole(folder / name, data)
    whole = {**files, MANIFEST: manifest(files, students, verdict)}
    write_whole(folder / MANIFEST, whole[MANIFEST])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(whole):
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), whole[name], zipfile.ZIP_DEFLATED)
    path = folder.with_name(folder.name + ".zip")
    write_whole(path, packed.getvalue())
    return path
