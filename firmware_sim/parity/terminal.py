"""The table of a run in a terminal, one column a student."""

from __future__ import annotations

import io

from rich.box import SIMPLE_HEAD as HORIZONTALS
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onwrist.firmware_sim.parity.reasons import REASONS
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.parity.summary import LATENCY_QUANTILES, summary
from onwrist.firmware_sim.parity.wording import (
    answer_title,
    bin_text,
    bytes_text,
    count_text,
    difference_text,
    error_text,
    gate_value,
    method_text,
    says_text,
    share_text,
)
from onwrist.firmware_sim.runtimes.hop import TFLMStep

# Columns of a table that nobody looks at in a terminal: wide enough that no line breaks.
PIPED = 200


def table(results: list[Streamed], hub: list[dict] | None = None, *, width: int = PIPED, colour: bool = False) -> str:
    """The table of a run, one column a student: first what a person asks, then what an engineer does.

    Args:
        width: columns of the terminal. colour: whether it shows colours.
    """
    sink = io.StringIO()
    console = Console(file=sink, width=width, force_terminal=colour, no_color=not colour, highlight=False)
    found = [summary(r) for r in results]
    for title, rows in (
        ("What the watch says", _person_rows(results, found)),
        ("INT8 against float, runtime against runtime", _parity_rows(results, found)),
        ("Size and time", _cost_rows(results, found, hub or [])),
    ):
        grid = Table(title=title, title_justify="left", title_style="bold", box=HORIZONTALS, pad_edge=False)
        grid.add_column("", overflow="fold")
        for r in results:
            grid.add_column(escape(r.size), overflow="fold")
        for name, values in rows:
            grid.add_row(escape(name), *(escape(str(v)) for v in values))
        console.print(grid)
    for r in results:
        word, why = r.verdict
        style = {"PASS": "bold green", "WARN": "bold yellow", "FAIL": "bold red"}[word]
        console.print(f"verdict, {r.size}: [{style}]{word}[/]" + (f"  {escape(why)}" if why else ""), soft_wrap=True)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines())


def terminal() -> dict:
    """Width and colour of standard output as `table` takes them: plain and wide where it is piped."""
    console = Console()
    return {"width": console.width, "colour": True} if console.is_terminal else {}


def _person_rows(results: list[Streamed], found: list[dict]) -> list[tuple[str, list]]:
    rows: list[tuple[str, list]] = [
        (f"{answer_title(a)}: median (5 to 95 %)", [says_text(s["says"].get(a.name)) for s in found])
        for a in results[0].meaning
        if a.kind == "value"
    ]
    rows.append(("outputs shown", [share_text(s["shown_hops"], s["hops"]) for s in found]))
    for name in REASONS[1:]:
        if any(s["reasons"][name] for s in found):
            rows.append((f"  not: {name}", [share_text(s["reasons"][name], s["hops"]) for s in found]))
    for answer in results[0].meaning:
        if answer.kind != "value" and answer.name != results[0].meaning.shown_by:
            title = f"{answer_title(answer)}, of the shown"
            rows.append((title, [says_text(s["says"].get(answer.name)) for s in found]))
    if results[0].meaning.rate is None:
        return rows
    rates = [s["heart_rate"] for s in found]
    reference = next((r["reference"] for r in rates if r), "")
    if not reference:
        why = "no reference in the recording" if not results[0].reference.kind else "no reference where it shows"
        rows.append(("error of what is shown", [why] * len(found)))
        return rows
    rows.append(("reference", [reference] * len(found)))
    rows.append(("error of what is shown, INT8 (float)", [error_text(r) for r in rates]))
    for low, high in sorted({(b["low"], b["high"]) for r in rates if r for b in r["by_rate"]}):
        rows.append((f"  true rate {low} to {high}", [bin_text(r, low) for r in rates]))
    methods = [{m["method"]: m for m in s["methods"]} for s in found]
    for name in next((list(m) for m in methods if m), [])[1:]:
        rows.append((f"{name}, same outputs (same share, its surest)", [method_text(m.get(name)) for m in methods]))
    return rows


def _parity_rows(results: list[Streamed], found: list[dict]) -> list[tuple[str, list]]:
    cosines = [s["cosine"] for s in found]
    rows: list[tuple[str, list]] = [
        ("cosine to float, median / worst", [f"{c['median']:.5f} / {c['worst']:.5f}" for c in cosines])
    ]
    for r in results[:1]:
        for gate in r.gates:
            if gate.name.startswith("embedding"):
                rows.append((gate.name, [gate_value(o, gate.name) for o in results]))
    for i, agreement in enumerate(found[0]["runtimes"]):
        if i:
            name = f"bytes equal to {TFLMStep.name}: {agreement['runtime']}"
            rows.append((name, [bytes_text(s["runtimes"][i]) for s in found]))
    for i, f in enumerate(results[0].firmware):
        runs = [r.firmware[i] for r in results]
        rows.append((f"{f.name}: bytes that differ", [f"{x.wrong} of {x.bytes:,}" for x in runs]))
        if f.instructions:
            counts = [count_text(x, r) for x, r in zip(runs, results, strict=True)]
            rows.append(("  instructions per hop, per MAC; stack", counts))
    snr = [f"{s['front_end']['snr_db']:.2f} | {s['front_end']['float_snr_db']:.2f} dB" for s in found]
    rows.append(("front end, fixed | float, SNR", snr))
    rows.append(("heart rate MAE, INT8 - float", [difference_text(s["heart_rate"]) for s in found]))
    for gate in results[0].gates:
        if gate.name.startswith(("AUROC", "heart-rate")):
            rows.append((f"{gate.name} ({gate.source})", [gate_value(o, gate.name) for o in results]))
    return rows


def _cost_rows(results: list[Streamed], found: list[dict], hub: list[dict]) -> list[tuple[str, list]]:
    memory = [r.memory for r in results]
    latency = [" / ".join(f"{s['host_latency_ms'][k]:.1f}" for k in LATENCY_QUANTILES) + " ms" for s in found]
    macs = [f"{m.work.windowed / 1e6:.1f} | {m.work.streamed / 1e6:.2f} M" for m in memory]
    rows: list[tuple[str, list]] = [
        ("TFLite file, window | stream", [f"{m.model:,} | {m.step:,} B" for m in memory]),
        ("RAM, window | stream", [f"{m.windowed_ram:,} | {m.ram:,} B" for m in memory]),
        ("MAC / 10 s, window | stream", macs),
        ("host latency p50 / p95 / max", latency),
        ("real-time factor", [f"{s['real_time_factor']:,.0f}x" for s in found]),
    ]
    for h in hub:
        value = f"{h['bytes']:,} B, cosine {h['cosine_median']:.4f} / {h['cosine_worst']:.4f}"
        rows.append((f"hub {h['format']} ({h['source'].split(' ')[0]})", [value, *[""] * (len(results) - 1)]))
    return rows
