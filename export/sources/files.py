"""What a generated firmware consists of. Nothing heavy is imported: machines that only play it need no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onwrist.errors import ExportError
from onwrist.resources import C_SOURCES

if TYPE_CHECKING:
    from onwrist.export.sources.memory_plan import Plan

MODEL_NAME = "onwrist_model"
KERNELS = ("onwrist_kernels.h", "onwrist_kernels.c")


# What begins a block of the hand-written C that only a student with acceleration needs.
WITH_ACCELERATION = "ONWRIST_WITH_ACCELERATION"


def runtime_sources(*names: str, acceleration: bool = False) -> dict[str, str]:
    """Hand-written C by file name: the kernels, or the files that are named.

    Args:
        acceleration: with the lines that an accelerometer needs; sources without one have none of them.
    """
    texts = {name: (C_SOURCES / name).read_text() for name in names or KERNELS}
    return texts if acceleration else {name: _without(text, WITH_ACCELERATION) for name, text in texts.items()}


def _without(text: str, macro: str) -> str:
    """C without its blocks of `#ifdef macro`, which have no blocks inside and no #else."""
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        if line.startswith(f"#ifdef {macro}"):
            inside = True
        elif inside and line.startswith("#endif"):
            inside = False
        elif not inside:
            kept.append(line)
    return "".join(kept)


@dataclass(frozen=True)
class Firmware:
    """Sources of one student.

    Attributes:
        files: name -> text. constants: of onwrist_config.h. plan: of the arena; None where it was not kept.
    """

    files: dict[str, str]
    constants: dict[str, int | str]
    plan: Plan | None

    @property
    def arena(self) -> Plan:
        """The plan of the arena.

        Raises:
            ExportError: it was not kept.
        """
        if self.plan is None:
            raise ExportError(
                "the plan of the arena was not kept", field="plan", cure="Make the firmware again from its step"
            )
        return self.plan
