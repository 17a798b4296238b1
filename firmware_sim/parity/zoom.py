"""Every output and every sample of a run as data in its page, from which the page draws any minute."""

from __future__ import annotations

import base64
import json

import numpy as np

from onwrist.firmware_sim.parity.reasons import REASONS, reason
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.quantize.integers.fake_quant import INPUT_SCALE
from onwrist.quantize.judging.evaluate import said_of
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ

# The wave is 90 kB an hour in the page; of a longer run the first hours are drawn.
WAVE_HOURS = 6.0


def zoom_data(results: list[Streamed]) -> str:
    """JSON that can stand inside a script element."""
    first = results[0]
    wave = first.hops.chunks.ravel()
    found = {
        "start_s": float(first.time_s[0] - first.hop_s), "hop_s": first.hop_s, "rate": STUDENT_RATE_HZ,
        "hops": len(first.hops), "reasons": list(REASONS), "wave_scale": INPUT_SCALE,
        "wave": _packed(wave[: round(WAVE_HOURS * 3600 * STUDENT_RATE_HZ)]),
        "reference": _packed(first.reference_bpm.astype("<f4")) if np.isfinite(first.reference_bpm).any() else "",
        "reference_name": first.reference.name, "students": [_student(r) for r in results], **_value(first),
    }  # fmt: skip
    # A "<" inside data could end the script that holds it.
    return json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")


def _value(r: Streamed) -> dict:
    value = r.meaning.drawn
    return {"value": value.name.replace("_", " ") if value else "", "unit": value.unit if value else ""}


def _student(r: Streamed) -> dict:
    warm, z, value = r.reasons[REASONS[1]], r.real_answers, r.meaning.drawn
    why = [REASONS.index(reason(int(w), i < warm)) for i, w in enumerate(r.why)]
    says = said_of(value, r.meaning, z) if value else np.full(len(z), np.nan)
    chances = dict(r.meaning.chances(z))
    sure = chances[r.meaning.shown_by] if r.meaning.shown_by else np.ones(len(z))
    return {
        "name": r.size, "says": _packed(says.astype("<f4")), "why": _packed(np.array(why, np.uint8)), "sure": _packed(_bytes(sure)),
        "chances": [{"name": name.replace("_", " "), "of": _packed(_bytes(p))} for name, p in chances.items()],
    }  # fmt: skip


def _bytes(chance: np.ndarray) -> np.ndarray:
    return np.rint(255 * chance).astype(np.uint8)


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
