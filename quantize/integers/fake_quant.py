"""The student with Brevitas quantisers, placed so that every one of them exists in TFLite int8 too.

| here                                    | TFLite                                              |
|-----------------------------------------|-----------------------------------------------------|
| input: int8, scale 1/32, fixed          | input tensor int8, zero point 0                     |
| weights: int8, symmetric, per channel   | CONV_2D / DEPTHWISE_CONV_2D filter                  |
| pool, embedding, hidden: per tensor     | the same with one scale (saves 8 bytes a channel)   |
| bias: int32, scale = input x weight     | the same                                            |
| after ReLU: uint8                       | int8 with zero point -128, fused RELU               |
| embedding: int8; answers: int8, fixed   | int8, zero point 0                                  |
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from onwrist.errors import CheckpointError
from onwrist.models.student.network import ANSWER_RANGE, Student, StudentConfig, fold
from onwrist.signals.front_end.floating import FrontEndConfig

with warnings.catch_warnings():
    # Brevitas announces at import that an optional GPU kernel is absent; nothing here uses it.
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    import brevitas.nn as qnn
    from brevitas.core.scaling import ScalingImplType
    from brevitas.graph.calibrate import calibration_mode
    from brevitas.quant import (
        Int8ActPerTensorFloat,
        Int8WeightPerChannelFloat,
        Int8WeightPerTensorFloat,
        Int32Bias,
        Uint8ActPerTensorFloat,
    )

INPUT_SCALE = FrontEndConfig().clip / 128
# A channel that hardly ever speaks is not blown up beyond this share of the loudest.
DEAD_CHANNEL = 0.02
# Scale of a range that only zeros were seen in: Brevitas leaves next to nothing.
SILENT = 1e-9


class InputQuant(Int8ActPerTensorFloat):
    """Fixed scale: the front end's clip is the range, nothing is left to calibrate."""

    scaling_impl_type = ScalingImplType.CONST
    scaling_init = FrontEndConfig().clip


class ReLUQuant(Uint8ActPerTensorFloat):
    """Range from the largest value seen: what clips is a motion spike, and a clipped spike turns the embedding."""

    high_percentile_q = 100.0


class EmbeddingQuant(Int8ActPerTensorFloat):
    """Range from the largest value seen: a clipped coordinate turns the embedding."""

    high_percentile_q = 100.0


class AnswersQuant(Int8ActPerTensorFloat):
    """Fixed scale: the range of heart rates is the contract's, not that of the training people."""

    scaling_impl_type = ScalingImplType.CONST
    scaling_init = ANSWER_RANGE


class QuantStudent(nn.Module):
    """A folded student under fake quantisation; same call and outputs as `Student`."""

    def __init__(self, config: StudentConfig):
        super().__init__()
        self.config = config
        plain = Student(config)
        self.input = qnn.QuantIdentity(act_quant=InputQuant, return_quant_tensor=True)
        self.features = nn.Sequential()
        for layer in plain.features:
            self.features.append(
                nn.Sequential(
                    _conv(layer[0], Int8WeightPerChannelFloat),
                    qnn.QuantReLU(act_quant=ReLUQuant, return_quant_tensor=True),
                )
            )
        self.pool = _conv(plain.pool, Int8WeightPerTensorFloat, bias=False)
        self.pooled = qnn.QuantReLU(act_quant=ReLUQuant, return_quant_tensor=True)
        self.embed = _conv(plain.embed, Int8WeightPerTensorFloat)
        self.embedded = qnn.QuantIdentity(act_quant=EmbeddingQuant, return_quant_tensor=True)
        # Hidden layers count in flash like the embedding; the answers' rows are few and of different size.
        self.head = nn.ModuleList(_conv(layer, Int8WeightPerTensorFloat) for layer in plain.head[:-1])
        self.head.append(_conv(plain.head[-1], Int8WeightPerChannelFloat))
        self.answered = nn.ModuleList(
            qnn.QuantReLU(act_quant=ReLUQuant, return_quant_tensor=True) for _ in plain.head[:-1]
        )
        self.answered.append(qnn.QuantIdentity(act_quant=AnswersQuant, return_quant_tensor=True))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, window) to (B, 256), (B, 3)."""
        pooled = self.pooled(self.pool(self.features(self.input(x.unsqueeze(1)))))
        embedding, answers = self._answer(pooled)
        return embedding[..., -1], answers[..., -1]

    def _answer(self, pooled) -> tuple[Tensor, Tensor]:
        embedding, hidden = self.embedded(self.embed(pooled)), pooled
        for conv, act in zip(self.head, self.answered, strict=True):
            hidden = act(conv(hidden))
        return _value(embedding), _value(hidden)

    def stages(self) -> list[nn.Module]:
        """The layers with an extent in time, the pool last, on plain tensors (see `models.step`)."""
        pairs = [*self.features, (self.pool, self.pooled)]
        sources = [self.input, *(pair[1] for pair in pairs[:-1])]
        return [_Stage(source, *pair) for source, pair in zip(sources, pairs, strict=True)]

    def answer(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """The pool's output (B, channels, m) to embedding (B, 256, m) and answers (B, 3, m)."""
        return self._answer(self.pooled(pooled))


class _Stage(nn.Module):
    """A layer between plain tensors: its source's quantiser, which finds values on its own grid and leaves them."""

    def __init__(self, source: nn.Module, conv: nn.Module, act: nn.Module):
        super().__init__()
        self.source, self.conv, self.act = source, conv, act

    def forward(self, x: Tensor) -> Tensor:
        return _value(self.act(self.conv(self.source(x))))


def _value(x) -> Tensor:
    # While Brevitas calibrates, its quantisers hand on plain tensors.
    return x if isinstance(x, Tensor) and not hasattr(x, "value") else x.value


def _conv(like: nn.Module, weight_quant: type, bias: bool = True) -> qnn.QuantConv1d:
    assert isinstance(like, nn.Conv1d)
    return qnn.QuantConv1d(
        like.in_channels,
        like.out_channels,
        like.kernel_size[0],
        stride=like.stride[0],
        dilation=like.dilation[0],
        groups=like.groups,
        bias=bias,
        weight_quant=weight_quant,
        bias_quant=Int32Bias if bias else None,
        return_quant_tensor=True,
    )


@torch.no_grad()
def equalise(folded: Student, batches: list[Tensor]) -> None:
    """Give the channels of each layer like ranges, in place, without changing what the student computes.

    A ReLU's output channel may be divided by s if the next layer's weights for it are multiplied by s (cross-layer
    equalisation, Nagel et al. 2019, arXiv 1906.04721). One activation scale per layer then serves every channel,
    where before the loudest channel set it. Before a depthwise layer, whose weights have a scale per channel, the
    ranges become equal; before a full one, range and weights meet half way.
    """
    layers = [layer[0] for layer in folded.features] + list(folded.head[:-1])
    peaks = [torch.zeros(layer.out_channels) for layer in layers]
    for batch in batches:
        outputs, x = [], batch.unsqueeze(1)
        for layer in folded.features:
            x = layer(x)
            outputs.append(x)
        x = folded.pool(x)
        for layer in folded.head[:-1]:
            x = layer(x).relu()
            outputs.append(x)
        peaks = [torch.maximum(peak, x.amax(dim=(0, 2))) for peak, x in zip(peaks, outputs, strict=True)]
    # Pooling treats every channel alike, so that the last features are scaled back in the layers that read the pool.
    readers = [[layer] for layer in layers[1 : len(folded.features)]]
    readers += [[folded.embed, folded.head[0]], *([layer] for layer in folded.head[1:])]
    for layer, following, peak in zip(layers, readers, peaks, strict=True):
        peak = peak.clamp(min=DEAD_CHANNEL * float(peak.max()))
        depthwise = following[0].groups > 1
        loud = torch.stack([f.weight.abs().amax(dim=(0, 2)) for f in following]) if not depthwise else peak
        share = peak if depthwise else (peak / loud.amax(dim=0).clamp(min=1e-6)).sqrt()
        share = share / share.log().mean().exp()
        layer.weight /= share[:, None, None]
        layer.bias /= share
        for reader in following:
            reader.weight *= share[:, None, None] if depthwise else share[None, :, None]


def _refuse_silence(quantised: QuantStudent) -> None:
    """A layer that gave nothing but zeros on every calibration window has no range, and a student with one no answers."""
    layers = [(f"features.{i}", pair[1]) for i, pair in enumerate(quantised.features)]
    layers += [("pool", quantised.pooled), *((f"head.{i}", act) for i, act in enumerate(quantised.answered))]
    for name, act in layers:
        scale = act.act_quant.scale()
        if not bool((scale > SILENT).all()):
            raise CheckpointError(
                "gives nothing but zeros on real recordings",
                field=name,
                cure="The student has learnt nothing: distil it longer",
            )


def quantise(student: Student, batches: list[Tensor]) -> QuantStudent:
    """Post-training quantisation: fold, equalise, wrap, calibrate the ranges on `batches` of (B, window).

    Returns the student in eval mode; it is the start of QAT and the baseline that QAT has to beat.
    """
    folded = fold(student)
    equalise(folded, batches)
    quantised = QuantStudent(student.config)
    with torch.no_grad():
        for source, target in zip(folded.features, quantised.features, strict=True):
            target[0].weight.copy_(source[0].weight)
            target[0].bias.copy_(source[0].bias)
        pairs = [(folded.pool, quantised.pool), (folded.embed, quantised.embed)]
        for source, target in [*pairs, *zip(folded.head, quantised.head, strict=True)]:
            target.weight.copy_(source.weight)
            if target.bias is not None:
                target.bias.copy_(source.bias)
    quantised.pool.weight.requires_grad_(False)
    quantised.eval()
    with torch.no_grad(), calibration_mode(quantised):
        for batch in batches:
            quantised(batch)
    _refuse_silence(quantised)
    # The ranges stay: QAT would narrow them for its median window, and the spikes that then clip are its worst ones.
    for layer in [
        *(pair[1] for pair in quantised.features),
        quantised.pooled,
        quantised.embedded,
        *quantised.answered[:-1],
    ]:
        layer.act_quant.requires_grad_(False)
    return quantised
