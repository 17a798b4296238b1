"""Layers that move bytes and change none: pads, pieces, joins, other shapes."""

from __future__ import annotations

import math

from onwrist.export.graphs.tflite_reader import MOST_DIMENSIONS, Operator, Tensor
from onwrist.export.graphs.tflite_rules import Span, strided
from onwrist.export.sources.layers.source import Source


def write_reshape(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """Nothing: the planner gave both the same memory."""


def write_pad(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """PAD: along one axis, or height and width."""
    x, pads = inputs
    before = pads.data[:, 0].tolist()
    axis = max((i for i in range(len(x.shape)) if x.shape[i] != y.shape[i]), default=0)
    inner = math.prod(x.shape[axis + 1 :])
    rows, n, to = math.prod(x.shape[:axis]), x.shape[axis] * inner, y.shape[axis] * inner
    # Height and width at once: the rows before are whole rows of output.
    above = before[1] * y.shape[2] * y.shape[3] if axis == 2 and len(x.shape) == 4 else 0
    out = source.at(op.outputs[0])
    source.calls.append(f"ow_fill({out}, {int(y.zero[0])}, {y.size});")
    first = above + before[axis] * inner
    source.calls.append(f"ow_copy({source.at(op.inputs[0])}, {out} + {first}, {rows}, {n}, {n}, {to});")


def write_concatenation(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """CONCATENATION."""
    axis = op.settings["axis"] % len(y.shape)
    rows, inner = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
    done, whole = 0, y.shape[axis] * inner
    for tensor, x in zip(op.inputs, inputs, strict=True):
        n = x.shape[axis] * inner
        source.calls.append(
            f"ow_copy({source.at(tensor)}, {source.at(op.outputs[0])} + {done}, {rows}, {n}, {n}, {whole});"
        )
        done += n


def write_slice(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """SLICE."""
    first = inputs[1].constant.ravel().tolist()
    _cut(source, name, op, inputs[0], [Span(b, n) for b, n in zip(first, y.shape, strict=True)])


def write_strided_slice(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """STRIDED_SLICE."""
    spans = strided(inputs[0], inputs[1:], op.settings)
    assert spans is not None  # the reader refused what is none
    _cut(source, name, op, inputs[0], spans)


def _cut(source: Source, name: str, op: Operator, x: Tensor, spans: list[Span]) -> None:
    """A piece: of one axis runs of bytes, of several byte by byte."""
    inner = [math.prod(x.shape[i + 1 :]) for i in range(len(x.shape))]
    offset = sum(span.first * n for span, n in zip(spans, inner, strict=True))
    begin, out = f"{source.at(op.inputs[0])} + {offset}", source.at(op.outputs[0])
    cut = [i for i, span in enumerate(spans) if (span.count, span.step) != (x.shape[i], 1)]
    if len(cut) > 1 or any(span.step != 1 for span in spans):
        short = MOST_DIMENSIONS - len(spans)
        size = [1] * short + [span.count for span in spans]
        step = [0] * short + [span.step * n for span, n in zip(spans, inner, strict=True)]
        struct = {"n": math.prod(size), "size": _braced(size), "step": _braced(step)}
        source.calls.append(f"ow_pick(&{source.struct(name, 'ow_pick_t', **struct)}, {begin}, {out});")
        return
    axis = cut[0] if cut else 0
    rows, from_, n = math.prod(x.shape[:axis]), x.shape[axis] * inner[axis], spans[axis].count * inner[axis]
    source.calls.append(f"ow_copy({begin}, {out}, {rows}, {n}, {from_}, {n});")


def _braced(values: list[int]) -> str:
    return f"{{{', '.join(map(str, values))}}}"
