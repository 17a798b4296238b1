"""index.html of a bundle: what is in it, and what to open. It follows from the manifest, so that `verify` can write it again."""

from __future__ import annotations

from pathlib import Path

from onwrist.export.handoff.bundle import Bundle
from onwrist.export.handoff.names import (
    CARD,
    CONTRACT,
    GOLDEN,
    HUB,
    INDEX_PAGE,
    INVALID,
    MANIFEST,
    MEMORY,
    REPORT_JSON,
    REPORT_PAGE,
    SOURCES,
    SPEC,
    STEP,
    STEP_ONNX,
    TELEMETRY,
    VALID,
    WATCH_PAGE,
    WINDOW,
    WINDOW_ONNX,
)
from onwrist.pages.blocks import Mark
from onwrist.pages.rendering import render

# What a person opens, in this order; the rest is under its student, or among the other files.
DOORS = {
    REPORT_PAGE: "what the watch says over a recording, whether it is right, and every gate",
    WATCH_PAGE: "the exported C running in this browser, with faults to turn on",
    "FIRMWARE.md": "how to build it, and what the firmware has to know",
    CARD: "where the students come from, what they were measured on, and what they are not for",
    MANIFEST: "SHA-256 of every file; onwrist verify checks it and makes the files again",
}
OF_A_STUDENT = {
    SOURCES + "README.md": "its C sources", WINDOW: "TFLite of a window", STEP: "TFLite of one hop of the stream",
    WINDOW_ONNX: "ONNX of a window", STEP_ONNX: "ONNX of one hop", CONTRACT: "scales, shapes, front end: what firmware has to know",
    GOLDEN: "golden vectors", MEMORY: "memory plan", TELEMETRY: "what it counted of the people whom it knows",
}  # fmt: skip
OTHERS = {
    REPORT_JSON: "the report's figures", SPEC: "what was asked for", "LICENSE": "licence", "NOTICE": "licences of what went into it",
}  # fmt: skip
WORDS: dict[str, tuple[Mark, str]] = {
    VALID: ("pass", "Every gate of the report holds."),
    INVALID: ("fail", "A gate of the report fails."),
}
UNJUDGED: tuple[Mark, str] = ("open", "There is no report in this bundle: nothing was judged.")


def index_page(
    sizes: dict[str, int], students: dict[str, str], origins: dict[str, dict[str, str]], verdict: str
) -> bytes:
    """The page.

    Args:
        sizes: path -> bytes of every file of the bundle but the manifest. students, origins, verdict: as in the manifest.
    """
    there = {**{name: size for name, size in sizes.items() if name != INDEX_PAGE}, MANIFEST: 0}
    mark, sentence = WORDS.get(verdict, UNJUDGED)
    return render(
        "index.html.j2", Path(__file__).parent, title="onwrist handoff", mark=mark, word=verdict, sentence=sentence,
        doors=[(name, text) for name, text in DOORS.items() if name in there],
        students=[_student(size, digest, origins[size]["teacher"], there) for size, digest in students.items()],
        others=[(name, text, there[name]) for name, text in OTHERS.items() if name in there]
        + [(name, "the encoder itself", size) for name, size in sorted(there.items()) if name.startswith(f"{HUB}/")],
    ).encode()  # fmt: skip


def _student(size: str, digest: str, teacher: str, there: dict[str, int]) -> dict:
    rows = [
        (f"{size}/{n}", n, text, there[f"{size}/{n}"]) for n, text in OF_A_STUDENT.items() if f"{size}/{n}" in there
    ]
    sources = [n for n in sorted(there) if n.startswith(f"{size}/{SOURCES}")]
    return {"size": size, "digest": digest, "teacher": teacher, "files": rows, "sources": sources}


def with_index(bundle: Bundle) -> Bundle:
    """The bundle with its page to begin with; last, since the page names every other file."""
    sizes = {name: len(data) for name, data in bundle.files.items()}
    return bundle.with_files({INDEX_PAGE: index_page(sizes, bundle.students, bundle.origins, bundle.verdict)})
