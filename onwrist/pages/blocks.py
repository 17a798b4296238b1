"""What a page says, without a tag: a page's maker lists blocks, the template knows how they look.

Section("fits", "Does it fit?", (Note("..."), Table(("part", "ms"), (("M4F", "3.1"),))))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Mark = Literal["", "pass", "warn", "fail", "open"]
# Columns from which a table becomes a list of cards on a phone, one less if some hold words: more do not fit beside each other.
STACKED_FROM = 4


@dataclass(frozen=True)
class Cell:
    """A value with a mark (its word in a coloured badge) or with smaller words under it."""

    text: str
    mark: Mark = ""
    word: str = ""
    small: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row, the others are figures unless `words` lists their index.

    Attributes:
        caption: what is in it; "" where the heading above says so.
    """

    kind: ClassVar[str] = "table"
    head: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    words: tuple[int, ...] = ()

    @property
    def stacked(self) -> bool:
        """Whether it is a list of cards on a phone."""
        return len(self.head) >= STACKED_FROM - (1 if self.words else 0)


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Note:
    """A paragraph in smaller print."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Pictures:
    """SVG pictures below each other at full width, in pairs, or as a grid of small ones; all say what they show."""

    kind: ClassVar[str] = "pictures"
    items: tuple[str, ...]
    layout: Literal["wide", "pair", "grid"] = "wide"


@dataclass(frozen=True)
class Folded:
    """Blocks behind a line that opens them."""

    kind: ClassVar[str] = "folded"
    title: str
    blocks: tuple[Block, ...]


Block = Table | Heading | Note | Pictures | Folded


@dataclass(frozen=True)
class Section:
    """A part of a page, reached from its contents."""

    id: str
    title: str
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Card:
    """A verdict and the figures that it rests on."""

    title: str
    word: str
    mark: Mark
    why: str
    facts: tuple[tuple[str, str], ...] = field(default=())
