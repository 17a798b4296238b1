"""Where each tensor of a network is in the firmware's memory, and for how long: decided once, on this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from onwrist.export.graphs.tflite_reader import Network, Tensor
from onwrist.export.graphs.tflite_rules import RESHAPES
from onwrist.export.sources.layers.geometry import ALIGNMENT, VECTOR, convolution, up
from onwrist.models.student.names import NEXT_STATE, STATE


@dataclass(frozen=True)
class Plan:
    """A static memory plan.

    Attributes:
        offset: tensor -> byte in the arena; tensors that share memory have the same.
        life: tensor -> (first, last) operator that needs it; -1 and the number of operators for inputs and outputs.
        bytes: of the arena. scratch: its last bytes, for convolutions that gather their taps.
        state: pairs of tensors (in, out) that are one piece of memory, kept between runs. copied: of variables, pairs
            (in, out) of two pieces, the first of which is kept and takes the second's bytes at the end of a run.
    """

    offset: dict[int, int]
    life: dict[int, tuple[int, int]]
    bytes: int
    scratch: int
    state: tuple[tuple[int, int], ...]
    copied: tuple[tuple[int, int], ...] = ()


def plan_memory(network: Network, *, keep: bool = False) -> Plan:
    """Place every tensor that is not constant: largest first, lowest byte that is free for all of its life.

    A tensor that a RESHAPE gives is its source. `next<i>`, made after the last use of `state<i>`, is written over it,
    and the two live for ever: that is the state. So it is with what is assigned to a variable and what was read of it; where
    the old value is still needed by then, the new one is copied at the end.

    Args:
        keep: outputs have their memory for themselves, so that they last until the next run whatever is written to the
            inputs in between.
    """
    count = len(network.operators)
    same: dict[int, int] = {}
    for op in network.operators:
        if op.kind in RESHAPES:
            same[op.outputs[0]] = same.get(op.inputs[0], op.inputs[0])
    life: dict[int, list[int]] = {}

    def touch(tensor: int, when: int) -> None:
        if tensor >= 0 and network.tensors[tensor].data is None:
            first_last = life.setdefault(same.get(tensor, tensor), [when, when])
            first_last[0], first_last[1] = min(first_last[0], when), max(first_last[1], when)

    def one_piece(old: int, new: int) -> None:
        for alias in [a for a, b in same.items() if b == new]:
            same[alias] = old
        same[new] = old
        del life[new]
        life[old] = [-1, count]

    for tensor in network.inputs:
        touch(tensor, -1)
    for when, op in enumerate(network.operators):
        for tensor in (*op.inputs, *op.outputs):
            touch(tensor, when)
    state, copied = [], []
    for variable in network.variables:
        read, new = variable.read, variable.assigned
        touch(read, -1)
        if new in life and life[read][1] < life[new][0]:
            one_piece(read, new)
        else:
            touch(read, count)
            touch(new, count)
            if same.get(new, new) != read:
                copied.append((read, new))
    names = {t.name: i for i, t in enumerate(network.tensors) if t.name}
    for tensor in network.inputs:
        match = re.fullmatch(rf"{STATE}(\d+)", network.tensors[tensor].name)
        other = names.get(f"{NEXT_STATE}{match[1]}") if match else None
        if other is not None and other in network.outputs and other in life and life[tensor][1] < life[other][0]:
            state.append((tensor, other))
            one_piece(tensor, other)
    for tensor in network.outputs:
        touch(tensor, count)
        if keep:
            touch(tensor, -1)
    offset: dict[int, int] = {}
    for tensor in sorted(life, key=lambda t: (-network.tensors[t].size, t)):
        size, (first, last) = _room(network.tensors[tensor]), life[tensor]
        taken = sorted(
            (offset[o], offset[o] + _room(network.tensors[o]))
            for o in offset
            if life[o][0] <= last and first <= life[o][1]
        )
        at = 0
        for begin, end in taken:
            if at + size <= begin:
                break
            at = max(at, end)
        offset[tensor] = at
    # The kernels read whole vectors of the last row, of the scratch too.
    total = max((offset[t] + _room(network.tensors[t]) for t in offset), default=0) + VECTOR
    offset |= {alias: offset[source] for alias, source in same.items()}
    scratch = max((c.scratch for op in network.operators if (c := convolution(network, op))), default=0)
    return Plan(
        offset, {t: (a, b) for t, (a, b) in life.items()}, total + scratch, scratch, tuple(state), tuple(copied)
    )


def _room(tensor: Tensor) -> int:
    return up(tensor.size * np.dtype(tensor.kind).itemsize, ALIGNMENT)
