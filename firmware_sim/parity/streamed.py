"""What a run of the simulated watch leaves: arrays, counters, gates, and their summary as plain values."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np

from onwrist.firmware_sim.parity.firmware import FirmwareRun
from onwrist.firmware_sim.parity.gates import Agreement, Gate
from onwrist.firmware_sim.parity.memory import Memory
from onwrist.firmware_sim.parity.parts import Cost
from onwrist.firmware_sim.parity.watch_in_c import WatchRun
from onwrist.firmware_sim.watch.faults import Faults
from onwrist.firmware_sim.watch.watch import Counters, Hop, Why
from onwrist.models.student.network import ANSWERS, HEART_RATE_CENTRE, HEART_RATE_SPAN, StudentConfig
from onwrist.quantize.judging.evaluate import cosine
from onwrist.signals.front_end.fixed import FrontEndParity

LATENCY_QUANTILES = {"p50": 50, "p95": 95, "max": 100}


@dataclass
class Streamed:
    """Everything that one student said about one recording.

    Attributes:
        size, config, recording, person, rate_hz, hop_s, service_s, seconds: what was run.
        hops: outputs of TFLM's stream, with int8 and float windows.
        float_embedding, float_answers: of the float student behind the float front end.
        other_front_end: int8 embedding and answers (n, 259) with the float front end before the same INT8 student.
        answer_scale: answer units per step. reference_bpm: (n,) from the ECG or the device, NaN where none.
        counters: where the samples went. high_water: most samples in the ring. sent: by the sensor.
        saturated: samples that the ADC clipped.
    """

    size: str
    config: StudentConfig
    recording: str
    person: str
    rate_hz: int
    hop_s: float
    service_s: float
    seconds: float
    hops: list[Hop]
    float_embedding: np.ndarray
    float_answers: np.ndarray
    other_front_end: np.ndarray
    answer_scale: float
    reference_bpm: np.ndarray
    reference_name: str
    faults: Faults
    counters: Counters
    ring_capacity: int
    high_water: int
    sent: int
    saturated: int
    memory: Memory
    front_end: FrontEndParity
    costs: list[Cost] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    firmware: list[FirmwareRun] = field(default_factory=list)
    watch_in_c: list[WatchRun] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    contract: dict = field(default_factory=dict)

    @cached_property
    def time_s(self) -> np.ndarray:
        """(n,) seconds since power-up."""
        return np.array([h.time_s for h in self.hops])

    @cached_property
    def latency_s(self) -> np.ndarray:
        """(n,) seconds of the model on this host."""
        return np.array([h.latency_s for h in self.hops])

    @cached_property
    def why(self) -> np.ndarray:
        """(n,) reasons not to show an output, as bits."""
        return np.array([int(h.why) for h in self.hops])

    @property
    def valid(self) -> np.ndarray:
        """(n,) whether the window is real signal."""
        return (self.why & ~int(Why.POOR)) == 0

    @property
    def shown(self) -> np.ndarray:
        """(n,) valid, and good in the model's own eyes."""
        return self.why == 0

    @cached_property
    def embedding(self) -> np.ndarray:
        """int8 (n, 256)."""
        return np.stack([h.embedding for h in self.hops])

    @cached_property
    def answers(self) -> np.ndarray:
        """int8 (n, 3)."""
        return np.stack([h.answers for h in self.hops])

    @cached_property
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


WORK_HOPS_S = (0.2, 1.0, 2.0, 5.0, 10.0)


def beats_per_minute(answers: np.ndarray) -> np.ndarray:
    """Heart-rate answer (n, 3) to beats per minute."""
    return HEART_RATE_CENTRE + HEART_RATE_SPAN * answers[:, ANSWERS.index("heart_rate")]


def summary(result: Streamed) -> dict:
    """Plain values of a run, for the JSON beside the report."""
    latency = {k: float(np.percentile(result.latency_s, q) * 1e3) for k, q in LATENCY_QUANTILES.items()}
    similarity = result.similarity[result.valid]
    memory = asdict(result.memory)
    late = np.array([h.done_s - h.time_s for h in result.hops])
    return {
        "size": result.size,
        "recording": result.recording,
        "person": result.person,
        "rate_hz": result.rate_hz,
        "hop_s": result.hop_s,
        "service_s": result.service_s,
        "seconds": result.seconds,
        "hops": len(result.hops),
        "valid_hops": int(result.valid.sum()),
        "shown_hops": int(result.shown.sum()),
        "not_shown": {str(w.name).lower(): int(np.sum(result.why & w.value > 0)) for w in Why},
        "faults": result.faults.plain(),
        "counters": {**asdict(result.counters), "sent": result.sent, "saturated": result.saturated},
        "ring": {"capacity": result.ring_capacity, "high_water": result.high_water},
        "utilisation": result.service_s / result.hop_s,
        "worst_delay_s": float(late.max()),
        "host_latency_ms": latency,
        "real_time_factor": float(len(result.hops) * result.hop_s / max(result.latency_s.sum(), 1e-9)),
        "deadline_misses": result.deadline_misses,
        "memory": {**memory, "ram": result.memory.ram, "windowed_ram": result.memory.windowed_ram},
        "front_end": asdict(result.front_end) | front_end_effect(result),
        "parts": [asdict(c) for c in result.costs],
        "cosine": {"median": float(np.median(similarity)), "worst": float(similarity.min())},
        "heart_rate": rate_errors(result),
        "answers": {n: float(np.mean(result.real_answers[result.valid, i] > 0)) for i, n in enumerate(ANSWERS) if i},
        "runtimes": [asdict(a) for a in result.agreements],
        "firmware": [asdict(f) for f in result.firmware],
        "watch_in_c": [asdict(f) for f in result.watch_in_c],
        "gates": [asdict(g) for g in result.gates],
        "passed": result.passed,
        "digest": result.contract.get("digest"),
        "date": datetime.date.today().isoformat(),
    }


def front_end_effect(result: Streamed) -> dict:
    """What the front end's rounding does behind the INT8 student: worst cosine, largest change of the heart rate."""
    width = result.embedding.shape[1]
    similarity = cosine(result.embedding.astype(np.float64), result.other_front_end[:, :width].astype(np.float64))
    ours, other = (
        beats_per_minute(a * result.answer_scale) for a in (result.answers, result.other_front_end[:, width:])
    )
    rows = result.valid
    return {
        "cosine_worst": float(similarity[rows].min()),
        "bpm_largest": float(np.abs(ours - other)[rows].max()),
        "bpm_mean": float(np.mean((ours - other)[rows])),
    }


def rate_errors(result: Streamed) -> dict | None:
    """Mean absolute heart-rate error of INT8 and float where the watch shows an output; None without reference."""
    rows = result.shown & np.isfinite(result.reference_bpm)
    if not rows.any():
        return None
    truth = result.reference_bpm[rows]
    int8 = float(np.mean(np.abs(beats_per_minute(result.real_answers[rows]) - truth)))
    real = float(np.mean(np.abs(beats_per_minute(result.float_answers[rows]) - truth)))
    return {
        "reference": result.reference_name, "hops": int(rows.sum()), "share": float(rows.sum() / result.valid.sum()),
        "int8_mae": int8, "float_mae": real, "difference": int8 - real,
    }  # fmt: skip
