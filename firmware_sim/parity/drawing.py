"""How pictures are drawn: SVG that takes ink, ground and letters from the page, so that it fits light, dark and paper."""

from __future__ import annotations

import hashlib
import io
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from markupsafe import escape

# Ink and paper follow the page. The others are of middling lightness: at least 3 to 1 against a white and a dark ground.
INK, GREY = "#14202b", "#7f8c99"
BLUE, RED, GREEN, AMBER, VIOLET = "#2878c8", "#d04a3e", "#1f9068", "#b87a10", "#9a5fc4"
GAP_SHADE = "#d04a3e"
# Inches: as wide as the page, half of it, and as small as a figure still has letters that can be read.
FULL, HALF, SMALL = 10.5, 4.5, 2.9
_FROM_THE_PAGE = {INK: "var(--ink)"}

plt.rcParams.update(
    {
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "axes.facecolor": "none",
        "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.titleweight": "bold",
        "axes.titlelocation": "left", "axes.titlesize": 10, "legend.frameon": False, "legend.fontsize": 9, "svg.fonttype": "none",
        "svg.hashsalt": "onwrist",
    }
)  # fmt: skip


def svg(figure, says: str, *, tight: bool = True) -> str:
    """A figure as an <svg> element, and its memory given back.

    Args:
        says: what is to be seen, for those who do not see it.
        tight: cut to what is drawn, which means to draw it twice; else the figure's own size.
    """
    sink = io.StringIO()
    figure.savefig(
        sink, format="svg", dpi=150, bbox_inches="tight" if tight else None, facecolor="none", metadata={"Date": None}
    )
    plt.close(figure)
    text = sink.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for colour, name in _FROM_THE_PAGE.items():
        text = text.replace(colour, name)
    text = (
        text.replace("'DejaVu Sans', ", "")
        .replace('width="', 'data-width="', 1)
        .replace('height="', 'data-height="', 1)
    )
    text = re.sub(r' data-(width|height)="[^"]*"', "", text)
    text = _own_names(text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(says)}"', 1).strip()


def _own_names(text: str) -> str:
    """Names inside a picture that no other picture of the page has; groups that nothing points to need none."""
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
    names = {a or b for a, b in used}
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="p{own}-{m[1]}"' if m[1] in names else "", text)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>p{own}-", text)
