"""Where a student comes from: what a manifest says of its weights, and the model card that goes with them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from onwrist.resources import WEIGHTS, weights_metadata

# A path would say where somebody's files lie; the last part of it says which file it was.
LONGEST_NAME = 200


@dataclass(frozen=True)
class Origin:
    """Where a student comes from. Claims: nothing in a bundle can prove them.

    Attributes:
        teacher: the encoder that it was distilled from, as it was named, without folders.
        teacher_sha256: of that file; "" where the name is no file.
        weights_sha256, parent_sha256: of the quantised student's file and of its float parent's.
    """

    teacher: str
    teacher_sha256: str
    weights_sha256: str
    parent_sha256: str

    def plain(self) -> dict[str, str]:
        """For the manifest."""
        return asdict(self)


def origin(size: str, teacher: str | None = None, quantised: Path | None = None, student: Path | None = None) -> Origin:
    """Where the student that `load_artifacts` gives for the same arguments comes from.

    Raises:
        CheckpointError: the teacher has no student of that size.
    """
    from onwrist.models.encoders.checkpoint import SHIPPED_TEACHER, teacher_file
    from onwrist.models.encoders.digests import file_digest
    from onwrist.quantize.teaching.student_files import float_weights, int8_weights

    name = teacher or SHIPPED_TEACHER
    return Origin(
        name.replace("\\", "/").rpartition("/")[2][:LONGEST_NAME],
        file_digest(teacher_file(teacher)),
        file_digest(quantised or int8_weights(size, teacher)),
        file_digest(student or float_weights(size, teacher)),
    )


def shipped_digests() -> dict[str, str]:
    """Size -> digest of the integers that this release ships."""
    files = sorted(WEIGHTS.glob("*.int8.safetensors"))
    return {f.name.partition(".")[0]: json.loads(weights_metadata(f)["digest"]) for f in files}


def model_card(students: dict[str, str], origins: dict[str, dict[str, str]]) -> bytes:
    """The card of students by digest: the shipped one for shipped integers, else one that claims nothing for others.

    Args:
        students: size -> digest. origins: size -> `Origin.plain`.
    """
    shipped = shipped_digests()
    if all(shipped.get(size) == digest for size, digest in students.items()):
        return (WEIGHTS / "README.md").read_bytes()
    lines = [
        "# Model card", "",
        "These students were made with onwrist from somebody's own encoder or data. Nothing that is published about the shipped",
        "students is true of them. What was measured of them is in the report, if there is one.", "",
        "| student | integers | teacher | its file | quantised weights | float parent |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for size, digest in students.items():
        o = origins[size]
        cells = [size, digest, o["teacher"], o["teacher_sha256"], o["weights_sha256"], o["parent_sha256"]]
        own = " (shipped)" if shipped.get(size) == digest else ""
        lines.append("| " + " | ".join(c.replace("|", "/") or "-" for c in cells) + f" |{own}")
    lines += [
        "",
        "Digests are SHA-256. They say which files were used, not who made them or whether they are any good.",
        "",
    ]
    return "\n".join(lines).encode()
