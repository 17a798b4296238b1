"""Networks as somebody else writes them: `make(embedding, answers)` of a spec, and what there is to test of graphs."""

import torch
import torch.nn.functional as F
from torch import nn


class Causal(nn.Sequential):
    """Left padding, convolution, batch norm."""

    def __init__(self, a: int, b: int, k: int, dilation: int = 1, groups: int = 1):
        super().__init__(
            nn.ConstantPad1d((dilation * (k - 1), 0), 0.0),
            nn.Conv1d(a, b, k, dilation=dilation, groups=groups, bias=False),
            nn.BatchNorm1d(b),
        )


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.first = Causal(width, width, 3, dilation)
        self.second = Causal(width, width, 3, dilation)

    def forward(self, x):
        return (x + self.second(self.first(x).relu())).relu()


class Residual(nn.Module):
    """A ResNet: stem, strided convolution, residual blocks, average over 10 s, two heads."""

    def __init__(self, embedding: int, answers: int, width: int = 12, pool: int = 50):
        super().__init__()
        self.stem = nn.Sequential(Causal(1, 8, 5), nn.ReLU())
        self.frames = nn.Sequential(nn.Conv1d(8, width, 10, stride=5, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        self.blocks = nn.Sequential(Block(width, 1), Block(width, 2))
        self.pool = nn.AvgPool1d(pool)
        self.embed, self.say = nn.Linear(width, embedding), nn.Linear(width, answers)

    def forward(self, ppg):
        pooled = self.pool(self.blocks(self.frames(self.stem(ppg.unsqueeze(1)))))[..., -1]
        return {"embedding": self.embed(pooled), "answers": self.say(pooled)}


class Everything(nn.Module):
    """Depthwise, grouped, pointwise and pre-activated convolutions, ReLU6, concatenation, a maximum over frames, a dense
    head, and an output at frame rate."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(1, 8, 4, stride=2)
        self.depthwise = nn.Conv1d(8, 8, 3, groups=8, bias=False)
        self.grouped = nn.Conv1d(8, 12, 3, groups=4)
        self.norm, self.pointwise = nn.BatchNorm1d(20), nn.Conv1d(20, 8, 1)
        self.peak, self.stages = nn.MaxPool1d(2), nn.Conv1d(8, 4, 1)
        self.pool = nn.AvgPool1d(6, stride=1)
        self.hidden, self.embed, self.say = nn.Linear(8, 8), nn.Linear(8, 6), nn.Linear(8, 2)

    def forward(self, ppg):
        x = F.relu6(self.stem(ppg[:, None]))
        a, b = self.depthwise(x), F.relu(self.grouped(x))
        x = self.pointwise(F.relu(self.norm(torch.cat([a, b], dim=1))))
        x = self.peak(x)
        pooled = self.pool(x)[..., -1]
        hidden = F.relu(self.hidden(pooled))
        return {"embedding": self.embed(pooled), "answers": self.say(hidden), "stages": self.stages(x)}


class Plain(nn.Module):
    """Two convolutions in one stage, which look back together."""

    def __init__(self):
        super().__init__()
        self.stage = nn.Sequential(nn.Conv1d(1, 6, 5), nn.Conv1d(6, 6, 3, dilation=2), nn.ReLU())
        self.pool, self.embed, self.say = nn.MaxPool1d(7, stride=1), nn.Conv1d(6, 6, 1), nn.Conv1d(6, 2, 1)

    def forward(self, ppg):
        x = self.pool(self.stage(ppg.unsqueeze(1)))
        return self.embed(x)[..., -1], self.say(x)[..., -1]


class Two(nn.Module):
    """PPG and acceleration at half its rate, brought together at one frame rate."""

    def __init__(self):
        super().__init__()
        self.light, self.motion = nn.Conv1d(1, 6, 8, stride=4), nn.Conv1d(3, 6, 4, stride=2)
        self.both = nn.Conv1d(12, 8, 3)
        self.pool, self.embed, self.say = nn.AvgPool1d(5), nn.Linear(8, 6), nn.Linear(8, 2)

    def forward(self, ppg, acc):
        both = torch.cat([self.light(ppg.unsqueeze(1)).relu(), self.motion(acc).relu()], dim=1)
        pooled = self.pool(self.both(both).relu()).squeeze(-1)
        return {"embedding": self.embed(pooled), "answers": self.say(pooled)}


def make(embedding: int, answers: int) -> nn.Module:
    """Of a spec: `source = "users.py:make"`."""
    return Residual(embedding, answers)


class Night(nn.Module):
    """A ResNet at 50 Hz that says what every frame is, and embeds 30 s of them."""

    def __init__(self, embedding: int, answers: int, width: int = 8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(1, width, 10, stride=5, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        self.frames = nn.Sequential(nn.Conv1d(width, width, 4, stride=2, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        self.blocks = nn.Sequential(Block(width, 1), Block(width, 2))
        self.pool, self.embed = nn.AvgPool1d(150), nn.Linear(width, embedding)
        self.say = nn.Conv1d(width, answers, 1)

    def forward(self, ppg):
        frames = self.blocks(self.frames(self.stem(ppg.unsqueeze(1))))
        return {"embedding": self.embed(self.pool(frames)[..., -1]), "answers": self.say(frames)}


def night(embedding: int, answers: int) -> nn.Module:
    """Of a spec: `source = "users.py:night"`."""
    return Night(embedding, answers)


class Encoder(nn.Module):
    """Somebody's encoder, for windows of any length."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(1, 16, 9, stride=4), nn.ReLU(), nn.Conv1d(16, 24, 9, stride=4), nn.ReLU())

    def forward(self, wave):
        found = self.layers(wave.unsqueeze(1))
        return torch.cat([found.mean(-1), found.amax(-1)], dim=1)


def encoder() -> nn.Module:
    """Of a spec: `source = "users.py:encoder"`."""
    torch.manual_seed(0)
    return Encoder()
