"""A small student of light and acceleration, as it comes out of post-training quantisation on a shipped wrist."""

from functools import lru_cache

import numpy as np
import torch
from torch import nn

from onwrist.export.graphs.onnx_writer import write_onnx
from onwrist.export.graphs.tflite_writer import write_tflite
from onwrist.export.handoff.artifacts import Artifacts
from onwrist.models.student.outputs import SHIPPED_ANSWERS
from onwrist.models.student.tracing import trace
from onwrist.quantize.integers.arithmetic import read_integers
from onwrist.quantize.integers.fake_quant import quantise
from onwrist.resources import SHIPPED
from onwrist.signals.front_end.acceleration import acceleration_float
from onwrist.signals.front_end.floating import condition
from onwrist.signals.front_end.student_input import USUAL
from onwrist.signals.recordings.readers import read_recording

SEED = 5


class Moving(nn.Module):
    """Each sensor has a first layer for itself; what follows sees both."""

    inputs = 2

    def __init__(self, width: int = 8, embedding: int = 16):
        super().__init__()
        self.light, self.motion = nn.Conv1d(1, width, 5, stride=5), nn.Conv1d(3, width, 5, stride=5)
        self.both = nn.Sequential(
            nn.Conv1d(self.inputs * width, width, 5, dilation=2), nn.ReLU(), nn.Conv1d(width, width, 9)
        )
        self.embed, self.say = nn.Conv1d(width, embedding, 1), nn.Conv1d(width, len(SHIPPED_ANSWERS.columns), 1)

    def forward(self, ppg, acc):
        x = torch.cat([self.light(ppg.unsqueeze(1)).relu(), self.motion(acc).relu()], dim=1)
        x = self.both(x).relu()
        return {"embedding": self.embed(x)[..., -1], "answers": self.say(x)[..., -1]}


class Still(Moving):
    """The same without acceleration."""

    inputs = 1

    def __init__(self):
        super().__init__()
        del self.motion

    def forward(self, ppg):
        x = self.both(self.light(ppg.unsqueeze(1)).relu()).relu()
        return {"embedding": self.embed(x)[..., -1], "answers": self.say(x)[..., -1]}


@lru_cache
def moving() -> Artifacts:
    """The student in every form."""
    torch.manual_seed(SEED)
    return _quantised(Moving(), "moving", {"ppg": 25, "acc": 25})


@lru_cache
def still() -> Artifacts:
    """The same network of light alone."""
    torch.manual_seed(SEED)
    return _quantised(Still(), "still", {"ppg": 25})


def _quantised(network: nn.Module, name: str, rates: dict[str, float]) -> Artifacts:
    graph = trace(network, name, rates, SHIPPED_ANSWERS).eval()
    recording = read_recording(SHIPPED / "S34.npz")
    light = condition(recording.ppg.samples[: 64 * 600], recording.ppg.rate_hz)
    wrist = acceleration_float(recording.acc.samples[: 32 * 600], recording.acc.rate_hz)
    size = graph.window
    rows = np.arange(0, min(len(light), len(wrist)) - size, size)
    batch = (
        torch.from_numpy(np.stack([light[i : i + size] for i in rows])),
        torch.from_numpy(np.stack([wrist[i : i + size].T for i in rows]) * USUAL.scale),
    )
    quantised = quantise(graph, [batch[: len(graph.inputs)]])
    model = read_integers(quantised)
    return Artifacts(name, graph, quantised, model, write_tflite(model), write_onnx(quantised))
