"""DINO: a student's crops must be given the classes that a slow teacher gives to longer crops."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.models.encoders.vit import ViT1D
from onwrist.models.objectives.base import Batch, generator
from onwrist.models.objectives.heads import projection
from onwrist.models.objectives.momentum import SelfDistilled
from onwrist.models.objectives.views import crops

STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.04
CENTRE_MOMENTUM = 0.9
CLASSES, BOTTLENECK = 1024, 64
# Patches of 0.4 s: two views of 6 s and two of 3.2 s, about the shares of the image that the paper's crops have.
GLOBAL, LOCAL = (2, 15), (2, 8)


class DINO(SelfDistilled):
    """Self-distillation without labels.

    With t the slow teacher's logits of a global crop, c their running mean, s the student's logits of another crop,

        L = mean over pairs of  - sum_k softmax((t - c) / 0.04)_k log softmax(s / 0.1)_k ,
        c <- 0.9 c + 0.1 mean(t) ,   teacher <- m teacher + (1 - m) student ,  m from 0.996 to 1 .

    Source: Caron et al. 2021 (arXiv 2104.14294): temperatures, centre, momentum, multi-crop, a three-layer head with a
    normalised bottleneck. Silent for PPG, chosen here: crops are runs of the window at its own speed, because a crop
    stretched to the window's length would have another heart rate; 1,024 classes instead of 65,536; views have noise
    and scale only; no warm-up of the teacher's temperature. The teacher is kept, as in the paper.
    """

    student: Classifier
    centre: Tensor

    def __init__(self):
        super().__init__(Classifier())
        self.register_buffer("centre", torch.zeros(CLASSES))

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        draw, patch = generator(rng), self.student.encoder.config.patch
        long, short = (
            torch.cat([crops(self.views(batch.ppg, draw), patches * patch, draw) for _ in range(count)])
            for count, patches in (GLOBAL, LOCAL)
        )
        with self.fast():
            said = [*self.student(long).float().chunk(GLOBAL[0]), *self.student(short).float().chunk(LOCAL[0])]
            told = self.teacher(long).float()
        loss = distillation_loss(said, told.chunk(GLOBAL[0]), self.centre)
        if self.training:
            self.centre.lerp_(told.mean(0), 1 - CENTRE_MOMENTUM)
        return loss, {"distillation": float(loss.detach())}


class Classifier(nn.Module):
    """Encoder, head and prototypes of unit length: (B, samples) to (B, 1024)."""

    def __init__(self):
        super().__init__()
        self.encoder = ViT1D()
        width = self.encoder.config.width
        self.head = projection(width, width, width, BOTTLENECK)
        self.prototypes = nn.Parameter(F.normalize(torch.randn(CLASSES, BOTTLENECK), dim=1))

    def forward(self, wave: Tensor) -> Tensor:
        place = F.normalize(self.head(self.encoder(wave)), dim=1)
        return place @ F.normalize(self.prototypes, dim=1).T


def distillation_loss(said: list[Tensor], told: tuple[Tensor, ...], centre: Tensor) -> Tensor:
    """Mean cross-entropy of every teacher view (B, k) with every student view but the same one."""
    total, count = torch.zeros(()), 0
    for i, t in enumerate(told):
        target = F.softmax((t.detach() - centre) / TEACHER_TEMPERATURE, dim=1)
        for j, s in enumerate(said):
            if i != j:
                total = total - (target * F.log_softmax(s / STUDENT_TEMPERATURE, dim=1)).sum(1).mean()
                count += 1
    return total / count
