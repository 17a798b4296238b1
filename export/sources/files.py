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


def runtime_sources(*names: str) -> dict[str, str]:
    """Hand-written C by file name: the kernels, or the files that are named."""
    return {name: (C_SOURCES / name).read_text() for name in names or KERNELS}


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
