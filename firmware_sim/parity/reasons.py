"""Why an output is not shown, in words for people."""

from __future__ import annotations

import math
from collections.abc import Iterable

from onwrist.firmware_sim.watch.watch import Why

SHOWN = "shown"
# In the order in which they are named where an output has several: what is no signal at all first.
REASONS = (
    SHOWN, "warming up after power-up", "flat: nothing moves", "clipped at a rail of the converter",
    "warming up again after a gap", "gaps bridged by made-up samples", "poor signal in the model's own eyes",
)  # fmt: skip


def reason(why: int, early: bool) -> str:
    """Why one output is not shown, in words, or `SHOWN`.

    Args:
        why: bits of `Why`. early: before the first window was full.
    """
    if not why:
        return SHOWN
    if early and why & Why.WARMING:
        return REASONS[1]
    order = (Why.FLAT, Why.CLIPPED, Why.WARMING, Why.BRIDGED, Why.POOR)
    return REASONS[2 + next(i for i, flag in enumerate(order) if why & flag)]


def count_reasons(why: Iterable[int], window: int, hop: int) -> dict[str, int]:
    """Every output once: reason -> count, `SHOWN` first. Of several reasons the one that would remain counts.

    Args:
        why: bits of `Why` of every output since power-up. window, hop: student samples.
    """
    warm = math.ceil(window / hop) - 1
    found = dict.fromkeys(REASONS, 0)
    for i, bits in enumerate(why):
        found[reason(int(bits), i < warm)] += 1
    return found
