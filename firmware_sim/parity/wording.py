"""Figures of a run as words, the same in terminal and page."""

from __future__ import annotations

from onwrist.firmware_sim.parity.firmware import FirmwareRun
from onwrist.firmware_sim.parity.streamed import Streamed


def rate_range_text(found: dict | None) -> str:
    """Median and spread of the heart rate that is shown."""
    return f"{found['median']:.0f} ({found['p5']:.0f} to {found['p95']:.0f}) BPM" if found else "nothing is shown"


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
