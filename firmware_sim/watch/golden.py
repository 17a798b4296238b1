"""A short script of bursts with everything that can happen to them, and what the watch has to make of it: for boards."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from onwrist.export.handoff.golden import Golden
from onwrist.export.sources.c_text import c_array
from onwrist.export.sources.telemetry_rules import TelemetryRules
from onwrist.export.sources.watch_rules import SEQUENCE_SPAN
from onwrist.firmware_sim.runtimes.hop import NumpyStep
from onwrist.firmware_sim.watch.script import ALL, RESTART, Script, length_of
from onwrist.firmware_sim.watch.sensor import sensor_as
from onwrist.firmware_sim.watch.telemetry import Telemetry
from onwrist.firmware_sim.watch.watch import Hop, Watch, WatchConfig
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.fixed import FixedDesign

# As onwrist_watch_counters has them, without what is not of the simulated counters.
COUNTERS = ("received", "dropped", "discarded", "used", "gated", "pending", "bridged", "resets", "hops", "shown")


# Of the steps, for acceleration: one is lost, one comes twice.
LOST_EVERY, REPEATED_EVERY = 23, 17


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


def golden_script(golden: Golden, fixed: FixedDesign, burst: int) -> tuple[Script, list[int]]:
    """The steps as a script, and the offset of each into the counts of its sensor; acceleration of the same time comes before
    a burst of light, with a gap and repeated packets of its own."""
    rate, script, offsets = int(fixed.rate_hz), Script(), []
    for i, (sequence, offset, length, takes) in enumerate(golden_steps(len(golden.counts), rate, burst)):
        if length == RESTART:
            script.restart()
            script.takes[-1] = takes
            offsets.append(0)
            continue
        if golden.acceleration is not None and fixed.acceleration is not None and i % LOST_EVERY:
            own = fixed.acceleration.rate_hz
            first, last = offset * own // rate, min((offset + length) * own // rate, len(golden.acceleration))
            number = sequence * own // rate
            for _ in range(1 + (i % REPEATED_EVERY == 0)):
                script.push(number, golden.acceleration[first:last], 0)
                offsets.append(first)
        script.push(sequence, golden.counts[offset : offset + length], takes)
        offsets.append(offset)
    return script, offsets


def golden_watch_header(
    model: IntegerModel, hop: int, fixed: FixedDesign, golden: Golden, burst: int, rules: TelemetryRules
) -> str:
    """`onwrist_golden_watch.h` for `selftest_watch.c`: steps over the counts of `onwrist_golden.h`, and their outcome.

    Args:
        burst: samples per read-out. rules: of its telemetry.
    """
    watch = Watch(
        model, NumpyStep(model, hop), WatchConfig(hop / fixed.student_hz, sensor_as(fixed, burst)), beats=True
    )
    script, offsets = golden_script(golden, fixed, burst)
    telemetry = Telemetry(rules)
    hops = play_script(watch, script, telemetry)
    numbers = np.array([n % SEQUENCE_SPAN for n in script.sequence], np.uint32)
    lengths = [length_of(n, c) for n, c in zip(script.length, script.counts, strict=True)]
    books = [getattr(watch.counters, n) for n in COUNTERS]
    # No table of C is empty: one beat more, which is not looked at.
    beats = [*((b.time, b.found, b.interval, b.confidence) for h in hops for b in h.beats), (0, 0, 0, 0)]
    moved = [] if watch.motion is None else [
        "/* rows of each output without acceleration */",
        c_array("int32_t", "onwrist_golden_unmoved", np.array([h.unmoved for h in hops])),
        f"/* {', '.join(asdict(watch.motion.counters))} */",
        c_array("uint32_t", "onwrist_golden_acc_books", np.array([*asdict(watch.motion.counters).values()])),
    ]  # fmt: skip
    restarts = "/* -1: restart */" if watch.motion is None else "/* -1: restart; -2 - n: n samples of acceleration */"
    return "\n".join(
        [
            "/* Generated: bursts of onwrist_golden_counts, and what the watch has to make of them. */",
            "#ifndef ONWRIST_GOLDEN_WATCH_H", "#define ONWRIST_GOLDEN_WATCH_H", "", "#include <stdint.h>", "",
            f"#define ONWRIST_GOLDEN_STEPS {len(script)}", f"#define ONWRIST_GOLDEN_OUTPUTS {len(hops)}", "",
            c_array("uint32_t", "onwrist_golden_sequence", numbers),
            c_array("int32_t", "onwrist_golden_offset", np.array(offsets)),
            restarts, c_array("int32_t", "onwrist_golden_length", np.array(lengths)),
            "/* bursts that the loop takes after each; -1: until nothing waits */",
            c_array("int32_t", "onwrist_golden_takes", np.array(script.takes)),
            c_array("uint32_t", "onwrist_golden_reasons", np.array([int(h.why) for h in hops])),
            c_array("uint32_t", "onwrist_golden_number", np.array([h.sequence for h in hops], np.uint32)),
            c_array("int8_t", "onwrist_golden_shown_answers", np.stack([h.answers for h in hops])),
            f"/* {', '.join(COUNTERS)} */", c_array("uint32_t", "onwrist_golden_books", np.array(books)),
            c_array("uint8_t", "onwrist_golden_telemetry", np.frombuffer(telemetry.data, np.uint8)),
            "/* beats of each output, and time, found, interval, confidence of each */",
            c_array("int32_t", "onwrist_golden_beat_count", np.array([len(h.beats) for h in hops])),
            c_array("uint32_t", "onwrist_golden_beats", np.array(beats, np.uint32)), *moved, "", "#endif", "",
        ]
    )  # fmt: skip
