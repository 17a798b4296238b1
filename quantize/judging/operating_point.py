"""From which logits an answer is shown and a pulse is flagged: one rule, for people to choose on.

Quality is asked for as strictly as irregular hearts allow, because motion shows less, and less of it wrong, the stricter
it is; then as much as possible is flagged that leaves an even heart alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from onwrist.models.student.network import ANSWERS
from onwrist.models.student.outputs import LOGIT_SPAN
from onwrist.quantize.judging.answers import Judged

# Share of each rhythm's windows that has to be shown.
SHOWN: Mapping[str, float] = {"AF": 0.8, "PVC": 0.8, "PAC": 0.8, "SR": 0.98}
# Share of the shown sinus windows that may be flagged irregular.
FALSE_FLAGS = 0.01
STEPS = np.arange(-4.0, 4.01, 0.25)


@dataclass(frozen=True)
class OperatingPoint:
    """Logits, as `quantize/distill.py --quality-at --irregular-at` takes them, and what they give on the people of the choice.

    Attributes:
        shown: rhythm -> share shown. flagged: rhythm -> share of the shown that is flagged.
    """

    quality_at: float
    irregular_at: float
    shown: dict[str, float]
    flagged: dict[str, float]


def operating_point(patients: Judged, answers: np.ndarray) -> OperatingPoint | None:
    """The rule's point for answers (n, 3) on patients (n windows); None where no step keeps every share."""
    quality, irregular = (LOGIT_SPAN * answers[:, ANSWERS.index(name)] for name in ("quality", "irregular"))
    of = {name: patients.rhythm == name for name in SHOWN}
    strict = [q for q in STEPS if all((quality[of[name]] > q).mean() >= share for name, share in SHOWN.items())]
    if not strict:
        return None
    shown = quality > strict[-1]
    kind = [i for i in STEPS if (irregular[of["SR"] & shown] > i).mean() <= FALSE_FLAGS]
    if not kind:
        return None
    flagged = irregular > kind[0]
    return OperatingPoint(
        float(strict[-1]), float(kind[0]),
        {name: float(shown[rows].mean()) for name, rows in of.items()},
        {name: float(flagged[rows & shown].mean()) for name, rows in of.items()},
    )  # fmt: skip


def in_words(point: OperatingPoint | None) -> str:
    """The point in a line."""
    if point is None:
        return "no operating point keeps every share"
    shares = ", ".join(
        f"{n} {100 * v:.0f} % shown, {100 * point.flagged[n]:.0f} % of it flagged" for n, v in point.shown.items()
    )
    return f"--quality-at {point.quality_at:g} --irregular-at {point.irregular_at:g}: {shares}"
