"""The integer student as a stream: the work of new samples only, and the bytes of the whole recording.

    stream = IntegerStream(model, hop=25)
    embedding, answers = stream.push(samples)     # any number of int8 samples; one output per hop that became complete

Each layer keeps the input frames that its next output still needs, int8 in the scale of the tensor that they belong
to. What a stream says is what the whole recording says, if that began with silence: `whole_stream` is that sentence
as code, and the two share no state handling.
"""

from __future__ import annotations

import numpy as np

from onwrist.quantize.integers.arithmetic import IntegerModel


class IntegerStream:
    """An integer model that is fed any number of samples at a time.

    Args:
        model: the student's integers.
        hop: input samples between outputs, a multiple of the total stride.

    Attributes:
        held: int8 (in, frames) per layer: its left context, and what has come in since its last output.
        outputs: int8 (out, frames) of the last push, layer by layer.
        seen: samples since the last reset. An output is valid from `model.window` on: until then part of its window
            is the silence that the stream starts from.
    """

    def __init__(self, model: IntegerModel, hop: int):
        self.model, self.hop = model.at_hop(hop), hop
        self.reset()

    def reset(self) -> None:
        """Start anew, as if the input had been 0 for ever."""
        self.held = self.model.start()
        self.outputs: list[np.ndarray] = []
        self.seen = 0

    def push(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int8 (n,) to embedding (m, 256) and answers (m, 3), m the hops that became complete."""
        self.seen += len(x)
        self.outputs = []
        for i, (layer, source) in enumerate(zip(self.model.layers, self.model.sources, strict=True)):
            self.outputs.append(self._advance(i, layer, x[None, :] if source < 0 else self.outputs[source]))
        return self.outputs[len(self.model.trunk)].T, self.outputs[-1].T

    def _advance(self, i, layer, fresh: np.ndarray) -> np.ndarray:
        line = np.concatenate([self.held[i], fresh], axis=1)
        count = layer.frames(line.shape[1])
        if count < 1:
            self.held[i] = line
            return np.zeros((len(layer.bias), 0), np.int8)
        self.held[i] = line[:, count * layer.stride :]
        return layer.run(line[None])[0]


def whole_stream(model: IntegerModel, x: np.ndarray, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """What a stream of int8 (n,) has to say, computed in one piece: embedding (n // hop, 256), answers (n // hop, 3)."""
    if len(x) < hop:
        widths = len(model.embed.bias), len(model.head[-1].bias)
        return np.zeros((0, widths[0]), np.int8), np.zeros((0, widths[1]), np.int8)
    before = np.zeros(model.window - hop, np.int8)
    embedding, answers = model.at_hop(hop).whole(np.concatenate([before, x])[None])
    return embedding[0], answers[0]
