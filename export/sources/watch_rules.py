"""The rules of the watch around the model, in integers: what the exported C and the simulated watch both follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onwrist.errors import ConfigError
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.signals.front_end.student_input import USUAL, StudentInput

# Beyond a second a made-up stretch is longer than a beat, and the high-pass would ring on it.
MAX_BRIDGE_S = 1.0
# A packet this far behind is not late: the sensor has started to count anew.
MAX_LATE_S = 10.0
# Per cent of a window beyond which its answer is not shown: more than a beat made up, or half a beat cut off.
MAX_BRIDGED_PERCENT, MAX_CLIPPED_PERCENT = 8, 4
# The int8 value that the answer has to exceed which decides whether the others are shown; its place where none decides.
GATE_ABOVE, NO_GATE = 0, -1
# Samples per burst where nobody says otherwise; the depth that sensors' FIFOs are commonly read at.
BURST = 16
# Sequence numbers are of 32 bits and wrap.
SEQUENCE_SPAN = 1 << 32
# The C keeps the tallies of a hop in 16 bits.
MOST_PER_HOP = (1 << 16) - 1


def capacity_for(rate_hz: float, fifo: int, hop_s: float) -> int:
    """Slots of the ring: samples that arrive in one hop and one late hop after it, plus one burst in flight."""
    return math.ceil(2 * hop_s * rate_hz) + fifo


def distance(after: int, before: int) -> int:
    """From one sequence number to another, -2^31 ... 2^31 - 1: numbers wrap at 32 bits."""
    return (after - before + SEQUENCE_SPAN // 2) % SEQUENCE_SPAN - SEQUENCE_SPAN // 2


def bridge_line(last: int, value: int, gap: int) -> list[int]:
    """`gap` counts on the line from `last` to `value`, both outside, rounded half up.

    Two 32-bit divisions per gap and one per count; no number exceeds 31 bits for counts of 24 bits and gaps of 1,000.
    """
    parts = gap + 1
    whole, rest = divmod(value - last, parts)
    return [last + k * whole + (2 * k * rest + parts) // (2 * parts) for k in range(1, parts)]


@dataclass(frozen=True)
class WatchRules:
    """Every number of the layer above the model.

    Attributes:
        burst: most samples that are taken out of the ring at once. ring: its slots.
        bridge: longest gap that is bridged, samples. late: farthest that a packet can be behind, samples.
        full: largest count. span: hops that one window spans.
        bridged_percent, clipped_percent: of a window beyond which its answer is not shown.
        gate_answer: place of the answer that decides, `NO_GATE` where none does. gate_above: int8 that it has to exceed.
    """

    burst: int
    ring: int
    bridge: int
    late: int
    full: int
    span: int
    gate_answer: int
    bridged_percent: int = MAX_BRIDGED_PERCENT
    clipped_percent: int = MAX_CLIPPED_PERCENT
    gate_above: int = GATE_ABOVE

    def constants(self) -> dict[str, int | str]:
        """As macros of the C."""
        return {
            "ONWRIST_BURST": self.burst, "ONWRIST_RING": self.ring, "ONWRIST_BRIDGE": self.bridge, "ONWRIST_LATE": self.late,
            "ONWRIST_FULL": self.full, "ONWRIST_SPAN": self.span, "ONWRIST_BRIDGED_PERCENT": self.bridged_percent,
            "ONWRIST_CLIPPED_PERCENT": self.clipped_percent, "ONWRIST_GATE_ANSWER": self.gate_answer,
            "ONWRIST_GATE_ABOVE": self.gate_above,
        }  # fmt: skip


def watch_rules(
    rate_hz: float,
    bits: int,
    window: int,
    hop: int,
    burst: int = BURST,
    answers: Answers = SHIPPED_ANSWERS,
    sees: StudentInput = USUAL,
    patience: int = 0,
) -> WatchRules:
    """The rules at a sensor's rate.

    Args:
        rate_hz, bits: of the sensor. window, hop: samples of the student. burst: samples per read-out of the FIFO.
        answers: of the student; one of them may decide what is shown. sees: what it is fed. patience: samples that may wait for
            acceleration.

    Raises:
        ConfigError: more samples in a hop than the C can count.
    """
    hop_s = hop / sees.rate_hz
    if hop_s * rate_hz + 1 > MOST_PER_HOP:
        raise ConfigError(
            f"{hop_s:g} s at {rate_hz:g} Hz", field="hop_s", cure=f"Use fewer than {MOST_PER_HOP} samples"
        )
    return WatchRules(
        burst, capacity_for(rate_hz, burst, hop_s) + patience, int(MAX_BRIDGE_S * rate_hz), int(MAX_LATE_S * rate_hz),
        2**bits - 1, math.ceil(window / hop), NO_GATE if answers.gate is None else answers.gate,
    )  # fmt: skip
