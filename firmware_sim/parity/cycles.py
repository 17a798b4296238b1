"""From a hop's instructions to cycles: a range for each core, as wide as what is published about it leaves it.

The least is what no core of its kind can go below: instructions it can issue at once, words that its bus moves in a cycle,
beats of a vector. The most charges every instruction what it costs at its worst, and every line that has to come from
flash its wait states twice: for itself and for one that is on its way already.
"""

from __future__ import annotations

from dataclasses import dataclass

from onwrist.firmware_sim.runtimes.instructions import (
    BRANCH,
    DIVIDE,
    FOLDED,
    LOAD,
    MAC,
    MOVES,
    MULTIPLY,
    OTHER,
    STORE,
    V_LOAD,
    V_MAC,
    V_STORE,
    VECTOR,
)
from onwrist.firmware_sim.runtimes.mix import Cache, Mix

# Cycles that an access off its alignment takes beyond one on it: a second access.
UNALIGNED = 2
# Of a line from flash, beside its wait states: looking for it and handing it on.
LINE_CYCLES = 2


@dataclass(frozen=True)
class Timing:
    """What is known of a core's cycles with memory that never waits.

    Attributes:
        core: name. issue: instructions a cycle. pairs: two 16-bit neighbours may go at once. folds: IT may take none.
        words: moved in a cycle. jump: (least, most) cycles of a jump that is taken, beyond its own.
        most: cycles of an instruction by kind at its worst; of several words, beside the words.
        beats: cycles that a vector keeps its unit; 0 where there are none. source: where it is from.
    """

    core: str
    issue: int
    pairs: bool
    folds: bool
    words: int
    jump: tuple[int, int]
    most: dict[str, int]
    beats: int
    source: str


SCALAR = {OTHER: 1, BRANCH: 1, FOLDED: 1, LOAD: 2, STORE: 2, MOVES: 2, MAC: 1, MULTIPLY: 1, DIVIDE: 12}
TIMINGS = {
    t.core: t
    for t in (
        Timing("M4F", 1, False, True, 1, (1, 3), SCALAR, 0, "Arm 100166, table 3-1"),
        Timing(
            "M33", 1, True, True, 1, (0, 4), {**SCALAR, LOAD: 3, MAC: 2, MULTIPLY: 2}, 0,
            "Arm publishes none: M4's, pairs of 16 bits at once, a cycle more where results are waited for",
        ),
        Timing(
            "M7", 2, False, True, 2, (0, 9), {**SCALAR, BRANCH: 9, LOAD: 3, MAC: 3, MULTIPLY: 3, DIVIDE: 20}, 0,
            "Arm publishes none: two at once, a multiplier, two words a cycle; every guess of a jump wrong at the most",
        ),
        Timing(
            "M55", 1, True, True, 2, (0, 5),
            {**SCALAR, LOAD: 3, MAC: 3, MULTIPLY: 3, DIVIDE: 20, V_LOAD: 6, V_STORE: 6, V_MAC: 5, VECTOR: 5}, 2,
            "two of a vector's four beats a cycle, units overlap; at the most none do and results are waited for",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Flash:
    """Where a part keeps code and weights.

    Attributes:
        waits: states at its clock. line: bytes read at once. code, data: its caches; data None: one for both.
    """

    waits: int
    line: int
    code: Cache
    data: Cache | None
    source: str


@dataclass(frozen=True)
class Cycles:
    """Cycles of a hop.

    Attributes:
        least: and `most`, None where it is unknown; `uncached`: the most with caches switched off, where known.
    """

    least: float
    most: float | None
    uncached: float | None = None


def core_cycles(mix: Mix) -> Cycles:
    """Of a core with memory that never waits."""
    timing, kinds = TIMINGS[mix.core], mix.kinds
    issued = mix.instructions - (kinds[FOLDED] if timing.folds else 0) - (mix.narrow // 2 if timing.pairs else 0)
    if timing.issue > 1:
        least = max(issued / timing.issue, kinds[MAC] + kinds[MULTIPLY], mix.words / timing.words)
    else:
        least = issued + max(0, mix.words / timing.words - kinds[MOVES]) + mix.taken * timing.jump[0]
    # A vector keeps its unit for so many cycles; units work side by side.
    least = max(least, timing.beats * (kinds[V_LOAD] + kinds[V_STORE]), timing.beats * kinds[V_MAC])
    most = sum(count * timing.most[kind] for kind, count in kinds.items())
    most += mix.words + mix.taken * timing.jump[1] + UNALIGNED * (mix.unaligned or 0)
    return Cycles(least, most)


def part_cycles(mix: Mix, flash: Flash | None) -> Cycles:
    """With code and weights in a part's flash; the most is unknown where its flash or the reads of it are."""
    core = core_cycles(mix)
    if flash is None or not len(mix.trace):
        return Cycles(core.least, None)
    line = 2 * flash.waits + LINE_CYCLES
    missed, read = mix.misses(flash.code, flash.data), mix.lines(flash.line)
    return Cycles(core.least, core.most + line * missed, core.most + line * read)
