"""Stream a recording through the simulated watch, with parity and a report.

python firmware_sim/stream.py recordings/S34.npz
python firmware_sim/stream.py my_e4_folder --size band --hop-s 2
python firmware_sim/stream.py ppg.csv --rate-hz 100 --channel green
python firmware_sim/stream.py rec.npz --fault lost:share=0.02 motion:scale=3 --part STM32U385
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from onwrist.ranges import Checked, Seed
from onwrist.settings import HOUR_ON_A_WRIST, Bits, HopS, Recording, RecordingHz, SensorHz, Size, Teacher


@dataclass(frozen=True)
class StreamConfig(Checked):
    """One recording through the simulated watch."""

    recording: Recording = HOUR_ON_A_WRIST
    size: Size = "watch"
    teacher: Teacher = None
    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64
    fifo: Annotated[int, Interval(ge=1, le=1_000)] = 16
    """Samples per sensor burst."""
    faults: Path | None = None
    """Recipe of what goes wrong, a TOML file (see firmware_sim/watch/faults.py)."""
    fault: tuple[str, ...] = ()
    """The same in words, as many as you like: lost:share=0.02 drift:ppm=300 stall."""
    seed: Seed = 0
    """Seed of the faults in words; a recipe has its own."""
    gap: Literal["interpolate", "hold", "reset"] = "interpolate"
    """What bridges a gap of up to a second."""
    firmware: bool = False
    """Also run the exported C, natively and on emulated Cortex-M4F, M33 and M7, from the ADC counts on."""
    part: str | None = None
    """Microcontroller whose (estimated) time a hop takes, for instance STM32U385; default: no time at all."""
    bits: Bits = 19
    rate_hz: RecordingHz | None = None
    """Rate of the recording, where its file does not tell."""
    channel: str | None = None
    """PPG channel, where the file has several."""
    subject: str | None = None
    """Person, where the file holds several."""
    segment: str | None = None
    """Piece, where the file or folder holds several."""
    invert: bool = False
    """Turn the PPG upside down: a raw photodiode current falls with each beat. What is plainly upside down is turned anyway,
    with a word."""
    weights: Path | None = None
    """Quantised student (default: the shipped one)."""
    student: Path | None = None
    """Its float parent (default: the shipped one)."""
    out: Path = Path("build/stream")
    """Folder of report.html and report.json."""
    cohort: bool = True
    """Include the gates of the labelled cohort (measured if it is here, else stored)."""


def main(config: StreamConfig) -> int:
    """Stream a recording through the simulated watch and write a parity report."""

    from dataclasses import replace

    from onwrist.command import GATE_FAILED, bar, say
    from onwrist.export.handoff.artifacts import load_artifacts
    from onwrist.firmware_sim.parity.deployed import Deployed
    from onwrist.firmware_sim.parity.gates import judge_cohort
    from onwrist.firmware_sim.parity.parts import count_mixes, find_part, hop_seconds
    from onwrist.firmware_sim.parity.play import stream
    from onwrist.firmware_sim.parity.report import write_report
    from onwrist.firmware_sim.parity.terminal import table, terminal
    from onwrist.firmware_sim.watch.faults import parse_faults, read_faults
    from onwrist.firmware_sim.watch.sensor import SensorConfig
    from onwrist.firmware_sim.watch.watch import WatchConfig
    from onwrist.resources import recording as shipped_or_own
    from onwrist.signals.recordings.readers import read_recording

    recording = read_recording(
        shipped_or_own(config.recording), rate_hz=config.rate_hz, channel=config.channel, subject=config.subject,
        segment=config.segment, invert=config.invert,
    )  # fmt: skip
    for notice in recording.notices:
        say(f"notice: {notice}")
    artifacts = load_artifacts(config.size, config.weights, config.student, config.teacher)
    faults = read_faults(config.faults) if config.faults else parse_faults(config.fault, config.seed)
    sensor = SensorConfig(config.sensor_hz, config.fifo, config.bits)
    deployed = Deployed(artifacts, WatchConfig(config.hop_s, sensor, config.gap))
    if config.part:
        service_s = hop_seconds(find_part(config.part), count_mixes(deployed))
        deployed = replace(deployed, config=replace(deployed.config, service_s=service_s))
    result = stream(recording, deployed, bar, faults=faults, firmware=config.firmware)
    if config.cohort:
        result = result.with_gates(judge_cohort(artifacts, bar))
    path = write_report([result], config.out)
    print(table([result], **terminal()))
    say(f"report: {path}")
    return 0 if result.passed else GATE_FAILED


if __name__ == "__main__":
    from onwrist.command import run

    run(main, StreamConfig)
