"""Export to full-integer TFLite.

python export/to_tflite.py                          # the shipped watch student
python export/to_tflite.py --size band --out band.tflite
python export/to_tflite.py --hop-s 1                # one second of a stream, with its state
python export/to_tflite.py --size hub               # the xMAE encoder itself (needs the `hub` extra)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onwrist.signals.front_end.floating import hop_samples
from onwrist.writing import write_whole


@dataclass(frozen=True)
class TFLiteConfig:
    """Export of one model to TFLite."""

    size: Literal["watch", "band", "hub"] = "watch"
    """watch and band: the students, exact integers. hub: the encoder itself, for an application processor."""
    teacher: str | None = None
    """The teacher that was named to quantize/distill.py and qat.py, or for hub the encoder itself (default: the shipped one)."""
    model: Path | None = None
    """Quantised student from quantize/qat.py, or for hub an xMAE checkpoint (default: the shipped weights)."""
    hop_s: float | None = None
    """Export one hop of a stream with its state in the open, not the whole window: seconds, a multiple of 0.2."""
    out: Path | None = None
    """File to write (default: build/SIZE.tflite)."""


def export_tflite(config: TFLiteConfig) -> bytes:
    """The file as bytes.

    Raises:
        CheckpointError: the weights do not fit. ExportError: a float operator would be left in a student.
    """
    if config.size == "hub":
        from onwrist.export.handoff.hub import hub_tflite

        return hub_tflite(config.model or config.teacher)
    from onwrist.export.graphs.tflite_writer import check_integer_only, write_tflite, write_tflite_step
    from onwrist.quantize.integers.training import load_integers
    from onwrist.quantize.teaching.student_files import int8_weights

    model = load_integers(config.model or int8_weights(config.size, config.teacher))
    data = write_tflite_step(model, hop_samples(config.hop_s)) if config.hop_s else write_tflite(model)
    check_integer_only(data)
    return data


def main(config: TFLiteConfig) -> None:
    """Export a model to full-integer TFLite."""
    from onwrist.command import say

    path = config.out or Path("build") / f"{config.size}.tflite"
    data = export_tflite(config)
    write_whole(path, data)
    if config.size == "hub":
        say(f"{path}: {len(data):,} bytes, INT8 convolutions and products; LayerNorm, GELU and softmax stay float")
        return
    from onwrist.export.graphs.tflite_writer import check_integer_only

    say(f"{path}: {len(data):,} bytes, int8 in and out, {len(check_integer_only(data))} integer operators, no float")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, TFLiteConfig)
