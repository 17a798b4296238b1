"""The integer student as a stream: the work of new samples only, and the bytes of the whole recording.

    stream = IntegerStream(model, hop=25)
    embedding, answers = stream.push(samples)     # any number of int8 samples; one output per hop that became complete

Of each tensor the frames stay that its readers will still need, int8 in its own scale. What a stream says is what the
whole recording says, if that began with silence: `whole_stream` is that sentence as code, and the two share no state
handling.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onwrist.quantize.integers.arithmetic import IntegerModel


class IntegerStream:
    """An integer model that is fed any number of samples at a time.

    Args:
        model: the student's integers.
        hop: samples of the first input between outputs, a multiple of the total stride.

    Attributes:
        outputs: int8 (channels, frames) of the last hop, node by node.
        seen: samples of the first input since the last reset. An output is valid from `model.window` on: until then part
            of its window is the silence that the stream starts from.
    """

    def __init__(self, model: IntegerModel, hop: int):
        self.model, self.hop = model, hop
        self.schedule = model.timing.step(hop)
        self.samples = model.timing.samples(hop)
        self.reset()

    def reset(self) -> None:
        """Start anew, as if every input had been 0 for ever."""
        self.state = self.model.start(self.hop)
        self.waiting = [np.zeros((i.channels, 0), np.int8) for i in self.model.inputs]
        self.outputs: list[np.ndarray] = []
        self.seen = 0

    def push(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """int8 (n,) or (channels, n) of each input to every output (m, C) of the hops that became complete."""
        rows = [np.atleast_2d(x) for x in inputs]
        self.seen += rows[0].shape[1]
        self.waiting = [np.concatenate(pair, axis=1) for pair in zip(self.waiting, rows, strict=True)]
        hops = min(held.shape[1] // n for held, n in zip(self.waiting, self.samples, strict=True))
        said = [self._hop(k) for k in range(hops)]
        self.waiting = [held[:, hops * n :] for held, n in zip(self.waiting, self.samples, strict=True)]
        return tuple(
            np.concatenate([np.zeros((0, self.model.width(o.place)), np.int8), *(found[k] for found in said)])
            for k, o in enumerate(self.model.outputs)
        )

    def _hop(self, k: int) -> list[np.ndarray]:
        fresh = [held[None, :, k * n : (k + 1) * n] for held, n in zip(self.waiting, self.samples, strict=True)]
        lines = self.model.values(self.schedule, fresh, {place: held[None] for place, held in self.state.items()})
        self.state = {place: _newest(lines[place][0], held.shape[1]) for place, held in self.state.items()}
        self.outputs = [_newest(lines[i][0], self.schedule.frames[i]) for i in range(len(self.model.nodes))]
        return [_newest(self.outputs[o.place], 1 if o.per_hop else None).T for o in self.model.outputs]


def whole_stream(model: IntegerModel, x: np.ndarray | Sequence[np.ndarray], hop: int) -> tuple[np.ndarray, ...]:
    """What a stream of int8 (n,), or of a (channels, n) for each input, has to say, in one piece: every output (m, C)."""
    rows = [np.atleast_2d(line) for line in ([x] if isinstance(x, np.ndarray) else x)]
    hops = min(x.shape[1] // n for x, n in zip(rows, model.timing.samples(hop), strict=True))
    ends = model.timing.samples(hops * hop)
    # A window of silence before it: more than anything that is said looks back to.
    before = model.timing.samples(model.window + hop)
    lines = [
        np.concatenate([np.zeros((len(x), b), np.int8), x[:, :n]], axis=1)[None]
        for x, b, n in zip(rows, before, ends, strict=True)
    ]
    said = model.whole(hop, *lines)
    counts = [hops * model.frames_of(o.name, hop) for o in model.outputs]
    return tuple(x[0, x.shape[1] - n :] for x, n in zip(said, counts, strict=True))


def _newest(x: np.ndarray, frames: int | None) -> np.ndarray:
    return x if frames is None else x[..., x.shape[-1] - frames :]
