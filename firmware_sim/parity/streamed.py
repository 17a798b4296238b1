"""What a run of the simulated watch leaves: arrays, counters, gates, and their summary as plain values."""

from __future__ import annotations

import datetime
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np

from onwrist.firmware_sim.parity.firmware import FirmwareRun
from onwrist.firmware_sim.parity.gates import Agreement, Gate, embedding_errors, verdict
from onwrist.firmware_sim.parity.memory import Memory
from onwrist.firmware_sim.parity.parts import Cost
from onwrist.firmware_sim.parity.rightness import by_rate, compare_methods
from onwrist.firmware_sim.parity.watch_in_c import WatchRun
from onwrist.firmware_sim.watch.faults import Faults
from onwrist.firmware_sim.watch.watch import Counters, Hop, Why
from onwrist.models.student.network import ANSWERS, HEART_RATE_CENTRE, HEART_RATE_SPAN, StudentConfig
from onwrist.quantize.judging.evaluate import cosine
from onwrist.signals.front_end.fixed import FrontEndParity
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ

LATENCY_QUANTILES = {"p50": 50, "p95": 95, "max": 100}


@dataclass
class Streamed:
    """Everything that one student said about one recording.

    Attributes:
        size, config, recording, person, rate_hz, hop_s, service_s, seconds: what was run.
        hops: outputs of TFLM's stream, with int8 and float windows.
        float_embedding, float_answers: of the float student behind the float front end.
        other_front_end: int8 embedding and answers (n, 259) with the float front end before the same INT8 student.
        answer_scale: answer units per step. embedding_scale: the embedding's.
        reference_bpm: (n,) from the ECG or the device, NaN where none. reference_kind: ECG, IBI, HR or empty.
        baselines: name -> (n, 2), beats/min and confidence of other methods on the same ten seconds.
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
    reference_kind: str = ""
    baselines: dict[str, np.ndarray] = field(default_factory=dict)
    embedding_scale: float = 1.0

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
    def verdict(self) -> tuple[str, str]:
        """(PASS, WARN or FAIL, the reason in words)."""
        return verdict(self.gates)

    @property
    def passed(self) -> bool:
        """Whether no gate fails; one that warns does not."""
        return self.verdict[0] != "FAIL"

    @cached_property
    def bpm(self) -> np.ndarray:
        """Heart rate of every output, shown or not, beats/min (n,)."""
        return beats_per_minute(self.real_answers)

    @property
    def judged(self) -> np.ndarray:
        """(n,) valid, and with a reference."""
        return self.valid & np.isfinite(self.reference_bpm)

    @cached_property
    def reasons(self) -> dict[str, int]:
        """Every output once: reason -> count, `SHOWN` first. Of several reasons the one that would remain counts."""
        warm = math.ceil(self.contract["window_samples"] / (self.hop_s * STUDENT_RATE_HZ)) if self.contract else 0
        first = np.arange(len(self.why)) < warm - 1
        found = dict.fromkeys(REASONS, 0)
        for why, early in zip(self.why, first, strict=True):
            found[reason(int(why), bool(early))] += 1
        return found


SHOWN = "shown"
# In the order in which they are named where an output has several: what is no signal at all first.
REASONS = (
    SHOWN, "warming up after power-up", "flat: nothing moves", "clipped at a rail of the converter",
    "warming up again after a gap", "gaps bridged by made-up samples", "poor signal in the model's own eyes",
)  # fmt: skip


def reason(why: int, early: bool) -> str:
    """Why one output is not shown, in words, or `SHOWN`.

    Args:
        why: bits of `Why`. early: before the first window was full.
    """
    if not why:
        return SHOWN
    if early and why & Why.WARMING:
        return REASONS[1]
    order = (Why.FLAT, Why.CLIPPED, Why.WARMING, Why.BRIDGED, Why.POOR)
    return REASONS[2 + next(i for i, flag in enumerate(order) if why & flag)]


WORK_HOPS_S = (0.2, 1.0, 2.0, 5.0, 10.0)


def beats_per_minute(answers: np.ndarray) -> np.ndarray:
    """Heart-rate answer (n, 3) to beats per minute."""
    return HEART_RATE_CENTRE + HEART_RATE_SPAN * answers[:, ANSWERS.index("heart_rate")]


def summary(result: Streamed) -> dict:
    """Plain values of a run, for the JSON beside the report."""
    latency = {k: float(np.percentile(result.latency_s, q) * 1e3) for k, q in LATENCY_QUANTILES.items()}
    similarity = result.similarity[result.valid]
    word, why = result.verdict
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
        "embedding_error": embedding_errors(
            result.embedding.astype(np.float64) * result.embedding_scale, result.float_embedding, result.shown
        ),
        "heart_rate": rate_errors(result),
        "heart_rate_range": rate_range(result),
        "methods": methods(result),
        "reasons": result.reasons,
        "answers": {n: float(np.mean(result.real_answers[result.valid, i] > 0)) for i, n in enumerate(ANSWERS) if i},
        "runtimes": [asdict(a) for a in result.agreements],
        "firmware": [asdict(f) for f in result.firmware],
        "watch_in_c": [asdict(f) for f in result.watch_in_c],
        "gates": [asdict(g) | {"word": g.word} for g in result.gates],
        "passed": result.passed,
        "verdict": word,
        "verdict_reason": why,
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


def rate_range(result: Streamed) -> dict | None:
    """Median and 5th to 95th percentile of the heart rate that is shown, and the share flagged irregular; None of nothing."""
    if not result.shown.any():
        return None
    low, median, high = np.percentile(result.bpm[result.shown], (5, 50, 95))
    irregular = result.real_answers[result.shown, ANSWERS.index("irregular")] > 0
    return {"median": float(median), "p5": float(low), "p95": float(high), "irregular": float(irregular.mean())}


def methods(result: Streamed) -> list[dict]:
    """The watch beside the baselines, over outputs with a reference; nothing without one."""
    rows = result.judged
    if not rows.any() or not result.shown[rows].any():
        return []
    baselines = {n: b[rows] for n, b in result.baselines.items()}
    sure = result.real_answers[rows, ANSWERS.index("quality")]
    return compare_methods(result.reference_bpm[rows], result.bpm[rows], result.shown[rows], sure, baselines)


def rate_errors(result: Streamed) -> dict | None:
    """Mean absolute heart-rate error of INT8 and float where the watch shows an output; None without reference."""
    rows = result.shown & np.isfinite(result.reference_bpm)
    if not rows.any():
        return None
    truth = result.reference_bpm[rows]
    error = np.abs(result.bpm[rows] - truth)
    int8, real = float(error.mean()), float(np.mean(np.abs(beats_per_minute(result.float_answers[rows]) - truth)))
    judged = result.judged
    bins = by_rate(result.reference_bpm[judged], result.bpm[judged], result.shown[judged])
    return {
        "reference": result.reference_name, "kind": result.reference_kind, "hops": int(rows.sum()),
        "share": float(rows.sum() / result.valid.sum()), "int8_mae": int8, "float_mae": real, "difference": int8 - real,
        "bias": float(np.mean(result.bpm[rows] - truth)), "mae_all": float(np.mean(np.abs(result.bpm - result.reference_bpm)[judged])),
        "by_rate": [asdict(b) for b in bins],
    }  # fmt: skip
