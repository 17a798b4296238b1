"""What a study consists of: which recordings, in which parts, played how. Nothing here depends on who plays it."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from glob import has_magic
from typing import Annotated, Any, Literal

from annotated_types import Interval

from onwrist.errors import RecordingError
from onwrist.firmware_sim.study.store import reach
from onwrist.ranges import Checked, Share
from onwrist.settings import Bits, HopSeconds, RecordingHz, SensorHz

# Of plan, markers, manifest and tables; raised whenever one of them changes.
SCHEMA_VERSION = 1
# Where a folder is given: what its recordings may be called. A pattern is taken at its word.
SUFFIXES = (".npz", ".csv", ".tsv", ".hea", ".edf", ".bdf", ".h5", ".hdf5", ".parquet")
E4_SIGNAL = "BVP.csv"
# Small parts cost a file and a task each; more recordings than this say no more about their size than fewer.
MOST_IN_PART = 64


@dataclass(frozen=True)
class Source:
    """A file (or E4 folder) of recordings.

    Attributes:
        url: where it is. name: path below what all sources have in common: the same on every machine. bytes: its size.
    """

    url: str
    name: str
    bytes: int


@dataclass(frozen=True)
class Setting(Checked):
    """How recordings are played.

    Attributes:
        size, digest: the student and its integers. hop_s, sensor_hz, bits, gap: as for `stream`.
        rate_hz, channel: of the recordings, where their files do not tell.
        float_share: share of the recordings that the float student sees too.
        part_bytes: bytes of recordings in a part.
    """

    size: str
    digest: str
    hop_s: HopSeconds = 1.0
    sensor_hz: SensorHz = 64
    bits: Bits = 19
    gap: Literal["interpolate", "hold", "reset"] = "interpolate"
    rate_hz: RecordingHz | None = None
    channel: str | None = None
    float_share: Share = 0.0
    part_bytes: Annotated[int, Interval(ge=1, le=10**10)] = 1 << 23


@dataclass(frozen=True)
class Plan:
    """Parts in order, each a tuple of sources, and the setting they are played with."""

    setting: Setting
    parts: tuple[tuple[Source, ...], ...]

    def plain(self) -> dict[str, Any]:
        """As plain values. URLs stay out: a study may be moved and gone on with elsewhere."""
        parts = [[{"name": s.name, "bytes": s.bytes} for s in part] for part in self.parts]
        return {"schema": SCHEMA_VERSION, "setting": asdict(self.setting), "parts": parts}

    def text(self) -> bytes:
        """As JSON."""
        return (json.dumps(self.plain(), indent=1) + "\n").encode()


def make_plan(setting: Setting, patterns: Sequence[str]) -> Plan:
    """List what patterns name and cut it into parts by size, in the order of the names.

    Args:
        patterns: paths or URLs of files, E4 folders, folders of recordings, or with `*`, `**` and `?`.

    Raises:
        RecordingError: nothing matches. ConfigError: an unknown protocol.
    """
    found: dict[str, int] = {}
    for pattern in patterns:
        some = _matches(str(pattern))
        if not some:
            raise RecordingError("no recordings", where=pattern, cure="Check the pattern; quote it against the shell")
        found |= some
    urls = sorted(found)
    # commonpath would make one slash of the two behind a protocol.
    paths = [u.partition("://")[2] or u for u in urls]
    paths = ["/" + p.lstrip("/") for p in paths]
    common = posixpath.commonpath([posixpath.dirname(p) for p in paths])
    sources = [Source(u, p.removeprefix(common).lstrip("/"), found[u]) for u, p in zip(urls, paths, strict=True)]
    return Plan(setting, tuple(_parts(sources, setting.part_bytes)))


def _matches(pattern: str) -> dict[str, int]:
    """URL -> bytes."""
    fs, path = reach(pattern)
    remote = "://" in pattern
    found: dict[str, int] = {}
    for p in sorted(fs.glob(path)) if has_magic(path) else [path]:
        if not fs.exists(p):
            continue
        if not fs.isdir(p):
            some = {p: fs.size(p)}
        elif fs.exists(posixpath.join(p, E4_SIGNAL)):
            some = {p: fs.du(p)}
        else:
            inside = fs.find(p, detail=True)
            some = {q: info["size"] for q, info in inside.items() if q.lower().endswith(SUFFIXES)}
            for q in [q for q in some if posixpath.basename(q) == E4_SIGNAL]:
                folder = posixpath.dirname(q)
                some = {k: v for k, v in some.items() if posixpath.dirname(k) != folder} | {folder: fs.du(folder)}
        found |= {fs.unstrip_protocol(q) if remote else q: int(size) for q, size in some.items()}
    return found


def _parts(sources: Sequence[Source], most: int) -> list[tuple[Source, ...]]:
    parts: list[list[Source]] = []
    filled = 0
    for source in sources:
        if not parts or filled + source.bytes > most or len(parts[-1]) == MOST_IN_PART:
            parts.append([])
            filled = 0
        parts[-1].append(source)
        filled += source.bytes
    return [tuple(p) for p in parts]


def in_sample(name: str, share: float) -> bool:
    """Whether a recording is in a sample: by its name alone, so that it is the same wherever and whenever it is drawn."""
    drawn = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return drawn < share * 2**64
