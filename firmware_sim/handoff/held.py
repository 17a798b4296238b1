"""A student out of a bundle that somebody holds: its integers, its sensor, and what it saw. Nothing of it is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.errors import BundleError
from onwrist.export.handoff.names import STEP
from onwrist.export.handoff.reference import Reference
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.fixed import FixedDesign


@dataclass(frozen=True)
class Held:
    """Integers, samples between outputs, front end, and the people's counters."""

    model: IntegerModel
    hop: int
    fixed: FixedDesign
    reference: Reference


def held_student(bundle: Path, size: str) -> Held:
    """Read one student of a bundle, hashes checked.

    Raises:
        BundleError: it is refused, or has no such student.
    """
    from onwrist.export.graphs.step_reader import read_step
    from onwrist.firmware_sim.handoff.jobs import read_reference, sensor_of
    from onwrist.firmware_sim.handoff.opening import open_bundle
    from onwrist.firmware_sim.handoff.schema import check_manifest, read_student

    opened = open_bundle(bundle)
    manifest = check_manifest(opened, bundle)
    if size not in manifest["students"]:
        has = ", ".join(manifest["students"])
        raise BundleError(f"has no {size}", where=bundle, field="size", cure=f"Use --size {has}")
    student = read_student(opened.files, size, manifest["students"][size], bundle)
    fixed = sensor_of(student)
    model = read_step(student.files[STEP], f"{bundle}: {STEP}").model
    return Held(model, student.hop, fixed, read_reference(student, fixed))
