"""Export to plain C11 with a static memory plan.

python export/to_c.py                              # the shipped watch student as a stream, with its front end
python export/to_c.py --tflite mine.tflite --name mine --out build/c
python export/to_c.py --tflite mine.tflite --name mine --array     # only its bytes, for teams that stay on TFLM
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onwrist.ranges import Checked
from onwrist.settings import Bits, HopS, SensorHz, Size, Teacher


@dataclass(frozen=True)
class CConfig(Checked):
    """Export of one model to C."""

    size: Size = "watch"
    teacher: Teacher = None
    hop_s: HopS = 1.0
    sensor_hz: SensorHz = 64
    bits: Bits = 19
    tflite: Path | None = None
    """Another .tflite of int8 convolutions, dense layers, pools, additions and softmax."""
    name: str | None = None
    """Prefix of the C names (default: the size)."""
    array: bool = False
    """Only a header with the bytes of the .tflite, for TFLM."""
    out: Path = Path("build/c")
    """Folder of the sources."""


def main(config: CConfig) -> None:
    """Export a model to plain C11 with a static memory plan."""
    from onwrist.command import say
    from onwrist.errors import ExportError
    from onwrist.export.graphs.tflite_writer import write_tflite_step
    from onwrist.export.sources.c_text import array_header
    from onwrist.export.sources.c_writer import write_c
    from onwrist.export.sources.files import runtime_sources
    from onwrist.export.sources.firmware import firmware_sources
    from onwrist.export.sources.packages import package_files
    from onwrist.quantize.integers.training import load_integers
    from onwrist.quantize.teaching.student_files import int8_weights
    from onwrist.signals.front_end.fixed import design
    from onwrist.signals.front_end.floating import hop_samples
    from onwrist.writing import write_whole

    name = config.name or (config.size if not config.tflite else "model")
    if config.tflite:
        try:
            data = config.tflite.read_bytes()
        except OSError as error:
            raise ExportError(
                f"cannot be read ({error.strerror})", where=config.tflite, cure="Give a .tflite"
            ) from None
        made = None if config.array else write_c(data, name, where=config.tflite)
        files = {**made.files, **runtime_sources()} if made else {}
        plan = made.plan if made else None
    else:
        model = load_integers(int8_weights(config.size, config.teacher))
        hop = hop_samples(config.hop_s, model.stride, model.sees.rate_hz)
        data = write_tflite_step(model, hop)
        firmware = firmware_sources(model, hop, design(config.sensor_hz, config.bits, model.sees.counts))
        files, plan = {**firmware.files, **package_files(firmware.files, model.digest())}, firmware.arena
    if config.array:
        files = {f"{name}_tflite.h": array_header(data, name)}
    for file, text in files.items():
        write_whole(config.out / file, text.encode())
    arena = "" if plan is None or config.array else f"; arena {plan.bytes:,} bytes"
    say(f"{config.out}: {', '.join(files)}{arena}")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, CConfig)
