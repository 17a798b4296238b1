"""Everything that can run a student hop by hop, behind one interface: `reset`, then `step` with a hop's samples.

A stepped runtime does the work of the new samples and keeps the state that the exported step hands out; the runtimes
of `firmware_sim.runtimes` compute whole windows, which is what a stream is held against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from onwrist.export.graphs.onnx_writer import onnx_session
from onwrist.export.graphs.tflite_reader import read_tflite
from onwrist.firmware_sim.runtimes.window import ARENA_BYTES, activation_bytes, frames, litert_interpreter
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.quantize.integers.stream import IntegerStream

if TYPE_CHECKING:
    from onwrist.models.student.graph import AnyStudent


class Stepped(Protocol):
    """Runs hops.

    Attributes:
        name: for tables. integer: int8 in and out, or real units.
    """

    name: str
    integer: bool

    def reset(self) -> None:
        """Start anew, as if the input had been 0 for ever."""
        ...

    def step(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        """(hop,), or (channels, n) of each input, to embedding (C,), answers (C,) and what else a student says, (C,) or, at a
        frame rate, (frames, C)."""
        ...


class NumpyStep:
    """The numpy model of the firmware's arithmetic, with its state."""

    name, integer = "numpy model, stream", True

    def __init__(self, model: IntegerModel, hop: int):
        self.stream = IntegerStream(model, hop)

    def reset(self) -> None:
        self.stream.reset()

    def step(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(_rows(said.T) for said in self.stream.push(*x))


class _Held:
    """What the runtimes share whose state is handed in and out: `first`, the state of a stream that begins in silence.

    Args:
        outputs: of the file, states included.
    """

    def __init__(self, first: list[np.ndarray], outputs: int):
        self.first, self.outputs = first, outputs - len(first)
        self.reset()

    def reset(self) -> None:
        self.state = list(self.first)


class TFLMStep(_Held):
    """The TFLite step in TensorFlow Lite Micro: the reference for firmware.

    Args:
        step: the file. first: the state of a stream that begins in silence, `time_major`.
    """

    name, integer = "TFLM, stream", True

    def __init__(self, step: bytes, first: list[np.ndarray]):
        from tflite_micro.python.tflite_micro import runtime

        self.interpreter = runtime.Interpreter.from_bytes(step, arena_size=ARENA_BYTES)
        super().__init__(first, len(read_tflite(step).outputs))

    def step(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        call = self.interpreter
        for i, value in enumerate([*map(frames, x), *self.state]):
            call.set_input(value, i)
        call.invoke()
        # Copies: the interpreter's own memory is overwritten by the next call.
        found = [call.get_output(i).copy() for i in range(self.outputs + len(self.state))]
        self.state = found[self.outputs :]
        return tuple(_rows(y[0, 0].T) for y in found[: self.outputs])

    def activation_bytes(self) -> int:
        """Head of the arena: the activation plan, states in and out included."""
        return activation_bytes(self.interpreter)


class LiteRTStep(_Held):
    """The TFLite step in LiteRT, one thread.

    Args:
        step, first: as TFLMStep.
        kernels: 'reference' (what firmware computes) or 'xnnpack' (what a phone computes).
    """

    integer = True

    def __init__(self, step: bytes, first: list[np.ndarray], kernels: str = "reference"):
        self.name = f"LiteRT {kernels}, stream"
        self.interpreter = litert_interpreter(step, kernels)
        self.inputs = [d["index"] for d in self.interpreter.get_input_details()]
        self.places = [d["index"] for d in self.interpreter.get_output_details()]
        super().__init__(first, len(self.places))

    def step(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        call = self.interpreter
        for index, value in zip(self.inputs, [*map(frames, x), *self.state], strict=True):
            call.set_tensor(index, value)
        call.invoke()
        found = [call.get_tensor(index) for index in self.places]
        self.state = found[self.outputs :]
        return tuple(_rows(y[0, 0].T) for y in found[: self.outputs])


class OnnxStep(_Held):
    """The ONNX step in ONNX Runtime, one thread.

    Args:
        step: the file. first: the state of a stream that begins in silence, `channel_major`.
    """

    name, integer = "ONNX Runtime, stream", True

    def __init__(self, step: bytes, first: list[np.ndarray]):
        self.session = onnx_session(step)
        self.names = [i.name for i in self.session.get_inputs()]
        super().__init__(first, len(self.session.get_outputs()))

    def step(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        feed = dict(zip(self.names, [*(np.atleast_2d(each)[None] for each in x), *self.state], strict=True))
        found = self.session.run(None, feed)
        self.state = found[self.outputs :]
        return tuple(_rows(y[0]) for y in found[: self.outputs])


class TorchStep:
    """The float student with its state."""

    name, integer = "torch float, stream", False

    def __init__(self, student: AnyStudent, hop: int):
        from onwrist.models.student.step import Step

        self.module = Step(student.eval(), hop)
        self.reset()

    def reset(self) -> None:
        self.state = self.module.start()

    def step(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        import torch

        with torch.no_grad():
            found = self.module(*(torch.from_numpy(each[None]) for each in x), *self.state)
        outputs = len(found) - len(self.state)
        self.state = list(found[outputs:])
        return tuple(y[0].numpy() if y.ndim == 2 else y[0].numpy().T for y in found[:outputs])


def _rows(x: np.ndarray) -> np.ndarray:
    """(C, frames) as (C,) where it is one, else (frames, C)."""
    return x[:, 0] if x.shape[1] == 1 else x.T


def time_major(model: IntegerModel, hop: int) -> list[np.ndarray]:
    """The first state in the layout of the TFLite step, (1, 1, context, channels) each."""
    return [np.ascontiguousarray(s.T[None, None]) for s in model.first_state(hop)]


def channel_major(model: IntegerModel, hop: int) -> list[np.ndarray]:
    """The first state in the layout of the ONNX step, (1, channels, context) each."""
    return [s[None] for s in model.first_state(hop)]
