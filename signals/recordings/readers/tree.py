"""Files that are trees of arrays (HDF5, MATLAB): which array is whose PPG, and where its rate stands.

Three layouts are known: an array called like a PPG beside its rate, times, ECG (at the top, or one group a person, or
a person's segments); windows (rows, samples) with one label and person a row; and tables of (time, ppg[, ecg]) as
`person/segment`, which are the xMAE authors' shards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import MAX_SAMPLES, Clock, uniform_clock
from onwrist.signals.recordings.names import (
    PERSON_NAMES,
    RESP_NAMES,
    base_and_unit,
    find_ecg,
    find_one,
    find_ppg,
    named,
    note_others,
    time_columns,
)
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.precision import single
from onwrist.signals.recordings.recording import Channel, Recording
from onwrist.signals.recordings.stamps import Stamps

RATE_NAMES = (
    "fs", "rate", "rate_hz", "sampling_rate", "samplingrate", "sample_rate", "samplerate", "sampling_frequency",
    "sampling_freq", "fs_hz", "fs_ppg", "ppg_fs", "freq", "frequency", "srate", "sf",
)  # fmt: skip
# The samples of a structure `ppg` are often called this.
VALUE_NAMES = ("v", "y", "x", "data", "values", "value", "signal", "samples", "sig")
# Groups that hold a file's signals and are no person.
PLAIN_GROUPS = ("data", "signals", "raw", "sensors", "recording", "signal", "waveforms", "physiology", "ppg", "root")
TABLE_COLUMNS = (2, 3, 4)
FEW = 8
# Signals of one rate may end apart; where one has this many times the other's samples, the rate is of one of them.
OTHER_LENGTH = 1.5
# One vector of at least this many samples in a file without names is its signal.
ENOUGH = 100


@dataclass(frozen=True, eq=False)
class Leaf:
    """One array of a tree.

    Attributes:
        path: names from the top down.
        shape, dtype: of the array.
        read: gives the array.
        attributes: lower-case name -> value, of the array itself and, behind them, of what holds it.
    """

    path: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]
    attributes: Mapping[str, object] = field(default_factory=dict)

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.dtype.kind in "iufb"

    @property
    def long(self) -> tuple[int, ...]:
        """Shape without the ones: (n, 1) is a vector."""
        return tuple(d for d in self.shape if d != 1)

    @property
    def name(self) -> str:
        """What it is called: `ppg/v` is ppg."""
        inner = len(self.path) > 1 and base_and_unit(self.path[-1])[0] in VALUE_NAMES
        return self.path[-2] if inner and base_and_unit(self.path[-2])[0] not in PLAIN_GROUPS[:-2] else self.path[-1]

    @property
    def holder(self) -> tuple[str, ...]:
        """The group whose signal it is."""
        return self.path[:-1] if self.name == self.path[-1] else self.path[:-2]

    def vector(self) -> np.ndarray:
        """Its values as (n,)."""
        return np.asarray(self.read()).reshape(-1)


@dataclass(frozen=True)
class Piece:
    """A recording that has not been read yet."""

    person: str
    segment: str
    make: Callable[[], Recording]


def read_tree(leaves: list[Leaf], asked: Asked) -> Recording:
    """The only recording of a tree, or the one that is asked for.

    Raises:
        RecordingError: none, or several of which none is named.
    """
    pieces = list(pieces_of(leaves, asked))
    if not pieces:
        listed = ", ".join("/".join(leaf.path) for leaf in leaves if leaf.numeric and leaf.long)[:300]
        raise RecordingError(
            "no PPG found", where=asked.name, field="channel",
            cure=f"Name its array with channel (--channel): {listed or '(the file has no arrays of numbers)'}",
        )  # fmt: skip
    person = asked.one_of("people", list(dict.fromkeys(p.person for p in pieces)), asked.subject, "subject")
    mine = [p for p in pieces if p.person == person]
    if len(mine) == 1 and asked.segment is None:
        return mine[0].make()
    segment = asked.one_of("segments", [p.segment for p in mine], asked.segment, "segment")
    return next(p for p in mine if p.segment == segment).make()


def pieces_of(leaves: list[Leaf], asked: Asked) -> Iterator[Piece]:
    """Every recording of a tree, in its order.

    Raises:
        RecordingError: an array of a shape that cannot be told.
    """
    for leaf in leaves:
        if np.prod(leaf.shape, dtype=np.float64) > MAX_SAMPLES:
            raise RecordingError(
                f"claims shape {leaf.shape}",
                where=asked.name,
                field="/".join(leaf.path),
                cure="Split it, or store it anew",
            )
    holders: dict[tuple[str, ...], list[Leaf]] = {}
    for leaf in leaves:
        if leaf.numeric and leaf.long:
            holders.setdefault(leaf.holder, []).append(leaf)
    found = [(holder, group, at) for holder, group in holders.items() if (at := _ppg_of(group, asked)) is not None]
    if found:
        for holder, group, at in found:
            yield from _signals(leaves, holder, group, at, asked)
        return
    if asked.channel is not None:
        everything = [leaf for group in holders.values() for leaf in group]
        named(["/".join(leaf.path) for leaf in everything], asked.channel, asked.name)
    tables = [leaf for leaf in leaves if leaf.numeric and _is_table(leaf) and len(leaf.path) > 1]
    if tables:
        for leaf in tables:
            yield Piece(leaf.path[0], "/".join(leaf.path[1:]), partial(_table, leaf, asked))
        return
    odd = next((leaf for leaf in leaves if leaf.numeric and len(leaf.long) > 1 and len(leaf.path) > 1), None)
    if odd is not None:
        raise RecordingError(
            f"shape {odd.shape}",
            where=asked.name,
            field="/".join(odd.path),
            cure="Columns are time, ppg and, if any, ecg",
        )
    vectors = [leaf for leaf in leaves if leaf.numeric and len(leaf.long) == 1 and leaf.long[0] >= ENOUGH]
    if len(vectors) == 1:
        yield from _signals(leaves, vectors[0].holder, vectors, 0, asked)


def _ppg_of(group: list[Leaf], asked: Asked) -> int | None:
    """Index of the PPG among a group's arrays."""
    if asked.channel is None:
        return find_ppg([leaf.name for leaf in group])[0]
    wanted = asked.channel.strip().strip("/")
    paths = ["/".join(leaf.path) for leaf in group]
    if wanted in paths:
        return paths.index(wanted)
    hits = [i for i, leaf in enumerate(group) if wanted.lower() in (leaf.name.lower(), leaf.path[-1].lower())]
    return hits[0] if len(hits) == 1 else None


def _signals(leaves: list[Leaf], holder: tuple[str, ...], group: list[Leaf], at: int, asked: Asked) -> Iterator[Piece]:
    """A group's PPG with what lies beside it: one recording, or one a row of windows."""
    ppg = group[at]
    where = "/".join(ppg.path)
    if len(ppg.long) > 2 or (len(ppg.long) == 2 and ppg.long[1] <= FEW):
        raise RecordingError(
            f"shape {ppg.shape}",
            where=asked.name,
            field=where,
            cure="Store one signal as (n,), or windows as (windows, n)",
        )
    who = [part for part in holder if base_and_unit(part)[0] not in PLAIN_GROUPS]
    person = who[0] if who else _word(leaves, holder, PERSON_NAMES) or asked.stem
    segment = "/".join(who[1:]) or "/".join(holder) or "all"
    if len(ppg.long) == 2:
        yield from _windows(leaves, group, ppg, person, asked)
        return
    yield Piece(person, segment, lambda: _signal(leaves, holder, group, at, person, asked))


def _signal(
    leaves: list[Leaf], holder: tuple[str, ...], group: list[Leaf], at: int, person: str, asked: Asked
) -> Recording:
    ppg = group[at]
    notices: list[str] = []
    length = ppg.long[0]
    beside = [leaf for leaf in group if len(leaf.long) == 1]
    names = [leaf.name for leaf in beside]
    if asked.channel is None:
        chosen, others = find_ppg(names)
        if chosen is not None:
            note_others(names[chosen], others, notices)
    told = _rate(leaves, ppg, holder)
    clock = start = None
    units = [str(leaf.attributes.get("units", "")) for leaf in beside]
    lead = find_ecg(names, units, beside.index(ppg))
    times = [i for i in time_columns(names) if beside[i].long == (length,) and beside[i] is not ppg]
    if times:
        clock, start = _clock(beside[times[0]], asked)
        notices.extend(clock.notices)
    if clock is None and lead is not None and told is not None:
        told = _own(told, ppg, beside[lead], _rate(leaves, beside[lead], holder, of=names[lead]), asked)
    rate = asked.rate(clock.rate_hz, names[times[0]]) if clock else asked.rate(told, "/".join(ppg.path))

    def channel(leaf: Leaf, rate_hz: float) -> Channel:
        x = leaf.vector()
        samples, offset = single(clock.lay(x) if clock is not None and len(x) == length else x)
        unit = str(leaf.attributes.get("units", leaf.attributes.get("unit", "")) or "file")
        return Channel(samples, rate_hz, leaf.name, unit, offset=offset)

    def other(index: int | None) -> Channel | None:
        if index is None:
            return None
        leaf = beside[index]
        own = rate if leaf.long == (length,) else _rate(leaves, leaf, holder, of=leaf.name)
        return channel(leaf, own) if own else None

    return Recording(
        channel(ppg, rate), asked.subject or person, asked.name, start, ecg=other(lead),
        resp=other(find_one(names, RESP_NAMES, beside.index(ppg))), notices=tuple(notices),
    )  # fmt: skip


def _own(told: float, ppg: Leaf, ecg: Leaf, of_ecg: float | None, asked: Asked) -> float | None:
    """The rate of the PPG, where one rate is told for it and for an ECG of another length: the user's, or None."""
    counts = ppg.long[0], ecg.long[0]
    if of_ecg != told or max(counts) < OTHER_LENGTH * min(counts):
        return told
    if asked.rate_hz is None:
        raise RecordingError(
            f"one rate ({told:g} Hz) for {counts[0]:,} samples of '{ppg.name}' and {counts[1]:,} of '{ecg.name}'",
            where=asked.name, field="/".join(ppg.path),
            cure=f"Store fs_{ppg.name} and fs_{ecg.name}, or give rate_hz (--rate-hz)",
        )  # fmt: skip
    return None


def _clock(leaf: Leaf, asked: Asked) -> tuple[Clock, float | None]:
    import pandas as pd

    field_name = "/".join(leaf.path)
    stamps = Stamps(leaf.name, str(leaf.attributes.get("units", "")), asked.name)
    stamps.add(pd.Series(leaf.vector()), 0)
    t, start = stamps.seconds(asked.rate_hz)
    return uniform_clock(t, asked.name, field_name), start


def _windows(leaves: list[Leaf], group: list[Leaf], ppg: Leaf, person: str, asked: Asked) -> Iterator[Piece]:
    """Windows (rows, n): one recording a row, with whatever else has one value a row."""
    rows = ppg.long[0]
    beside = {leaf.path[-1]: leaf for leaf in leaves if leaf.holder == ppg.holder and leaf is not ppg}
    labels = {n: leaf for n, leaf in beside.items() if leaf.shape and leaf.shape[0] == rows}
    people = next((labels.pop(k).read() for k in PERSON_NAMES if k in labels), None)
    ecg = next((labels.pop(k) for k in ("ecg", "ekg") if k in labels), None)
    rate = _rate(leaves, ppg, ppg.holder)
    # Read once, when the first row is asked for.
    whole = lru_cache(maxsize=None)(lambda leaf: np.asarray(leaf.read()).reshape(rows, -1))

    read = lru_cache(maxsize=None)(lambda leaf: np.asarray(leaf.read()))

    def make(i: int, who: str) -> Recording:
        rate_hz = asked.rate(rate, "/".join(ppg.path))
        samples, offset = single(whole(ppg)[i])
        lead = None
        if ecg is not None:
            values, lead_offset = single(whole(ecg)[i])
            lead = Channel(values, rate_hz, "ecg", "file", offset=lead_offset)
        kept = {name: read(leaf)[i] for name, leaf in labels.items()}
        wave = Channel(samples, rate_hz, ppg.name, "file", offset=offset)
        return Recording(wave, asked.subject or who, f"{asked.name}:{i}", ecg=lead, labels=kept)

    for i in range(rows):
        who = person if people is None else people[i]
        who = who.decode("utf-8", "replace") if isinstance(who, bytes) else str(who)
        yield Piece(who, str(i), partial(make, i, who))


def _is_table(leaf: Leaf) -> bool:
    return len(leaf.long) == 2 and min(leaf.long) in TABLE_COLUMNS and max(leaf.long) > FEW


def _table(leaf: Leaf, asked: Asked) -> Recording:
    """Columns time, ppg and, if any, ecg; rows of them are understood too."""
    field_name = "/".join(leaf.path)
    raw = np.asarray(leaf.read()).reshape(leaf.long)
    table = (raw.T if raw.shape[0] in TABLE_COLUMNS and raw.shape[1] > FEW else raw).astype(np.float64)
    if raw.dtype == np.float16:
        clock, start = _coarse(table[:, 0], asked, field_name), None
    else:
        import pandas as pd

        stamps = Stamps("table", "", asked.name)
        stamps.add(pd.Series(table[:, 0]), 0)
        t, start = stamps.seconds(asked.rate_hz)
        clock = uniform_clock(t, asked.name, field_name)
    rate = asked.rate(clock.rate_hz, field_name)
    samples, offset = single(clock.lay(table[:, 1]))
    ecg = None
    if table.shape[1] > 2:
        lead, lead_offset = single(clock.lay(table[:, 2]))
        ecg = Channel(lead, rate, "ecg", "min-max", offset=lead_offset)
    return Recording(
        Channel(samples, rate, "ppg", "min-max", offset=offset), asked.subject or leaf.path[0], f"{asked.name}:{field_name}",
        start, ecg=ecg, notices=clock.notices,
    )  # fmt: skip


def _coarse(t: np.ndarray, asked: Asked, field_name: str) -> Clock:
    """The authors store times in half precision: too coarse to tell steps apart, but their span is right.

    Raises:
        RecordingError: the times do not lie on one line, within what half precision can say.
    """
    span = float(t[-1] - t[0])
    resolution = float(np.spacing(np.float16(np.abs(t).max())))
    if not span > 0:
        raise RecordingError(
            "times do not increase", where=asked.name, field=field_name, cure="Store them in double precision"
        )
    step = span / (len(t) - 1)
    if np.abs(t - t[0] - step * np.arange(len(t))).max() > 2 * resolution + step:
        raise RecordingError(
            "times in half precision with a gap in them", where=asked.name, field=field_name,
            cure="Store them in double precision",
        )  # fmt: skip
    rate = 1.0 / step
    if abs(round(rate) / rate - 1.0) <= max(2e-3, resolution / span):
        rate = float(round(rate))
    return Clock(rate, len(t))


def _rate(leaves: list[Leaf], leaf: Leaf, holder: tuple[str, ...], of: str = "") -> float | None:
    """The rate in an array's attributes, or in a number beside it or above it."""
    for key, value in leaf.attributes.items():
        if base_and_unit(str(key))[0] in RATE_NAMES:
            number = _one_number(value)
            if number is not None:
                return number
    base = base_and_unit(of or leaf.name)[0]
    wanted = (f"fs_{base}", f"{base}_fs", *(RATE_NAMES if not of else ("fs",)))
    places = [leaf.path[:-1], *(holder[:n] for n in range(len(holder), -1, -1))]
    for place in dict.fromkeys(places):
        for name in wanted:
            for other in leaves:
                if (
                    other.path[:-1] == place
                    and not other.long
                    and other.numeric
                    and base_and_unit(other.path[-1])[0] == name
                ):
                    number = _one_number(other.read())
                    if number is not None:
                        return number
    return None


def _one_number(value: object) -> float | None:
    if isinstance(value, bytes | str):
        value = re.sub(
            r"\s*hz$", "", value.decode("utf-8", "replace") if isinstance(value, bytes) else value, flags=re.IGNORECASE
        )
    try:
        values = np.asarray(value).reshape(-1).astype(np.float64)
    except (TypeError, ValueError):
        return None
    return float(values[0]) if len(values) == 1 and np.isfinite(values[0]) and values[0] > 0 else None


def _word(leaves: list[Leaf], holder: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    """A word beside a group's arrays, such as the person's id."""
    for leaf in leaves:
        words = leaf.path[:-1] in (holder, ()) and not leaf.long and leaf.dtype.kind in "OSU"
        if words and base_and_unit(leaf.path[-1])[0] in names:
            value = np.asarray(leaf.read()).reshape(-1)[0]
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return None
