"""Apple-M: Apple's loss with the simultaneous ECG as the other view."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from onwrist.models.encoders.vit import ViT1D
from onwrist.models.encoders.xmae import PatchEmbed
from onwrist.models.objectives.apple import KOLEO_WEIGHT, MOMENTUM, OUTPUT, parts_of, two_way
from onwrist.models.objectives.base import Batch, Objective
from onwrist.models.objectives.heads import projection
from onwrist.models.objectives.momentum import Momentum


class AppleM(Objective):
    """Participant-level contrast across modalities.

    Nothing public defines "Apple-M". This is a reading of the name, not a reproduction: the multimodal variant of
    `Apple`, a being the PPG of a window and b its simultaneous ECG, with the same loss, temperature, momentum and
    KoLeo. Chosen here, too: one ViT-1D for both waves, which differ in their patch embedding and their projection,
    because two encoders would have twice the table's 6.7 M parameters; no further disturbance of the waves, since they
    are two views already. The ECG is aligned and scaled as xMAE's.
    """

    lr, weight_decay = 5e-4, 1e-5

    def __init__(self):
        super().__init__()
        self.online = TwoWaves()
        self.momentum = Momentum(self.online)

    @property
    def encoder(self):
        return self.online.encoder

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        with self.fast():
            fast, slow = self.online(batch.ppg, batch.ecg).float(), self.momentum(batch.ppg, batch.ecg).float()
        contrast, spread = two_way(*fast.chunk(2), *slow.chunk(2))
        return contrast + KOLEO_WEIGHT * spread, parts_of(contrast, spread)

    def after_step(self, progress: float) -> None:
        """Move the momentum copy."""
        self.momentum.update(self.online, MOMENTUM)


class TwoWaves(nn.Module):
    """PPG and ECG (B, 1000) to projections (2 B, 128): PPG's rows first."""

    def __init__(self):
        super().__init__()
        self.encoder = ViT1D()
        c = self.encoder.config
        self.ecg_patcher = PatchEmbed(1, c.width, c.patch)
        self.ppg_head, self.ecg_head = (projection(c.width, c.width, OUTPUT) for _ in range(2))

    def forward(self, ppg: Tensor, ecg: Tensor) -> Tensor:
        seen = self.ecg_patcher(ecg.unsqueeze(1)) + self.encoder.pos
        both = self.encoder.blocks(torch.cat([self.encoder.embedded(ppg), seen]))
        a, b = self.encoder.embed(both).chunk(2)
        return torch.cat([self.ppg_head(a), self.ecg_head(b)])
