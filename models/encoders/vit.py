"""ViT-1D at xMAE's shape: 25 patches of 0.4 s, width 256, 8 heads; 8 blocks and no convolutional stem.

6,335,488 parameters; with an objective's head or decoder 6.5 to 6.7 M, as the published table gives for MAE-1D, LSM,
DINO, MSN and Apple-M. The table's source says no more of the network; depth 8 is what that count leaves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onwrist.models.encoders.xmae import Encoder, PatchEmbed, XMAEConfig, sinusoids

DEPTH = 8


class ViT1D(nn.Module):
    """A transformer on raw patches; the embedding is the mean of its normalised tokens, (B, 256)."""

    def __init__(self, config: XMAEConfig = XMAEConfig(dropout=0.0), depth: int = DEPTH):
        super().__init__()
        self.config = config
        self.patcher = PatchEmbed(1, config.width, config.patch)
        table = sinusoids(config.patches, config.width)
        # The same start as xMAE's here: learned positions at 0.02 do not find each other on a small data set.
        self.pos = nn.Parameter(table - table.mean(dim=1, keepdim=True))
        self.encoder = Encoder(config, depth)
        self.norm = nn.LayerNorm(config.width)

    def embedded(self, wave: Tensor) -> Tensor:
        """Patches with their positions: (B, n * 40) to (B, n, 256), n at most 25."""
        patches = self.patcher(wave.unsqueeze(1))
        return patches + self.pos[:, : patches.shape[1]]

    def blocks(self, embedded: Tensor) -> Tensor:
        """Transformer and last norm over any tokens, (B, n, 256)."""
        return self.norm(self.encoder(embedded))

    def tokens(self, wave: Tensor, visible: Tensor | None = None) -> Tensor:
        """Encode a window, or only its visible patches (positions are those of their place).

        Args:
            wave: (B, samples), a whole number of patches; a crop has positions from 0.
            visible: (B, K) patch indices, or None for all.

        Returns:
            (B, n, 256) or (B, K, 256).
        """
        embedded = self.embedded(wave)
        return self.blocks(embedded if visible is None else take(embedded, visible))

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, n, 256) to (B, 256)."""
        return tokens.mean(dim=1)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, 1000) in [-1, 1] to the embedding (B, 256)."""
        return self.embed(self.tokens(wave))


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens (B, n, d) at indices (B, K): (B, K, d)."""
    return torch.gather(tokens, 1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
