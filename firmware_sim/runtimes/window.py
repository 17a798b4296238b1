"""Everything that can run a student, behind one interface.

An integer runtime takes int8 windows and gives int8; the float student takes real units and gives real units.
TFLM is the reference for firmware; LiteRT's built-in reference kernels and the numpy model have to agree with it in
every byte, the others are reported beside it.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.graphs.onnx_writer import onnx_session
from onwrist.export.graphs.tflite_reader import read_tflite
from onwrist.quantize.integers.arithmetic import IntegerModel

if TYPE_CHECKING:
    from onwrist.models.student.graph import AnyStudent
    from onwrist.quantize.integers.fake_quant import QuantGraph

# Generous for a student: the real need is read off the allocation record afterwards.
ARENA_BYTES = 1 << 20
# Of anybody's model.
MOST_ARENA_BYTES = 4 << 20


@runtime_checkable
class Runtime(Protocol):
    """Runs windows.

    Attributes:
        name: for tables.
        integer: int8 in and out, or real units.
    """

    name: str
    integer: bool

    def run(self, *windows: np.ndarray) -> tuple[np.ndarray, ...]:
        """(n, window), and (n, axes, window) of each further input, to embedding (n, 256), answers (n, 3) and, of a student that
        answers at frame rate, (n, frames, answers)."""
        ...


class TorchFloat:
    """The float student."""

    name, integer = "torch float", False

    def __init__(self, student: AnyStudent):
        self.student = student.eval()

    def run(self, *windows: np.ndarray) -> tuple[np.ndarray, ...]:
        import torch

        with torch.no_grad():
            embedding, answers, *_ = self.student(*map(torch.from_numpy, windows))
        return embedding.numpy(), answers.numpy()


class Brevitas:
    """The QAT student under fake quantisation: what training saw."""

    name, integer = "Brevitas", True

    def __init__(self, student: QuantGraph, model: IntegerModel):
        self.student, self.model = student.eval(), model

    def run(self, *windows: np.ndarray) -> tuple[np.ndarray, ...]:
        import torch

        with torch.no_grad():
            embedding, answers, *more = self.student(*map(torch.from_numpy, _in_units(self.model, windows)))
        scale = self.model.answers_scale
        said = [_to_int8(answers.numpy(), scale), *(_to_int8(y.numpy().swapaxes(1, 2), scale) for y in more[:1])]
        return _to_int8(embedding.numpy(), self.model.embedding_scale), *said


class Numpy:
    """The numpy model of the reference kernels' arithmetic."""

    name, integer = "numpy model", True

    def __init__(self, model: IntegerModel):
        self.model = model

    def run(self, *windows: np.ndarray) -> tuple[np.ndarray, ...]:
        return self.model.run(*windows)


class OnnxRuntime:
    """The QCDQ ONNX file in ONNX Runtime."""

    name, integer = "ONNX Runtime", True

    def __init__(self, onnx_bytes: bytes, model: IntegerModel):
        self.session = onnx_session(onnx_bytes)
        self.model = model

    def run(self, *windows: np.ndarray) -> tuple[np.ndarray, ...]:
        names = [i.name for i in self.session.get_inputs()]
        real = zip(*_in_units(self.model, windows), strict=True)
        rows = [self.session.run(None, {n: x[None] for n, x in zip(names, each, strict=True)}) for each in real]
        embedding, answers, *more = (np.concatenate(each) for each in zip(*rows, strict=True))
        said = [answers, *(y.swapaxes(1, 2) for y in more[:1])]
        return _to_int8(embedding, self.model.embedding_scale), *(_to_int8(y, self.model.answers_scale) for y in said)


class LiteRT:
    """The TFLite file in LiteRT, one thread.

    Args:
        kernels: 'reference' (what firmware computes) or 'xnnpack' (what a phone computes).
    """

    integer = True

    def __init__(self, tflite: bytes, kernels: str = "reference"):
        self.name = f"LiteRT {kernels}"
        self.interpreter = litert_interpreter(tflite, kernels)
        self.sources = self.interpreter.get_input_details()
        self.outputs = self.interpreter.get_output_details()

    def run(self, *windows: np.ndarray) -> tuple[np.ndarray, ...]:
        rows = []
        for each in zip(*windows, strict=True):
            for source, x in zip(self.sources, each, strict=True):
                self.interpreter.set_tensor(source["index"], frames(x).reshape(source["shape"]))
            self.interpreter.invoke()
            rows.append([_flat(self.interpreter.get_tensor(o["index"])) for o in self.outputs])
        return tuple(np.stack(each) for each in zip(*rows, strict=True))


class TFLM:
    """The TFLite file in TensorFlow Lite for Microcontrollers: the reference for firmware."""

    name, integer = "TFLM", True

    def __init__(self, tflite: bytes):
        from tflite_micro.python.tflite_micro import runtime

        self.interpreter = runtime.Interpreter.from_bytes(tflite, arena_size=ARENA_BYTES)
        self.outputs = len(read_tflite(tflite).outputs)

    def run(self, *windows: np.ndarray) -> tuple[np.ndarray, ...]:
        rows = []
        for each in zip(*windows, strict=True):
            for i, x in enumerate(each):
                self.interpreter.set_input(frames(x), i)
            self.interpreter.invoke()
            rows.append([_flat(self.interpreter.get_output(k).copy()) for k in range(self.outputs)])
        return tuple(np.stack(each) for each in zip(*rows, strict=True))

    def activation_bytes(self) -> int:
        """Head of the arena: the activation plan."""
        return activation_bytes(self.interpreter)


def tflm_interpreter(tflite: bytes):
    """TFLM's interpreter with room for more than fits a Cortex-M, ready to be fed."""
    from tflite_micro.python.tflite_micro import runtime

    return runtime.Interpreter.from_bytes(tflite, arena_size=MOST_ARENA_BYTES)


def tflm_activations(tflite: bytes) -> int:
    """Bytes of activations that TFLM plans for a file."""
    return activation_bytes(tflm_interpreter(tflite))


def litert_interpreter(tflite: bytes, kernels: str):
    """LiteRT's interpreter with the 'reference' or the 'xnnpack' kernels, one thread, ready to be fed."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = {"reference": OpResolverType.BUILTIN_REF, "xnnpack": OpResolverType.AUTO}[kernels]
    with _quiet():
        interpreter = Interpreter(model_content=tflite, experimental_op_resolver_type=resolver, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


def activation_bytes(interpreter) -> int:
    """Head of a TFLM arena: the activation plan. The tail holds host pointers and is not what a device needs.

    Raises:
        ExportError: TFLM printed no allocation record.
    """
    with _captured_stderr() as text:
        interpreter.print_allocations()
    found = re.search(r"head (\d+) bytes", text[0] if text else "")
    if not found:
        raise ExportError("printed no allocation record", field="TFLM", cure="Use the pinned tflite-micro")
    return int(found.group(1))


def other_runtimes(quantised: QuantGraph, model: IntegerModel, tflite: bytes, onnx_bytes: bytes) -> list[Runtime]:
    """Every integer runtime but TFLM, which is the reference."""
    return [
        LiteRT(tflite, "reference"),
        Numpy(model),
        Brevitas(quantised, model),
        OnnxRuntime(onnx_bytes, model),
        LiteRT(tflite, "xnnpack"),
    ]


def _flat(y: np.ndarray) -> np.ndarray:
    """(1, 1, 1, C) to (C,), (1, 1, frames, C) to (frames, C)."""
    return y[0, 0] if y.ndim == 4 and y.shape[2] > 1 else y.reshape(-1)


def frames(x: np.ndarray) -> np.ndarray:
    """(n,) or (channels, n) as TFLite takes it."""
    return np.ascontiguousarray(np.atleast_2d(x).T)[None, None]


def _in_units(model: IntegerModel, windows: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """int8 windows of each input in its own units, float32."""
    return [x.astype(np.float32) * given.scale for x, given in zip(windows, model.inputs, strict=True)]


def _to_int8(values: np.ndarray, scale: np.float32) -> np.ndarray:
    return np.clip(np.rint(values / scale), -128, 127).astype(np.int8)


@contextlib.contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """What C++ writes to file descriptor 2; the list holds it after the block."""
    text: list[str] = []
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            text.append(sink.read().decode(errors="replace"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with _captured_stderr():
        yield
