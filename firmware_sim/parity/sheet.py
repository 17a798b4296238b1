"""A page of a body that somebody else has made, in the look of the report."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

STYLE = Path(str(files("onwrist.firmware_sim.parity"))) / "templates" / "report.css"
FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body><main>{{ body }}</main></body>
</html>
"""


def plain_page(title: str, body: str) -> str:
    """One self-contained page.

    Args:
        body: HTML, already escaped where it holds foreign words.
    """
    style, inside = Markup(STYLE.read_text()), Markup(body)
    return Environment(autoescape=True).from_string(FRAME).render(title=title, style=style, body=inside)
