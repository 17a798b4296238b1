"""What a run's page says, in order: a verdict, a card for each student, then what it rests on."""

from __future__ import annotations

import numpy as np

from onwrist.firmware_sim.parity import pictures, tables
from onwrist.firmware_sim.parity.making import Making
from onwrist.firmware_sim.parity.reasons import REASONS
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.parity.summary import methods, summary
from onwrist.firmware_sim.parity.wording import answer_title, says_text, share_text
from onwrist.pages.blocks import Block, Card, Folded, Heading, Note, Pictures, Section
from onwrist.signals.pulse.onset_rules import TRUSTED

WORDS = {"PASS": "holds every gate", "WARN": "holds, with a warning", "FAIL": "fails"}
GROUPS = {
    "right": "Right: what the watch shows about the person",
    "close": "Close: INT8 says what the float student says",
    "exact": "Exact: every runtime computes the same bytes",
    "fits": "Fits: flash, memory and time",
}
# The section into which the page puts its own drawing of any minute.
SAYS = "says"


def title(results: list[Streamed]) -> str:
    """Of the page."""
    return f"{results[0].recording}: what the watch says, and whether the firmware says the same"


def sentence(results: list[Streamed]) -> str:
    """The verdict in a sentence."""
    r = results[0]
    how = "; ".join(f"{x.size} {WORDS[x.verdict[0]]}" for x in results)
    return (
        f"{how[0].upper()}{how[1:]}. {r.seconds / 60:.1f} minutes of {r.recording} at {r.rate_hz} Hz, an output every {r.hop_s:g} s: "
        "sensor counts, ring buffer, fixed-point front end, INT8 stream in TensorFlow Lite Micro."
    )


def footer(results: list[Streamed]) -> str:
    """What the figures are of."""
    return (
        f"Models: {', '.join(r.size + ' ' + str(r.contract['digest'])[:12] for r in results)}. Times are of this "
        "host and rank runtimes; they are not a device's. Figures are measured in this run unless marked as stored or estimated. "
        "Not a medical device."
    )


def card(r: Streamed) -> Card:
    """Verdict and the figures that matter, of one student."""
    word, why = r.verdict
    found, memory = summary(r), r.memory
    rest = sorted(((n, c) for n, c in r.reasons.items() if n != REASONS[0] and c), key=lambda pair: -pair[1])
    facts = [(answer_title(a), says_text(found["says"].get(a.name))) for a in r.meaning if a.kind == "value"]
    facts.append(("outputs shown", share_text(found["shown_hops"], found["hops"])))
    if rest:
        facts.append(("why not the rest", "; ".join(f"{n} {_percent(c, len(r.hops))}" for n, c in rest)))
    rate = found["heart_rate"]
    if r.meaning.rate is not None:
        error = f"{rate['int8_mae']:.2f} BPM against {rate['reference']}" if rate else "no reference"
        facts.append(("error of the shown", error))
    for answer in r.meaning:
        if answer.kind != "value" and answer.name in found["says"]:
            facts.append((answer_title(answer), f"{says_text(found['says'][answer.name])} of the shown"))
    facts.append(("flash, RAM (stream)", f"{memory.step:,} B, {memory.ram:,} B"))
    counted = [f.instructions for f in r.firmware if f.instructions]
    if counted:
        low, high = min(counted), max(counted)
        facts.append(("instructions a hop", f"{low:,} to {high:,}" if low != high else f"{low:,}"))
    times = [1e3 * s for c in r.costs if c.seconds and c.seconds[1] is not None for s in c.seconds]
    if times:
        facts.append(("time a hop (estimate)", f"{min(times):.1f} to {max(times):.1f} ms, by part"))
    return Card(r.size, word, tables.MARKS[word], f"{why}." if why else "", tuple(facts))


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 1 else "under 1 %"


def sections(
    results: list[Streamed], hub: list[dict], curves: list[dict], making: Making | None = None
) -> list[Section]:
    """Everything below the cards."""
    found = [
        Section(SAYS, "What the watch says"),
        Section("right", "Is it right?", tuple(_right(results))),
        Section("gates", "Gates", tuple(_gates(results))),
    ]
    if making:
        found.insert(0, Section("encoder", f"The encoder: {making.teacher}", tuple(making.blocks())))
    faulty = [r for r in results if r.run.faults.faults]
    if faulty:
        listed = tables.faults(results[0])
        drawn = Pictures(tuple(pictures.timeline(r) for r in faulty))
        seed = results[0].run.faults.plain()["seed"]
        found.append(Section("faults", f"Faults, seed {seed}", (*([listed] if listed else []), drawn)))
    found += [
        Section("close", "INT8 against float", (
            Pictures(tuple(map(pictures.similarity, results)), "pair"),
            Folded("Front end: fixed point against float", (tables.front_end(results),)),
        )),
        *_beats(results),
        Section("exact", "Runtime against runtime, stream against window", tuple(_exact(results))),
        Section("fits", "Memory, work and time", tuple(_fits(results))),
        Section("samples", "Where every sample and every output went", (
            tables.samples(results),
            Note("received = used + gated + pending + dropped + discarded. Bridged samples are made up."),
            tables.reasons(results),
        )),
    ]  # fmt: skip
    if curves:
        found.append(Section("curves", "Faults by strength", tuple(_curves(curves))))
    if hub:
        found.append(Section("hub", "The encoder itself", (tables.encoder(hub),)))
    return found


def stills(results: list[Streamed]) -> Pictures:
    """The whole recording and two minutes of it, for paper and for a page without JavaScript."""
    return Pictures((*map(pictures.overview, results), pictures.wave(results[0])))


def _beats(results: list[Streamed]) -> list[Section]:
    """Of the first student's watch: beats are of the front end, and the same for all."""
    first = results[0]
    if not first.run.beats["interval"].any():
        return []
    known = int(np.count_nonzero(first.run.beats["confidence"] >= TRUSTED))
    return [Section("beats", "Beat to beat", (
        Pictures((pictures.tachogram(first), pictures.poincare(first)), "pair"),
        Note(
            f"{len(first.run.beats):,} pulses, the intervals of {known:,} trusted ({TRUSTED} % or surer). How right they are is judged "
            "by an ECG: onwrist beats."
        ),
    ))]  # fmt: skip


def _right(results: list[Streamed]) -> list[Block]:
    found: list[Block] = []
    for r in results:
        listed = tables.rates(r)
        if listed is None:
            continue
        found += [Heading(r.size), listed]
        beside = methods(r)
        if beside:
            found += [tables.methods(beside), Pictures((pictures.risk_coverage(r, beside),), "pair")]
    if not found:
        return [Note("The recording has no heart-rate reference: whether what is shown is right is not judged.")]
    return [
        Note(
            "Baselines see the same counts, the ten seconds before each output, and nothing after. One recording is one person: "
            "nothing here says how people differ."
        ),
        *found,
    ]


def _gates(results: list[Streamed]) -> list[Block]:
    found: list[Block] = []
    for group, name in GROUPS.items():
        listed = tables.gates(results, group)
        if listed:
            found += [Heading(name), listed]
    return [*found, Folded("Where each figure comes from", (tables.gate_sources(results, tuple(GROUPS)),))]


def _exact(results: list[Streamed]) -> list[Block]:
    found: list[Block] = [Pictures(tuple(map(pictures.differences, results)), "pair")]
    found += [Folded(f"Bytes, {r.size}", (tables.agreements(r),)) for r in results]
    counted = tables.firmware(results)
    if counted:
        note = (
            "From ADC counts on. Counts are of instructions on an emulated core, front end included, not of cycles. Flash is the "
            "whole image: code, weights and tables."
        )
        found.append(Folded("Firmware in C", (Note(note), counted)))
    return found


def _fits(results: list[Streamed]) -> list[Block]:
    estimates = (
        "Instructions of this C, counted on an emulated core, front end included. Cycles are a range that follows from them by "
        "what is published of the core and of the part's flash, caches on; time is cycles by the clock. Energy is another range: "
        "that time at the power which others measured on this part with other kernels. Nothing here was measured on a board. "
        "Unknown stays unknown."
    )
    counted = any(r.mixes for r in results)
    return [
        Pictures((pictures.ram(results), pictures.flash(results), pictures.work(results), pictures.latency(results)), "pair"),
        Folded("Memory, part by part", (tables.memory(results),)),
        Folded("Work by hop", (tables.by_hop(results),)),
        Folded("Microcontrollers", (Note(estimates), tables.parts(results), *([tables.mixes(results)] if counted else []))),
        Folded("On this host", (tables.latency(results),)),
    ]  # fmt: skip


def _curves(curves: list[dict]) -> list[Block]:
    note = (
        "Blue: heart-rate error of what is shown, against the ECG, with the 95 % interval over people. Amber: share of outputs that "
        "are shown."
    )
    found: list[Block] = [Note(note)]
    for one in curves:
        drawn = Pictures(pictures.curves(one), "grid")
        found.append(Folded(f"{one['size']}: {one['source']}; {one['data']}", (drawn,)))
    return found
