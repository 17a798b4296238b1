"""SimCLR: two views of one window find each other among all windows of the batch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onwrist.models.encoders.resnet import EMBEDDING, ResNet1D
from onwrist.models.objectives.base import Batch, Objective, generator
from onwrist.models.objectives.heads import projection
from onwrist.models.objectives.views import Views

TEMPERATURE, OUTPUT = 0.07, 128


class SimCLR(Objective):
    """Contrast of augmentations.

    With z the normalised projections of 2 n views, i and j two views of one window,

        L = mean over views of  - log( exp(z_i z_j / T) / sum over k != i of exp(z_i z_k / T) )      (NT-Xent).

    Source: Chen et al. 2020 (arXiv 2002.05709), with a two-layer head; PPG views with the probabilities of the SimCLR
    baseline in PaPaGei's public code (noise 0.35, negate 0.2, flip 0.2, scale 0.4, crop 0.5) and T = 0.07, which that
    code inherits from its library. Chosen here: lr 5e-4 (there 1e-4, for a hundred times as many steps).
    """

    lr, weight_decay = 5e-4, 0.0
    views = Views(noise=0.35, negate=0.2, flip=0.2, scale=0.4, crop=0.5)

    def __init__(self):
        super().__init__()
        self.encoder = ResNet1D()
        self.head = projection(EMBEDDING, EMBEDDING, OUTPUT)

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        draw = generator(rng)
        both = torch.stack([self.views(batch.ppg, draw), self.views(batch.ppg, draw)], dim=1).flatten(0, 1)
        with self.fast():
            z = self.head(self.encoder(both)).float()
        loss = nt_xent(z, TEMPERATURE)
        return loss, {"contrast": float(loss.detach())}


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    """NT-Xent of projections (2 n, d) whose rows 2i and 2i + 1 are positives."""
    z = F.normalize(z, dim=1)
    similarity = z @ z.T / temperature
    similarity = similarity.masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
    return F.cross_entropy(similarity, torch.arange(len(z)) ^ 1)
