"""What a fleet's keeper reads: which slices are alarms, which counter moved, and what it looked like before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onwrist.export.handoff.reference import Reference
from onwrist.firmware_sim.fleet.compare import LEAST_PSI, Found
from onwrist.firmware_sim.parity.drawing import BLUE, FULL, GREY, plt, svg
from onwrist.pages.blocks import Block, Cell, Heading, Mark, Note, Pictures, Section, Table
from onwrist.pages.rendering import block_page

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
    lead = (
        f"{len(alarms) or 'None'} of {len(found)} slices differ{'s' if len(alarms) < 2 else ''} from the reference: "
        f"{len(reference.people)} people, {of}."
    )
    rows = [
        (f.name, f.devices, _moved(f), f"{f.psi:.2f}", f"{f.p:.2g}", Cell("", *_mark(f))) for f in found
    ]  # fmt: skip
    rule = (
        f"An alarm: p at most {found[0].level:.2g}, which is the level of the whole run shared by its slices, and a PSI of at least "
        f"{LEAST_PSI:g}. People and devices are what is counted, not outputs."
    )
    slices = Table(("slice", "devices", "what moved most", "PSI", "p", "verdict"), rows, words=(2, 5))
    moved: list[Block] = []
    for f in alarms:
        others = sorted(((v, n) for n, (v, _) in f.every.items() if v >= LEAST_PSI and n != f.field), reverse=True)[:5]
        also = "; also " + ", ".join(f"{n} {v:.2f}" for v, n in others) if others else ""
        moved += [Heading(f"{f.name}: {words_of(f.field)}"), Pictures((_picture(f),)), Note(f"PSI {f.psi:.2f}{also}")]
    sections = [Section("slices", "Slices", (slices, Note(rule)))]
    if moved:
        sections.append(Section("moved", "What moved", tuple(moved)))
    return block_page("Does the fleet still see what the model was made for?", lead, tuple(sections))


def _mark(found: Found) -> tuple[Mark, str]:
    if found.alarm:
        return "fail", "ALARM"
    return ("pass", "no alarm") if found.every else ("open", "too few")


def _moved(found: Found) -> str:
    if not found.every:
        return "too few devices"
    return words_of(found.field) if found.p <= found.level else "nothing beyond chance"


def _picture(found: Found) -> str:
    figure, axis = plt.subplots(figsize=(FULL, 2.6))
    at = np.arange(len(found.reference))
    axis.bar(at - 0.2, 100 * found.reference, 0.4, color=GREY, label="reference")
    axis.bar(at + 0.2, 100 * found.slice, 0.4, color=BLUE, label=found.name)
    names = ["yes", "no"] if len(at) == 2 else [str(i) for i in at]
    axis.set_xticks(at, names)
    axis.set_xlabel(f"{found.field}: parts, lowest first" if len(at) > 2 else found.field)
    axis.set_ylabel("% of outputs")
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    return svg(figure, f"{found.name}: {words_of(found.field)}, beside the reference")
