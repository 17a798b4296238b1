"""Features of many windows from many encoders, computed once: a cache beside the results."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from onwrist.errors import CheckpointError
from onwrist.models.bench.probe import encode, interval_features
from onwrist.models.bench.tasks import Windows
from onwrist.models.encoders.checkpoint import PRETRAINING_ONLY, embedding_width, load_encoder
from onwrist.models.encoders.resnet import ResNet1D
from onwrist.models.encoders.vit import ViT1D
from onwrist.models.objectives.cross_modal import CrossModal
from onwrist.models.objectives.zoo import SYSTEMS

HAND_MADE, NO_SIGNAL = "hand-made intervals", "no signal"
# What any trained encoder must beat: each network with the weights that it is born with, and two that need none.
RANDOM = {"random xMAE": lambda: CrossModal().encoder, "random ViT-1D": ViT1D, "random ResNet1D": ResNet1D}
FLOORS = (*RANDOM, HAND_MADE, NO_SIGNAL)
RANDOM_SEED = 0
# Before the name of a user's encoder: the same network with other weights.
REBORN = "random "


def title(name: str) -> str:
    """How a system is called in a table."""
    return SYSTEMS[name].title if name in SYSTEMS else name


@dataclass(frozen=True)
class Extractor:
    """Features by system name.

    Attributes:
        cache: folder of stored features; None keeps nothing.
        bf16: bfloat16 networks. device: where they are computed.
        loaded: encoders by name, each loaded and checked once for all sets.
    """

    cache: Path | None = None
    bf16: bool = True
    device: str = "cpu"
    loaded: dict[str, nn.Module] = field(default_factory=dict, repr=False)

    def features(self, name: str, windows: Windows) -> np.ndarray:
        """What a probe reads of each window, (n, k).

        Args:
            name: a floor, or whatever `load_encoder` takes.

        Raises:
            CheckpointError: no such encoder, or it does not do what an encoder does.
        """
        if name == NO_SIGNAL:
            return np.zeros((len(windows.teacher), 1), np.float32)
        if name == HAND_MADE:
            return self._stored("intervals", windows.teacher, lambda: interval_features(windows.teacher))
        encoder = self._encoder(name)
        key = "" if ":" in name else _digest(encoder)  # a user's code may change where its weights do not
        found = self._stored(
            key, windows.teacher, lambda: encode(encoder, windows.teacher, bf16=self.bf16, device=self.device)[0]
        )
        if not np.isfinite(found).all():
            raise CheckpointError("gives features that are not finite", where=name, cure="Check its weights")
        return found

    def born(self, name: str) -> str | None:
        """The floor that is a system's own network with random weights; None of what has no weights."""
        if name in FLOORS or name.startswith(REBORN):
            return None
        encoder = self._encoder(name)
        known = next((floor for floor in RANDOM if type(self._encoder(floor)) is type(encoder)), None)
        return known or (f"{REBORN}{name}" if next(encoder.parameters(), None) is not None else None)

    def _encoder(self, name: str) -> nn.Module:
        if name not in self.loaded:
            if name in RANDOM:
                torch.manual_seed(RANDOM_SEED)
                self.loaded[name] = RANDOM[name]().eval()
            elif name.startswith(REBORN):
                self.loaded[name] = reborn(self._encoder(name.removeprefix(REBORN)))
            else:
                self.loaded[name] = load_encoder(name)
            embedding_width(self.loaded[name])
        return self.loaded[name]

    def _stored(self, key: str, windows: np.ndarray, compute) -> np.ndarray:
        if self.cache is None or not key:
            return compute()
        digest = hashlib.sha256(f"{key} {self.bf16}".encode() + np.ascontiguousarray(windows).tobytes()).hexdigest()
        path = self.cache / f"{digest[:24]}.npy"
        if path.exists():
            return np.load(path)
        found = compute()
        self.cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, found)
        part.replace(path)
        return found


@torch.no_grad()
def reborn(encoder: nn.Module) -> nn.Module:
    """A copy with random weights: layers as they are born, parameters that belong to none of torch's layers shuffled."""
    found = copy.deepcopy(encoder).eval()
    torch.manual_seed(RANDOM_SEED)
    for module in found.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        else:
            for parameter in module.parameters(recurse=False):
                parameter.copy_(parameter.flatten()[torch.randperm(parameter.numel())].view_as(parameter))
    return found


def _digest(encoder: nn.Module) -> str:
    found = hashlib.sha256(type(encoder).__name__.encode())
    for name, value in encoder.state_dict().items():
        if name.startswith(PRETRAINING_ONLY):
            continue  # not in a checkpoint: other start values at every loading, and no part of a feature
        found.update(name.encode() + value.contiguous().numpy().tobytes())
    return found.hexdigest()
