"""A student that moves on by one hop: new samples and its state in, what it says and the next state out.

    step = Step(student, hop=25)
    state = step.start()
    embedding, answers, *state = step(samples, *state)     # samples: (1, 25)

The same weights as the window, float or under fake quantisation. Nothing is hidden in the module: the state is what
the caller hands in and gets back, one tensor for each place of which frames are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onwrist.models.student.graph import graph_of


class Step(nn.Module):
    """One hop of a student.

    Args:
        student: float or fake-quantised; of any graph.
        hop: samples of the first input, a multiple of the student's stride, at most its pool.

    Raises:
        ConfigError: another hop.
    """

    def __init__(self, student: nn.Module, hop: int):
        super().__init__()
        self.student, self.hop = graph_of(student), hop
        self.schedule = self.student.timing.step(hop)
        self.kept = self.schedule.kept

    @torch.no_grad()
    def start(self, batch: int = 1) -> list[Tensor]:
        """The state of a stream whose input has been 0 for ever: (batch, channels, context) per place that keeps any."""
        graph = self.student
        rest = {-1 - k: torch.zeros(batch, i.channels, 1) for k, i in enumerate(graph.inputs)}
        for i, node in enumerate(graph.nodes):
            given = [graph.on_grid(s, rest[s].repeat(1, 1, node.reach + 1)) for s in graph.sources[i]]
            rest[i] = graph.value(graph.compute(i, given))[..., -1:]
        return [rest[place].repeat(1, 1, self.schedule.context[place]) for place in self.kept]

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """New samples of each input, (B, n) or (B, channels, n), and the state to every output, (B, C) or (B, C, frames),
        and the next state."""
        graph, count = self.student, len(self.student.inputs)
        held = dict(zip(self.kept, given[count:], strict=True))
        lines: dict[int, Tensor] = {}

        def put(place: int, fresh: Tensor) -> None:
            lines[place] = torch.cat([held[place], fresh], dim=-1) if place in held else fresh

        for k, x in enumerate(graph.rows(given[:count])):
            put(-1 - k, x)
        for i in range(len(graph.nodes)):
            edges = self.schedule.edges[i]
            put(
                i,
                graph.value(
                    graph.compute(i, [graph.on_grid(e.source, lines[e.source][..., -e.frames :]) for e in edges])
                ),
            )
        said = [
            lines[o.place][..., -1] if o.per_hop else lines[o.place][..., -self.schedule.frames[o.place] :]
            for o in graph.outputs
        ]
        return *said, *(lines[place][..., -self.schedule.context[place] :] for place in self.kept)
