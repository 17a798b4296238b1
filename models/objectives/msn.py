"""MSN: a masked view must be assigned to the prototypes that its whole twin is assigned to."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.models.encoders.vit import ViT1D
from onwrist.models.objectives.base import Batch, generator, scatter_visible
from onwrist.models.objectives.heads import projection
from onwrist.models.objectives.momentum import SelfDistilled
from onwrist.models.objectives.views import crops

PROTOTYPES, OUTPUT = 1024, 128
TEMPERATURE, SHARPEN = 0.1, 0.25
PATCH_DROP, FOCAL_PATCHES = 0.15, 10
ENTROPY_WEIGHT = 1.0


class MSN(SelfDistilled):
    """Masked siamese network.

    p is the softmax at temperature 0.1 over cosines of a masked view with 1,024 prototypes, p+ that of the whole view
    through the slow encoder, sharpened (power 1 / 0.25, renormalised); p-bar the mean of p over the batch;

        L = mean H(p+, p) - 1.0 * H(p-bar) .

    Source: Assran et al. 2022 (arXiv 2204.07141): prototypes, temperatures, 15 % patch drop, mean-entropy weight 1,
    slow encoder from 0.996 to 1. Chosen here: one view with dropped patches and one focal view of 4 s (the paper has
    one and ten); views differ by noise and scale. The slow encoder is kept, as in the paper.
    """

    student: Projected

    def __init__(self):
        super().__init__(Projected())
        self.prototypes = nn.Parameter(F.normalize(torch.randn(PROTOTYPES, OUTPUT), dim=1))

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        draw, c = generator(rng), self.student.encoder.config
        visible = scatter_visible(len(batch), c.patches, PATCH_DROP, draw)
        focal = crops(self.views(batch.ppg, draw), FOCAL_PATCHES * c.patch, draw)
        dropped, whole = self.views(batch.ppg, draw), self.views(batch.ppg, draw)
        with self.fast():
            anchors = torch.cat([self.student(dropped, visible), self.student(focal)]).float()
            target = self.teacher(whole).float()
        cross, entropy = siamese_loss(anchors, torch.cat([target, target]), self.prototypes)
        loss = cross - ENTROPY_WEIGHT * entropy
        return loss, {"cross": float(cross.detach()), "entropy": float(entropy.detach())}


class Projected(nn.Module):
    """Encoder and head: (B, samples) to (B, 128)."""

    def __init__(self):
        super().__init__()
        self.encoder = ViT1D()
        width = self.encoder.config.width
        self.head = projection(width, width, width, OUTPUT)

    def forward(self, wave: Tensor, visible: Tensor | None = None) -> Tensor:
        return self.head(self.encoder.embed(self.encoder.tokens(wave, visible)))


def assignments(places: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Softmax over cosines with the prototypes: (B, d), (k, d) to (B, k)."""
    return F.softmax(F.normalize(places, dim=1) @ F.normalize(prototypes, dim=1).T / temperature, dim=1)


def siamese_loss(anchors: Tensor, targets: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
    """(cross-entropy, entropy of the mean assignment); (B, d) twice, (k, d). No gradient through the targets."""
    p = assignments(anchors, prototypes, TEMPERATURE)
    with torch.no_grad():
        q = assignments(targets, prototypes, TEMPERATURE) ** (1.0 / SHARPEN)
        q = q / q.sum(1, keepdim=True)
    cross = -(q * torch.log(p.clamp(min=1e-12))).sum(1).mean()
    return cross, torch.special.entr(p.mean(0)).sum()
