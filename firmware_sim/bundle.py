"""Write the handoff bundle of the shipped students.

python firmware_sim/bundle.py --out build/bundle
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen

from onwrist.ranges import Checked
from onwrist.settings import Bits, HopS, SensorHz, Size, Teacher


@dataclass(frozen=True)
class BundleConfig(Checked):
    """A bundle of the shipped students."""

    sizes: Annotated[tuple[Size, ...], MinLen(1)] = ("watch", "band")
    """Students."""
    teacher: Teacher = None
    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64
    bits: Bits = 19
    report: Path | None = None
    """Folder with report.html and report.json of the same students; without, the bundle is not judged."""
    sign: Path | None = None
    """Minisign secret key that signs the manifest."""
    out: Path = Path("build/bundle")
    """Folder to write; its name with .zip is written beside it."""


def main(config: BundleConfig) -> None:
    """Write the handoff bundle of the shipped students: models, C, contract, golden vectors, manifest."""
    from onwrist.command import say
    from onwrist.export.handoff.artifacts import load_artifacts
    from onwrist.export.handoff.bundle import assemble, claim_bundle, read_report, write_bundle
    from onwrist.export.handoff.provenance import origin
    from onwrist.export.handoff.signature import read_secret_key
    from onwrist.firmware_sim.fleet.counting import shipped_reference
    from onwrist.firmware_sim.handoff.index import with_index
    from onwrist.firmware_sim.watch.golden import golden_watch_header
    from onwrist.signals.front_end.fixed import design
    from onwrist.signals.front_end.floating import hop_samples

    fixed = design(config.sensor_hz, config.bits)
    key = read_secret_key(config.sign) if config.sign else None
    report = read_report(config.report) if config.report else None
    with claim_bundle(config.out):
        pairs = [(load_artifacts(s, teacher=config.teacher), origin(s, config.teacher)) for s in config.sizes]
        hop = hop_samples(config.hop_s, pairs[0][0].model.stride, pairs[0][0].model.sees.rate_hz)
        bundle = assemble(pairs, hop, fixed, golden_watch_header, shipped_reference)
        if report and config.report:
            bundle = bundle.with_report(report, config.report)
        bundle = with_index(bundle)
        path = write_bundle(config.out, bundle, key)
    say(f"{config.out}: {len(bundle.files) + 1} files, {bundle.verdict}; {path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, BundleConfig)
