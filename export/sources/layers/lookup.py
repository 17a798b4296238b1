"""Layers of one value each: a byte for every byte."""

from __future__ import annotations

import numpy as np

from onwrist.export.graphs.tflite_reader import Operator, Tensor
from onwrist.export.sources.layers.source import Source
from onwrist.export.sources.tables import logistic_table, relu6_table, relu_table, rescale_table


def write_quantize(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """QUANTIZE of int8."""
    _lookup(source, name, op, rescale_table(inputs[0], y), y)


def write_relu(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """RELU that stands alone."""
    _lookup(source, name, op, relu_table(inputs[0], y), y)


def write_relu6(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """RELU6 that stands alone."""
    _lookup(source, name, op, relu6_table(y), y)


def write_logistic(source: Source, name: str, op: Operator, inputs: list[Tensor], y: Tensor) -> None:
    """LOGISTIC."""
    _lookup(source, name, op, logistic_table(inputs[0]), y)


def _lookup(source: Source, name: str, op: Operator, table: np.ndarray, y: Tensor) -> None:
    """A byte for every byte."""
    source.array(f"{name}_t", "int8_t", table)
    source.calls.append(f"ow_lookup({name}_t, {source.at(op.inputs[0])}, {source.at(op.outputs[0])}, {y.size});")
