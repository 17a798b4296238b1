"""PaPaGei-P: two windows of one person find each other among all windows of the batch."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from onwrist.models.encoders.resnet import ResNet1D
from onwrist.models.objectives.base import Batch, Objective, generator
from onwrist.models.objectives.simclr import TEMPERATURE, nt_xent
from onwrist.models.objectives.views import Views


class PaPaGeiP(Objective):
    """Contrast of people.

    NT-Xent (see `SimCLR`) on the embedding itself, positives being two windows of one person at different times, each
    disturbed. Source: Pillai et al. 2024 (arXiv 2410.20542) and its public code: noise 0.25, crop 0.25, no further
    head, T = 0.07 inherited from its library. Chosen here: lr 5e-4 (there 1e-4 at batch 128, for a hundred times as many
    steps). A person is a recording; neighbouring recordings of one patient can be negatives.
    """

    lr, weight_decay = 5e-4, 0.0
    pairs = True
    views = Views(noise=0.25, crop=0.25)

    def __init__(self):
        super().__init__()
        self.encoder = ResNet1D()

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        with self.fast():
            z = self.encoder(self.views(batch.ppg, generator(rng))).float()
        loss = nt_xent(z, TEMPERATURE)
        return loss, {"contrast": float(loss.detach())}
