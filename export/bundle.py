"""Write the handoff bundle of the shipped students.

python export/bundle.py --out build/bundle
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.settings import Bits, HopS, SensorHz, Teacher


@dataclass(frozen=True)
class BundleConfig:
    """A bundle of the shipped students."""

    sizes: tuple[str, ...] = ("watch", "band")
    """Students."""
    teacher: Teacher = None
    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64
    bits: Bits = 19
    report: Path | None = None
    """Folder with report.html and report.json to include (make deploy does)."""
    out: Path = Path("build/bundle")
    """Folder to write; its name with .zip is written beside it."""


def main(config: BundleConfig) -> None:
    """Write the handoff bundle of the shipped students: models, C, contract, golden vectors, manifest."""
    from onwrist.command import say
    from onwrist.export.handoff.artifacts import load_artifacts
    from onwrist.export.handoff.bundle import shared_files, student_files, write_bundle
    from onwrist.firmware_sim.watch.golden import golden_watch_header
    from onwrist.signals.front_end.fixed import design
    from onwrist.signals.front_end.floating import hop_samples

    hop, fixed = hop_samples(config.hop_s), design(config.sensor_hz, config.bits)
    files, students = shared_files(), {}
    for size in config.sizes:
        artifacts = load_artifacts(size, teacher=config.teacher)
        files |= student_files(artifacts, hop, fixed, golden_watch_header)
        students[size] = artifacts.model.digest()
    if config.report:
        files |= {p.name: p.read_bytes() for p in config.report.glob("report.*")}
    path = write_bundle(config.out, files, students, "not judged")
    say(f"{config.out}: {len(files) + 1} files; {path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, BundleConfig)
