"""Many recordings through the watch: what is shown of each, how right it is, and other methods beside it, paired by person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.export.handoff.artifacts import Artifacts
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.gates import Gate, embedding_gates, run_windows, verdict
from onwrist.firmware_sim.parity.hops import gather
from onwrist.firmware_sim.parity.reasons import REASONS, SHOWN, count_reasons
from onwrist.firmware_sim.parity.reference import reference_rate
from onwrist.firmware_sim.parity.rightness import (
    SHARES,
    WATCH,
    baseline_rates,
    compare_methods,
    mean,
    mean_by_person,
    paired_by_person,
    right_gates,
    surest,
)
from onwrist.firmware_sim.runtimes.window import TorchFloat
from onwrist.firmware_sim.watch.sensor import Sensor
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig
from onwrist.firmware_sim.watch.windows import Windows
from onwrist.models.bench.subsets import text
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.pulse.baselines import methods
from onwrist.signals.pulse.clean import WINDOW_S
from onwrist.signals.recordings.recording import Recording


@dataclass(frozen=True)
class Surveyed:
    """One recording, output by output; arrays are (n,).

    Attributes:
        name, person: of the recording. kind: of its reference.
        truth, said: beats/min. shown, valid: bool. sure: the watch's quality logit.
        baselines: name -> (n, 2), beats/min and confidence.
        reasons: reason -> outputs. gates: on what is shown.
    """

    name: str
    person: str
    kind: str
    truth: np.ndarray
    said: np.ndarray
    shown: np.ndarray
    valid: np.ndarray
    sure: np.ndarray
    baselines: dict[str, np.ndarray]
    reasons: dict[str, int]
    gates: list[Gate]


def survey(
    recording: Recording, artifacts: Artifacts, config: WatchConfig = WatchConfig(), progress: Progress = silent
) -> Surveyed:
    """Play one recording through the watch, LiteRT's reference kernels in the loop."""
    model = artifacts.model
    deployed = Deployed(artifacts, config)
    watch = Watch(model, deployed.litert(), config, witness=True)
    hops = gather(watch.run(Sensor(recording, config.sensor)))
    name = Path(recording.source).name
    if len(hops) == 0:
        nothing = np.zeros(0)
        gates = right_gates(nothing, nothing, nothing.astype(bool), "", "", config.hop_s, 0)
        return Surveyed(
            name, recording.subject, kind="", truth=nothing, said=nothing, shown=nothing, valid=nothing, sure=nothing,
            baselines={}, reasons={}, gates=gates,
        )  # fmt: skip
    answers = hops.answers.astype(np.float32) * model.answers_scale
    shown, valid = hops.shown, hops.valid
    reference = reference_rate(recording, hops.time_s, model.answers)
    judged = valid & np.isfinite(reference.bpm)
    others = baseline_rates(methods(), hops.fed_counts, judged, config.sensor.rate_hz, progress)
    reasons = count_reasons(hops.why, model.window, deployed.hop)
    said = model.answers.rates(answers)
    seen = Windows(hops.real, hops.first, model.window)
    real = run_windows(TorchFloat(artifacts.student), seen)[0]
    gates = [
        *embedding_gates(hops.embedding, real, shown, scale=float(model.embedding_scale)),
        *right_gates(
            reference.bpm, said, shown, reference.kind, reference.name, config.hop_s, len(hops) - reasons[REASONS[1]]
        ),
    ]
    sure = model.answers.sure(answers)
    return Surveyed(
        name, recording.subject, reference.kind, reference.bpm, said, shown, valid, sure, others, reasons, gates
    )


def people(found: list[Surveyed]) -> list[dict]:
    """Each method over all recordings that have a reference: errors as in `compare_methods`, and the error minus the
    watch's, each person once, with its interval over people: on the outputs that the watch shows, and where the method
    answers as often, on those that it is surest of."""
    have = [s for s in found if s.kind and (s.valid & np.isfinite(s.truth)).any()]
    if not have or not any(s.shown.any() for s in have):
        return []
    rows = [s.valid & np.isfinite(s.truth) for s in have]
    truth, said, shown, sure = (
        np.concatenate([getattr(s, name)[r] for s, r in zip(have, rows, strict=True)])
        for name in ("truth", "said", "shown", "sure")
    )
    person = np.concatenate([np.full(int(r.sum()), s.person) for s, r in zip(have, rows, strict=True)])
    baselines = {
        n: np.concatenate([s.baselines[n][r] for s, r in zip(have, rows, strict=True)]) for n in have[0].baselines
    }
    table = compare_methods(truth, said, shown, sure, baselines)
    own = np.where(shown, np.abs(said - truth), np.nan)
    for row in table:
        if row["method"] != WATCH:
            bpm, confidence = baselines[row["method"]].T
            other = np.abs(bpm - truth)
            row["minus_watch"] = paired_by_person(other, own, person).plain
            chosen = np.full(len(other), np.nan)
            rows_of = surest(other, confidence, int(shown.sum()))
            chosen[rows_of] = other[rows_of]
            row["minus_watch_at_same_share"] = mean_by_person(chosen, own, person).plain
        row["people"] = len(np.unique(person))
    return table


def plain(found: list[Surveyed]) -> dict:
    """Values for a JSON file."""
    rows = []
    for s in found:
        word, why = verdict(s.gates)
        judged = s.shown & np.isfinite(s.truth)
        rows.append(
            {
                "recording": s.name, "person": s.person, "reference": s.kind, "outputs": len(s.shown),
                "shown": int(s.shown.sum()), "reasons": s.reasons, "error": mean(np.abs(s.said - s.truth)[judged]),
                "error_of_all": mean(np.abs(s.said - s.truth)[s.valid & np.isfinite(s.truth)]), "verdict": word, "why": why,
                "gates": {g.name: g.value for g in s.gates},
            }
        )  # fmt: skip
    return {"recordings": rows, "methods": people(found), "window_s": WINDOW_S}


def table_of(found: dict) -> str:
    """Markdown: a line a recording, then a line a method."""
    lines = [
        "| recording | reference | shown | error of the shown (of all), BPM | embedding, worst error | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for r in found["recordings"]:
        share = f"{100 * r['shown'] / r['outputs']:.0f} %" if r["outputs"] else "-"
        error = f"{_number(r['error'])} ({_number(r['error_of_all'])})"
        worst = r["gates"].get("embedding, INT8 to float, worst error", "-")
        why = f" {r['why']}" if r["why"] else ""
        lines.append(
            f"| {r['recording']} | {r['reference'] or 'none'} | {share} | {error} | {worst} | {r['verdict']}{why} |"
        )
    for r in found["recordings"]:
        if not r["shown"] and r["reasons"]:
            most = max((k for k in r["reasons"] if k != SHOWN), key=r["reasons"].__getitem__)
            lines.append(f"\n{r['recording']}: nothing is shown; most outputs: {most}")
    if found["methods"]:
        count = found["methods"][0]["people"]
        lines += [
            "",
            f"| method, {count} people | answers | on the outputs that the watch shows | minus the watch, by person | on as many, "
            "its surest | minus the watch, by person | on all |",
            "|---|---|---|---|---|---|---|",
        ]
        for m in found["methods"]:
            paired, chosen = (text(m[k], 2) if k in m else "" for k in ("minus_watch", "minus_watch_at_same_share"))
            lines.append(
                f"| {m['method']} | {100 * m['answered']:.0f} % | {_number(m['mae_where_watch_shows'])} | {paired} "
                f"| {_number(m['mae_at_same_share'])} | {chosen} | {_number(m['mae_all'])} |"
            )
        lines += ["", *_curves(found["methods"])]
    return "\n".join(lines)


def _curves(methods: list[dict]) -> list[str]:
    """Markdown: error of each method if it answers only a share of the outputs, its surest."""
    lines = ["| error of its surest, share answered | " + " | ".join(f"{100 * s:.0f} %" for s in SHARES) + " |"]
    lines.append("|---" * (len(SHARES) + 1) + "|")
    for m in methods:
        points = dict(m["risk_coverage"])
        lines.append(f"| {m['method']} | " + " | ".join(_number(points.get(s)) for s in SHARES) + " |")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
