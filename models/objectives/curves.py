"""What the pretraining runs cost and whether their losses have flattened: a table from their logs."""

from __future__ import annotations

import json

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from onwrist.errors import ConfigError
from onwrist.models.encoders.checkpoint import PRETRAINING_ONLY, encoder_weights, load_encoder, read_state
from onwrist.models.encoders.xmae import XMAEConfig
from onwrist.models.objectives.zoo import SYSTEMS, build

QUARTERS = (0.25, 0.5, 0.75, 1.0)


def work(encoder: nn.Module) -> int:
    """Multiply-accumulates of one window, counted while it runs."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fused attention is not counted
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            encoder(torch.zeros(1, XMAEConfig().samples))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() // 2


def summary(name: str) -> dict:
    """Parameters, work, minutes and validation curve of one run.

    Raises:
        ConfigError: the run has not ended.
    """
    path = encoder_weights(name)
    log = path.parent / "log.jsonl"
    if not log.exists():
        raise ConfigError("no log", where=log, cure=f"Run python models/pretrain.py --method {name}")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    checked = [r for r in rows if r["validation"]]
    encoder = load_encoder(path)
    trained = sum(p.numel() for p in build(name).parameters() if p.requires_grad)
    return {
        "system": name, "trained": trained,
        "encoder": sum(p.numel() for n, p in encoder.named_parameters() if not n.startswith(PRETRAINING_ONLY)),
        "macs": work(encoder), "windows": json.loads(read_state(path)[1]["windows"]),
        "minutes": rows[-1]["seconds"] / 60,
        "loss": [_at(checked, len(rows), share)["loss"] for share in QUARTERS],
        "rank": checked[-1]["validation"]["rank"],
    }  # fmt: skip


def _at(checked: list[dict], steps: int, share: float) -> dict:
    return min(checked, key=lambda r: abs(r["step"] + 1 - share * steps))["validation"]


def table(rows: list[dict]) -> str:
    """Markdown: one line a system."""
    heads = " | ".join(f"{100 * q:.0f} %" for q in QUARTERS)
    lines = [
        "| system | trained / deployed parameters | MMAC per window | windows | minutes, one core "
        f"| loss on validation people at {heads} of the run | embedding rank |",
        "|---|---|---|---|---|" + "---|" * (len(QUARTERS) + 1),
    ]
    for r in rows:
        losses = " | ".join(f"{v:.3f}" for v in r["loss"])
        lines.append(
            f"| {SYSTEMS[r['system']].title} | {r['trained'] / 1e6:.2f} / {r['encoder'] / 1e6:.2f} M "
            f"| {r['macs'] / 1e6:.0f} | {r['windows']:,} | {r['minutes']:.0f} | {losses} | {r['rank']:.0f} |"
        )
    return "\n".join(lines)
