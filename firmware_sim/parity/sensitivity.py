"""A sensitivity as a table for a terminal and as a page with its picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onwrist.firmware_sim.parity.drawing import AMBER, BLUE, FULL, GREY, plt, svg
from onwrist.models.student.outputs import Answer, Answers
from onwrist.pages.blocks import Note, Pictures, Section, Table
from onwrist.pages.rendering import block_page
from onwrist.quantize.judging.sensitivity import ACTIVATIONS, WEIGHTS, Cost, Sensitivity, Tensors

KINDS = ((WEIGHTS, BLUE), (ACTIVATIONS, AMBER))
# Distances are of the order 1e-4.
MILLIONTHS = 1e6
SCORES = {"value": "error", "yes/no": "AUROC", "classes": "macro-F1"}
READ = (
    "Distance: mean of 1 - cosine of the embeddings, in millionths. Alone: only this tensor is quantised, against the same weights with "
    "nothing quantised. All but it: everything else is, against the float student; a layer whose activations had 16 bits would be "
    "there. Lower than everything: this tensor costs; higher: training has learnt to live with its rounding, so that taking it away "
    "alone makes things worse. An answer moves: a value by so much in the mean, a yes/no or class turns in so many of the windows."
)


def head(answers: Answers) -> tuple[str, ...]:
    """Column titles."""
    moved = [f"{word}: {_name(a)}" for a in answers for word in ("alone", "all but it")]
    return ("tensor", "shape", "alone: distance", "all but it: distance", *moved)


def rows(found: Sensitivity, answers: Answers) -> list[list[str]]:
    """A row a tensor, in order of execution, after one with nothing and one with everything quantised."""
    out = []
    for name, one in (("nothing quantised", found.nothing), ("everything quantised", found.everything)):
        cells = [x for a in answers for x in ("", _moved(a, one))]
        out.append([name, "", "", _distance(one), *cells])
    for name, shape, tensors in each(found):
        moved = [_moved(a, c) for a in answers for c in (tensors.alone, tensors.without)]
        out.append([name, shape, _distance(tensors.alone), _distance(tensors.without), *moved])
    return out


def each(found: Sensitivity) -> list[tuple[str, str, Tensors]]:
    """(name, shape, cost) of every tensor that is quantised."""
    return [
        (f"{layer.name} {kind}", layer.shape if kind == WEIGHTS else "", getattr(layer, kind))
        for layer in found.layers
        for kind, _ in KINDS
        if getattr(layer, kind) is not None
    ]


def table(found: Sensitivity, answers: Answers) -> str:
    """Markdown: what moves, and under it every answer's own score."""
    lines = ["| " + " | ".join(head(answers)) + " |", "|---" * len(head(answers)) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows(found, answers)]
    lines += [
        "",
        f"{found.student}, {found.data}: {found.people} people, {found.windows} windows",
        *scored(found, answers),
    ]
    return "\n".join(lines)


def scored(found: Sensitivity, answers: Answers) -> list[str]:
    """A line an answer: its score in float and INT8, and the range that leaving one tensor in float spans."""
    lines = []
    for a in answers:
        floating, whole = found.floating[a.name], found.everything.answers[a.name].score
        if floating is None or whole is None:
            lines.append(f"{a.name}: nothing tells what is true here")
            continue
        known = ((name, t.without.answers[a.name].score) for name, _, t in each(found))
        ordered = sorted((score, name) for name, score in known if score is not None)
        (least, low), (most, high) = ordered[0], ordered[-1]
        digits = 2 if a.kind == "value" else 4
        lines.append(
            f"{a.name}: {SCORES[a.kind]} {floating:.{digits}f}{f' {a.unit}' if a.unit else ''} in float, {whole:.{digits}f} quantised; all but one "
            f"{least:.{digits}f} ({low}) to {most:.{digits}f} ({high})"
        )
    return lines


def page(found: Sensitivity, answers: Answers, stage: str) -> str:
    """The page.

    Args:
        stage: of the quantised student, "trained" or "calibrated".
    """
    lead = (
        f"{found.student}, {stage}: {found.people} people, {found.windows} windows of {found.data}. Quantised whole, the embedding "
        f"is {MILLIONTHS * found.everything.distance:.0f} millionths from the float student's (median cosine "
        f"{found.everything.median:.5f}, worst {found.everything.worst:.4f})."
    )
    costs = Table(head(answers), rows(found, answers), words=(1,))
    return block_page(
        "Where INT8 hurts", lead,
        (
            Section("picture", "By tensor", (Note(READ), Pictures((picture(found, answers),)))),
            Section("scores", "Against what is true", tuple(Note(line) for line in scored(found, answers))),
            Section("table", "Every tensor", (costs,)),
        ),
    )  # fmt: skip


def picture(found: Sensitivity, answers: Answers) -> str:
    """Bars a layer: distance alone, distance of all but it, and what the drawn value moves alone."""
    drawn = answers.drawn
    panels: list[tuple[str, Callable[[Tensors], float]]] = [
        ("alone: millionths of distance", lambda t: MILLIONTHS * t.alone.distance),
        ("all but it: millionths", lambda t: MILLIONTHS * t.without.distance),
    ]
    if drawn:
        name = drawn.name
        panels.append((f"alone: {_name(drawn)} moves", lambda t: t.alone.answers[name].moved))
    at = np.arange(len(found.layers))
    figure, axes = plt.subplots(1, len(panels), figsize=(FULL, 0.6 + 0.34 * len(at)), sharey=True)
    for axis, (title, value) in zip(np.atleast_1d(axes), panels, strict=True):
        for side, (kind, colour) in zip((-0.2, 0.2), KINDS, strict=True):
            tensors = [getattr(layer, kind) for layer in found.layers]
            axis.barh(at + side, [0.0 if t is None else value(t) for t in tensors], 0.38, color=colour, label=kind)
        axis.set_title(title)
    whole = MILLIONTHS * found.everything.distance
    axes[1].axvline(whole, color=GREY, lw=1, ls="--", label="everything quantised")
    axes[0].set_yticks(at, [layer.name for layer in found.layers])
    axes[0].invert_yaxis()
    axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3)
    return svg(
        figure, f"{found.student}: what quantising each tensor costs, alone and all but it, weights and activations"
    )


def _name(answer: Answer) -> str:
    unit = f" ({answer.unit})" if answer.kind == "value" and answer.unit else "" if answer.kind == "value" else " (%)"
    return answer.name.replace("_", " ") + unit


def _distance(one: Cost) -> str:
    return f"{max(0.0, MILLIONTHS * one.distance):.1f}"


def _moved(answer: Answer, one: Cost) -> str:
    moved = one.answers[answer.name].moved
    return f"{moved:.2f}" if answer.kind == "value" else f"{100 * moved:.2f}"
