"""The report's pictures, as PNG data URIs."""

from __future__ import annotations

import base64
import io

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from firmware_sim.memory import BUDGETS
from firmware_sim.parity import COSINE_MEDIAN, COSINE_WORST, LSB_BINS
from firmware_sim.streamed import Streamed, beats_per_minute
from models.student import ANSWERS, LOGIT_SPAN
from quantize.fake_quant import INPUT_SCALE
from signals.frontend import STUDENT_RATE_HZ

INK, BLUE, RED, GREEN, GREY, AMBER = "#1f2933", "#2563a8", "#c0392b", "#2e8b57", "#c9d1d9", "#c98a1b"
WAVE_S = 60.0
GAP_SHADE = "#f3d9d6"

plt.rcParams.update(
    {
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK,
        "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.titleweight": "bold",
        "axes.titlelocation": "left", "axes.titlesize": 10, "legend.frameon": False,
    }
)  # fmt: skip


def _uri(figure) -> str:
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=120, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()


def overview(result: Streamed) -> str:
    """The whole recording: heart rate with its reference, quality, irregularity; invalid stretches shaded."""
    t = result.time_s / 60
    answers = result.real_answers
    good = result.valid & (answers[:, ANSWERS.index("quality")] > 0)
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(10.5, 4.2), sharex=True, height_ratios=(2.4, 1))
    rate = beats_per_minute(answers)
    if np.isfinite(result.reference_bpm).any():
        top.plot(t, result.reference_bpm, color=GREY, lw=2.2, label=f"reference: {result.reference_name}")
    top.plot(
        t, np.where(result.valid & ~good, rate, np.nan), ".", color=AMBER, ms=2, alpha=0.5, label="INT8, quality low"
    )
    top.plot(t, np.where(good, rate, np.nan), ".", color=BLUE, ms=2.5, label="INT8, quality good")
    top.set_ylabel("heart rate, BPM")
    top.set_ylim(30, 190)
    top.legend(loc="upper right", ncols=3, markerscale=3)
    top.set_title(f"{result.recording}: what the watch says over {result.seconds / 60:.0f} minutes")
    for name, colour in (("quality", GREEN), ("irregular", RED)):
        p = 1 / (1 + np.exp(-LOGIT_SPAN * answers[:, ANSWERS.index(name)]))
        bottom.plot(t, np.where(result.valid, p, np.nan), color=colour, lw=0.7, label=name)
    bottom.set_ylim(-0.02, 1.02)
    bottom.set_ylabel("probability")
    bottom.set_xlabel("minutes")
    bottom.legend(loc="upper right", ncols=2)
    _shade_invalid(result, (top, bottom))
    return _uri(figure)


def _shade_invalid(result: Streamed, axes) -> None:
    half = result.hop_s / 120
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (~result.valid).astype(int), [0]])))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        for axis in axes:
            axis.axvspan(result.time_s[a] / 60 - half, result.time_s[b - 1] / 60 + half, color=GAP_SHADE, lw=0)


def wave(result: Streamed) -> str:
    """A minute of what the model is fed, at the best and the worst stretch by the watch's own quality."""
    per_hop = round(result.hop_s * STUDENT_RATE_HZ)
    line = np.concatenate([w[-per_hop:] for w in result.windows.astype(np.float32)]) * INPUT_SCALE
    t0 = result.time_s[0] - result.hop_s
    quality = np.where(result.valid, result.real_answers[:, ANSWERS.index("quality")], 0.0)
    width = max(1, int(WAVE_S / result.hop_s))
    if len(quality) > width:
        mean = np.convolve(quality, np.ones(width) / width, mode="valid")
        picks = [("best minute", int(mean.argmax())), ("worst minute", int(mean.argmin()))]
    else:
        picks = [("all of it", 0)]
    figure, axes = plt.subplots(len(picks), 1, figsize=(10.5, 1.9 * len(picks)), squeeze=False)
    for axis, (name, first) in zip(axes[:, 0], picks, strict=True):
        piece = line[first * per_hop : (first + width) * per_hop]
        t = t0 + first * result.hop_s + np.arange(len(piece)) / STUDENT_RATE_HZ
        axis.plot(t, piece, color=BLUE, lw=0.8)
        bad = ~result.valid[first : first + width]
        for i in np.flatnonzero(bad):
            axis.axvspan(t0 + (first + i) * result.hop_s, t0 + (first + i + 1) * result.hop_s, color=GAP_SHADE, lw=0)
        axis.set_ylim(-4.2, 4.2)
        axis.set_xlim(t[0], t[-1])
        axis.set_ylabel("input")
        axis.set_title(f"model input, {name} (pink: not yet valid)")
    axes[-1, 0].set_xlabel("seconds")
    figure.tight_layout()
    return _uri(figure)


def similarity(result: Streamed) -> str:
    """Cosine of the INT8 embedding to the float one over time, on a log scale of the distance."""
    figure, axis = plt.subplots(figsize=(10.5, 2.3))
    distance = np.maximum(1 - result.similarity, 1e-6)
    axis.semilogy(result.time_s / 60, np.where(result.valid, distance, np.nan), ".", color=BLUE, ms=2)
    axis.axhline(1 - COSINE_MEDIAN, color=GREEN, lw=1, label=f"median gate {COSINE_MEDIAN}")
    axis.axhline(1 - COSINE_WORST, color=RED, lw=1, label=f"worst gate {COSINE_WORST}")
    axis.set_ylabel("1 - cosine")
    axis.set_xlabel("minutes")
    axis.invert_yaxis()
    axis.legend(loc="lower right", ncols=2)
    axis.set_title("embedding, INT8 against float (up is closer)")
    return _uri(figure)


def latency(results: list[Streamed]) -> str:
    """Host latency per hop of TFLM's reference kernels."""
    figure, axis = plt.subplots(figsize=(5.1, 2.6))
    for result, colour in zip(results, (BLUE, AMBER, GREEN), strict=False):
        ms = result.latency_s * 1e3
        axis.hist(
            ms,
            bins=np.linspace(0, np.percentile(ms, 99.5) * 1.1, 50).tolist(),
            color=colour,
            alpha=0.7,
            label=result.size,
        )
    axis.set_xlabel("ms per hop on this host (TFLM reference kernels)")
    axis.set_ylabel("hops")
    axis.legend()
    axis.set_title("latency")
    return _uri(figure)


def memory(results: list[Streamed]) -> str:
    """RAM by component, and flash, with the budgets."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 1.2 + 0.55 * len(results)), width_ratios=(1.5, 1))
    parts = (("activations", BLUE), ("ring", AMBER), ("front_end", GREEN), ("window", GREY))
    for row, result in enumerate(results):
        start = 0.0
        for part, colour in parts:
            value = getattr(result.memory, part) / 1000
            left.barh(row, value, left=start, color=colour, label=part.replace("_", " ") if row == 0 else None)
            start += value
        left.text(start, row, f" {start:.1f} kB", va="center")
        right.barh(row, result.memory.weights / 1000, color=BLUE, label="integers" if row == 0 else None)
        rest = (result.memory.model - result.memory.weights) / 1000
        right.barh(
            row, rest, left=result.memory.weights / 1000, color=GREY, label="file structure" if row == 0 else None
        )
        budget = BUDGETS.get(result.size)
        if budget:
            left.plot([budget.activations / 1000] * 2, [row - 0.45, row + 0.45], color=RED, lw=2)
            right.plot([budget.flash / 1000] * 2, [row - 0.45, row + 0.45], color=RED, lw=2)
    for axis, title in ((left, "RAM, kB (red: budget of the activations)"), (right, "flash, kB (red: budget)")):
        axis.set_yticks(range(len(results)), [r.size for r in results])
        axis.set_ylim(-0.6, len(results) - 0.4)
        axis.set_title(title)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=4)
    left.margins(x=0.15)
    return _uri(figure)


def differences(result: Streamed) -> str:
    """Bytes that differ from TFLM, by how much, per runtime; a log scale, since equal bytes are nearly all."""
    figure, axis = plt.subplots(figsize=(5.1, 2.6))
    rows = [a for a in result.agreements if a.runtime != "TFLM"]
    width = 0.8 / max(1, len(rows))
    for i, a in enumerate(rows):
        share = np.array(a.counts, float) / max(1, sum(a.counts)) * 100
        shown = [k for k in range(len(share)) if share[k] > 0]
        axis.bar([k + (i - len(rows) / 2 + 0.5) * width for k in shown], share[shown], width, label=a.runtime)
    axis.set_yscale("log")
    axis.set_xticks(LSB_BINS[:-1], [str(b) for b in LSB_BINS[:-1]])
    axis.set_xlim(-0.6, max(2, max(a.largest for a in rows)) + 0.6)
    axis.set_xlabel("difference from TFLM, LSB")
    axis.set_ylabel("% of bytes")
    axis.legend(fontsize=7)
    axis.set_title(f"bytes, {result.size}")
    return _uri(figure)
