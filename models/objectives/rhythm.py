"""Targets from the ECG's R-peaks that an embedding of the PPG is asked to tell: rate, variability, irregularity.

The masked-ECG objective never touches xMAE's projection and, with a mean over tokens, leaves rhythm to chance.
These targets train both. They come from beat times alone, so they cost no annotator.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.signals.pulse.beats import Beats, intervals, window_labels
from onwrist.signals.pulse.clean import WINDOW_S

# z = (log value - centre) / width: unit spread over the open ICU records.
RATE_BPM = (np.log(85.0), 0.3)
RMSSD_MS = (np.log(25.0), 1.3)
SDNN_MS = (np.log(20.0), 1.3)
# R-peaks are on an 8 ms grid; variability below half of it is the grid.
MIN_VARIABILITY_MS = 4.0
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
# Relative intervals spread by about a tenth.
RELATIVE_WIDTH = 0.1

# Beat map: one bin per 40 ms, ten bins a token; an upslope is located about that well.
BIN_S = 0.04
BINS = round(WINDOW_S / BIN_S)

VALUES = ("hr", "rmssd", "sdnn", *(f"rr_q{int(100 * q)}" for q in QUANTILES), "rr_turn")
CLASSES = ("irregular", "quality")
TARGETS = VALUES + CLASSES


def targets(beats: Beats, start_s: float, end_s: float, stretch: float = 1.0) -> np.ndarray:
    """Targets of one window, shape (len(TARGETS),), NaN where unknown.

    Args:
        beats: of the recording.
        start_s, end_s: the window in the recording's own time.
        stretch: how much faster the window is played (time-stretch augmentation): rate times this,
            intervals divided by it.

    Values are standardised; `rr_q*` are quantiles of the intervals relative to their mean, `rr_turn` is the lag-1
    correlation of successive interval differences (about -1 for alternation, -0.5 for white intervals).
    """
    out = np.full(len(TARGETS), np.nan, np.float32)
    label = window_labels(beats, start_s, end_s)
    out[TARGETS.index("quality")] = label["quality"]
    if not np.isfinite(label["hr"]):
        return out
    out[TARGETS.index("irregular")] = label["irregular"]
    rr = intervals(beats.r, start_s - beats.delay_s, end_s - beats.delay_s)
    out[0] = (np.log(label["hr"] * stretch) - RATE_BPM[0]) / RATE_BPM[1]
    out[1] = (np.log(max(MIN_VARIABILITY_MS, label["rmssd"] / stretch)) - RMSSD_MS[0]) / RMSSD_MS[1]
    out[2] = (np.log(max(MIN_VARIABILITY_MS, label["sdnn"] / stretch)) - SDNN_MS[0]) / SDNN_MS[1]
    relative = np.quantile(rr, QUANTILES) / rr.mean() - 1.0
    out[3 : 3 + len(QUANTILES)] = np.clip(relative / RELATIVE_WIDTH, -5, 5)
    turn = np.diff(rr)
    if len(turn) >= 3 and turn.std() > 0.01:
        out[VALUES.index("rr_turn")] = float(np.sum(turn[1:] * turn[:-1]) / np.sum(turn**2))
    return out


def beat_map(beats: Beats, start_s: float, end_s: float, bins: int) -> np.ndarray:
    """Where the pulses of the ECG's beats are expected in a window: (bins,) 1 at a beat, 0.5 beside it, 0 elsewhere."""
    out = np.zeros(bins, np.float32)
    at = (beats.r + beats.delay_s - start_s) / (end_s - start_s) * bins
    at = np.floor(at[(at >= 0) & (at < bins)]).astype(int)
    for side, value in ((-1, 0.5), (1, 0.5), (0, 1.0)):
        near = at + side
        near = near[(near >= 0) & (near < bins)]
        out[near] = np.maximum(out[near], value)
    return out


class RhythmHead(nn.Module):
    """Linear read-outs: `TARGETS` from the embedding, the beat map from each token; thrown away after training."""

    def __init__(self, width: int, token_width: int, bins_per_token: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, len(TARGETS))
        self.token_norm = nn.LayerNorm(token_width)
        self.beats = nn.Linear(token_width, bins_per_token)

    def forward(self, embedding: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, E), (B, N, W) to (B, TARGETS), beat logits (B, N * bins_per_token)."""
        return self.linear(self.norm(embedding)), self.beats(self.token_norm(tokens)).flatten(1)


def rhythm_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 on the values, cross-entropy on the classes; each target's mean over the windows that have it."""
    known = torch.isfinite(target)
    safe = torch.where(known, target, torch.zeros_like(target))
    n = len(VALUES)
    values = F.smooth_l1_loss(predicted[:, :n], safe[:, :n], reduction="none", beta=0.5)
    classes = F.binary_cross_entropy_with_logits(predicted[:, n:], safe[:, n:], reduction="none")
    loss = torch.cat([values, classes], dim=1) * known
    return (loss.sum(0) / known.sum(0).clamp(min=1)).mean()


def beat_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of the beat map over the windows with weight 1, (B, bins), (B, bins), (B,)."""
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
    return (each * weight).sum() / weight.sum().clamp(min=1)
