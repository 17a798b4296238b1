"""The tables of a run's page."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from onwrist.firmware_sim.parity.firmware import DENSE, DEPTHWISE
from onwrist.firmware_sim.parity.gates import Gate
from onwrist.firmware_sim.parity.parts import HEAD, MIX_HEAD, cells, mix_cells
from onwrist.firmware_sim.parity.reasons import REASONS
from onwrist.firmware_sim.parity.streamed import Streamed
from onwrist.firmware_sim.parity.summary import LATENCY_QUANTILES, acceleration, front_end_effect, rate_errors
from onwrist.firmware_sim.parity.wording import share_text
from onwrist.firmware_sim.runtimes.hop import TFLMStep
from onwrist.models.student.work import work
from onwrist.pages.blocks import Cell, Mark, Table

WORK_HOPS_S = (0.2, 1.0, 2.0, 5.0, 10.0)
MARKS: dict[str, Mark] = {"pass": "pass", "PASS": "pass", "WARN": "warn", "FAIL": "fail"}


def gates(results: list[Streamed], group: str) -> Table | None:
    """The gates of a group, a column a student; None where it has none."""
    rows = []
    for name in _names(results, group):
        found = [_gate(r, group, name) for r in results]
        rows.append([name, *["-" if g is None else _found(g) for g in found]])
    words = tuple(range(1, len(results) + 1))
    return Table(("gate", *(r.size for r in results)), rows, words=words) if rows else None


def gate_sources(results: list[Streamed], groups: tuple[str, ...]) -> Table:
    """Where each gate's figure comes from."""
    rows = [
        [name, r.size, f"{g.source} {g.detail}".strip()]
        for group in groups for name in _names(results, group) for r in results if (g := _gate(r, group, name))
    ]  # fmt: skip
    return Table(("gate", "student", "where from"), rows, words=(1, 2))


def _names(results: list[Streamed], group: str) -> list[str]:
    return list(dict.fromkeys(g.name for r in results for g in r.gates if g.group == group))


def _gate(r: Streamed, group: str, name: str) -> Gate | None:
    return next((g for g in r.gates if (g.group, g.name) == (group, name)), None)


def _found(g: Gate) -> Cell:
    return Cell(g.value, MARKS.get(g.word, "open"), g.word, f"asked: {g.limit}")


def rates(r: Streamed) -> Table | None:
    """Errors by true rate; None without a reference."""
    rate = rate_errors(r)
    if not rate:
        return None
    rows = [
        [
            f"{b['low']} to {b['high']}", f"{b['outputs']:,}", f"{b['shown']:,}", _bpm(b["mae"]),
            "-" if b["bias"] is None else f"{b['bias']:+.2f}", f"{b['mae_all']:.2f}",
        ]
        for b in rate["by_rate"]
    ]  # fmt: skip
    rows.append(
        [
            "all", f"{int(r.judged.sum()):,}", f"{rate['hops']:,}", f"{rate['int8_mae']:.2f} (float {rate['float_mae']:.2f})",
            f"{rate['bias']:+.2f}", f"{rate['mae_all']:.2f}",
        ]
    )  # fmt: skip
    head = ("true rate, BPM", "outputs", "shown", "error of the shown", "bias of the shown", "error of all")
    return Table(head, rows, f"mean error in BPM against {rate['reference']}")


def methods(found: list[dict]) -> Table:
    """The watch beside the baselines, of `streamed.methods`."""
    rows = [
        [m["method"], f"{100 * m['answered']:.0f} %"]
        + [_bpm(m[k]) for k in ("mae_where_watch_shows", "mae_at_same_share", "mae_all")]
        for m in found
    ]
    head = ("method", "answers", "on the outputs that the watch shows", "on as many, its surest", "on all it answers")
    return Table(head, rows, "mean error in BPM")


def _bpm(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def faults(r: Streamed) -> Table | None:
    """What went wrong on purpose."""
    found = r.run.faults.plain()["fault"]
    rows = [[f.pop("kind").replace("_", " "), ", ".join(f"{k} {v:g}" for k, v in f.items())] for f in found]
    return Table(("fault", "settings"), rows, words=(1,)) if rows else None


def front_end(results: list[Streamed]) -> Table:
    """Fixed point against float, and what it does behind the student."""
    rows = []
    for r in results:
        f, effect = r.real.front_end, front_end_effect(r)
        rows.append(
            [
                r.size, f"{f.snr_db:.2f} dB", f"{f.float_snr_db:.2f} dB", f"{100 * f.equal:.3f} %", f.largest,
                f"{effect['cosine_worst']:.5f}", "-" if effect["bpm_largest"] is None else f"{effect['bpm_largest']:.2f}",
            ]
        )  # fmt: skip
    head = (
        "student", "SNR, fixed point", "SNR, float quantised", "equal int8", "largest, LSB", "embedding, worst cosine", "largest, BPM",
    )  # fmt: skip
    return Table(head, rows)


def agreements(r: Streamed) -> Table:
    """Every runtime against TFLM's stream."""
    rows = [
        [a.runtime, f"{100 * a.equal:.4f} %", a.largest, f"{a.cosine_median:.6f}", f"{a.cosine_worst:.6f}"]
        for a in r.agreements
    ]
    head = (
        "runtime", f"bytes equal to {TFLMStep.name}", "largest difference, LSB", "cosine, median", "cosine, worst",
    )  # fmt: skip
    return Table(head, rows)


def firmware(results: list[Streamed]) -> Table | None:
    """The exported C from ADC counts on; None if it did not run."""
    rows = []
    for r in results:
        for f in r.firmware:
            row = [f"{r.size}, {f.name.removeprefix('firmware C, ')}", f"{f.wrong} of {f.bytes:,}", f"{f.hops:,}"]
            if f.instructions and f.image:
                macs = r.memory.work.of_hop(r.hop_s)
                row += [
                    f"{f.instructions:,}", f"{f.instructions / macs:.2f}", f"{f.share(DENSE):,}", f"{f.share(DEPTHWISE):,}",
                    f"{f.arena:,}", f"{f.stack:,}", f"{f.image.text:,}", f"{f.image.flash:,}",
                ]  # fmt: skip
            rows.append(row + ["-"] * (11 - len(row)))
    head = (
        "machine", "bytes that differ", "hops", "instructions a hop", "per MAC", "of dense layers", "of depthwise", "arena, B",
        "stack, B", "code, B", "flash, B",
    )  # fmt: skip
    return Table(head, rows) if rows else None


def memory(results: list[Streamed]) -> Table:
    """Flash and RAM, part by part."""
    names = {
        "model": "TFLite file of a window (flash)", "step": "TFLite file of a hop (flash)", "weights": "of which integers",
        "front_end_tables": "front-end coefficients (flash)", "activations": "activation plan of a window, TFLM",
        "planned": "the same from tensor lifetimes", "step_activations": "activation plan of a hop, TFLM",
        "state": "state between hops", "window": "input ring of a window", "ring": "sensor ring",
        "front_end": "front-end state", "windowed_ram": "RAM, window", "ram": "RAM, stream",
    }  # fmt: skip
    rows = [[text, *[f"{getattr(r.memory, key):,}" for r in results]] for key, text in names.items()]
    return Table(("bytes", *(r.size for r in results)), rows)


def by_hop(results: list[Streamed]) -> Table:
    """Work at several hops, recomputed and streamed."""
    rows = []
    for r in results:
        found = [work(r.student, h) for h in WORK_HOPS_S]
        rows.append([f"{r.size}, window", *[f"{w.windowed / 1e6:.2f}" for w in found]])
        rows.append([f"{r.size}, stream", *[f"{w.streamed / 1e6:.2f}" for w in found]])
    return Table(("MMAC per 10 s at a hop of", *(f"{h:g} s" for h in WORK_HOPS_S)), rows)


def parts(results: list[Streamed]) -> Table:
    """What a hop may cost on each microcontroller."""
    return Table(HEAD, [cells(c) for r in results for c in r.costs], words=(1, 2, 9, 13))


def mixes(results: list[Streamed]) -> Table:
    """What a hop's instructions are on each core."""
    return Table(MIX_HEAD, [mix_cells(r.size, mix) for r in results for mix in r.mixes.values()])


def latency(results: list[Streamed]) -> Table:
    """Time of a hop on this host."""
    rows = []
    for r in results:
        ms = r.latency_s * 1e3
        factor = len(ms) * r.hop_s / (ms.sum() / 1e3)
        quantiles = [f"{np.percentile(ms, q):.2f}" for q in LATENCY_QUANTILES.values()]
        rows.append([r.size, *quantiles, f"{factor:,.0f}", r.deadline_misses])
    return Table(("ms a hop", *LATENCY_QUANTILES, "times real time", "deadlines missed"), rows)


def samples(results: list[Streamed]) -> Table:
    """Where every sample went."""
    names = [
        "sent", "received", "used", "gated", "pending", "dropped", "discarded", "bridged", "resets", "missed", "backlog",
    ]  # fmt: skip
    values = [
        {**asdict(r.counters), "sent": r.run.sensor.sent, "at a rail of the converter": r.run.sensor.saturated}
        for r in results
    ]
    rows = [[n, *[f"{v[n]:,}" for v in values]] for n in (*names, "at a rail of the converter")]
    rows.append(
        ["most in the ring", *[f"{r.run.watch.ring.high_water} of {r.run.watch.ring.capacity}" for r in results]]
    )
    for name in next((acceleration(r)["acceleration"] for r in results if acceleration(r)), ()):
        said = [acceleration(r).get("acceleration", {}).get(name) for r in results]
        rows.append([f"acceleration: {name.replace('_', ' ')}", *["" if n is None else f"{n:,}" for n in said]])
    return Table(("samples", *(r.size for r in results)), rows)


def reasons(results: list[Streamed]) -> Table:
    """Every output once, by why it is not shown."""
    rows = [[name, *[share_text(r.reasons[name], len(r.hops)) for r in results]] for name in REASONS]
    return Table(("outputs, each once", *(r.size for r in results)), rows)


def encoder(hub: list[dict]) -> Table:
    """The encoder's own files."""
    rows = [
        [h["format"], f"{h['bytes']:,}", f"{h['cosine_median']:.5f}", f"{h['cosine_worst']:.5f}", h["windows"], h["source"]]
        for h in hub
    ]  # fmt: skip
    return Table(("format", "bytes", "cosine to float, median", "worst", "windows", "where from"), rows, words=(5,))
