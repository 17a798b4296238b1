"""Export to quantised ONNX (QCDQ).

python export/to_onnx.py                    # the shipped watch student
python export/to_onnx.py --size hub         # the xMAE encoder itself, static INT8
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onwrist.signals.front_end.floating import hop_samples
from onwrist.writing import write_whole


@dataclass(frozen=True)
class ONNXConfig:
    """Export of one model to ONNX."""

    size: Literal["watch", "band", "hub"] = "watch"
    """watch and band: the students. hub: the encoder itself, for an application processor."""
    teacher: str | None = None
    """The teacher that was named to quantize/distill.py and qat.py, or for hub the encoder itself (default: the shipped one)."""
    model: Path | None = None
    """Quantised student from quantize/qat.py, or for hub an xMAE checkpoint (default: the shipped weights)."""
    hop_s: float | None = None
    """Export one hop of a stream with its state in the open, not the whole window: seconds, a multiple of 0.2."""
    out: Path | None = None
    """File to write (default: build/SIZE.onnx)."""


def export_onnx(config: ONNXConfig) -> bytes:
    """The file as bytes.

    Raises:
        CheckpointError: the weights do not fit.
    """
    if config.size == "hub":
        from onwrist.export.handoff.hub import hub_onnx

        return hub_onnx(config.model or config.teacher)
    from onwrist.export.graphs.onnx_step import write_onnx_step
    from onwrist.export.graphs.onnx_writer import write_onnx
    from onwrist.quantize.integers.training import load_integers, load_quantised
    from onwrist.quantize.teaching.student_files import int8_weights

    path = config.model or int8_weights(config.size, config.teacher)
    if config.hop_s:
        return write_onnx_step(load_integers(path), hop_samples(config.hop_s))
    return write_onnx(load_quantised(path))


def main(config: ONNXConfig) -> None:
    """Export a model to quantised ONNX."""
    from onwrist.command import say

    path = config.out or Path("build") / f"{config.size}.onnx"
    data = export_onnx(config)
    write_whole(path, data)
    say(f"{path}: {len(data):,} bytes")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, ONNXConfig)
