"""What goes wrong with a fleet, planted into recordings of people with whom nothing is wrong."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from onwrist.firmware_sim.fleet.counting import Counter
from onwrist.firmware_sim.fleet.table import Fleet
from onwrist.signals.people.split import person_of
from onwrist.signals.recordings.recording import Recording

# A day of the made-up fleet: at one output a second as many as `compare` asks of a device.
BLOCK_S = 200.0
# Hz that the sensor takes where the firmware believes in its own rate.
TRUE_RATE_HZ = 50.0
# Of the converter's range: half of what a pulse moves from trough to peak.
NOISE_SHARE = 0.01
# What is left of the pulse a day later, of a window that grows dim.
FADE_A_DAY = 0.95
MODELS, FIRMWARE = ("A", "B"), ("1.0", "1.1")


@dataclass(frozen=True)
class Plant:
    """One thing that goes wrong.

    Attributes:
        name: of it. what: in words. change: counts (n,), full count, generator -> counts.
        rate_hz: of a sensor that runs at another rate than the firmware believes. models: device models that have it.
    """

    name: str
    what: str
    change: Callable[[np.ndarray, int, np.random.Generator], np.ndarray] | None = None
    rate_hz: float | None = None
    models: tuple[str, ...] = MODELS


def dimmed(share: float) -> Callable[[np.ndarray, int, np.random.Generator], np.ndarray]:
    """A pulse of a share of its size about an unchanged level: the converter regulates what it sees on average."""
    return lambda counts, full, _: np.rint((counts - full / 2) * share + full / 2).astype(np.int32)


def _noisy(counts: np.ndarray, full: int, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(counts + rng.normal(0, NOISE_SHARE * full, len(counts))), 0, full).astype(np.int32)


NONE = Plant("none", "nothing changed")
PLANTS = (
    NONE,
    Plant("rate", f"sensor at {TRUE_RATE_HZ:g} Hz, firmware believes 64", rate_hz=TRUE_RATE_HZ),
    Plant("gain", "pulse at half its size: LED at half its current, level regulated", dimmed(0.5)),
    Plant("polarity", "counts fall when blood comes", lambda counts, full, _: full - counts),
    Plant("noise", "sensors of one device model are noisy", _noisy, models=MODELS[1:]),
    *(
        Plant(f"fade {round(100 * s)} %", f"pulse at {round(100 * s)} % of its size", dimmed(s))
        for s in (0.9, 0.8, 0.7, 0.6)
    ),
)


@dataclass(frozen=True)
class Person:
    """Counters of one person's recordings, block by block: plant's name -> int64 (blocks, 80)."""

    name: str
    blocks: dict[str, np.ndarray]


def count_people(counter: Counter, recordings: Iterable[Recording], plants: Iterable[Plant] = PLANTS) -> list[Person]:
    """Play every person with each plant; people without a whole block are left out."""
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for recording in recordings:
        name = person_of(recording.subject)
        for plant in plants:
            # Before the first block a window is filled, so that blocks are alike.
            counts, present, *beside = _counts(counter, recording, plant)
            blocks = counter.blocks(counts, present, BLOCK_S, *beside)
            if len(blocks):
                found.setdefault(name, {}).setdefault(plant.name, []).append(blocks)
    whole = {n: {p: np.concatenate(b) for p, b in parts.items()} for n, parts in found.items()}
    return [Person(n, whole[n]) for n in sorted(whole) if len(whole[n]) == len(tuple(plants))]


def _counts(counter: Counter, recording: Recording, plant: Plant) -> tuple[np.ndarray, ...]:
    fixed = counter.fixed
    if plant.rate_hz:
        # Fewer samples a second than the firmware counts: to it, time runs faster.
        faster = recording.ppg.rate_hz * fixed.rate_hz / plant.rate_hz
        recording = replace(recording, ppg=replace(recording.ppg, rate_hz=faster))
    counts, present, *beside = counter.counts(recording)
    if plant.change:
        rng = np.random.default_rng(zlib.crc32(recording.source.encode()))
        counts = plant.change(counts, 2**fixed.bits - 1, rng)
    return counts, present, *beside


def fleet_of(
    people: list[Person], plant: Callable[[int, str], str], devices: int, days: int, rng: np.random.Generator
) -> Fleet:
    """A fleet of watches that these people wear, each day another stretch of their recordings.

    Args:
        plant: (day, device model) -> name of what is planted. devices: people in turn where there are fewer.
    """
    rows: list[tuple[str, str, str, str]] = []
    counters = []
    order = rng.permutation(len(people))
    for i in range(devices):
        person, model = people[order[i % len(people)]], MODELS[i % len(MODELS)]
        for day in range(days):
            blocks = person.blocks[plant(day, model)]
            rows.append((f"D{i:04d}", f"2026-01-{day + 1:02d}", model, FIRMWARE[(i // len(MODELS)) % len(FIRMWARE)]))
            counters.append(blocks[rng.integers(len(blocks))])
    device, day_, model_, firmware = (np.array(column) for column in zip(*rows, strict=True))
    return Fleet(device, day_, model_, firmware, np.stack(counters))


def where_planted(plant: Plant) -> Callable[[int, str], str]:
    """The plant in its device models, nothing in the others."""
    return lambda _, model: plant.name if model in plant.models else NONE.name
