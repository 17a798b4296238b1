"""Resource variables of a TFLite file as state: what a run reads as the last one left it.

VAR_HANDLE names a variable, READ_VARIABLE and ASSIGN_VARIABLE are what they say, CALL_ONCE runs a graph that gives the first
values. All four disappear: what is read before the assignment is a tensor that is there from the start, what is read after it is
the tensor that was assigned, and what is never assigned is a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from onwrist.export.graphs.tflite_rules import RESHAPES

if TYPE_CHECKING:
    from onwrist.export.graphs.tflite_reader import Network, Tensor

CALL_ONCE, HANDLE, READ, ASSIGN = "CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"
# Operator -> name of its table in the schema.
VARIABLE_OPERATORS = {CALL_ONCE: "CallOnceOptions", HANDLE: "VarHandleOptions", READ: "", ASSIGN: ""}


@dataclass(frozen=True)
class Variable:
    """A variable that a run changes.

    Attributes:
        read, assigned: tensors: its value before the run, and after it. start: int8, its first value.
    """

    read: int
    assigned: int
    start: np.ndarray


@dataclass
class _Use:
    """Tensors of a variable: read before it is assigned, assigned, read after that."""

    before: list[int] = field(default_factory=list)
    assigned: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


def without_variables(
    network: Network, graph: Callable[[int], Network | None]
) -> tuple[Network, list[str], frozenset[int]]:
    """A network whose variables are state; what is unknown of them, operator first; and all tensors that were read.

    Args:
        graph: another graph of the file by its number; None where there is none.
    """
    if not any(op.kind in VARIABLE_OPERATORS for op in network.operators):
        return network, [], frozenset()
    uses, problems = _uses(network)
    starts: dict[str, Tensor] = {}
    for op in network.operators:
        if op.kind == CALL_ONCE:
            values, problem = _first_values(graph(op.settings.get("initSubgraphIndex", 0)))
            starts |= values
            problems += [f"{CALL_ONCE} {problem}"] if problem else []
    instead: dict[int, int] = {}
    for use in uses.values():
        instead |= {i: use.before[0] for i in use.before[1:]} | {i: use.assigned[0] for i in use.after}
    operators = tuple(
        replace(op, inputs=tuple(instead.get(i, i) for i in op.inputs))
        for op in network.operators
        if op.kind not in VARIABLE_OPERATORS
    )
    outputs = tuple(instead.get(i, i) for i in network.outputs)
    found = replace(network, operators=operators, outputs=outputs)
    held = _held(found, uses)
    tensors, variables = list(network.tensors), []
    for name, use in sorted(uses.items()):
        if not use.before:
            continue
        read, start = use.before[0], starts.get(name)
        problem = _problem(found, use, start, held)
        if problem:
            problems.append(f"{READ} of {name!r} {problem}")
        elif start is not None and use.assigned:
            variables.append(Variable(read, use.assigned[0], start.constant))
        elif start is not None:
            tensors[read] = replace(tensors[read], data=start.constant.reshape(tensors[read].shape))
    reads = frozenset(i for op in network.operators if op.kind == READ for i in op.outputs)
    return replace(found, tensors=tuple(tensors), variables=tuple(variables)), problems, reads


def _names(network: Network) -> dict[int, str]:
    """Tensor of a handle -> name of its variable."""
    return {
        op.outputs[0]: "/".join(_word(op.settings.get(key)) for key in ("container", "sharedName")).strip("/")
        for op in network.operators
        if op.kind == HANDLE and len(op.outputs) == 1
    }


def _word(value: bytes | str | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _uses(network: Network) -> tuple[dict[str, _Use], list[str]]:
    """Variable -> its tensors, in order of execution; and what cannot be followed."""
    uses: dict[str, _Use] = {}
    problems: list[str] = []
    names, read = _names(network), set(network.inputs)
    for op in network.operators:
        if op.kind == CALL_ONCE and uses:
            problems.append(f"{CALL_ONCE} comes after variables are used")
        if op.kind not in (READ, ASSIGN):
            continue
        ends = (1, 1) if op.kind == READ else (2, 0)
        if (len(op.inputs), len(op.outputs)) != ends or op.inputs[0] not in names or min(op.inputs) < 0:
            problems.append(f"{op.kind} is of no variable of a {HANDLE}")
            continue
        if read.intersection(op.outputs) or any(network.tensors[i].data is not None for i in op.outputs):
            problems.append(f"{op.kind} writes to a tensor that is there already")
            continue
        read.update(op.outputs)
        use = uses.setdefault(names[op.inputs[0]], _Use())
        if op.kind == ASSIGN:
            use.assigned.append(op.inputs[1])
        else:
            (use.after if use.assigned else use.before).append(op.outputs[0])
    return uses, problems


def _first_values(network: Network | None) -> tuple[dict[str, Tensor], str]:
    """Variable -> constant, of a graph that CALL_ONCE runs; and what is unknown of that graph."""
    if network is None:
        return {}, "runs a graph that there is not"
    names, found = _names(network), {}
    for op in network.operators:
        if op.kind == HANDLE:
            continue
        if op.kind != ASSIGN or len(op.inputs) != 2 or op.inputs[0] not in names:
            return {}, f"runs {op.kind}, where only constants are assigned"
        value = network.tensors[op.inputs[1]]
        if value.data is None or value.kind is not np.int8:
            return {}, "assigns what is no int8 constant"
        found[names[op.inputs[0]]] = value
    return found, ""


def _held(network: Network, uses: dict[str, _Use]) -> set[int]:
    """Tensors that are a variable's old value, in whatever shape."""
    held = {use.before[0] for use in uses.values() if use.before}
    for op in network.operators:
        if op.kind in RESHAPES and op.inputs[0] in held:
            held.update(op.outputs)
    return held


def _problem(network: Network, use: _Use, start: Tensor | None, held: set[int]) -> str:
    """What is unknown of a variable that is read before it is assigned; "" if nothing."""
    if start is None:
        return "has no first value: no CALL_ONCE assigns one"
    if len(use.assigned) > 1:
        return "is assigned more than once in a run"
    read = network.tensors[use.before[0]]
    others = [start, *(network.tensors[i] for i in use.assigned)]
    if any(t.kind is not np.int8 or t.size != read.size for t in (read, *others)):
        return "is not int8 of one size throughout"
    if any((t.scale[0], t.zero[0]) != (read.scale[0], read.zero[0]) for t in others):
        return "is assigned another scale than it has"
    if use.assigned and use.assigned[0] in held:
        return "is assigned what a variable held before"
    return "is an output as it was before the run" if use.assigned and held.intersection(network.outputs) else ""
