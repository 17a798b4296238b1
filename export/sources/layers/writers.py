"""Which layer is written by whom."""

from __future__ import annotations

from collections.abc import Callable

from onwrist.export.graphs.tflite_rules import RESHAPES
from onwrist.export.sources.layers.convolution import write_convolution
from onwrist.export.sources.layers.elementwise import write_add, write_minimum, write_mul
from onwrist.export.sources.layers.geometry import CONVOLUTIONS
from onwrist.export.sources.layers.lookup import write_logistic, write_quantize, write_relu, write_relu6
from onwrist.export.sources.layers.moving import (
    write_concatenation,
    write_pad,
    write_reshape,
    write_slice,
    write_strided_slice,
)
from onwrist.export.sources.layers.pooling import write_max_pool, write_mean, write_pool
from onwrist.export.sources.layers.softmax import write_softmax

# (source, name in the C, operator, its inputs, its output) of every operator that `tflite_rules` knows.
WRITERS: dict[str, Callable] = {
    **dict.fromkeys(CONVOLUTIONS, write_convolution),
    "AVERAGE_POOL_2D": write_pool,
    "MAX_POOL_2D": write_max_pool,
    "MEAN": write_mean,
    "ADD": write_add,
    "MUL": write_mul,
    "MINIMUM": write_minimum,
    "MAXIMUM": write_minimum,
    "QUANTIZE": write_quantize,
    "RELU": write_relu,
    "RELU6": write_relu6,
    "LOGISTIC": write_logistic,
    "SOFTMAX": write_softmax,
    "PAD": write_pad,
    "CONCATENATION": write_concatenation,
    "SLICE": write_slice,
    "STRIDED_SLICE": write_strided_slice,
    **dict.fromkeys(RESHAPES, write_reshape),
}
