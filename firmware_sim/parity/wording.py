"""Figures of a run as words, the same in terminal and page."""

from __future__ import annotations

from onwrist.firmware_sim.parity.firmware import FirmwareRun
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.models.student.outputs import Answer


def answer_title(answer: Answer) -> str:
    """What a figure of one answer is of."""
    name = answer.name.replace("_", " ")
    if answer.kind == "yes/no":
        return f"flagged {answer.word.replace('_', ' ')}"
    return f"{name} shown" if answer.kind == "value" else name


def says_text(found: dict | None) -> str:
    """One answer of `summary.says`: median and spread of a value, share of a yes, shares of classes."""
    if not found:
        return "nothing is shown"
    if "median" in found:
        return f"{found['median']:.0f} ({found['p5']:.0f} to {found['p95']:.0f}) {found['unit']}".rstrip()
    if len(found) == 1:
        return f"{100 * next(iter(found.values())):.0f} %"
    return ", ".join(f"{word} {100 * share:.0f} %" for word, share in found.items())


def share_text(part: int, whole: int) -> str:
    """A part of a whole, in percent and in counts."""
    return f"{100 * part / whole:.0f} % ({part:,} of {whole:,})"


def error_text(rate: dict | None) -> str:
    """Error of INT8, and of float."""
    return f"{rate['int8_mae']:.2f} ({rate['float_mae']:.2f}) BPM" if rate else "-"


def bin_text(rate: dict | None, low: int) -> str:
    """Error, bias and share shown of one bin of true rates."""
    found = next((b for b in rate["by_rate"] if b["low"] == low), None) if rate else None
    if found is None:
        return "-"
    if found["mae"] is None:
        return f"shown 0 of {found['outputs']:,}"
    return f"{found['mae']:.1f} (bias {found['bias']:+.1f}), shown {found['shown']:,} of {found['outputs']:,}"


def method_text(found: dict | None) -> str:
    """A method's error on the watch's outputs, and on as many of its surest."""
    if not found:
        return "-"
    same, surest = (
        "-" if v is None else f"{v:.2f}" for v in (found["mae_where_watch_shows"], found["mae_at_same_share"])
    )
    return f"{same} ({surest}) BPM"


def gate_value(r: Streamed, name: str) -> str:
    """What a gate found."""
    return next((g.value for g in r.gates if g.name == name), "-")


def count_text(f: FirmwareRun, r: Streamed) -> str:
    """Instructions, per MAC, and stack."""
    return f"{f.instructions:,}, {f.instructions / r.memory.work.of_hop(r.hop_s):.2f}; {f.stack} B"


def bytes_text(agreement: dict) -> str:
    """Equal bytes, and the largest difference."""
    return f"{100 * agreement['equal']:.2f} %, max {agreement['largest']} LSB"


def difference_text(rate: dict | None) -> str:
    """INT8 minus float."""
    if rate is None:
        return "no reference"
    return f"{rate['int8_mae']:.2f} - {rate['float_mae']:.2f} = {rate['difference']:+.3f} BPM"
