"""How a student is taught: it imitates the teacher's embedding and learns its answers from the ECG's labels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.models.student.network import (
    EMBEDDING,
    HEART_RATE_CENTRE,
    HEART_RATE_SPAN,
    LOGIT_SPAN,
    Student,
    StudentConfig,
)
from onwrist.quantize.teaching.examples import Examples

# Quality and rhythm are few labels of few people: at weight 1 the student learns the people by heart (AUROC on
# training people 0.99, on others 0.87). At 0.1 they shape their head and hardly the embedding.
CLASS_WEIGHT = 0.3
# A unit of the heart-rate answer is 50 BPM: errors of a few BPM weigh like the rest of the loss. Linear above 1.5 BPM.
RATE_WEIGHT, RATE_BETA = 6.0, 0.03
# What is shown has to be right: a window whose rate the student misses by more than WRONG_BPM is not good however clean
# its pulse, and one of doubtful quality (steps beside the pulse) is good if it is within RIGHT_BPM.
RIGHT_BPM, WRONG_BPM = 4.0, 8.0
# What only the training asks: variability from the embedding, beats from the features of each frame.
DETAIL_WEIGHT, BEATS_WEIGHT = 0.1, 0.3
# A beat on the 25 Hz grid is one sample in twenty.
BEAT_ODDS = 6.0
# Share of windows whose past is mirrored, as it is for isolated windows of data sets (see `mirror_past`): without it the
# heart rate of such windows is 2 BPM too high.
ISOLATED_SHARE = 0.3
RATE_BIN_BPM, RARE = 20.0, 100


class Detail(nn.Module):
    """Questions about single beats, for training only: thrown away with the optimiser.

    Args:
        config: of the student that is asked.
    """

    def __init__(self, config: StudentConfig):
        super().__init__()
        self.variability = nn.Linear(EMBEDDING, 2)
        self.beats = nn.Conv1d(config.widths[-1], config.stride, 1)

    def forward(self, frames: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, channels, frames) and embedding (B, 256) to log variability (B, 2), beat logits (B, samples)."""
        return self.variability(embedding), self.beats(frames).transpose(1, 2).flatten(1)

    def loss(self, frames: Tensor, embedding: Tensor, detail: Tensor, beats: Tensor) -> Tensor:
        """Weighted loss against `Examples.detail` (B, 2) and `Examples.beats` (B, samples)."""
        variability, logits = self(frames, embedding)
        known = torch.isfinite(detail)
        error = F.smooth_l1_loss(variability, torch.where(known, detail, variability.detach()), beta=0.2)
        asked = (beats >= 0).float()
        odds = torch.tensor(BEAT_ODDS)
        each = F.binary_cross_entropy_with_logits(logits, beats.clamp(min=0).float(), reduction="none", pos_weight=odds)
        return DETAIL_WEIGHT * error + BEATS_WEIGHT * (each * asked).sum() / asked.sum().clamp(min=1)


def right_or_wrong(predicted: Tensor, labels: Tensor) -> Tensor:
    """(B, 3) labels whose quality knows what the student says of the rate: see `WRONG_BPM`; NaN labels say nothing."""
    miss = HEART_RATE_SPAN * (predicted[:, 0].detach() - labels[:, 0]).abs()
    quality = labels[:, 1]
    quality = torch.where(torch.isnan(quality) & (miss < RIGHT_BPM), 1.0, quality)
    quality = torch.where(miss > WRONG_BPM, 0.0, quality)
    return torch.stack([labels[:, 0], quality, labels[:, 2]], dim=1)


def answer_loss(predicted: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Heart rate by smooth L1 and `weight` (B,), quality and rhythm by weighted cross-entropy; (B, 3) both, NaN labels left
    out."""
    labels = right_or_wrong(predicted, labels)
    known = torch.isfinite(labels)
    safe = torch.where(known, labels, torch.zeros_like(labels))
    miss = F.smooth_l1_loss(predicted[:, :1], safe[:, :1], reduction="none", beta=RATE_BETA)
    rate = RATE_WEIGHT * weight[:, None] * miss
    classes = CLASS_WEIGHT * F.binary_cross_entropy_with_logits(
        LOGIT_SPAN * predicted[:, 1:], safe[:, 1:], reduction="none"
    )
    each = torch.cat([rate, classes], dim=1) * known
    return (each.sum(0) / known.sum(0).clamp(min=1)).sum()


def draw_weights(labels: np.ndarray) -> np.ndarray:
    """(n,) chance of each example: its rate's bin (20 BPM) to the power -1/2, so that rare rates are seen often and
    usual ones most; examples without a rate count like the median one."""
    rate = labels[:, 0]
    known = np.isfinite(rate)
    bins = np.floor((HEART_RATE_CENTRE + HEART_RATE_SPAN * np.where(known, rate, 0.0)) / RATE_BIN_BPM).astype(int)
    bins = np.clip(bins, 0, 15)
    count = np.bincount(bins[known], minlength=16)
    chance = np.where(known, 1.0 / np.sqrt(np.maximum(count[bins], RARE)), 0.0)
    chance[~known] = np.median(chance[known]) if known.any() else 1.0
    return chance / chance.sum()


def isolate(x: Tensor, context: int, rng: np.random.Generator) -> Tensor:
    """Windows (B, context + n) with the past of some of them mirrored; a copy."""
    alone = torch.from_numpy(rng.random(len(x)) < ISOLATED_SHARE)
    mirrored = torch.cat([x[:, context + 1 : 2 * context + 1].flip(1), x[:, context:]], dim=1)
    return torch.where(alone[:, None], mirrored, x)


def imitation_loss(embedding: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Half squared error plus cosine distance to the teacher; (B, 256) both, (B,) weight."""
    error = 0.5 * ((embedding - target) ** 2).mean(1) + (1 - F.cosine_similarity(embedding, target, dim=1))
    return (error * weight).sum() / weight.sum().clamp(min=1)


def train(
    model: Student,
    examples: Examples,
    *,
    steps: int,
    batch: int,
    lr: float,
    weight_decay: float,
    seed: int,
    bf16: bool,
    warmup: float = 0.05,
    detail: Detail | None = None,
) -> Iterator[dict[str, float]]:
    """Fit a student to examples, in place; yields the losses of each step.

    Args:
        detail: the training's own questions, for whoever keeps them; fitted in place too (default: a new one).
    """
    x, target, labels, weight, known_detail, beats = (
        torch.from_numpy(a)
        for a in (
            examples.x, examples.embedding, examples.labels, examples.weight, examples.detail, examples.beats,
        )
    )  # fmt: skip
    chance = np.cumsum(draw_weights(examples.labels))
    detail = detail or Detail(model.config)
    parameters = [p for p in [*model.parameters(), *detail.parameters()] if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    model.train()
    for step in range(steps):
        rng = np.random.default_rng([seed, step])
        drawn = np.searchsorted(chance, rng.random(batch) * chance[-1])
        rows = torch.from_numpy(np.minimum(drawn, len(x) - 1))
        warm = max(1, int(warmup * steps))
        share = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
        for group in optimiser.param_groups:
            group["lr"] = lr * share
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            frames = model.features(isolate(x[rows], model.config.context, rng).unsqueeze(1))
            embedding, answers = (y[..., -1].float() for y in model.answer(model.pool(frames)))
        imitation = imitation_loss(embedding, target[rows].float(), weight[rows])
        answer = answer_loss(answers, labels[rows], weight[rows])
        single = detail.loss(frames.float(), embedding, known_detail[rows], beats[rows])
        optimiser.zero_grad(set_to_none=True)
        (imitation + answer + single).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        losses = {"imitation": imitation, "answers": answer, "detail": single}
        yield {name: float(value.detach()) for name, value in losses.items()}
    model.eval()
