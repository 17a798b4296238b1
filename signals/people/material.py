"""Recordings of anyone as training material: which files, whose they are, and who is held out."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onwrist.errors import ConfigError, SplitError

# What globs may meet beside recordings.
NO_RECORDINGS = (".md", ".txt.license", ".json", ".toml", ".py")


@dataclass(frozen=True)
class Item:
    """One recording of the material.

    Attributes:
        path: of the file or folder. person: whose it is. role: "train" or "test".
    """

    path: Path
    person: str
    role: str


@dataclass(frozen=True)
class Material:
    """What a student is taught with.

    Attributes:
        items: recordings of one's own. sets: whether the open sets of ONWRIST_DATA teach as well.
    """

    items: tuple[Item, ...]
    sets: bool


def held_out_by_hash(person: str, share: float) -> bool:
    """Whether a person falls into the held-out share: by the name alone, so that new people change nobody's role."""
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:8], "big") / 2**64 < share


def find(
    patterns: Sequence[str],
    person: str | None = None,
    held_out: Sequence[str] = (),
    held_out_share: float = 0.2,
) -> list[Item]:
    """The recordings of some globs, with people and roles.

    Args:
        person: regular expression on the path whose first group is the person; None: every file is a person.
        held_out: people by name; empty: `held_out_share` of them by the hash of the name.

    Raises:
        ConfigError: a glob that finds nothing, or a path in which the expression finds nobody.
        SplitError: nobody to train on or nobody held out; a held-out name that nobody has.
    """
    paths: list[Path] = []
    for pattern in patterns:
        found = [Path(p) for p in sorted(glob.glob(pattern, recursive=True)) if not p.endswith(NO_RECORDINGS)]
        if not found:
            raise ConfigError(
                "finds no file", field=f"recordings: {pattern}", cure="Paths are relative to the spec's folder"
            )
        paths += found
    paths = list(dict.fromkeys(paths))
    people = [_person(path, person) for path in paths]
    unknown = sorted(set(held_out) - set(people))
    if unknown:
        raise SplitError(
            f"nobody is called {unknown[0]!r}",
            field="held_out",
            cure=f"Use names as the paths give them: {people[0]!r}",
        )
    test = set(held_out) or {p for p in people if held_out_by_hash(p, held_out_share)}
    if not test or test >= set(people):
        side = "held out" if not test else "left to train on"
        raise SplitError(
            f"of {len(set(people))} people nobody is {side}", field="held_out", cure="Name people in held_out"
        )
    return [Item(p, who, "test" if who in test else "train") for p, who in zip(paths, people, strict=True)]


def _person(path: Path, pattern: str | None) -> str:
    if pattern is None:
        return path.stem
    found = re.search(pattern, path.as_posix())
    if not found or not found[1]:
        raise ConfigError(f"finds nobody in {path}", field="person", cure="Its first group has to match in every path")
    return found[1]
