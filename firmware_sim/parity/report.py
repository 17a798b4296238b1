"""One self-contained HTML page about runs, and the JSON beside it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from onwrist.export.handoff.names import REPORT_JSON, REPORT_PAGE
from onwrist.firmware_sim.parity import view
from onwrist.firmware_sim.parity.making import Making
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.parity.summary import summary
from onwrist.firmware_sim.parity.zoom import zoom_data
from onwrist.pages.rendering import PLOT, render
from onwrist.writing import write_whole

TEMPLATES = Path(str(files("onwrist.firmware_sim.parity"))) / "templates"


def report_files(
    results: list[Streamed],
    hub: list[dict] | None = None,
    curves: list[dict] | None = None,
    making: Making | None = None,
) -> dict[str, bytes]:
    """report.html and report.json.

    Args:
        hub: figures of the encoder's own files. curves: of firmware_sim/sweep.py. making: of a student of one's own.
    """
    found = {"runs": [summary(r) for r in results], "hub": hub or []}
    return {
        REPORT_PAGE: page(results, hub, curves, making).encode(), REPORT_JSON: (json.dumps(found, indent=1) + "\n").encode(),
    }  # fmt: skip


def write_report(results: list[Streamed], folder: Path) -> Path:
    """Write report.html and report.json into `folder`; returns the page's path."""
    for name, data in report_files(results).items():
        write_whole(folder / name, data)
    return folder / REPORT_PAGE


def page(
    results: list[Streamed],
    hub: list[dict] | None = None,
    curves: list[dict] | None = None,
    making: Making | None = None,
) -> str:
    """The report as HTML, pictures, data and style inside; as `report_files`."""
    return render(
        "report.html.j2", TEMPLATES, (TEMPLATES / "report.css",), title=view.title(results), lead=view.sentence(results),
        cards=[view.card(r) for r in results], sections=view.sections(results, hub or [], curves or [], making), says=view.SAYS,
        stills=view.stills(results), students=[r.size for r in results], data=Markup(zoom_data(results)),
        script=Markup("\n".join(path.read_text() for path in (PLOT, TEMPLATES / "zoom.js"))), footer=view.footer(results),
    )  # fmt: skip
