"""An INT8 TFLite file as plain C11: constant tables, a static memory plan, and a call per operator.

The kernels are hand-written (`export/sources/c/`) and the same for every model; what is generated is numbers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError, ExportError
from onwrist.export.graphs.tflite_reader import Network, inspect_tflite, refuse
from onwrist.export.sources.c_text import comment
from onwrist.export.sources.layers.geometry import ALIGNMENT
from onwrist.export.sources.layers.source import Source
from onwrist.export.sources.layers.writers import WRITERS
from onwrist.export.sources.memory_plan import Plan, plan_memory


@dataclass(frozen=True)
class CModel:
    """A model as C.

    Attributes:
        files: name -> text. plan: of its memory. network: the file. calls: (operator's index, statement that runs it) of
            one run, in order; what a run does besides is none of an operator's.
    """

    files: dict[str, str]
    plan: Plan
    network: Network
    calls: tuple[tuple[int, str], ...]


def write_c(
    data: bytes, name: str, start: list[np.ndarray] | None = None, where: str | Path = "", *, keep: bool = False
) -> CModel:
    """`name.h` and `name.c` of a TFLite file.

    Args:
        start: int8 (channels,) of each state tensor, in order: what a stream starts from (default: zero points).
        keep: as in `plan_memory`.

    Raises:
        ExportError: something in the file that the kernels do not know. ConfigError: the name is no C name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
        raise ConfigError(f"{name!r} is no C name", field="name", cure="Use lower-case letters, digits and _")
    network, problems = inspect_tflite(data, where)
    # Where it cannot be planned, the rest is gone through all the same, to say all that is missing.
    plan = Plan(defaultdict(int), {}, 0, 0, ()) if problems else plan_memory(network, keep=keep)
    source = Source(network, plan)
    calls: list[tuple[int, str]] = []
    for place, op in enumerate(network.operators):
        if place not in problems:
            try:
                inputs = [network.tensors[i] if i >= 0 else None for i in op.inputs]
                WRITERS[op.kind](source, f"op{place}", op, inputs, network.tensors[op.outputs[0]])
            except ExportError as error:
                problems[place] = f"operator {place} ({op.kind}) {error.what}"
            calls += [(place, call) for call in source.calls[len(calls) :]]
    refuse(list(problems.values()), where)
    upper = name.upper()
    fed = [i for i in network.inputs if i not in {a for a, _ in plan.state}]
    outputs = [i for i in network.outputs if i not in {b for _, b in plan.state}]
    resets = []
    for k, (tensor, _) in enumerate(plan.state):
        t = network.tensors[tensor]
        channels = t.shape[-1]
        values = start[k] if start else np.full(channels, int(t.zero[0]))
        source.array(f"start{k}", "int8_t", np.asarray(values))
        resets.append(f"ow_copy(start{k}, a + {plan.offset[tensor]}, {t.size // channels}, {channels}, 0, {channels});")
    for k, variable in enumerate(network.variables):
        place, n = plan.offset[variable.read], variable.start.size
        source.array(f"variable{k}", "int8_t", variable.start)
        resets.append(f"ow_copy(variable{k}, a + {place}, 1, {n}, {n}, {n});")
    for read, assigned in plan.copied:
        n = network.tensors[read].size
        source.calls.append(f"ow_copy({source.at(assigned)}, {source.at(read)}, 1, {n}, {n}, {n});")
    kept = sum(network.tensors[a].size for a in (*(a for a, _ in plan.state), *(v.read for v in network.variables)))
    ends = [("INPUT", i) for i in fed] + [("OUTPUT", i) for i in outputs]
    counters = {"INPUT": 0, "OUTPUT": 0}
    lines = []
    for kind, i in ends:
        t, k = network.tensors[i], counters[kind]
        counters[kind] += 1
        lines += [
            f"/* {comment(t.name) or 'tensor'}: {' x '.join(map(str, t.shape))} */", f"#define {upper}_{kind}{k}_OFFSET {plan.offset[i]}",
            f"#define {upper}_{kind}{k}_BYTES {t.size}", f"#define {upper}_{kind}{k}_SCALE {t.scale[0]!r:.40}f".replace("np.float32(", "").replace(")", ""),
            f"#define {upper}_{kind}{k}_ZERO {int(t.zero[0])}",
        ]  # fmt: skip
    header = f"""/* Generated from {name}.tflite by export/to_c.py: {len(network.operators)} operators, {network.macs:,} MAC. */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_ARENA_BYTES {plan.bytes}
/* of which kept between runs */
#define {upper}_STATE_BYTES {kept}
{chr(10).join(lines)}

/* The arena is the caller's: {upper}_ARENA_BYTES, aligned to {ALIGNMENT}. Set the state to its start: */
void {name}_reset(int8_t *arena);
/* Write the input at its offset, run, read the outputs at theirs. */
void {name}_run(int8_t *arena);

#ifdef __cplusplus
}}
#endif

#endif
"""
    body = f"""/* Generated from {name}.tflite by export/to_c.py. */
#include "{name}.h"

#include "onwrist_kernels.h"

{chr(10).join(source.tables)}

void {name}_reset(int8_t *a) {{
    (void)a;
    {(chr(10) + "    ").join(resets)}
}}

void {name}_run(int8_t *a) {{
    {(chr(10) + "    ").join(source.calls)}
}}
"""
    return CModel({f"{name}.h": header, f"{name}.c": body}, plan, network, tuple(calls))
