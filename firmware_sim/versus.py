"""Our C beside another generator's, on an emulated M4F: the same TFLite file, the same compiler, instructions counted.

    python firmware_sim/versus.py

The other is `bakenn`, with its portable kernels and with its CMSIS-NN overlay, as it configures itself: strided and
dilated layers fall back to portable C. What CMSIS-NN itself needs, as TFLM calls it, was measured outside of this run and
is shown as such. What is run has to give TFLM's bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
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


def main(config: VersusConfig) -> None:
    """Count the instructions of our C and of another generator's for the same files on an emulated M4F."""

    import numpy as np

    from onwrist.command import say
    from onwrist.errors import ConfigError
    from onwrist.export.graphs.tflite_reader import read_tflite
    from onwrist.export.graphs.tflite_writer import write_tflite
    from onwrist.firmware_sim.runtimes.versus import ours, theirs
    from onwrist.quantize.integers.training import load_integers

    print("| window | C of | instructions | per MAC | code | bytes equal |\n|---|---|---|---|---|---|")
    for size in config.sizes:
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
            print(f"| {size} | {r.generator} | {r.instructions:,} | {per:.2f} | {r.text:,} B | {equal} |")
        if size in CMSIS_NN_PER_MAC:
            clang, gcc = CMSIS_NN_PER_MAC[size]
            print(
                f"| {size} | CMSIS-NN by TFLM, measured outside this run | | {clang:.2f} (GCC {gcc:.2f}) | | not run |"
            )


if __name__ == "__main__":
    from onwrist.command import run

    run(main, VersusConfig)
