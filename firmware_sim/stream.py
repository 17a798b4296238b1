"""Stream a recording through the simulated watch, with parity and a report.

python firmware_sim/stream.py recordings/S34.npz
python firmware_sim/stream.py my_e4_folder --size band --hop-s 2
python firmware_sim/stream.py ppg.csv --rate-hz 100 --channel green
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from export.artifacts import Artifacts, contract, load_artifacts
from firmware_sim.memory import measure
from firmware_sim.parity import (
    Gate,
    budget_gates,
    byte_gate,
    compare_runtimes,
    cosine_gates,
    judge_cohort,
)
from firmware_sim.report import table, write_report
from firmware_sim.runtimes import TFLM, TorchFloat, other_runtimes
from firmware_sim.sensor import Sensor, SensorConfig
from firmware_sim.streamed import Streamed
from firmware_sim.watch import Watch, WatchConfig
from signals.beats import MIN_INTERVALS, Beats, detect_r_peaks, intervals
from signals.clean import WINDOW_S, fill_gaps
from signals.cohort import Progress, silent
from signals.errors import RecordingError
from signals.frontend import STUDENT_RATE_HZ
from signals.readers import read_recording
from signals.recording import Recording

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
    recording: Recording, artifacts: Artifacts, config: WatchConfig = WatchConfig(), progress: Progress = silent
) -> Streamed:
    """Play a recording through the watch with TFLM in the loop, then run every other runtime on the same windows.

    Raises:
        RecordingError: too short for a few outputs.
    """
    sensor = Sensor(recording, config.sensor)
    model = artifacts.model
    watch = Watch(model, TFLM(artifacts.tflite, model.window), config, artifacts.student.config.stride)
    expected = int(sensor.seconds / config.hop_s)
    hops = list(progress(watch.run(sensor), f"stream {artifacts.size}", total=expected))
    valid = np.array([h.valid for h in hops], bool)
    if valid.sum() < MIN_HOPS:
        raise RecordingError(
            f"{recording.seconds:.0f} s give {int(valid.sum())} valid outputs", where=recording.source,
            cure=f"Give at least {model.window / STUDENT_RATE_HZ + MIN_HOPS * config.hop_s:.0f} s",
        )  # fmt: skip
    real = np.stack([h.real for h in hops])
    windows = np.stack([h.window for h in hops])
    float_embedding, float_answers = TorchFloat(artifacts.student).run(real)
    time_s = np.array([h.time_s for h in hops])
    bpm, name = reference_rate(recording, time_s)
    result = Streamed(
        size=artifacts.size, recording=Path(recording.source).name, person=recording.subject,
        rate_hz=config.sensor.rate_hz, hop_s=config.hop_s, seconds=sensor.seconds, time_s=time_s, valid=valid,
        latency_s=np.array([h.latency_s for h in hops]), real=real, windows=windows,
        embedding=np.stack([h.embedding for h in hops]), answers=np.stack([h.answers for h in hops]),
        float_embedding=float_embedding, float_answers=float_answers, answer_scale=float(model.answers_scale),
        reference_bpm=bpm, reference_name=name, counters=watch.counters, ring_capacity=watch.ring.capacity,
        high_water=watch.ring.high_water, saturated=sensor.saturated, memory=measure(artifacts, config.sensor, config.hop_s),
        contract=contract(artifacts),
    )  # fmt: skip
    others = other_runtimes(artifacts.quantised, model, artifacts.tflite, artifacts.onnx)
    result.agreements = compare_runtimes((result.embedding, result.answers), others, windows, progress)
    similarity = result.similarity[valid]
    result.gates = [
        byte_gate(result.agreements, len(windows)),
        *cosine_gates(float(np.median(similarity)), float(similarity.min()), "stream"),
        *budget_gates(artifacts.size, result.memory),
        Gate("samples lost in the ring", "0", str(watch.counters.dropped), watch.counters.dropped == 0),
        Gate("deadlines missed on this host", "0", str(result.deadline_misses), result.deadline_misses == 0),
    ]
    return result


@dataclass(frozen=True)
class StreamConfig:
    """One recording through the simulated watch."""

    recording: Annotated[Path, tyro.conf.Positional] = Path("recordings/S34.npz")
    """.npz, .csv, WFDB, EDF, HDF5, or an Empatica E4 folder."""
    size: Literal["watch", "band"] = "watch"
    """Which student."""
    hop_s: float = 1.0
    """Seconds between outputs; a multiple of 0.2."""
    watch_rate: int = 64
    """The simulated sensor's rate in Hz: 25, 32, 50, 64, 100 or 125."""
    fifo: int = 16
    """Samples per sensor burst."""
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
    from signals.cli import GATE_FAILED, bar, say

    recording = read_recording(config.recording, rate_hz=config.rate_hz, channel=config.channel)
    artifacts = load_artifacts(config.size, config.model, config.student)
    watch = WatchConfig(config.hop_s, SensorConfig(config.watch_rate, config.fifo, config.bits))
    result = stream(recording, artifacts, watch, bar)
    if config.cohort:
        result.gates += judge_cohort(artifacts, bar)
    path = write_report([result], config.out)
    print(table([result]))
    say(f"report: {path}")
    return 0 if result.passed else GATE_FAILED


if __name__ == "__main__":
    from signals.cli import run

    run(main, StreamConfig)
