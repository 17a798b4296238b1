"""Export to quantised ONNX (QCDQ).

python export/to_onnx.py                    # the shipped watch student
python export/to_onnx.py --size hub         # the xMAE encoder itself, static INT8
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onwrist.ranges import Checked
from onwrist.settings import StepHopS, Teacher


@dataclass(frozen=True)
class ONNXConfig(Checked):
    """Export of one model to ONNX."""

    size: Literal["watch", "band", "hub"] = "watch"
    """watch and band: the students. hub: the encoder itself, for an application processor."""
    teacher: Teacher = None
    weights: Path | None = None
    """Quantised student from quantize/qat.py, or for hub an xMAE checkpoint (default: the shipped weights)."""
    hop_s: StepHopS = None
    out: Path | None = None
    """File to write (default: build/SIZE.onnx)."""


def main(config: ONNXConfig) -> None:
    """Export a model to quantised ONNX."""

    from onwrist.command import say
    from onwrist.export.handoff.files import student_onnx
    from onwrist.quantize.teaching.student_files import int8_weights
    from onwrist.writing import write_whole

    path = config.out or Path("build") / f"{config.size}.onnx"
    if config.size == "hub":
        from onwrist.export.handoff.hub import hub_onnx

        data = hub_onnx(config.weights or config.teacher)
    else:
        data = student_onnx(config.weights or int8_weights(config.size, config.teacher), config.hop_s)
    write_whole(path, data)
    say(f"{path}: {len(data):,} bytes")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, ONNXConfig)
