"""What does a frozen encoder know? Linear probes by person, compared pairwise with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from onwrist.models.bench import subsets
from onwrist.models.bench.tasks import TASKS, Task, Windows, load_windows
from onwrist.models.encoders.xmae import Path as Encoder
from onwrist.models.encoders.xmae import XMAEConfig
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.people.split import person_folds
from onwrist.signals.pulse.beats import upslopes
from onwrist.signals.pulse.clean import TEACHER_RATE_HZ

# Regularisation of the notes' reference probe: the logistic's C, and its counterpart for ridge.
LOGISTIC_C, RIDGE_ALPHA = 0.01, 100.0

Featurise = Callable[[Windows], dict[str, np.ndarray]]


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
    predicted: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0))
    truth: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0))
    person: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0))


@torch.no_grad()
def encode(
    encoder: nn.Module, windows: np.ndarray, *, bf16: bool = False, batch: int = 256, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """What probes read, (n, k), and the deployable embedding, (n, d), in one pass.

    Probes read mean and spread of the tokens, k = 512 for 256-wide tokens, of an encoder that has `tokens` and `embed`
    (xMAE, ViT-1D), because a mean alone hides rhythm; of any other encoder they read the embedding.
    """
    features, embeddings = [], []
    if next(encoder.parameters(), None) is None:
        device = "cpu"  # an ONNX file: its runtime computes where it computes
    encoder.to(device)
    for i in range(0, len(windows), batch):
        wave = torch.from_numpy(windows[i : i + batch]).to(device)
        with torch.autocast(device, torch.bfloat16, enabled=bf16), sdpa_kernel(SDPBackend.MATH):
            if hasattr(encoder, "tokens") and hasattr(encoder, "embed"):
                each = encoder.tokens(wave).float()
                features.append(torch.cat([each.mean(1), each.std(1)], dim=1).cpu().numpy())
                embeddings.append(encoder.embed(each).float().cpu().numpy())
            else:
                embeddings.append(encoder(wave).float().cpu().numpy())
    encoder.to("cpu")
    embedding = np.concatenate(embeddings)
    return (np.concatenate(features) if features else embedding), embedding


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


def fold_rows(task: Task, windows: Windows) -> list[np.ndarray]:
    """Indices of the labelled test windows, by person fold."""
    held_out = task.split == "held_out"
    known = np.isfinite(windows.labels[task.label])
    index = np.flatnonzero(known & ~windows.fit if held_out else known)
    # Nothing is fitted between held-out folds, so that neighbours need not share one.
    unit = windows.person if held_out else windows.group
    return [index[fold] for fold in person_folds(unit[index], task.folds)]


def predict(
    task: Task, windows: Windows, features: np.ndarray, *, forest: bool = False, fit: np.ndarray | None = None
) -> np.ndarray:
    """Predictions (n,) for every labelled test window from a probe that has not seen its person; NaN elsewhere.

    Args:
        features: (n, k) of one encoder.
        forest: a random forest in place of the linear probe, for hand-made features.
        fit: (n,) windows that may be fitted on, to try fewer people; None for all.
    """
    y = windows.labels[task.label]
    may = np.isfinite(y) if fit is None else np.isfinite(y) & fit
    predicted = np.full(len(y), np.nan)
    folds = fold_rows(task, windows)
    for test in [np.concatenate(folds)] if task.split == "held_out" else folds:
        train = may & windows.fit if task.split == "held_out" else may.copy()
        train[test] = False
        if len(np.unique(y[train])) > 1:
            predicted[test] = fit_predict(task.kind, features[train], y[train], features[test], forest=forest)
    return predicted


def probe(task: Task, windows: Windows, features: np.ndarray, encoder: str, *, forest: bool = False) -> Result:
    """Run one task on one encoder's features (n, k); all folds scored together."""
    predicted = predict(task, windows, features, forest=forest)
    done = np.isfinite(predicted)
    truth, predicted, person = windows.labels[task.label][done], predicted[done], windows.person[done]
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
    kind: str, truth: np.ndarray, a: np.ndarray, b: np.ndarray, person: np.ndarray
) -> tuple[float, float, float]:
    """Difference of scores a - b with its 95 % interval over people, see `interval`."""
    if (
        kind == "auroc"
        and min(len(np.unique(person[truth > 0.5])), len(np.unique(person[truth <= 0.5]))) < subsets.FEWEST
    ):
        # A handful of people with a positive is a handful of people, however many have none.
        same = np.array_equal(a, b)
        return score(kind, truth, a) - score(kind, truth, b), *((0.0, 0.0) if same else (float("nan"), float("nan")))
    return interval(lambda rows: score(kind, truth[rows], a[rows]) - score(kind, truth[rows], b[rows]), person)


def interval(statistic: Callable[[np.ndarray], float], person: np.ndarray) -> tuple[float, float, float]:
    """A statistic of window indices, with a 95 % interval over people that keeps its level for few of them.

    Each person's part is his jackknife value: how the statistic changes when he is left out (`models.bench.subsets`).

    Returns:
        (value, low, high); low and high are NaN where there are too few people to say.
    """
    rows, names = np.arange(len(person)), np.unique(person)
    value = float(statistic(rows)) if len(rows) else float("nan")
    if len(names) < subsets.FEWEST:
        return value, float("nan"), float("nan")
    without = np.array([statistic(rows[person != name]) for name in names])
    # A statistic that one person carries alone is not one of many people.
    part = value + (len(names) - 1) * (value - without)
    return (value, *subsets.interval(part / len(names)).plain[1:])


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


def difference(row: dict) -> str:
    """Paired difference of a result for a table, empty for the first encoder."""
    if "first_minus_this" not in row:
        return ""
    return f" ({subsets.text(row['first_minus_this'])})"


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
