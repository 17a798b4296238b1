"""Stream a recording through the simulated watch, with parity and a report.

python firmware_sim/stream.py recordings/S34.npz
python firmware_sim/stream.py my_e4_folder --size band --hop-s 2
python firmware_sim/stream.py ppg.csv --rate-hz 100 --channel green
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from export.artifacts import Artifacts, contract, load_artifacts
from firmware_sim.memory import Memory, measure
from firmware_sim.parity import (
    Agreement,
    Gate,
    budget_gates,
    byte_gate,
    compare_runtimes,
    cosine_gates,
    judge_cohort,
)
from firmware_sim.runtimes import TFLM, TorchFloat, integer_runtimes
from firmware_sim.sensor import Sensor, SensorConfig
from firmware_sim.watch import Counters, Watch, WatchConfig
from models.student import ANSWERS, HEART_RATE_CENTRE, HEART_RATE_SPAN
from quantize.evaluate import cosine
from signals.beats import MIN_INTERVALS, Beats, detect_r_peaks, intervals
from signals.clean import WINDOW_S, fill_gaps
from signals.cohort import Progress, silent
from signals.errors import RecordingError
from signals.readers import read_recording
from signals.recording import Recording

# Fewer outputs than this say nothing about parity.
MIN_HOPS = 3
LATENCY_QUANTILES = {"p50": 50, "p95": 95, "max": 100}


@dataclass
class Streamed:
    """Everything that one student said about one recording.

    Attributes:
        size, recording, person, rate_hz, hop_s, seconds: what was run.
        time_s, valid, latency_s: per hop.
        windows: int8 (n, window); embedding int8 (n, 256); answers int8 (n, 3): of TFLM.
        float_embedding, float_answers: of the float student on the unquantised windows.
        answer_scale: answer units per step. reference_bpm: (n,) from the ECG or the device, NaN where none.
        counters: where the samples went. high_water: most samples in the ring.
    """

    size: str
    recording: str
    person: str
    rate_hz: int
    hop_s: float
    seconds: float
    time_s: np.ndarray
    valid: np.ndarray
    latency_s: np.ndarray
    real: np.ndarray
    windows: np.ndarray
    embedding: np.ndarray
    answers: np.ndarray
    float_embedding: np.ndarray
    float_answers: np.ndarray
    answer_scale: float
    reference_bpm: np.ndarray
    reference_name: str
    counters: Counters
    ring_capacity: int
    high_water: int
    memory: Memory
    agreements: list[Agreement] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    contract: dict = field(default_factory=dict)

    @property
    def similarity(self) -> np.ndarray:
        """Cosine INT8 to float of each hop."""
        return cosine(self.embedding.astype(np.float64), self.float_embedding)

    @property
    def real_answers(self) -> np.ndarray:
        """INT8 answers in real units, (n, 3)."""
        return self.answers.astype(np.float32) * self.answer_scale

    @property
    def deadline_misses(self) -> int:
        """Hops whose model took longer than the hop on this host."""
        return int(np.sum(self.latency_s > self.hop_s))

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return bool(self.gates) and all(g.passed for g in self.gates)


def beats_per_minute(answers: np.ndarray) -> np.ndarray:
    """Heart-rate answer (n, 3) to beats per minute."""
    return HEART_RATE_CENTRE + HEART_RATE_SPAN * answers[:, ANSWERS.index("heart_rate")]


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
            cure=f"Give at least {model.window / 25 + MIN_HOPS * config.hop_s:.0f} s",
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
        high_water=watch.ring.high_water, memory=measure(artifacts, config.sensor, config.hop_s),
        contract=contract(artifacts),
    )  # fmt: skip
    runtimes = integer_runtimes(artifacts.quantised, model, artifacts.tflite, artifacts.onnx)
    result.agreements = compare_runtimes(runtimes, windows, progress)
    result.gates = [
        byte_gate(result.agreements, len(windows)),
        *cosine_gates(result.similarity[valid], "stream"),
        *budget_gates(artifacts.size, result.memory),
        Gate("samples lost in the ring", "0", str(watch.counters.dropped), watch.counters.dropped == 0),
        Gate("deadlines missed on this host", "0", str(result.deadline_misses), result.deadline_misses == 0),
    ]
    return result


def summary(result: Streamed) -> dict:
    """Plain values of a run, for the JSON beside the report."""
    latency = {k: float(np.percentile(result.latency_s, q) * 1e3) for k, q in LATENCY_QUANTILES.items()}
    similarity = result.similarity[result.valid]
    memory = asdict(result.memory)
    return {
        "size": result.size,
        "recording": result.recording,
        "person": result.person,
        "rate_hz": result.rate_hz,
        "hop_s": result.hop_s,
        "seconds": result.seconds,
        "hops": len(result.time_s),
        "valid_hops": int(result.valid.sum()),
        "counters": asdict(result.counters),
        "ring": {"capacity": result.ring_capacity, "high_water": result.high_water},
        "host_latency_ms": latency,
        "real_time_factor": float(len(result.latency_s) * result.hop_s / max(result.latency_s.sum(), 1e-9)),
        "deadline_misses": result.deadline_misses,
        "memory": {**memory, "ram": result.memory.ram},
        "cosine": {"median": float(np.median(similarity)), "worst": float(similarity.min())},
        "heart_rate": rate_errors(result),
        "answers": {n: float(np.mean(result.real_answers[result.valid, i] > 0)) for i, n in enumerate(ANSWERS) if i},
        "runtimes": [asdict(a) for a in result.agreements],
        "gates": [asdict(g) for g in result.gates],
        "passed": result.passed,
        "digest": result.contract.get("digest"),
        "date": datetime.date.today().isoformat(),
    }


def rate_errors(result: Streamed) -> dict | None:
    """Mean absolute heart-rate error of INT8 and float where the watch itself calls the signal good; None without reference."""
    good = result.real_answers[:, ANSWERS.index("quality")] > 0
    rows = result.valid & good & np.isfinite(result.reference_bpm)
    if not rows.any():
        return None
    truth = result.reference_bpm[rows]
    int8 = float(np.mean(np.abs(beats_per_minute(result.real_answers[rows]) - truth)))
    real = float(np.mean(np.abs(beats_per_minute(result.float_answers[rows]) - truth)))
    return {
        "reference": result.reference_name, "hops": int(rows.sum()), "share": float(rows.sum() / result.valid.sum()),
        "int8_mae": int8, "float_mae": real, "difference": int8 - real,
    }  # fmt: skip


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
    from firmware_sim.report import table, write_report
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


def write_json(results: list[Streamed], path: Path, extra: dict | None = None) -> None:
    """Summaries of runs as JSON."""
    path.write_text(json.dumps({"runs": [summary(r) for r in results], **(extra or {})}, indent=1) + "\n")


if __name__ == "__main__":
    from signals.cli import run

    run(main, StreamConfig)
