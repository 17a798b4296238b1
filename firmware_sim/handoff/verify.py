"""Is a handoff bundle what it says it is? Hashes first, then every runtime that is installed over its golden vectors.

    python firmware_sim/verify.py build/handoff
    python firmware_sim/verify.py handoff.zip

A bundle whose files are not exactly those of its manifest is refused before anything in it is loaded or compiled. Its C
runs on emulated cores only, never on this host.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from onwrist.errors import BundleError
from onwrist.export.handoff.bundle import FORMAT, MANIFEST
from onwrist.firmware_sim.runtimes.compiler import CORES, build_core

VALID, INVALID, DEGRADED = 0, 1, 3
# A bundle is a few megabytes, the encoder's own files included: what is far beyond is an attack or a mistake.
MOST_BYTES, MOST_FILES = 256 << 20, 1000
GOLDEN_SHAPES = {"counts": 1, "input": 2, "embedding": 2, "answers": 2}
# ONNX Runtime rounds once where firmware rounds twice: it is near, not equal.
ONNX_STEPS = 4


@dataclass
class Verdict:
    """What was found: lines for people, and whether anything failed or could not be run."""

    lines: list[str] = field(default_factory=list)
    failed: bool = False
    missing: bool = False

    @property
    def word(self) -> str:
        """valid, degraded or invalid."""
        return "invalid" if self.failed else "degraded" if self.missing else "valid"

    @property
    def status(self) -> int:
        """Exit status."""
        return INVALID if self.failed else DEGRADED if self.missing else VALID

    def check(self, what: str, run: Callable[[], int]) -> None:
        """Run a comparison that returns the number of wrong bytes; a missing package degrades, an error fails."""
        try:
            wrong = run()
        except ImportError as error:
            self.missing = True
            self.lines.append(f"not run  {what}: {error.name} is not installed")
        except Exception as error:  # whatever a damaged file makes a runtime raise, the bundle is not valid
            self.failed = True
            self.lines.append(
                f"FAIL     {what}: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}"
            )
        else:
            self.failed |= wrong != 0
            self.lines.append(f"{'FAIL' if wrong else 'ok':8} {what}: {wrong} bytes differ")


def read_bundle(path: Path) -> dict[str, bytes]:
    """Files of a folder or zip by path, manifest included. Nothing is extracted.

    Raises:
        BundleError: not a bundle, a path that leaves it, a link, a file twice, or too much.
    """
    if path.is_dir():
        return _read_folder(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_zip(archive, path)
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BundleError(f"cannot be read ({error})"[:200], where=path, cure="Ask for it again") from None


def _read_folder(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    total = 0
    for item in sorted(path.rglob("*")):
        name = item.relative_to(path).as_posix()
        if item.is_symlink() or not (item.is_dir() or item.is_file()):
            raise BundleError("is a link or no plain file", where=path, field=name, cure="Ask for it again")
        if item.is_file():
            total += item.stat().st_size
            if total > MOST_BYTES or len(found) >= MOST_FILES:
                raise BundleError("is larger than any bundle", where=path, cure="Check that this is the right folder")
            found[name] = item.read_bytes()
    return found


def _read_zip(archive: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    entries = archive.infolist()
    if sum(e.file_size for e in entries) > MOST_BYTES or len(entries) > MOST_FILES:
        raise BundleError("is larger than any bundle", where=path, cure="Do not open it")
    for entry in entries:
        _check_name(entry.filename, path)
        if entry.filename in found:
            raise BundleError("is there twice", where=path, field=entry.filename, cure="Do not use it")
        if entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16):
            raise BundleError("is a folder or a link", where=path, field=entry.filename, cure="Do not use it")
        with archive.open(entry) as file:
            data = file.read(entry.file_size + 1)
        if len(data) != entry.file_size:
            raise BundleError("has another length than it says", where=path, field=entry.filename, cure="Do not use it")
        found[entry.filename] = data
    return found


def _check_name(name: object, path: Path) -> str:
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if (
        not parts
        or name != "/".join(parts)
        or ".." in parts
        or "\\" in str(name)
        or ":" in str(name)
        or str(name).startswith("/")
    ):
        raise BundleError("leaves the bundle", where=path, field=str(name)[:80], cure="Do not use it")
    return str(name)


def check_manifest(files: dict[str, bytes], path: Path) -> dict:
    """The manifest, after every file was found to be the one that it names.

    Raises:
        BundleError: no manifest, not of this format, or a file that is missing, changed or not named.
    """
    if MANIFEST not in files:
        raise BundleError("has no manifest: it was not finished", where=path, field=MANIFEST, cure="Ask for it again")
    try:
        found = json.loads(files[MANIFEST])
        hashes, students = found["sha256"], found["students"]
        names = {_check_name(n, path) for n in hashes}
        sound = isinstance(students, dict) and all(re.fullmatch(r"[a-z0-9_]+", s) for s in students)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"is no manifest ({type(error).__name__})", where=path, field=MANIFEST, cure="Ask for it again"
        ) from None
    if found.get("format") != FORMAT or not sound or not students:
        raise BundleError(
            f"is not of format {FORMAT}", where=path, field=MANIFEST, cure="Use the verifier of its release"
        )
    present = set(files) - {MANIFEST}
    for name in sorted(present ^ names):
        what = "is not in the manifest" if name in present else "is missing"
        raise BundleError(what, where=path, field=name, cure="Ask for it again")
    for name in sorted(names):
        if hashlib.sha256(files[name]).hexdigest() != hashes[name]:
            raise BundleError("is not the file of the manifest", where=path, field=name, cure="Ask for it again")
    return found


@dataclass(frozen=True)
class Student:
    """A student of a bundle: its files by name, contract and golden vectors."""

    size: str
    files: dict[str, bytes]
    contract: dict
    golden: dict[str, np.ndarray]

    @property
    def hop(self) -> int:
        """Input samples between outputs."""
        return int(self.contract["stream"]["hop_samples"])

    @property
    def sources(self) -> dict[str, str]:
        """The C files."""
        return {n.removeprefix("c/"): d.decode() for n, d in self.files.items() if n.startswith("c/")}


def read_student(files: dict[str, bytes], size: str, path: Path) -> Student:
    """Contract and golden vectors of a student.

    Raises:
        BundleError: one of them is missing or is not what it should be.
    """
    own = {n.removeprefix(f"{size}/"): d for n, d in files.items() if n.startswith(f"{size}/")}
    try:
        contract = json.loads(own["contract.json"])
        with np.load(io.BytesIO(own["golden.npz"]), allow_pickle=False) as archive:
            golden = {k: archive[k] for k in GOLDEN_SHAPES}
        hop = int(contract["stream"]["hop_samples"])
        sound = all(golden[k].ndim == n for k, n in GOLDEN_SHAPES.items()) and golden["input"].shape[1] == hop
        sound &= len(golden["input"]) == len(golden["embedding"]) == len(golden["answers"]) > 0
    except (KeyError, ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"is not whole ({error})"[:160], where=path, field=size, cure="Ask for it again") from None
    if not sound:
        raise BundleError("has golden vectors of other shapes", where=path, field=size, cure="Ask for it again")
    return Student(size, own, contract, golden)


def _differing(found: list[tuple[np.ndarray, np.ndarray]], golden: dict[str, np.ndarray], near: int = 0) -> int:
    wrong = 0
    for k, name in enumerate(("embedding", "answers")):
        ours = np.stack([f[k] for f in found]).astype(np.int16)
        wrong += int(np.count_nonzero(np.abs(ours - golden[name]) > near))
    return wrong


def _front_end(s: Student) -> int:
    from onwrist.signals.front_end.fixed import FixedDesign, FixedFrontEnd

    values = {k: v for k, v in s.contract["fixed_point_front_end"].items() if k in FixedDesign.__dataclass_fields__}
    fixed = FixedFrontEnd.of(FixedDesign(**{**values, "taps": np.array(values["taps"], np.int64)}))
    found = fixed.push(s.golden["counts"])[: s.golden["input"].size]
    return int(np.count_nonzero(found != s.golden["input"].ravel()))


def _first_state(s: Student) -> list[np.ndarray]:
    return [
        np.broadcast_to(np.array(t["start"], np.int8), t["shape"]).copy() for t in s.contract["stream"]["state"]
    ]  # fmt: skip


def _tflm(s: Student) -> int:
    from onwrist.firmware_sim.runtimes.hop import TFLMStep

    return _differing(_steps(TFLMStep(s.files["step.tflite"], _first_state(s)), s), s.golden)


def _litert(s: Student) -> int:
    from onwrist.firmware_sim.runtimes.hop import LiteRTStep

    return _differing(_steps(LiteRTStep(s.files["step.tflite"], _first_state(s)), s), s.golden)


def _onnx(s: Student) -> int:
    from onwrist.firmware_sim.runtimes.hop import OnnxStep

    state = [t[0, 0].T[None] for t in _first_state(s)]
    return _differing(_steps(OnnxStep(s.files["step.onnx"], state), s), s.golden, ONNX_STEPS)


def _windows(s: Student) -> int:
    from onwrist.firmware_sim.runtimes.window import TFLM

    window = int(s.contract["window_samples"])
    line = np.concatenate([np.zeros(window, np.int8), s.golden["input"].ravel()])
    ends = window + s.hop * np.arange(1, len(s.golden["input"]) + 1)
    found = TFLM(s.files["window.tflite"], window).run(np.stack([line[e - window : e] for e in ends]))
    return _differing(list(zip(*found, strict=True)), s.golden)


def _steps(runtime, s: Student) -> list[tuple[np.ndarray, np.ndarray]]:
    return [runtime.step(np.ascontiguousarray(x)) for x in s.golden["input"]]


def _selftest(s: Student, core) -> int:
    from onwrist.firmware_sim.runtimes.emulator import Emulator

    roots = ("onwrist_selftest", *(("onwrist_selftest_watch",) if "selftest_watch.c" in s.sources else ()))
    machine = Emulator(build_core(s.sources, core, roots), core, count=False)
    return sum(machine.call(root) for root in roots)


def verify(path: Path) -> Verdict:
    """Everything that can be checked on this machine.

    Raises:
        BundleError: the bundle was refused without running anything.
    """
    files = read_bundle(path)
    found = check_manifest(files, path)
    verdict = Verdict([f"ok       {len(files)} files are those of the manifest"])
    if found.get("verdict") == "invalid":
        verdict.failed = True
        verdict.lines.append("FAIL     a gate failed when the bundle was made (see report.html)")
    for size, digest in found["students"].items():
        s = read_student(files, size, path)
        if s.contract.get("digest") != digest:
            verdict.failed = True
            verdict.lines.append(f"FAIL     {size}: contract and manifest are of two models")
        runs: list[tuple[str, Callable[[Student], int]]] = [
            ("front end, fixed point", _front_end), ("TFLM, stream", _tflm), ("TFLM, window", _windows),
            ("LiteRT reference, stream", _litert), (f"ONNX Runtime, stream, more than {ONNX_STEPS} LSB off", _onnx),
        ]  # fmt: skip
        for name, run in runs:
            verdict.check(f"{size}: {name}", partial(run, s))
        for core in CORES:
            verdict.check(f"{size}: C self-test on emulated {core.name}", partial(_selftest, s, core))
    return verdict
