"""Our C beside another generator's, on an emulated M4F: the same TFLite file, the same compiler, instructions counted.

    python firmware_sim/versus.py
    python firmware_sim/versus.py --tflite kws_ref_model.tflite

The other is `bakenn`, with its portable kernels and with its CMSIS-NN overlay, as it configures itself: strided and
dilated layers fall back to portable C. What CMSIS-NN itself needs, as TFLM calls it, was measured outside of this run and
is shown as such. What is run has to give TFLM's bytes.

With `--tflite`, what each kind of layer costs in our C in anybody's files instead, by both compilers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen

from onwrist.ranges import Checked
from onwrist.settings import Size

# Arm's CMSIS-NN (github.com/ARM-software/CMSIS-NN) through the calls of TensorFlow Lite Micro's cmsis_nn kernels, on a window
# of the students shipped with 0.1.0: instructions per multiply-accumulate on an emulated Cortex-M4F, code by clang at -O3 (zig
# 0.17.1) and by arm-none-eabi-gcc 12.2. Counted once, by hand, in November 2026; this repository does not hold its sources.
CMSIS_NN_PER_MAC = {"watch": (3.01, 2.63), "band": (4.31, 3.79)}


@dataclass(frozen=True)
class VersusConfig(Checked):
    """Comparison of C generators."""

    sizes: Annotated[tuple[Size, ...], MinLen(1)] = ("watch", "band")
    """Shipped students, as windows without their head (the other generator knows one output)."""
    tflite: tuple[Path, ...] = ()
    """Anybody's INT8 .tflite files: our C alone, layer by layer."""


def main(config: VersusConfig) -> None:
    """Count the instructions of our C and of another generator's for the same files on an emulated M4F."""
    if config.tflite:
        _layers(config.tflite)
    else:
        _generators(config.sizes)


def _layers(files: tuple[Path, ...]) -> None:
    """A table of what each kind of layer takes, by each compiler that is here."""
    from onwrist.command import say
    from onwrist.errors import ExportError
    from onwrist.firmware_sim.runtimes.compiler import GCC, ZIG
    from onwrist.firmware_sim.runtimes.layers import by_kind, count_layers

    if GCC.absent:
        say(GCC.absent)
    tools = {"clang": ZIG} if GCC.absent else {"clang": ZIG, "GCC": GCC}
    columns = "".join(f" instructions, {name} | per MAC |" for name in tools)
    print(f"| file | layers | MAC |{columns}\n|---|---|---|{'---|---|' * len(tools)}")
    wrong = []
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ExportError(f"cannot be read ({error.strerror})", where=file, cure="Give a .tflite") from None
        found = {name: count_layers(data, file, toolchain=tool) for name, tool in tools.items()}
        for kinds in zip(*(by_kind([*c.layers, c.whole]) for c in found.values()), strict=True):
            cells = "".join(f" {k.instructions:,} | {k.per_mac} |" for k in kinds)
            print(f"| {file.name} | {kinds[0].count} {kinds[0].kind} | {kinds[0].macs:,} |{cells}")
        for name, c in found.items():
            say(
                f"{file.name}, {name}: bytes equal to TFLM's: {'yes' if c.equal else 'NO'}; code {c.code:,} B, arena "
                f"{c.arena:,} B (TFLM's activations {c.tflm_arena:,} B)"
            )
            wrong += [] if c.equal else [file]
    if wrong:
        raise ExportError("gives other bytes than TFLM", where=wrong[0], cure="Report it: the kernels have a bug")


def _generators(sizes: tuple[str, ...]) -> None:
    """A table of the shipped students by every generator."""
    import numpy as np

    from onwrist.command import say
    from onwrist.errors import ConfigError
    from onwrist.export.graphs.tflite_reader import read_tflite
    from onwrist.export.graphs.tflite_writer import write_tflite
    from onwrist.firmware_sim.runtimes.versus import ours, theirs
    from onwrist.firmware_sim.runtimes.window import tflm_activations
    from onwrist.quantize.integers.training import load_integers

    print("| window | C of | instructions | per MAC | code | RAM | bytes equal |\n|---|---|---|---|---|---|---|")
    for size in sizes:
        model = load_integers(size)
        data = write_tflite(model, answers=False)
        macs = read_tflite(data).macs
        x = np.random.default_rng(0).integers(-128, 128, model.window).astype(np.int8)
        expected = model.run(x[None])[0][0]
        runs = [ours(data, x, expected)]
        try:
            runs += [theirs(data, x, expected, overlay) for overlay in (False, True)]
        except ConfigError as error:
            say(str(error))
        for r in runs:
            per, equal = r.instructions / macs, "yes" if r.equal else "NO"
            print(f"| {size} | {r.generator} | {r.instructions:,} | {per:.2f} | {r.text:,} B | {r.ram:,} B | {equal} |")
        print(f"| {size} | TFLM's arena, activations | | | | {tflm_activations(data):,} B | not run |")
        if size in CMSIS_NN_PER_MAC:
            clang, gcc = CMSIS_NN_PER_MAC[size]
            print(
                f"| {size} | CMSIS-NN by TFLM, measured outside this run | | {clang:.2f} (GCC {gcc:.2f}) | | | not run |"
            )


if __name__ == "__main__":
    from onwrist.command import run

    run(main, VersusConfig)
