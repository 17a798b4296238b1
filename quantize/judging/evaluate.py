"""INT8 against float on people that neither was fitted to: cosine, and each answer's own score, paired per person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from onwrist.models.bench.probe import auroc, interval
from onwrist.models.bench.subsets import text
from onwrist.models.student.graph import NO_FRAMES, Framing, takes_acceleration
from onwrist.models.student.names import FRAMES_OUTPUT
from onwrist.models.student.network import AXES
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answer, Answers
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.quantize.teaching.examples import in_units, read_material
from onwrist.quantize.teaching.questions import SHIPPED_QUESTIONS, Questions, label_frames, label_windows
from onwrist.signals.front_end.student_input import USUAL, StudentInput
from onwrist.signals.people.cohort import Cohort, Progress, cut, data_root, load_tracks, shipped_tracks, silent
from onwrist.signals.people.material import Material
from onwrist.signals.people.split import in_half

BATCH = 256
COSINE_ROWS = 1 << 12
# Sets that are held out whole or in part from everything that ships.
EVALUATION_SETS = ("cinc2015_125hz", "bidmc")


@dataclass(frozen=True)
class Outputs:
    """What a student says of n windows: embedding (n, width) and answers (n, columns), as the head gives them; of one that
    answers at frame rate the frames (n, columns, frames), the newest last."""

    embedding: np.ndarray
    answers: np.ndarray
    frames: np.ndarray | None = None


@dataclass(frozen=True)
class Evaluation:
    """Windows of held-out people: student input (n, window), labels (n, columns) of answers, person (n,); of answers at frame
    rate the labels `frames` (n, columns, frames); acceleration of the same moments, int8 (n, 3, window), None where nobody wore
    an accelerometer.

    An answer is judged by rows: windows, or frames where it is said of those.
    """

    name: str
    x: np.ndarray
    labels: np.ndarray
    person: np.ndarray
    answers: Answers = SHIPPED_ANSWERS
    frames: np.ndarray | None = None
    acceleration: np.ndarray | None = None

    def fed(self, student: nn.Module | IntegerModel) -> list[np.ndarray]:
        """Its float input, as the function of this name gives it."""
        return fed(student, self.x, self.acceleration)

    def rows(self, answer: Answer) -> np.ndarray:
        """Labels (m, columns) of an answer's rows."""
        return self.labels if self.frames is None or answer.at == "hop" else _row_a_frame(self.frames)

    def whose(self, answer: Answer) -> np.ndarray:
        """Person (m,) of an answer's rows."""
        return np.repeat(self.person, len(self.rows(answer)) // max(1, len(self.person)))

    def said(self, outputs: Outputs, answer: Answer) -> np.ndarray:
        """What a student says in an answer's rows (m,), as `truth`."""
        z = outputs.answers
        if answer.at == "frames" and self.frames is not None and outputs.frames is not None:
            z = _row_a_frame(outputs.frames[..., outputs.frames.shape[-1] - self.frames.shape[-1] :])
        return said_of(answer, self.answers, z)

    def known(self, answer: Answer) -> np.ndarray:
        """(m,) bool, rows by which an answer is judged: a value only where the deciding answer is truly a yes (the watch
        shows no number elsewhere either), where that is known of any of them."""
        known = np.isfinite(self.rows(answer)[:, self.answers.column(answer.name)])
        if answer.at == "frames" or answer.kind != "value" or self.answers.gate is None:
            return known
        shown = self.labels[:, self.answers.gate]
        return known & (shown == 1.0) if np.isfinite(shown[known]).any() else known

    def truth(self, answer: Answer, rows: np.ndarray) -> np.ndarray:
        """Labels of an answer in some rows: in its unit, 1 or 0, or the class's place."""
        return said_of(answer, self.answers, self.rows(answer)[rows])


def _row_a_frame(z: np.ndarray) -> np.ndarray:
    """(n, columns, frames) to (n * frames, columns)."""
    return z.transpose(0, 2, 1).reshape(-1, z.shape[1])


def fed(student: nn.Module | IntegerModel, x: np.ndarray, acceleration: np.ndarray | None) -> list[np.ndarray]:
    """Float input of a student: light (n, window), and where it takes any, acceleration, given as int8 (n, 3, window); None is
    a wrist that is still, as it is where nobody wears a sensor."""
    if not takes_acceleration(student):
        return [x]
    still = np.zeros((len(x), AXES, x.shape[1]), np.int8)
    return [x, in_units(still if acceleration is None else acceleration)]


@torch.no_grad()
def run_torch(model: nn.Module, *inputs: np.ndarray) -> Outputs:
    """A float or fake-quantised student over (n, window), and (n, 3, window) of acceleration where it takes any."""
    model.eval()
    starts = range(0, len(inputs[0]), BATCH)
    parts = [model(*(torch.from_numpy(x[i : i + BATCH]) for x in inputs)) for i in starts]
    framed = _is_framed(model)
    return Outputs(*(np.concatenate([p[k].numpy() for p in parts]) for k in range(3 if framed else 2)))


def _is_framed(model: nn.Module | IntegerModel) -> bool:
    """Whether what it says third are answers at frame rate."""
    return any(o.name == FRAMES_OUTPUT for o in getattr(model, "outputs", ()))


def run_integers(model: IntegerModel, *inputs: np.ndarray) -> Outputs:
    """The integer model over (n, window), and (n, 3, window) of acceleration where it takes any, in real units."""
    starts = range(0, len(inputs[0]), BATCH)
    parts = [model.run(*(model.quantise_input(x[i : i + BATCH], k) for k, x in enumerate(inputs))) for i in starts]
    embedding, answers, *more = (np.concatenate([p[k] for p in parts]) for k in range(3 if _is_framed(model) else 2))
    return Outputs(
        embedding.astype(np.float32) * model.embedding_scale, answers.astype(np.float32) * model.answers_scale,
        more[0].swapaxes(1, 2).astype(np.float32) * model.answers_scale if more else None,
    )  # fmt: skip


def evaluation(
    context: int,
    root: Path | None = None,
    progress: Progress = silent,
    questions: Questions = SHIPPED_QUESTIONS,
    sees: StudentInput = USUAL,
    framing: Framing = NO_FRAMES,
) -> Evaluation:
    """Held-out people of the larger sets where they are, else of the shipped recordings (with ECG)."""
    base = root or data_root()
    if all((base / s).is_dir() for s in EVALUATION_SETS):
        tracks = [t for s in EVALUATION_SETS for t in load_tracks(s, base, progress, sees)]
        name = "held-out people of cinc2015 and bidmc"
    else:
        tracks, name = shipped_tracks(progress, sees), "shipped recordings"
    tracks = [t for t in tracks if t.role == "test" and t.beats is not None]
    return evaluation_of(cut(tracks), context, name, questions, framing)


def evaluation_of_material(
    material: Material,
    context: int,
    progress: Progress = silent,
    questions: Questions = SHIPPED_QUESTIONS,
    sees: StudentInput = USUAL,
    framing: Framing = NO_FRAMES,
) -> Evaluation:
    """The held-out people of somebody's own recordings; labels are NaN where nothing tells them."""
    tracks = [track for _, track in read_material(material, "test", progress, sees)]
    name = f"{len({t.person for t in tracks})} held-out people of the spec"
    return evaluation_of(cut(tracks), context, name, questions, framing)


def evaluation_of(
    cohort: Cohort,
    context: int,
    name: str,
    questions: Questions = SHIPPED_QUESTIONS,
    framing: Framing = NO_FRAMES,
) -> Evaluation:
    """A labelled cohort as an evaluation."""
    x, labels = cohort.student_windows(context), label_windows(cohort, questions)
    frames = label_frames(cohort, questions, framing) if framing.count else None
    worn = any(track.acceleration is not None for track in cohort.tracks)
    acceleration = cohort.acceleration_windows(context) if worn else None
    return Evaluation(name, x, labels, cohort.people, questions.answers, frames, acceleration)


def part_of(data: Evaluation, half: str, most: int | None = None) -> Evaluation:
    """One half of the people, see `signals.people.split.in_half`; of their windows at most `most`, taken evenly."""
    rows = np.flatnonzero(in_half(data.person, half))
    rows = rows[:: 1 if most is None else max(1, -(-len(rows) // most))]
    name = data.name if half == "all" else f"{data.name}, every other person ({half})"
    frames = None if data.frames is None else data.frames[rows]
    acceleration = None if data.acceleration is None else data.acceleration[rows]
    return replace(
        data, name=name, x=data.x[rows], labels=data.labels[rows], person=data.person[rows], frames=frames,
        acceleration=acceleration,
    )  # fmt: skip


def said_of(answer: Answer, answers: Answers, z: np.ndarray) -> np.ndarray:
    """An answer out of outputs or labels (n, columns): a value in its unit, a logit as the head gives it, a class's place."""
    part = z[:, answers.at(answer.name)]
    if answer.kind == "classes":
        return part.argmax(axis=1)
    return answer.in_units(part[:, 0]) if answer.kind == "value" else part[:, 0]


def macro_f1(truth: np.ndarray, said: np.ndarray) -> float:
    """Mean of the classes' F1 over the classes (n,) that there are."""
    each = [
        2 * np.sum((truth == k) & (said == k)) / max(1, np.sum(truth == k) + np.sum(said == k))
        for k in np.unique(truth)
    ]
    return float(np.mean(each)) if each else float("nan")


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row-wise cosine of (n, d), in float64; 1 where both rows are zero, 0 where one is."""
    found = np.empty(len(a))
    # In blocks: a day of embeddings is small in int8, and eight times that in float64.
    for i in range(0, len(a), COSINE_ROWS):
        rows = slice(i, i + COSINE_ROWS)
        found[rows] = _cosine(a[rows].astype(np.float64), b[rows].astype(np.float64))
    return found


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    return np.where(norm > 0, np.sum(a * b, axis=1) / np.where(norm > 0, norm, 1.0), both_zero.astype(float))


def compare(reference: Outputs, other: Outputs, data: Evaluation) -> dict:
    """INT8 (or any other) against a float reference.

    Returns:
        cosine: median and worst; and by answer: score of both and their difference with interval over people, paired. The
        score is a mean absolute error in the answer's unit, an AUROC, or a macro-F1.
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
    }
    for answer in data.answers:
        out[answer.name] = _compare_answer(answer, reference, other, data)
    return out


def _difference(metric: Callable, y: np.ndarray, b: np.ndarray, a: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda rows: metric(y[rows], b[rows]) - metric(y[rows], a[rows])


def _mean_error(truth: np.ndarray, said: np.ndarray) -> float:
    return float(np.mean(np.abs(said - truth))) if len(truth) else float("nan")


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "value": _mean_error, "yes/no": auroc, "classes": macro_f1,
}  # fmt: skip


def scores(said: Outputs, data: Evaluation) -> dict[str, float | None]:
    """Each answer's own score (`METRICS`); None where nothing tells."""
    found: dict[str, float | None] = {}
    for answer in data.answers:
        known = data.known(answer)
        truth = data.truth(answer, known)
        told = len(truth) > 0 and (answer.kind == "value" or len(np.unique(truth)) > 1)
        own = data.said(said, answer)[known]
        found[answer.name] = float(METRICS[answer.kind](truth, own)) if told else None
    return found


def _compare_answer(answer: Answer, reference: Outputs, other: Outputs, data: Evaluation) -> dict:
    known, metric = data.known(answer), METRICS[answer.kind]
    y = data.truth(answer, known)
    a, b = (data.said(o, answer)[known] for o in (reference, other))
    difference = interval(_difference(metric, y, b, a), data.whose(answer)[known])
    return {
        "reference": metric(y, a), "other": metric(y, b), "difference": difference,
        "windows" if answer.at == "hop" else "frames": int(known.sum()),
    }  # fmt: skip


def ptq_and_qat(found: dict[str, dict], answers: Answers = SHIPPED_ANSWERS) -> str:
    """PTQ and QAT side by side, Markdown."""
    score = {"yes/no": "AUROC", "classes": "macro-F1"}
    titles = [f"{a.name.replace('_', ' ')} {score.get(a.kind, f'MAE ({a.unit})')}" for a in answers]
    digits = [2 if a.kind == "value" else 4 for a in answers]
    first = next(iter(found.values()))
    lines = [
        f"| | cosine median | cosine worst | {' | '.join(titles)} |",
        "|---" * (3 + len(answers)) + "|",
        "| float | 1 | 1 | "
        + " | ".join(f"{first[a.name]['reference']:.{d}f}" for a, d in zip(answers, digits, strict=True))
        + " |",
    ]
    for name, c in found.items():
        cells = []
        for answer, d in zip(answers, digits, strict=True):
            found_difference = text(c[answer.name]["difference"], 4)
            cells.append(f"{c[answer.name]['other']:.{d}f} ({found_difference})")
        lines.append(
            f"| {name.upper()} | {c['cosine']['median']:.5f} | {c['cosine']['worst']:.5f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)
