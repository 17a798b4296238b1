"""The embedding's layer alone, fitted again: what a student already sees, read as another teacher would."""

from __future__ import annotations

import numpy as np
import torch

from onwrist.models.student.graph import takes_acceleration
from onwrist.models.student.network import Student
from onwrist.quantize.teaching.distillation import isolate
from onwrist.quantize.teaching.examples import Examples, in_units
from onwrist.signals.people.cohort import Progress, silent

BATCH = 512
# Of the mean square of a feature: what keeps features that hardly move from being blown up.
RIDGE = 1e-4


@torch.no_grad()
def fit_embedding(student: Student, examples: Examples, seed: int = 0, progress: Progress = silent) -> None:
    """Weighted least squares, in place, from the pool's features to the teacher's embedding; trunk and answers stay as they are.

    Args:
        examples: those of a training. seed: of the windows whose past is mirrored, as in training.
    """
    rng = np.random.default_rng(seed)
    width = student.embed.in_channels
    square, product = np.zeros((width + 1, width + 1)), np.zeros((width + 1, examples.embedding.shape[1]))
    student.eval()
    moves, seen = takes_acceleration(student), list[torch.Tensor]()
    watching = student.pool.register_forward_hook(lambda layer, given, pooled: seen.append(pooled))
    for first in progress(range(0, len(examples), BATCH), "embedding"):
        rows = slice(first, first + BATCH)
        given = [examples.x[rows], in_units(examples.acceleration[rows])][: 2 if moves else 1]
        student(*isolate([torch.from_numpy(part) for part in given], student.context, rng))
        pooled = np.concatenate([seen.pop()[..., -1].double().numpy(), np.ones((len(given[0]), 1))], axis=1)
        counted = pooled * examples.weight[rows, None].astype(np.float64)
        square += counted.T @ pooled
        product += counted.T @ examples.embedding[rows].astype(np.float64)
    watching.remove()
    square += RIDGE * np.diag(np.append(np.diag(square)[:-1], 0.0))
    found = np.linalg.solve(square, product)
    fitted = {"weight": torch.from_numpy(found[:-1].T[..., None]), "bias": torch.from_numpy(found[-1])}
    student.embed.load_state_dict({name: value.float() for name, value in fitted.items()})
