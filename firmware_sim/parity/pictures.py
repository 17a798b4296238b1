"""The report's pictures, as SVG."""

from __future__ import annotations

import itertools

import numpy as np

from onwrist.firmware_sim.parity.drawing import (
    AMBER,
    BLUE,
    FULL,
    GAP_SHADE,
    GREEN,
    GREY,
    HALF,
    INK,
    RED,
    SMALL,
    VIOLET,
    plt,
    svg,
)
from onwrist.firmware_sim.parity.gates import COSINE_WORST, LSB_BINS
from onwrist.firmware_sim.parity.memory import BUDGETS
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.runtimes.hop import TFLMStep
from onwrist.firmware_sim.watch.watch import Why
from onwrist.models.student.work import work as student_work
from onwrist.quantize.integers.fake_quant import INPUT_SCALE
from onwrist.quantize.judging.evaluate import said_of
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ
from onwrist.signals.pulse.onset_rules import TRUSTED
from onwrist.signals.pulse.onsets import UNITS_HZ

WAVE_S, TIMELINE_S = 60.0, 120.0
WORK_HOPS_S = (0.2, 0.4, 1.0, 2.0, 5.0, 10.0)
SHADE = {"color": GAP_SHADE, "alpha": 0.2, "lw": 0}
SERIES = (BLUE, AMBER, GREEN, RED, VIOLET, INK)


def overview(result: Streamed) -> str:
    """The whole recording: the heart rate with its reference (or the first value), every yes or no and class as a
    probability; invalid stretches shaded."""
    t = result.time_s / 60
    answers = result.real_answers
    good = result.shown
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(FULL, 4.2), sharex=True, height_ratios=(2.4, 1))
    value = result.meaning.drawn
    rate = said_of(value, result.meaning, answers) if value else np.full(len(t), np.nan)
    if np.isfinite(result.reference_bpm).any():
        top.plot(t, result.reference_bpm, color=GREY, lw=2, label=f"reference: {result.reference.name}")
    hushed = np.where(result.valid & ~good, rate, np.nan)
    top.plot(t, hushed, ".", color=AMBER, ms=2.5, label="not shown", rasterized=True)
    top.plot(t, np.where(good, rate, np.nan), ".", color=BLUE, ms=3, label="shown", rasterized=True)
    top.set_ylabel(f"{value.name.replace('_', ' ')}, {value.unit}".rstrip(", ") if value else "no value")
    seen = np.concatenate([rate[result.valid], result.reference_bpm[np.isfinite(result.reference_bpm)]])
    if len(seen) and np.isfinite(seen).all():
        top.set_ylim(max(0, seen.min() - 10), seen.max() + 10)
    top.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, markerscale=3)
    top.set_title(f"{result.size}: {result.seconds / 60:.0f} minutes")
    lines = result.meaning.chances(answers)
    for (name, p), colour in zip(lines, itertools.cycle((GREEN, RED, BLUE, AMBER, VIOLET, INK)), strict=False):
        bottom.plot(t, np.where(result.valid, p, np.nan), color=colour, lw=0.8, label=name, rasterized=True)
    bottom.set_ylim(-0.02, 1.02)
    bottom.set_ylabel("probability")
    bottom.set_xlabel("minutes")
    if lines:
        bottom.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    _shade_invalid(result, (top, bottom))
    return svg(figure, f"{result.size}: what it says over the whole recording, the heart rate with its reference")


def tachogram(result: Streamed) -> str:
    """Beat by beat over the recording: intervals that are trusted, and those that are not."""
    t, ms, trusted = beat_series(result)
    figure, axis = plt.subplots(figsize=(HALF, 2.9))
    axis.plot(t[~trusted] / 60, ms[~trusted], ".", color=GREY, ms=2, label="withheld", rasterized=True)
    axis.plot(t[trusted] / 60, ms[trusted], ".", color=BLUE, ms=2, label="trusted", rasterized=True)
    axis.set_xlabel("minutes")
    axis.set_ylabel("interval, ms")
    axis.set_title("Beat to beat")
    axis.legend(loc="upper right", ncols=2, markerscale=4)
    return svg(
        figure, f"intervals between {len(ms)} pulses over the recording, {np.count_nonzero(trusted)} of them trusted"
    )


def poincare(result: Streamed) -> str:
    """Each trusted interval against the one before it, of pulses that follow each other."""
    _, ms, trusted = beat_series(result)
    follow = trusted[1:] & trusted[:-1]
    before, after = ms[:-1][follow], ms[1:][follow]
    figure, axis = plt.subplots(figsize=(HALF, 2.9))
    axis.plot(before, after, ".", color=BLUE, ms=2, alpha=0.6, rasterized=True)
    if len(before):
        ends = float(min(before.min(), after.min())), float(max(before.max(), after.max()))
        axis.plot(ends, ends, color=GREY, lw=0.8)
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_xlabel("interval, ms")
    axis.set_ylabel("the next, ms")
    axis.set_title("Poincaré plot")
    return svg(figure, f"{len(before)} intervals, each against the one before it")


def beat_series(result: Streamed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(time of the output, s; interval, ms, NaN where there is none; trusted) of every beat, (n,) each."""
    hops = result.hops
    t, interval, confidence = np.repeat(hops.time_s, hops.found), hops.beats["interval"], hops.beats["confidence"]
    given = interval > 0
    return t, np.where(given, interval * 1e3 / UNITS_HZ, np.nan), given & (confidence >= TRUSTED)


def risk_coverage(result: Streamed, found: list[dict]) -> str:
    """Mean error against the share of outputs shown, if the surest are shown first: the watch's quality, each baseline's
    own confidence; the watch's own threshold marked.

    Args:
        found: of `streamed.methods`.
    """
    figure, axis = plt.subplots(figsize=(HALF, 3.0))
    for method, colour, style in zip(found, SERIES, ("-", "--", "-.", ":", "--", "-"), strict=False):
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
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    axis.set_title(f"{result.size}: error against share shown")
    return svg(figure, f"{result.size}: mean error against the share of outputs shown, beside the baselines")


def _shade_invalid(result: Streamed, axes) -> None:
    half = result.hop_s / 120
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (~result.valid).astype(int), [0]])))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        for axis in axes:
            axis.axvspan(result.time_s[a] / 60 - half, result.time_s[b - 1] / 60 + half, **SHADE)


def wave(result: Streamed) -> str:
    """A minute of what the model is fed, at the best and the worst stretch by the watch's own quality."""
    per_hop = round(result.hop_s * STUDENT_RATE_HZ)
    line = result.hops.chunks.ravel().astype(np.float32) * INPUT_SCALE
    t0 = result.time_s[0] - result.hop_s
    quality = np.where(result.valid, result.meaning.sure(result.real_answers), 0.0)
    width = max(1, int(WAVE_S / result.hop_s))
    if len(quality) > width:
        mean = np.convolve(quality, np.ones(width) / width, mode="valid")
        picks = [("best minute", int(mean.argmax())), ("worst minute", int(mean.argmin()))]
    else:
        picks = [("all of it", 0)]
    figure, axes = plt.subplots(len(picks), 1, figsize=(FULL, 1.9 * len(picks)), squeeze=False)
    for axis, (name, first) in zip(axes[:, 0], picks, strict=True):
        piece = line[first * per_hop : (first + width) * per_hop]
        t = t0 + first * result.hop_s + np.arange(len(piece)) / STUDENT_RATE_HZ
        axis.plot(t, piece, color=BLUE, lw=0.8)
        bad = ~result.valid[first : first + width]
        for i in np.flatnonzero(bad):
            axis.axvspan(t0 + (first + i) * result.hop_s, t0 + (first + i + 1) * result.hop_s, **SHADE)
        axis.set_ylim(-4.2, 4.2)
        axis.set_xlim(t[0], t[-1])
        axis.set_ylabel("model input\n(standard deviations)")
        axis.set_title(f"{name}" + (" (red: not valid)" if bad.any() else ""))
    axes[-1, 0].set_xlabel("seconds")
    figure.tight_layout()
    return svg(figure, "what the model is fed: the best and the worst minute by the watch's own quality")


def similarity(result: Streamed) -> str:
    """Cosine of the INT8 embedding to the float one over time, on a log scale of the distance."""
    figure, axis = plt.subplots(figsize=(HALF, 2.4))
    distance = np.maximum(1 - result.similarity, 1e-6)
    axis.semilogy(result.time_s / 60, np.where(result.valid, distance, np.nan), ".", color=BLUE, ms=2, rasterized=True)
    median = result.deployed.limits.cosine_median
    axis.axhline(1 - median, color=GREEN, lw=1, label=f"cosine {median}")
    axis.axhline(1 - COSINE_WORST, color=RED, lw=1, label=f"cosine {COSINE_WORST}")
    axis.set_ylabel("1 - cosine")
    axis.set_xlabel("minutes")
    axis.invert_yaxis()
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    axis.set_title(f"{result.size}: embedding, INT8 to float (up is closer)")
    return svg(figure, f"{result.size}: distance of the INT8 embedding to the float one over time")


def latency(results: list[Streamed]) -> str:
    """Host latency per hop of TFLM's reference kernels."""
    figure, axis = plt.subplots(figsize=(HALF, 2.6))
    # What takes much longer is the host's other work.
    most = max(float(np.percentile(r.latency_s, 95)) for r in results) * 1.5e3
    for result, colour in zip(results, SERIES, strict=False):
        axis.hist(
            np.minimum(result.latency_s * 1e3, most), bins=np.linspace(0, most, 60).tolist(), histtype="step", color=colour, lw=1.5,
            label=result.size,
        )  # fmt: skip
    axis.set_xlabel("ms a hop on this host (TFLM reference kernels); last bin: and more")
    axis.set_ylabel("hops")
    axis.legend()
    axis.set_title("time of a hop")
    return svg(figure, "how long hops took on this host, as a histogram")


def ram(results: list[Streamed]) -> str:
    """RAM by component, as a stream and as a recomputed window, with the budget of the activations."""
    rows = _forms(results)
    figure, axis = plt.subplots(figsize=(HALF, 1.2 + 0.4 * len(rows)))
    names = ("activations", "state", "input window", "ring", "front end")
    for row, (_, result, streams) in enumerate(rows):
        m, budget = result.memory, BUDGETS.get(result.size)
        values = (m.step_activations, m.state, 0) if streams else (m.activations, 0, m.window)
        start = 0.0
        for name, colour, value in zip(
            names, (BLUE, RED, GREY, AMBER, GREEN), (*values, m.ring, m.front_end), strict=True
        ):
            axis.barh(row, value / 1000, left=start, color=colour, label=name if row == 0 else None)
            start += value / 1000
        _finish(axis, row, start, budget.activations / 1000 if budget else None)
    _rows_named(axis, rows, "RAM, kB (bar: budget of the activations)")
    return svg(figure, "RAM by component of each student as a window and as a stream, beside the budget")


def flash(results: list[Streamed]) -> str:
    """Size of the model's file, as a stream and as a recomputed window, with its budget."""
    rows = _forms(results)
    figure, axis = plt.subplots(figsize=(HALF, 1.2 + 0.4 * len(rows)))
    for row, (_, result, streams) in enumerate(rows):
        m, budget = result.memory, BUDGETS.get(result.size)
        file = m.step if streams else m.model
        axis.barh(row, m.weights / 1000, color=BLUE, label="integers" if row == 0 else None)
        axis.barh(
            row,
            (file - m.weights) / 1000,
            left=m.weights / 1000,
            color=GREY,
            label="file structure" if row == 0 else None,
        )
        _finish(axis, row, file / 1000, budget.flash / 1000 if budget else None)
    _rows_named(axis, rows, "flash, kB (bar: budget)")
    return svg(figure, "flash of each student as a window and as a stream, beside the budget")


def _forms(results: list[Streamed]) -> list[tuple[str, Streamed, bool]]:
    return [(f"{r.size}, {form}", r, form == "stream") for r in results for form in ("window", "stream")]


def _finish(axis, row: int, end: float, budget: float | None) -> None:
    axis.annotate(f"{end:.1f}", (beside(end, budget), row), (4, 0), textcoords="offset points", va="center")
    if budget:
        axis.plot([budget] * 2, [row - 0.45, row + 0.45], color=INK, lw=2)


def _rows_named(axis, rows: list[tuple[str, Streamed, bool]], title: str) -> None:
    axis.set_yticks(range(len(rows)), [r[0] for r in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_title(title)
    axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=3)
    axis.margins(x=0.15)


def beside(end: float, budget: float | None) -> float:
    """Where a bar's number goes: behind the bar, and behind the budget's mark where that is near."""
    return budget if budget is not None and 0.7 * budget < end < budget else end


def work(results: list[Streamed]) -> str:
    """Multiply-accumulates per 10 s at each hop, streamed beside recomputed."""
    figure, axis = plt.subplots(figsize=(HALF, 2.6))
    for result, colour in zip(results, (BLUE, AMBER, GREEN), strict=False):
        found = [student_work(result.student, h) for h in WORK_HOPS_S]
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
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    axis.set_title("work by hop")
    return svg(figure, "multiply-accumulates per 10 s at each hop, streamed beside recomputed")


def timeline(result: Streamed) -> str:
    """Two minutes around the busiest stretch of trouble: model input, and under it why outputs are not shown."""
    per_hop = round(result.hop_s * STUDENT_RATE_HZ)
    width = min(len(result.hops), max(1, int(TIMELINE_S / result.hop_s)))
    kinds = np.array([bin(w & ~int(Why.WARMING)).count("1") for w in result.why]) + 0.1 * (result.why > 0)
    first = int(np.convolve(kinds, np.ones(width), mode="valid").argmax())
    rows = range(first, first + width)
    line = result.hops.chunks[first : first + width].ravel().astype(np.float32) * INPUT_SCALE
    t = result.time_s[first] - result.hop_s + np.arange(len(line)) / STUDENT_RATE_HZ
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(FULL, 4.6), sharex=True, height_ratios=(1.6, 1.2, 1.1))
    top.plot(t, line, color=BLUE, lw=0.8)
    top.set_ylabel("model input")
    top.set_ylim(-4.2, 4.2)
    top.set_title(f"{result.size}: what the model is fed, what the watch says, why it does not")
    ends = t[per_hop - 1 :: per_hop][:width]
    rate = result.bpm[first : first + width]
    shown = result.shown[first : first + width]
    middle.plot(ends, result.reference_bpm[first : first + width], color=INK, lw=1.2, label="reference")
    middle.plot(ends, np.where(shown, rate, np.nan), "o", color=BLUE, ms=2.5, label="shown")
    middle.plot(ends, np.where(shown, np.nan, rate), ".", color=AMBER, ms=2, label="not shown")
    middle.set_ylabel("BPM")
    middle.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
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
    return svg(figure, f"{result.size}: a faulty stretch, two minutes of model input, answers and reasons")


# Units of a fault's strength, where its field alone does not say.
STRENGTHS = {
    "share": "share", "factor": "times", "seconds": "s", "ms": "ms", "ppm": "ppm", "bits": "bits", "scale": "times", "every_s": "every ... s",
}  # fmt: skip


def curves(found: dict) -> tuple[str, ...]:
    """How heart rate and share shown change with the strength of each fault: a small picture a fault."""
    return tuple(_curve(kind, curve) for kind, curve in found["curves"].items())


def _curve(kind: str, curve: dict) -> str:
    points = curve["points"]
    figure, (error, shown) = plt.subplots(2, 1, figsize=(SMALL, 2.3), sharex=True, height_ratios=(1.4, 1))
    x = np.arange(len(points))
    mae, low, high = (np.array([p["mae"][i] if p["mae"] else np.nan for p in points]) for i in range(3))
    error.fill_between(x, low, high, color=BLUE, alpha=0.2, lw=0)
    error.plot(x, mae, "-o", color=BLUE, ms=3)
    highest = np.nanmax(np.append(high, 5.0)) * 1.1
    error.set_ylim(0, highest)
    error.set_ylabel("error, BPM")
    shown.plot(x, [100 * p["shown"] for p in points], "-s", color=AMBER, ms=3)
    shown.set_ylim(0, 105)
    shown.set_ylabel("shown, %")
    shown.set_xticks(x, [f"{p['strength']:g}" for p in points])
    shown.set_xlabel(STRENGTHS.get(curve["field"], curve["field"]))
    name = kind.replace("_", " ")
    error.set_title(name)
    for axis in (error, shown):
        axis.yaxis.set_label_coords(-0.2, 0.5)
    figure.subplots_adjust(left=0.24, right=0.97, top=0.9, bottom=0.18)
    return svg(figure, f"{name}: heart-rate error and share shown as it gets stronger", tight=False)


def differences(result: Streamed) -> str:
    """Bytes that differ from TFLM, by how much, per runtime; a log scale, since equal bytes are nearly all."""
    figure, axis = plt.subplots(figsize=(HALF, 2.6))
    rows = [a for a in result.agreements if a.runtime != TFLMStep.name]
    width = 0.8 / max(1, len(rows))
    for i, a in enumerate(rows):
        share = np.array(a.counts, float) / max(1, sum(a.counts)) * 100
        shown = [k for k in range(len(share)) if share[k] > 0]
        axis.bar(
            [k + (i - len(rows) / 2 + 0.5) * width for k in shown],
            share[shown],
            width,
            label=a.runtime,
            color=plt.get_cmap("tab10")(i),
        )
    axis.set_yscale("log")
    axis.set_xticks(LSB_BINS[:-1], [str(b) for b in LSB_BINS[:-1]])
    axis.set_xlim(-0.6, max(2, max(a.largest for a in rows)) + 0.6)
    axis.set_xlabel("difference from TFLM's stream, LSB")
    axis.set_ylabel("% of bytes")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    axis.set_title(f"{result.size}: bytes that differ")
    return svg(figure, f"{result.size}: share of bytes by their difference from TFLM's stream, for each runtime")
