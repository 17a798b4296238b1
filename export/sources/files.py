"""What a generated firmware consists of. Nothing heavy is imported: machines that only play it need no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onwrist.export.sources.c_writer import Plan

MODEL_NAME = "onwrist_model"


@dataclass(frozen=True)
class Firmware:
    """Sources of one student.

    Attributes:
        files: name -> text. constants: of onwrist_config.h. plan: of the arena; None where it was not kept.
    """

    files: dict[str, str]
    constants: dict[str, int | str]
    plan: Plan | None
