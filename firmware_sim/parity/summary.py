"""A streamed recording as plain values: what report.json holds of each run."""

from __future__ import annotations

import datetime
from dataclasses import asdict

import numpy as np

from onwrist.firmware_sim.parity.gates import embedding_errors
from onwrist.firmware_sim.parity.rightness import by_rate, compare_methods
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.watch.watch import Why
from onwrist.quantize.judging.evaluate import said_of

LATENCY_QUANTILES = {"p50": 50, "p95": 95, "max": 100}


def summary(result: Streamed) -> dict:
    """Plain values of a run, for the JSON beside the report."""
    latency = {k: float(np.percentile(result.latency_s, q) * 1e3) for k, q in LATENCY_QUANTILES.items()}
    similarity = result.similarity[result.valid]
    word, why = result.verdict
    memory = asdict(result.memory)
    late = result.hops.done_s - result.hops.time_s
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
        "faults": result.run.faults.plain(),
        "counters": {
            **asdict(result.counters),
            "sent": result.run.sensor.sent,
            "saturated": result.run.sensor.saturated,
        },
        **acceleration(result),
        "ring": {"capacity": result.run.watch.ring.capacity, "high_water": result.run.watch.ring.high_water},
        "utilisation": result.service_s / result.hop_s,
        "worst_delay_s": float(late.max()),
        "host_latency_ms": latency,
        "real_time_factor": float(len(result.hops) * result.hop_s / max(result.latency_s.sum(), 1e-9)),
        "deadline_misses": result.deadline_misses,
        "memory": {**memory, "ram": result.memory.ram, "windowed_ram": result.memory.windowed_ram},
        "front_end": asdict(result.real.front_end) | front_end_effect(result),
        "parts": [c.plain() for c in result.costs],
        "cosine": {"median": float(np.median(similarity)), "worst": float(similarity.min())},
        "embedding_error": embedding_errors(result.real.near, result.shown),
        "heart_rate": rate_errors(result),
        "says": says(result),
        "methods": methods(result),
        "reasons": result.reasons,
        "answers": {
            a.name: float(np.mean(result.real_answers[result.valid, result.meaning.column(a.name)] > 0))
            for a in result.meaning
            if a.kind == "yes/no"
        },
        "runtimes": [asdict(a) for a in result.agreements],
        "firmware": [asdict(f) for f in result.firmware],
        "watch_in_c": [asdict(f) for f in result.watch_in_c],
        "gates": [asdict(g) | {"word": g.word} for g in result.gates],
        "limits": result.deployed.limits.model_dump(),
        "passed": result.passed,
        "verdict": word,
        "verdict_reason": why,
        "digest": result.contract["digest"],
        "date": datetime.date.today().isoformat(),
    }


def acceleration(result: Streamed) -> dict:
    """Books of the accelerometer, and outputs that had to do without some or all of it; nothing of a student of light alone."""
    line = result.run.watch.motion
    if line is None:
        return {}
    lacking = result.hops.unmoved
    return {
        "acceleration": {
            **asdict(line.counters), "waiting": line.ring.head - line.ring.tail, "outputs_with_less": int(np.sum(lacking > 0)),
            "outputs_without": int(np.sum(lacking == result.deployed.hop)),
        }
    }  # fmt: skip


def front_end_effect(result: Streamed) -> dict:
    """What the front end's rounding does behind the INT8 student: worst cosine, largest change of the heart rate, if any."""
    similarity = result.real.other_similarity
    ours, other = (result.meaning.rates(a * result.answer_scale) for a in (result.answers, result.real.other_answers))
    rows = result.valid
    has_rate = result.meaning.rate is not None
    return {
        "cosine_worst": float(similarity[rows].min()),
        "bpm_largest": float(np.abs(ours - other)[rows].max()) if has_rate else None,
        "bpm_mean": float(np.mean((ours - other)[rows])) if has_rate else None,
    }


def says(result: Streamed) -> dict[str, dict]:
    """What is shown, by answer: median and 5th to 95th percentile of a value, share of yes, share of each class, over outputs or
    their frames; nothing where nothing is shown, nor of the answer that decides, which is a yes then."""
    shown, found = result.real_answers[result.shown], {}
    frames = result.run.frames[result.shown].reshape(-1, shown.shape[1]).astype(np.float32) * result.answer_scale
    for answer in result.meaning if len(shown) else ():
        said = said_of(answer, result.meaning, shown if answer.at == "hop" else frames)
        if answer.kind == "value":
            low, median, high = (float(v) for v in np.percentile(said, (5, 50, 95)))
            found[answer.name] = {"median": median, "p5": low, "p95": high, "unit": answer.unit}
        elif answer.kind == "classes":
            found[answer.name] = {word: float(np.mean(said == i)) for i, word in enumerate(answer.words)}
        elif answer.name != result.meaning.shown_by:
            found[answer.name] = {answer.word: float(np.mean(said > 0))}
    return found


def methods(result: Streamed) -> list[dict]:
    """The watch beside the baselines, over outputs with a reference; nothing without one."""
    rows = result.judged
    if not rows.any() or not result.shown[rows].any():
        return []
    baselines = {n: b[rows] for n, b in result.baselines.items()}
    sure = result.meaning.sure(result.real_answers[rows])
    return compare_methods(result.reference_bpm[rows], result.bpm[rows], result.shown[rows], sure, baselines)


def rate_errors(result: Streamed) -> dict | None:
    """Mean absolute heart-rate error of INT8 and float where the watch shows an output; None without reference."""
    rows = result.shown & np.isfinite(result.reference_bpm)
    if not rows.any():
        return None
    truth = result.reference_bpm[rows]
    error = np.abs(result.bpm[rows] - truth)
    int8, real = float(error.mean()), float(np.mean(np.abs(result.meaning.rates(result.real.answers[rows]) - truth)))
    judged = result.judged
    bins = by_rate(result.reference_bpm[judged], result.bpm[judged], result.shown[judged])
    return {
        "reference": result.reference.name, "kind": result.reference.kind, "hops": int(rows.sum()),
        "share": float(rows.sum() / result.valid.sum()), "int8_mae": int8, "float_mae": real, "difference": int8 - real,
        "bias": float(np.mean(result.bpm[rows] - truth)), "mae_all": float(np.mean(np.abs(result.bpm - result.reference_bpm)[judged])),
        "by_rate": [asdict(b) for b in bins],
    }  # fmt: skip
