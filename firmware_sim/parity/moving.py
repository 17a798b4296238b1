"""Heart rate in motion: students with and without acceleration, and what else there is, on the same ten seconds of the same people.

Float students on the float front end, an output a second, nothing ahead of its time. The watch in integers says the same to
within its own gates (`onwrist stream`, `onwrist survey`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.firmware_sim.parity.reference import reference_rate
from onwrist.firmware_sim.parity.rightness import SHARES, mean, mean_by_person, risk_coverage, surest
from onwrist.models.bench.subsets import text
from onwrist.models.student.outputs import Answers
from onwrist.quantize.judging.evaluate import Evaluation
from onwrist.signals.people.cohort import Cohort, Progress, cut, prepare, silent, without_glitches
from onwrist.signals.pulse.baselines import Estimate, counted_peaks, spectral_peak
from onwrist.signals.pulse.clean import WINDOW_S, fill_gaps
from onwrist.signals.pulse.motion_aware import (
    STILL_G,
    adaptive_filters,
    peak_of,
    subtracted_spectrum,
)
from onwrist.signals.pulse.tracking import RateTrack, tracked
from onwrist.signals.recordings.recording import Recording

HOP_S = 1.0
# A strap says the mean of some seconds that are over; the set's own advice is one to three.
STRAP_LAG_S = 2.0
# Of a spectrum's logarithm, in the tracker's scores: a tenth of the peak costs 37, and nothing costs more than 60.
SCORES_PER_E, MOST_COST = 16, 60
TRACKED = ", tracked"
CLASSIC = "spectral subtraction"


@dataclass(frozen=True)
class Asked:
    """A student as it is asked here: windows to answers (n, columns), what they mean, samples before the ten seconds."""

    run: Callable[[Evaluation], np.ndarray]
    answers: Answers
    context: int


@dataclass(frozen=True)
class Said:
    """What a method says of a recording, (n,) each: beats/min (NaN without), how sure (more is surer), whether it would show it."""

    bpm: np.ndarray
    sure: np.ndarray
    shown: np.ndarray


@dataclass(frozen=True)
class Moving:
    """One recording, output by output.

    Attributes:
        name, person: of it. truth: (n,) beats/min, NaN where unknown. moving: (n,) g, spread of the acceleration of the ten
            seconds, NaN without. said: method -> what it says.
    """

    name: str
    person: str
    truth: np.ndarray
    moving: np.ndarray
    said: dict[str, Said]


def judged(
    recording: Recording,
    name: str,
    students: dict[str, Asked],
    progress: Progress = silent,
) -> Moving:
    """Every method on one recording, an output a second.

    Args:
        students: by name.
    """
    track = prepare(recording, name)
    cohort = cut([track], HOP_S)
    said = {student: _asked(asked, cohort) for student, asked in students.items()}
    said |= {student + TRACKED: _followed(tracked(s.bpm, s.sure)) for student, s in said.items()}
    moving = np.full(len(cohort), np.nan)
    rows: dict[str, list[Estimate]] = {}
    scores, lights, felt = [], [], []
    ppg, rate = fill_gaps(recording.ppg.samples), recording.ppg.rate_hz
    acc = None if recording.acc is None or track.acceleration is None else without_glitches(recording.acc)
    for i, start in enumerate(progress(cohort.start_s, f"{name}: baselines")):
        light = ppg[round(start * rate) : round((start + WINDOW_S) * rate)].astype(np.float64)
        found = {"spectral peak": spectral_peak(light, rate), "find_peaks": counted_peaks(light, rate)}
        if acc is not None:
            first = start - acc.start_s
            axes = acc.samples[max(0, round(first * acc.rate_hz)) : max(0, round((first + WINDOW_S) * acc.rate_hz))]
            if len(axes) > WINDOW_S:
                moving[i] = float(np.sqrt(np.sum(axes.std(axis=0) ** 2)))
            left = subtracted_spectrum(light, rate, axes, acc.rate_hz)
            found[CLASSIC] = peak_of(left)
            scores.append(_scores(left))
            lights.append(light)
            felt.append(axes)
        for method, estimate in found.items():
            rows.setdefault(method, []).append(estimate)
    if acc is not None and lights:
        rows["adaptive filter"] = adaptive_filters(lights, rate, felt, acc.rate_hz)
    for method, estimates in rows.items():
        bpm, sure = np.array(estimates).T
        said[method] = Said(bpm, sure, np.isfinite(bpm))
    if scores:
        said[CLASSIC + TRACKED] = _followed(_pushed(scores))
        for student in students:
            track_of, own = RateTrack(), said[student]
            each = [track_of.of_answer(r, q) for r, q in zip(own.bpm, own.sure, strict=True)]
            both = [a + b for a, b in zip(scores, each, strict=True)]
            said[f"{student} and {CLASSIC}{TRACKED}"] = _followed(_pushed(both))
    return Moving(name, recording.subject, _truth(recording, cohort.start_s + WINDOW_S), moving, said)


def _asked(asked: Asked, cohort: Cohort) -> Said:
    """What a student says of every window, its quality as a logit."""
    unknown = np.full((len(cohort), 1), np.nan, np.float32)
    worn = any(track.acceleration is not None for track in cohort.tracks)
    acceleration = cohort.acceleration_windows(asked.context) if worn else None
    windows = Evaluation("", cohort.student_windows(asked.context), unknown, cohort.people, acceleration=acceleration)
    z, answers = asked.run(windows), asked.answers
    sure = answers.sure(z)
    logit = sure if answers.shown_by is None else answers[answers.shown_by].in_units(sure)
    return Said(answers.rates(z), logit, logit > 0 if answers.gate is not None else np.ones(len(z), bool))


def _pushed(evidence: list[np.ndarray]) -> np.ndarray:
    """What each hop speaks for each rate, (200,), followed: (n, 2), beats/min and margin."""
    track = RateTrack()
    return np.array([track.push(e) for e in evidence]).reshape(-1, 2)


def _followed(found: np.ndarray) -> Said:
    return Said(found[:, 0], found[:, 1], np.ones(len(found), bool))


def _scores(spectrum: np.ndarray) -> np.ndarray:
    """A spectrum (200,) as what speaks for each rate."""
    if not spectrum.any():
        return np.zeros(len(spectrum), np.int32)
    level = np.log(np.maximum(spectrum / spectrum.max(), 1e-6))
    return np.maximum(np.rint(SCORES_PER_E * level), -MOST_COST).astype(np.int32)


def _truth(recording: Recording, ends_s: np.ndarray) -> np.ndarray:
    """The reference of the ten seconds that end at each time."""
    labels = recording.labels
    if {"hr_ref", "hr_ref_t_s"} <= set(labels):
        # A chest strap's own number, once a second.
        at = np.asarray(labels["hr_ref_t_s"], np.float64) - STRAP_LAG_S
        middle = ends_s - WINDOW_S / 2
        bpm = np.interp(middle, at, np.asarray(labels["hr_ref"], np.float64))
        return np.where((middle >= at[0]) & (middle <= at[-1]), bpm, np.nan)
    return reference_rate(recording, ends_s).bpm


@dataclass(frozen=True)
class Rows:
    """All outputs of some recordings that have a reference: truth, person, motion (g), and each method's Said."""

    truth: np.ndarray
    person: np.ndarray
    moving: np.ndarray
    said: dict[str, Said]

    def where(self, rows: np.ndarray) -> Rows:
        """Some of them, (n,) bool."""
        some = {k: Said(s.bpm[rows], s.sure[rows], s.shown[rows]) for k, s in self.said.items()}
        return Rows(self.truth[rows], self.person[rows], self.moving[rows], some)


def together(found: list[Moving]) -> Rows:
    """The outputs of many recordings; methods that all of them have."""
    names = [n for n in found[0].said if all(n in m.said for m in found)]
    known = [np.isfinite(m.truth) for m in found]

    def joined(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([part[k] for part, k in zip(parts, known, strict=True)])

    said = {}
    for n in names:
        each = [m.said[n] for m in found]
        said[n] = Said(joined([s.bpm for s in each]), joined([s.sure for s in each]), joined([s.shown for s in each]))
    person = joined([np.full(len(m.truth), m.person) for m in found])
    return Rows(joined([m.truth for m in found]), person, joined([m.moving for m in found]), said)


def compare(rows: Rows, against: str) -> list[dict]:
    """Each method: what it shows by its own rule, and at the share that `against` shows, its surest; the error minus that of
    `against` there, by people, paired; and its error for every share."""
    own = rows.said[against]
    count = int(own.shown.sum())
    mine = np.where(own.shown, np.abs(own.bpm - rows.truth), np.nan)
    table = []
    for name, said in rows.said.items():
        error = np.abs(said.bpm - rows.truth)
        shown = said.shown & np.isfinite(error)
        chosen = np.full(len(error), np.nan)
        best = surest(error, said.sure, count)
        chosen[best] = error[best]
        table.append(
            {
                "method": name, "outputs": len(error), "people": len(np.unique(rows.person)),
                "shown": float(shown.mean()) if len(shown) else None, "error_shown": mean(error[shown]),
                "error_all": mean(error[np.isfinite(error)]), "error_at_share": mean(chosen[np.isfinite(chosen)]),
                "minus": None if name == against else text(mean_by_person(chosen, mine, rows.person).plain, 2),
                "by_share": risk_coverage(error, said.sure),
            }
        )  # fmt: skip
    return table


def by_motion(rows: Rows) -> dict[str, Rows]:
    """At rest and moving, by the spread of acceleration."""
    known = np.isfinite(rows.moving)
    return {
        "at rest": rows.where(known & (rows.moving < STILL_G)),
        "moving": rows.where(known & (rows.moving >= STILL_G)),
    }


def words(found: list[dict], against: str) -> str:
    """Markdown: a line a method, then the error for every share."""
    lines = [
        f"| method, {found[0]['people']} people, {found[0]['outputs']:,} outputs | shown | error of it, BPM "
        f"| at the share of {against} | minus {against}, by person | of all |",
        "|---|---|---|---|---|---|",
    ]
    for r in found:
        lines.append(
            f"| {r['method']} | {_share(r['shown'])} | {_bpm(r['error_shown'])} | {_bpm(r['error_at_share'])} "
            f"| {r['minus'] or ''} | {_bpm(r['error_all'])} |"
        )
    lines += ["", "| error of its surest, share answered | " + " | ".join(f"{100 * s:.0f} %" for s in SHARES) + " |"]
    lines.append("|---" * (len(SHARES) + 1) + "|")
    for r in found:
        points = dict(r["by_share"])
        lines.append(f"| {r['method']} | " + " | ".join(_bpm(points.get(s)) for s in SHARES) + " |")
    return "\n".join(lines)


def _bpm(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def asked_of(file: Path) -> Asked:
    """The student of a file, float or INT8."""
    from onwrist.quantize.integers.training import load_integers
    from onwrist.quantize.judging.evaluate import run_integers, run_torch
    from onwrist.quantize.teaching.student_files import load_student

    if ".int8" in file.suffixes:
        integers = load_integers(file)
        context = integers.window - integers.sees.samples
        return Asked(lambda data: run_integers(integers, *data.fed(integers)).answers, integers.answers, context)
    student, _ = load_student(file)
    return Asked(lambda data: run_torch(student, *data.fed(student)).answers, student.answers, student.context)
