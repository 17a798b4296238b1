"""What goes wrong between skin and model: scripted, seeded, composable.

A recipe is a TOML file; the same seed gives the same run:

    seed = 7

    [[fault]]
    kind = "lost"
    share = 0.02

    [[fault]]
    kind = "drift"
    ppm = 300

Faults act in the recipe's order: on the instants of sampling, on the light before the converter, on the packets
between sensor and processor, or on the processor's time. Those that begin with acc_ act on the accelerometer.
"""

from __future__ import annotations

import heapq
import itertools
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Interval

from onwrist.errors import ConfigError
from onwrist.firmware_sim.watch import acceleration_faults
from onwrist.firmware_sim.watch.fault import (
    AccelerationFault,
    Burst,
    Fault,
    Period,
    Scene,
    Seconds,
    held_back,
    stretches,
)
from onwrist.ranges import Checked, Seed, Share, meant_name
from onwrist.resources import SHIPPED
from onwrist.signals.pulse.clean import clean_ppg, fill_gaps
from onwrist.signals.recordings.readers import read_recording

# Wrist recordings that ship with acceleration: the source of real artefacts.
MOTION_SOURCES = ("S02", "S34")
ARTEFACT_S = 20.0
# The tenth of the stretches in which the wrist moves most.
MOVING_SHARE = 0.1


@dataclass(frozen=True)
class Drift(Fault):
    """The sample clock runs fast or slow."""

    ppm: Annotated[float, Interval(ge=-100_000, le=100_000)] = 300.0
    """Parts per million; positive: samples are taken farther apart than said."""

    def instants(self, t, scene, rng):
        return t * (1 + self.ppm * 1e-6)


@dataclass(frozen=True)
class Jitter(Fault):
    """Each sample is taken a little early or late."""

    ms: Annotated[float, Interval(ge=0, le=1_000)] = 2.0
    """Standard deviation, milliseconds."""

    def instants(self, t, scene, rng):
        return t + rng.normal(0, self.ms * 1e-3, len(t))


@dataclass(frozen=True)
class Gain(Fault):
    """The LED driver changes its current in steps, there and back."""

    factor: Annotated[float, Interval(ge=0, le=100)] = 1.6
    """Of the light, direct and pulsing alike."""
    every_s: Period = 120.0
    """Seconds between steps."""

    def wave(self, t, x, scene, rng):
        return np.where((t // self.every_s) % 2 == 1, x * self.factor, x)


@dataclass(frozen=True)
class Ambient(Fault):
    """Light leaks in and out, as under trees."""

    share: Share = 0.1
    """Of the converter's range, peak."""
    period_s: Period = 7.0
    """Seconds of a cycle."""

    def wave(self, t, x, scene, rng):
        return x + self.share * scene.full * np.sin(2 * np.pi * t / self.period_s)


@dataclass(frozen=True)
class Saturation(Fault):
    """The baseline climbs to the upper rail, so that half of each pulse is cut."""

    seconds: Seconds = 10.0
    """Length of each stretch."""
    every_s: Period = 120.0
    """Seconds from one to the next."""

    def wave(self, t, x, scene, rng):
        return np.where(stretches(t, self.every_s, self.seconds), x - np.median(x) + scene.full, x)


@dataclass(frozen=True)
class Resolution(Fault):
    """Fewer bits than the converter has."""

    bits: Annotated[int, Interval(ge=1, le=24)] = 12
    """Bits that are left."""

    def wave(self, t, x, scene, rng):
        step = (scene.full + 1) / 2**self.bits
        return np.floor(x / step) * step


@dataclass(frozen=True)
class OffWrist(Fault):
    """The watch is taken off: darkness and the converter's noise."""

    seconds: Seconds = 30.0
    """Length of each stretch."""
    every_s: Period = 300.0
    """Seconds from one to the next."""
    noise: Annotated[float, Interval(ge=0, le=100_000)] = 2.0
    """Counts, standard deviation."""

    def wave(self, t, x, scene, rng):
        dark = 0.02 * scene.full + rng.normal(0, self.noise, len(t))
        return np.where(stretches(t, self.every_s, self.seconds), dark, x)


@dataclass(frozen=True)
class Motion(Fault):
    """Real artefacts from moving wrists, added to the pulse."""

    scale: Annotated[float, Interval(ge=0, le=1_000)] = 2.0
    """Of the pulse's own standard deviation."""
    seconds: Seconds = 15.0
    """Length of each stretch."""
    every_s: Period = 60.0
    """Seconds from one to the next."""

    def wave(self, t, x, scene, rng):
        library = artefacts()
        x = x.copy()
        for begin in np.arange(self.every_s - self.seconds, t[-1], self.every_s):
            rows = slice(*np.searchsorted(t, (begin, begin + min(self.seconds, ARTEFACT_S))))
            artefact, rate = library[rng.integers(len(library))]
            x[rows] += self.scale * scene.pulse * np.interp(t[rows] - begin, np.arange(len(artefact)) / rate, artefact)
        return x


@dataclass(frozen=True)
class Lost(Fault):
    """Packets that never arrive."""

    share: Share = 0.02
    """Of the packets."""

    def deliver(self, bursts, scene, rng):
        return (b for b in bursts if rng.random() >= self.share)


@dataclass(frozen=True)
class Repeated(Fault):
    """Packets that arrive twice."""

    share: Share = 0.02
    """Of the packets."""

    def deliver(self, bursts, scene, rng):
        for burst in bursts:
            yield burst
            if rng.random() < self.share:
                yield burst


@dataclass(frozen=True)
class Reordered(Fault):
    """Packets that are overtaken by the next."""

    share: Share = 0.02
    """Of the packets."""

    def deliver(self, bursts, scene, rng):
        for burst in bursts:
            late = 1.5 * len(burst.counts) / scene.rate_hz if rng.random() < self.share else 0.0
            yield replace(burst, time_s=burst.time_s + late)


@dataclass(frozen=True)
class Late(Fault):
    """Nothing arrives for a while, then everything at once."""

    seconds: Seconds = 1.5
    """Length of each silence."""
    every_s: Period = 60.0
    """Seconds from one to the next."""

    def deliver(self, bursts, scene, rng):
        return held_back(bursts, self.every_s, self.seconds)


@dataclass(frozen=True)
class ClockJump(Fault):
    """The sensor's sample counter leaps: forward, or back when the sensor restarts."""

    samples: Annotated[int, Interval(ge=-(2**31), le=2**31)] = 100_000
    """How far; negative is back."""
    every_s: Period = 600.0
    """Seconds from one leap to the next."""

    def deliver(self, bursts, scene, rng):
        for burst in bursts:
            yield replace(burst, sequence=burst.sequence + self.samples * int(burst.time_s // self.every_s))


@dataclass(frozen=True)
class Stall(Fault):
    """The processor is busy with something else."""

    seconds: Seconds = 3.0
    """Length of each stall."""
    every_s: Period = 120.0
    """Seconds from one to the next."""

    def stalls(self, scene):
        for k in itertools.count(1):
            yield k * self.every_s, k * self.every_s + self.seconds


KINDS: dict[str, type[Fault]] = {
    "drift": Drift, "jitter": Jitter, "gain": Gain, "ambient": Ambient, "saturation": Saturation,
    "resolution": Resolution, "off_wrist": OffWrist, "motion": Motion, "lost": Lost, "repeated": Repeated,
    "reordered": Reordered, "late": Late, "clock_jump": ClockJump, "stall": Stall,
}  # fmt: skip
KNOWN = {**KINDS, **acceleration_faults.KINDS}


@dataclass(frozen=True)
class Faults(Checked):
    """Faults in the order in which they act, and the seed of all their draws."""

    faults: tuple[Fault, ...] = ()
    seed: Seed = 0

    @property
    def of_light(self) -> Faults:
        """Those of the optical sensor and the processor."""
        return Faults(tuple(f for f in self.faults if not isinstance(f, AccelerationFault)), self.seed)

    @property
    def of_acceleration(self) -> Faults:
        """Those of the accelerometer."""
        return Faults(tuple(f for f in self.faults if isinstance(f, AccelerationFault)), self.seed)

    def _each(self, cycle: int) -> Iterator[tuple[Fault, np.random.Generator]]:
        for i, fault in enumerate(self.faults):
            yield fault, np.random.default_rng([self.seed, i, cycle])

    def instants(self, t: np.ndarray, scene: Scene, cycle: int) -> np.ndarray:
        """Real times of sampling; `t` itself where no fault touches them."""
        for fault, rng in self._each(cycle):
            t = fault.instants(t, scene, rng)
        return t

    def wave(self, t: np.ndarray, x: np.ndarray, scene: Scene, cycle: int) -> np.ndarray:
        """Light at the converter."""
        for fault, rng in self._each(cycle):
            x = fault.wave(t, x, scene, rng)
        return x

    def deliver(self, bursts: Iterable[Burst], scene: Scene) -> Iterator[tuple[float, Burst]]:
        """(time of read-out, burst with its time of arrival): no later burst arrives before that time."""
        clock = 0.0

        def watched() -> Iterator[Burst]:
            nonlocal clock
            for burst in bursts:
                clock = burst.time_s
                yield burst

        chain: Iterator[Burst] = watched()
        for fault, rng in self._each(0):
            chain = fault.deliver(chain, scene, rng)
        for burst in chain:
            yield clock, burst

    def stalls(self, scene: Scene) -> Iterator[tuple[float, float]]:
        """Stretches (begin, end) without a consumer, by begin."""
        return heapq.merge(*(fault.stalls(scene) for fault in self.faults))

    def plain(self) -> dict:
        """As plain values: what the report prints, and what a recipe is made of."""
        names = {kind: name for name, kind in KNOWN.items()}
        return {"seed": self.seed, "fault": [{"kind": names[type(f)], **asdict(f)} for f in self.faults]}


def make_fault(kind: str, settings: dict, where: str | Path = "") -> Fault:
    """A fault by name.

    Raises:
        ConfigError: no such kind, no such field, or a value that is no number or out of its range.
    """
    if kind not in KNOWN:
        cure = f"{meant_name(str(kind), KNOWN)}Use one of {', '.join(KNOWN)}"
        raise ConfigError(f"no fault {kind!r:.60}", where=where or None, field="kind", cure=cure)
    known = {f.name: f for f in fields(KNOWN[kind])}
    values = {}
    for name, value in settings.items():
        if name not in known:
            cure = f"{meant_name(name, known)}Use {', '.join(known)}"
            raise ConfigError(f"{kind} has no {name!r:.60}", where=where or None, field=kind, cure=cure)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(
                f"{value!r:.60} is no number", where=where or None, field=f"{kind}.{name}", cure="Give a number"
            )
        whole = isinstance(known[name].default, int) and float(value).is_integer()
        values[name] = int(value) if whole else value
    try:
        return KNOWN[kind](**values)
    except ConfigError as error:
        raise ConfigError(error.what, where=where or None, field=f"{kind}.{error.field}", cure=error.cure) from None


def read_faults(path: Path) -> Faults:
    """A recipe from its file.

    Raises:
        ConfigError: not TOML, or not a recipe.
    """
    try:
        text = tomllib.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        cure = "firmware_sim/watch/faults.py has an example"
        raise ConfigError(f"is no recipe ({error})"[:200], where=path, cure=cure) from None
    for name in text:
        if name not in ("seed", "fault"):
            cure = f"{meant_name(name, ('seed', 'fault'))}Give seed and [[fault]] with kind"
            raise ConfigError("no such field", where=path, field=name, cure=cure)
    entries = text.get("fault", [])
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("kind"), str) for e in entries
    ):
        raise ConfigError(
            "is no list of faults", where=path, field="fault", cure="Give [[fault]] with a kind, in words"
        )
    faults = tuple(make_fault(e["kind"], {k: v for k, v in e.items() if k != "kind"}, path) for e in entries)
    try:
        return Faults(faults, text.get("seed", 0))
    except ConfigError as error:
        raise ConfigError(error.what, where=path, field=error.field, cure=error.cure) from None


def parse_faults(words: tuple[str, ...], seed: int = 0) -> Faults:
    """Faults from the command line: `lost:share=0.02`, `drift:ppm=300`, `stall`.

    Raises:
        ConfigError: as `make_fault`.
    """
    found = []
    for word in words:
        kind, _, rest = word.partition(":")
        settings: dict[str, object] = {}
        for part in filter(None, rest.split(",")):
            name, _, value = part.partition("=")
            try:
                settings[name] = float(value)
            except ValueError:
                settings[name] = value
        found.append(make_fault(kind, settings, word))
    return Faults(tuple(found), seed)


@lru_cache(maxsize=1)
def artefacts() -> list[tuple[np.ndarray, float]]:
    """(wave, rate) of 20-s stretches of the shipped wrists where they move most, zero mean and unit spread."""
    found = []
    for name in MOTION_SOURCES:
        recording = read_recording(SHIPPED / f"{name}.npz")
        ppg, rate = clean_ppg(fill_gaps(recording.ppg.samples), recording.ppg.rate_hz), recording.ppg.rate_hz
        if recording.acc is None:
            continue
        acc, acc_rate = recording.acc.samples, recording.acc.rate_hz
        size, acc_size = int(ARTEFACT_S * rate), int(ARTEFACT_S * acc_rate)
        count = min(len(ppg) // size, len(acc) // acc_size)
        moving = np.array([np.nanstd(acc[i * acc_size : (i + 1) * acc_size], axis=0).sum() for i in range(count)])
        for i in np.argsort(moving)[::-1][: max(1, int(MOVING_SHARE * count))]:
            wave = ppg[i * size : (i + 1) * size]
            found.append(((wave - wave.mean()) / wave.std(), rate))
    return found
