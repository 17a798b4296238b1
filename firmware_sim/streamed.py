"""What a run of the simulated watch leaves: arrays, counters, gates, and their summary as plain values."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass, field

import numpy as np

from firmware_sim.memory import Memory
from firmware_sim.parity import Agreement, Gate
from firmware_sim.watch import Counters
from models.student import ANSWERS, HEART_RATE_CENTRE, HEART_RATE_SPAN
from quantize.evaluate import cosine

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
        saturated: samples that the ADC clipped.
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
    saturated: int
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
        "counters": {**asdict(result.counters), "saturated": result.saturated},
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
