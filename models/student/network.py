"""Convolutional students made for streaming.

    student = Student(LADDER["watch"])
    embedding, answers = student(x)        # x: (B, 400) from the causal front end; (B, 256), (B, 3)

No layer pads. Frame t is a function of the samples up to t and of nothing else, so a window of 400 samples (10 s
and the 6 s of left context that its first frame needs) gives exactly what a stream gives at that moment: there is
no start of a window that could look different from the middle of a stream. After batch norm is folded, what is left
is convolution and ReLU; pooling is a depthwise convolution with equal weights, because TFLite's MEAN rounds twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, cast

import torch
from annotated_types import Interval, Len
from torch import Tensor, nn

from onwrist.errors import ConfigError
from onwrist.models.student.outputs import (  # noqa: F401 (what a student says is asked of its network too)
    ANSWER_RANGE,
    ANSWERS,
    EMBEDDING,
    HEART_RATE_CENTRE,
    HEART_RATE_SPAN,
    LOGIT_SPAN,
    SHIPPED_ANSWERS,
    Answers,
)
from onwrist.ranges import Checked
from onwrist.signals.front_end.student_input import USUAL, StudentInput

# A file that says more is no student of a watch: its network alone would fill the memory of the host.
Channels = Annotated[int, Interval(ge=1, le=1_024)]
Taps = Annotated[int, Interval(ge=1, le=64)]
BLOCKS, LAYERS = 16, 4
AXES = 3
# Stem, frames and the first block (depthwise, pointwise).
BEFORE_MOTION = 4


@dataclass(frozen=True)
class StudentConfig(Checked):
    """Shape of a student.

    As shipped, the stem runs at 25 Hz, the blocks at 5 Hz (total stride 5, so that a hop is any multiple of 0.2 s).
    """

    name: str = "watch"
    """Size: watch or band."""
    stem: Channels = 32
    """Channels at 25 Hz."""
    stem_kernel: Taps = 6
    """Samples (0.24 s); with the rest it makes the window exactly 16 s."""
    frames: Channels = 96
    """Channels of the strided convolution."""
    frame_kernel: Taps = 10
    """Samples; overlaps its neighbour by half."""
    stride: Annotated[int, Interval(ge=1, le=25)] = 5
    """Samples per frame: 5 frames a second."""
    widths: Annotated[tuple[Channels, ...], Len(1, BLOCKS)] = (128, 128, 128)
    """Channels of each depthwise-separable block."""
    kernel: Taps = 5
    """Frames of each depthwise kernel."""
    dilations: Annotated[tuple[Taps, ...], Len(1, BLOCKS)] = (1, 2, 4)
    """Spacing of each depthwise kernel; together they see 5.8 s: several beats, so that rhythm is local."""
    head: Annotated[tuple[Channels, ...], Len(0, LAYERS)] = (48,)
    """Widths of the hidden layers between pool and answers: a linear read-out trades fast rates against usual ones."""
    embedding: Channels = EMBEDDING
    """Width of the embedding."""
    answers: Answers = SHIPPED_ANSWERS
    """What it says beside the embedding."""
    sees: StudentInput = USUAL
    """The signal that it is fed, and how long a window of it is."""
    motion: Annotated[tuple[Channels, ...], Len(0, 2)] = ()
    """Channels of its two layers over acceleration, at the student's rate and at frames; none: it takes light alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.motion) == 1:
            raise ConfigError("one layer over acceleration", field="motion", cure="Give two widths, or none")
        if len(self.widths) != len(self.dilations):
            raise ConfigError("as many widths as dilations are needed", field="widths", cure="Give one per block")
        if self.sees.samples % self.stride:
            raise ConfigError(
                f"{self.sees.window_s:g} s are {self.sees.samples} samples", field="stride",
                cure="Use a stride that divides them",
            )  # fmt: skip

    @property
    def pool(self) -> int:
        """Frames of the window that is judged."""
        return self.sees.samples // self.stride

    @property
    def window(self) -> int:
        """Input samples of one embedding."""
        frames = self.pool + (self.kernel - 1) * sum(self.dilations)
        return (frames - 1) * self.stride + self.frame_kernel + self.stem_kernel - 1

    @property
    def context(self) -> int:
        """Samples before the window that is judged."""
        return self.window - self.sees.samples


# `watch`: INT8 flash <= 160 kB, activations <= 48 kB. `band`: <= 48 kB, <= 16 kB, <= 2 MMAC per 10 s streamed.
LADDER = {
    "watch": StudentConfig(),
    "band": StudentConfig("band", stem=16, frames=48, widths=(56, 56, 56), head=(12,)),
}
# What a size spends on acceleration, where it is given one: a sixth of its work.
MOTION_WIDTHS = {"watch": (16, 48), "band": (8, 24)}
# Acceleration is given in halves of a g, so that its int8, steps of 1/64 g, has the scale of the light's: 1/32.
ACCELERATION_UNIT_G = 0.5


class ConvNormReLU(nn.Sequential):
    """Convolution without padding, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1):
        super().__init__(
            nn.Conv1d(inputs, outputs, kernel, stride, dilation=dilation, groups=groups, bias=False),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
        )


class Student(nn.Module):
    """A streaming student; see the module's docstring."""

    def __init__(self, config: StudentConfig = LADDER["watch"]):
        super().__init__()
        self.config = c = config
        layers = [
            ConvNormReLU(1, c.stem, c.stem_kernel),
            ConvNormReLU(c.stem, c.frames, c.frame_kernel, stride=c.stride),
        ]
        width = c.frames
        for outputs, dilation in zip(c.widths, c.dilations, strict=True):
            layers.append(ConvNormReLU(width, width, c.kernel, dilation=dilation, groups=width))
            layers.append(ConvNormReLU(width, outputs, 1))
            width = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.Conv1d(width, width, c.pool, groups=width, bias=False)
        nn.init.constant_(self.pool.weight, 1.0 / c.pool)
        self.pool.weight.requires_grad_(False)
        self.embed = nn.Conv1d(width, c.embedding, 1)
        inputs = (width, *c.head)
        widths = (*c.head, len(c.answers.columns))
        self.head = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in zip(inputs, widths, strict=True))

    @property
    def name(self) -> str:
        """Its size."""
        return self.config.name

    @property
    def answers(self) -> Answers:
        """What it says beside the embedding."""
        return self.config.answers

    @property
    def sees(self) -> StudentInput:
        """The signal that it is fed."""
        return self.config.sees

    @property
    def context(self) -> int:
        """Samples before the window that is judged."""
        return self.config.context

    def forward(self, ppg: Tensor) -> tuple[Tensor, Tensor]:
        """(B, window) to the embedding (B, 256) and the answers (B, 3) at the window's end."""
        embedding, answers = self.sequence(ppg)
        return embedding[..., -1], answers[..., -1]

    def sequence(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n) to (B, 256, m) and (B, 3, m), m = (n - window) // stride + 1: one output per frame."""
        return self.answer(self.pool(self.features(x.unsqueeze(1))))

    @torch.no_grad()
    def move_thresholds(self, logits: dict[str, float]) -> None:
        """Move the logit at which an answer is given to 0, in place: answer -> logit as the training knew it."""
        for name, logit in logits.items():
            answer = self.config.answers[name]
            self.head[-1].bias[self.config.answers.column(name)] -= logit / answer.span

    def answer(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """The pool's output (B, channels, m) to embedding (B, 256, m) and answers (B, 3, m), side by side."""
        embedding, hidden = self.embed(pooled), pooled
        for layer in self.head[:-1]:
            hidden = layer(hidden).relu()
        return embedding, self.head[-1](hidden)


class MotionStudent(Student):
    """A student that takes acceleration too: what its own layers make of it is added behind the first block.

    They have the block's geometry, so that both are of the same moments, and begin at nothing: a student that starts from one
    without acceleration says what that one says.
    """

    def __init__(self, config: StudentConfig):
        super().__init__(config)
        c = config
        first, second = c.motion
        joins = nn.Conv1d(second, c.widths[0], 1)
        nn.init.zeros_(joins.weight)
        nn.init.zeros_(cast(Tensor, joins.bias))
        self.motion = nn.Sequential(
            ConvNormReLU(AXES, first, c.stem_kernel),
            ConvNormReLU(first, second, c.frame_kernel, stride=c.stride),
            ConvNormReLU(second, second, c.kernel, dilation=c.dilations[0], groups=second),
            joins,
        )

    def forward(self, ppg: Tensor, acc: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(B, window) of light and (B, 3, window) of acceleration, in units of `ACCELERATION_UNIT_G`, to what a student says."""
        x = ppg.unsqueeze(1)
        layers = list(self.features)
        for layer in layers[:BEFORE_MOTION]:
            x = layer(x)
        x = (x + self.motion(acc)).relu()
        for layer in layers[BEFORE_MOTION:]:
            x = layer(x)
        embedding, answers = self.answer(self.pool(x))
        return embedding[..., -1], answers[..., -1]


def network_of(config: StudentConfig) -> Student:
    """The network of a shape, of light alone or of light and acceleration."""
    return MotionStudent(config) if config.motion else Student(config)


def layers_of(student: nn.Module) -> list[tuple[str, nn.Conv1d]]:
    """(name, convolution) in order of execution; works for folded students too."""
    return [(name, module) for name, module in student.named_modules() if isinstance(module, nn.Conv1d)]


def describe(config: StudentConfig) -> dict:
    """The config as plain values, for metadata; what is as it was before there were other inputs is left out."""
    values = {**asdict(config), "answers": config.answers.plain}
    usual = {name for name, is_usual in (("sees", not config.sees.plain), ("motion", not config.motion)) if is_usual}
    return {k: v for k, v in values.items() if k not in usual}
