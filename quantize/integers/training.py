"""Quantisation-aware training: the quantised student imitates its own float parent on training people."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onwrist.errors import CheckpointError, ExportError
from onwrist.models.encoders.checkpoint import read_state, save_weights
from onwrist.models.encoders.digests import told
from onwrist.models.student.network import ANSWER_RANGE, Student, describe
from onwrist.quantize.integers.arithmetic import IntegerModel, read_integers
from onwrist.quantize.integers.fake_quant import QuantStudent
from onwrist.quantize.teaching.student_files import check_finite, int8_weights, student_config

CALIBRATION_BATCHES, CALIBRATION_BATCH = 8, 256
# The gate asks for the worst window, not only the median: the worst of each batch count as much as all of it.
TAIL_SHARE = 0.03
# Distances are of the order 1e-3, squared errors of 1e-2.
DISTANCE_WEIGHT = 20.0
# Adam's first steps are as long in every weight; at full rate they undo what post-training quantisation had.
WARM_UP_STEPS = 30
# A unit of the heart-rate answer is 50 BPM: a miss of 1 BPM, squared, is 4e-4.
ANSWER_WEIGHT = 5.0


def calibration_batches(x: np.ndarray, seed: int) -> list[Tensor]:
    """Batches of training windows for the activation ranges."""
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(x[rng.integers(0, len(x), CALIBRATION_BATCH)]) for _ in range(CALIBRATION_BATCHES)]


def train_quantised(
    quantised: QuantStudent, parent: Student, x: np.ndarray, *, steps: int, batch: int, lr: float, seed: int
) -> Iterator[dict[str, float]]:
    """QAT in place: imitate the float parent's embedding and answers; yields the loss of each step."""
    parameters = [p for p in quantised.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=lr)
    warm = min(WARM_UP_STEPS, max(1, steps // 4))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    parent.eval()
    quantised.train()
    for step in range(steps):
        rows = np.random.default_rng([seed, step]).integers(0, len(x), batch)
        windows = torch.from_numpy(x[rows])
        windows[0] = 0.0  # silence: what a watch sees off the wrist and at start-up, and recordings hardly hold
        with torch.no_grad():
            target, answers = parent(windows)
        embedding, given = quantised(windows)
        distances = 1 - F.cosine_similarity(embedding, target, dim=1)
        distance = distances.mean()
        tail = distances.topk(max(1, int(TAIL_SHARE * len(rows)))).values.mean()
        # What leaves the answers' range is the same to the watch wherever it is.
        miss = F.mse_loss(given, answers.clamp(-ANSWER_RANGE, ANSWER_RANGE))
        loss = DISTANCE_WEIGHT * (distance + tail) + F.mse_loss(embedding, target) + ANSWER_WEIGHT * miss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        yield {"loss": float(loss.detach()), "distance": float(distance.detach())}
    quantised.eval()


def save_quantised(path: Path, student: QuantStudent, metadata: dict, *, parent: Path | None = None) -> None:
    """The QAT state (weights and learnt scales) in safetensors.

    Args:
        metadata: `recipe` says how it was made. parent: file of its float parent.
    """
    state = {n: v for n, v in student.state_dict().items() if isinstance(v, Tensor)}
    digest = read_integers(student).digest()
    save_weights(path, state, {"student": describe(student.config), "digest": digest, **metadata}, parent=parent)


def load_quantised(path: Path | str) -> QuantStudent:
    """A quantised student in eval mode, its integers checked against the digest in the file.

    Raises:
        CheckpointError: not a quantised student, damaged, or its integers are not those that were saved.
    """
    cure = "Make it anew with quantize/qat.py"
    state, metadata = read_state(path)
    student = QuantStudent(student_config(metadata, path))
    check_finite(state, path)
    try:
        student.load_state_dict(state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(f"does not fit ({error})"[:300], where=path, cure=cure) from None
    student.pool.weight.requires_grad_(False)
    student.eval()
    said = told(metadata, "digest", path)
    try:
        digest = read_integers(student).digest()
    except (ArithmeticError, RuntimeError, ValueError, ExportError) as error:  # scales that are no scales
        raise CheckpointError(f"holds no integers ({error})"[:300], where=path, cure=cure) from None
    if digest != said:
        raise CheckpointError("holds other integers than were saved", where=path, cure=cure)
    return student


def load_integers(size_or_path: str | Path) -> IntegerModel:
    """The integers of a shipped size ('watch', 'band') or of a file."""
    path = int8_weights(str(size_or_path)) if str(size_or_path) in ("watch", "band") else Path(size_or_path)
    return read_integers(load_quantised(path))
