"""The exported watch as a whole, played as fast as it goes: one call for many bursts, on this host or an emulated core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.sources.files import Firmware
from onwrist.export.sources.telemetry_rules import BYTES
from onwrist.firmware_sim.runtimes.compiler import Core, build_core, build_native
from onwrist.firmware_sim.runtimes.device import Machine, Native, frames_in
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.watch.script import Script, length_of

PLAYER = Path(__file__).parent / "bare" / "play.c"
WATCH_ROOTS = (
    "onwrist_watch_init", "onwrist_watch_push", "onwrist_watch_run", "onwrist_watch_books", "onwrist_watch_restart",
    "onwrist_watch_size", "onwrist_play",
)  # fmt: skip
GAPS = ("interpolate", "hold", "reset")
# As onwrist_watch_counters has them.
BOOKS = (
    "received", "dropped", "discarded", "used", "gated", "pending", "waiting", "bridged", "resets", "hops", "shown",
    "high_water",
)  # fmt: skip
# What fits into an emulated core beside the watch: bursts and samples of a call, outputs before it comes back.
BURSTS, SAMPLES, ROOM = 2048, 16384, 512
# Reasons, sequence number, start; and of a watch with an accelerometer rows without acceleration.
FACTS = 3
ACCELERATION = "onwrist_acceleration.c"
# As onwrist_acceleration_counters has them.
ACCELERATION_BOOKS = (
    "received", "dropped", "discarded", "used", "waiting", "lost", "clipped", "missing", "slips", "high_water",
)  # fmt: skip
TELEMETRY = "onwrist_telemetry.c"
BEATS = "onwrist_beats.c"
# Of each beat: time, found, interval, confidence.
BEAT_FACTS = 4
# What is not reached from the player is left out of an image.
ACCELERATION_ROOTS = ("onwrist_watch_push_acceleration", "onwrist_watch_acceleration_books")
TELEMETRY_ROOTS = ("onwrist_telemetry_init", "onwrist_telemetry_add", "onwrist_telemetry_merge")


@dataclass(frozen=True)
class WatchOutputs:
    """Outputs of the C watch, one row each.

    Attributes:
        embedding: int8 (n, 256). answers: int8 (n, answers). reasons: uint32 (n,), bits of `watch.Why`; 0 is shown.
        sequence: uint32 (n,), number of the sample that completed the hop; over the sensor's rate it is a time in s.
        first: bool (n,), the model started anew. books: uint32 (n, 12) at each output, columns BOOKS; empty if not
            asked for.
        unmoved: int (n,), rows of the hop that are 0 for want of acceleration; 0 of a firmware that takes none.
        beats: uint32 (n, 4) of all beats, in the order in which they were found: time, found, interval, confidence
            (`signals.pulse.onsets.Beat`); of a firmware that has them. beat_count: int (n,), of each output.
        frames: int8 (n, frames, answers), the answers of a hop's frames; without frames where it says none.
    """

    embedding: np.ndarray
    answers: np.ndarray
    reasons: np.ndarray
    sequence: np.ndarray
    first: np.ndarray
    books: np.ndarray
    beats: np.ndarray
    beat_count: np.ndarray
    unmoved: np.ndarray
    frames: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.int8))

    def __len__(self) -> int:
        return len(self.reasons)

    @property
    def shown(self) -> np.ndarray:
        """bool (n,)."""
        return self.reasons == 0


class WatchInC:
    """The exported watch.

    Args:
        firmware: its sources. core: emulated; None: this host. gap: what bridges a short gap.
        count: instructions by function (emulated only). sanitise: trap undefined behaviour (this host only).
        extra: more sources or macros, for tests.

    Raises:
        ExportError: it does not compile or does not start.
    """

    def __init__(
        self, firmware: Firmware, core: Core | None = None, *, gap: str = "interpolate", count: bool = False,
        sanitise: bool = False, defines: tuple[str, ...] = (),
    ):  # fmt: skip
        self.counts_telemetry = TELEMETRY in firmware.files
        self.moves = ACCELERATION in firmware.files
        self.facts = FACTS + self.moves
        roots = (
            WATCH_ROOTS
            + (TELEMETRY_ROOTS if self.counts_telemetry else ())
            + (ACCELERATION_ROOTS if self.moves else ())
        )
        defines += ("ONWRIST_PLAY_TELEMETRY=1",) if self.counts_telemetry else ()
        switches = "".join(f"#define {d.replace('=', ' ')}\n" for d in defines)
        files = {**firmware.files, "play.c": PLAYER.read_text()}
        files["onwrist_config.h"] = switches + files["onwrist_config.h"]
        number = {k: v for k, v in firmware.constants.items() if isinstance(v, int)}
        self.embedding, self.answers = number["ONWRIST_EMBEDDING"], number["ONWRIST_ANSWERS"]
        self.frame_bytes = (frames_in(number) or (0, 0))[1]
        self.beat_room = number["ONWRIST_BEATS_ROOM"] if BEATS in firmware.files else 0
        self.burst, self.gap = number["ONWRIST_BURST"], gap
        self.name = f"watch in C, {'native' if core is None else f'{core.name} emulated'}"
        self.word = np.uint64 if core is None else np.uint32
        self.machine: Machine = (
            Native(build_native(files, sanitise=sanitise))
            if core is None
            else Emulator(build_core(files, core, roots), core, count=count)
        )
        # By kind: sequence, length, takes, counts; embedding, answers, facts, books, beats, answers of frames.
        sizes = (4 * BURSTS, 4 * BURSTS, 4 * BURSTS, 4 * SAMPLES)
        rows = (self.embedding, self.answers, 4 * self.facts, 4 * len(BOOKS), 4 * self._beat_words, self.frame_bytes)
        self.inputs = [self.machine.allocate(s) for s in sizes]
        self.outputs = [self.machine.allocate(r * ROOM) for r in rows]
        self.pointers = self.machine.allocate(8 * (len(sizes) + len(rows) + 1) + 4 * 6)
        self.counted = self.machine.allocate(BYTES) if self.counts_telemetry else 0
        self.out = self.machine.allocate(4 * len(BOOKS))
        self.bytes = self.machine.call("onwrist_watch_size")
        self.watch = self.machine.allocate(self.bytes)
        self.arena = self.machine.allocate(number["ONWRIST_ARENA_BYTES"])
        self.init()

    def init(self) -> None:
        """As after a power-up: books and telemetry too."""
        self._call("onwrist_watch_init", self.watch, self.arena, GAPS.index(self.gap))
        if self.counts_telemetry:
            self._call("onwrist_telemetry_init", self.counted)

    def play(self, script: Script, *, books: bool = False) -> WatchOutputs:
        """Play a script; the watch goes on from where it was.

        Args:
            books: also keep the counters at each output.

        Raises:
            ExportError: a burst of more than 16,384 samples.
        """
        parts = [found for block in _blocks(script) for found in self._play(script, block, books)]
        kinds = (np.int8, np.int8, np.uint32, np.uint32, np.uint32, np.int8)
        shapes = (self.embedding, self.answers, self.facts, len(BOOKS), self._beat_words, self.frame_bytes)
        whole = [
            np.concatenate([np.zeros((0, n), kind), *(p[i].reshape(len(p[i]) // max(1, n), n) for p in parts)])
            for i, (kind, n) in enumerate(zip(kinds, shapes, strict=True))
        ]
        facts, kept = whole[2], whole[4]
        count = kept[:, 0].astype(int) if self.beat_room else np.zeros(len(facts), int)
        each = kept[:, 1:].reshape(len(kept), self.beat_room, BEAT_FACTS)
        beats = each[np.arange(self.beat_room) < count[: len(kept), None]]
        unmoved = facts[:, 3].astype(int) if self.moves else np.zeros(len(facts), int)
        return WatchOutputs(
            whole[0], whole[1], facts[:, 0], facts[:, 1], facts[:, 2] != 0, whole[3], beats, count, unmoved,
            whole[5].reshape(len(whole[5]), self.frame_bytes // self.answers, self.answers),
        )  # fmt: skip

    def play_counts(self, counts: np.ndarray) -> WatchOutputs:
        """Play counts (n,) in whole bursts without a fault, from number 0 on."""
        return self.play(Script.of(counts, self.burst))

    @property
    def books(self) -> dict[str, int]:
        """The counters now, by name."""
        self._call("onwrist_watch_books", self.watch, self.out)
        return dict(zip(BOOKS, self.machine.read(self.out, len(BOOKS), np.uint32).tolist(), strict=True))

    @property
    def acceleration_books(self) -> dict[str, int]:
        """The counters of acceleration now, by name; empty of a firmware that takes none."""
        if not self.moves:
            return {}
        self._call("onwrist_watch_acceleration_books", self.watch, self.out)
        found = self.machine.read(self.out, len(ACCELERATION_BOOKS), np.uint32).tolist()
        return dict(zip(ACCELERATION_BOOKS, found, strict=True))

    @property
    def telemetry(self) -> bytes:
        """The 256 bytes now, of a firmware that has them (`with_telemetry`)."""
        return self.machine.read(self.counted, BYTES).tobytes()

    def merge_telemetry(self, other: bytes) -> int:
        """Add another's counters; what the C returns."""
        place = self.machine.allocate(BYTES)
        self.machine.write(place, np.frombuffer(other, np.int8))
        return self.machine.call("onwrist_telemetry_merge", self.counted, place)

    @property
    def _beat_words(self) -> int:
        """Words that the player keeps of each output's beats."""
        return 1 + BEAT_FACTS * self.beat_room if self.beat_room else 0

    def _play(self, script: Script, block: slice, books: bool) -> Iterator[list[np.ndarray]]:
        counts = script.counts[block]
        values = (
            np.array([s % (1 << 32) for s in script.sequence[block]], np.uint32),
            np.array([length_of(n, c) for n, c in zip(script.length[block], counts, strict=True)], np.int32),
            np.array(script.takes[block], np.int32), np.concatenate([np.zeros(0, np.int32), *map(words_of, counts)]),
        )  # fmt: skip
        for address, data in zip(self.inputs, values, strict=True):
            self.machine.write(address, data)
        at = np.zeros(4, np.int32)
        made = ROOM
        tail = (len(self.inputs + self.outputs) + 1) * self.word().itemsize
        while made == ROOM:
            kept = self.outputs[3] if books else 0
            places = [*self.inputs, *self.outputs[:3], kept, self.counted, *self.outputs[4:]]
            numbers = np.concatenate([np.array([len(values[1]), ROOM], np.int32), at])
            self.machine.write(self.pointers, np.array(places, self.word))
            self.machine.write(self.pointers + tail, numbers)
            made = self._call("onwrist_play", self.watch, self.pointers)
            at = self.machine.read(self.pointers + tail + 8, 4, np.int32)
            wanted = (made, made, made, made if books else 0, made, made)
            widths = (self.embedding, self.answers, self.facts, len(BOOKS), self._beat_words, self.frame_bytes)
            kinds = (np.int8, np.int8, np.uint32, np.uint32, np.uint32, np.int8)
            yield [
                self.machine.read(a, n * w, k) for a, n, w, k in zip(self.outputs, wanted, widths, kinds, strict=True)
            ]

    def _call(self, name: str, *arguments: int) -> int:
        found = self.machine.call(name, *arguments)
        if found < 0:
            raise ExportError(f"returned {found}", field=name, cure="See the return values in onwrist_watch.h")
        return found


def words_of(counts: np.ndarray) -> np.ndarray:
    """As the player wants them: acceleration in halves of a word, the last one filled up."""
    if counts.ndim == 1:
        return counts
    halves = counts.astype(np.int16).ravel()
    return np.concatenate([halves, np.zeros(len(halves) % 2, np.int16)]).view(np.int32)


def _blocks(script: Script) -> Iterator[slice]:
    """Parts of a script that fit into one call."""
    begin = samples = 0
    for i, counts in enumerate(script.counts):
        words = len(words_of(counts))
        if words > SAMPLES:
            raise ExportError(f"a burst of {len(counts)}", field="script", cure=f"Use at most {SAMPLES} samples")
        if i - begin == BURSTS or samples + words > SAMPLES:
            yield slice(begin, i)
            begin, samples = i, 0
        samples += words
    yield slice(begin, len(script))
