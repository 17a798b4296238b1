"""The exported watch on a board of QEMU, for cores that only QEMU has: a script in flash, everything it makes said."""

from __future__ import annotations

import numpy as np

from onwrist.export.sources.c_text import c_array
from onwrist.export.sources.firmware import Firmware
from onwrist.firmware_sim.runtimes.compiler import M55, Core
from onwrist.firmware_sim.runtimes.native import (
    ACCELERATION,
    ACCELERATION_BOOKS,
    BEAT_FACTS,
    BOOKS,
    FACTS,
    GAPS,
    PLAYER,
    WatchOutputs,
    words_of,
)
from onwrist.firmware_sim.runtimes.qemu import board_image, run_board
from onwrist.firmware_sim.watch.script import Script, length_of

# Bytes of a line that the board says; longer ones take long through the debugger's channel.
LINE = 4096


def play_on_board(
    firmware: Firmware, script: Script, hops: int, *, gap: str = "interpolate", core: Core = M55
) -> tuple[WatchOutputs, dict[str, int]]:
    """Outputs and counters of the exported watch from power-up on.

    Args:
        script: of an hour or some more. hops: outputs that there is room for.

    Raises:
        ConfigError: QEMU is not installed. ExportError: it does not compile, or ends badly.
    """
    moves = ACCELERATION in firmware.files
    facts, kept = FACTS + moves, len(BOOKS) + len(ACCELERATION_BOOKS) * moves
    lengths = [length_of(n, c) for n, c in zip(script.length, script.counts, strict=True)]
    counts = np.concatenate([np.zeros(1, np.int32), *map(words_of, script.counts)])[1:]
    tables = [
        c_array("uint32_t", "sequence", np.array([s % (1 << 32) for s in script.sequence])),
        c_array("int32_t", "length", np.array(lengths)), c_array("int32_t", "takes", np.array(script.takes)),
        c_array("int32_t", "counts", counts),
    ]  # fmt: skip
    player = PLAYER.read_text()
    main = f"""
#include "board.h"
{player}
{chr(10).join(tables)}
#define ROOM {hops + 1}
static onwrist_watch watch;
static _Alignas(16) int8_t arena[ONWRIST_ARENA_BYTES], embedding[ROOM * ONWRIST_EMBEDDING], answers[ROOM * ONWRIST_ANSWERS];
static uint32_t facts[ROOM * {facts}];
static onwrist_watch_counters books;
static void say(const void *values, uint32_t n) {{
    for (uint32_t at = 0; at < n; at += {LINE}u)
        board_bytes((const uint8_t *)values + at, n - at < {LINE}u ? n - at : {LINE}u);
}}
int32_t board_main(void) {{
    static onwrist_script s;
    s.sequence = sequence, s.length = length, s.takes = takes, s.counts = counts;
    s.embedding = embedding, s.answers = answers, s.facts = facts, s.bursts = {len(script)}, s.room = ROOM;
    if (onwrist_watch_init(&watch, arena, {GAPS.index(gap)}) != 0) return 1;
    const int32_t made = onwrist_play(&watch, &s);
    if (made < 0 || onwrist_watch_books(&watch, &books) != 0) return 2;
    say(embedding, (uint32_t)made * ONWRIST_EMBEDDING);
    say(answers, (uint32_t)made * ONWRIST_ANSWERS);
    say(facts, (uint32_t)made * {4 * facts}u);
    say(&books, sizeof books);
#ifdef ONWRIST_WITH_ACCELERATION
    static onwrist_acceleration_counters more;
    if (onwrist_watch_acceleration_books(&watch, &more) != 0) return 2;
    say(&more, sizeof more);
#endif
    return 0;
}}
"""
    said = b"".join(run_board(board_image({**firmware.files, "main.c": main}, core)))
    width, kinds = int(firmware.constants["ONWRIST_EMBEDDING"]), int(firmware.constants["ONWRIST_ANSWERS"])
    n = (len(said) - 4 * kept) // (width + kinds + 4 * facts)
    ends = np.cumsum([n * width, n * kinds, 4 * facts * n])
    parts = [said[a:b] for a, b in zip((0, *ends), (*ends, len(said)), strict=True)]
    rows = np.frombuffer(parts[2], np.uint32).reshape(n, facts)
    outputs = WatchOutputs(
        np.frombuffer(parts[0], np.int8).reshape(n, width), np.frombuffer(parts[1], np.int8).reshape(n, kinds),
        rows[:, 0], rows[:, 1], rows[:, 2] != 0, np.zeros((0, len(BOOKS)), np.uint32),
        np.zeros((0, BEAT_FACTS), np.uint32), np.zeros(n, int), rows[:, 3].astype(int) if moves else np.zeros(n, int),
    )  # fmt: skip
    names = [f"acceleration {n}" for n in ACCELERATION_BOOKS] if moves else []
    return outputs, dict(zip([*BOOKS, *names], np.frombuffer(parts[3], np.uint32).tolist(), strict=True))
