"""How a student is taught: it imitates the teacher's embedding and learns its answers from the ECG's labels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.models.student.graph import graph_of, takes_acceleration
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT, FRAMES_OUTPUT
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.quantize.teaching.examples import Examples, in_units
from onwrist.quantize.teaching.questions import SHIPPED_QUESTIONS, Question, Questions

# Of a value's span, from which on its error counts as it is and not squared: 1.5 BPM of a heart rate.
VALUE_BETA = 0.03
# What is shown has to be right: a window whose rate the student misses by more than WRONG_BPM is not good however clean
# its pulse, and one of doubtful quality (steps beside the pulse) is good if it is within RIGHT_BPM.
RIGHT_BPM, WRONG_BPM = 4.0, 8.0
# What only the training asks: variability from the embedding, beats from the features of each frame.
DETAIL_WEIGHT, BEATS_WEIGHT = 0.1, 0.3
# A beat on a grid of 25 Hz is one sample in twenty.
BEAT_ODDS = 6.0
# Share of windows whose past is mirrored, as it is for isolated windows of data sets (see `mirror_past`): without it the
# heart rate of such windows is 2 BPM too high.
ISOLATED_SHARE = 0.3
RATE_BIN_BPM, RARE = 20.0, 100


class Keeps(Protocol):
    """Keeps a training against a kill."""

    def begin(self) -> int:
        """The step to go on from; parts are then as they were."""
        ...

    def after(self, step: int, losses: dict[str, float]) -> None:
        """A step was done."""
        ...

    def end(self) -> None:
        """All were."""
        ...


class Detail(nn.Module):
    """Questions about single beats, for training only: thrown away with the optimiser.

    Args:
        student: that is asked. Where its pool does not read the frames of its window, it is not asked for beats.
    """

    def __init__(self, student: nn.Module):
        super().__init__()
        graph = graph_of(student)
        width = {o.name: graph.channels_of(o.place) for o in graph.outputs}
        self.variability = nn.Linear(width[EMBEDDING_OUTPUT], 2)
        edge = graph.pooled
        samples = 0 if edge is None else graph.timing.period[edge.source]
        self.beats = None
        if edge is not None and samples * edge.frames == graph.sees.samples:
            self.beats = nn.Conv1d(graph.channels_of(edge.source), int(samples), 1)

    def forward(self, frames: Tensor | None, embedding: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (B, channels, frames) and embedding (B, 256) to log variability (B, 2), beat logits (B, samples)."""
        if self.beats is None or frames is None:
            return self.variability(embedding), None
        return self.variability(embedding), self.beats(frames).transpose(1, 2).flatten(1)

    def loss(self, frames: Tensor | None, embedding: Tensor, detail: Tensor, beats: Tensor) -> Tensor:
        """Weighted loss against `Examples.detail` (B, 2) and `Examples.beats` (B, samples)."""
        variability, logits = self(frames, embedding)
        known = torch.isfinite(detail)
        error = F.smooth_l1_loss(variability, torch.where(known, detail, variability.detach()), beta=0.2)
        if logits is None:
            return DETAIL_WEIGHT * error
        asked = (beats >= 0).float()
        odds = torch.tensor(BEAT_ODDS, device=logits.device)
        each = F.binary_cross_entropy_with_logits(logits, beats.clamp(min=0).float(), reduction="none", pos_weight=odds)
        return DETAIL_WEIGHT * error + BEATS_WEIGHT * (each * asked).sum() / asked.sum().clamp(min=1)


def right_or_wrong(predicted: Tensor, labels: Tensor, questions: Questions = SHIPPED_QUESTIONS) -> Tensor:
    """(B, columns) labels whose quality knows what the student says of the rate: see `WRONG_BPM`; NaN labels say nothing.

    As they are where quality or rate is no answer.
    """
    rate, quality = questions.answers.rate, questions.quality
    if rate is None or quality is None:
        return labels
    column = questions.answers.column(rate.name)
    miss = rate.span * (predicted[:, column].detach() - labels[:, column]).abs()
    good = labels[:, quality]
    good = torch.where(torch.isnan(good) & (miss < RIGHT_BPM), 1.0, good)
    good = torch.where(miss > WRONG_BPM, 0.0, good)
    labels = labels.clone()
    labels[:, quality] = good
    return labels


def answer_loss(predicted: Tensor, labels: Tensor, weight: Tensor, questions: Questions = SHIPPED_QUESTIONS) -> Tensor:
    """Values by smooth L1 and `weight` (B,), yes or no and classes by cross-entropy, each with its own weight; (B, columns)
    both, NaN left out. Of the answers that are said once a hop."""
    labels = right_or_wrong(predicted, labels, questions)
    return _loss_of([q for q in questions.each if q.answer.at == "hop"], predicted, labels, weight, questions)


def frames_loss(predicted: Tensor, labels: Tensor, weight: Tensor, questions: Questions) -> Tensor:
    """As `answer_loss`, of the answers at frame rate: predicted (B, columns, n), whose newest frames labels (B, columns, frames)
    speak of; every frame counts alike."""
    frames = labels.shape[-1]
    said, label = (x.transpose(1, 2).flatten(0, 1) for x in (predicted[..., predicted.shape[-1] - frames :], labels))
    asked = [q for q in questions.each if q.answer.at == "frames"]
    return _loss_of(asked, said, label, weight.repeat_interleave(frames), questions)


def _loss_of(asked: list[Question], predicted: Tensor, labels: Tensor, weight: Tensor, questions: Questions) -> Tensor:
    if not asked:
        return predicted.new_zeros(())
    losses, known = [], []
    for question in asked:
        answer, at = question.answer, questions.answers.at(question.answer.name)
        said, label = predicted[:, at], labels[:, at]
        there = torch.isfinite(label)
        safe = torch.where(there, label, torch.zeros_like(label))
        if answer.kind == "value":
            each = weight[:, None] * F.smooth_l1_loss(said, safe, reduction="none", beta=VALUE_BETA)
        elif answer.kind == "yes/no":
            each = F.binary_cross_entropy_with_logits(answer.span * said, safe, reduction="none")
        else:
            each, there = F.cross_entropy(answer.span * said, safe, reduction="none")[:, None], there[:, :1]
        losses.append(question.share * each)
        known.append(there)
    counted = torch.cat(known, dim=1)
    return ((torch.cat(losses, dim=1) * counted).sum(0) / counted.sum(0).clamp(min=1)).sum()


def draw_weights(labels: np.ndarray, answers: Answers = SHIPPED_ANSWERS) -> np.ndarray:
    """(n,) chance of each example: its rate's bin (20 BPM) to the power -1/2, so that rare rates are seen often and
    usual ones most; examples without a rate count like the median one, and all alike where no answer is a rate."""
    bpm = answers.rates(labels)
    known = np.isfinite(bpm)
    bins = np.floor(np.where(known, bpm, 0.0) / RATE_BIN_BPM).astype(int)
    bins = np.clip(bins, 0, 15)
    count = np.bincount(bins[known], minlength=16)
    chance = np.where(known, 1.0 / np.sqrt(np.maximum(count[bins], RARE)), 0.0)
    chance[~known] = np.median(chance[known]) if known.any() else 1.0
    return chance / chance.sum()


def isolate(inputs: Sequence[Tensor], context: int, rng: np.random.Generator) -> list[Tensor]:
    """Windows (B, .., context + n) of each input with the past of some of them mirrored, of all inputs alike; copies."""
    alone = torch.from_numpy(rng.random(len(inputs[0])) < ISOLATED_SHARE)
    found = []
    for x in inputs:
        mirrored = torch.cat([x[..., context + 1 : 2 * context + 1].flip(-1), x[..., context:]], dim=-1)
        found.append(torch.where(alone.view(-1, *[1] * (x.dim() - 1)), mirrored, x))
    return found


def imitation_loss(embedding: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Half squared error plus cosine distance to the teacher; (B, 256) both, (B,) weight."""
    error = 0.5 * ((embedding - target) ** 2).mean(1) + (1 - F.cosine_similarity(embedding, target, dim=1))
    return (error * weight).sum() / weight.sum().clamp(min=1)


def train(
    model: nn.Module,
    examples: Examples,
    *,
    steps: int,
    batch: int,
    lr: float,
    weight_decay: float,
    seed: int,
    bf16: bool,
    warmup: float = 0.05,
    questions: Questions = SHIPPED_QUESTIONS,
    detail: Detail | None = None,
    keeper: Callable[[dict, dict], Keeps] | None = None,
    device: str = "cpu",
) -> Iterator[dict[str, float]]:
    """Fit a student to examples, in place; yields the losses of each step.

    Args:
        questions: what the labels answer.
        detail: the training's own questions, for whoever keeps them; fitted in place too (default: a new one).
        keeper: from what makes this training itself, and the parts of its state, to what keeps them (`course.Keeper`).
        device: where it is computed; the student comes back to the CPU.
    """
    x, target, labels, weight, known_detail, beats, every = (
        torch.from_numpy(a)
        for a in (
            examples.x, examples.embedding, examples.labels, examples.weight, examples.detail, examples.beats, examples.frames,
        )
    )  # fmt: skip
    acceleration = torch.from_numpy(examples.acceleration)
    chance = np.cumsum(draw_weights(examples.labels, questions.answers))
    detail = (detail or Detail(model)).to(device)
    graph = graph_of(model)
    if takes_acceleration(graph):
        examples.check_acceleration()
    model.to(device)
    parameters = [p for p in [*model.parameters(), *detail.parameters()] if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    model.train()
    kept = keeper and keeper(
        {"steps": steps, "batch": batch, "lr": lr, "weight_decay": weight_decay, "seed": seed, "warmup": warmup,
         "examples": fingerprint(examples)},
        {"model": model, "detail": detail, "optimiser": optimiser},
    )  # fmt: skip
    for step in range(kept.begin() if kept else 0, steps):
        rng = np.random.default_rng([seed, step])
        drawn = np.searchsorted(chance, rng.random(batch) * chance[-1])
        rows = torch.from_numpy(np.minimum(drawn, len(x) - 1))
        warm = max(1, int(warmup * steps))
        share = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
        for group in optimiser.param_groups:
            group["lr"] = lr * share
        inputs = [x[rows]]
        if takes_acceleration(graph):
            inputs.append(torch.from_numpy(in_units(acceleration[rows].numpy())))
        windows = [part.to(device) for part in isolate(inputs, graph.context, rng)]
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            said, frames = graph.said_with_frames(*windows)
        embedding, answers = said[EMBEDDING_OUTPUT].float(), said[ANSWERS_OUTPUT].float()
        wanted, asked, counted, known, pulses = (
            a[rows].to(device) for a in (target, labels, weight, known_detail, beats)
        )
        imitation = imitation_loss(embedding, wanted.float(), counted)
        answer = answer_loss(answers, asked, counted, questions)
        if FRAMES_OUTPUT in said:
            answer = answer + frames_loss(said[FRAMES_OUTPUT].float(), every[rows].to(device), counted, questions)
        single = detail.loss(frames if frames is None else frames.float(), embedding, known, pulses)
        optimiser.zero_grad(set_to_none=True)
        (imitation + answer + single).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        losses = {"imitation": imitation, "answers": answer, "detail": single}
        row = {name: float(value.detach()) for name, value in losses.items()}
        if kept:
            kept.after(step, row)
        yield row
    if kept:
        kept.end()
    model.to("cpu").eval()


def fingerprint(examples: Examples) -> str:
    """What examples these are: enough that others would not be taken for them."""
    sha = hashlib.sha256(repr(examples.x.shape).encode())
    for part in (
        examples.x[:: max(1, len(examples) // 64)], examples.embedding, examples.labels, examples.frames, examples.acceleration,
    ):  # fmt: skip
        sha.update(np.ascontiguousarray(part).tobytes())
    return sha.hexdigest()
