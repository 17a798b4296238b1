"""LSM: masked reconstruction over sensor channels, all channels' patches being tokens of one encoder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from onwrist.models.encoders.vit import ViT1D, take
from onwrist.models.encoders.xmae import PatchEmbed
from onwrist.models.objectives.base import Batch, Objective, generator, scatter_visible
from onwrist.models.objectives.heads import PatchDecoder
from onwrist.models.objectives.mae import hidden_error

MASK_RATIO = 0.8


class LSM(Objective):
    """Masked autoencoder on PPG and ECG together.

    50 tokens (25 of each wave, with a learned vector that says which), 80 % hidden without regard to channel;

        L = mean over the hidden patches of both waves of (1 / 40) ||y_m - x_m||^2 .

    Source: Narayanswamy et al. 2024 (arXiv 2410.13638): random masking of 80 %, one ViT for all sensors, AdamW with
    weight decay 1e-4. Its sensors are minute averages of a wristband; that PPG and ECG waves take their place is the
    reading of the table's source, and so is that the encoder is probed with PPG alone, which it never saw alone.
    """

    encoder: ViT1D
    weight_decay = 1e-4

    def __init__(self):
        super().__init__()
        self.encoder = ViT1D()
        c = self.encoder.config
        self.ecg_patcher = PatchEmbed(1, c.width, c.patch)
        self.ecg_mark = nn.Parameter(torch.zeros(1, 1, c.width))
        nn.init.normal_(self.ecg_mark, std=0.02)
        self.decoder = PatchDecoder(c, 2 * c.patches)

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        c = self.encoder.config
        visible = scatter_visible(len(batch), 2 * c.patches, MASK_RATIO, generator(rng))
        with self.fast():
            ecg = self.ecg_patcher(batch.ecg.unsqueeze(1)) + self.encoder.pos + self.ecg_mark
            both = torch.cat([self.encoder.embedded(batch.ppg), ecg], dim=1)
            rebuilt = self.decoder(self.encoder.blocks(take(both, visible)), visible)
        patches = torch.cat([batch.ppg, batch.ecg], dim=1).unflatten(-1, (2 * c.patches, c.patch))
        loss = hidden_error(rebuilt.float(), patches, visible)
        return loss, {"reconstruction": float(loss.detach())}
