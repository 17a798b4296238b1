"""What a weights file says of itself and of what it was made from, as SHA-256, and whether that is true.

    self      its tensors and the rest of its metadata
    recipe    how it was made, as the file itself has it
    parent    the file that it was made from, "" without one
    teacher   the file of the encoder that it imitates, as its parent has it where it has one; "" without one

Files of earlier releases say nothing, and are read as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onwrist.errors import CheckpointError
from onwrist.resources import weights_metadata

FIELD = "digests"


def with_digests(
    state: Mapping[str, Tensor], metadata: Mapping[str, str], parent: Path | None, teacher: Path | None
) -> dict[str, str]:
    """Metadata (text by text, as safetensors has it) with the digests of a file and of what it was made from."""
    said = {
        "self": "",
        "recipe": hashlib.sha256(metadata["recipe"].encode()).hexdigest() if "recipe" in metadata else "",
        "parent": file_digest(parent),
        "teacher": file_digest(teacher) if teacher else _teacher_of(parent),
    }
    # The others are covered by the file's own, or they could be changed without a trace.
    said["self"] = _own(state, {**metadata, FIELD: json.dumps(said)})
    return {**metadata, FIELD: json.dumps(said)}


def check_digests(state: Mapping[str, Tensor], metadata: Mapping[str, str], where: str | Path) -> None:
    """Hold a file to what it says of itself; nothing where it says nothing.

    Raises:
        CheckpointError: tensors or metadata are not those that were written.
    """
    if FIELD not in metadata:
        return
    said = told(metadata, FIELD, where)
    if not isinstance(said, dict) or not isinstance(said.get("self"), str):
        raise damaged(where, FIELD)
    if said["self"] != _own(state, {**metadata, FIELD: json.dumps(said | {"self": ""})}):
        cure = "Fetch it or make it again"
        raise CheckpointError("holds other weights or metadata than were written", where=where, field=FIELD, cure=cure)


def told(metadata: Mapping[str, str], name: str, where: str | Path) -> Any:
    """A value of the metadata, which is JSON.

    Raises:
        CheckpointError: it is not there, or no JSON.
    """
    try:
        return json.loads(metadata[name])
    except (KeyError, ValueError, RecursionError):
        raise damaged(where, name) from None


def damaged(where: str | Path, name: str) -> CheckpointError:
    """The error of metadata that cannot be used."""
    return CheckpointError("damaged metadata", where=where, field=name, cure="Fetch it or make it again")


def file_digest(path: Path | None) -> str:
    """SHA-256 of a file, "" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""


def _teacher_of(parent: Path | None) -> str:
    if parent is None or parent.suffix != ".safetensors":
        return ""
    metadata = weights_metadata(parent)
    return str(told(metadata, FIELD, parent).get("teacher", "")) if FIELD in metadata else ""


def _own(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    sha = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name].detach().contiguous().cpu()
        sha.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        sha.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
