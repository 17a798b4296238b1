"""Why a module cannot go into a student, and what to use instead."""

from __future__ import annotations

from torch import nn

USE_CONVOLUTIONS = (
    "Build it of nn.Conv1d, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.ReLU6, +, torch.cat, nn.AvgPool1d and nn.MaxPool1d"
)
_CURVED = "is a curve that int8 kernels only approximate"
_OWN_STATISTICS = "takes statistics of its own input: in int8 they are not exact, and over time they see the future"
_USE_NORM = "Use nn.BatchNorm1d, which is folded into the convolution"
_USE_RELU = "Use nn.ReLU or nn.ReLU6"
_USE_POOL = "Use nn.AvgPool1d(frames) or nn.MaxPool1d(frames), which say how far they look back"

KINDS: list[tuple[tuple[type, ...], str, str]] = [
    (
        (nn.RNNBase, nn.RNNCellBase),
        "keeps a state for ever: rounding in int8 adds up in it, and no window says what the stream says",
        "Use dilated nn.Conv1d: they see as far back, and no farther",
    ),
    ((nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.LocalResponseNorm), _OWN_STATISTICS, _USE_NORM),
    (
        (
            nn.GELU,
            nn.SiLU,
            nn.Mish,
            nn.Tanh,
            nn.Sigmoid,
            nn.ELU,
            nn.SELU,
            nn.CELU,
            nn.Softplus,
            nn.Hardswish,
            nn.Hardsigmoid,
        ),
        _CURVED,
        _USE_RELU,
    ),
    ((nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Softmax, nn.LogSoftmax), "has no exact kernel here", _USE_RELU),
    (
        (nn.ConvTranspose1d, nn.Upsample, nn.PixelShuffle),
        "makes frames that lie between those that there are",
        "Let the head answer at the frame rate that the strides leave, or give it several channels a frame",
    ),
    (
        (nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d),
        "pools over however long the signal is: a stream has no end",
        _USE_POOL,
    ),
    (
        (nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.Transformer),
        "weighs every frame by every other one: no exact int8 kernel, and a state as long as what it sees",
        "Use dilated nn.Conv1d",
    ),
    (
        (nn.Conv2d, nn.Conv3d, nn.AvgPool2d, nn.MaxPool2d, nn.BatchNorm2d),
        "works on images",
        "Use its 1d form: (B, channels, samples)",
    ),
    ((nn.SyncBatchNorm, nn.BatchNorm3d), "is another batch norm than is folded here", _USE_NORM),
    ((nn.LPPool1d, nn.FractionalMaxPool2d), "is another pool than int8 kernels have", _USE_POOL),
]

# Functions and methods by name.
ACTIVATIONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("gelu", "silu", "mish", "tanh", "sigmoid", "elu", "selu", "softplus", "hardswish"), (_CURVED, _USE_RELU)
    ),
    **dict.fromkeys(("leaky_relu", "prelu", "softmax", "log_softmax"), ("has no exact kernel here", _USE_RELU)),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), (_OWN_STATISTICS, _USE_NORM)),
    **dict.fromkeys(
        ("mean", "sum", "amax", "max", "adaptive_avg_pool1d", "adaptive_max_pool1d"),
        ("goes over however long the signal is: a stream has no end", _USE_POOL),
    ),
    **dict.fromkeys(
        ("mul", "imul", "truediv", "itruediv", "div", "sub", "isub", "rsub"),
        ("multiplies, divides or subtracts", "Let the weights of a convolution do it"),
    ),
    "interpolate": (
        "makes frames that lie between those that there are",
        "Answer at the frame rate that the strides leave",
    ),
    "conv1d": ("convolves with weights that are no module's", "Use nn.Conv1d"),
    "view": ("turns frames into channels or back", "Use nn.Conv1d with a stride"),
    "reshape": ("turns frames into channels or back", "Use nn.Conv1d with a stride"),
}


def why_not(module: nn.Module) -> tuple[str, str]:
    """(what is wrong, what to use) of a module that is not known."""
    name = type(module).__name__
    for kinds, what, cure in KINDS:
        if isinstance(module, kinds):
            return f"is {name}, which {what}", cure
    return f"is {name}, which is not known here", USE_CONVOLUTIONS
