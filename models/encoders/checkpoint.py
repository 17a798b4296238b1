"""Weights to and from files: safetensors for what ships, `weights_only` for the authors' `.pth`."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from onwrist.errors import CheckpointError
from onwrist.models.encoders.digests import check_digests, damaged, told, with_digests
from onwrist.models.encoders.resnet import ResNet1D
from onwrist.models.encoders.vit import ViT1D
from onwrist.models.encoders.xmae import XMAE, XMAEConfig
from onwrist.models.encoders.xmae import Path as PpgPath
from onwrist.models.objectives.zoo import SYSTEMS
from onwrist.resources import WEIGHTS, weights_metadata
from onwrist.writing import write_whole

TEACHER = WEIGHTS / "teacher.safetensors"
SHIPPED_TEACHER = "xmae-rhythm"  # the system that made TEACHER
PREFIX = "model."
PRETRAINING_ONLY = ("dec_blk.", "decoder.", "mask_loc_table.")
# Encoders beside xMAE's, by the name that a checkpoint carries.
PLAIN: dict[str, type[nn.Module]] = {"vit1d": ViT1D, "resnet1d": ResNet1D}


def read_state(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """State dict and metadata of a `.safetensors`, `.pth`, `.pt` or `.ckpt` file, prefix `model.` taken off.

    Nothing in the file is executed. A file that carries digests is held to its own.

    Raises:
        CheckpointError: missing, damaged, changed since it was written, or no state dict.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError("no such file", where=path, cure="Check the path")
    metadata: dict[str, str] = {}
    state: Any
    try:
        if path.suffix == ".safetensors":
            # Not mapped into memory: a file that is written over, or cut, while its tensors are in use is a bus error.
            data = path.read_bytes()
            state, metadata = load(data), weights_metadata(data)
        else:
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
            state = loaded.get("state_dict", loaded.get("model", loaded)) if isinstance(loaded, dict) else None
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, Exception) as error:
        raise CheckpointError(
            f"cannot be read ({type(error).__name__})", where=path, cure="Give a state dict of tensors"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError("holds no state dict of tensors", where=path, cure="Save model.state_dict()")
    check_digests(state, metadata, path)
    if state and all(name.startswith(PREFIX) for name in state):
        state = {name[len(PREFIX) :]: value for name, value in state.items()}
    return state, metadata


def load_strict(model: nn.Module, state: dict[str, Tensor], where: str | Path) -> None:
    """Load with every name and shape matching; says which do not.

    Raises:
        CheckpointError: names, shapes or kinds of number differ.
    """
    own = model.state_dict()
    wrong = [f"{n} is missing" for n in own if n not in state]
    wrong += [f"{n} is not in the model" for n in state if n not in own]
    wrong += [
        f"{n} is {state[n].dtype}"
        for n in own
        if n in state and state[n].is_floating_point() != own[n].is_floating_point()
    ]
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


def load_encoder(source: str | Path | None = None, config: XMAEConfig = XMAEConfig()) -> nn.Module:
    """An encoder in eval mode: (B, 1000) windows, 10 s at 100 Hz scaled to [-1, 1], to embeddings (B, d).

    Args:
        source: None for the shipped teacher; the name of a system (`models.zoo.SYSTEMS`), as pretraining left it;
            `my_encoder.py:make` or `package.module:make`, a function without arguments that returns an nn.Module; or a
            checkpoint, the authors' (the whole graph or its `ppg_path`) or one written by `save_encoder`.
        config: shape of an xMAE checkpoint.

    Raises:
        CheckpointError: missing, damaged, or of another shape; a function that is not there or makes no encoder.
    """
    text = str(source or TEACHER)
    if text in SYSTEMS:
        return _named(text, config)
    if ":" in text and not Path(text).exists():
        return made_by_user(text)
    state, metadata = read_state(text)
    kind = told(metadata, "encoder", text) if "encoder" in metadata else "xmae"
    if not isinstance(kind, str):
        raise damaged(text, "encoder")
    if kind in PLAIN:
        encoder = PLAIN[kind]()
        load_strict(encoder, state, text)
        return encoder.eval()
    if any(name.startswith("ecg_path.") for name in state):
        return load_xmae(text, config).ppg_path
    encoder = PpgPath(config, config.ppg_depth)
    # What only pretraining uses is not in a deployable checkpoint; its start values stay.
    own = {n: v for n, v in encoder.state_dict().items() if n.startswith(PRETRAINING_ONLY)}
    load_strict(encoder, {**own, **{n.removeprefix("ppg_path."): v for n, v in state.items()}}, text)
    return encoder.eval()


def encoder_weights(name: str) -> Path:
    """Where a system's encoder is: among the shipped weights, else where pretraining leaves it; may not exist."""
    shipped = TEACHER if name == SHIPPED_TEACHER else WEIGHTS / f"{name}.safetensors"
    return shipped if shipped.exists() else Path("runs/pretrain") / name / "encoder.safetensors"


def teacher_file(teacher: str | None) -> Path:
    """The file behind a teacher as `load_encoder` takes it; may not exist."""
    name = teacher or SHIPPED_TEACHER
    if name in SYSTEMS:
        return encoder_weights(name) if teacher else TEACHER
    return Path(name.rpartition(":")[0] if ".py:" in name else name)


def _named(name: str, config: XMAEConfig) -> nn.Module:
    path = encoder_weights(name)
    if not path.exists():
        raise CheckpointError(
            f"{name} has not been trained", where=path, cure=f"Run python models/pretrain.py --method {name}"
        )
    return load_encoder(path, config)


def made_by_user(text: str, what: str = "encoder", **arguments: int) -> nn.Module:
    """What a user's function makes, in eval mode; `text` is `file.py:function` or `package.module:function`.

    Raises:
        CheckpointError: no such function, it fails, or what it makes is no nn.Module.
    """
    place, _, function = text.rpartition(":")
    takes = f"a function of {', '.join(arguments)}" if arguments else "a function without arguments"
    cure = f"Name {takes} that returns an nn.Module, as my_{what}.py:make"
    try:
        if place.endswith(".py"):
            # As if she had started it herself: what lies beside her file can be imported, now and when it runs.
            beside = str(Path(place).resolve().parent)
            if beside not in sys.path:
                sys.path.insert(0, beside)
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            if spec is None or spec.loader is None:
                raise ImportError(f"{place} is no module")
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(module.__name__, module)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        encoder = getattr(module, function)(**arguments)
    except Exception as error:  # her code may raise anything
        line = _own_line(error, place)
        raise CheckpointError(
            f"gives no {what} ({type(error).__name__}: {error}{line})", where=text, cure=cure
        ) from error
    if not isinstance(encoder, nn.Module):
        raise CheckpointError(f"gave a {type(encoder).__name__}", where=text, cure=cure)
    return encoder.eval()


def _own_line(error: Exception, place: str) -> str:
    """ ", line N of FILE" where the trace passes through the user's file last."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == Path(place).name]
    return f", line {own[-1].lineno} of {Path(place).name}" if own else ""


def embedding_width(encoder: nn.Module, samples: int = XMAEConfig().samples) -> int:
    """Width of an encoder's embedding, found by giving it two windows of so many samples.

    Raises:
        CheckpointError: it does not take (2, samples) or does not return (2, d).
    """
    cure = f"forward must take (B, {samples}) float32 and return (B, d)"
    try:
        with torch.no_grad():
            out = encoder(torch.zeros(2, samples))
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"does not take a window ({error})"[:300], field="forward", cure=cure) from error
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != 2:
        found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise CheckpointError(f"returned {found} for two windows", field="forward", cure=cure)
    return out.shape[1]


def save_encoder(path: Path, encoder: nn.Module, metadata: dict) -> None:
    """An encoder of this project with the name of its network, so that `load_encoder` can build it."""
    kind = next((name for name, made in PLAIN.items() if isinstance(encoder, made)), "xmae")
    state = encoder.state_dict() if kind in PLAIN else deployable(encoder)
    save_weights(path, state, {"encoder": kind, **metadata})


def deployable(encoder: nn.Module) -> dict[str, Tensor]:
    """The tensors of the deployable PPG encoder, named as in the authors' checkpoints."""
    return {f"ppg_path.{n}": v for n, v in encoder.state_dict().items() if not n.startswith(PRETRAINING_ONLY)}


def save_weights(
    path: Path, state: dict[str, Tensor], metadata: dict, *, parent: Path | None = None, teacher: Path | None = None
) -> None:
    """Write safetensors whole or not at all, with digests of themselves and of what they were made from.

    Args:
        metadata: values are stored as JSON; `recipe` says how they were made.
        parent: the file of the weights that they started from or imitate in integers. teacher: of the encoder.

    Raises:
        ExportError: the folder cannot be written.
    """
    tensors = {n: v.detach().contiguous().cpu() for n, v in state.items()}
    said = with_digests(tensors, {k: json.dumps(v) for k, v in metadata.items()}, parent, teacher)
    write_whole(path, save(tensors, said))
