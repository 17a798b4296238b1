"""Weights to and from files: safetensors for what ships, `weights_only` for the authors' `.pth`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models.xmae import XMAE, XMAEConfig
from models.xmae import Path as PpgPath
from signals.errors import CheckpointError

WEIGHTS = Path(__file__).resolve().parent / "weights"
TEACHER = WEIGHTS / "teacher.safetensors"
PREFIX = "model."


def read_state(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """State dict and metadata of a `.safetensors`, `.pth`, `.pt` or `.ckpt` file, prefix `model.` taken off.

    Nothing in the file is executed.

    Raises:
        CheckpointError: missing, damaged, or no state dict.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError("no such file", where=path, cure="Check the path")
    metadata: dict[str, str] = {}
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                metadata = dict(file.metadata() or {})
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
            state = loaded.get("state_dict", loaded.get("model", loaded)) if isinstance(loaded, dict) else None
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, Exception) as error:
        raise CheckpointError(
            f"cannot be read ({type(error).__name__})", where=path, cure="Give a state dict of tensors"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError("holds no state dict of tensors", where=path, cure="Save model.state_dict()")
    if state and all(name.startswith(PREFIX) for name in state):
        state = {name[len(PREFIX) :]: value for name, value in state.items()}
    return state, metadata


def load_strict(model: nn.Module, state: dict[str, Tensor], where: str | Path) -> None:
    """Load with every name and shape matching; says which do not.

    Raises:
        CheckpointError: names or shapes differ.
    """
    own = model.state_dict()
    wrong = [f"{n} is missing" for n in own if n not in state]
    wrong += [f"{n} is not in the model" for n in state if n not in own]
    wrong += [
        f"{n} has shape {tuple(state[n].shape)}, not {tuple(own[n].shape)}"
        for n in own
        if n in state and state[n].shape != own[n].shape
    ]
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise CheckpointError("; ".join(wrong[:3]) + more, where=where, cure="Check the model's config")
    model.load_state_dict(state)


def load_xmae(path: str | Path, config: XMAEConfig = XMAEConfig()) -> XMAE:
    """The whole pretraining graph from a checkpoint in the authors' format, strictly, in eval mode."""
    model = XMAE(config)
    load_strict(model, read_state(path)[0], path)
    return model.eval()


def load_encoder(path: str | Path | None = None, config: XMAEConfig = XMAEConfig()) -> PpgPath:
    """The PPG encoder alone, in eval mode: from a whole checkpoint, or from one that holds only `ppg_path`.

    Args:
        path: default is the shipped teacher.
    """
    path = path or TEACHER
    state, _ = read_state(path)
    if any(name.startswith("ecg_path.") for name in state):
        return load_xmae(path, config).ppg_path
    encoder = PpgPath(config, config.ppg_depth)
    # What only pretraining uses is not in a deployable checkpoint; its start values stay.
    unused = ("dec_blk.", "decoder.", "mask_loc_table.")
    own = {n: v for n, v in encoder.state_dict().items() if n.startswith(unused)}
    load_strict(encoder, {**own, **{n.removeprefix("ppg_path."): v for n, v in state.items()}}, path)
    return encoder.eval()


def deployable(encoder: PpgPath) -> dict[str, Tensor]:
    """The tensors of the deployable PPG encoder, named as in the authors' checkpoints."""
    unused = ("dec_blk.", "decoder.", "mask_loc_table.")
    return {f"ppg_path.{n}": v for n, v in encoder.state_dict().items() if not n.startswith(unused)}


def save_weights(path: Path, state: dict[str, Tensor], metadata: dict) -> None:
    """Write safetensors whole or not at all; `metadata` values are stored as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(
        {n: v.detach().contiguous().cpu() for n, v in state.items()},
        part,
        {k: json.dumps(v) for k, v in metadata.items()},
    )
    os.replace(part, path)
