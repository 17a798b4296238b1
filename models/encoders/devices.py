"""Where a training is computed."""

from __future__ import annotations

import torch

from onwrist.errors import ConfigError


def device_of(name: str) -> str:
    """`cpu`, `cuda` or `mps`; `auto` is the fastest of them that is there.

    Raises:
        ConfigError: it is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, usable in there.items() if usable)
    if not there.get(name, False):
        usable = ", ".join(d for d, u in there.items() if u)
        raise ConfigError(f"no {name} on this machine", field="device", cure=f"Use auto, or one of {usable}")
    return name
