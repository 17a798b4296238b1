"""How accuracy degrades with the strength of each fault, with the watch's own gate in the loop."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError
from onwrist.export.handoff.artifacts import Artifacts
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.reference import reference_rate
from onwrist.firmware_sim.watch.faults import Faults, make_fault
from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig, Why
from onwrist.models.bench.probe import interval
from onwrist.resources import WEIGHTS
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Recording

# Field that is turned, from mild to beyond anything that should happen; the rest of the fault stays at its default.
STRENGTHS: dict[str, tuple[str, tuple[float, ...]]] = {
    "drift": ("ppm", (100, 500, 2000, 10_000)),
    "jitter": ("ms", (1, 3, 10, 30)),
    "gain": ("factor", (1.1, 1.3, 1.6, 1.9)),
    "ambient": ("share", (0.02, 0.1, 0.3, 0.45)),
    "saturation": ("seconds", (2, 5, 10, 30)),
    "resolution": ("bits", (16, 12, 9, 7)),
    "off_wrist": ("seconds", (5, 15, 30, 60)),
    "motion": ("scale", (0.5, 1, 2, 4)),
    "lost": ("share", (0.01, 0.05, 0.1, 0.3)),
    "repeated": ("share", (0.01, 0.05, 0.1, 0.3)),
    "reordered": ("share", (0.01, 0.05, 0.1, 0.3)),
    "late": ("seconds", (0.5, 1.5, 3, 6)),
    "clock_jump": ("every_s", (240, 120, 60, 30)),
    "stall": ("seconds", (1, 3, 6, 12)),
}

# More often than by default, so that minutes of recording meet a fault more than once.
OFTEN = {"gain": 30.0, "saturation": 60.0, "off_wrist": 120.0, "motion": 30.0, "late": 30.0, "stall": 60.0}


@dataclass(frozen=True)
class Subject:
    """A recording with its heart rate from the ECG at whole seconds, NaN where unknown."""

    recording: Recording
    bpm: np.ndarray


def subjects(folder: Path) -> list[Subject]:
    """The recordings of a folder that have an ECG.

    Raises:
        ConfigError: none has.
    """
    found = []
    for path in sorted(folder.glob("*.npz")):
        recording = read_recording(path)
        if recording.ecg is not None:
            found.append(Subject(recording, reference_rate(recording, np.arange(int(recording.seconds) + 2.0)).bpm))
    if not found:
        raise ConfigError("no recording with an ECG", where=folder, cure="Give a folder of .npz with ppg and ecg")
    return found


def point(artifacts: Artifacts, people: list[Subject], faults: Faults, config: WatchConfig) -> dict:
    """One strength: error of what is shown, of all that has a full window, and the share shown."""
    deployed = Deployed(artifacts, config)
    errors, shown, person = [], [], []
    lost = sent = 0
    for who in people:
        sensor = Sensor(who.recording, config.sensor, faults)
        watch = Watch(artifacts.model, deployed.litert(), config)
        for h in watch.run(sensor):
            truth = who.bpm[min(round(h.time_s), len(who.bpm) - 1)]
            if not h.why & Why.WARMING and np.isfinite(truth):
                said = artifacts.model.answers.rates(
                    h.answers[None].astype(np.float32) * artifacts.model.answers_scale
                )[0]
                errors.append(abs(float(said) - truth))
                shown.append(h.shown)
                person.append(who.recording.subject)
        lost += watch.counters.dropped
        sent += watch.counters.received
    error, seen, group = np.array(errors), np.array(shown, bool), np.array(person)
    expected = sum(max(0, int(w.recording.seconds / config.hop_s)) for w in people)
    return {
        "mae": interval(lambda rows: float(error[seen][rows].mean()), group[seen]) if seen.any() else None,
        "mae_ungated": float(error.mean()) if len(error) else None,
        "shown": float(seen.sum() / expected), "dropped": lost / max(1, sent),
    }  # fmt: skip


def sweep(artifacts: Artifacts, folder: Path, only: tuple[str, ...], seed: int, progress: Progress = silent) -> dict:
    """Every fault at every strength; `points[0]` of each curve is the undisturbed run."""
    people, config = subjects(folder), WatchConfig(1.0, SensorConfig())
    clean = {"strength": 0.0, **point(artifacts, people, Faults(), config)}
    curves = {}
    for kind in progress(only or tuple(STRENGTHS), f"faults {artifacts.size}"):
        if kind not in STRENGTHS:
            raise ConfigError(f"no fault {kind!r}", field="kinds", cure=f"Use {', '.join(STRENGTHS)}")
        name, strengths = STRENGTHS[kind]
        often = {"every_s": OFTEN[kind]} if kind in OFTEN else {}
        points = [clean]
        for strength in strengths:
            faults = Faults((make_fault(kind, {**often, name: strength}),), seed)
            points.append({"strength": strength, **point(artifacts, people, faults, config)})
        curves[kind] = {"field": name, "points": points}
    minutes = sum(w.recording.seconds for w in people) / 60
    return {
        "size": artifacts.size, "digest": artifacts.model.digest(), "date": datetime.date.today().isoformat(),
        "data": f"{len({w.recording.subject for w in people})} people with ECG, {minutes:.0f} minutes", "seed": seed,
        "curves": curves,
    }  # fmt: skip


def stored_path(size: str) -> Path:
    """Where a size's curves are kept beside its weights."""
    return WEIGHTS / f"{size}.faults.json"


def stored_curves(artifacts: Artifacts) -> list[dict]:
    """The curves kept for these integers, marked as stored; none where they are of others."""
    path = stored_path(artifacts.size)
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    if found["digest"] != artifacts.model.digest():
        return []
    return [{**found, "source": f"stored, {found['date']}, model {found['digest'][:12]}"}]


def table(found: dict) -> str:
    """Curves as Markdown: heart-rate error of what is shown (of everything), share shown."""
    lines = ["| fault | field | " + " | ".join(("undisturbed", "", "", "", "")) + "|", "|---" * 7 + "|"]
    for kind, curve in found["curves"].items():
        cells = []
        for p in curve["points"]:
            mae = "-" if p["mae"] is None else f"{p['mae'][0]:.1f}"
            cells.append(f"{p['strength']:g}: {mae} ({p['mae_ungated']:.1f}), {100 * p['shown']:.0f} %")
        lines.append(f"| {kind} | {curve['field']} | {' | '.join(cells)} |")
    return "\n".join(lines)
