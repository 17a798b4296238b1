"""A short script of bursts with everything that can happen to them, and what the watch has to make of it: for boards."""

from __future__ import annotations

import numpy as np

from onwrist.export.sources.c_text import c_array
from onwrist.export.sources.telemetry_rules import TelemetryRules
from onwrist.export.sources.watch_rules import SEQUENCE_SPAN
from onwrist.firmware_sim.runtimes.hop import NumpyStep
from onwrist.firmware_sim.watch.script import ALL, RESTART, Script
from onwrist.firmware_sim.watch.sensor import SensorConfig
from onwrist.firmware_sim.watch.telemetry import Telemetry
from onwrist.firmware_sim.watch.watch import Hop, Watch, WatchConfig
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.fixed import FixedDesign
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ

# As onwrist_watch_counters has them, without what is not of the simulated counters.
COUNTERS = ("received", "dropped", "discarded", "used", "gated", "pending", "bridged", "resets", "hops", "shown")


def play_script(watch: Watch, script: Script, telemetry: Telemetry | None = None) -> list[Hop]:
    """Put a simulated watch through a script, without time; what it sees is counted in `telemetry`."""
    hops: list[Hop] = []
    for sequence, length, takes, counts in zip(
        script.sequence, script.length, script.takes, script.counts, strict=True
    ):
        if length == RESTART:
            watch.restart()
        else:
            watch.receive(sequence, counts)
        done = 0
        while (takes == ALL or done < takes) and watch.ready:
            for hop in watch.process(watch.take()):
                hops.append(hop)
                if telemetry:
                    telemetry.add(watch, hop)
            done += 1
    return hops


def golden_steps(samples: int, rate: int, burst: int) -> list[tuple[int, int, int, int]]:
    """(sequence, offset into the counts, length or RESTART, takes) of each step.

    The counts are played once with a gap, a repeated and a late packet; then the last seconds once more after a stall
    that overruns the ring, a long gap, a sensor that counts anew, and a restart by hand.
    """
    steps = []
    firsts = list(range(0, samples, burst))
    # Two gaps that are bridged and are too much for one window.
    lost = [n * len(firsts) // 16 + k for n in (13, 14) for k in range(3)]
    for i, first in enumerate(firsts):
        length = min(burst, samples - first)
        if i in (len(firsts) // 4, len(firsts) // 3, *lost):
            continue
        if i == len(firsts) // 2 and i + 1 < len(firsts):
            continue  # overtaken by the next, so that it is late
        steps.append((first, first, length, ALL))
        if i == len(firsts) // 2 + 1:
            steps.append((firsts[i - 1], firsts[i - 1], burst, ALL))
        if i == len(firsts) // 5:
            steps.append((first, first, length, ALL))
    stalled = min(samples, 3 * rate * 2)
    begin = samples - stalled
    steps += [(begin + samples + k, begin + k, min(burst, stalled - k), 0) for k in range(0, stalled, burst)]
    steps.append((2 * samples, begin, burst, 2))
    steps += [(2 * samples + burst + 5 * rate + k, begin + k, burst, ALL) for k in range(0, 2 * rate, burst)]
    steps += [((1 << 32) - rate + k, begin + k, burst, ALL) for k in range(0, 3 * rate, burst)]
    steps.append((0, 0, RESTART, ALL))
    steps += [(5 + k, begin + k, burst, ALL) for k in range(0, 2 * rate, burst)]
    return [s for s in steps if s[2] == RESTART or s[1] + s[2] <= samples]


def golden_watch_header(
    model: IntegerModel, hop: int, fixed: FixedDesign, counts: np.ndarray, burst: int, rules: TelemetryRules
) -> str:
    """`onwrist_golden_watch.h` for `selftest_watch.c`: steps over `onwrist_golden_counts`, and their outcome.

    Args:
        counts: int32 (n,), those of `onwrist_golden.h`. burst: samples per read-out. rules: of its telemetry.
    """
    config = WatchConfig(hop / STUDENT_RATE_HZ, SensorConfig(int(fixed.rate_hz), burst, fixed.bits))
    watch = Watch(model, NumpyStep(model, hop), config, beats=True)
    steps = golden_steps(len(counts), int(fixed.rate_hz), burst)
    script = Script()
    for sequence, offset, length, takes in steps:
        if length == RESTART:
            script.restart()
            script.takes[-1] = takes
        else:
            script.push(sequence, counts[offset : offset + length], takes)
    telemetry = Telemetry(rules)
    hops = play_script(watch, script, telemetry)
    numbers = np.array([s[0] % SEQUENCE_SPAN for s in steps], np.uint32)
    books = [getattr(watch.counters, n) for n in COUNTERS]
    # No table of C is empty: one beat more, which is not looked at.
    beats = [*((b.time, b.found, b.interval, b.confidence) for h in hops for b in h.beats), (0, 0, 0, 0)]
    return "\n".join(
        [
            "/* Generated: bursts of onwrist_golden_counts, and what the watch has to make of them. */",
            "#ifndef ONWRIST_GOLDEN_WATCH_H", "#define ONWRIST_GOLDEN_WATCH_H", "", "#include <stdint.h>", "",
            f"#define ONWRIST_GOLDEN_STEPS {len(steps)}", f"#define ONWRIST_GOLDEN_OUTPUTS {len(hops)}", "",
            c_array("uint32_t", "onwrist_golden_sequence", numbers),
            c_array("int32_t", "onwrist_golden_offset", np.array([s[1] for s in steps])),
            "/* -1: restart */", c_array("int32_t", "onwrist_golden_length", np.array([s[2] for s in steps])),
            "/* bursts that the loop takes after each; -1: until nothing waits */",
            c_array("int32_t", "onwrist_golden_takes", np.array([s[3] for s in steps])),
            c_array("uint32_t", "onwrist_golden_reasons", np.array([int(h.why) for h in hops])),
            c_array("uint32_t", "onwrist_golden_number", np.array([h.sequence for h in hops], np.uint32)),
            c_array("int8_t", "onwrist_golden_shown_answers", np.stack([h.answers for h in hops])),
            f"/* {', '.join(COUNTERS)} */", c_array("uint32_t", "onwrist_golden_books", np.array(books)),
            c_array("uint8_t", "onwrist_golden_telemetry", np.frombuffer(telemetry.data, np.uint8)),
            "/* beats of each output, and time, found, interval, confidence of each */",
            c_array("int32_t", "onwrist_golden_beat_count", np.array([len(h.beats) for h in hops])),
            c_array("uint32_t", "onwrist_golden_beats", np.array(beats, np.uint32)), "", "#endif", "",
        ]
    )  # fmt: skip
