"""What a bundle says of itself, read with numpy alone: manifest, hashes, contracts, golden vectors.

Everything here is of a stranger: types, ranges and sizes are checked before a value is used or memory is taken.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onwrist.errors import BundleError
from onwrist.export.handoff.names import (
    CONTRACT,
    FORMAT,
    GOLDEN,
    HUB,
    HUB_FLOAT,
    HUB_ONNX,
    HUB_TFLITE,
    INDEX_PAGE,
    INVALID,
    MANIFEST,
    NOT_JUDGED,
    REPORT_JSON,
    REPORT_PAGE,
    SHARED,
    SIGNATURE,
    SOURCES,
    SPEC,
    STUDENT,
    VALID,
    WATCH_PAGE,
)
from onwrist.firmware_sim.handoff.opening import AGAIN, Opened, plain
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT

# Of any JSON in a bundle: the largest is a report of some 100 kB, the deepest a contract's taps.
JSON_BYTES, JSON_DEPTH = 4 << 20, 12
# Golden arrays are some 10 kB each; a layer more or less is no reason to refuse.
MOST_ARRAYS, ARRAY_BYTES = 128, 4 << 20
HEADER_BYTES = 4096
MOST_HOP, MOST_RATE_HZ, MOST_TAPS = 10_000, 1000, 1 << 16
SHA256, SIZE = re.compile(r"[0-9a-f]{64}"), re.compile(r"[a-z0-9_]{1,31}")
PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,3}")
ORIGIN = {"teacher", "teacher_sha256", "weights_sha256", "parent_sha256"}
# Of a student that takes acceleration.
ACCELERATION = "acceleration"
ACCELERATION_SHAPES = {"acc_counts": (np.int32, 2), "acc_input": (np.int8, 3)}
GOLDEN_SHAPES = {
    "counts": (np.int32, 1),
    "input": (np.int8, 2),
    EMBEDDING_OUTPUT: (np.int8, 2),
    ANSWERS_OUTPUT: (np.int8, 2),
}


def read_json(data: bytes, where: str | Path, field: str) -> Any:
    """JSON without duplicate keys, without numbers that are none, and not deep.

    Raises:
        BundleError: it is not that.
    """
    try:
        if len(data) > JSON_BYTES:
            raise ValueError(f"{len(data):,} bytes")
        found = json.loads(data.decode(), parse_constant=_no_number, object_pairs_hook=_unique)
        _check_depth(found)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"is no JSON of a bundle ({plain(str(error))[:80]})", where=where, field=field, cure=AGAIN
        ) from None
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        if depth > JSON_DEPTH:
            raise ValueError(f"more than {JSON_DEPTH} levels")
        depth += 1
        if any(isinstance(v, float) and not math.isfinite(v) for v in level):
            raise ValueError("a number is not finite")
        level = [c for v in level if isinstance(v, (dict, list)) for c in (v.values() if isinstance(v, dict) else v)]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= 100 and all(map(_is_text, (*value, *value.values())))


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None


def _is_students(value: Any) -> bool:
    sound = isinstance(value, dict) and 0 < len(value) <= 20 and all(map(_is_hash, value.values()))
    return sound and all(SIZE.fullmatch(size) and size != HUB for size in value)


def _is_origin(value: Any) -> bool:
    return (
        _is_texts(value)
        and set(value) == ORIGIN
        and all(v == "" or _is_hash(v) for k, v in value.items() if k != "teacher")
    )


def _is_hashes(value: Any) -> bool:
    return isinstance(value, dict) and all(
        PATH.fullmatch(n) and _is_hash(h) and ".." not in n for n, h in value.items()
    )


FIELDS: dict[str, Callable[[Any], bool]] = {
    "onwrist": _is_text, "verdict": lambda v: v in (VALID, INVALID, NOT_JUDGED), "rounding": _is_text, "students": _is_students,
    "origins": lambda v: isinstance(v, dict) and all(map(_is_origin, v.values())), "python": _is_text, "packages": _is_texts,
    "sha256": _is_hashes,
}  # fmt: skip


def check_manifest(opened: Opened, path: Path) -> dict:
    """The manifest, after every file was found to be the one that it names, and every name one that a bundle has.

    Raises:
        BundleError: not a manifest of this format, or a file that is missing, changed, not named, or belongs to nothing.
    """
    files = opened.files
    found = read_json(files[MANIFEST], path, MANIFEST)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BundleError(
            f"is not of format {FORMAT}", where=path, field=MANIFEST, cure="Use the verifier of its release"
        )
    for name, sound in FIELDS.items():
        if name not in found or not sound(found[name]):
            raise BundleError(
                "is missing or not what it should be", where=path, field=f"{MANIFEST}: {name}", cure=AGAIN
            )
    extra = set(found) - {"format", *FIELDS}
    if extra or set(found["origins"]) != set(found["students"]):
        field = plain(min(extra, default="origins"))[:80]
        raise BundleError("belongs to no manifest of this format", where=path, field=f"{MANIFEST}: {field}", cure=AGAIN)
    hashes, known = found["sha256"], _layout(found)
    for name in sorted(set(hashes) - set(files)):
        raise BundleError("is missing", where=path, field=name, cure=AGAIN)
    for name in strays(opened, found):
        if not opened.folder or _could_be_taken(name, found):
            raise BundleError("is not in the manifest", where=path, field=plain(name)[:80], cure="Do not use it")
    for name in sorted(hashes):
        if hashlib.sha256(files[name]).hexdigest() != hashes[name]:
            raise BundleError("is not the file of the manifest", where=path, field=name, cure=AGAIN)
    for name in sorted(hashes):
        if name not in known and not any(name.startswith(f"{size}/{SOURCES}") for size in found["students"]):
            raise BundleError(
                "is no file of a bundle with these students", where=path, field=name, cure="Do not use it"
            )
    required = {*SHARED, *(f"{size}/{name}" for size in found["students"] for name in STUDENT)}
    required |= {REPORT_PAGE, REPORT_JSON} if {REPORT_PAGE, REPORT_JSON} & set(hashes) else set()
    for name in sorted(required - set(hashes)):
        raise BundleError("is missing", where=path, field=name, cure=AGAIN)
    return found


def strays(opened: Opened, manifest: dict) -> list[str]:
    """Files that the manifest does not name."""
    return sorted(set(opened.files) - {MANIFEST, SIGNATURE, *manifest["sha256"]})


def _layout(manifest: dict) -> set[str]:
    own = {f"{size}/{name}" for size in manifest["students"] for name in STUDENT}
    return {*SHARED, REPORT_PAGE, REPORT_JSON, WATCH_PAGE, INDEX_PAGE, SPEC, HUB_FLOAT, HUB_ONNX, HUB_TFLITE, *own}


def _could_be_taken(name: str, manifest: dict) -> bool:
    """Whether somebody might take a file for one of the bundle: by its name, or by the folder that it lies in."""
    known = {n.casefold() for n in _layout(manifest)} | {MANIFEST, SIGNATURE}
    folders = {n.partition("/")[0].casefold() for n in known if "/" in n} | {HUB}
    return name.casefold() in known or name.partition("/")[0].casefold() in folders or name.endswith((".c", ".h"))


def read_arrays(data: bytes, where: str | Path, field: str) -> dict[str, np.ndarray]:
    """int8 and int32 arrays of an .npz by name; a header is believed only if it says as much as is there.

    Raises:
        BundleError: it is damaged, lies, or is larger than golden vectors are.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ARRAYS or any(e.file_size > ARRAY_BYTES for e in entries):
                raise ValueError("more or larger arrays than golden vectors are")
            if len({e.filename for e in entries}) != len(entries):
                raise ValueError("an array is there twice")
            return {e.filename.removesuffix(".npy"): _array(archive.read(e)) for e in entries}
    except Exception as error:  # zipfile, zlib and numpy raise whatever a damaged byte leads to
        what = plain(str(error) or type(error).__name__)[:80]
        raise BundleError(f"holds no golden vectors ({what})", where=where, field=field, cure=AGAIN) from None


def _array(data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version of .npy")
    shape, fortran, kind = np.lib.format.read_array_header_1_0(file, max_header_size=HEADER_BYTES)
    if kind not in (np.dtype(np.int8), np.dtype(np.int32)) or fortran or any(n < 0 for n in shape):
        raise ValueError("an array of another kind")
    if math.prod(shape) * kind.itemsize != len(data) - file.tell():
        raise ValueError("an array with another shape than its data")
    return np.frombuffer(data, kind, offset=file.tell()).reshape(shape)


@dataclass(frozen=True)
class Student:
    """A student of a bundle: its files by name, contract and golden vectors."""

    size: str
    digest: str
    files: dict[str, bytes]
    contract: dict
    golden: dict[str, np.ndarray]

    @property
    def hop(self) -> int:
        """Input samples between outputs."""
        return int(self.contract["stream"]["hop_samples"])


def read_student(files: dict[str, bytes], size: str, digest: str, path: Path) -> Student:
    """Contract and golden vectors of a student.

    Raises:
        BundleError: one of them is not what it should be.
    """
    own = {n.removeprefix(f"{size}/"): d for n, d in files.items() if n.startswith(f"{size}/")}
    contract = read_json(own[CONTRACT], path, f"{size}/{CONTRACT}")
    wrong = contract_error(contract, digest)
    if wrong:
        raise BundleError(wrong, where=path, field=f"{size}/{CONTRACT}", cure=AGAIN)
    golden = read_arrays(own[GOLDEN], path, f"{size}/{GOLDEN}")
    wrong = _golden_error(golden, contract)
    if wrong:
        raise BundleError(wrong, where=path, field=f"{size}/{GOLDEN}", cure=AGAIN)
    return Student(size, digest, own, contract, golden)


def contract_error(contract: Any, digest: str) -> str:
    """What is wrong with the fields of a contract that a check starts from; "" if nothing is."""
    try:
        stream, front = contract["stream"], contract["fixed_point_front_end"]
        if contract["digest"] != digest:
            return "is of another model than the manifest says"
        if not _is_count(stream["hop_samples"], MOST_HOP) or not _is_count(contract["window_samples"], 100 * MOST_HOP):
            return "has a hop or a window that is none"
        if stream["valid_from_samples"] != contract["window_samples"]:
            return "calls outputs valid before a window is full"
        if not all(_is_scale(contract[n]["scale"]) for n in ("input", EMBEDDING_OUTPUT, ANSWERS_OUTPUT)):
            return "has a scale that is none"
        if not _is_rate(front["rate_hz"]) or not _is_count(front["bits"], 24) or not _is_count(front["up"], MOST_TAPS):
            return "has a sensor that is none"
        wrong = _filter_error(front, ("down", "fraction", "numerator", "a1", "a2", "keep", "floor", "steps"))
        if wrong or ACCELERATION not in contract:
            return wrong
        front = contract[ACCELERATION]["fixed_point_front_end"]
        if not _is_scale(contract["acc"]["scale"]) or not all(
            _is_scale(front[n]) for n in ("counts_per_g", "highpass_hz", "step_g")
        ):
            return "has a scale of acceleration that is none"
        if (
            not _is_count(front["rate_hz"], MOST_RATE_HZ)
            or not _is_count(front["bits"], 16)
            or not _is_count(front["up"], MOST_TAPS)
        ):
            return "has an accelerometer that is none"
        return _filter_error(front, ("down", "fraction", "numerator", "a1", "a2", "gain", "shift"))
    except (KeyError, TypeError, AttributeError):
        return "lacks a field, or has another in its place"
    return ""


def _filter_error(front: dict, coefficients: tuple[str, ...]) -> str:
    taps = front["taps"]
    if not isinstance(taps, list) or len(taps) != front["up"] or sum(map(len, taps)) > MOST_TAPS:
        return "has another number of taps than phases"
    if len({len(row) for row in taps}) != 1 or not all(_is_integer(t) for row in taps for t in row):
        return "has taps that are none"
    if not all(_is_integer(front[n]) for n in coefficients):
        return "has coefficients that are none"
    return ""


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62


def _is_count(value: Any, most: int) -> bool:
    return _is_integer(value) and 1 <= value <= most


def _is_scale(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1e6


def _is_rate(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value <= MOST_RATE_HZ


def _golden_error(golden: dict[str, np.ndarray], contract: dict) -> str:
    shapes = {**GOLDEN_SHAPES, **(ACCELERATION_SHAPES if ACCELERATION in contract else {})}
    for name, (kind, dimensions) in shapes.items():
        if name not in golden or golden[name].dtype != kind or golden[name].ndim != dimensions:
            return f"has no {name}, or of another kind"
    hops = len(golden["input"])
    if golden["input"].shape[1] != contract["stream"]["hop_samples"] or hops < 1:
        return "has golden vectors of another hop, or none"
    if not hops == len(golden[EMBEDDING_OUTPUT]) == len(golden[ANSWERS_OUTPUT]):
        return "has golden vectors of several lengths"
    rows = golden["input"].shape
    if ACCELERATION in contract and (golden["acc_input"].shape, golden["acc_counts"].shape[1]) != ((*rows, 3), 3):
        return "has golden vectors of acceleration of another shape"
    return ""
