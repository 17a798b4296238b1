"""Apple's wearable encoder: contrast of people against a momentum encoder, spread out by KoLeo."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.models.encoders.resnet import EMBEDDING, ResNet1D
from onwrist.models.objectives.base import Batch, Objective, generator
from onwrist.models.objectives.heads import projection
from onwrist.models.objectives.momentum import Momentum
from onwrist.models.objectives.views import Views

TEMPERATURE, KOLEO_WEIGHT, MOMENTUM, OUTPUT = 0.04, 0.1, 0.99, 128


class Apple(Objective):
    """Participant-level contrast with momentum and KoLeo.

    a, b are two windows of one person; h the online projections, h' those of the momentum copy (all of unit length):

        L = (InfoNCE(h_a, h'_b) + InfoNCE(h_b, h'_a)) / 2 + 0.1 (KoLeo(h_a) + KoLeo(h_b)) / 2 ,
        InfoNCE(x, y) = mean over i of - log softmax_j(x_i y_j / 0.04)_i ,
        KoLeo(x) = - mean over i of log min over j != i of ||x_i - x_j|| .

    Source: Abbaspourazad et al. 2024 (arXiv 2312.05409) for the form; the numbers (0.04, 0.1, 0.99, 128 outputs) are a
    third party's re-implementation. Silent or different, chosen here: the ResNet1D of 5.0 M that the table's count
    points to (the paper has an EfficientNet), and PaPaGei-P's views. The online encoder is kept.
    """

    lr, weight_decay = 5e-4, 1e-5
    pairs = True
    views = Views(noise=0.25, crop=0.25)

    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(ResNet1D(), projection(EMBEDDING, EMBEDDING, OUTPUT))
        self.momentum = Momentum(self.online)

    @property
    def encoder(self):
        return self.online[0]

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        windows = self.views(batch.ppg, generator(rng))
        with self.fast():
            fast, slow = self.online(windows).float(), self.momentum(windows).float()
        contrast, spread = two_way(fast[0::2], fast[1::2], slow[0::2], slow[1::2])
        return contrast + KOLEO_WEIGHT * spread, parts_of(contrast, spread)

    def after_step(self, progress: float) -> None:
        """Move the momentum copy."""
        self.momentum.update(self.online, MOMENTUM)


def parts_of(contrast: Tensor, spread: Tensor) -> dict[str, float]:
    """What a log shows of `two_way`."""
    return {"contrast": float(contrast.detach()), "koleo": float(spread.detach())}


def two_way(fast_a: Tensor, fast_b: Tensor, slow_a: Tensor, slow_b: Tensor) -> tuple[Tensor, Tensor]:
    """(contrast, KoLeo) of two sides, each (n, d) online and slow; gradients through the online ones only."""
    contrast = 0.5 * (info_nce(fast_a, slow_b) + info_nce(fast_b, slow_a))
    return contrast, 0.5 * (koleo(fast_a) + koleo(fast_b))


def info_nce(queries: Tensor, keys: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Each query (n, d) finds the key (n, d) of its own row; no gradient through the keys."""
    similarity = F.normalize(queries, dim=1) @ F.normalize(keys.detach(), dim=1).T / temperature
    return F.cross_entropy(similarity, torch.arange(len(queries)))


def koleo(places: Tensor) -> Tensor:
    """Kozachenko-Leonenko estimate of (minus) entropy on the sphere, (n, d); Sablayrolles et al. 2019."""
    unit = F.normalize(places, dim=1)
    similarity = (unit @ unit.T).masked_fill(torch.eye(len(unit), dtype=torch.bool), -2.0)
    nearest = unit[similarity.argmax(dim=1)]
    return -torch.log((unit - nearest).norm(dim=1) + 1e-8).mean()
