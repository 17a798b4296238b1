"""One self-contained HTML page about runs, and the JSON beside it."""

from __future__ import annotations

import html
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from onwrist.firmware_sim.parity import pictures
from onwrist.firmware_sim.parity.firmware import DENSE, DEPTHWISE, FirmwareRun
from onwrist.firmware_sim.parity.parts import cells
from onwrist.firmware_sim.parity.streamed import (
    LATENCY_QUANTILES,
    WORK_HOPS_S,
    Streamed,
    front_end_effect,
    rate_errors,
    summary,
)
from onwrist.firmware_sim.runtimes.hop import TFLMStep
from onwrist.firmware_sim.watch.watch import Why
from onwrist.models.student.network import work
from onwrist.writing import write_whole

REPORT_HTML, REPORT_JSON = "report.html", "report.json"

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem} h2{margin-top:2.2rem;border-bottom:1px solid #c9d1d9;padding-bottom:.2rem}
table{border-collapse:collapse;width:100%;margin:.6rem 0;font-size:14px}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #e4e8ec;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.pass{background:#e4f4ea}.fail{background:#fae1de}
.badge{display:inline-block;padding:.1rem .6rem;border-radius:.8rem;color:#fff;font-weight:600}
.badge.pass{background:#2e8b57}.badge.fail{background:#c0392b}
.wide{overflow-x:auto} img{max-width:100%} .small{color:#5b6770;font-size:13px} .pair{display:flex;gap:1rem;flex-wrap:wrap} .pair img{flex:0 1 calc(50% - .5rem);min-width:300px}
"""


def table(results: list[Streamed], hub: list[dict] | None = None) -> str:
    """The short table of a run, for the terminal: one column a student."""
    rows = [["", *[r.size for r in results]]]
    found = [summary(r) for r in results]
    memory = [r.memory for r in results]

    def row(name: str, cells) -> None:
        rows.append([name, *cells])

    row("TFLite file, window | stream", [f"{m.model:,} | {m.step:,} B" for m in memory])
    row("RAM, window | stream", [f"{m.windowed_ram:,} | {m.ram:,} B" for m in memory])
    row("MAC / 10 s, window | stream", [f"{m.work.windowed / 1e6:.1f} | {m.work.streamed / 1e6:.2f} M" for m in memory])
    row(
        "host latency p50 / p95 / max",
        [" / ".join(f"{s['host_latency_ms'][k]:.1f}" for k in LATENCY_QUANTILES) + " ms" for s in found],
    )
    row("real-time factor", [f"{s['real_time_factor']:,.0f}x" for s in found])
    row("cosine to float, median / worst", [f"{s['cosine']['median']:.5f} / {s['cosine']['worst']:.5f}" for s in found])
    for i, agreement in enumerate(found[0]["runtimes"]):
        if i:
            row(f"bytes equal to {TFLMStep.name}: {agreement['runtime']}", [_bytes(s["runtimes"][i]) for s in found])
    for i, f in enumerate(results[0].firmware):
        runs = [r.firmware[i] for r in results]
        row(f"{f.name}: bytes that differ", [f"{x.wrong} of {x.bytes:,}" for x in runs])
        if f.instructions:
            row("  instructions per hop, per MAC; stack", [_count(x, r) for x, r in zip(runs, results, strict=True)])
    row(
        "front end, fixed | float, SNR",
        [f"{s['front_end']['snr_db']:.2f} | {s['front_end']['float_snr_db']:.2f} dB" for s in found],
    )
    row("outputs shown of valid", [f"{s['shown_hops']:,} of {s['valid_hops']:,}" for s in found])
    row("heart rate MAE, INT8 - float", [_rate(s["heart_rate"]) for s in found])
    for r in results[:1]:
        for gate in r.gates:
            if gate.name.startswith(("AUROC", "heart-rate")):
                values = [next((g.value for g in o.gates if g.name == gate.name), "-") for o in results]
                row(f"{gate.name} ({gate.source})", values)
    for entry in hub or []:
        rows.append(
            [
                f"hub {entry['format']} ({entry['source'].split(' ')[0]})",
                f"{entry['bytes']:,} B, cosine {entry['cosine_median']:.4f} / {entry['cosine_worst']:.4f}",
                *[""] * (len(results) - 1),
            ]
        )
    row("gates failed", [", ".join(g.name for g in r.gates if not g.passed) or "none" for r in results])
    row("verdict", ["PASS" if r.passed else "FAIL" for r in results])
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


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
    """The report as HTML, pictures inside."""
    passed = all(r.passed for r in results)
    first = results[0]
    faulty = [r for r in results if r.faults.faults]
    body = [
        f"<h1>Parity report: {_text(first.recording)}</h1>",
        f"<p><span class='badge {_class(passed)}'>{'PASS' if passed else 'FAIL'}</span> "
        f"{first.seconds / 60:.1f} minutes at {first.rate_hz} Hz, an output every {first.hop_s:g} s. "
        "Sensor counts, ring buffer, fixed-point front end, INT8 stream in TensorFlow Lite Micro.</p>",
        f"<p class='small'>Models: {', '.join(_text(r.size + ' ' + str(r.contract.get('digest', ''))[:12]) for r in results)}. "
        "Latencies are of this host and rank runtimes; they are not a device's. Numbers are measured in this run unless "
        "marked as stored or estimated.</p>",
        _faults(first),
        "<h2>Gates</h2>",
        *[_gates(r) for r in results],
        "<h2>What the watch says</h2>",
        *[
            f"<h3>{_text(r.size)}</h3>{_image(pictures.overview(r), 'heart rate, quality and irregularity over time')}"
            for r in results
        ],
        _image(pictures.wave(first), "model input"),
        _rates(results),
        *[f"<h3>{_text(r.size)}</h3>{_image(pictures.timeline(r), 'a faulty stretch')}" for r in faulty],
        "<h2>INT8 against float</h2>",
        *[f"<h3>{_text(r.size)}</h3>{_image(pictures.similarity(r), 'cosine over time')}" for r in results],
        "<h2>Runtime against runtime, stream against window</h2>",
        "<div class='pair'>" + "".join(_image(pictures.differences(r), "LSB histogram") for r in results) + "</div>",
        *[_agreements(r) for r in results],
        _firmware(results),
        "<h2>Front end: fixed point against float</h2>",
        _front_end(results),
        "<h2>Memory and work, streamed and recomputed</h2>",
        _image(pictures.memory(results), "memory by component"),
        _memory(results),
        _work(results),
        "<h2>Time</h2>",
        "<div class='pair'>"
        + _image(pictures.work(results), "work by hop")
        + _image(pictures.latency(results), "latency histogram")
        + "</div>",
        _parts(results),
        "<h3>On this host</h3>",
        _latency(results),
        "<h2>Where every sample went</h2>",
        _samples(results),
        *[_curves(c) for c in curves or []],
        _hub(hub or []),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Parity report</title>"
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style></head><body>{''.join(body)}</body></html>"
    )


def _faults(r: Streamed) -> str:
    plain = r.faults.plain()
    if not plain["fault"]:
        return ""
    rows = [[f.pop("kind"), ", ".join(f"{k} {v:g}" for k, v in f.items())] for f in plain["fault"]]
    return f"<h2>Faults, seed {plain['seed']}</h2>" + _rows(["kind", "settings"], rows)


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
    return "<h2>Firmware</h2>" + note + _rows(head, rows)


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
        f, effect = r.front_end, front_end_effect(r)
        rows.append(
            [
                r.size, f"{f.snr_db:.2f} dB", f"{f.float_snr_db:.2f} dB", f"{100 * f.equal:.3f} %", f.largest,
                f"{effect['cosine_worst']:.5f}", f"{effect['bpm_largest']:.2f}",
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
    head = [
        "part (estimates)",
        "student",
        "fits",
        "ms per hop",
        "busy",
        "smallest hop",
        "uJ per hop",
        "J per day",
        "of a 200 mAh cell",
        "source",
    ]
    rows = [cells(c) for r in results for c in r.costs]
    note = (
        "<p class='small'>Estimates: the student's multiply-accumulates times the cycles and the energy per MAC that MLPerf "
        "Tiny's keyword spotting took on that part. Unknown stays unknown.</p>"
    )
    return note + _rows(head, rows)


def _curves(found: dict) -> str:
    return (
        f"<h2>Faults by strength: {_text(found['size'])}</h2>"
        f"<p class='small'>{_text(found['source'])}; {_text(found['data'])}. Blue: heart-rate error of what is shown, "
        "against the ECG, with the 95 % interval over people. Amber: share of outputs that are shown.</p>"
        + _image(pictures.curves(found), "heart-rate error and share shown by strength of each fault")
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _class(passed: bool) -> str:
    return "pass" if passed else "fail"


def _image(uri: str, alt: str) -> str:
    return f"<img alt='{_text(alt)}' src='{uri}'>"


def _rows(head: list[str], rows: list[list], classes: list[str] | None = None) -> str:
    cells = "".join(f"<th{'' if i == 0 else ' class=n'}>{_text(h)}</th>" for i, h in enumerate(head))
    lines = []
    for k, row in enumerate(rows):
        kind = f" class='{classes[k]}'" if classes else ""
        lines.append(
            f"<tr{kind}>"
            + "".join(f"<td{'' if i == 0 else ' class=n'}>{_text(c)}</td>" for i, c in enumerate(row))
            + "</tr>"
        )
    return f"<div class='wide'><table><tr>{cells}</tr>{''.join(lines)}</table></div>"


def _gates(r: Streamed) -> str:
    head = [f"{r.size}: gate", "limit", "value", "", "where from"]
    rows = [
        [g.name, g.limit, g.value, "pass" if g.passed else "FAIL", f"{g.source} {g.detail}".strip()] for g in r.gates
    ]
    return _rows(head, rows, [_class(g.passed) for g in r.gates])


def _rates(results: list[Streamed]) -> str:
    rows = []
    for r in results:
        rate = rate_errors(r)
        if rate:
            rows.append(
                [
                    r.size,
                    rate["reference"],
                    f"{100 * rate['share']:.0f} %",
                    f"{rate['float_mae']:.2f}",
                    f"{rate['int8_mae']:.2f}",
                    f"{rate['difference']:+.3f}",
                ]
            )
    if not rows:
        return "<p class='small'>The recording has no heart-rate reference.</p>"
    return _rows(["heart rate", "reference", "hops called good", "float MAE, BPM", "INT8 MAE, BPM", "difference"], rows)


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
    head = ["", *names, "at a rail", "ring high water", "hops shown"]
    rows = []
    for r in results:
        values = {**asdict(r.counters), "sent": r.sent}
        water, shown = f"{r.high_water} of {r.ring_capacity}", f"{int(r.shown.sum())} of {len(r.hops)}"
        rows.append([r.size, *[f"{values[n]:,}" for n in names], r.saturated, water, shown])
    reasons = [[r.size, *[int(np.sum(r.why & w.value > 0)) for w in Why]] for r in results]
    return (
        _rows(head, rows)
        + "<p class='small'>received = used + gated + pending + dropped + discarded. Bridged samples are made up.</p>"
        + _rows(["outputs not shown, by reason", *[str(w.name).lower() for w in Why]], reasons)
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
    return "<h2>The encoder itself (hub, application processor)</h2>" + _rows(
        ["format", "size", "cosine to float, median", "worst", "windows", "where from"], rows
    )
