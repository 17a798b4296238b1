"""The report's pictures, as PNG data URIs."""

from __future__ import annotations

import base64
import io
import itertools

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from onwrist.firmware_sim.parity.gates import COSINE_WORST, LSB_BINS
from onwrist.firmware_sim.parity.memory import BUDGETS
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.runtimes.hop import TFLMStep
from onwrist.firmware_sim.watch.watch import Why
from onwrist.models.student.network import work as student_work
from onwrist.models.student.outputs import Answer, Answers
from onwrist.quantize.integers.fake_quant import INPUT_SCALE
from onwrist.quantize.judging.evaluate import said_of
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ

INK, BLUE, RED, GREEN, GREY, AMBER = "#1f2933", "#2563a8", "#c0392b", "#2e8b57", "#c9d1d9", "#c98a1b"
WAVE_S, TIMELINE_S = 60.0, 120.0
WORK_HOPS_S = (0.2, 0.4, 1.0, 2.0, 5.0, 10.0)
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
    """The whole recording: the heart rate with its reference (or the first value), every yes or no and class as a
    probability; invalid stretches shaded."""
    t = result.time_s / 60
    answers = result.real_answers
    good = result.shown
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(10.5, 4.2), sharex=True, height_ratios=(2.4, 1))
    value = result.meaning.rate or next((a for a in result.meaning if a.kind == "value"), None)
    rate = said_of(value, result.meaning, answers) if value else np.full(len(t), np.nan)
    if np.isfinite(result.reference_bpm).any():
        top.plot(t, result.reference_bpm, color=GREY, lw=2.2, label=f"reference: {result.reference.name}")
    top.plot(
        t, np.where(result.valid & ~good, rate, np.nan), ".", color=AMBER, ms=2, alpha=0.5, label="INT8, not shown"
    )
    top.plot(t, np.where(good, rate, np.nan), ".", color=BLUE, ms=2.5, label="INT8, shown")
    top.set_ylabel(f"{value.name.replace('_', ' ')}, {value.unit}".rstrip(", ") if value else "no value")
    seen = np.concatenate([rate[result.valid], result.reference_bpm[np.isfinite(result.reference_bpm)]])
    if len(seen) and np.isfinite(seen).all():
        top.set_ylim(max(0, seen.min() - 10), seen.max() + 25)  # room for the legend
    top.legend(loc="upper right", ncols=3, markerscale=3)
    top.set_title(f"{result.recording}: what the watch says over {result.seconds / 60:.0f} minutes")
    lines = [(name, p) for a in result.meaning for name, p in _probabilities(a, result.meaning, answers)]
    for (name, p), colour in zip(lines, itertools.cycle((GREEN, RED, BLUE, AMBER, INK)), strict=False):
        bottom.plot(t, np.where(result.valid, p, np.nan), color=colour, lw=0.7, label=name)
    bottom.set_ylim(-0.02, 1.02)
    bottom.set_ylabel("probability")
    bottom.set_xlabel("minutes")
    if lines:
        bottom.legend(loc="upper right", ncols=2)
    _shade_invalid(result, (top, bottom))
    return _uri(figure)


def _probabilities(answer: Answer, answers: Answers, z: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(name, probability (n,)) of each output of a yes or no, or of classes; nothing of a value."""
    logits = answer.span * z[:, answers.at(answer.name)].astype(np.float64)
    if answer.kind == "yes/no":
        return [(answer.name, 1 / (1 + np.exp(-logits[:, 0])))]
    if answer.kind == "classes":
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return list(zip(answer.words, (p / p.sum(axis=1, keepdims=True)).T, strict=True))
    return []


def risk_coverage(result: Streamed, found: list[dict]) -> str:
    """Mean error against the share of outputs shown, if the surest are shown first: the watch's quality, each baseline's
    own confidence; the watch's own threshold marked.

    Args:
        found: of `streamed.methods`.
    """
    figure, axis = plt.subplots(figsize=(7.5, 3.2))
    for method, colour, style in zip(found, (BLUE, AMBER, GREEN, RED, INK), ("-", "--", "-.", ":", "--"), strict=False):
        points = method["risk_coverage"]
        axis.plot(
            [100 * s for s, _ in points],
            [e for _, e in points],
            style,
            marker="o",
            ms=3,
            color=colour,
            label=method["method"],
        )
    axis.plot(
        100 * found[0]["share"], found[0]["mae_where_watch_shows"], "s", ms=7, color=BLUE, label="the watch's threshold"
    )
    axis.set_xlabel("outputs shown, % of those with a reference")
    axis.set_ylabel("mean error of the shown, BPM")
    axis.set_ylim(bottom=0)
    axis.set_xlim(0, 102)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set_title(f"{result.size}: error against share shown")
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
    line = np.concatenate([h.chunk for h in result.hops]).astype(np.float32) * INPUT_SCALE
    t0 = result.time_s[0] - result.hop_s
    quality = np.where(result.valid, result.meaning.sure(result.real_answers), 0.0)
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
    median = result.deployed.limits.cosine_median
    axis.axhline(1 - median, color=GREEN, lw=1, label=f"cosine {median}")
    axis.axhline(1 - COSINE_WORST, color=RED, lw=1, label=f"cosine {COSINE_WORST}")
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
    """RAM by component and flash, as a stream and as a recomputed window, with the budgets."""
    rows = [(f"{r.size}, {form}", r, form) for r in results for form in ("window", "stream")]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 1.2 + 0.45 * len(rows)), width_ratios=(1.5, 1))
    names = ("activations", "state", "input window", "ring", "front end")
    colours = (BLUE, RED, GREY, AMBER, GREEN)
    for row, (_, result, form) in enumerate(rows):
        m, streams, budget = result.memory, form == "stream", BUDGETS.get(result.size)
        values = (m.step_activations, m.state, 0) if streams else (m.activations, 0, m.window)
        start = 0.0
        for name, colour, value in zip(names, colours, (*values, m.ring, m.front_end), strict=True):
            left.barh(row, value / 1000, left=start, color=colour, label=name if row == 0 else None)
            start += value / 1000
        left.text(beside(start, budget.activations / 1000 if budget else None), row, f" {start:.1f} kB", va="center")
        file = m.step if streams else m.model
        right.barh(row, m.weights / 1000, color=BLUE, label="integers" if row == 0 else None)
        rest = (file - m.weights) / 1000
        right.barh(row, rest, left=m.weights / 1000, color=GREY, label="file structure" if row == 0 else None)
        right.text(
            beside(file / 1000, budget.flash / 1000 if budget else None), row, f" {file / 1000:.1f}", va="center"
        )
        if budget:
            left.plot([budget.activations / 1000] * 2, [row - 0.45, row + 0.45], color=INK, lw=2)
            right.plot([budget.flash / 1000] * 2, [row - 0.45, row + 0.45], color=INK, lw=2)
    for axis, title in ((left, "RAM, kB (bar: budget of the activations)"), (right, "flash, kB (bar: budget)")):
        axis.set_yticks(range(len(rows)), [r[0] for r in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_title(title)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=5, fontsize=8)
        axis.margins(x=0.15)
    return _uri(figure)


def beside(end: float, budget: float | None) -> float:
    """Where a bar's number goes: behind the bar, and behind the budget's mark where that is near."""
    return budget if budget is not None and 0.7 * budget < end < budget else end


def work(results: list[Streamed]) -> str:
    """Multiply-accumulates per 10 s at each hop, streamed beside recomputed."""
    figure, axis = plt.subplots(figsize=(5.1, 2.6))
    for result, colour in zip(results, (BLUE, AMBER, GREEN), strict=False):
        found = [student_work(result.config, h) for h in WORK_HOPS_S]
        axis.loglog(
            WORK_HOPS_S, [w.windowed / 1e6 for w in found], "--o", ms=3, color=colour, label=f"{result.size}, window"
        )
        axis.loglog(
            WORK_HOPS_S, [w.streamed / 1e6 for w in found], "-o", ms=3, color=colour, label=f"{result.size}, stream"
        )
    axis.set_xticks(WORK_HOPS_S, [f"{h:g}" for h in WORK_HOPS_S])
    axis.minorticks_off()
    axis.set_xlabel("hop, s")
    axis.set_ylabel("MMAC per 10 s")
    axis.legend(fontsize=7)
    axis.set_title("work")
    return _uri(figure)


def timeline(result: Streamed) -> str:
    """Two minutes around the busiest stretch of trouble: model input, and under it why outputs are not shown."""
    per_hop = round(result.hop_s * STUDENT_RATE_HZ)
    width = min(len(result.hops), max(1, int(TIMELINE_S / result.hop_s)))
    kinds = np.array([bin(w & ~int(Why.WARMING)).count("1") for w in result.why]) + 0.1 * (result.why > 0)
    first = int(np.convolve(kinds, np.ones(width), mode="valid").argmax())
    rows = range(first, first + width)
    line = np.concatenate([result.hops[i].chunk for i in rows]).astype(np.float32) * INPUT_SCALE
    t = result.time_s[first] - result.hop_s + np.arange(len(line)) / STUDENT_RATE_HZ
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(10.5, 4.6), sharex=True, height_ratios=(1.6, 1.2, 1.1))
    top.plot(t, line, color=BLUE, lw=0.8)
    top.set_ylabel("model input")
    top.set_ylim(-4.2, 4.2)
    top.set_title("a faulty stretch: what the model is fed, what the watch says, why it does not")
    ends = t[per_hop - 1 :: per_hop][:width]
    rate = result.bpm[first : first + width]
    shown = result.shown[first : first + width]
    middle.plot(ends, result.reference_bpm[first : first + width], color=GREY, lw=2.2, label="reference")
    middle.plot(ends, np.where(shown, rate, np.nan), "o", color=BLUE, ms=2.5, label="shown")
    middle.plot(ends, np.where(shown, np.nan, rate), ".", color=AMBER, ms=2, label="suppressed")
    middle.set_ylabel("BPM")
    middle.legend(loc="upper right", ncols=3, fontsize=7)
    names = [str(w.name).lower() for w in Why]
    for row, flag in enumerate(Why):
        on = np.array([bool(result.why[i] & flag) for i in rows])
        bottom.broken_barh(
            [(e - result.hop_s, result.hop_s) for e, o in zip(ends, on, strict=True) if o], (row - 0.4, 0.8), color=RED
        )
    bottom.broken_barh(
        [(e - result.hop_s, result.hop_s) for e, o in zip(ends, shown, strict=True) if o],
        (len(names) - 0.4, 0.8),
        color=GREEN,
    )
    bottom.set_yticks(range(len(names) + 1), [*names, "shown"])
    bottom.set_xlabel("seconds")
    bottom.set_xlim(t[0], t[-1])
    return _uri(figure)


def curves(found: dict) -> str:
    """How the heart rate and the share of shown outputs change with the strength of each fault."""
    kinds = found["curves"]
    columns = 4
    count = -(-len(kinds) // columns)
    figure, axes = plt.subplots(count, columns, figsize=(10.5, 1.9 * count), squeeze=False)
    for axis, (kind, curve) in zip(axes.flat, kinds.items(), strict=False):
        points = curve["points"]
        x = np.arange(len(points))
        mae = [p["mae"][0] if p["mae"] else np.nan for p in points]
        low = [p["mae"][1] if p["mae"] else np.nan for p in points]
        high = [p["mae"][2] if p["mae"] else np.nan for p in points]
        axis.fill_between(x, low, high, color=BLUE, alpha=0.15, lw=0)
        axis.plot(x, mae, "-o", color=BLUE, ms=3)
        axis.set_ylim(0, 12)
        axis.set_xticks(x, [f"{p['strength']:g}" for p in points], fontsize=7)
        other = axis.twinx()
        other.plot(x, [100 * p["shown"] for p in points], "-s", color=AMBER, ms=2.5, lw=0.8)
        other.set_ylim(0, 105)
        other.spines["right"].set_visible(False)
        other.tick_params(labelsize=7, colors=AMBER)
        axis.tick_params(axis="y", labelsize=7, colors=BLUE)
        axis.set_title(f"{kind.replace('_', ' ')}: {curve['field']}", fontsize=8)
    for axis in axes.flat[len(kinds) :]:
        axis.axis("off")
    figure.tight_layout()
    return _uri(figure)


def differences(result: Streamed) -> str:
    """Bytes that differ from TFLM, by how much, per runtime; a log scale, since equal bytes are nearly all."""
    figure, axis = plt.subplots(figsize=(5.1, 2.6))
    rows = [a for a in result.agreements if a.runtime != TFLMStep.name]
    width = 0.8 / max(1, len(rows))
    for i, a in enumerate(rows):
        share = np.array(a.counts, float) / max(1, sum(a.counts)) * 100
        shown = [k for k in range(len(share)) if share[k] > 0]
        axis.bar([k + (i - len(rows) / 2 + 0.5) * width for k in shown], share[shown], width, label=a.runtime)
    axis.set_yscale("log")
    axis.set_xticks(LSB_BINS[:-1], [str(b) for b in LSB_BINS[:-1]])
    axis.set_xlim(-0.6, max(2, max(a.largest for a in rows)) + 2.2)  # room for the legend
    axis.set_xlabel("difference from TFLM's stream, LSB")
    axis.set_ylabel("% of bytes")
    axis.legend(fontsize=7)
    axis.set_title(f"bytes, {result.size}")
    return _uri(figure)
