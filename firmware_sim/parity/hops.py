"""The outputs of a watch as columns: an array each for all of them, not an object for every one, so that a day is small."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from onwrist.firmware_sim.watch.watch import Hop, Why, witnessed
from onwrist.signals.front_end.acceleration import AXES
from onwrist.signals.pulse.onsets import Beat

# Outputs that are objects at a time.
BLOCK = 1 << 10
BEAT = np.dtype([("time", np.int64), ("found", np.int64), ("interval", np.int64), ("confidence", np.int64)])


@dataclass(frozen=True)
class Hops:
    """Outputs in order, as `Hop` describes them.

    Attributes:
        frames: int8 (n, frames of a hop, answers); no frames of a student that answers once a hop.
        time_s, done_s, latency_s: float64 (n,). why: int64 (n,), bits of `Why`. first: bool (n,). sequence: int64 (n,).
        chunks: int8 (n, hop). real: float32 (n, hop). embedding, answers: int8 (n, width).
        counts: int32, of all outputs one after the other. fed: int64 (n,), how many of them are of each.
        beats: `BEAT`, of all outputs. found: int64 (n,), how many of them are of each.
        unmoved: int64 (n,). acceleration: int8 (n, hop, 3), (n, 0, 3) of a student of light alone.
    """

    time_s: np.ndarray
    done_s: np.ndarray
    latency_s: np.ndarray
    why: np.ndarray
    first: np.ndarray
    sequence: np.ndarray
    chunks: np.ndarray
    real: np.ndarray
    embedding: np.ndarray
    answers: np.ndarray
    counts: np.ndarray
    fed: np.ndarray
    beats: np.ndarray
    found: np.ndarray
    frames: np.ndarray
    unmoved: np.ndarray
    acceleration: np.ndarray

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def valid(self) -> np.ndarray:
        """(n,) whether the window is real signal."""
        return (self.why & ~int(Why.POOR)) == 0

    @property
    def shown(self) -> np.ndarray:
        """(n,) valid, and good in the model's own eyes."""
        return self.why == 0

    @property
    def fed_counts(self) -> list[np.ndarray]:
        """What went into the front end since the output before, a view for each output."""
        return np.split(self.counts, np.cumsum(self.fed)[:-1]) if len(self) else []

    def each(self) -> list[Hop]:
        """The same as objects, for whoever looks at one after the other."""
        beats = [Beat(b["time"], b["interval"], b["confidence"], b["found"]) for b in self.beats]
        ends = np.cumsum(self.found)
        return [
            Hop(
                self.time_s[i], self.done_s[i], self.chunks[i], bool(self.first[i]), self.embedding[i], self.answers[i],
                Why(int(self.why[i])), int(self.sequence[i]), self.latency_s[i], tuple(beats[ends[i] - self.found[i] : ends[i]]),
                self.frames[i] if self.frames.shape[1] else None,
                self.acceleration[i] if self.acceleration[i].size else None, int(self.unmoved[i]),
            )
            for i in range(len(self))
        ]  # fmt: skip


def gather(hops: Iterable[Hop]) -> Hops:
    """The outputs of a watch with a witness, as they come.

    Raises:
        ConfigError: it had no witness.
    """
    coming = iter(hops)
    blocks = [_columns(list(itertools.islice(coming, BLOCK)))]
    while block := list(itertools.islice(coming, BLOCK)):
        blocks.append(_columns(block))
    if len(blocks[0]["time_s"]) == 0:
        return Hops(**blocks[0])
    # Column by column, so that only one of them is there twice.
    return Hops(**{f.name: np.concatenate([b.pop(f.name) for b in blocks]) for f in fields(Hops)})


def _columns(hops: list[Hop]) -> dict[str, np.ndarray]:
    counts = witnessed(hops, "counts")
    beats = [(b.time, b.found, b.interval, b.confidence) for h in hops for b in h.beats]
    return {
        **{name: np.array([getattr(h, name) for h in hops], np.float64) for name in ("time_s", "done_s", "latency_s")},
        "why": np.array([int(h.why) for h in hops], np.int64), "first": np.array([h.first for h in hops], bool),
        "sequence": np.array([h.sequence for h in hops], np.int64),
        "chunks": _rows([h.chunk for h in hops], np.int8), "real": _rows(witnessed(hops, "real"), np.float32),
        "embedding": _rows([h.embedding for h in hops], np.int8), "answers": _rows([h.answers for h in hops], np.int8),
        "counts": np.concatenate([np.zeros(0, np.int32), *counts]), "fed": np.array([len(c) for c in counts], np.int64),
        "unmoved": np.array([h.unmoved for h in hops], np.int64), "acceleration": _moves(hops),
        "beats": np.array(beats, BEAT), "found": np.array([len(h.beats) for h in hops], np.int64),
        "frames": _frames(hops),
    }  # fmt: skip


def _frames(hops: list[Hop]) -> np.ndarray:
    said = [h.frames for h in hops if h.frames is not None]
    return np.stack(said) if said else np.zeros((len(hops), 0, len(hops[0].answers) if hops else 0), np.int8)


def _rows(rows: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.stack(rows) if rows else np.zeros((0, 0), dtype)


def _moves(hops: list[Hop]) -> np.ndarray:
    none = np.zeros((0, AXES), np.int8)
    rows = [none if h.acceleration is None else h.acceleration for h in hops]
    return np.stack(rows) if rows else np.zeros((0, 0, AXES), np.int8)
