"""xMAE: rebuild the hidden ECG from the whole PPG; and the same with targets from the ECG's R-peaks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from onwrist.models.encoders.xmae import XMAE, XMAEConfig
from onwrist.models.objectives.base import Batch, Objective, hidden_patches, kept_count
from onwrist.models.objectives.rhythm import BINS, RhythmHead, beat_loss, rhythm_loss

MASK_RATIO = 0.8


class CrossModal(Objective):
    """Masked ECG from PPG, the objective of xMAE (Zhou et al. 2026, arXiv 2605.00973).

    The PPG is seen whole; of the ECG one run of 5 of its 25 patches ("anchor"). With M the hidden samples of the
    windows whose pulse follows the ECG, y the bridge's answer and x the ECG,

        L = (1 / |M|) sum over M of (y_m - x_m)^2 .

    Published: AdamW (0.9, 0.95), weight decay 0.01, lr 3e-4 at batch 512, dropout 0.1, min-max ECG, learned positions
    at 0.02. On these few hundred people that predicts the mean for ever; what departs from it here: positions start
    as sinusoids, no dropout, ECG moved to one delay for all records, turned upright and divided by its spread.
    """

    def __init__(self, *, sinusoidal_start: bool = True, dropout: float = 0.0, mask_ratio: float = MASK_RATIO):
        super().__init__()
        self.model = XMAE(XMAEConfig(sinusoidal_start=sinusoidal_start, dropout=dropout))
        self.mask_ratio = mask_ratio

    @property
    def encoder(self):
        return self.model.ppg_path

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        return self._reconstruct(batch, rng)[:2]

    def _reconstruct(self, batch: Batch, rng: np.random.Generator):
        c = self.model.config
        visible = anchor(rng, len(batch), c.patches, self.mask_ratio)
        with self.fast():
            out = self.model(batch.ppg, batch.ecg, visible)
        loss, r = masked_error(out.ecg.float(), batch.ecg, visible, c.patch, batch.weight)
        return loss, {"reconstruction": float(loss.detach()), "correlation": float(r)}, out


class PublishedCrossModal(CrossModal):
    """`CrossModal` with the paper's own settings and no departure; it does not learn on the open data."""

    lr = 5e-4
    align = False

    def __init__(self):
        super().__init__(sinusoidal_start=False, dropout=0.1)


class RhythmCrossModal(CrossModal):
    """`CrossModal` plus read-outs of the R-peaks, the objective of the shipped teacher; not one of the nine.

        L = L_xMAE + (rhythm of the embedding) + (beat map of the tokens)      (`models.rhythm`)

    on windows that are stretched in time and disturbed. The R-peaks come from the same ECG, but they are labels: its
    row in a table is no longer one of self-supervision.
    """

    disturb = True

    def __init__(self):
        super().__init__()
        c = self.model.config
        self.head = RhythmHead(c.embedding, c.width, BINS // c.patches)

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """See the class."""
        loss, parts, out = self._reconstruct(batch, rng)
        predicted, beats = self.head(out.embedding.float(), out.tokens.float())
        rhythm = rhythm_loss(predicted, batch.target) + beat_loss(beats, batch.beats, batch.weight)
        return loss + rhythm, {**parts, "rhythm": float(rhythm.detach())}


def anchor(rng: np.random.Generator, count: int, patches: int, mask_ratio: float) -> Tensor:
    """Visible patch indices (count, K): one contiguous run at a random place (the paper's mode "anchor")."""
    keep = kept_count(patches, mask_ratio)
    starts = rng.integers(0, patches - keep + 1, size=count)
    return torch.from_numpy(starts[:, None] + np.arange(keep))


def masked_error(predicted: Tensor, ecg: Tensor, visible: Tensor, patch: int, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, correlation): squared error over the hidden samples only, and the median correlation there.

    Args:
        predicted, ecg: (B, samples).
        visible: (B, K) patch indices.
        weight: (B,) 0 leaves a window out.
    """
    hidden = hidden_patches(visible, ecg.shape[1] // patch).repeat_interleave(patch, dim=1)
    hidden = hidden * weight[:, None]
    loss = ((predicted - ecg) ** 2 * hidden).sum() / hidden.sum().clamp(min=1)
    with torch.no_grad():
        n = hidden.sum(1, keepdim=True).clamp(min=1)
        a = (predicted - (predicted * hidden).sum(1, keepdim=True) / n) * hidden
        b = (ecg - (ecg * hidden).sum(1, keepdim=True) / n) * hidden
        r = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)
        r = r[weight > 0].median() if bool((weight > 0).any()) else torch.tensor(float("nan"))
    return loss, r
