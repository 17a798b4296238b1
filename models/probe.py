"""What does a frozen encoder know? Linear probes by person, compared pairwise with intervals.

    python models/probe.py                       # shipped teacher, random weights, hand-made features
    python models/probe.py --teacher mine.pth

Classes by logistic regression, values by ridge, hand-made pulse intervals by a random forest. The two ways of
splitting: `folds` (every person once in the test) where the encoder has seen nobody of the set, `held_out` (fitted on
training people, tested on people no shipped weight has seen) where it has.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from models.checkpoint import load_encoder
from models.xmae import Path as Encoder
from models.xmae import XMAEConfig
from signals.beats import upslopes
from signals.clean import TEACHER_RATE_HZ, WINDOW_S, clean_ppg, min_max
from signals.cohort import Cohort, Progress, cut, data_root, load_tracks, one_hertz, silent
from signals.errors import ConfigError
from signals.people import group_of, person_folds

# Regularisation of the notes' reference probe: the logistic's C, and its counterpart for ridge.
LOGISTIC_C, RIDGE_ALPHA = 0.01, 100.0
RESAMPLES = 500
INTERVAL = (2.5, 97.5)
RHYTHMS = ("SR", "PVC", "PAC", "VT", "SVT", "AF")
STRESS_SHARE = (0.0, 1.0)  # a window counts when all its seconds agree
ARRHYTHMIA_FOLDS = 7

Featurise = Callable[["Windows"], dict[str, np.ndarray]]


@dataclass
class Windows:
    """Windows of one set with everything that any encoder may want.

    Attributes:
        teacher: (n, 1000) min-max windows.
        student: (n, window) causal student input, or None.
        person: (n,) person ids; group: (n,) fold units.
        fit: (n,) bool, windows that a `held_out` probe is fitted on.
        labels: name -> (n,) float, NaN unknown.
    """

    teacher: np.ndarray
    person: np.ndarray
    group: np.ndarray
    fit: np.ndarray
    labels: dict[str, np.ndarray]
    student: np.ndarray | None = None


@dataclass(frozen=True)
class Task:
    """One question to an encoder."""

    name: str
    data: str
    label: str
    kind: str
    """auroc (binary), or value (mean absolute error and R2)."""
    split: str
    """folds or held_out."""
    folds: int = 5


TASKS = (
    *(Task(f"rhythm {r}", "ppg_arrhythmia", r, "auroc", "folds", ARRHYTHMIA_FOLDS) for r in RHYTHMS),
    Task("PVC against sinus", "ppg_arrhythmia", "pvc_sr", "auroc", "folds", ARRHYTHMIA_FOLDS),
    Task("ectopic against sinus", "ppg_arrhythmia", "ectopic_sr", "auroc", "folds", ARRHYTHMIA_FOLDS),
    Task("AF against sinus", "ppg_arrhythmia", "af_sr", "auroc", "folds", ARRHYTHMIA_FOLDS),
    Task("irregular pulse", "icu", "irregular", "auroc", "held_out"),
    Task("signal quality", "icu", "quality", "auroc", "held_out"),
    Task("heart rate (BPM)", "icu", "hr", "value", "held_out"),
    Task("RMSSD (log ms)", "icu", "log_rmssd", "value", "held_out"),
    Task("SDNN (log ms)", "icu", "log_sdnn", "value", "held_out"),
    Task("respiration (1/min)", "bidmc", "resp", "value", "folds"),
    Task("SpO2 (%)", "bidmc", "spo2", "value", "folds"),
    Task("stress", "stress_predict", "stress", "auroc", "folds"),
)


@dataclass
class Result:
    """Score of one encoder on one task.

    Attributes:
        score: AUROC, or R2.
        mae: mean absolute error of a value, in its unit.
        predicted, truth, person: per test window, for pairing.
    """

    task: str
    encoder: str
    score: float
    mae: float | None
    people: int
    windows: int
    predicted: np.ndarray = field(repr=False, default=None)
    truth: np.ndarray = field(repr=False, default=None)
    person: np.ndarray = field(repr=False, default=None)


# --- data ------------------------------------------------------------------------------------------


def load_windows(name: str, root: Path | None = None, context: int = 0, progress: Progress = silent) -> Windows:
    """Windows of 'ppg_arrhythmia', 'icu' (Challenge 2015 and BIDMC), 'bidmc' or 'stress_predict'.

    Args:
        context: student samples before the 10 s; 0 leaves the student input out.
    """
    if name == "ppg_arrhythmia":
        return _arrhythmia(root or data_root(), context)
    sets = {"icu": ("cinc2015_125hz", "bidmc")}.get(name, (name,))
    tracks = [t for s in sets for t in load_tracks(s, root, progress)]
    return windows_of(cut([t for t in tracks if t.role != "gap"]), context)


def windows_of(cohort: Cohort, context: int = 0) -> Windows:
    """A cohort as probe windows, with the file's 1 Hz labels beside the ECG's."""
    labels = dict(cohort.labels)
    labels["log_rmssd"] = np.log(np.maximum(labels["rmssd"], 4.0))
    labels["log_sdnn"] = np.log(np.maximum(labels["sdnn"], 4.0))
    for name, source in (("resp", "num_resp_1hz"), ("spo2", "num_spo2_1hz"), ("stress", "label_1hz")):
        labels[name] = np.full(len(cohort), np.nan, np.float32)
        for i, (at, start) in enumerate(zip(cohort.at, cohort.start_s, strict=True)):
            values = one_hertz(cohort.tracks[at], source, start, start + WINDOW_S)
            values = values[np.isfinite(values)]
            if name == "stress":
                values = values if len(values) and values.mean() in STRESS_SHARE else values[:0]
            elif len(values):
                values = values[values > 0]
            if len(values):
                labels[name][i] = np.median(values)
    records = cohort.records
    return Windows(
        cohort.teacher_windows(),
        cohort.people,
        np.array([group_of(r) for r in records]),
        cohort.roles == "train",
        labels,
        cohort.student_windows(context) if context else None,
    )


def _arrhythmia(root: Path, context: int) -> Windows:
    from signals.cohort import mirror_past
    from signals.frontend import STUDENT_RATE_HZ, condition

    files = sorted((root / "ppg_arrhythmia").glob("*.npz"))
    if not files:
        raise ConfigError("not there", where=root / "ppg_arrhythmia", cure="Set ONWRIST_DATA")
    waves, kinds, people = [], [], []
    for file in files:
        with np.load(file, allow_pickle=False) as data:
            waves.append(data["ppg"].astype(np.float32))
            kinds.append(data["labels"])
            people += [str(data["subject"])] * len(data["labels"])
    wave, kind = np.concatenate(waves), np.concatenate(kinds)
    cleaned = clean_ppg(wave, TEACHER_RATE_HZ)
    labels = {r: (kind == i).astype(np.float32) for i, r in enumerate(RHYTHMS)}
    for name, positive in (("pvc_sr", (1,)), ("ectopic_sr", (1, 2)), ("af_sr", (5,))):
        labels[name] = np.where(np.isin(kind, positive), 1.0, np.where(kind == 0, 0.0, np.nan))
    student = None
    if context:
        # An isolated 10 s has no past: it is mirrored, far enough for the front end to settle too.
        past = int((context / STUDENT_RATE_HZ + 8.0) * TEACHER_RATE_HZ)
        need = context + int(WINDOW_S * STUDENT_RATE_HZ)
        student = np.stack([condition(mirror_past(w, past), TEACHER_RATE_HZ)[-need:] for w in wave])
    person = np.array(people)
    return Windows(min_max(cleaned), person, person, np.zeros(len(wave), bool), labels, student)


# --- encoders --------------------------------------------------------------------------------------


@torch.no_grad()
def encode(
    encoder: Encoder, windows: np.ndarray, *, bf16: bool = False, batch: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of the 25 tokens, (n, 512), and the deployable embedding, (n, 256), in one pass."""
    tokens, embeddings = [], []
    for i in range(0, len(windows), batch):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            each = encoder.tokens(torch.from_numpy(windows[i : i + batch])).float()
        tokens.append(torch.cat([each.mean(1), each.std(1)], dim=1).numpy())
        embeddings.append(encoder.embed(each).numpy())
    return np.concatenate(tokens), np.concatenate(embeddings)


def interval_features(windows: np.ndarray) -> np.ndarray:
    """Ten hand-made features of each window's pulse intervals, (n, 10): the floor for any encoder.

    Rate, SDNN, RMSSD, their ratios to the mean, shortest and longest relative to the median, quartile range,
    lag-1 correlation of differences, and spread of pulse heights.
    """
    out = np.zeros((len(windows), 10), np.float32)
    for i, wave in enumerate(windows):
        at = upslopes(wave, TEACHER_RATE_HZ)
        ii = np.diff(at)
        if len(ii) < 3:
            continue
        mean, d = ii.mean(), np.diff(ii)
        rmssd = np.sqrt(np.mean(d**2))
        turn = float(np.sum(d[1:] * d[:-1]) / (np.sum(d**2) + 1e-9)) if len(d) > 1 else 0.0
        index = (at * TEACHER_RATE_HZ).astype(int)
        heights = np.array([wave[a : a + 40].max() - wave[max(0, a - 20) : a + 1].min() for a in index])
        median = np.median(ii)
        out[i] = (
            60 / mean, ii.std(), rmssd, ii.std() / mean, rmssd / mean, ii.min() / median, ii.max() / median,
            np.subtract(*np.percentile(ii, (75, 25))), turn, heights.std() / (heights.mean() + 1e-9),
        )  # fmt: skip
    return out


def random_encoder(seed: int = 0) -> Encoder:
    """The same network with the weights that it is born with: a strong baseline."""
    torch.manual_seed(seed)
    c = XMAEConfig()
    return Encoder(c, c.ppg_depth).eval()


# --- probes ----------------------------------------------------------------------------------------


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve by ranks, ties shared; NaN with one class."""
    from scipy.stats import rankdata

    truth = np.asarray(truth) > 0.5
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def r2(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Coefficient of determination."""
    return float(1 - np.sum((truth - predicted) ** 2) / (np.sum((truth - truth.mean()) ** 2) + 1e-12))


def score(kind: str, truth: np.ndarray, predicted: np.ndarray) -> float:
    """AUROC of a class, R2 of a value."""
    return auroc(truth, predicted) if kind == "auroc" else r2(truth, predicted)


def fit_predict(kind: str, x: np.ndarray, y: np.ndarray, test: np.ndarray, *, forest: bool = False) -> np.ndarray:
    """Fit on (x, y), predict `test`: logistic / ridge on standardised features, or a forest on hand-made ones."""
    if forest:
        make = RandomForestClassifier if kind == "auroc" else RandomForestRegressor
        model = make(200, min_samples_leaf=5, random_state=0, n_jobs=2).fit(x, y)
        return model.predict_proba(test)[:, 1] if kind == "auroc" else model.predict(test)
    scaler = StandardScaler().fit(x)
    if kind == "auroc":
        model = LogisticRegression(C=LOGISTIC_C, max_iter=300).fit(scaler.transform(x), y)
        return model.decision_function(scaler.transform(test))
    return Ridge(alpha=RIDGE_ALPHA).fit(scaler.transform(x), y).predict(scaler.transform(test))


def probe(task: Task, windows: Windows, features: np.ndarray, encoder: str, *, forest: bool = False) -> Result:
    """Run one task on one encoder's features (n, d)."""
    y = windows.labels[task.label]
    known = np.isfinite(y)
    predicted = np.full(len(y), np.nan)
    if task.split == "folds":
        index = np.flatnonzero(known)
        for fold in person_folds(windows.group[index], task.folds):
            test = index[fold]
            rest = np.setdiff1d(index, test)
            if len(np.unique(y[rest])) > 1:
                predicted[test] = fit_predict(task.kind, features[rest], y[rest], features[test], forest=forest)
    else:
        train, test = known & windows.fit, known & ~windows.fit
        predicted[test] = fit_predict(task.kind, features[train], y[train], features[test], forest=forest)
    done = np.isfinite(predicted)
    truth, predicted, person = y[done], predicted[done], windows.person[done]
    mae = float(np.mean(np.abs(truth - predicted))) if task.kind == "value" else None
    return Result(
        task.name,
        encoder,
        score(task.kind, truth, predicted),
        mae,
        len(np.unique(person)),
        len(truth),
        predicted,
        truth,
        person,
    )


def paired(
    kind: str, truth: np.ndarray, a: np.ndarray, b: np.ndarray, person: np.ndarray, seed: int = 0
) -> tuple[float, float, float]:
    """Difference of scores a - b with its 95 % interval, by resampling people (paired bootstrap).

    Returns:
        (difference, low, high).
    """
    return interval(lambda rows: score(kind, truth[rows], a[rows]) - score(kind, truth[rows], b[rows]), person, seed)


def interval(statistic: Callable[[np.ndarray], float], person: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """A statistic of window indices, with the 95 % interval over resampled people: (value, low, high)."""
    rng = np.random.default_rng(seed)
    names, inverse = np.unique(person, return_inverse=True)
    rows_of = [np.flatnonzero(inverse == i) for i in range(len(names))]
    values = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(names), len(names))
        values.append(statistic(np.concatenate([rows_of[i] for i in drawn])))
    low, high = np.nanpercentile(values, INTERVAL)
    return float(statistic(np.arange(len(person)))), float(low), float(high)


@dataclass(frozen=True)
class ProbeConfig:
    """Probing of a teacher against random weights and hand-made features."""

    teacher: Path | None = None
    """Checkpoint (default: the shipped teacher)."""
    out: Path = Path("runs/probe.json")
    """Where the results are written."""
    only: tuple[str, ...] = ()
    """Names of sets to probe (default: all): ppg_arrhythmia, icu, bidmc, stress_predict."""
    bf16: bool = True
    """bfloat16 features: twice as fast where the CPU has AVX512-BF16."""
    data: Path | None = None
    """Folder of the sets (default: $ONWRIST_DATA, then ../shared/data)."""


def run_probes(
    featurise: Featurise,
    only: tuple[str, ...] = (),
    *,
    root: Path | None = None,
    context: int = 0,
    skill: bool = False,
    progress: Progress = silent,
) -> list[dict]:
    """Every task on every encoder; each row has the paired difference to the first encoder with its interval.

    Args:
        featurise: windows -> encoder name -> features (n, d); a name that starts with "hand-made" gets a forest.
        only: sets to probe; empty for all.
        context: student samples before the 10 s; 0 if no encoder needs them.
        skill: also the share of the first encoder's skill that each keeps.
    """
    rows = []
    for name in dict.fromkeys(t.data for t in TASKS if not only or t.data in only):
        windows = load_windows(name, root, context, progress)
        features = featurise(windows)
        for task in progress([t for t in TASKS if t.data == name], f"probe {name}"):
            results = [probe(task, windows, f, e, forest=e.startswith("hand-made")) for e, f in features.items()]
            rows += [_row(task, result, results[0], skill) for result in results]
    return rows


def _row(task: Task, result: Result, first: Result, skill: bool) -> dict:
    row = {
        "task": task.name, "data": task.data, "kind": task.kind, "encoder": result.encoder, "score": result.score,
        "mae": result.mae, "people": result.people, "windows": result.windows,
    }  # fmt: skip
    if result is not first:
        row["first_minus_this"] = paired(task.kind, result.truth, first.predicted, result.predicted, result.person)
        if skill:
            row["skill_kept"] = interval(partial(_skill_kept, task.kind, result, first), result.person)
    return row


def _skill_kept(kind: str, result: Result, first: Result, rows: np.ndarray) -> float:
    """(AUROC - 0.5) or R2 of one encoder over another's, on some windows."""
    chance = 0.5 if kind == "auroc" else 0.0
    own, other = (score(kind, result.truth[rows], r.predicted[rows]) - chance for r in (result, first))
    return own / other if other > 0 else float("nan")


def main(config: ProbeConfig) -> None:
    """Probe the frozen teacher, paired against random weights and hand-made features."""
    from signals.cli import bar, say

    encoder, untrained = load_encoder(config.teacher), random_encoder()

    def featurise(windows: Windows) -> dict[str, np.ndarray]:
        tokens, embedding = encode(encoder, windows.teacher, bf16=config.bf16)
        return {
            "teacher tokens": tokens,
            "teacher embedding": embedding,
            "random weights": encode(untrained, windows.teacher, bf16=config.bf16)[0],
            "hand-made intervals": interval_features(windows.teacher),
        }

    rows = run_probes(featurise, config.only, root=config.data, progress=bar)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(json.dumps(rows, indent=1))
    print(table(rows))
    say(f"results: {config.out}")


def difference(row: dict) -> str:
    """Paired difference of a result for a table, empty for the first encoder."""
    if "first_minus_this" not in row:
        return ""
    d, low, high = row["first_minus_this"]
    return f" ({d:+.3f} [{low:+.3f}, {high:+.3f}])"


def table(rows: list[dict], remark: Callable[[dict], str] = difference) -> str:
    """Results as a Markdown table: one line a task, one column an encoder, the remark after each score."""
    encoders = list(dict.fromkeys(r["encoder"] for r in rows))
    lines = ["| task | people | " + " | ".join(encoders) + " |", "|---|---|" + "---|" * len(encoders)]
    for task in dict.fromkeys(r["task"] for r in rows):
        cells, people = [], 0
        for encoder in encoders:
            row = next(r for r in rows if r["task"] == task and r["encoder"] == encoder)
            people = row["people"]
            error = f", MAE {row['mae']:.2f}" if row["mae"] is not None else ""
            cells.append(f"{row['score']:.3f}{error}{remark(row)}")
        lines.append(f"| {task} | {people} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    from signals.cli import run

    run(main, ProbeConfig)
