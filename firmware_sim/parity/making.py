"""Where a student of somebody's own comes from, for its report: the encoder, how near the student came, whom it learnt from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError
from onwrist.firmware_sim.parity.drawing import AMBER, BLUE, GREEN, HALF, plt, svg
from onwrist.pages.blocks import Block, Note, Pictures, Table
from onwrist.signals.people.material import Material

# People listed in the page, the farthest first; the rest are counted.
PEOPLE_SHOWN = 40


@dataclass(frozen=True)
class Making:
    """What the training of a student left (see `onwrist.quantize.judging.nearness`).

    Attributes:
        teacher: the encoder's name, without folders. warnings: what was noticed about it.
        people: role -> number. windows: that taught.
        losses: {step, name of a loss ...} of the training, thinned.
        near: of `nearness`, None where nobody was held out.
    """

    teacher: str
    warnings: tuple[str, ...]
    people: dict[str, int]
    windows: int
    losses: tuple[dict, ...]
    near: dict | None

    def blocks(self) -> list[Block]:
        """For its section."""
        found: list[Block] = []
        n = self.near
        if n:
            found.append(
                Note(
                    f"The student's embedding has a cosine of {n['median']:.3f} to the encoder's (median; a tenth of the windows is below "
                    f"{n['low']:.3f}) on {n['windows']:,} windows of {n['data']}. One that always gave the mean would have 0."
                )
            )
        own = (
            ", ".join(f"{count} {role}" for role, count in self.people.items()) if any(self.people.values()) else "none"
        )
        found.append(Note(f"{self.windows:,} windows taught. People of the spec's own recordings: {own}."))
        found += [Note(f"Noticed about the encoder: {text}.") for text in self.warnings]
        if self.losses:
            found.append(Pictures((learning_curves(self.losses),), "pair"))
        if n and n["each"]:
            each = sorted(n["each"].items(), key=lambda pair: pair[1]["median"])
            rows = [[who, f"{v['median']:.3f}", v["windows"]] for who, v in each[:PEOPLE_SHOWN]]
            caption = "held-out people, the farthest first" + (
                f" ({PEOPLE_SHOWN} of {len(each)})" if len(each) > len(rows) else ""
            )
            found.append(Table(("person", "cosine to the encoder, median", "windows"), rows, caption))
        return found


def learning_curves(losses: tuple[dict, ...]) -> str:
    """Losses by step."""
    figure, axis = plt.subplots(figsize=(HALF, 2.6))
    names = [name for name in losses[0] if name != "step"]
    for name, colour in zip(names, (BLUE, AMBER, GREEN), strict=False):
        axis.plot(
            [row["step"] for row in losses], [max(row[name], 1e-9) for row in losses], color=colour, lw=1.2, label=name
        )
    axis.set_yscale("log")
    axis.set_xlabel("step of distillation")
    axis.set_ylabel("loss")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)
    axis.set_title("learning")
    return svg(figure, f"losses of the distillation by step: {', '.join(names)}")


def thinned(losses: list[dict[str, float]], points: int = 200) -> list[dict[str, float]]:
    """Means of the losses over stretches of equal length: at most so many points, which say where each stretch ends."""
    found = []
    for rows in np.array_split(np.arange(len(losses)), min(points, len(losses))):
        means = {name: float(np.mean([losses[i][name] for i in rows])) for name in losses[0]}
        found.append({"step": int(rows[-1]) + 1, **means})
    return found


def taught(
    teacher: str | None,
    warnings: list[str],
    material: Material,
    windows: int,
    losses: list[dict[str, float]],
    near: dict | None,
) -> dict:
    """What a training says of itself, as `read_making` reads it: plain values, no folder's name."""
    roles = {"to learn from": "train", "held out": "test"}
    people = {words: len({i.person for i in material.items if i.role == role}) for words, role in roles.items()}
    return {
        "teacher": (teacher or "the shipped teacher").replace("\\", "/").rpartition("/")[2], "warnings": warnings, "people": people,
        "windows": windows, "losses": thinned(losses), "near": near,
    }  # fmt: skip


def read_making(path: Path) -> Making | None:
    """What a training left; None where it left nothing.

    Raises:
        ConfigError: another kind of file.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
        return Making(
            str(found["teacher"]), tuple(found["warnings"]), dict(found["people"]), int(found["windows"]), tuple(found["losses"]), found["near"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError):
        raise ConfigError("says nothing of a training", where=path, cure="Delete it; it is made again") from None
