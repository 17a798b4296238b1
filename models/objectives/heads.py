"""Small networks that only pretraining uses: projections, and the decoder of masked reconstruction."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from onwrist.models.encoders.xmae import DecoderBlock, XMAEConfig, sinusoids

DECODER_WIDTH, DECODER_HEADS, DECODER_DEPTH = 128, 4, 2


def projection(*widths: int) -> nn.Sequential:
    """Linear layers of the given widths with GELU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class PatchDecoder(nn.Module):
    """Visible tokens to all patches of a wave: (B, K, 256) and their indices (B, K) to (B, places, 40).

    Lighter than the encoder, as He et al. 2022 (arXiv 2111.06377, section 3) advise: width 128, two blocks.
    """

    def __init__(self, c: XMAEConfig, places: int):
        super().__init__()
        inner = XMAEConfig(width=DECODER_WIDTH, heads=DECODER_HEADS, dropout=c.dropout)
        self.enter = nn.Linear(c.width, inner.width)
        self.mask = nn.Parameter(torch.zeros(1, 1, inner.width))
        nn.init.normal_(self.mask, std=0.02)
        self.pos = nn.Parameter(sinusoids(places, inner.width))
        self.blocks = nn.Sequential(*[DecoderBlock(inner) for _ in range(DECODER_DEPTH)])
        self.norm = nn.LayerNorm(inner.width)
        self.leave = nn.Linear(inner.width, c.patch)

    def forward(self, tokens: Tensor, visible: Tensor) -> Tensor:
        seen = self.enter(tokens)
        full = self.mask.to(seen.dtype).expand(len(seen), self.pos.shape[1], -1)
        full = full.scatter(1, visible.unsqueeze(-1).expand(-1, -1, seen.shape[-1]), seen)
        return self.leave(self.norm(self.blocks(full + self.pos)))
