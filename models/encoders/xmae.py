"""xMAE: a PPG encoder pretrained by reconstructing masked ECG from PPG.

Zhou et al., "Physiology-Aware Masked Cross-Modal Reconstruction for Biosignal Representation Learning",
ICML 2026, arXiv 2605.00973. Written anew from the paper; module names and shapes are those of the authors'
checkpoints, so that such a checkpoint loads strictly (`models.checkpoint.load_xmae`).

    model = XMAE(XMAEConfig())
    out = model(ppg, ecg, visible=visible)   # ppg, ecg: (B, 1000) in [-1, 1]; visible: (B, 5) patch indices
    out.embedding                            # (B, 256)
    out.ecg                                  # (B, 1000)

The part that is deployed is `model.ppg_path` up to its projection: 2,301,700 parameters, 157.5 MMAC per 10 s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor, nn

from onwrist.errors import ConfigError
from onwrist.ranges import Checked


@dataclass(frozen=True)
class XMAEConfig(Checked):
    """Shape of the network; the defaults are the published model."""

    samples: Annotated[int, Interval(ge=40, le=100_000)] = 1000
    """Window length: 10 s at 100 Hz."""
    patch: Annotated[int, Interval(ge=1, le=10_000)] = 40
    """Samples per token: 0.4 s."""
    width: Annotated[int, Interval(ge=1, le=8_192)] = 256
    """Token width."""
    heads: Annotated[int, Interval(ge=1, le=256)] = 8
    """Attention heads."""
    ppg_depth: Annotated[int, Interval(ge=1, le=100)] = 2
    """Transformer blocks of the PPG path."""
    ecg_depth: Annotated[int, Interval(ge=1, le=100)] = 1
    """Transformer blocks of the ECG path."""
    bridge_depth: Annotated[int, Interval(ge=1, le=100)] = 1
    """Cross-attention blocks between the paths."""
    stem_channels: Annotated[int, Interval(ge=1, le=8_192)] = 32
    """Channels that the convolutional stem hands to the patch embedding."""
    embedding: Annotated[int, Interval(ge=1, le=8_192)] = 256
    """Width of the embedding."""
    dropout: Annotated[float, Interval(ge=0, le=0.9)] = 0.1
    """Inside attention and MLP, in training."""
    sinusoidal_start: bool = False
    """Start the position tables as sinusoids of zero mean over the window; with the published start (std 0.02) the
    queries do not find the tokens of their own time on a small data set, and the loss stays at predicting the mean."""

    @property
    def patches(self) -> int:
        """Tokens per window."""
        return self.samples // self.patch


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1):
        super().__init__(
            nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm1d(outputs), nn.SiLU()
        )


class Inception(nn.Module):
    """Parallel kernels 3, 5, 7 (a third of the channels each, the last takes the remainder), fused by 1x1."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        third = outputs // 3
        shares = ((third, 3), (third, 5), (outputs - 2 * third, 7))
        self.branches = nn.ModuleList([ConvNormAct(inputs, share, kernel) for share, kernel in shares])
        self.fuse = ConvNormAct(outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse(torch.cat([branch(x) for branch in self.branches], dim=1))


class Stem(nn.Module):
    """Half U-Net of inception blocks with an FPN way back; (B, 1, L) to (B, outputs, L)."""

    def __init__(self, outputs: int = 32, widths: tuple[int, int, int] = (32, 64, 128)):
        super().__init__()
        a, b, c = widths
        self.enc1 = nn.Sequential(Inception(1, a), Inception(a, a))
        self.down1 = ConvNormAct(a, b, 3, 2)
        self.enc2 = nn.Sequential(Inception(b, b), Inception(b, b))
        self.down2 = ConvNormAct(b, c, 3, 2)
        self.enc3 = nn.Sequential(Inception(c, c), Inception(c, c))
        self.lat2 = nn.Conv1d(b, b, 1, bias=False)
        self.lat1 = nn.Conv1d(a, a, 1, bias=False)
        self.red3to2 = nn.Conv1d(c, b, 1, bias=False)
        self.red2to1 = nn.Conv1d(b, a, 1, bias=False)
        self.smooth2 = ConvNormAct(b, b, 3)
        self.smooth1 = ConvNormAct(a, a, 3)
        self.head = ConvNormAct(a, outputs, 3)
        self.skip = nn.Conv1d(1, outputs, 1, bias=False)
        self.skip_bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        e1 = self.enc1(x)
        e2 = self.enc2(self.down1(e1))
        e3 = self.enc3(self.down2(e2))
        t2 = self.smooth2(self.lat2(e2) + _stretch(self.red3to2(e3), e2.shape[-1]))
        t1 = self.smooth1(self.lat1(e1) + _stretch(self.red2to1(t2), e1.shape[-1]))
        return self.head(t1) + self.skip_bn(self.skip(x))


def _stretch(x: Tensor, length: int) -> Tensor:
    return F.interpolate(x, size=length, mode="linear", align_corners=False)


class PatchEmbed(nn.Module):
    """(B, C, L) to tokens (B, L / patch, width)."""

    def __init__(self, channels: int, width: int, patch: int):
        super().__init__()
        self.proj = nn.Conv1d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).transpose(1, 2)


def _attention(c: XMAEConfig) -> nn.MultiheadAttention:
    return nn.MultiheadAttention(c.width, c.heads, dropout=c.dropout, batch_first=True)


def _mlp(c: XMAEConfig, ratio: int) -> list[nn.Module]:
    inner = ratio * c.width
    return [nn.Linear(c.width, inner), nn.GELU(), nn.Linear(inner, c.width), nn.Dropout(c.dropout)]


class Block(nn.Module):
    """Pre-norm transformer block, MLP x4."""

    def __init__(self, c: XMAEConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(c.width)
        self.attn = _attention(c)
        self.norm2 = nn.LayerNorm(c.width)
        self.mlp = nn.Sequential(*_mlp(c, 4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class DecoderBlock(nn.Module):
    """As `Block` with MLP x2; used in pretraining only."""

    def __init__(self, c: XMAEConfig):
        super().__init__()
        self.ln1 = nn.LayerNorm(c.width)
        self.attn = _attention(c)
        self.ln2 = nn.LayerNorm(c.width)
        self.mlp = nn.Sequential(*_mlp(c, 2))

    def forward(self, x: Tensor) -> Tensor:
        h = self.ln1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.mlp(self.ln2(x))


class CrossBlock(nn.Module):
    """Queries of one modality read the tokens of the other."""

    def __init__(self, c: XMAEConfig):
        super().__init__()
        self.nq = nn.LayerNorm(c.width)
        self.nkv = nn.LayerNorm(c.width)
        self.attn = _attention(c)
        self.ffn = nn.Sequential(nn.LayerNorm(c.width), *_mlp(c, 4))

    def forward(self, query: Tensor, source: Tensor) -> Tensor:
        h = self.nkv(source)
        x = query + self.attn(self.nq(query), h, h, need_weights=False)[0]
        return x + self.ffn(x)


class Encoder(nn.Module):
    """A stack of blocks."""

    def __init__(self, c: XMAEConfig, depth: int):
        super().__init__()
        self.blocks = nn.ModuleList([Block(c) for _ in range(depth)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class WaveDecoder(nn.Module):
    """Tokens (B, N, width) to a wave (B, N * patch)."""

    def __init__(self, c: XMAEConfig):
        super().__init__()
        self.deconv = nn.ConvTranspose1d(c.width, 1, c.patch, c.patch)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.deconv(tokens.transpose(1, 2)).squeeze(1)


class Path(nn.Module):
    """One modality: stem, patches, transformer, projection; and a light decoder for pretraining."""

    def __init__(self, c: XMAEConfig, depth: int):
        super().__init__()
        self.patch, self.patches = c.patch, c.patches
        self.stem = Stem(c.stem_channels)
        self.patcher = PatchEmbed(c.stem_channels, c.width, c.patch)
        self.pos = nn.Parameter(torch.empty(1, c.patches, c.width))
        self.encoder = Encoder(c, depth)
        self.proj = nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, c.embedding))
        self.dec_blk = DecoderBlock(c)
        self.decoder = WaveDecoder(c)
        self.mask_loc_table = nn.Embedding(c.patches, c.width)
        if c.sinusoidal_start:
            with torch.no_grad():
                # Without their mean, or the mean token would be mostly position.
                table = sinusoids(c.patches, c.width)
                self.pos.copy_(table - table.mean(dim=1, keepdim=True))
        else:
            nn.init.trunc_normal_(self.pos, std=0.02)
        nn.init.xavier_uniform_(self.mask_loc_table.weight)

    def tokens(self, wave: Tensor, visible: Tensor | None = None) -> Tensor:
        """Encode a window, or only its visible patches.

        Args:
            wave: (B, samples).
            visible: (B, K) ascending patch indices, or None for all. The visible patches are put side by side
                before the stem, and positions are given by rank among them: so does the authors' code.

        Returns:
            (B, K, width).
        """
        if visible is not None:
            patches = wave.unflatten(-1, (self.patches, self.patch))
            wave = patches.gather(1, visible.unsqueeze(-1).expand(-1, -1, self.patch)).flatten(1)
        embedded = self.patcher(self.stem(wave.unsqueeze(1)))
        return self.encoder(embedded + self.pos[:, : embedded.shape[1]])

    def queries(self, tokens: Tensor, visible: Tensor) -> Tensor:
        """All positions as queries: encoded tokens where visible, the learned mask table elsewhere, plus positions."""
        bare = tokens - self.pos[:, : tokens.shape[1]]
        table = self.mask_loc_table.weight.to(bare.dtype).expand(len(tokens), -1, -1)
        full = table.scatter(1, visible.unsqueeze(-1).expand(-1, -1, bare.shape[-1]), bare)
        return full + self.pos

    def decode(self, tokens: Tensor) -> Tensor:
        """(B, N, width) to (B, samples)."""
        return self.decoder(self.dec_blk(tokens))

    def embed(self, tokens: Tensor) -> Tensor:
        """The embedding: projection of the mean token; (B, embedding)."""
        return self.proj(tokens.mean(dim=1))

    def forward(self, wave: Tensor) -> Tensor:
        """(B, samples) in [-1, 1] to the embedding (B, 256): what is deployed."""
        return self.embed(self.tokens(wave))


class Bridge(nn.Module):
    """Cross-attention ECG <- PPG. The reverse stack is never called; its weights are part of the checkpoint."""

    def __init__(self, c: XMAEConfig):
        super().__init__()
        self.ecg2ppg = nn.ModuleList([CrossBlock(c) for _ in range(c.bridge_depth)])
        self.ppg2ecg = nn.ModuleList([CrossBlock(c) for _ in range(c.bridge_depth)])

    def forward(self, ecg_queries: Tensor, ppg_tokens: Tensor) -> Tensor:
        for block in self.ecg2ppg:
            ecg_queries = block(ecg_queries, ppg_tokens)
        return ecg_queries


@dataclass
class XMAEOutput:
    """What a pretraining forward pass gives.

    Attributes:
        tokens: PPG tokens, (B, 25, 256).
        embedding: (B, 256).
        ecg: reconstructed ECG, (B, 1000), or None without ECG.
    """

    tokens: Tensor
    embedding: Tensor
    ecg: Tensor | None = None


class XMAE(nn.Module):
    """The whole pretraining graph: 6,481,930 parameters."""

    def __init__(self, config: XMAEConfig = XMAEConfig()):
        super().__init__()
        if config.samples % config.patch:
            raise ConfigError(
                f"{config.samples} samples are not a whole number of {config.patch}-sample patches",
                field="patch",
                cure="Choose a divisor of the window length",
            )
        self.config = config
        self.ppg_path = Path(config, config.ppg_depth)
        self.ecg_path = Path(config, config.ecg_depth)
        self.bridger = Bridge(config)
        self.mask_token = nn.Parameter(torch.empty(1, 1, config.width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, ppg: Tensor, ecg: Tensor | None = None, visible: Tensor | None = None) -> XMAEOutput:
        """Encode PPG; with `ecg`, also reconstruct it from the PPG and its visible patches.

        Args:
            ppg: (B, samples), each window scaled to [-1, 1] by its own extremes.
            ecg: (B, samples), or None.
            visible: (B, K) ascending indices of the ECG patches that may be seen; None: all.
        """
        tokens = self.ppg_path.tokens(ppg)
        out = XMAEOutput(tokens, self.ppg_path.embed(tokens))
        if ecg is not None:
            if visible is None:
                visible = torch.arange(self.config.patches, device=ecg.device).expand(len(ecg), -1)
            seen = self.ecg_path.tokens(ecg, visible)
            out.ecg = self.ecg_path.decode(self.bridger(self.ecg_path.queries(seen, visible), tokens))
        return out


def sinusoids(length: int, width: int) -> Tensor:
    """Sinusoidal positions of unit amplitude, (1, length, width) (Vaswani et al. 2017, section 3.5)."""
    at = torch.arange(length).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(1, length, width)
    table[0, :, 0::2] = torch.sin(at * rate)
    table[0, :, 1::2] = torch.cos(at * rate)
    return table
