"""What a study's lead reads: one HTML page, and a CSV of everything behind it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from onwrist.firmware_sim.parity.drawing import AMBER, BLUE, FULL, GREY, INK, plt, svg
from onwrist.firmware_sim.parity.gates import Gate
from onwrist.firmware_sim.study.figures import LEAST_PEOPLE, MEASURES, STRETCH_S, Figures, Measured
from onwrist.firmware_sim.study.judge import study_verdict
from onwrist.firmware_sim.study.store import Store
from onwrist.firmware_sim.study.waves import NOTHING
from onwrist.pages.blocks import Cell, Folded, Heading, Mark, Note, Pictures, Section, Table
from onwrist.pages.rendering import block_page

FOLDER = "report"
# In the page; all of them are in the CSV.
PEOPLE_SHOWN, FAILURES_SHOWN = 200, 50
# Drawn as a forest, in this order.
FOREST = ("shown", "mae", "difference")
MARKS: dict[str, Mark] = {"pass": "pass", "WARN": "warn", "FAIL": "fail", "not judged": "open"}


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
    word, why = study_verdict(gates)
    shown = manifest["shown"] / manifest["hops"] if manifest["hops"] else 0.0
    lead = (
        f"{word}{f' ({why})' if why else ''}. {_of(manifest['people'], 'person', 'people')}, "
        f"{_of(manifest['recordings'], 'recording', 'recordings')}, {manifest['hours']:,.1f} h; {100 * shown:.1f} % of the outputs "
        f"are shown, {_of(manifest['failures'], 'recording', 'recordings')} failed."
    )
    setting = manifest["setting"]
    how = (
        f"Student {setting['size']}, integers {setting['digest'][:12]}; an output every {setting['hop_s']:g} s, sensor of "
        f"{setting['sensor_hz']:g} Hz and {setting['bits']} bits; the float student saw {100 * setting['float_share']:g} % of the "
        f"recordings. Intervals: 95 %, over people (every subset of them), from {LEAST_PEOPLE} people on. Not a medical device."
    )
    forests = tuple(_forest(figures.groups, m) for m in FOREST if any(g.measure == m for g in figures.groups))
    words = Table(
        ("measure", "unit", "what"), [(m, unit, what) for m, (_, _, unit, what) in MEASURES.items()], words=(1, 2)
    )
    reasons = Table(("reason", "share of outputs"), [(n, f"{100 * v:.2f} %") for n, v in figures.reasons.items()])
    failed = figures.failures[:FAILURES_SHOWN]
    return block_page(
        "A study through the watch", lead,
        (
            Section("gates", "Gates", (_gates(gates), Note(how))),
            Section("groups", "Everybody and subgroups", (Pictures(forests), _groups(figures.groups), Folded("What is measured", (words,)))),
            Section("reasons", "Why outputs are not shown", (reasons, Note("An output can have several reasons."))),
            Section("worst", "The worst stretches", tuple(_stretches(figures)) or (Note("None: there is no reference."),)),
            Section("people", "People", _people(figures.people)),
            Section(
                "failed", "Recordings that failed",
                (Table(("recording", "error"), [(f["recording"], f["error"]) for f in failed], words=(1,)),) if failed else (Note("None."),),
            ),
        ),
    )  # fmt: skip


def _of(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _gates(gates: Sequence[Gate]) -> Table | Note:
    if not gates:
        return Note("None: there is no reference, and the float student did not look.")
    rows = [(g.name, g.limit, g.value, g.detail, Cell("", MARKS[g.word], g.word)) for g in gates]
    return Table(("gate", "limit", "value", "of", "holds"), rows, words=(3, 4))


def _groups(groups: Sequence[Measured]) -> Table:
    keys = list(dict.fromkeys((g.column, g.group) for g in groups))
    rows = []
    for column, group in keys:
        mine = {g.measure: g for g in groups if (g.column, g.group) == (column, group)}
        people = max(g.people for g in mine.values())
        rows.append((_name(column, group), people, *[_value(mine.get(m)) for m in MEASURES]))
    return Table(("group", "people", *MEASURES), rows)


def _name(column: str, group: str) -> str:
    return f"{column} {group or '(unknown)'}" if column else "everybody"


def _value(found: Measured | None) -> Cell:
    if found is None:
        return Cell("-")
    return Cell(f"{found.value:.3g}", small="" if math.isnan(found.low) else f"{found.low:.3g} to {found.high:.3g}")


def _people(people: Sequence[dict[str, Any]]) -> tuple[Table, Note]:
    first = sorted(people, key=lambda p: (p["shown_share"] or 0.0, p["person"]))[:PEOPLE_SHOWN]
    rows = [
        (p["person"], f"{p['hops']:,}", f"{100 * (p['shown_share'] or 0):.1f} %", _number(p["mae"]), _number(p["difference"]))
        for p in first
    ]  # fmt: skip
    note = Note(f"{len(first):,} of {len(people):,}, least shown first; all of them in people.csv.")
    return Table(("person", "outputs", "shown", "MAE, BPM", "INT8 minus float, BPM"), rows), note


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _forest(groups: Sequence[Measured], measure: str) -> str:
    """Value and interval of every group, from nothing on, so that a small difference looks small."""
    rows = [g for g in groups if g.measure == measure]
    figure, axis = plt.subplots(figsize=(FULL, 0.9 + 0.26 * len(rows)))
    for y, g in enumerate(reversed(rows)):
        if not math.isnan(g.low):
            axis.plot([g.low, g.high], [y, y], color=BLUE, lw=1.5)
        axis.plot([g.value], [y], "s" if not g.column else "o", color=BLUE, ms=5)
    axis.axvline(rows[0].value, color=GREY, lw=1, zorder=0)
    axis.axvline(0.0, color=INK, lw=0.8, zorder=0)
    axis.set_yticks(range(len(rows)), [f"{_name(g.column, g.group)} (n={g.people})" for g in reversed(rows)])
    axis.set_ylim(-0.7, len(rows) - 0.3)
    _, _, unit, what = MEASURES[measure]
    if unit == "share":
        axis.set_xlim(0.0, 1.02)
    axis.set_title(f"{what} ({unit})")
    return svg(figure, f"{what}: {len(rows)} groups with their intervals")


def _stretches(figures: Figures) -> list[Heading | Pictures]:
    found: list[Heading | Pictures] = []
    waves = figures.waves or [NOTHING] * len(figures.stretches)
    for stretch, rows, wave in zip(figures.stretches, figures.pictured, waves, strict=True):
        words = (
            f"{stretch['recording']}, from {stretch['begin_s'] / 60:.0f} min: {stretch['error']:.1f} BPM from the "
            f"{stretch['against']}, {stretch['rated']} outputs"
        )
        found += [Heading(words), Pictures((_stretch(rows, stretch["begin_s"], wave, words),))]
    return found


def _stretch(rows: dict[str, np.ndarray], begin: float, wave: np.ndarray, says: str) -> str:
    has_wave = bool(np.isfinite(wave[1]).any())
    figure, axes = plt.subplots(1 + has_wave, 1, figsize=(FULL, 3.6 if has_wave else 2.1), squeeze=False)
    axis = axes[0, 0]
    t = rows["time_s"] / 60
    axis.axvspan(begin / 60, (begin + STRETCH_S) / 60, color=GREY, alpha=0.25, lw=0)
    if "heart_rate_bpm" in rows:
        shown = rows["shown"] > 0
        axis.plot(t, rows["heart_rate_bpm"], ".", ms=2.5, color=GREY, label="not shown")
        axis.plot(t[shown], rows["heart_rate_bpm"][shown], ".", ms=4, color=BLUE, label="shown")
        if np.isfinite(rows["heart_rate_bpm_float"]).any():
            axis.plot(t, rows["heart_rate_bpm_float"], color=AMBER, lw=1, label="float")
    axis.plot(t, rows["true_bpm"], color=INK, lw=1.2, label="reference")
    axis.set_ylabel("BPM")
    axis.set_xlabel("minutes of the recording")
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4)
    if has_wave:
        below = axes[1, 0]
        below.plot(wave[0] - begin, wave[1], color=INK, lw=0.6)
        below.set_ylabel("light")
        below.set_xlabel("seconds of the shaded minute")
    figure.tight_layout()
    return svg(figure, says)
