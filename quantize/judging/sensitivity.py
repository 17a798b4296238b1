"""Where INT8 hurts: one tensor quantised at a time, and all but one, weights and activations told apart.

    found = sensitivity(parent, quantised, data)
    found.everything.distance, found.layers[0].weights.alone.distance

Alone, a tensor is held against the same weights with nothing quantised: what its rounding does. All but one is held against
the float parent: what is left to lose if that tensor stayed float (or had 16 bits). After QAT the two need not agree, because
the weights have learnt to live with a rounding; then taking it away makes things worse, which the second figure shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onwrist.models.student.graph import AnyStudent
from onwrist.quantize.integers.fake_quant import QuantGraph, quantise
from onwrist.quantize.integers.training import CALIBRATION_BATCH, CALIBRATION_BATCHES
from onwrist.quantize.judging.evaluate import Evaluation, Outputs, cosine, run_torch, said_of, scores
from onwrist.signals.people.cohort import Progress, silent

SCHEMA = "onwrist-sensitivity-1"
WEIGHTS, ACTIVATIONS = "weights", "activations"


@dataclass(frozen=True)
class Quantiser:
    """One tensor's quantiser in a fake-quantised student.

    Attributes:
        layer: name of the layer whose weights it rounds, or whose output; of the input, its own.
        kind: "weights" or "activations".
        module: the Brevitas layer that holds it.
    """

    layer: str
    kind: str
    module: Any

    @property
    def proxy(self) -> Any:
        """What switches it."""
        return self.module.weight_quant if self.kind == WEIGHTS else self.module.act_quant


@dataclass(frozen=True)
class Moved:
    """One answer of some outputs.

    Attributes:
        score: against what is true: mean error in the unit, AUROC, or macro-F1; None without labels.
        moved: against the reference's: mean of what a value moves in its unit, or the share of yes/no or classes that turn.
    """

    score: float | None
    moved: float


@dataclass(frozen=True)
class Cost:
    """Outputs against a reference.

    Attributes:
        distance: mean of 1 - cosine of the embeddings. median, worst: cosine. answers: by name.
    """

    distance: float
    median: float
    worst: float
    answers: dict[str, Moved]


@dataclass(frozen=True)
class Tensors:
    """What quantising one tensor costs: alone, and what all the others cost without it."""

    alone: Cost
    without: Cost


@dataclass(frozen=True)
class Layer:
    """A layer's two tensors; the input has no weights.

    Attributes:
        shape: in words. bytes: of its weights in flash.
    """

    name: str
    shape: str
    bytes: int
    weights: Tensors | None
    activations: Tensors | None


@dataclass(frozen=True)
class Sensitivity:
    """All of it.

    Attributes:
        nothing: the quantised student's weights with no quantiser, against the float parent: how far QAT has moved them.
        everything: the quantised student against it. floating: the parent's own scores.
    """

    student: str
    data: str
    people: int
    windows: int
    floating: dict[str, float | None]
    nothing: Cost
    everything: Cost
    layers: tuple[Layer, ...]


def quantisers(student: nn.Module, *inputs: Tensor) -> list[Quantiser]:
    """Every weight and activation quantiser in order of execution, found by running it once on (B, window) of each input.

    A range that several layers share goes by the first one's name.
    """
    found: list[Quantiser] = []

    def visit(name: str, module: nn.Module) -> None:
        kind = WEIGHTS if hasattr(module, "weight_quant") else ACTIVATIONS
        layer = name.removeprefix("layers.").removeprefix("ranges.").replace("/", ".")
        if all(q.module is not module for q in found):
            found.append(Quantiser(layer, kind, module))

    with ExitStack() as stack, torch.no_grad():
        for name, module in student.named_modules():
            if hasattr(module, "weight_quant") or hasattr(module, "act_quant"):
                handle = module.register_forward_pre_hook(lambda m, _, n=name: visit(n, m))
                stack.callback(handle.remove)
        student.eval()(*inputs)
    return found


@contextmanager
def only(every: Sequence[Quantiser], on: Iterable[Quantiser]) -> Iterator[None]:
    """Quantise only some tensors for a while. Biases stay float: a step of one is a step of the 32-bit sum."""
    wanted = {id(q.proxy) for q in on}
    proxies = [q.proxy for q in every]
    proxies += [q.module.bias_quant for q in every if q.kind == WEIGHTS and q.module.bias is not None]
    before = [(p, p.disable_quant) for p in proxies]
    packed = [(q.module, q.module.return_quant_tensor) for q in every]
    try:
        for module, _ in packed:
            module.return_quant_tensor = False  # a scale goes nowhere where the next layer asks for none
        for proxy in proxies:
            proxy.disable_quant = id(proxy) not in wanted
        yield
    finally:
        for proxy, was in before:
            proxy.disable_quant = was
        for module, was in packed:
            module.return_quant_tensor = was


def cost(reference: Outputs, other: Outputs, data: Evaluation) -> Cost:
    """Some outputs against a reference."""
    similarity = cosine(reference.embedding, other.embedding)
    scored = scores(other, data)
    answers = {}
    for answer in data.answers:
        a, b = (said_of(answer, data.answers, o.answers) for o in (reference, other))
        moved = np.abs(a - b) if answer.kind == "value" else a != b if answer.kind == "classes" else (a > 0) != (b > 0)
        answers[answer.name] = Moved(scored[answer.name], float(moved.mean()))
    return Cost(float(np.mean(1 - similarity)), float(np.median(similarity)), float(similarity.min()), answers)


def calibrated(parent: AnyStudent, *inputs: np.ndarray) -> QuantGraph:
    """The parent quantised without any training, its ranges from windows (n, window) of each input."""
    n = len(inputs[0])
    rows = np.array_split(np.arange(n), max(1, min(CALIBRATION_BATCHES, n // CALIBRATION_BATCH)))
    return quantise(parent, [tuple(torch.from_numpy(x[r]) for x in inputs) for r in rows])


def sensitivity(
    parent: AnyStudent, quantised: QuantGraph, data: Evaluation, progress: Progress = silent
) -> Sensitivity:
    """Measure every tensor of a quantised student on `data`; the student is left as it was."""
    given = data.fed(quantised)
    every = quantisers(quantised, *(torch.from_numpy(x[:1]) for x in given))

    def of(on: Iterable[Quantiser]) -> Outputs:
        with only(every, on):
            return run_torch(quantised, *given)

    floating, bare = run_torch(parent, *given), of(())
    measured: dict[tuple[str, str], Tensors] = {}
    for one in progress(every, "tensors"):
        alone = cost(bare, of([one]), data)
        without = cost(floating, of([q for q in every if q is not one]), data)
        measured[one.layer, one.kind] = Tensors(alone, without)
    layers = []
    for name in dict.fromkeys(q.layer for q in every):
        own = next((q.module for q in every if q.layer == name and q.kind == WEIGHTS), None)
        layers.append(
            Layer(
                name, "" if own is None else _shape(own), 0 if own is None else own.weight.numel(),
                measured.get((name, WEIGHTS)), measured.get((name, ACTIVATIONS)),
            )
        )  # fmt: skip
    return Sensitivity(
        quantised.name, data.name, len(np.unique(data.person)), len(data.x), scores(floating, data),
        cost(floating, bare, data), cost(floating, run_torch(quantised, *given), data), tuple(layers),
    )  # fmt: skip


def _shape(conv: nn.Conv1d) -> str:
    (kernel,), (stride,), (dilation,) = conv.kernel_size, conv.stride, conv.dilation
    width = f"{conv.out_channels} channels" if conv.groups > 1 else f"{conv.in_channels} to {conv.out_channels}"
    taps = f", {kernel} taps" if kernel > 1 else ""
    return f"{width}{taps}{f', stride {stride}' if stride > 1 else ''}{f', spaced {dilation}' if dilation > 1 else ''}"
