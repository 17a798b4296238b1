"""What a student says, against what is true: heart rate by bin of true rate, what is shown and flagged by rhythm.

Three kinds of people whom no student was trained on: patients with arrhythmia (rhythm by cardiologists, rate where
pulse count and spectrum agree), intensive care (rate and rhythm from the ECG), wrists (rate from the band's own
intervals, at rest and moving). An answer is shown when quality is above 0, and flagged when irregular is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from onwrist.models.bench.tasks import RHYTHMS, load_windows
from onwrist.models.student.network import ANSWERS, HEART_RATE_CENTRE, HEART_RATE_SPAN
from onwrist.signals.people.cohort import Progress, cut, data_root, prepare, silent
from onwrist.signals.people.split import in_half, role
from onwrist.signals.pulse.beats import DEVICE_COVER, RHYTHM_RECALL, agreement, detect_r_peaks, intervals, upslopes
from onwrist.signals.pulse.clean import TEACHER_RATE_HZ, WINDOW_S, fill_gaps
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Channel, Recording

RATE_BINS = (30, 50, 70, 100, 130, 160, 180, 200, 230)
# Pulse count and spectral peak name the same rate within this share.
AGREE = 0.06
SPECTRUM_HZ = (0.45, 4.2)
# Of one patient and rhythm, so that the patient with the longest recording is not the result.
MOST_PER_RHYTHM = 40
# Spread of acceleration over 10 s (g, three axes together) below which a wrist is at rest.
REST_G = 0.02
ICU_SETS = ("cinc2015_125hz", "bidmc")
# Fewer windows than this are no figure for a bin.
FEWEST = 5


@dataclass(frozen=True)
class Judged:
    """Windows of people with what is known about them; NaN or '' where nothing is.

    Attributes:
        x: (n, window) student input.
        person: (n,).
        rate: (n,) true beats/min.
        rhythm: (n,) name: SR ... AF of the cardiologists, 'regular' / 'irregular' by the ECG, 'rest' / 'moving'.
        acceleration: int8 (n, 3, window) of the same moments, None where nobody wore a sensor.
    """

    x: np.ndarray
    person: np.ndarray
    rate: np.ndarray
    rhythm: np.ndarray
    acceleration: np.ndarray | None = None

    def where(self, rows: np.ndarray) -> Judged:
        """Some of the windows, (n,) bool."""
        acceleration = None if self.acceleration is None else self.acceleration[rows]
        return Judged(self.x[rows], self.person[rows], self.rate[rows], self.rhythm[rows], acceleration)


@dataclass(frozen=True)
class Said:
    """Answers in people's units: beats/min (n,), shown and irregular (n,) bool."""

    rate: np.ndarray
    shown: np.ndarray
    irregular: np.ndarray


def said(answers: np.ndarray, above: float = 0.0) -> Said:
    """(n, 3) answers of a student; shown where quality is above `above`."""
    z = dict(zip(ANSWERS, answers.T, strict=True))
    rate = HEART_RATE_CENTRE + HEART_RATE_SPAN * z["heart_rate"]
    return Said(rate, z["quality"] > above, z["irregular"] > 0)


def agreed_rate(window: np.ndarray, rate_hz: float = TEACHER_RATE_HZ) -> float:
    """Beats/min of a cleaned window (n,) where pulse count and spectral peak agree, else NaN."""
    pulses = np.diff(upslopes(window, rate_hz))
    if len(pulses) < 4:
        return float("nan")
    size = 1 << 14
    power = np.abs(np.fft.rfft(window * np.hanning(len(window)), size)) ** 2
    f = np.fft.rfftfreq(size, 1 / rate_hz)
    inside = (f >= SPECTRUM_HZ[0]) & (f <= SPECTRUM_HZ[1])
    counted, peak = 60.0 / float(pulses.mean()), 60.0 * float(f[inside][np.argmax(power[inside])])
    return counted if abs(counted - peak) < AGREE * peak else float("nan")


def patients(context: int, half: str, root: Path | None = None, seed: int = 0) -> Judged:
    """Arrhythmia patients, up to 40 windows of each patient and rhythm.

    Args:
        half: 'even' (to choose on), 'odd' (to report on) or 'all', by a patient's place in the sorted names.
    """
    data = load_windows("ppg_arrhythmia", root, context)
    assert data.student is not None
    names = np.unique(data.person)
    wanted = {"even": names[::2], "odd": names[1::2], "all": names}[half]
    rng = np.random.default_rng(seed)
    kind = np.full(len(data.person), "", "U9")
    for name in RHYTHMS:
        kind[data.labels[name] == 1] = name
    rows = []
    for person in wanted:
        for name in RHYTHMS:
            own = np.flatnonzero((data.person == person) & (kind == name))
            rows.append(rng.permutation(own)[:MOST_PER_RHYTHM])
    chosen = np.sort(np.concatenate(rows))
    rate = np.array([agreed_rate(data.teacher[i]) for i in chosen])
    return Judged(data.student[chosen], data.person[chosen], rate, kind[chosen])


def intensive_care(context: int, root: Path | None = None, progress: Progress = silent) -> Judged:
    """Held-out people with an ECG. Their rate is the ECG's where a second reading of it gives the same one: another
    detector of R-peaks (Challenge 2015) or the monitor's heart rate (BIDMC). Where fewer than `RHYTHM_RECALL` of the
    beats make a pulse (a fast fibrillation with half of its beats unfelt), the heart's rate is not in the signal."""
    files = [f for s in ICU_SETS for f in sorted(((root or data_root()) / s).glob("*.npz")) if role(f.stem) == "test"]
    recordings = [read_recording(f) for f in progress(files, "intensive care")]
    tracks = [prepare(r, f.stem, f.parent.name) for r, f in zip(recordings, files, strict=True)]
    cohort = cut(tracks)
    second = [_second_reading(r) for r in recordings]
    rate = np.full(len(cohort), np.nan)
    for row, (at, start) in enumerate(zip(cohort.at, cohort.start_s, strict=True)):
        beats = tracks[at].beats
        if beats is not None and np.isfinite(beats.delay_s):
            begin = start - beats.delay_s
            rr = intervals(beats.r, begin, begin + WINDOW_S)
            first, other = 60.0 / rr.mean() if len(rr) else np.nan, second[at](begin)
            felt = agreement(beats, start, start + WINDOW_S)[0] >= RHYTHM_RECALL
            rate[row] = first if felt and abs(first - other) < AGREE * other else np.nan
    label = cohort.labels["irregular"]
    rhythm = np.where(label == 1, "irregular", np.where(label == 0, "regular", ""))
    return Judged(cohort.student_windows(context), cohort.people, rate, rhythm)


def _second_reading(recording: Recording) -> Callable[[float], float]:
    """Beats/min of the 10 s from a time on, by another way than the cohort's beats; NaN where it has none."""
    if "num_hr_1hz" in recording.labels:
        values = np.asarray(recording.labels["num_hr_1hz"], np.float64)

        def monitor(begin_s: float) -> float:
            part = values[max(0, int(begin_s)) : max(0, int(begin_s + WINDOW_S))]
            part = part[np.isfinite(part) & (part > 0)]
            return float(np.median(part)) if len(part) else float("nan")

        return monitor
    ecg = recording.ecg
    found = detect_r_peaks(fill_gaps(ecg.samples), ecg.rate_hz) if ecg is not None else np.zeros(0)

    def detector(begin_s: float) -> float:
        rr = intervals(found, begin_s, begin_s + WINDOW_S)
        return 60.0 / float(rr.mean()) if len(rr) else float("nan")

    return detector


def wrists(context: int, root: Path | None = None, progress: Progress = silent) -> Judged:
    """Held-out wristband people, rate from the band's own intervals where they fill the window."""
    files = [f for f in sorted(((root or data_root()) / "stress_predict").glob("*.npz")) if role(f.stem) == "test"]
    recordings = [read_recording(f) for f in progress(files, "wrists")]
    cohort = cut([prepare(r, f.stem, "stress_predict") for r, f in zip(recordings, files, strict=True)])
    rate, rhythm = np.full(len(cohort), np.nan), np.full(len(cohort), "", "U9")
    for row, (at, start) in enumerate(zip(cohort.at, cohort.start_s, strict=True)):
        device = cohort.tracks[at].device
        if device is not None:
            rr = device.rr[(device.at > start) & (device.at <= start + WINDOW_S)]
            rate[row] = 60.0 / rr.mean() if rr.sum() > DEVICE_COVER * WINDOW_S else np.nan
        rhythm[row] = _movement(recordings[at].acc, start)
    felt = cohort.acceleration_windows(context)
    return Judged(cohort.student_windows(context), cohort.people, rate, rhythm, felt)


def _movement(acc: Channel | None, start_s: float) -> str:
    if acc is None:
        return ""
    first, count = int((start_s - acc.start_s) * acc.rate_hz), int(WINDOW_S * acc.rate_hz)
    part = acc.samples[max(0, first) : max(0, first + count)]
    if len(part) < 0.9 * count:
        return ""
    return "rest" if np.sqrt(np.sum(part.std(axis=0) ** 2)) < REST_G else "moving"


def half_of(judged: Judged, half: str) -> Judged:
    """The windows of one half of the people, see `in_half`."""
    if half == "all":
        return judged
    return judged.where(in_half(judged.person, half))


def by_rate(judged: Judged, given: Said) -> dict[str, dict]:
    """Bin of true rate -> bias and mean absolute error (beats/min) of what is shown and of all, windows, share shown."""
    found = {}
    for low, high in pairwise(RATE_BINS):
        inside = (judged.rate >= low) & (judged.rate < high)
        if inside.sum() >= FEWEST:
            found[f"{low}-{high}"] = rates(judged, given, inside)
    return found


def rates(judged: Judged, given: Said, rows: np.ndarray) -> dict:
    """Heart-rate figures of the rows (n,) bool whose true rate is known; None where nothing is shown."""
    known = rows & np.isfinite(judged.rate)
    error = given.rate - judged.rate
    shown = known & given.shown
    return {
        "windows": int(known.sum()),
        "people": len(np.unique(judged.person[known])),
        "shown": float(given.shown[known].mean()) if known.any() else None,
        "bias_shown": _mean(error[shown]),
        "mae_shown": _mean(np.abs(error[shown])),
        "bias_all": _mean(error[known]),
        "mae_all": _mean(np.abs(error[known])),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) >= FEWEST else None


def by_rhythm(judged: Judged, given: Said) -> dict[str, dict]:
    """Rhythm -> windows, share shown, share of the shown that is flagged irregular, heart-rate figures."""
    found = {}
    for name in sorted(set(judged.rhythm) - {""}):
        rows = judged.rhythm == name
        shown = rows & given.shown
        found[name] = {
            "of": int(rows.sum()),
            "shown_of_all": float(given.shown[rows].mean()),
            "flagged": _mean(given.irregular[shown].astype(float)),
            "flagged_of_all": _mean(given.irregular[rows].astype(float)),
            **rates(judged, given, rows),
        }
    return found


def risk_coverage(judged: Judged, answers: np.ndarray, rows: np.ndarray, shares=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)):
    """Share shown -> heart-rate MAE of what is shown, if the windows with the highest quality are."""
    known = np.flatnonzero(rows & np.isfinite(judged.rate))
    order = known[np.argsort(-answers[known, ANSWERS.index("quality")], kind="stable")]
    error = np.abs(said(answers).rate - judged.rate)
    return {str(s): float(error[order[: max(1, int(s * len(order)))]].mean()) for s in shares} if len(order) else {}


def judge(run: Callable[[Judged], np.ndarray], people: dict[str, Judged]) -> dict:
    """Every figure of one student.

    Args:
        run: windows to answers (n, 3).
        people: name -> windows, see `everybody`.
    """
    found: dict = {"by_rate": {}, "by_rhythm": {}, "all": {}, "risk_coverage": {}}
    parts = []
    for name, judged in people.items():
        answers = run(judged)
        given = said(answers)
        everything = np.ones(len(judged.x), bool)
        found["by_rate"][name] = by_rate(judged, given)
        found["by_rhythm"][name] = by_rhythm(judged, given)
        found["all"][name] = rates(judged, given, everything)
        found["risk_coverage"][name] = risk_coverage(judged, answers, everything)
        parts.append((judged, given))
    whole = Judged(*(np.concatenate([getattr(j, f) for j, _ in parts]) for f in ("x", "person", "rate", "rhythm")))
    given = Said(*(np.concatenate([getattr(g, f) for _, g in parts]) for f in ("rate", "shown", "irregular")))
    found["by_rate"]["everybody"] = by_rate(whole, given)
    return found


def everybody(
    context: int, half: str = "odd", root: Path | None = None, progress: Progress = silent
) -> dict[str, Judged]:
    """All three kinds of people, of each the half to choose on or to report on (see `half_of`)."""
    return {
        "patients": patients(context, half, root),
        "intensive care": half_of(intensive_care(context, root, progress), half),
        "wrists": half_of(wrists(context, root, progress), half),
    }


def text(found: dict[str, dict]) -> str:
    """Students side by side, Markdown: name -> what `judge` found."""
    names = list(found)
    first = found[names[0]]
    lines = ["| true rate | " + " | ".join(f"{n}: bias, MAE shown; MAE all; shown" for n in names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for kind, bins in first["by_rate"].items():
        for name in bins:
            rows = [found[n]["by_rate"][kind][name] for n in names]
            lines.append(f"| {kind} {name} ({rows[0]['windows']}) | " + " | ".join(_rate_cell(r) for r in rows) + " |")
    lines += ["", "| people | " + " | ".join(f"{n}: shown; of it flagged; MAE" for n in names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for kind, rhythms in first["by_rhythm"].items():
        for name, row in rhythms.items():
            cells = [_rhythm_cell(found[n]["by_rhythm"][kind][name]) for n in names]
            lines.append(f"| {kind} {name} ({row['of']}) | " + " | ".join(cells) + " |")
        cells = [_rate_cell(found[n]["all"][kind]) for n in names]
        lines.append(f"| {kind}, with a reference ({first['all'][kind]['windows']}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _rate_cell(r: dict) -> str:
    shown = _number(r["shown"], ".0%")
    return (
        f"{_number(r['bias_shown'], '+.1f')}, {_number(r['mae_shown'], '.1f')}; {_number(r['mae_all'], '.1f')}; {shown}"
    )


def _rhythm_cell(r: dict) -> str:
    return f"{r['shown_of_all']:.0%}; {_number(r['flagged'], '.0%')}; {_number(r['mae_shown'], '.2f')}"
