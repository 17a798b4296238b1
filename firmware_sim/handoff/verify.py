"""Is a handoff bundle what it says it is, and what this release would have made of its integers?

1. `opening`: the files, within limits; nothing is extracted.
2. `schema`: manifest, hashes, contracts, golden vectors; numpy alone.
3. `jobs.derive`: from each student's step everything else of it is made again and compared.
4. The other jobs: every runtime that is installed over the golden vectors, the C on emulated cores, the report's gates.

The verdict is computed, never read. Each step is taken only if the one before it found nothing wrong, and whatever runs,
runs in a process of its own with limits (`confined`). What each entrance promises is in SECURITY.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onwrist.errors import BundleError, OnwristError
from onwrist.export.handoff.names import (
    CARD,
    HUB,
    INDEX_PAGE,
    INVALID,
    MANIFEST,
    NOT_JUDGED,
    REPORT_JSON,
    REPORT_PAGE,
    SIGNATURE,
    SPEC,
    VALID,
    WATCH_PAGE,
)
from onwrist.firmware_sim.handoff.confined import Row, confined
from onwrist.firmware_sim.handoff.opening import Opened, open_bundle, plain
from onwrist.firmware_sim.handoff.schema import Student, check_manifest, read_json, read_student, strays

# Exit statuses.
STATUS = {VALID: 0, INVALID: 1, "degraded": 3}
RUNTIMES = ("tflm", "litert", "onnx", "cores", "reference")

Run = Callable[[str, Any], list[Row]]


@dataclass
class Verdict:
    """What was found: rows for people, and whether anything failed or could not be run."""

    rows: list[Row] = field(default_factory=list)

    def add(self, state: str, what: str, found: str = "") -> None:
        """One more row."""
        self.rows.append(Row(state, what, found))

    def take(self, rows: list[Row], prefix: str = "") -> bool:
        """More rows; whether none of them failed."""
        self.rows += [Row(row.state, prefix + row.what, row.found) for row in rows]
        return all(row.state != "FAIL" for row in rows)

    @property
    def failed(self) -> bool:
        """Whether anything is wrong."""
        return any(row.state == "FAIL" for row in self.rows)

    @property
    def missing(self) -> bool:
        """Whether anything that makes a bundle valid was not run."""
        return any(row.state == "not run" for row in self.rows)

    @property
    def word(self) -> str:
        """valid, degraded or invalid."""
        return INVALID if self.failed else "degraded" if self.missing else VALID

    @property
    def status(self) -> int:
        """Exit status."""
        return STATUS[self.word]

    @property
    def lines(self) -> list[str]:
        """A line a row."""
        return [plain(f"{row.state:12} {row.what}{': ' if row.found else ''}{row.found}") for row in self.rows]


def verify(path: Path, public_key: Path | None = None, run: Run = confined) -> Verdict:
    """Everything that can be checked on this machine.

    Args:
        public_key: minisign public key that has to have signed the manifest.
        run: what runs a job; tests run them in this process.

    Raises:
        BundleError: the bundle was refused without running anything. ConfigError: no public key.
    """
    opened = open_bundle(path)
    verdict = Verdict()
    manifest = inspect(opened, path, verdict)
    _check_signature(opened, public_key, verdict)
    students = [read_student(opened.files, size, digest, path) for size, digest in manifest["students"].items()]
    report = read_json(opened.files[REPORT_JSON], path, REPORT_JSON) if REPORT_JSON in opened.files else None
    verdict.add("ok", "contracts and golden vectors", "well-formed, of the manifest's models")
    _check_shared(opened, manifest, verdict)
    _check_index(opened, manifest, verdict)
    sound = [s for s in students if verdict.take(run("derive", s), f"{s.size}: ")]
    if len(sound) == len(students) and not verdict.failed:
        for s in students:
            for job in RUNTIMES:
                verdict.take(run(job, s), f"{s.size}: ")
        _check_encoder(opened, manifest, verdict, run)
        _check_report(opened, report, students, verdict, run)
    _check_word(manifest, report, verdict)
    return verdict


def inspect(opened: Opened, path: Path, verdict: Verdict) -> dict:
    """The manifest, hashes checked; what is harmless or a claim is said in the verdict.

    Raises:
        BundleError: the bundle is refused.
    """
    manifest = check_manifest(opened, path)
    verdict.add("ok", f"{len(manifest['sha256']) + 1} files are those of the manifest")
    for note in opened.notes:
        verdict.add("ok", "harmless", note)
    for name in strays(opened, manifest):
        verdict.add("not checked", name, "lies in the folder and is not of the bundle")
    if SPEC in opened.files:
        verdict.add("not checked", SPEC, "what its maker asked for")
    made_with = f"onwrist {manifest['onwrist']}, Python {manifest['python']}"
    verdict.add("not checked", MANIFEST, f"what its maker says of origins, packages and versions ({made_with})")
    return manifest


def _check_signature(opened: Opened, public_key: Path | None, verdict: Verdict) -> None:
    from onwrist.export.handoff.signature import check_signature

    signature = opened.files.get(SIGNATURE)
    if public_key is None:
        found = (
            "is there; name the key that you trust with --public-key"
            if signature
            else "none: hashes say that nothing changed by accident, not who made it"
        )
        verdict.add("not checked", "signature", found)
        return
    try:
        comment = check_signature(opened.files[MANIFEST], signature, public_key)
        verdict.add("ok", "signature", f"by {plain(public_key.name)}: {plain(comment)[:80]}")
    except BundleError as error:
        verdict.add("FAIL", "signature", error.what)
    except ImportError as error:
        verdict.add("not run", "signature", f"{error.name} is not installed")


def _check_shared(opened: Opened, manifest: dict, verdict: Verdict) -> None:
    """What does not depend on a student, and the card, which depends on nothing but the manifest."""
    try:
        from onwrist.export.handoff.bundle import ROUNDING, shared_files
        from onwrist.export.handoff.provenance import model_card
    except ImportError as error:
        verdict.add("not run", "documents", f"{error.name} is not installed")
        return
    if manifest["rounding"] != ROUNDING:
        verdict.add("FAIL", f"{MANIFEST}: rounding", "is not that of this release")
    made = {**shared_files(), CARD: model_card(manifest["students"], manifest["origins"])}
    for name in (n for n, data in made.items() if opened.files[n] != data):
        verdict.add("FAIL", name, "is not this release's" + (" for these students" if name == CARD else ""))
    if not verdict.failed:
        verdict.add("ok", "documents", f"{', '.join(made)}: this release's")


def _check_index(opened: Opened, manifest: dict, verdict: Verdict) -> None:
    """The page to begin with follows from the manifest and the other files' sizes."""
    if INDEX_PAGE not in opened.files:
        return
    try:
        from onwrist.firmware_sim.handoff.index import index_page
    except ImportError as error:
        verdict.add("not checked", INDEX_PAGE, f"{error.name} is not installed")
        return
    sizes = {name: len(opened.files[name]) for name in manifest["sha256"]}
    if index_page(sizes, manifest["students"], manifest["origins"], manifest["verdict"]) == opened.files[INDEX_PAGE]:
        verdict.add("ok", INDEX_PAGE, "names this bundle's files")
    else:
        verdict.add("FAIL", INDEX_PAGE, "is not what this release writes about these files")


def _check_encoder(opened: Opened, manifest: dict, verdict: Verdict, run: Run) -> None:
    files = {n: d for n, d in opened.files.items() if n.startswith(f"{HUB}/")}
    if files:
        verdict.take(run("hub", (files, {o["teacher_sha256"] for o in manifest["origins"].values()})))


def _check_report(opened: Opened, report: Any, students: list[Student], verdict: Verdict, run: Run) -> None:
    if report is not None:
        encoder = {n: len(d) for n, d in opened.files.items() if n.startswith(f"{HUB}/")}
        verdict.take(run("report", (report, students, encoder)))
        verdict.add("not checked", REPORT_PAGE, "pictures and tables; the gates are those of " + REPORT_JSON)
    if WATCH_PAGE in opened.files:
        verdict.add(
            "not checked", WATCH_PAGE, "a page that runs what its maker compiled; `onwrist demo` makes your own"
        )


def _check_word(manifest: dict, report: Any, verdict: Verdict) -> None:
    """What the maker says counts only against the bundle."""
    said = manifest["verdict"]
    if said == INVALID:
        verdict.add("FAIL", f"{MANIFEST}: verdict", "a gate failed when the bundle was made (see report.html)")
    elif report is None and said == VALID:
        verdict.add("FAIL", f"{MANIFEST}: verdict", "says valid, and there is no report")
    elif report is None or said == NOT_JUDGED:
        verdict.add("not run", "gates", "not judged: the bundle has no report that its maker stands for")


def refusal(error: OnwristError) -> str:
    """A line for a bundle that was refused."""
    return plain(f"{'REFUSED':12} {error}")
