"""The shapes that a search may try: every knob of `StudentConfig` but what the spec fixes (embedding, answers, hop)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from onwrist.firmware_sim.handoff.road import most_context
from onwrist.models.student.network import StudentConfig
from onwrist.signals.front_end.student_input import USUAL, StudentInput

# Around the ladder's two, from a quarter of `band` to a little more than `watch`.
STEM, STEM_KERNEL = (4, 40, 4), (3, 10)
FRAMES, FRAME_KERNEL = (16, 128, 8), (5, 15)
BLOCKS, WIDTH, KERNEL = (1, 4), (24, 160, 8), (3, 7)
HIDDEN = (0, 64, 4)
# Each block's spacing is that of the one before it times this.
GROWTH = (1, 2, 3)
# Samples a frame; 10 leaves five frames to two seconds, in which a fast pulse has hardly one a beat.
STRIDES = (5, 10)


class Chooser(Protocol):
    """What names the knobs: an Optuna trial."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


def strides_of(hop: int, sees: StudentInput = USUAL) -> tuple[int, ...]:
    """The strides that a hop of `hop` samples, and a window, are a whole number of."""
    return tuple(s for s in STRIDES if hop % s == 0 and sees.samples % s == 0)


def shape(choose: Chooser, like: StudentConfig, hop: int) -> StudentConfig:
    """One shape, with the embedding and answers of `like`."""
    strides = strides_of(hop, like.sees)
    stem = choose.suggest_int("stem", *STEM[:2], step=STEM[2])
    stem_kernel = choose.suggest_int("stem_kernel", *STEM_KERNEL)
    frames = choose.suggest_int("frames", *FRAMES[:2], step=FRAMES[2])
    frame_kernel = choose.suggest_int("frame_kernel", *FRAME_KERNEL)
    stride = choose.suggest_categorical("stride", strides) if len(strides) > 1 else strides[0]
    blocks = choose.suggest_int("blocks", *BLOCKS)
    widths = tuple(choose.suggest_int(f"width{i}", *WIDTH[:2], step=WIDTH[2]) for i in range(blocks))
    kernel = choose.suggest_int("kernel", *KERNEL)
    growth = choose.suggest_categorical("growth", GROWTH)
    hidden = choose.suggest_int("hidden", *HIDDEN[:2], step=HIDDEN[2])
    return replace(
        like, stem=stem, stem_kernel=stem_kernel, frames=frames, frame_kernel=frame_kernel, stride=stride, widths=widths,
        kernel=kernel, dilations=tuple(growth**i for i in range(blocks)), head=(hidden,) if hidden else (),
    )  # fmt: skip


def knobs(config: StudentConfig, hop: int) -> dict[str, Any]:
    """The choices by which `shape` gives a config; of the ladder's two, for instance."""
    found: dict[str, Any] = {
        "stem": config.stem, "stem_kernel": config.stem_kernel, "frames": config.frames, "frame_kernel": config.frame_kernel,
        "blocks": len(config.widths), **{f"width{i}": w for i, w in enumerate(config.widths)}, "kernel": config.kernel,
        "growth": config.dilations[1] // config.dilations[0] if len(config.dilations) > 1 else 1,
        "hidden": config.head[0] if config.head else 0,
    }  # fmt: skip
    return found | ({"stride": config.stride} if len(strides_of(hop, config.sees)) > 1 else {})


def beyond(config: StudentConfig, window: int) -> str:
    """Why a shape cannot be trained on windows of so many samples; empty if it can."""
    most = most_context(config.sees)
    if config.context > most:
        return f"sees {config.context} samples of the past, more than {most}"
    if config.window > window:
        return f"sees {config.window} samples, the examples have {window}"
    return ""
