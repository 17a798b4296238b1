"""One self-contained HTML page about runs, and the JSON beside it."""

from __future__ import annotations

import html
import io
import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from rich.box import SIMPLE_HEAD as HORIZONTALS
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onwrist.firmware_sim.parity import pictures
from onwrist.firmware_sim.parity.firmware import DENSE, DEPTHWISE, FirmwareRun
from onwrist.firmware_sim.parity.parts import HEAD, MIX_HEAD, cells, mix_cells
from onwrist.firmware_sim.parity.reasons import REASONS
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.parity.summary import LATENCY_QUANTILES, front_end_effect, methods, rate_errors, summary
from onwrist.firmware_sim.runtimes.hop import TFLMStep
from onwrist.models.student.network import work
from onwrist.models.student.outputs import Answer
from onwrist.writing import write_whole

# Columns of a table that nobody looks at in a terminal: wide enough that no line breaks.
PIPED = 200
WORK_HOPS_S = (0.2, 1.0, 2.0, 5.0, 10.0)
REPORT_HTML, REPORT_JSON = "report.html", "report.json"
TEMPLATES = Path(str(files("onwrist.firmware_sim.parity"))) / "templates"


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
        (_title(a), [_says(s["says"].get(a.name)) for s in found]) for a in results[0].meaning if a.kind == "value"
    ]
    rows.append(("outputs shown", [_share(s["shown_hops"], s["hops"]) for s in found]))
    for name in REASONS[1:]:
        if any(s["reasons"][name] for s in found):
            rows.append((f"  not: {name}", [_share(s["reasons"][name], s["hops"]) for s in found]))
    for answer in results[0].meaning:
        if answer.kind != "value" and answer.name != results[0].meaning.shown_by:
            rows.append((_title(answer), [_says(s["says"].get(answer.name)) for s in found]))
    if results[0].meaning.rate is None:
        return rows
    rates = [s["heart_rate"] for s in found]
    reference = next((r["reference"] for r in rates if r), "")
    if not reference:
        why = "no reference in the recording" if not results[0].reference.kind else "no reference where it shows"
        rows.append(("error of what is shown", [why] * len(found)))
        return rows
    rows.append(("reference", [reference] * len(found)))
    rows.append(("error of what is shown, INT8 (float)", [_error(r) for r in rates]))
    for low, high in sorted({(b["low"], b["high"]) for r in rates if r for b in r["by_rate"]}):
        rows.append((f"  true rate {low} to {high}", [_bin(r, low) for r in rates]))
    methods = [{m["method"]: m for m in s["methods"]} for s in found]
    for name in next((list(m) for m in methods if m), [])[1:]:
        rows.append((f"{name}, same outputs (same share, its surest)", [_method(m.get(name)) for m in methods]))
    return rows


def _parity_rows(results: list[Streamed], found: list[dict]) -> list[tuple[str, list]]:
    cosines = [s["cosine"] for s in found]
    rows: list[tuple[str, list]] = [
        ("cosine to float, median / worst", [f"{c['median']:.5f} / {c['worst']:.5f}" for c in cosines])
    ]
    for r in results[:1]:
        for gate in r.gates:
            if gate.name.startswith("embedding"):
                rows.append((gate.name, [_value(o, gate.name) for o in results]))
    for i, agreement in enumerate(found[0]["runtimes"]):
        if i:
            name = f"bytes equal to {TFLMStep.name}: {agreement['runtime']}"
            rows.append((name, [_bytes(s["runtimes"][i]) for s in found]))
    for i, f in enumerate(results[0].firmware):
        runs = [r.firmware[i] for r in results]
        rows.append((f"{f.name}: bytes that differ", [f"{x.wrong} of {x.bytes:,}" for x in runs]))
        if f.instructions:
            counts = [_count(x, r) for x, r in zip(runs, results, strict=True)]
            rows.append(("  instructions per hop, per MAC; stack", counts))
    snr = [f"{s['front_end']['snr_db']:.2f} | {s['front_end']['float_snr_db']:.2f} dB" for s in found]
    rows.append(("front end, fixed | float, SNR", snr))
    rows.append(("heart rate MAE, INT8 - float", [_rate(s["heart_rate"]) for s in found]))
    for gate in results[0].gates:
        if gate.name.startswith(("AUROC", "heart-rate")):
            rows.append((f"{gate.name} ({gate.source})", [_value(o, gate.name) for o in results]))
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


def _title(answer: Answer) -> str:
    name = answer.name.replace("_", " ")
    if answer.kind == "yes/no":
        return f"flagged {answer.word.replace('_', ' ')}, of the shown"
    return f"{name} shown: median (5 to 95 %)" if answer.kind == "value" else f"{name}, of the shown"


def _says(found: dict | None) -> str:
    """One answer of `summary.says`."""
    if not found:
        return "nothing is shown"
    if "median" in found:
        return f"{found['median']:.0f} ({found['p5']:.0f} to {found['p95']:.0f}) {found['unit']}".rstrip()
    if len(found) == 1:
        return f"{100 * next(iter(found.values())):.0f} %"
    return ", ".join(f"{word} {100 * share:.0f} %" for word, share in found.items())


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} % ({part:,} of {whole:,})"


def _error(rate: dict | None) -> str:
    return f"{rate['int8_mae']:.2f} ({rate['float_mae']:.2f}) BPM" if rate else "-"


def _bin(rate: dict | None, low: int) -> str:
    found = next((b for b in rate["by_rate"] if b["low"] == low), None) if rate else None
    if found is None:
        return "-"
    if found["mae"] is None:
        return f"shown 0 of {found['outputs']:,}"
    return f"{found['mae']:.1f} (bias {found['bias']:+.1f}), shown {found['shown']:,} of {found['outputs']:,}"


def _method(found: dict | None) -> str:
    if not found:
        return "-"
    same, surest = (
        "-" if v is None else f"{v:.2f}" for v in (found["mae_where_watch_shows"], found["mae_at_same_share"])
    )
    return f"{same} ({surest}) BPM"


def _value(r: Streamed, name: str) -> str:
    return next((g.value for g in r.gates if g.name == name), "-")


def _count(f: FirmwareRun, r: Streamed) -> str:
    return f"{f.instructions:,}, {f.instructions / r.memory.work.of_hop(r.hop_s):.2f}; {f.stack} B"


def _bytes(agreement: dict) -> str:
    return f"{100 * agreement['equal']:.2f} %, max {agreement['largest']} LSB"


def _rate(rate: dict | None) -> str:
    if rate is None:
        return "no reference"
    return f"{rate['int8_mae']:.2f} - {rate['float_mae']:.2f} = {rate['difference']:+.3f} BPM"


def report_files(
    results: list[Streamed], hub: list[dict] | None = None, curves: list[dict] | None = None
) -> dict[str, bytes]:
    """report.html and report.json.

    Args:
        hub: figures of the encoder's own files. curves: of firmware_sim/sweep.py.
    """
    found = {"runs": [summary(r) for r in results], "hub": hub or []}
    return {
        REPORT_HTML: page(results, hub, curves).encode(), REPORT_JSON: (json.dumps(found, indent=1) + "\n").encode(),
    }  # fmt: skip


def write_report(results: list[Streamed], folder: Path) -> Path:
    """Write report.html and report.json into `folder`; returns the page's path."""
    for name, data in report_files(results).items():
        write_whole(folder / name, data)
    return folder / REPORT_HTML


def page(results: list[Streamed], hub: list[dict] | None = None, curves: list[dict] | None = None) -> str:
    """The report as HTML, pictures and style inside: a sentence, a card for each student, then what it rests on."""
    first = results[0]
    pieces = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )  # fmt: skip
    return pieces.get_template("report.html.j2").render(
        title=f"{first.recording}: what the watch says, and whether the firmware says the same",
        style=Markup((TEMPLATES / "report.css").read_text()), sentence=_sentence(results), cards=[_card(r) for r in results],
        sections=_sections(results, hub or [], curves or []),
        footer=f"Models: {', '.join(r.size + ' ' + str(r.contract.get('digest', ''))[:12] for r in results)}. Latencies are of this "
        "host and rank runtimes; they are not a device's. Numbers are measured in this run unless marked as stored or estimated.",
    )  # fmt: skip


def _sentence(results: list[Streamed]) -> str:
    """The verdict in a sentence."""
    r = results[0]
    words = {x.size: x.verdict[0] for x in results}
    how = "; ".join(f"{size} {WORDS[word]}" for size, word in words.items())
    return (
        f"{how[0].upper()}{how[1:]}. {r.seconds / 60:.1f} minutes of {r.recording} at {r.rate_hz} Hz, an output every {r.hop_s:g} s: "
        "sensor counts, ring buffer, fixed-point front end, INT8 stream in TensorFlow Lite Micro."
    )


WORDS = {"PASS": "holds every gate", "WARN": "holds, with a warning", "FAIL": "fails"}


def _card(r: Streamed) -> dict:
    word, why = r.verdict
    found, memory = summary(r), r.memory
    rest = sorted(((n, c) for n, c in r.reasons.items() if n != REASONS[0] and c), key=lambda pair: -pair[1])
    facts = [
        (f"{a.name.replace('_', ' ')} shown", _says(found["says"].get(a.name))) for a in r.meaning if a.kind == "value"
    ]
    facts.append(("outputs shown", _share(found["shown_hops"], found["hops"])))
    if rest:
        facts.append(("why not the rest", "; ".join(f"{n} {100 * c / len(r.hops):.0f} %" for n, c in rest)))
    rate = found["heart_rate"]
    if r.meaning.rate is not None:
        error = f"{rate['int8_mae']:.2f} BPM against {rate['reference']}" if rate else "no reference"
        facts.append(("error of the shown", error))
    for answer in r.meaning:
        if answer.kind != "value" and answer.name in found["says"]:
            facts.append(
                (_title(answer).removesuffix(", of the shown"), f"{_says(found['says'][answer.name])} of the shown")
            )
    facts.append(("flash, RAM (stream)", f"{memory.step:,} B, {memory.ram:,} B"))
    counted = [f for f in r.firmware if f.instructions]
    if counted:
        low, high = min(f.instructions for f in counted), max(f.instructions for f in counted)
        facts.append(("instructions a hop", f"{low:,} to {high:,}" if low != high else f"{low:,}"))
    times = [1e3 * s for c in r.costs if c.seconds and c.seconds[1] is not None for s in c.seconds]
    if times:
        facts.append(("time a hop (estimate)", f"{min(times):.1f} to {max(times):.1f} ms, by part"))
    return {"size": r.size, "word": word, "kind": _class(word), "why": why, "facts": facts}


def _sections(results: list[Streamed], hub: list[dict], curves: list[dict]) -> list[dict]:
    first = results[0]

    def each(picture, alt: str) -> str:
        return "".join(f"<h3>{_text(r.size)}</h3>{_image(picture(r), alt)}" for r in results)

    def section(name: str, title: str, body: str, *details: tuple[str, str]) -> dict:
        return {
            "id": name, "title": title, "body": Markup(body),
            "details": [(n, Markup(text)) for n, text in details if text],
        }  # fmt: skip

    faulty = [r for r in results if r.run.faults.faults]
    faults = "".join(f"<h3>{_text(r.size)}</h3>{_image(pictures.timeline(r), 'a faulty stretch')}" for r in faulty)
    pair = "<div class='pair'>" + "".join(_image(pictures.differences(r), "LSB histogram") for r in results) + "</div>"
    time = _image(pictures.work(results), "work by hop") + _image(pictures.latency(results), "latency histogram")
    found = [
        section("says", "What the watch says", each(pictures.overview, "what it says over time")
                + _image(pictures.wave(first), "model input, best and worst minute")),
        section("right", "Is it right?", _rates(results)),
        section("gates", "Gates", "".join(_gates(r) for r in results)),
    ]  # fmt: skip
    if faulty:
        found.append(section("faults", f"Faults, seed {first.run.faults.plain()['seed']}", _faults(first) + faults))
    found += [
        section("close", "INT8 against float", each(pictures.similarity, "cosine over time"),
                ("Front end: fixed point against float", _front_end(results))),
        section("exact", "Runtime against runtime, stream against window", pair,
                *[(f"Bytes, {r.size}", _agreements(r)) for r in results], ("Firmware in C", _firmware(results))),
        section("fits", "Memory, work and time", _image(pictures.memory(results), "memory by component")
                + f"<div class='pair'>{time}</div>", ("Memory, part by part", _memory(results)), ("Work by hop", _work(results)),
                ("Microcontrollers", _parts(results)), ("On this host", _latency(results))),
        section("samples", "Where every sample and every output went", _samples(results)),
    ]  # fmt: skip
    if curves:
        found.append(section("curves", "Faults by strength", "".join(_curves(c) for c in curves)))
    if hub:
        found.append(section("hub", "The encoder itself", _hub(hub)))
    return found


def _faults(r: Streamed) -> str:
    plain = r.run.faults.plain()
    if not plain["fault"]:
        return ""
    rows = [[f.pop("kind"), ", ".join(f"{k} {v:g}" for k, v in f.items())] for f in plain["fault"]]
    return _rows(["kind", "settings"], rows)


def _firmware(results: list[Streamed]) -> str:
    rows = []
    for r in results:
        for f in r.firmware:
            cells = [f"{r.size}, {f.name.removeprefix('firmware C, ')}", f"{f.wrong} of {f.bytes:,}", f"{f.hops:,}"]
            if f.instructions and f.image:
                macs = r.memory.work.of_hop(r.hop_s)
                cells += [
                    f"{f.instructions:,}", f"{f.instructions / macs:.2f}", f"{f.share(DENSE):,}", f"{f.share(DEPTHWISE):,}",
                    f"{f.arena:,}", f"{f.stack:,}", f"{f.image.text:,}", f"{f.image.flash:,}",
                ]  # fmt: skip
            else:
                cells += [""] * 8
            rows.append(cells)
    if not rows:
        return ""
    head = [
        "firmware in C, from ADC counts", "bytes that differ", "hops", "instructions per hop", "per MAC", "of dense layers",
        "of depthwise", "arena, B", "stack, B", "code, B", "flash, B",
    ]  # fmt: skip
    note = (
        "<p class='small'>Counts are of instructions on an emulated core, front end included, not of cycles. Flash is the "
        "whole image: code, weights and tables.</p>"
    )
    return note + _rows(head, rows)


def _front_end(results: list[Streamed]) -> str:
    head = [
        "",
        "SNR, fixed point",
        "SNR, float quantised",
        "equal int8",
        "largest, LSB",
        "embedding, worst cosine",
        "BPM, largest",
    ]
    rows = []
    for r in results:
        f, effect = r.real.front_end, front_end_effect(r)
        rows.append(
            [
                r.size, f"{f.snr_db:.2f} dB", f"{f.float_snr_db:.2f} dB", f"{100 * f.equal:.3f} %", f.largest,
                f"{effect['cosine_worst']:.5f}", "-" if effect["bpm_largest"] is None else f"{effect['bpm_largest']:.2f}",
            ]
        )  # fmt: skip
    return _rows(head, rows)


def _work(results: list[Streamed]) -> str:
    head = ["MMAC per 10 s at hop", *[f"{h:g} s" for h in WORK_HOPS_S]]
    rows = []
    for r in results:
        found = [work(r.config, h) for h in WORK_HOPS_S]
        rows.append([f"{r.size}, window", *[f"{w.windowed / 1e6:.2f}" for w in found]])
        rows.append([f"{r.size}, stream", *[f"{w.streamed / 1e6:.2f}" for w in found]])
    return _rows(head, rows)


def _parts(results: list[Streamed]) -> str:
    rows = [cells(c) for r in results for c in r.costs]
    mixes = [mix_cells(r.size, mix) for r in results for mix in r.mixes.values()]
    note = (
        "<p class='small'>Instructions of this C, counted on an emulated core, front end included. Cycles are a range that "
        "follows from them by what is published of the core and of the part's flash, caches on; time is cycles by the clock. "
        "Energy is another range: that time at the power which others measured on this part with other kernels. Nothing here "
        "was measured on a board. Unknown stays unknown.</p>"
    )
    return note + _rows(list(HEAD), rows) + (_rows(list(MIX_HEAD), mixes) if mixes else "")


def _curves(found: dict) -> str:
    return (
        f"<h3>{_text(found['size'])}</h3>"
        f"<p class='small'>{_text(found['source'])}; {_text(found['data'])}. Blue: heart-rate error of what is shown, "
        "against the ECG, with the 95 % interval over people. Amber: share of outputs that are shown.</p>"
        + _image(pictures.curves(found), "heart-rate error and share shown by strength of each fault")
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _class(word: str) -> str:
    return {"pass": "pass", "PASS": "pass", "WARN": "warn", "FAIL": "fail"}.get(word, "open")


def _image(uri: str, alt: str) -> str:
    return f"<img alt='{_text(alt)}' src='{uri}'>"


def _rows(head: list[str], rows: list[list], classes: list[str] | None = None) -> str:
    cells = "".join(f"<th scope=col{'' if i == 0 else ' class=n'}>{_text(h)}</th>" for i, h in enumerate(head))
    lines = []
    for k, row in enumerate(rows):
        kind = f" class='{classes[k]}'" if classes else ""
        lines.append(
            f"<tr{kind}>"
            + "".join(f"<td{'' if i == 0 else ' class=n'}>{_text(c)}</td>" for i, c in enumerate(row))
            + "</tr>"
        )
    return f"<div class='wide'><table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


GROUPS = {
    "right": "Right: what the watch shows about the person",
    "close": "Close: INT8 says what the float student says",
    "exact": "Exact: every runtime computes the same bytes",
    "fits": "Fits: flash, memory and time",
}


def _gates(r: Streamed) -> str:
    head = ["", "asked", "found", "", "where from"]
    parts = [f"<h3>{_text(r.size)}</h3>"]
    for group, title in GROUPS.items():
        gates = [g for g in r.gates if g.group == group]
        if gates:
            rows = [[g.name, g.limit, g.value, g.word, f"{g.source} {g.detail}".strip()] for g in gates]
            parts.append(f"<h4>{title}</h4>" + _rows(head, rows, [_class(g.word) for g in gates]))
    return "".join(parts)


def _rates(results: list[Streamed]) -> str:
    parts = []
    for r in results:
        rate = rate_errors(r)
        if not rate:
            continue
        bins = [
            [
                f"{b['low']} to {b['high']}", f"{b['outputs']:,}", f"{b['shown']:,}",
                "-" if b["mae"] is None else f"{b['mae']:.2f}", "-" if b["bias"] is None else f"{b['bias']:+.2f}",
                f"{b['mae_all']:.2f}",
            ]
            for b in rate["by_rate"]
        ]  # fmt: skip
        bins.append(
            [
                "all", f"{int(r.judged.sum()):,}", f"{rate['hops']:,}", f"{rate['int8_mae']:.2f} (float {rate['float_mae']:.2f})",
                f"{rate['bias']:+.2f}", f"{rate['mae_all']:.2f}",
            ]
        )  # fmt: skip
        head = [
            "true rate, BPM",
            "outputs",
            "shown",
            "mean error of the shown",
            "bias of the shown",
            "mean error of all",
        ]
        parts.append(f"<h3>{_text(r.size)}, against {_text(rate['reference'])}</h3>" + _rows(head, bins))
        found = methods(r)
        if found:
            names = [
                "method",
                "answers",
                "error on the outputs that the watch shows",
                "on as many, its surest",
                "on all it answers",
            ]
            rows = [
                [m["method"], f"{100 * m['answered']:.0f} %"]
                + [_bpm(m[k]) for k in ("mae_where_watch_shows", "mae_at_same_share", "mae_all")]
                for m in found
            ]
            parts.append(_rows(names, rows))
            parts.append(_image(pictures.risk_coverage(r, found), "error against the share of outputs that are shown"))
    if not parts:
        return "<p class='small'>The recording has no heart-rate reference: whether what is shown is right is not judged.</p>"
    note = (
        "<p class='small'>Baselines see the same counts, the ten seconds before each output, and nothing after. One "
        "recording is one person: nothing here says how people differ.</p>"
    )
    return note + "".join(parts)


def _bpm(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _agreements(r: Streamed) -> str:
    head = [
        f"{r.size}: runtime",
        f"bytes equal to {TFLMStep.name}",
        "largest difference, LSB",
        "cosine, median",
        "cosine, worst",
    ]
    rows = [
        [a.runtime, f"{100 * a.equal:.4f} %", a.largest, f"{a.cosine_median:.6f}", f"{a.cosine_worst:.6f}"]
        for a in r.agreements
    ]
    return _rows(head, rows)


def _memory(results: list[Streamed]) -> str:
    names = {
        "model": "TFLite file of a window (flash)", "step": "TFLite file of a hop (flash)", "weights": "of which integers",
        "front_end_tables": "front-end coefficients (flash)", "activations": "activation plan of a window, TFLM",
        "planned": "the same from tensor lifetimes", "step_activations": "activation plan of a hop, TFLM",
        "state": "state between hops", "window": "input ring of a window", "ring": "sensor ring",
        "front_end": "front-end state", "windowed_ram": "RAM, window", "ram": "RAM, stream",
    }  # fmt: skip
    rows = [[text, *[f"{getattr(r.memory, key):,} B" for r in results]] for key, text in names.items()]
    return _rows(["", *[r.size for r in results]], rows)


def _latency(results: list[Streamed]) -> str:
    rows = []
    for r in results:
        ms = r.latency_s * 1e3
        factor = len(ms) * r.hop_s / (ms.sum() / 1e3)
        quantiles = [f"{np.percentile(ms, q):.2f}" for q in LATENCY_QUANTILES.values()]
        rows.append([r.size, *quantiles, f"{factor:,.0f}", r.deadline_misses])
    return _rows(["ms per hop", *LATENCY_QUANTILES, "real-time factor", "deadlines missed"], rows)


def _samples(results: list[Streamed]) -> str:
    names = [
        "sent", "received", "used", "gated", "pending", "dropped", "discarded", "bridged", "resets", "missed", "backlog",
    ]  # fmt: skip
    values = [
        {**asdict(r.counters), "sent": r.run.sensor.sent, "at a rail of the converter": r.run.sensor.saturated}
        for r in results
    ]
    rows = [[n, *[f"{v[n]:,}" for v in values]] for n in (*names, "at a rail of the converter")]
    rows.append(
        ["most in the ring", *[f"{r.run.watch.ring.high_water} of {r.run.watch.ring.capacity}" for r in results]]
    )
    head = ["samples", *[r.size for r in results]]
    reasons = [[name, *[_share(r.reasons[name], len(r.hops)) for r in results]] for name in REASONS]
    return (
        _rows(head, rows)
        + "<p class='small'>received = used + gated + pending + dropped + discarded. Bridged samples are made up.</p>"
        + _rows(["outputs, each once", *[r.size for r in results]], reasons)
    )


def _hub(hub: list[dict]) -> str:
    if not hub:
        return ""
    rows = [
        [
            h["format"],
            f"{h['bytes']:,} B",
            f"{h['cosine_median']:.5f}",
            f"{h['cosine_worst']:.5f}",
            h["windows"],
            h["source"],
        ]
        for h in hub
    ]
    return _rows(["format", "size", "cosine to float, median", "worst", "windows", "where from"], rows)
