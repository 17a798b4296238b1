"""The integers of a student, read back from its TFLite step: with them everything else of a handoff can be made again.

model, hop = read_step(data)
assert write_tflite_step(model, hop) == data
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onwrist.errors import ExportError, OnwristError
from onwrist.export.graphs.tflite_reader import Network, Operator, read_metadata, read_tflite
from onwrist.export.graphs.tflite_writer import (
    ANSWERS_METADATA,
    ANSWERS_NAME,
    EMBEDDING_NAME,
    INPUT_NAME,
    write_tflite_step,
)
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.quantize.integers.arithmetic import IntegerLayer, IntegerModel

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
STEP_NAME = " step"
CURE = "Use the release that made it, or ask for it again"


@dataclass(frozen=True)
class Step:
    """What a step file holds: integers, and input samples between outputs."""

    model: IntegerModel
    hop: int


def read_step(data: bytes, where: str | Path = "") -> Step:
    """Integers and hop of a step file that this release's writer made.

    A step says all about a student but its pool's own stride, which is always one frame, and its window, which is what
    the layers see. That nothing was overlooked is proved by writing the file again.

    Raises:
        ExportError: not a step of a student, or not what this release writes for its integers.
    """
    network = read_tflite(data, where)
    try:
        found = _step(network, _answers(data))
        again = write_tflite_step(found.model, found.hop)
    except ExportError:
        raise
    except Exception as error:  # numbers that make no network end in whatever numpy says of them
        raise ExportError(f"is no step of a student ({type(error).__name__})", where=where, cure=CURE) from None
    if again != data:
        raise ExportError("is not what this release writes for its integers", where=where, cure=CURE)
    return found


def _answers(data: bytes) -> Answers:
    text = read_metadata(data, ANSWERS_METADATA)
    if text is None:
        return SHIPPED_ANSWERS
    try:
        return Answers.of(json.loads(text))
    except OnwristError as error:
        raise ExportError(f"says of its answers: {error}"[:200], field=ANSWERS_METADATA, cure=CURE) from None


def _step(network: Network, answers: Answers) -> Step:
    layers = [_layer(network, op) for op in network.operators if op.kind in CONVOLUTIONS]
    # The pool is the last depthwise convolution; before it lie the features, behind it the embedding and, beside that, the head.
    pool = max(i for i, layer in enumerate(layers) if layer.depthwise)
    outputs = [network.tensors[i].name for i in network.outputs[:2]]
    if len(layers) < pool + 3 or outputs != [EMBEDDING_NAME, ANSWERS_NAME]:
        raise ExportError("is no step of a student", field=", ".join(outputs), cure=CURE)
    (hop,) = (network.tensors[i].shape[2] for i in network.inputs if network.tensors[i].name == INPUT_NAME)
    trunk = [replace(layer, name=f"features.{i}") for i, layer in enumerate(layers[:pool])]
    trunk.append(replace(layers[pool], name="pool", stride=1))
    embed = replace(layers[pool + 1], name="embed")
    head = tuple(replace(layer, name=f"head.{i}") for i, layer in enumerate(layers[pool + 2 :]))
    name = network.name.removesuffix(STEP_NAME)
    if len(head[-1].bias) != len(answers.columns):
        said = f"{len(answers.columns)} answers for {len(head[-1].bias)} outputs"
        raise ExportError(f"names {said}", field=ANSWERS_METADATA, cure=CURE)
    return Step(IntegerModel(name, window_of(trunk), tuple(trunk), embed, head, answers), hop)


def window_of(layers: Sequence[IntegerLayer]) -> int:
    """Input samples that one output of a chain of layers sees."""
    samples = 1
    for layer in reversed(layers):
        samples = (samples - 1) * layer.stride + layer.reach + 1
    return samples


def _layer(network: Network, op: Operator) -> IntegerLayer:
    x, w, b = ([None if i < 0 else network.tensors[i] for i in op.inputs] + [None])[:3]
    y, s = network.tensors[op.outputs[0]], op.settings
    if x is None or w is None or w.data is None or (b is not None and b.data is None):
        raise ExportError("has no weights", field=op.kind, cure=CURE)
    bias = np.zeros(y.shape[3], np.int32) if b is None else b.constant
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    weight = w.data[0, 0].T[:, None] if depthwise else w.data[:, 0].transpose(0, 2, 1)
    return IntegerLayer(
        op.kind, np.ascontiguousarray(weight), bias, w.scale, np.float32(x.scale[0]), int(x.zero[0]), np.float32(y.scale[0]),
        int(y.zero[0]), s["activation"] == "relu", int(s["strideW"]), int(s["dilationWFactor"]), depthwise,
    )  # fmt: skip
