"""Settings that several verbs share: one name, one type and one sentence each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval, MultipleOf
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
# The student's total stride is 5 samples of 25 Hz; its window is 10 s.
HopSeconds = Annotated[float, Interval(ge=0.2, le=10), MultipleOf(0.2)]
HopS = Annotated[HopSeconds, arg(help="Seconds between outputs.", metavar="SECONDS")]
StepHopS = Annotated[
    HopSeconds | None,
    arg(
        help="Seconds between outputs. One hop with its state is exported then, else the whole window.",
        help_behavior_hint="",
        metavar="SECONDS",
    ),
]
SensorHz = Annotated[
    int, Interval(ge=25, le=1_000), arg(help="The watch's PPG sensor, samples a second.", metavar="HZ")
]
Bits = Annotated[int, Interval(ge=8, le=24), arg(help="Resolution of the sensor's counts.", metavar="BITS")]
# As `signals.recordings.recording` has it of a recording of a pulse.
RecordingHz = Annotated[float, Interval(ge=5, le=4_000)]
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
