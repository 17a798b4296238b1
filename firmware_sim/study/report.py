"""What a study's lead reads: one HTML page, and a CSV of everything behind it."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from onwrist.firmware_sim.parity.gates import Gate
from onwrist.firmware_sim.study.figures import LEAST_PEOPLE, MEASURES, STRETCH_S, Figures, Measured
from onwrist.firmware_sim.study.store import Store
from onwrist.firmware_sim.study.waves import NOTHING
from onwrist.pages.rendering import plain_page

FOLDER = "report"
# In the page; all of them are in the CSV.
PEOPLE_SHOWN, FAILURES_SHOWN = 200, 50
# Drawn as a forest, in this order.
FOREST = ("shown", "mae", "difference")


def write_study_report(store: Store, manifest: dict[str, Any], figures: Figures, gates: Sequence[Gate]) -> str:
    """Write report/report.html and its CSVs; returns the page's path."""
    tables = {
        "recordings": figures.recordings, "people": figures.people, "groups": [asdict(g) for g in figures.groups],
        "stretches": figures.stretches, "failures": figures.failures, "gates": [asdict(g) for g in gates],
    }  # fmt: skip
    for name, rows in tables.items():
        store.write(f"{FOLDER}/{name}.csv", _csv(rows))
    store.write(f"{FOLDER}/report.html", page(manifest, figures, gates).encode())
    return store.path(f"{FOLDER}/report.html")


def _csv(rows: list[dict[str, Any]]) -> bytes:
    sink = io.StringIO()
    if rows:
        writer = csv.DictWriter(sink, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return sink.getvalue().encode()


def page(manifest: dict[str, Any], figures: Figures, gates: Sequence[Gate]) -> str:
    """The report as HTML, pictures inside."""
    setting = manifest["setting"]
    passed = all(g.passed for g in gates)
    verdict = ("PASS" if passed else "FAIL") if gates else "not judged"
    shown = manifest["shown"] / manifest["hops"] if manifest["hops"] else 0.0
    body = [
        "<h1>A study through the watch</h1>",
        f"<p><span class='badge {'pass' if passed else 'fail'}'>{verdict}</span> {manifest['people']:,} people, "
        f"{manifest['recordings']:,} recordings, {manifest['hours']:,.1f} h, an output every {setting['hop_s']:g} s; "
        f"{100 * shown:.1f} % shown, {manifest['failures']} recordings failed.</p>",
        f"<p class='small'>Student {_text(setting['size'])}, integers {setting['digest'][:12]}; sensor {setting['sensor_hz']} Hz, "
        f"{setting['bits']} bits; the float student saw {100 * setting['float_share']:g} % of the recordings. Intervals: 95 %, "
        f"over people (every subset of them), from {LEAST_PEOPLE} people on. Not a medical device.</p>",
        "<h2>Gates</h2>", _gates(gates), "<h2>Everybody and subgroups</h2>",
        *[f"<img alt='{m}' src='{_forest(figures.groups, m)}'>" for m in FOREST if any(g.measure == m for g in figures.groups)],
        _groups(figures.groups), "<h2>Why outputs are not shown</h2>",
        _table(["reason", "share of outputs"], [[n, f"{100 * v:.2f} %"] for n, v in figures.reasons.items()]),
        "<p class='small'>An output can have several reasons.</p>",
        f"<h2>Worst {len(figures.stretches)} stretches</h2>", *_stretches(figures),
        "<h2>People</h2>", _people(figures.people), "<h2>Recordings that failed</h2>",
        _table(["recording", "error"], [[f["recording"], f["error"]] for f in figures.failures[:FAILURES_SHOWN]]),
    ]  # fmt: skip
    return plain_page("A study through the watch", "".join(body))


def _text(value: Any) -> str:
    return html.escape(str(value))


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "<p>none</p>"
    cells = "".join(f"<tr>{''.join(f'<td>{_text(c)}</td>' for c in row)}</tr>" for row in rows)
    return f"<div class='scroll' tabindex='0' role='group' aria-label='{_text(', '.join(head))}'><table><thead><tr>{''.join(f'<th scope=col>{_text(h)}</th>' for h in head)}</tr></thead><tbody>{cells}</tbody></table></div>"


def _gates(gates: Sequence[Gate]) -> str:
    rows = "".join(
        f"<tr class='{'pass' if g.passed else 'fail'}'><td>{_text(g.name)}</td><td>{_text(g.limit)}</td><td>{_text(g.value)}</td>"
        f"<td>{_text(g.detail)}</td><td>{'pass' if g.passed else 'FAIL'}</td></tr>"
        for g in gates
    )
    return (
        f"<div class='wide'><table><thead><tr><th scope=col>gate</th><th scope=col>limit</th><th scope=col>value</th><th scope=col>of</th><th scope=col>holds</th></tr></thead><tbody>{rows}</tbody></table></div>"
        if rows
        else "<p>none</p>"
    )


def _groups(groups: Sequence[Measured]) -> str:
    keys = list(dict.fromkeys((g.column, g.group) for g in groups))
    rows = []
    for column, group in keys:
        mine = {g.measure: g for g in groups if (g.column, g.group) == (column, group)}
        people = max(g.people for g in mine.values())
        rows.append([_name(column, group), people, *[_value(mine.get(m)) for m in MEASURES]])
    words = _table(["measure", "unit", "what"], [[m, unit, what] for m, (_, _, unit, what) in MEASURES.items()])
    return _table(["group", "people", *MEASURES], rows) + words


def _name(column: str, group: str) -> str:
    return f"{column} {group or '(unknown)'}" if column else "everybody"


def _value(found: Measured | None) -> str:
    if found is None:
        return "-"
    interval = "" if math.isnan(found.low) else f" [{found.low:.3g}, {found.high:.3g}]"
    return f"{found.value:.3g}{interval}"


def _people(people: Sequence[dict[str, Any]]) -> str:
    first = sorted(people, key=lambda p: (p["shown_share"] or 0.0, p["person"]))[:PEOPLE_SHOWN]
    head = ["person", "outputs", "shown", "MAE, BPM", "INT8 minus float, BPM"]
    rows = [
        [
            p["person"],
            f"{p['hops']:,}",
            f"{100 * (p['shown_share'] or 0):.1f} %",
            _number(p["mae"]),
            _number(p["difference"]),
        ]
        for p in first
    ]
    note = f"<p class='small'>{len(first)} of {len(people)}, least shown first; all of them in people.csv.</p>"
    return _table(head, rows) + note


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _forest(groups: Sequence[Measured], measure: str) -> str:
    """Value and interval of every group."""
    from onwrist.firmware_sim.parity.pictures import BLUE, GREY, _uri, plt

    rows = [g for g in groups if g.measure == measure]
    figure, axis = plt.subplots(figsize=(8.5, 0.8 + 0.26 * len(rows)))
    for y, g in enumerate(reversed(rows)):
        if not math.isnan(g.low):
            axis.plot([g.low, g.high], [y, y], color=BLUE, lw=1.5)
        axis.plot([g.value], [y], "s" if not g.column else "o", color=BLUE, ms=5)
    axis.axvline(rows[0].value, color=GREY, lw=1, zorder=0)
    axis.set_yticks(range(len(rows)), [f"{_name(g.column, g.group)} (n={g.people})" for g in reversed(rows)])
    axis.set_ylim(-0.7, len(rows) - 0.3)
    _, _, unit, what = MEASURES[measure]
    axis.set_title(f"{what} ({unit})")
    return _uri(figure)


def _stretches(figures: Figures) -> list[str]:
    found = []
    waves = figures.waves or [NOTHING] * len(figures.stretches)
    for stretch, rows, wave in zip(figures.stretches, figures.pictured, waves, strict=True):
        words = (
            f"{stretch['recording']}, from {stretch['begin_s'] / 60:.0f} min: {stretch['error']:.1f} BPM from the "
            f"{stretch['against']}, {stretch['rated']} outputs"
        )
        found.append(
            f"<p>{_text(words)}<br><img alt='{_text(words)}' src='{_stretch(rows, stretch['begin_s'], wave)}'></p>"
        )
    return found


def _stretch(rows: dict[str, np.ndarray], begin: float, wave: np.ndarray) -> str:
    from onwrist.firmware_sim.parity.pictures import AMBER, BLUE, GREY, INK, _uri, plt

    has_wave = bool(np.isfinite(wave[1]).any())
    figure, axes = plt.subplots(1 + has_wave, 1, figsize=(8.5, 3.2 if has_wave else 1.7), squeeze=False)
    axis = axes[0, 0]
    t = rows["time_s"] / 60
    axis.axvspan(begin / 60, (begin + STRETCH_S) / 60, color=GREY, alpha=0.4, lw=0)
    if "heart_rate_bpm" in rows:
        shown = rows["shown"] > 0
        axis.plot(t, rows["heart_rate_bpm"], ".", ms=2.5, color=GREY, label="not shown")
        axis.plot(t[shown], rows["heart_rate_bpm"][shown], ".", ms=4, color=BLUE, label="shown")
        axis.plot(t, rows["heart_rate_bpm_float"], color=AMBER, lw=1, label="float")
    axis.plot(t, rows["true_bpm"], color=INK, lw=1.2, label="reference")
    axis.set_ylabel("BPM")
    axis.legend(loc="upper right", ncols=4, fontsize=7)
    if has_wave:
        below = axes[1, 0]
        below.plot(wave[0] - begin, wave[1], color=INK, lw=0.6)
        below.set_ylabel("light")
        below.set_xlabel("seconds of the shaded minute")
    return _uri(figure)
