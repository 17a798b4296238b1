"""Weights that two implementations can both make: a fixed draw per parameter name."""

import numpy as np
import torch


def fill(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Same names, shapes and types, values drawn per name in sorted order."""
    out = {}
    for i, name in enumerate(sorted(state)):
        tensor = state[name]
        rng = np.random.default_rng(i)
        if not tensor.dtype.is_floating_point:
            out[name] = torch.zeros_like(tensor)
        elif name.endswith("running_var"):
            out[name] = torch.from_numpy(rng.uniform(0.5, 1.5, tensor.shape)).float()
        elif tensor.ndim <= 1:
            out[name] = torch.from_numpy(rng.normal(1.0 if name.endswith("weight") else 0.0, 0.1, tensor.shape)).float()
        else:
            out[name] = torch.from_numpy(rng.normal(0, 1.0, tensor.shape) / np.sqrt(tensor[0].numel())).float()
    return out


def waves(count: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(ppg, ecg, visible) of a fixed draw."""
    rng = np.random.default_rng(1234)
    ppg, ecg = (torch.from_numpy(rng.uniform(-1, 1, (count, 1000))).float() for _ in range(2))
    starts = np.linspace(0, 20, count).astype(int)
    return ppg, ecg, torch.from_numpy(starts[:, None] + np.arange(5))
