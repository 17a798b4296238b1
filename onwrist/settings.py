"""Settings that several verbs share: one name, one type and one sentence each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from onwrist.resources import SHIPPED

Recording = Annotated[
    Path,
    Positional,
    arg(
        help="A recording: a file or folder in any format that is read, or the name of one that ships (S34, bidmc_05).",
        help_behavior_hint="(default: the shipped hour on a wrist, S34)",
    ),
]
HOUR_ON_A_WRIST = SHIPPED / "S34.npz"

Size = Annotated[Literal["watch", "band"], arg(help="Which student of the ladder.")]
Teacher = Annotated[
    str | None,
    arg(
        help="The teacher: a pretrained system by name, a checkpoint, or my_encoder.py:make (default: the shipped one).",
        help_behavior_hint="",
        metavar="NAME",
    ),
]
HopS = Annotated[float, arg(help="Seconds between outputs: a multiple of 0.2, at most 10.", metavar="SECONDS")]
StepHopS = Annotated[
    float | None,
    arg(
        help="Seconds between outputs: a multiple of 0.2, at most 10. One hop with its state is exported then, else the "
        "whole window.",
        help_behavior_hint="",
        metavar="SECONDS",
    ),
]
SensorHz = Annotated[int, arg(help="The watch's PPG sensor, samples a second: 25 to 1000.", metavar="HZ")]
Bits = Annotated[int, arg(help="Resolution of the sensor's counts.", metavar="BITS")]
Only = Annotated[
    tuple[str, ...],
    arg(
        help="Names of sets (default: all): ppg_arrhythmia, icu, bidmc, stress_predict.",
        help_behavior_hint="",
        metavar="NAME",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"], arg(help="Where to compute; auto takes a GPU where there is one.")
]
Bf16 = Annotated[bool, arg(help="bfloat16 autocast: twice as fast where the CPU has AVX512-BF16.")]
Data = Annotated[
    Path | None,
    arg(help="Folder of the larger sets (default: $ONWRIST_DATA).", help_behavior_hint="", metavar="FOLDER"),
]
