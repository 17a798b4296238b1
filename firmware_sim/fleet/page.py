"""What a fleet's keeper reads: which slices are alarms, which counter moved, and what it looked like before and after."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from onwrist.export.handoff.reference import Reference
from onwrist.firmware_sim.fleet.compare import LEAST_PSI, Found
from onwrist.pages.rendering import plain_page

# What a field is in a reader's words; answers and directions are named by themselves.
WORDS = {
    "level": "where in the converter's range the light lies", "swing": "how large the pulse is, half octaves of counts",
    "wave": "the shape of the filtered wave, parts of its magnitude", "slope": "its steps up and down",
    "bridged": "windows with gaps bridged",
    "clipped": "windows at a rail", "flat": "windows in which nothing moves", "poor": "windows that the model calls bad",
    "shown": "outputs shown",
}  # fmt: skip


def words_of(field: str) -> str:
    """A field in words."""
    if field.startswith("direction"):
        return f"the embedding along {field}"
    return WORDS.get(field, f"the answer {field.replace('_', ' ')}")


def line(found: Found) -> str:
    """A slice in one line."""
    if not found.every:
        return f"-     {found.name}: {found.devices} devices, too few to tell"
    chance = f"p {found.p:.2g}, alarm at {found.level:.2g}"
    if found.p > found.level:
        return f"ok    {found.name}, {found.devices} devices: nothing beyond chance ({chance})"
    said = f"{words_of(found.field)} ({found.field}): PSI {found.psi:.2f} ({chance})"
    return f"{'ALARM' if found.alarm else 'ok   '} {found.name}, {found.devices} devices: most moved {said}"


def page(found: Sequence[Found], reference: Reference, of: str) -> str:
    """The page, pictures inside.

    Args:
        of: what the reference is, in words.
    """
    alarms = [f for f in found if f.alarm]
    word, mark = ("drift", "fail") if alarms else ("no alarm", "pass")
    rows = "".join(
        f"<tr class='{'fail' if f.alarm else ''}'><td>{_text(f.name)}</td><td class='n'>{f.devices}</td>"
        f"<td>{_moved(f)}</td><td class='n'>{f.psi:.2f}</td><td class='n'>{f.p:.2g}</td><td>{'ALARM' if f.alarm else 'ok' if f.every else '-'}</td></tr>"
        for f in found
    )
    body = [
        "<h1>Does the fleet still see what the model was made for?</h1>",
        f"<p class='lead'><span class='badge {mark}'>{word}</span> {len(alarms)} of {len(found)} slices differ from the "
        f"reference: {len(reference.people)} people, {_text(of)}.</p>",
        "<section><h2>Slices</h2><div class='wide'><table><tr><th>slice</th><th class='n'>devices</th><th>what moved most</th>"
        f"<th class='n'>PSI</th><th class='n'>p</th><th></th></tr>{rows}</table></div>",
        f"<p class='small'>An alarm: p at most {found[0].level:.2g}, which is the level of the whole run shared by its slices, and "
        f"a PSI of at least {LEAST_PSI:g}. People and devices are what is counted, not outputs.</p></section>",
        "<section><h2>What moved</h2>" if alarms else "",
    ]  # fmt: skip
    for f in alarms:
        others = sorted(((v, n) for n, (v, _) in f.every.items() if v >= LEAST_PSI and n != f.field), reverse=True)[:5]
        also = "; also " + ", ".join(f"{n} {v:.2f}" for v, n in others) if others else ""
        words = f"{f.name}: {words_of(f.field)}"
        body.append(f"<h3>{_text(words)}</h3><img alt='{_text(words)}' src='{_picture(f)}'>")
        body.append(f"<p class='small'>PSI {f.psi:.2f}{_text(also)}</p>")
    return plain_page("Drift of a fleet", "".join([*body, "</section>" if alarms else ""]))


def _moved(found: Found) -> str:
    if not found.every:
        return "too few devices"
    return _text(words_of(found.field)) if found.p <= found.level else "nothing beyond chance"


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _picture(found: Found) -> str:
    from onwrist.firmware_sim.parity.pictures import BLUE, GREY, _uri, plt

    figure, axis = plt.subplots(figsize=(8.5, 2.4))
    at = np.arange(len(found.reference))
    axis.bar(at - 0.2, 100 * found.reference, 0.4, color=GREY, label="reference")
    axis.bar(at + 0.2, 100 * found.slice, 0.4, color=BLUE, label=found.name)
    names = ["yes", "no"] if len(at) == 2 else [str(i) for i in at]
    axis.set_xticks(at, names)
    axis.set_xlabel(f"{found.field}: parts, lowest first" if len(at) > 2 else found.field)
    axis.set_ylabel("% of outputs")
    axis.legend()
    return _uri(figure)
