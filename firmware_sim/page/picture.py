"""A picture of the page, taken in a real browser, for documents."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Literal

from onwrist.errors import ConfigError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# A headless browser, as root too, that asks nobody for anything.
WORDS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTH, HEIGHT = 1280, 900
# Far enough for a full wave and a line of answers. The page fades its axes in over some pictures.
UNTIL_S, PICTURES = 190, 60
# A drawing of flat colours: as a palette it takes a third.
COLOURS = 128


def find_browser() -> str | None:
    """The system's Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def take_picture(page: Path, scheme: Literal["light", "dark"] = "light") -> bytes:
    """A PNG of the page some minutes into its first recording.

    Args:
        page: the HTML file. scheme: light or dark.

    Raises:
        ConfigError: no browser, or no driver for it.
    """
    browser = find_browser()
    try:
        from PIL import Image
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed", field="picture", cure="pip install 'onwrist[browser]'"
        ) from None
    if browser is None:
        raise ConfigError("no Chromium on this machine", field="picture", cure="apt-get install chromium")
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser, args=list(WORDS))
        tab = running.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme, reduced_motion="reduce"
        )
        tab.goto(page.resolve().as_uri())
        tab.evaluate("() => onwrist.ready")
        tab.evaluate(
            "([until, n]) => { while (state.run.time < until && stepOnce()); for (; n > 0; n--) show(true); }",
            [UNTIL_S, PICTURES],
        )
        height = tab.evaluate("document.querySelector('main').getBoundingClientRect().bottom + 4")
        shot = tab.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
        running.close()
    out = io.BytesIO()
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()
