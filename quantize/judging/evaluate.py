"""INT8 against float on people that neither was fitted to: cosine, AUROC and heart-rate error, paired per person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from onwrist.models.bench.probe import auroc, interval
from onwrist.models.student.network import HEART_RATE_CENTRE, HEART_RATE_SPAN
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.quantize.teaching.examples import answer_labels, read_material
from onwrist.signals.people.cohort import Cohort, Progress, cut, data_root, load_tracks, shipped_tracks, silent
from onwrist.signals.people.material import Material

BATCH = 256
# Sets that are held out whole or in part from everything that ships.
EVALUATION_SETS = ("cinc2015_125hz", "bidmc")


@dataclass(frozen=True)
class Outputs:
    """What a student says of n windows: embedding (n, 256) and answers (n, 3), in real units."""

    embedding: np.ndarray
    answers: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """Windows of held-out people: student input, labels (heart rate standardised, quality, irregular), person."""

    name: str
    x: np.ndarray
    labels: np.ndarray
    person: np.ndarray


@torch.no_grad()
def run_torch(model: nn.Module, x: np.ndarray) -> Outputs:
    """A float or fake-quantised student over (n, window)."""
    model.eval()
    parts = [model(torch.from_numpy(x[i : i + BATCH])) for i in range(0, len(x), BATCH)]
    return Outputs(*(np.concatenate([p[k].numpy() for p in parts]) for k in (0, 1)))


def run_integers(model: IntegerModel, x: np.ndarray) -> Outputs:
    """The integer model over (n, window), in real units."""
    parts = [model.run(model.quantise_input(x[i : i + BATCH])) for i in range(0, len(x), BATCH)]
    embedding, answers = (np.concatenate([p[k] for p in parts]) for k in (0, 1))
    return Outputs(
        embedding.astype(np.float32) * model.embedding_scale, answers.astype(np.float32) * model.answers_scale
    )


def evaluation(context: int, root: Path | None = None, progress: Progress = silent) -> Evaluation:
    """Held-out people of the larger sets where they are, else of the shipped recordings (with ECG)."""
    base = root or data_root()
    if all((base / s).is_dir() for s in EVALUATION_SETS):
        tracks = [t for s in EVALUATION_SETS for t in load_tracks(s, base, progress)]
        name = "held-out people of cinc2015 and bidmc"
    else:
        tracks, name = shipped_tracks(progress), "shipped recordings"
    tracks = [t for t in tracks if t.role == "test" and t.beats is not None]
    return evaluation_of(cut(tracks), context, name)


def evaluation_of_material(material: Material, context: int, progress: Progress = silent) -> Evaluation:
    """The held-out people of somebody's own recordings; labels are NaN where there is no ECG."""
    tracks = [track for _, track in read_material(material, "test", progress)]
    return evaluation_of(cut(tracks), context, f"{len({t.person for t in tracks})} held-out people of the spec")


def evaluation_of(cohort: Cohort, context: int, name: str) -> Evaluation:
    """A labelled cohort as an evaluation."""
    return Evaluation(name, cohort.student_windows(context), answer_labels(cohort), cohort.people)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row-wise cosine of (n, d), in float64; 1 where both rows are zero, 0 where one is."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    return np.where(norm > 0, np.sum(a * b, axis=1) / np.where(norm > 0, norm, 1.0), both_zero.astype(float))


def compare(reference: Outputs, other: Outputs, data: Evaluation) -> dict:
    """INT8 (or any other) against a float reference.

    Returns:
        cosine: median and worst; heart_rate: MAE of both (BPM) and their difference with interval; quality and
        irregular: AUROC of both and difference with interval (people resampled, paired).
    """
    similarity = cosine(reference.embedding, other.embedding)
    out: dict = {
        "data": data.name,
        "people": len(np.unique(data.person)),
        "windows": len(data.x),
        "cosine": {
            "median": float(np.median(similarity)),
            "worst": float(similarity.min()),
            "below_0.99": int(np.sum(similarity < 0.99)),
        },
        "heart_rate": _heart_rate(reference, other, data),
    }
    for column, name in ((1, "quality"), (2, "irregular")):
        known = np.isfinite(data.labels[:, column])
        y, a, b = data.labels[known, column], reference.answers[known, column], other.answers[known, column]
        difference = interval(_difference(auroc, y, b, a), data.person[known])
        out[name] = {
            "reference": auroc(y, a),
            "other": auroc(y, b),
            "difference": difference,
            "windows": int(known.sum()),
        }
    return out


def _difference(metric: Callable, y: np.ndarray, b: np.ndarray, a: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda rows: metric(y[rows], b[rows]) - metric(y[rows], a[rows])


def _heart_rate(reference: Outputs, other: Outputs, data: Evaluation) -> dict:
    # Only where the ECG says that there is a pulse to count: the watch shows no number elsewhere either.
    known = np.isfinite(data.labels[:, 0]) & (data.labels[:, 1] == 1.0)
    truth = HEART_RATE_CENTRE + HEART_RATE_SPAN * data.labels[known, 0]
    errors = [np.abs(HEART_RATE_CENTRE + HEART_RATE_SPAN * o.answers[known, 0] - truth) for o in (reference, other)]
    difference = interval(lambda rows: float(np.mean(errors[1][rows] - errors[0][rows])), data.person[known])
    return {
        "reference": float(errors[0].mean()), "other": float(errors[1].mean()),
        "difference": difference, "windows": int(known.sum()),
    }  # fmt: skip


def ptq_and_qat(found: dict[str, dict]) -> str:
    """PTQ and QAT side by side, Markdown."""
    lines = [
        "| | cosine median | cosine worst | heart rate MAE (BPM) | quality AUROC | irregular AUROC |",
        "|---|---|---|---|---|---|",
    ]
    first = next(iter(found.values()))
    lines.append(
        f"| float | 1 | 1 | {first['heart_rate']['reference']:.2f} | {first['quality']['reference']:.4f} "
        f"| {first['irregular']['reference']:.4f} |"
    )
    for name, c in found.items():
        cells = []
        for key, digits in (("heart_rate", 2), ("quality", 4), ("irregular", 4)):
            d, low, high = c[key]["difference"]
            cells.append(f"{c[key]['other']:.{digits}f} ({d:+.4f} [{low:+.4f}, {high:+.4f}])")
        lines.append(
            f"| {name.upper()} | {c['cosine']['median']:.5f} | {c['cosine']['worst']:.5f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)
