"""Recordings of anyone as training material: which files, whose they are, and who is held out."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
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
    people: Path | None = None,
) -> list[Item]:
    """The recordings of some globs, with people and roles.

    Args:
        person: regular expression on the path whose first group is the person; None: every file is a person.
        people: table of recording and person, in place of the expression; recordings relative to it.
        held_out: people by name; empty: `held_out_share` of them by the hash of the name.

    Raises:
        ConfigError: a glob that finds nothing, a path in which the expression finds nobody or of which the table says
            nothing, or no such table.
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
    whose = None if people is None else read_people(people)
    found_people = [_person(path, person) if whose is None else _in_table(path, whose, people) for path in paths]
    unknown = sorted(set(held_out) - set(found_people))
    if unknown:
        raise SplitError(
            f"nobody is called {unknown[0]!r}",
            field="held_out",
            cure=f"Use names as they are given: {found_people[0]!r}",
        )
    test = set(held_out) or {p for p in found_people if held_out_by_hash(p, held_out_share)}
    if not test or test >= set(found_people):
        side = "held out" if not test else "left to train on"
        raise SplitError(
            f"of {len(set(found_people))} people nobody is {side}", field="held_out", cure="Name people in held_out"
        )
    return [Item(p, who, "test" if who in test else "train") for p, who in zip(paths, found_people, strict=True)]


def read_people(table: Path) -> dict[Path, str]:
    """Recording (resolved) -> person, of a table with at least these two columns; other columns may be there.

    Raises:
        ConfigError: no such table, or one recording of two people.
    """
    cure = "The first line names recording and person"
    try:
        text = table.read_text("utf-8-sig")
        separator = max(",;\t|", key=text.split("\n", 1)[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        names = {(n or "").strip().lower(): n for n in reader.fieldnames or ()}
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot be read ({error})"[:200], where=table, field="people", cure=cure) from None
    if not {"recording", "person"} <= set(names):
        raise ConfigError("lacks recording or person", where=table, field="people", cure=cure)
    found: dict[Path, str] = {}
    for row in rows:
        recording, who = ((row[names[n]] or "").strip() for n in ("recording", "person"))
        place = (table.parent / recording).resolve()
        if not recording or not who or found.setdefault(place, who) != who:
            said = f"{recording} is of {found.get(place)!r} and of {who!r}" if recording and who else "an empty cell"
            raise ConfigError(said, where=table, field="people", cure="Name one person for each recording")
    return found


def _in_table(path: Path, whose: dict[Path, str], table: Path | None) -> str:
    who = whose.get(path.resolve())
    if who is None:
        raise ConfigError(f"does not say whose {path} is", where=table, field="people", cure="Add a row for it")
    return who


def _person(path: Path, pattern: str | None) -> str:
    if pattern is None:
        return path.stem
    found = re.search(pattern, path.as_posix())
    if not found or not found[1]:
        raise ConfigError(f"finds nobody in {path}", field="person", cure="Its first group has to match in every path")
    return found[1]
