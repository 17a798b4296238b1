"""Two tensors, value by value."""

from __future__ import annotations

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_reader import Operator, Tensor
from onwrist.export.graphs.tflite_rules import repeats
from onwrist.export.sources.layers.rounding import clamp_of, multiplier_of
from onwrist.export.sources.layers.source import Source

# TFLite's own: fixed-point headroom of an addition.
ADD_SHIFT = 20


def write_add(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """ADD, with a scale of its own for each of the three."""
    a, b, period, places = _two(source, op, inputs)
    twice = 2 * max(float(a.scale[0]), float(b.scale[0]))
    reals = float(a.scale[0]) / twice, float(b.scale[0]) / twice, twice / ((1 << ADD_SHIFT) * float(y.scale[0]))
    (m_a, s_a), (m_b, s_b), (m_o, s_o) = (multiplier_of(r) for r in reals)
    if s_o > 1:
        raise ExportError("has scales that are too far apart")
    low, high = clamp_of(op.settings["activation"], y)
    source.struct(
        name, "ow_add_t", n=y.size, period=period, zero_a=int(a.zero[0]), zero_b=int(b.zero[0]), zero_out=int(y.zero[0]),
        low=low, high=high, mul_a=m_a, shift_a=s_a, mul_b=m_b, shift_b=s_b, mul_out=m_o, shift_out=s_o,
    )  # fmt: skip
    source.calls.append(f"ow_add(&{name}, {places});")


def write_mul(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """MUL."""
    a, b, period, places = _two(source, op, inputs)
    multiplier, shift = multiplier_of(float(a.scale[0]) * float(b.scale[0]) / float(y.scale[0]))
    # A product has 17 bits, of 30 that the rounding takes.
    if shift > 13:
        raise ExportError("has scales that are too far apart")
    low, high = clamp_of(op.settings["activation"], y)
    source.struct(
        name, "ow_mul_t", n=y.size, period=period, zero_a=int(a.zero[0]), zero_b=int(b.zero[0]), zero_out=int(y.zero[0]),
        low=low, high=high, multiplier=multiplier, shift=shift,
    )  # fmt: skip
    source.calls.append(f"ow_mul(&{name}, {places});")


def write_minimum(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """MINIMUM, MAXIMUM."""
    _, _, period, places = _two(source, op, inputs)
    source.calls.append(f"ow_{op.kind.lower()}({places}, {y.size}, {period});")


def _two(source: Source, op: Operator, inputs: list[Tensor]) -> tuple[Tensor, Tensor, int, str]:
    """(larger, smaller, values of the smaller, arguments of the call)."""
    found = repeats(*inputs)
    assert found is not None  # the reader refused what does not repeat
    swap, period = found
    order = (1, 0) if swap else (0, 1)
    places = ", ".join(source.at(i) for i in (*(op.inputs[k] for k in order), *op.outputs))
    return inputs[order[0]], inputs[order[1]], period, places
