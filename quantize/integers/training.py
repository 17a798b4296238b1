"""Quantisation-aware training: the quantised student imitates its own float parent on training people."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.errors import CheckpointError, ExportError
from onwrist.models.encoders.checkpoint import read_state, save_weights
from onwrist.models.encoders.digests import told
from onwrist.models.student.graph import graph_of
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT, FRAMES_OUTPUT
from onwrist.models.student.outputs import ANSWER_RANGE
from onwrist.quantize.integers.arithmetic import IntegerModel, read_integers
from onwrist.quantize.integers.fake_quant import QuantGraph, quant_student
from onwrist.quantize.teaching.distillation import Keeps
from onwrist.quantize.teaching.student_files import check_finite, int8_weights, student_of

CALIBRATION_BATCHES, CALIBRATION_BATCH = 8, 256
# The gate asks for the worst window, not only the median: the worst of each batch count as much as all of it.
TAIL_SHARE = 0.03
# Distances are of the order 1e-3, squared errors of 1e-2.
DISTANCE_WEIGHT = 20.0
# Adam's first steps are as long in every weight; at full rate they undo what post-training quantisation had.
WARM_UP_STEPS = 30
# A unit of the heart-rate answer is 50 BPM: a miss of 1 BPM, squared, is 4e-4.
ANSWER_WEIGHT = 5.0

# Layers and their quantisers, as the shipped files have them.
FORMER_NAMES = (
    (r"features\.(\d+)\.0\.", r"layers.features/\1."),
    (r"features\.(\d+)\.1\.", r"ranges.features/\1."),
    (r"(pool|embed)\.", r"layers.\1."),
    (r"pooled\.", "ranges.pool."),
    (r"embedded\.", "ranges.embed."),
    (r"head\.(\d+)\.", r"layers.head/\1."),
    (r"answered\.(\d+)\.", r"ranges.head/\1."),
)


def calibration_batches(inputs: Sequence[np.ndarray], seed: int) -> list[tuple[Tensor, ...]]:
    """Batches of training windows of each input for the activation ranges."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, len(inputs[0]), CALIBRATION_BATCH) for _ in range(CALIBRATION_BATCHES)]
    return [tuple(torch.from_numpy(x[r]) for x in inputs) for r in rows]


def train_quantised(
    quantised: QuantGraph,
    parent: nn.Module,
    x: np.ndarray | Sequence[np.ndarray],
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    keeper: Callable[[dict, dict], Keeps] | None = None,
) -> Iterator[dict[str, float]]:
    """QAT in place: imitate what the float parent says; yields the loss of each step.

    Args:
        x: (n, window), or of each input (n, samples) or (n, channels, samples).
        keeper: from what makes this training itself, and the parts of its state, to what keeps them (`course.Keeper`).
    """
    inputs = [x] if isinstance(x, np.ndarray) else list(x)
    parameters = [p for p in quantised.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=lr)
    warm = min(WARM_UP_STEPS, max(1, steps // 4))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    parent = graph_of(parent).eval()
    quantised.train()
    kept = keeper and keeper(
        {"steps": steps, "batch": batch, "lr": lr, "seed": seed, "of": _fingerprint(quantised, parent, inputs)},
        {"quantised": quantised, "optimiser": optimiser, "schedule": schedule},
    )
    for step in range(kept.begin() if kept else 0, steps):
        rows = np.random.default_rng([seed, step]).integers(0, len(inputs[0]), batch)
        windows = [torch.from_numpy(part[rows]) for part in inputs]
        for part in windows:
            part[0] = 0.0  # silence: what a watch sees off the wrist and at start-up, and recordings hardly hold
        with torch.no_grad():
            target = parent.said(*windows)
        loss, distance = _imitation(quantised.said(*windows), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        row = {"loss": float(loss.detach()), "distance": float(distance.detach())}
        if kept:
            kept.after(step, row)
        yield row
    if kept:
        kept.end()
    quantised.eval()


def _fingerprint(quantised: nn.Module, parent: nn.Module, inputs: Sequence[np.ndarray]) -> str:
    """Where a training starts and what it is taught by: enough that another's would not be taken for it."""
    sha = hashlib.sha256()
    for network in (quantised, parent):
        for name, value in network.state_dict().items():
            if isinstance(value, Tensor):
                sha.update(name.encode() + value.detach().cpu().numpy().tobytes())
    for part in inputs:
        sha.update(repr(part.shape).encode() + np.ascontiguousarray(part[:: max(1, len(part) // 64)]).tobytes())
    return sha.hexdigest()


def _imitation(given: dict[str, Tensor], target: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(loss, mean cosine distance of the embedding) of what is said against the float parent's."""
    loss = distance = torch.zeros(())
    for name, wanted in target.items():
        if name == EMBEDDING_OUTPUT:
            distances = 1 - F.cosine_similarity(given[name], wanted, dim=1)
            distance = distances.mean()
            tail = distances.topk(max(1, int(TAIL_SHARE * len(wanted)))).values.mean()
            loss = loss + DISTANCE_WEIGHT * (distance + tail) + F.mse_loss(given[name], wanted)
        elif name in (ANSWERS_OUTPUT, FRAMES_OUTPUT):
            # What leaves the answers' range is the same to the watch wherever it is.
            miss = F.mse_loss(given[name], wanted.clamp(-ANSWER_RANGE, ANSWER_RANGE))
            loss = loss + ANSWER_WEIGHT * miss
        else:
            loss = loss + F.mse_loss(given[name], wanted) / wanted.var().clamp(min=1e-6)
    return loss, distance


def save_quantised(path: Path, student: QuantGraph, metadata: dict, *, parent: Path | None = None) -> None:
    """The QAT state (weights and learnt scales) in safetensors.

    Args:
        metadata: `recipe` says how it was made. parent: file of its float parent.
    """
    state = {n: v for n, v in student.state_dict().items() if isinstance(v, Tensor)}
    digest = read_integers(student).digest()
    save_weights(path, state, {**student.recipe, "digest": digest, **metadata}, parent=parent)


def load_quantised(path: Path | str) -> QuantGraph:
    """A quantised student in eval mode, its integers checked against the digest in the file.

    Raises:
        CheckpointError: not a quantised student, damaged, or its integers are not those that were saved.
    """
    cure = "Make it anew with quantize/qat.py"
    state, metadata = read_state(path)
    student = quant_student(student_of(metadata, path))
    check_finite(state, path)
    try:
        student.load_state_dict({_name(n): value for n, value in state.items()})
    except (RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(f"does not fit ({error})"[:300], where=path, cure=cure) from None
    student.eval()
    said = told(metadata, "digest", path)
    try:
        digest = read_integers(student).digest()
    except (ArithmeticError, RuntimeError, ValueError, ExportError) as error:  # scales that are no scales
        raise CheckpointError(f"holds no integers ({error})"[:300], where=path, cure=cure) from None
    if digest != said:
        raise CheckpointError("holds other integers than were saved", where=path, cure=cure)
    return student


def _name(old: str) -> str:
    """A parameter's name in files from before students were graphs: layer and quantiser lay side by side in the chain."""
    for pattern, name in FORMER_NAMES:
        if re.match(pattern, old):
            return re.sub(pattern, name, old)
    return old


def load_integers(size_or_path: str | Path) -> IntegerModel:
    """The integers of a shipped size ('watch', 'band') or of a file."""
    path = int8_weights(str(size_or_path)) if str(size_or_path) in ("watch", "band") else Path(size_or_path)
    return read_integers(load_quantised(path))
