"""What a search found: the front as a picture, a table, and a spec for each of its points."""

from __future__ import annotations

from collections.abc import Sequence

from onwrist.firmware_sim.parity.drawing import AMBER, BLUE, FULL, GREY, RED, plt, svg
from onwrist.firmware_sim.shapes.study import Point, Task, better_than
from onwrist.models.student.network import LADDER, StudentConfig
from onwrist.pages.blocks import Note, Pictures, Section, Table
from onwrist.pages.rendering import block_page
from onwrist.spec import Shape, Spec

HEAD = (
    "student",
    "layers",
    "error",
    "cosine to the teacher",
    "answers",
    "flash (B)",
    "RAM (B)",
    "MACs a hop",
    "instructions a hop",
)
AXES = {"instructions": "instructions of a hop, emulated M4F", "flash": "flash of the step (B)"}


def spec_of(spec: Spec, point: Point) -> Spec:
    """The spec with a point's shape as its student."""
    c = point.config
    own = Shape(
        stem=c.stem, stem_kernel=c.stem_kernel, frames=c.frames, frame_kernel=c.frame_kernel, stride=c.stride, widths=c.widths,
        kernel=c.kernel, dilations=c.dilations, head=c.head,
    )  # fmt: skip
    size = "band" if point.costs.small else "watch"
    student = spec.student.model_copy(update={"size": size, "shape": own})
    return spec.model_copy(update={"name": f"{spec.name}-{point.number}", "student": student})


def layers(c: StudentConfig) -> str:
    """A shape in one line."""
    blocks = ", ".join(f"{w} spaced {d}" for w, d in zip(c.widths, c.dilations, strict=True))
    head = f"; head {c.head[0]}" if c.head else ""
    return f"{c.stem} of {c.stem_kernel}, {c.frames} of {c.frame_kernel} every {c.stride}; blocks of {c.kernel}: {blocks}{head}"


def rows(found: Sequence[Point]) -> list[list[str]]:
    """A row a point."""
    return [
        [
            p.ladder or str(p.number), layers(p.config), f"{p.judged.error:.4f}", f"{p.judged.cosine:.4f}", _answers(p),
            f"{p.costs.flash:,}", f"{p.costs.ram:,}", f"{p.costs.macs:,}",
            "-" if p.costs.instructions is None else f"{p.costs.instructions:,}",
        ]
        for p in found
    ]  # fmt: skip


def table(best: Sequence[Point], found: Sequence[Point]) -> str:
    """Markdown: the front, and the ladder's two where they are not on it."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    others = [p for p in found if p.ladder and p not in best]
    return "\n".join([*lines, *("| " + " | ".join(r) + " |" for r in rows([*best, *others]))])


def verdicts(found: list[Point]) -> list[str]:
    """For each of the ladder's two whether something was better on one axis and worse on none."""
    said = []
    for size in LADDER:
        if not any(p.ladder == size for p in found):
            continue
        better = better_than(found, size)
        names = ", ".join(p.ladder or str(p.number) for p in better)
        said.append(
            f"Better than {size} in error, flash, RAM or instructions and worse in none, after a short training: {names or 'none'}."
        )
    return said


def page(best: list[Point], found: list[Point], refused: dict[str, int], task: Task, how: str) -> str:
    """The page.

    Args:
        how: the training that ranked, in words.
    """
    tried = len(found) + sum(refused.values())
    more = ", ".join(f"{n} {what}" for what, n in sorted(refused.items()))
    lead = f"{tried} shapes, {len(found)} trained to the end of their trial{f' ({more})' if more else ''}; {len(best)} are on the front."
    others = [p for p in found if p.ladder and p not in best]
    return block_page(
        "Which student?", lead,
        (
            Section("front", "Error against cost", (Note(how), Pictures((picture(best, found, task),)), *map(Note, verdicts(found)))),
            Section("points", "The front", (Table(HEAD, rows([*best, *others]), words=(1, 4)),)),
        ),
    )  # fmt: skip


def picture(best: list[Point], found: list[Point], task: Task) -> str:
    """Every trained shape, the front, and the ladder's two."""
    figure, axis = plt.subplots(figsize=(FULL, 4.2))

    def at(points: Sequence[Point]) -> tuple[list[float], list[float]]:
        return [float(getattr(p.costs, task.against) or 0) for p in points], [p.judged.error for p in points]

    axis.plot(*at(found), "o", ms=4, color=GREY, label="trained")
    axis.plot(*at(best), "-o", ms=5, color=BLUE, label="front", drawstyle="steps-post")
    for point in best:
        axis.annotate(
            str(point.number), (at([point])[0][0], point.judged.error), xytext=(5, 4), textcoords="offset points"
        )
    for point in found:
        if point.ladder:
            colour = RED if point.ladder == "watch" else AMBER
            axis.plot(*at([point]), "D", ms=8, color=colour, label=point.ladder)
    axis.set_xlabel(AXES[task.against])
    axis.set_ylabel("error on the people of the choice")
    axis.legend()
    return svg(figure, f"error of each shape against {AXES[task.against]}, the front and the ladder's two marked")


def _answers(point: Point) -> str:
    said = []
    for name, score in point.judged.answers.items():
        said.append(f"{name.replace('_', ' ')} {'-' if score is None else f'{score:.3g}'}")
    return ", ".join(said)
