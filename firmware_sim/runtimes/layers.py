"""What each layer of any TFLite file costs in our C: instructions of a run, layer by layer, on an emulated core."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.export.graphs.tflite_reader import Network, Operator
from onwrist.export.sources.c_writer import write_c
from onwrist.export.sources.files import runtime_sources
from onwrist.firmware_sim.runtimes.compiler import CORES, ZIG, Core, Toolchain, build_core
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.runtimes.window import activation_bytes, tflm_interpreter

NAME = "model"
WORDS = {"CONV_2D": "convolution", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "dense"}


@dataclass(frozen=True)
class Layer:
    """Layers of one kind: how many, their multiply-accumulates and instructions in one run."""

    kind: str
    count: int
    macs: int
    instructions: int

    @property
    def per_mac(self) -> str:
        """Instructions per multiply-accumulate, as a cell; empty where there is none."""
        return f"{self.instructions / self.macs:.2f}" if self.macs else ""


@dataclass(frozen=True)
class Counted:
    """A file in our C.

    Attributes:
        layers: in order of execution. code, arena: bytes. tflm_arena: TFLM's activations. equal: all bytes are TFLM's.
    """

    layers: tuple[Layer, ...]
    code: int
    arena: int
    tflm_arena: int
    equal: bool

    @property
    def whole(self) -> Layer:
        """All of them."""
        return Layer(
            "all",
            len(self.layers),
            sum(layer.macs for layer in self.layers),
            sum(layer.instructions for layer in self.layers),
        )


def count_layers(
    data: bytes, where: str | Path = "", *, toolchain: Toolchain = ZIG, core: Core = CORES[0], seed: int = 0
) -> Counted:
    """Run a file once on random bytes, in our C on the core and in TFLM.

    Raises:
        ExportError: something in the file that the kernels do not know. ConfigError: the compiler is not installed.
    """
    made = write_c(data, NAME, where=where)
    # The same statements as in a run, each callable by itself.
    names = [f"{NAME}_layer{k}" for k in range(len(made.calls))]
    alone = [
        f"void {name}(int8_t *a);\nvoid {name}(int8_t *a) {{ {call} }}\n"
        for name, (_, call) in zip(names, made.calls, strict=True)
    ]
    files = {**made.files, f"{NAME}.c": made.files[f"{NAME}.c"] + "".join(alone), **runtime_sources()}
    machine = Emulator(build_core(files, core, (f"{NAME}_reset", *names), toolchain=toolchain), core)
    # What the model takes by itself, without the doors to its layers.
    code = Emulator(build_core({**made.files, **runtime_sources()}, core, (f"{NAME}_run",), toolchain=toolchain), core)
    arena = machine.allocate(made.plan.bytes)
    machine.call(f"{NAME}_reset", arena)
    network, rng = made.network, np.random.default_rng(seed)
    inputs = [rng.integers(-128, 128, network.tensors[i].shape).astype(np.int8) for i in network.inputs]
    for i, x in zip(network.inputs, inputs, strict=True):
        machine.write(arena + made.plan.offset[i], x)
    layers = []
    for name, (place, _) in zip(names, made.calls, strict=True):
        before = machine.instructions
        machine.call(name, arena)
        op = network.operators[place]
        layers.append(Layer(kind_of(network, op), 1, network.macs_of(op), machine.instructions - before))
    call = tflm_interpreter(data)
    for k, x in enumerate(inputs):
        call.set_input(x, k)
    call.invoke()
    expected = [call.get_output(k).ravel() for k in range(len(network.outputs))]
    found = [machine.read(arena + made.plan.offset[i], network.tensors[i].size) for i in network.outputs]
    equal = all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    return Counted(tuple(layers), code.image.text, made.plan.bytes, activation_bytes(call), equal)


def kind_of(network: Network, op: Operator) -> str:
    """An operator in words: 'depthwise 3x3, 8 of each'."""
    kind = WORDS.get(op.kind, op.kind.lower().replace("_", " ").removesuffix(" 2d"))
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        x, w = (network.tensors[i].shape for i in op.inputs[:2])
        each = w[3] // x[3] if op.kind == "DEPTHWISE_CONV_2D" else 1
        return f"{kind} {w[1]}x{w[2]}" + (f", {each} of each" if each > 1 else "")
    if op.kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        return f"{kind} {op.settings['filterHeight']}x{op.settings['filterWidth']}"
    return kind


def by_kind(layers: Iterable[Layer]) -> list[Layer]:
    """One of each kind, in order of first appearance."""
    found: dict[str, Layer] = {}
    for layer in layers:
        past = found.get(layer.kind, Layer(layer.kind, 0, 0, 0))
        found[layer.kind] = Layer(
            layer.kind, past.count + layer.count, past.macs + layer.macs, past.instructions + layer.instructions
        )
    return list(found.values())
