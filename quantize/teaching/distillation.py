"""How a student is taught: it imitates the teacher's embedding and learns its answers from the ECG's labels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.models.student.network import LOGIT_SPAN
from onwrist.quantize.teaching.examples import Examples

# Quality and rhythm are few labels of few people: at weight 1 the student learns the people by heart (AUROC on
# training people 0.99, on others 0.87). At 0.1 they shape their head and hardly the embedding.
CLASS_WEIGHT = 0.1


def answer_loss(predicted: Tensor, labels: Tensor) -> Tensor:
    """Heart rate by smooth L1, quality and rhythm by weighted cross-entropy; (B, 3) both, NaN labels left out."""
    known = torch.isfinite(labels)
    safe = torch.where(known, labels, torch.zeros_like(labels))
    rate = F.smooth_l1_loss(predicted[:, :1], safe[:, :1], reduction="none", beta=0.1)
    classes = CLASS_WEIGHT * F.binary_cross_entropy_with_logits(
        LOGIT_SPAN * predicted[:, 1:], safe[:, 1:], reduction="none"
    )
    each = torch.cat([rate, classes], dim=1) * known
    return (each.sum(0) / known.sum(0).clamp(min=1)).sum()


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
) -> Iterator[dict[str, float]]:
    """Fit a (float or fake-quantised) student to examples, in place; yields the losses of each step."""
    x, target, labels, weight = (
        torch.from_numpy(a) for a in (examples.x, examples.embedding, examples.labels, examples.weight)
    )
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    model.train()
    for step in range(steps):
        rows = torch.from_numpy(np.random.default_rng([seed, step]).integers(0, len(x), batch))
        warm = max(1, int(warmup * steps))
        share = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
        for group in optimiser.param_groups:
            group["lr"] = lr * share
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            embedding, answers = model(x[rows])
        imitation = imitation_loss(embedding.float(), target[rows], weight[rows])
        answer = answer_loss(answers.float(), labels[rows])
        optimiser.zero_grad(set_to_none=True)
        (imitation + answer).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        yield {"imitation": float(imitation.detach()), "answers": float(answer.detach())}
    model.eval()
