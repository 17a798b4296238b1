"""The C of a network in the making: tables first, then a call per operator."""

from __future__ import annotations

import numpy as np

from onwrist.export.graphs.tflite_reader import Network
from onwrist.export.sources.c_text import c_array
from onwrist.export.sources.memory_plan import Plan


class Source:
    """Tables and calls of a network, as its layers add them."""

    def __init__(self, network: Network, plan: Plan):
        self.network, self.plan = network, plan
        self.tables: list[str] = []
        self.calls: list[str] = []

    def at(self, tensor: int) -> str:
        """Where a tensor is: in the arena, or in a table if it is constant."""
        data = self.network.tensors[tensor].data
        return (
            f"a + {self.plan.offset[tensor]}"
            if data is None
            else self.array(f"constant{len(self.tables)}", "int8_t", data)
        )

    def array(self, name: str, kind: str, values: np.ndarray) -> str:
        """A table of integers; returns its name."""
        self.tables.append(c_array(kind, name, values))
        return name

    def struct(self, name: str, kind: str, **fields: object) -> str:
        """A constant structure; returns its name."""
        body = ", ".join(f".{k} = {v}" for k, v in fields.items())
        self.tables.append(f"static const {kind} {name} = {{{body}}};")
        return name
