"""The explanations' pictures, drawn from the shipped shapes: what the newest output sees, and what a stream keeps of it."""

from __future__ import annotations

from html import escape

STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #14202b } .soft { fill: #51606d } .line { stroke: #8b98a5; fill: none }
.old { fill: #d8dfe6 } .kept { fill: #e0b15c } .new { fill: #2878c8 } .box { fill: #e9eef2; stroke: #8b98a5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e8edf1 } .soft { fill: #9fadb9 } .old { fill: #37434d } .kept { fill: #b88222 } .box { fill: #222b33 }
}
</style>"""
HOP = 25


def svg(width: int, height: int, says: str, parts: list[str]) -> str:
    """A picture with its words for those who do not see it."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(says)}">'
    return "\n".join([head, f"<title>{escape(says)}</title>", STYLE, *parts, "</svg>"])


def layers() -> list[tuple[str, int, int, int]]:
    """(name, taps, stride, spacing) of each layer with an extent in time, of the student called watch."""
    from onwrist.models.student.network import LADDER

    c = LADDER["watch"]
    blocks = [(f"block {i + 1}", c.kernel, 1, d) for i, d in enumerate(c.dilations)]
    return [("stem", c.stem_kernel, 1, 1), ("frames", c.frame_kernel, c.stride, 1), *blocks, ("pool", c.pool, 1, 1)]


def stream_picture() -> str:
    """Each layer's input, over the seconds that the newest output sees: kept from before, and new with this hop."""
    from onwrist.signals.front_end.floating import STUDENT_RATE_HZ

    found = layers()
    needed = [1]
    for _, taps, stride, spacing in reversed(found):
        needed.insert(0, (needed[0] - 1) * stride + (taps - 1) * spacing + 1)
    left, right, top, each = 96, 700, 52, 46
    seconds = needed[0] / STUDENT_RATE_HZ
    x = lambda s: right - s * (right - left) / seconds  # noqa: E731
    parts = []
    step, new = 1, HOP / STUDENT_RATE_HZ
    for i, (name, taps, stride, spacing) in enumerate(found):
        y = top + i * each
        frame_s = step / STUDENT_RATE_HZ
        kept = max(0, (taps - 1) * spacing + 1 - stride) * frame_s
        seen = needed[i] * frame_s
        if name == "pool":  # it moves on by a whole hop
            kept = seen - new
        parts.append(f'<rect class="old" x="{x(seen):.1f}" y="{y}" width="{x(0) - x(seen):.1f}" height="22"/>')
        parts.append(
            f'<rect class="kept" x="{x(new + kept):.1f}" y="{y}" width="{x(new) - x(new + kept):.1f}" height="22"/>'
        )
        parts.append(f'<rect class="new" x="{x(new):.1f}" y="{y}" width="{x(0) - x(new):.1f}" height="22"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{name}</text>')
        step *= stride
    bottom = top + len(found) * each
    parts.append(f'<line class="line" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    for s in range(0, int(seconds) + 1, 2):
        parts.append(f'<text class="soft" x="{x(s):.1f}" y="{bottom + 18}" text-anchor="middle">{-s or 0} s</text>')
    legend = (
        ("old", "seen by this output, and computed before"),
        ("kept", "kept: the state of the stream"),
        ("new", "new with this hop"),
    )
    for (kind, words), at in zip(legend, (left - 60, left + 250, left + 470), strict=True):
        parts.append(
            f'<rect class="{kind}" x="{at}" y="14" width="14" height="14"/><text x="{at + 20}" y="26">{words}</text>'
        )
    says = f"The input of each layer over the {seconds:g} s that an output sees: a stream keeps a little of it and computes the new second"
    return svg(760, bottom + 30, says, parts)


def integers_picture() -> str:
    """One layer's arithmetic, box by box."""
    boxes = (
        ("int8 x int8", "products of 16 bits"), ("int32 sum", "and bias: exact"), ("x multiplier", "Q31, rounded"),
        ("shift", "rounded again"), ("+ zero, clamp", "int8 again"),
    )  # fmt: skip
    parts, width, gap = [], 134, 16
    for i, (what, how) in enumerate(boxes):
        x = 10 + i * (width + gap)
        parts.append(f'<rect class="box" x="{x}" y="20" width="{width}" height="64" rx="8"/>')
        parts.append(f'<text x="{x + width / 2}" y="46" text-anchor="middle">{what}</text>')
        parts.append(
            f'<text class="soft" x="{x + width / 2}" y="68" text-anchor="middle" style="font-size:11px">{how}</text>'
        )
        if i:
            parts.append(f'<path class="line" d="M{x - gap} 52 h{gap - 3} m-5 -4 l5 4 l-5 4"/>')
    return svg(
        10 + len(boxes) * (width + gap),
        104,
        "A layer: products of bytes, an exact sum, one multiplication, one shift, a byte",
        parts,
    )


def gates_picture() -> str:
    """What is held against what."""
    boxes = {
        "heart": (10, 20, "the heart", "ECG, device"), "float": (200, 20, "float student", "torch"), "int8": (390, 20, "INT8 stream", "TFLM"),
        "others": (580, 20, "other machines", "C, cores, LiteRT, numpy"), "part": (390, 150, "the part", "flash, RAM, time"),
    }  # fmt: skip
    parts = []
    for x, y, what, how in boxes.values():
        parts.append(f'<rect class="box" x="{x}" y="{y}" width="140" height="56" rx="8"/>')
        parts.append(f'<text x="{x + 70}" y="{y + 24}" text-anchor="middle">{what}</text>')
        parts.append(
            f'<text class="soft" x="{x + 70}" y="{y + 43}" text-anchor="middle" style="font-size:11px">{how}</text>'
        )
    for x, word in ((340, "close"), (530, "exact")):
        parts.append(
            f'<path class="line" d="M{x} 48 h50"/><text x="{x + 25}" y="40" text-anchor="middle" style="font-size:12px">{word}</text>'
        )
    parts.append(
        '<path class="line" d="M80 76 v44 h350 v-44"/><text x="255" y="113" text-anchor="middle" style="font-size:12px">right</text>'
    )
    parts.append('<path class="line" d="M480 76 v74"/><text x="488" y="118" style="font-size:12px">fits</text>')
    return svg(
        730,
        216,
        "The INT8 stream is held against the heart, the float student, every other machine, and the part",
        parts,
    )


PICTURES = {
    "explain/stream.svg": stream_picture, "explain/integers.svg": integers_picture, "explain/gates.svg": gates_picture,
}  # fmt: skip


def on_files(files, config):
    """Add the pictures to the site's files."""
    from mkdocs.structure.files import File

    for path, draw in PICTURES.items():
        files.append(File.generated(config, path, content=draw()))
    return files
