"""ResNet1D of the PPG contrastive encoders: 18 pre-activation blocks, 32 to 512 channels, a 512-wide embedding.

The shape that PaPaGei (Pillai et al. 2024, arXiv 2410.20542) takes from Hong et al. (2020, doi
10.1016/j.compbiomed.2020.103801): kernel 3; every second block halves the time; every fourth doubles the channels;
shortcuts pool and pad with zero channels. Their dropout of 0.5 is left out here, as xMAE's is: at this budget it only
slows the fit.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

BASE, BLOCKS, EMBEDDING = 32, 18, 512
HALVE_EVERY, WIDEN_EVERY = 2, 4


class Residual(nn.Module):
    """Norm, ReLU, conv, norm, ReLU, conv beside a shortcut; (B, inputs, L) to (B, outputs, ceil(L / stride))."""

    def __init__(self, inputs: int, outputs: int, stride: int, first: bool):
        super().__init__()
        self.stride, self.grow = stride, outputs - inputs
        self.before = nn.Identity() if first else nn.Sequential(nn.BatchNorm1d(inputs), nn.ReLU())
        self.conv1 = nn.Conv1d(inputs, outputs, 3, stride, 1)
        self.between = nn.Sequential(nn.BatchNorm1d(outputs), nn.ReLU())
        self.conv2 = nn.Conv1d(outputs, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.between(self.conv1(self.before(x))))
        if self.stride > 1:
            x = F.max_pool1d(x, self.stride, ceil_mode=True)
        return y + F.pad(x, (0, 0, 0, self.grow))


class ResNet1D(nn.Module):
    """5.0 M parameters; (B, 1000) in [-1, 1] to the embedding (B, 512)."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(1, BASE, 3, 1, 1), nn.BatchNorm1d(BASE), nn.ReLU())
        blocks, width = [], BASE
        for i in range(BLOCKS):
            outputs = BASE * 2 ** (i // WIDEN_EVERY)
            blocks.append(Residual(width, outputs, 2 if i % HALVE_EVERY == 1 else 1, first=i == 0))
            width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU())
        self.dense = nn.Linear(width, EMBEDDING)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, samples) to (B, 512)."""
        return self.dense(self.last(self.blocks(self.stem(wave.unsqueeze(1)))).mean(dim=-1))
