"""MAE-1D: hide most patches of the PPG, rebuild them from the rest."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from onwrist.models.encoders.vit import ViT1D
from onwrist.models.objectives.base import Batch, Objective, generator, hidden_patches, scatter_visible
from onwrist.models.objectives.heads import PatchDecoder

MASK_RATIO = 0.75


class MAE1D(Objective):
    """Masked autoencoder on PPG patches.

    With M the hidden patches of a window x and y the decoder's answer,

        L = mean over M of (1 / 40) ||y_m - x_m||^2 ,

    and nothing is asked where the encoder has seen the wave. Source: He et al. 2022 (arXiv 2111.06377): 75 % of the
    patches hidden, drawn without order, a light decoder, AdamW with weight decay 0.05. The table's source does not
    say whether patches are normalised one by one; here they are not, because the window already is.
    """

    encoder: ViT1D
    weight_decay = 0.05

    def __init__(self):
        super().__init__()
        self.encoder = ViT1D()
        self.decoder = PatchDecoder(self.encoder.config, self.encoder.config.patches)

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        c = self.encoder.config
        visible = scatter_visible(len(batch), c.patches, MASK_RATIO, generator(rng))
        with self.fast():
            rebuilt = self.decoder(self.encoder.tokens(batch.ppg, visible), visible)
        loss = hidden_error(rebuilt.float(), batch.ppg.unflatten(-1, (c.patches, c.patch)), visible)
        return loss, {"reconstruction": float(loss.detach())}


def hidden_error(rebuilt: Tensor, patches: Tensor, visible: Tensor) -> Tensor:
    """Mean squared error of hidden patches: (B, n, 40) twice, (B, K) visible indices."""
    hidden = hidden_patches(visible, patches.shape[1])
    return (((rebuilt - patches) ** 2).mean(-1) * hidden).sum() / hidden.sum()
