"""Counters of recordings, by the exported C on this machine; and the reference that a bundle carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from onwrist.export.handoff.reference import SHIPPED, Reference
from onwrist.export.sources.acceleration_rules import acceleration_of
from onwrist.export.sources.firmware import firmware_sources, with_telemetry
from onwrist.export.sources.telemetry_rules import (
    DIRECTION,
    MOST_DIRECTIONS,
    TelemetryRules,
    signs,
    telemetry_rules,
    unpack,
)
from onwrist.export.sources.watch_rules import BURST as USUAL_BURST
from onwrist.firmware_sim.runtimes.native import WatchInC
from onwrist.firmware_sim.watch.script import ALL, Script
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.resources import SHIPPED as FOLDER
from onwrist.signals.front_end.counts import acceleration_wave, convert, convert_acceleration, count_wave
from onwrist.signals.front_end.fixed import FixedDesign
from onwrist.signals.people.split import person_of
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Recording

# Of each recording: enough for a person's distribution, and a bundle is made and checked in seconds.
PERSON_S = 1200.0
# A person of whom less than this is valid says nothing about people.
LEAST_OUTPUTS = 60
# Directions that say the same twice are a waste of counters.
MOST_CORRELATED = 0.7
# No sample is lost here, so that the size of a burst changes no answer, and calls cost time.
BURST = 1024

# Counts (n,) of a sensor -> what the sensor would have said instead.
Change = Callable[[np.ndarray], np.ndarray]


class Counter:
    """Plays recordings through the exported watch and reads its counters.

    Args:
        model, hop, fixed: student and sensor. rules: what is counted.

    Raises:
        ExportError: it does not compile.
    """

    def __init__(self, model: IntegerModel, hop: int, fixed: FixedDesign, rules: TelemetryRules):
        self.fixed, self.rules = fixed, rules
        self.acceleration = acceleration_of(model, fixed)
        # Acceleration is paired with light from the second burst on.
        self.burst = BURST if self.acceleration is None else USUAL_BURST
        self.watch = WatchInC(with_telemetry(firmware_sources(model, hop, fixed, self.burst), rules))

    def counts(self, recording: Recording, most_s: float = PERSON_S) -> tuple[np.ndarray, ...]:
        """Counts int32 (n,) of the first seconds of a recording, and which of them there are, bool (n,); then the same of
        acceleration, (m, 3) and (m,), where the student takes it."""
        wave, present = count_wave(recording, self.fixed.rate_hz, self.fixed.bits)
        last = round(most_s * self.fixed.rate_hz)
        found = convert(wave[:last], self.fixed.bits), present[:last]
        if self.acceleration is None:
            return found
        a = self.acceleration
        wave, present = acceleration_wave(recording, a.rate_hz)
        last = round(most_s * a.rate_hz)
        return *found, convert_acceleration(wave[:last], a.bits, a.counts_per_g), present[:last]

    def embeddings(self, counts: np.ndarray, present: np.ndarray, *beside: np.ndarray) -> np.ndarray:
        """int8 (n, width) of the outputs that are counted: their window is whole."""
        self.watch.init()
        found = self.watch.play(self._script(slice(0, len(counts)), counts, present, *beside))
        return found.embedding[found.reasons & 1 == 0]

    def blocks(self, counts: np.ndarray, present: np.ndarray, block_s: float, *beside: np.ndarray) -> np.ndarray:
        """Counters int64 (blocks, 80) of a recording played from power-up on, block by block; a rest is left out."""
        self.watch.init()
        size, before, found = round(block_s * self.fixed.rate_hz), unpack(self.watch.telemetry), []
        for begin in range(0, len(counts) - size + 1, size):
            self.watch.play(self._script(slice(begin, begin + size), counts, present, *beside))
            now = unpack(self.watch.telemetry)
            found.append(now - before)
            before = now
        return np.array(found, np.int64).reshape(-1, len(before))

    def _script(self, part: slice, counts: np.ndarray, present: np.ndarray, *beside: np.ndarray) -> Script:
        """What there is of a part, acceleration before light of the same time."""
        script = Script()
        for first, last in _pieces(present, part, self.burst):
            if beside and self.acceleration:
                rows = slice(*(i * self.acceleration.rate_hz // int(self.fixed.rate_hz) for i in (first, last)))
                for a, b in _pieces(beside[1], rows, self.burst):
                    script.push(a, beside[0][a:b], 0)
            script.push(first, counts[first:last], ALL)
        return script


def _pieces(present: np.ndarray, part: slice, burst: int) -> Iterator[tuple[int, int]]:
    """(first, last) of what there is in a part, in bursts."""
    edges = part.start + np.flatnonzero(np.diff(present[part].astype(np.int8), prepend=0, append=0))
    for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        for i in range(a, b, burst):
            yield i, min(i + burst, b)


def make_reference(
    model: IntegerModel, hop: int, fixed: FixedDesign, recordings: Iterable[Recording], source: str
) -> Reference:
    """Counters of the people of recordings, in the order of their names, with directions and edges made for them.

    Args:
        recordings: read one at a time. source: whose, in words.

    Raises:
        ExportError: the C does not compile.
    """
    first = Counter(model, hop, fixed, telemetry_rules(model.digest(), hop, fixed, model.answers.columns, (), ()))
    people = _by_person(first, recordings)
    seen = [np.concatenate([first.embeddings(*part) for part in parts]) for parts in people]
    patterns, edges = directions([s for s in seen if len(s) >= LEAST_OUTPUTS])
    rules = telemetry_rules(model.digest(), hop, fixed, model.answers.columns, patterns, edges)
    counter = Counter(model, hop, fixed, rules)
    some = [parts for parts, s in zip(people, seen, strict=True) if len(s) >= LEAST_OUTPUTS]
    return Reference(rules, np.array([_count(counter, parts) for parts in some]), source)


def _count(counter: Counter, parts: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    """Counters (80,) of one person's recordings."""
    every = [
        counter.blocks(counts, there, len(counts) / counter.fixed.rate_hz, *beside)[0]
        for counts, there, *beside in parts
    ]
    return np.sum(every, axis=0)


def _by_person(counter: Counter, recordings: Iterable[Recording]) -> list[list[tuple[np.ndarray, ...]]]:
    light: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for recording in recordings:
        light.setdefault(person_of(recording.subject), []).append(counter.counts(recording))
    return [light[name] for name in sorted(light)]


def differing_share(model: IntegerModel, hop: int, fixed: FixedDesign, found: Reference) -> float:
    """Share of a reference's counts that this machine counts otherwise of the recordings that ship, by the same edges."""
    counter = Counter(model, hop, fixed, found.rules)
    people = _by_person(counter, shipped_recordings())
    made = np.array([_count(counter, parts) for parts in people])
    if made.shape != found.people.shape:
        return 1.0
    return float(np.abs(made - found.people).sum() / max(1, made.sum()))


def directions(people: Sequence[np.ndarray]) -> tuple[list[int], list[list[int]]]:
    """Patterns of signs along which embeddings spread most, and the edges that cut each into parts of equal share.

    Everybody weighs the same, however long their recording.

    Args:
        people: int8 (n, width) each, at least one.
    """
    width = people[0].shape[1]
    masks = np.arange(1, min(width, 256))
    table = np.stack([signs(int(m), width) for m in masks])
    weights = np.concatenate([np.full(len(p), 1 / len(p)) for p in people])
    weights /= weights.sum()
    sums = np.concatenate([p.astype(np.float64) for p in people]) @ table.T
    centred = (sums - weights @ sums) * np.sqrt(weights)[:, None]
    spread = np.sqrt((centred**2).sum(axis=0))
    chosen: list[int] = []
    for i in np.argsort(-spread, kind="stable"):
        alike = [abs(centred[:, i] @ centred[:, j]) / max(spread[i] * spread[j], 1e-12) for j in chosen]
        if all(a <= MOST_CORRELATED for a in alike):
            chosen.append(int(i))
        if len(chosen) == MOST_DIRECTIONS:
            break
    edges = []
    for i in chosen:
        order = np.argsort(sums[:, i], kind="stable")
        share = np.cumsum(weights[order])
        cuts = np.searchsorted(share, np.arange(1, DIRECTION) / DIRECTION)
        edges.append([int(sums[order[min(c, len(order) - 1)], i]) for c in cuts])
    return [int(masks[i]) for i in chosen], edges


def shipped_reference(model: IntegerModel, hop: int, fixed: FixedDesign) -> Reference:
    """The reference of the recordings that ship; made once a process."""
    beside = None if fixed.acceleration is None else fixed.acceleration.config
    key = (model.digest(), hop, float(fixed.rate_hz), fixed.bits, beside)
    return _remember(key, lambda: make_reference(model, hop, fixed, shipped_recordings(), SHIPPED))


def shipped_recordings() -> Iterable[Recording]:
    """One at a time."""
    return (read_recording(path) for path in sorted(FOLDER.glob("*.npz")))


def _remember(key: tuple, make: Callable[[], Reference]) -> Reference:
    if key not in _made:
        _made[key] = make()
    return _made[key]


_made: dict[tuple, Reference] = {}
