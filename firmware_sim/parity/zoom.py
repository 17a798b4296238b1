"""Every output and every sample of a run as data in its page, from which the page draws any minute."""

from __future__ import annotations

import base64
import json

import numpy as np

from onwrist.firmware_sim.parity.reasons import REASONS, reason
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.models.student.network import ANSWERS, LOGIT_SPAN
from onwrist.quantize.integers.fake_quant import INPUT_SCALE
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ

# Tenths of a beat per minute in 16 bits; 0 where there is nothing.
BPM_STEPS = 10
# The wave is 90 kB an hour in the page; of a longer run the first hours are drawn.
WAVE_HOURS = 6.0


def zoom_data(results: list[Streamed]) -> str:
    """JSON that can stand inside a script element."""
    first = results[0]
    wave = np.concatenate([h.chunk for h in first.hops]).astype(np.int8).ravel()
    found = {
        "start_s": float(first.time_s[0] - first.hop_s), "hop_s": first.hop_s, "rate": STUDENT_RATE_HZ, "bpm_steps": BPM_STEPS,
        "hops": len(first.hops), "reasons": list(REASONS), "wave_scale": INPUT_SCALE,
        "wave": _packed(wave[: round(WAVE_HOURS * 3600 * STUDENT_RATE_HZ)]),
        "reference": _packed(_tenths(first.reference_bpm)) if np.isfinite(first.reference_bpm).any() else "",
        "reference_name": first.reference.name, "students": [_student(r) for r in results],
    }  # fmt: skip
    # A "<" inside data could end the script that holds it.
    return json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")


def _student(r: Streamed) -> dict:
    warm = r.reasons[REASONS[1]]
    why = [REASONS.index(reason(int(w), i < warm)) for i, w in enumerate(r.why)]
    chances = {
        name: _packed(
            np.rint(255 / (1 + np.exp(-LOGIT_SPAN * r.real_answers[:, ANSWERS.index(name)]))).astype(np.uint8)
        )
        for name in ("quality", "irregular")
    }
    return {"name": r.size, "bpm": _packed(_tenths(r.bpm)), "why": _packed(np.array(why, np.uint8)), **chances}


def _tenths(bpm: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(np.rint(bpm * BPM_STEPS), nan=0.0), 0, 65535).astype("<u2")


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
