"""From the shipped weights and recordings to a handoff folder and a parity report: what `make deploy` runs.

python firmware_sim/deploy.py
python firmware_sim/deploy.py my_e4_folder --out build/mine
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.settings import HOUR_ON_A_WRIST, HopS, Recording


@dataclass(frozen=True)
class DeployConfig:
    """The whole road, once."""

    recording: Recording = HOUR_ON_A_WRIST
    out: Path = Path("build/handoff")
    """The handoff folder."""
    hop_s: HopS = 1.0
    hub: bool = True
    """Also export the encoder itself."""
    firmware: bool = True
    """Also run the exported C, natively and on emulated Cortex-M4F, M33 and M7."""
    store: bool = False
    """Keep the encoder's figures beside the weights, for machines without the converter."""


def main(config: DeployConfig) -> int:
    """Export every student, stream a real hour through the simulated watch and the firmware, write a bundle, verify it."""

    import json

    from onwrist.command import GATE_FAILED, bar, say
    from onwrist.export.handoff.artifacts import SIZES, load_artifacts
    from onwrist.export.handoff.bundle import shared_files, student_files, write_bundle
    from onwrist.firmware_sim.handoff.deploy import HUB_STORED, hub_figures
    from onwrist.firmware_sim.handoff.verify import verify
    from onwrist.firmware_sim.parity.gates import judge_cohort
    from onwrist.firmware_sim.parity.play import stream
    from onwrist.firmware_sim.parity.report import REPORT_HTML, report_files, table, terminal
    from onwrist.firmware_sim.parity.sweep import stored_curves
    from onwrist.firmware_sim.watch.sensor import SensorConfig
    from onwrist.firmware_sim.watch.watch import WatchConfig
    from onwrist.resources import recording as shipped_or_own
    from onwrist.signals.front_end.fixed import design
    from onwrist.signals.recordings.readers import read_recording

    recording = read_recording(shipped_or_own(config.recording))
    watch = WatchConfig(config.hop_s, SensorConfig())
    fixed = design(watch.sensor.rate_hz, watch.sensor.bits)
    results, curves, files, students = [], [], shared_files(), {}
    for size in SIZES:
        artifacts = load_artifacts(size)
        files |= student_files(artifacts, watch.hop_samples(artifacts.model.stride), fixed)
        students[size] = artifacts.model.digest()
        curves += stored_curves(artifacts)
        result = stream(recording, artifacts, watch, bar, firmware=config.firmware)
        result.gates += judge_cohort(artifacts, bar)
        results.append(result)
    hub: list[dict] = []
    if config.hub:
        hub, encoder_files = hub_figures(bar)
        files |= encoder_files
    if config.store:
        HUB_STORED.write_text(json.dumps([r for r in hub if r["source"] == "measured"], indent=1) + "\n")
    passed = all(r.passed for r in results)
    files |= report_files(results, hub, curves)
    packed = write_bundle(config.out, files, students, "valid" if passed else "invalid")
    verdict = verify(packed)
    print(table(results, hub, **terminal()))
    print(f"bundle: {verdict.word} ({len(verdict.lines)} checks)")
    for line in verdict.lines:
        if not line.startswith("ok"):
            print(line)
    say(f"bundle: {config.out} and {packed}\nreport: {config.out / REPORT_HTML}")
    return 0 if passed and not verdict.failed else GATE_FAILED


if __name__ == "__main__":
    from onwrist.command import run

    run(main, DeployConfig)
