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

from onwrist.ranges import Checked
from onwrist.settings import StepHopS, Teacher


@dataclass(frozen=True)
class TFLiteConfig(Checked):
    """Export of one model to TFLite."""

    size: Literal["watch", "band", "hub"] = "watch"
    """watch and band: the students, exact integers. hub: the encoder itself, for an application processor."""
    teacher: Teacher = None
    weights: Path | None = None
    """Quantised student from quantize/qat.py, or for hub an xMAE checkpoint (default: the shipped weights)."""
    hop_s: StepHopS = None
    out: Path | None = None
    """File to write (default: build/SIZE.tflite)."""


def main(config: TFLiteConfig) -> None:
    """Export a model to full-integer TFLite."""

    from onwrist.command import say
    from onwrist.export.graphs.tflite_writer import check_integer_only
    from onwrist.export.handoff.files import student_tflite
    from onwrist.quantize.teaching.student_files import int8_weights
    from onwrist.writing import write_whole

    path = config.out or Path("build") / f"{config.size}.tflite"
    if config.size == "hub":
        from onwrist.export.handoff.hub import hub_tflite

        data = hub_tflite(config.weights or config.teacher)
        what = "INT8 convolutions and products; LayerNorm, GELU and softmax stay float"
    else:
        data = student_tflite(config.weights or int8_weights(config.size, config.teacher), config.hop_s)
        what = f"int8 in and out, {len(check_integer_only(data))} integer operators, no float"
    write_whole(path, data)
    say(f"{path}: {len(data):,} bytes, {what}")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, TFLiteConfig)
