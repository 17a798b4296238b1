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

import numpy as np
import tyro

from onwrist.errors import RecordingError
from onwrist.export.handoff.artifacts import Artifacts, contract, load_artifacts
from onwrist.firmware_sim.parity.firmware import firmware_gate, run_everywhere
from onwrist.firmware_sim.parity.gates import (
    BATCH,
    Gate,
    Played,
    all_runtimes,
    budget_gates,
    byte_gate,
    compare_runtimes,
    cosine_gates,
    front_end_gates,
    judge_cohort,
)
from onwrist.firmware_sim.parity.memory import measure
from onwrist.firmware_sim.parity.report import table, write_report
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.parts import PARTS, cost, find_part, hop_seconds
from onwrist.firmware_sim.runtimes.hop import TFLMStep, time_major
from onwrist.firmware_sim.runtimes.window import TorchFloat
from onwrist.firmware_sim.watch.faults import Faults, parse_faults, read_faults
from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
from onwrist.firmware_sim.watch.watch import Hop, Watch, WatchConfig
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.fixed import compare_front_ends, design
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.pulse.beats import MIN_INTERVALS, Beats, detect_r_peaks, intervals
from onwrist.signals.pulse.clean import WINDOW_S, fill_gaps
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Recording

# Fewer outputs than this say nothing about parity.
MIN_HOPS = 3


def reference_rate(recording: Recording, time_s: np.ndarray) -> tuple[np.ndarray, str]:
    """Heart rate of the last 10 s at each time: from the ECG, else from the device's own estimate, else NaN."""
    out = np.full(len(time_s), np.nan)
    if recording.ecg is not None:
        r = recording.labels.get("rpeaks")
        if r is not None:
            r = np.asarray(r) / recording.ecg.rate_hz
        else:
            r = detect_r_peaks(fill_gaps(recording.ecg.samples), recording.ecg.rate_hz)
        beats = Beats(r, np.zeros(0), 0.0)
        for i, t in enumerate(time_s):
            rr = intervals(beats.r, t - WINDOW_S, t)
            if len(rr) >= MIN_INTERVALS:
                out[i] = 60.0 / rr.mean()
        return out, "ECG"
    if "hr_e4" in recording.labels:
        offset = float(recording.labels.get("hr_t0_unix", 0.0)) - (recording.start_unix or 0.0)
        hr = np.asarray(recording.labels["hr_e4"], np.float64)
        index = np.round(time_s - offset).astype(int)
        inside = (index >= 0) & (index < len(hr))
        out[inside] = hr[index[inside]]
        return out, "the device's own estimate (no ECG)"
    return out, ""


def stream(
    recording: Recording,
    artifacts: Artifacts,
    config: WatchConfig = WatchConfig(),
    progress: Progress = silent,
    *,
    faults: Faults = Faults(),
    firmware: bool = False,
) -> Streamed:
    """Play a recording through the watch with TFLM's stream in the loop, then every other runtime over the same run.

    Args:
        firmware: also compile the exported C and run it, here and on emulated cores, from the ADC counts on.

    Raises:
        RecordingError: too short for a few outputs.
    """
    sensor = Sensor(recording, config.sensor, faults)
    model = artifacts.model
    hop = config.hop_samples(model.stride)
    watch = Watch(model, TFLMStep(artifacts.tflite_step(hop), time_major(model, hop)), config, witness=True)
    hops = list(progress(watch.run(sensor), f"stream {artifacts.size}", total=int(sensor.seconds / config.hop_s)))
    if sum(h.valid for h in hops) < MIN_HOPS:
        raise RecordingError(
            f"{recording.seconds:.0f} s give {sum(h.valid for h in hops)} valid outputs", where=recording.source,
            cure=f"Give at least {model.window / STUDENT_RATE_HZ + MIN_HOPS * config.hop_s:.0f} s of signal",
        )  # fmt: skip
    real = np.stack([h.real for h in hops])
    played = Played(
        np.stack([h.chunk for h in hops]), np.array([h.first for h in hops]), np.stack([h.window for h in hops]),
        [h.counts for h in hops],
    )  # fmt: skip
    float_embedding, float_answers = TorchFloat(artifacts.student).run(real)
    bpm, name = reference_rate(recording, np.array([h.time_s for h in hops]))
    memory = measure(artifacts, config.sensor, config.hop_s)
    result = Streamed(
        size=artifacts.size, config=artifacts.student.config, recording=Path(recording.source).name, person=recording.subject,
        rate_hz=config.sensor.rate_hz, hop_s=config.hop_s, service_s=config.service_s, seconds=sensor.seconds, hops=hops,
        float_embedding=float_embedding, float_answers=float_answers,
        other_front_end=with_float_front_end(model, played.windows, real, hops), answer_scale=float(model.answers_scale),
        reference_bpm=bpm, reference_name=name, faults=faults, counters=watch.counters,
        ring_capacity=watch.ring.capacity, high_water=watch.ring.high_water, sent=sensor.sent,
        saturated=sensor.saturated, memory=memory,
        front_end=compare_front_ends(played.chunks.ravel(), real[:, -hop:].ravel()),
        costs=[cost(part, artifacts, memory, config.sensor, config.hop_s) for part in PARTS],
        contract=contract(artifacts, hop, design(config.sensor.rate_hz, config.sensor.bits)),
    )  # fmt: skip
    result.agreements = compare_runtimes(
        (result.embedding, result.answers), all_runtimes(artifacts, hop), played, progress
    )
    if firmware:
        fixed = design(config.sensor.rate_hz, config.sensor.bits)
        result.firmware = run_everywhere(model, hop, fixed, played, (result.embedding, result.answers), progress)
    similarity = result.similarity[result.valid]
    books = watch.counters
    result.gates = [
        byte_gate(result.agreements, len(hops)),
        *([firmware_gate(result.firmware)] if firmware else []),
        *cosine_gates(float(np.median(similarity)), float(similarity.min()), "stream"),
        *front_end_gates(result.front_end),
        *budget_gates(artifacts.size, memory),
        Gate("samples accounted for", "all", f"{books.received:,} received", books.accounted),
        Gate("deadlines missed on this host", "0", str(result.deadline_misses), result.deadline_misses == 0),
    ]
    if not faults.faults:
        result.gates.append(Gate("samples lost in the ring", "0", str(books.dropped), books.dropped == 0))
        result.gates.append(Gate("hops missed", "0", str(books.missed), books.missed == 0))
    return result


def with_float_front_end(model: IntegerModel, windows: np.ndarray, real: np.ndarray, hops: list[Hop]) -> np.ndarray:
    """int8 (n, 259): the same INT8 student behind the float front end, computed where its input differs at all."""
    out = np.stack([np.concatenate([h.embedding, h.answers]) for h in hops])
    other = model.quantise_input(real)
    rows = np.flatnonzero((other != windows).any(axis=1))
    for i in range(0, len(rows), BATCH):
        part = rows[i : i + BATCH]
        out[part] = np.concatenate(model.run(other[part]), axis=1)
    return out


@dataclass(frozen=True)
class StreamConfig:
    """One recording through the simulated watch."""

    recording: Annotated[Path, tyro.conf.Positional] = Path("recordings/S34.npz")
    """.npz, .csv, WFDB, EDF, HDF5, or an Empatica E4 folder."""
    size: Literal["watch", "band"] = "watch"
    """Which student."""
    teacher: str | None = None
    """The teacher that was named to quantize/distill.py and qat.py (default: the shipped one)."""
    hop_s: float = 1.0
    """Seconds between outputs; a multiple of 0.2."""
    watch_rate: int = 64
    """The simulated sensor's rate in Hz: 25, 32, 50, 64, 100 or 125."""
    fifo: int = 16
    """Samples per sensor burst."""
    faults: Path | None = None
    """Recipe of what goes wrong, a TOML file (see firmware_sim/faults.py)."""
    fault: tuple[str, ...] = ()
    """The same in words, as many as you like: lost:share=0.02 drift:ppm=300 stall."""
    seed: int = 0
    """Seed of the faults in words; a recipe has its own."""
    gap: Literal["interpolate", "hold", "reset"] = "interpolate"
    """What bridges a gap of up to a second."""
    firmware: bool = False
    """Also run the exported C, natively and on emulated Cortex-M4F, M33 and M7, from the ADC counts on."""
    part: str | None = None
    """Microcontroller whose (estimated) time a hop takes, for instance STM32U385; default: no time at all."""
    bits: int = 19
    """ADC resolution."""
    rate_hz: float | None = None
    """Rate of the recording, where its file does not tell."""
    channel: str | None = None
    """PPG channel, where the file has several."""
    model: Path | None = None
    """Quantised student (default: the shipped one)."""
    student: Path | None = None
    """Its float parent (default: the shipped one)."""
    out: Path = Path("build/stream")
    """Folder of report.html and report.json."""
    cohort: bool = True
    """Include the gates of the labelled cohort (measured if it is here, else stored)."""


def main(config: StreamConfig) -> int:
    """Stream a recording through the simulated watch and write a parity report."""
    from onwrist.command import GATE_FAILED, bar, say

    recording = read_recording(config.recording, rate_hz=config.rate_hz, channel=config.channel)
    artifacts = load_artifacts(config.size, config.model, config.student, config.teacher)
    faults = read_faults(config.faults) if config.faults else parse_faults(config.fault, config.seed)
    sensor = SensorConfig(config.watch_rate, config.fifo, config.bits)
    taken = hop_seconds(find_part(config.part), artifacts, sensor, config.hop_s) if config.part else None
    watch = WatchConfig(config.hop_s, sensor, config.gap, taken[1] if taken else 0.0)
    result = stream(recording, artifacts, watch, bar, faults=faults, firmware=config.firmware)
    if config.cohort:
        result.gates += judge_cohort(artifacts, bar)
    path = write_report([result], config.out)
    print(table([result]))
    say(f"report: {path}")
    return 0 if result.passed else GATE_FAILED


if __name__ == "__main__":
    from onwrist.command import run

    run(main, StreamConfig)
