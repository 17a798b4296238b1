"""Templates to pages: one self-contained HTML file each, which asks for nothing outside itself."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from onwrist.pages.blocks import Section

ROOM = Path(str(files("onwrist.pages")))
# A canvas in the page's colours, for pages that draw for themselves.
PLOT = ROOM / "plot.js"


def style(*more: Path) -> Markup:
    """The house's stylesheet, and a page's own after it."""
    return Markup("\n".join(path.read_text() for path in (ROOM / "style.css", *more)))


def render(template: str, folder: Path, styles: tuple[Path, ...] = (), **values) -> str:
    """A page.

    Args:
        template: name of a file in `folder`, which may extend `base.html.j2` and import `blocks.html.j2`.
        styles: stylesheets of the page's own.
    """
    pieces = Environment(
        loader=FileSystemLoader([folder, ROOM]), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )  # fmt: skip
    return pieces.get_template(template).render(style=style(*styles), **values)


def block_page(title: str, lead: str, sections: tuple[Section, ...], footer: str = "") -> str:
    """A page of sections with their contents before them."""
    return render("sections.html.j2", ROOM, title=title, lead=lead, sections=sections, footer=footer)
