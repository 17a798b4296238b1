"""The integers of a student, read back from its TFLite step: with them everything else of a handoff can be made again.

model, hop = read_step(data)
assert write_tflite_step(model, hop) == data
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from onwrist.errors import ExportError, OnwristError
from onwrist.export.graphs.tflite_reader import Network, Operator, read_metadata, read_tflite
from onwrist.export.graphs.tflite_writer import ANSWERS_METADATA, write_tflite_step
from onwrist.models.student.names import ANSWERS_OUTPUT, NEXT_STATE, STATE
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.models.student.timing import Output
from onwrist.quantize.integers.arithmetic import IntegerInput, IntegerModel, canonical, renamed
from onwrist.quantize.integers.operators import (
    IntegerAdd,
    IntegerConcat,
    IntegerLayer,
    IntegerNode,
    IntegerPool,
    ceiling_of,
)

POOLS = {"AVERAGE_POOL_2D": "average", "MAX_POOL_2D": "maximum"}
# Axis of a concatenation that holds frames, where the other one holds channels.
TIME = 2
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
STEP_NAME = " step"
# Of an input or output: it becomes a macro of the C.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
CURE = "Use the release that made it, or ask for it again"


@dataclass(frozen=True)
class Step:
    """What a step file holds: integers, and input samples between outputs."""

    model: IntegerModel
    hop: int


def read_step(data: bytes, where: str | Path = "") -> Step:
    """Integers and hop of a step file that this release's writer made.

    A step says all about a student but the names of its parts and the stride of what is computed once a hop, which is
    always one frame. That nothing was overlooked is proved by writing the file again.

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
    tensors = network.tensors
    inputs = [i for i in network.inputs if not _numbered(tensors[i].name, STATE)]
    # What a tensor is: an input, a node, or frames of one of them.
    place = {tensor: -1 - k for k, tensor in enumerate(inputs)}
    nodes: list[IntegerNode] = []
    sources: list[tuple[int, ...]] = []
    for op in network.operators:
        x, y = op.inputs[0], op.outputs[0]
        if op.kind == "SLICE" or (op.kind == "CONCATENATION" and op.settings["axis"] == TIME):
            place[y] = place[op.inputs[1] if op.kind == "CONCATENATION" else x]
            continue
        feeders = op.inputs if op.kind in ("ADD", "CONCATENATION") else (x,)
        place[y] = len(nodes)
        sources.append(tuple(place[i] for i in feeders))
        nodes.append(_node(network, op))
    several = re.search(rf"{STEP_NAME}, (.+) at frame rate$", network.name)
    often = set(several[1].split()) if several else set()
    outputs = tuple(
        Output(tensors[i].name, place[i], tensors[i].name not in often)
        for i in network.outputs if not _numbered(tensors[i].name, NEXT_STATE)
    )  # fmt: skip
    ends = [tensors[i].name for i in inputs] + [o.name for o in outputs]
    if not all(NAME.fullmatch(n) for n in ends) or len(set(ends)) < len(ends):
        raise ExportError("has inputs or outputs without a name of their own", cure=CURE)
    hop, name = tensors[inputs[0]].shape[2], network.name.partition(STEP_NAME)[0]
    given = [tensors[i] for i in inputs]
    made = canonical(
        IntegerModel(
            name, tuple(IntegerInput(t.name, t.shape[3], np.float32(t.scale[0]), Fraction(hop, t.shape[2])) for t in given),
            tuple(nodes), tuple(sources), outputs, answers,
        )
    )  # fmt: skip
    width = [made.channels_of(o.name) for o in outputs if o.name == ANSWERS_OUTPUT]
    if width and width[0] != len(answers.columns):
        said = f"{len(answers.columns)} answers for {width[0]} outputs"
        raise ExportError(f"names {said}", field=ANSWERS_METADATA, cure=CURE)
    return Step(renamed(made, made.labels.__getitem__), hop)


def _numbered(name: str, prefix: str) -> bool:
    return bool(re.fullmatch(rf"{prefix}\d+", name))


def _node(network: Network, op: Operator) -> IntegerNode:
    y, s = network.tensors[op.outputs[0]], op.settings
    given = [network.tensors[i] for i in op.inputs if i >= 0]
    scale, zero, channels = np.float32(y.scale[0]), int(y.zero[0]), y.shape[3]
    relu, ceiling = s.get("activation", "none") != "none", ceiling_of(s.get("activation") == "relu6", scale, zero)
    if op.kind in CONVOLUTIONS:
        return _layer(network, op)
    if op.kind in POOLS:
        return IntegerPool(op.kind, POOLS[op.kind], channels, int(s["filterWidth"]), int(s["strideW"]), scale, zero)
    if op.kind == "ADD":
        scales = np.float32(given[0].scale[0]), np.float32(given[1].scale[0])
        return IntegerAdd(
            op.kind, channels, scales, (int(given[0].zero[0]), int(given[1].zero[0])), scale, zero, relu, ceiling
        )
    if op.kind == "CONCATENATION":
        return IntegerConcat(op.kind, channels, scale, zero)
    raise ExportError(f"holds {op.kind}, which no student has", cure=CURE)


def _layer(network: Network, op: Operator) -> IntegerLayer:
    x, w, b = ([None if i < 0 else network.tensors[i] for i in op.inputs] + [None])[:3]
    y, s = network.tensors[op.outputs[0]], op.settings
    if x is None or w is None or w.data is None or (b is not None and b.data is None):
        raise ExportError("has no weights", field=op.kind, cure=CURE)
    bias = np.zeros(y.shape[3], np.int32) if b is None else b.constant
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    weight = w.data[0, 0].T[:, None] if depthwise else w.data[:, 0].transpose(0, 2, 1)
    scale, zero = np.float32(y.scale[0]), int(y.zero[0])
    return IntegerLayer(
        op.kind, np.ascontiguousarray(weight), bias, w.scale, np.float32(x.scale[0]), int(x.zero[0]), scale, zero,
        s["activation"] != "none", int(s["strideW"]), int(s["dilationWFactor"]), x.shape[3] // weight.shape[1],
        ceiling_of(s["activation"] == "relu6", scale, zero),
    )  # fmt: skip
