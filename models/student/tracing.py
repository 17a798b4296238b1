"""Any network of causal convolutions as a student's graph; what cannot stream or be exact is refused by its own name.

    student = trace(module)             # forward(self, ppg, ...) -> {"embedding": (B, C), "answers": ..., ...}

torch.fx follows the module's forward. Padding and cuts at the oldest end say nothing: a stream has the real past, and
branches meet at their newest frame. Padding at the newest end would be the future, and has to be cut off again.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import torch.nn.functional as F
from torch import fx, nn

from onwrist.errors import ExportError
from onwrist.models.student.graph import (
    ADD,
    AVERAGE,
    CONCAT,
    CONVOLUTION,
    MAXIMUM,
    RELU,
    RELU6,
    SCALING,
    Input,
    Node,
    StudentGraph,
)
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT, NEXT_STATE, STATE
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answers
from onwrist.models.student.refusals import ACTIVATIONS, USE_CONVOLUTIONS, why_not
from onwrist.models.student.timing import Output

# Channels that the firmware's dense kernel spreads the groups of a convolution over, as zeros; see `export/sources`.
MOST_GROUPS = 16
# (B, samples) to (B, 1, samples), as indices write it.
NEW_CHANNEL = tuple((slice(None), None, *rest) for rest in ((), (slice(None),), (Ellipsis,)))
NORM, DROPOUT = "norm", "dropout"
# (B, channels, frames); (B, frames, channels); (B, frames); (B, channels): the newest frame alone.
FRAMES, ROWS, LINE, LAST = "frames", "rows", "line", "last"


@dataclass(frozen=True)
class _Value:
    """What fx carries from call to call: a place, how it lies in memory, and frames that it has of the future."""

    place: int
    layout: str = FRAMES
    ahead: int = 0
    once: bool = False
    cause: str = ""


class _Size:
    """A length that only a run would know; good for cutting branches to each other."""


@dataclass
class _Call:
    """An operation before anything is fused."""

    name: str
    kind: str
    sources: list[int]
    channels: int | None
    module: str = ""
    norm: str = ""
    kernel: int = 1
    reach: int = 0
    stride: int = 1
    activation: str = ""
    dropouts: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)


def trace(
    module: nn.Module,
    name: str = "student",
    rates: Mapping[str, float] | None = None,
    answers: Answers = SHIPPED_ANSWERS,
) -> StudentGraph:
    """A module as a graph; its weights stay its own.

    Args:
        module: forward takes (B, channels, samples) for each input and returns a dict, or a tuple of embedding and answers.
        rates: Hz of each input, by the names of forward's arguments; left out: all the same.
        answers: what the output `answers` means.

    Raises:
        ExportError: something in it that cannot stream or be exact: which module, why, and what to use instead.
    """
    try:
        traced = fx.Tracer().trace(module)
    except Exception as error:  # whatever user code does when its tensors are proxies
        raise ExportError(
            f"cannot be followed ({type(error).__name__}: {error})"[:300],
            field=name,
            cure="Take decisions on values and shapes out of forward: only modules and plain operations",
        ) from None
    return _Reading(module, name, rates, answers).read(traced)


class _Reading:
    """One pass over what fx found."""

    def __init__(self, module: nn.Module, name: str, rates: Mapping[str, float] | None, answers: Answers):
        self.module, self.name, self.rates, self.answers = module, name, dict(rates or {}), answers
        self.modules = dict(module.named_modules())
        self.calls: list[_Call] = []
        self.inputs: list[str] = []
        self.channels: list[int | None] = []
        self.at = ""
        self.inner = ""

    # --- what goes wrong

    def refuse(self, what: str, cure: str) -> ExportError:
        return ExportError(what, field=self.at, cure=cure)

    def settled(self, value: Any) -> _Value:
        """A value of which frames are read: nothing of the future in it."""
        if not isinstance(value, _Value):
            raise self.refuse("is fed something that is no signal", USE_CONVOLUTIONS)
        if value.ahead > 0:
            raise ExportError(
                f"pads {value.ahead} frames of the future, which {self.at} reads", field=value.cause,
                cure=f"Pad the left side only (nn.ConstantPad1d before it), or cut `[..., :-{value.ahead}]` off after it",
            )  # fmt: skip
        if value.ahead < 0:
            raise self.refuse(
                f"gets frames that are {-value.ahead} late: a cut took the newest ones",
                "Cut the oldest ones, `x[..., k:]`, or none",
            )
        return value

    # --- places

    def channels_of(self, place: int) -> int | None:
        return self.channels[-1 - place] if place < 0 else self.calls[place].channels

    def settle_channels(self, place: int, count: int) -> None:
        """What a convolution reads has its channels; an input learns them so."""
        known = self.channels_of(place)
        if known is not None and known != count:
            raise self.refuse(
                f"takes {count} channels and is given {known}",
                "Frames are no channels: put nn.Conv1d(channels, out, kernel_size=frames) in place of flatten and a dense layer",
            )
        if place < 0:
            self.channels[-1 - place] = count
        elif known is None:
            self.calls[place].channels = count
            for source in self.calls[place].sources:
                self.settle_channels(source, count)

    def add(self, call: _Call, like: _Value, ahead: int = 0, cause: str = "") -> _Value:
        taken = {c.name for c in self.calls}
        plain, k = call.name, 1
        while call.name in taken:
            k += 1
            call.name = f"{plain}_{k}"
        call.inner = [self.inner] if self.inner else []
        self.calls.append(call)
        return replace(like, place=len(self.calls) - 1, ahead=ahead, cause=cause)

    def extent(self, value: Any) -> _Value:
        """A value whose frames a kernel slides over."""
        value = self.settled(value)
        if value.once or value.layout == LAST:
            raise self.refuse(
                "slides over time, and is given the newest frame alone", "Take `[..., -1]` after it, not before"
            )
        if value.layout != FRAMES:
            raise self.refuse("is given (B, frames, channels)", "Transpose back before it")
        return value

    # --- modules

    def convolution(self, conv: nn.Conv1d, value: Any) -> _Value:
        (kernel,), (stride,), (dilation,) = conv.kernel_size, conv.stride, conv.dilation
        reach = dilation * (kernel - 1)
        pad = conv.padding
        right = (reach - reach // 2 if pad == "same" else 0) if isinstance(pad, str) else pad[0]
        # Pointwise, it may pass on what it is given, future and all.
        value = self.extent(value) if reach or stride > 1 else self.pointwise(value)
        if right and stride > 1:
            raise self.refuse(
                f"pads both sides by {right} at a stride of {stride}: its frames see the future",
                f"Use padding=0 and nn.ConstantPad1d(({reach}, 0), 0.0) before it",
            )
        groups, outputs, inputs = conv.groups, conv.out_channels, conv.in_channels
        depthwise = groups == inputs == outputs
        if groups > MOST_GROUPS and not depthwise:
            raise self.refuse(
                f"has {groups} groups, where firmware knows up to {MOST_GROUPS}, or one a channel",
                f"Use groups={MOST_GROUPS} or fewer, or groups=in_channels with as many out_channels",
            )
        self.settle_channels(value.place, inputs)
        call = _Call(self.at, CONVOLUTION, [value.place], outputs, self.at, reach=reach, stride=stride)
        return self.add(call, value, value.ahead + right, self.at if right else value.cause)

    def linear(self, dense: nn.Linear, value: Any) -> _Value:
        value = self.pointwise(value)
        if value.layout not in (ROWS, LAST):
            raise self.refuse(
                "would mix the frames of each channel",
                "Use nn.Conv1d(channels, out, 1), or transpose(1, 2) before it; over time, nn.Conv1d with a kernel",
            )
        self.settle_channels(value.place, dense.in_features)
        return self.add(_Call(self.at, CONVOLUTION, [value.place], dense.out_features, self.at), value, value.ahead)

    def pointwise(self, value: Any) -> _Value:
        return value if isinstance(value, _Value) else self.settled(value)

    def pool(self, value: Any, kind: str, kernel, stride, padding, plain: bool) -> _Value:
        kernel, stride, padding = (n[0] if isinstance(n, tuple) else n for n in (kernel, stride or kernel, padding))
        if not plain:
            raise self.refuse("pools with ceil_mode, dilation or indices", "Use a plain pool")
        value = self.extent(value)
        if padding and stride > 1:
            raise self.refuse(
                f"pads both sides by {padding} at a stride of {stride}: its frames see the future", "Use padding=0"
            )
        call = _Call(
            self.at, kind, [value.place], self.channels_of(value.place), kernel=kernel, reach=kernel - 1, stride=stride
        )
        return self.add(call, value, padding, self.at)

    def activation(self, value: Any, kind: str) -> _Value:
        value = self.pointwise(value)
        return self.add(
            _Call(self.at, SCALING, [value.place], self.channels_of(value.place), activation=kind), value, value.ahead,
            value.cause,
        )  # fmt: skip

    def padded(self, value: Any, left: int, right: int) -> _Value:
        value = self.pointwise(value)
        if value.layout not in (FRAMES, LINE):
            raise self.refuse("pads other axes than time", "Pad (B, channels, frames)")
        return replace(value, ahead=value.ahead + right, cause=self.at if right else value.cause)

    def call_module(self, node: fx.Node, args: list, kwargs: dict) -> Any:
        module = self.modules[node.target]
        value = args[0] if args else next(iter(kwargs.values()), None)
        if isinstance(module, nn.Conv1d):
            return self.convolution(module, value)
        if isinstance(module, nn.Linear):
            return self.linear(module, value)
        if isinstance(module, nn.BatchNorm1d):
            if module.running_mean is None:
                raise self.refuse("keeps no running statistics", "Use track_running_stats=True: they are folded")
            value = self.pointwise(value)
            self.settle_channels(value.place, module.num_features)
            call = _Call(self.at, NORM, [value.place], module.num_features, norm=self.at)
            return self.add(call, value, value.ahead, value.cause)
        if isinstance(module, nn.ReLU6) or (
            isinstance(module, nn.Hardtanh) and (module.min_val, module.max_val) == (0, 6)
        ):
            return self.activation(value, RELU6)
        if isinstance(module, nn.ReLU):
            return self.activation(value, RELU)
        if isinstance(module, nn.AvgPool1d):
            right = module.padding not in (0, (0,)) and not module.count_include_pad
            return self.pool(
                value, AVERAGE, module.kernel_size, module.stride, module.padding, not (module.ceil_mode or right)
            )
        if isinstance(module, nn.MaxPool1d):
            plain = not module.ceil_mode and module.dilation in (1, (1,)) and not module.return_indices
            return self.pool(value, MAXIMUM, module.kernel_size, module.stride, module.padding, plain)
        if isinstance(module, (nn.ConstantPad1d, nn.ZeroPad1d, nn.ReplicationPad1d, nn.ReflectionPad1d)):
            return self.padded(value, *module.padding)
        if isinstance(module, (nn.Dropout, nn.Dropout1d)):
            value = self.pointwise(value)
            call = _Call(self.at, DROPOUT, [value.place], self.channels_of(value.place), dropouts=[self.at])
            return self.add(call, value, value.ahead, value.cause)
        if isinstance(module, nn.Identity):
            return value
        if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) in ((1, -1), (1, 2)):
            return self.flat(value)
        what, cure = why_not(module)
        raise self.refuse(what, cure)

    # --- functions and methods

    def flat(self, value: Any) -> _Value:
        """(B, C, 1) to (B, C); a dense layer behind it finds out if there were more frames."""
        value = self.settled(value)
        return replace(value, layout=LAST, once=True)

    def sum_of(self, a: Any, b: Any) -> _Value:
        if not (isinstance(a, _Value) and isinstance(b, _Value)):
            raise self.refuse("adds a number", "Use the bias of a convolution")
        self.meet([a, b])
        known = self.channels_of(a.place), self.channels_of(b.place)
        if None not in known and known[0] != known[1]:
            raise self.refuse(f"adds {known[0]} channels to {known[1]}", "Bring them to the same with nn.Conv1d(.., 1)")
        for one, other in ((a, known[1]), (b, known[0])):
            if other is not None:
                self.settle_channels(one.place, other)
        call = _Call(self.at, ADD, [a.place, b.place], known[0] if known[0] is not None else known[1])
        return self.add(call, replace(a, once=a.once or b.once), a.ahead, a.cause)

    def joined(self, values: Iterable, dim: int) -> _Value:
        values = list(values)
        if not all(isinstance(v, _Value) for v in values):
            raise self.refuse("joins something that is no signal", USE_CONVOLUTIONS)
        self.meet(values)
        axis = {FRAMES: (1, -2), ROWS: (2, -1), LAST: (1, -1)}.get(values[0].layout, ())
        if dim not in axis:
            raise self.refuse("joins along another axis than the channels", "Use torch.cat([...], dim=1)")
        each = [self.channels_of(v.place) for v in values]
        for v, n in zip(values, each, strict=True):
            if n is None:  # an input that nothing has read yet
                self.settle_channels(v.place, 1)
        whole = sum(n or 1 for n in each)
        call = _Call(self.at, CONCAT, [v.place for v in values], whole)
        return self.add(call, replace(values[0], once=any(v.once for v in values)), values[0].ahead, values[0].cause)

    def meet(self, values: list[_Value]) -> None:
        if len({v.layout for v in values}) > 1:
            raise self.refuse("brings together the newest frame and all frames", "Take `[..., -1]` of both, or of none")
        if len({v.ahead for v in values}) > 1:
            for v in values:
                self.settled(v)

    def cut(self, value: Any, key: Any) -> Any:
        """Indexing: cuts along time, the newest frame, a new axis of channels."""
        if not isinstance(value, _Value):
            return value[key] if isinstance(value, (tuple, list, dict)) else _Size()
        key = key if isinstance(key, tuple) else (key,)
        everything = slice(None)
        if value.layout == LINE:
            if key in NEW_CHANNEL:
                return replace(value, layout=FRAMES)
        elif value.layout == LAST and key in ((Ellipsis, None), (everything, everything, None)):
            return replace(value, layout=FRAMES)
        if value.layout in (FRAMES, LINE) and key[0] in (Ellipsis, everything):
            rest = key[1:]
            if key[0] == everything and value.layout == FRAMES:
                rest = key[2:] if len(key) == 3 and key[1] == everything else ()
            if len(rest) == 1:
                return self.cut_time(value, rest[0])
        if all(k is Ellipsis or k == everything for k in key):
            return value
        raise self.refuse(f"cuts {key}", "Cut along time only: `x[..., k:]`, or `x[..., -1]` for the newest frame")

    def cut_time(self, value: _Value, part: Any) -> _Value:
        if part == -1:
            return replace(self.settled(value), layout=LAST, once=True)
        if not isinstance(part, slice) or part.step not in (None, 1):
            raise self.refuse("takes single frames or every other one", "Use a stride in a convolution or a pool")
        if isinstance(part.stop, _Size):
            # Cutting to another's length from the front is what follows a padding of both sides.
            if value.ahead <= 0:
                raise self.refuse("may cut the newest frames", "Cut the oldest ones: `x[..., -n:]`")
            value = replace(value, ahead=0)
        elif part.stop is not None:
            if not isinstance(part.stop, int) or part.stop >= 0:
                raise self.refuse(
                    "cuts the newest frames at a fixed length", "Cut `x[..., k:]`, or `x[..., :-k]` after a padding"
                )
            value = replace(value, ahead=value.ahead + part.stop)
        return replace(value, once=True) if part.start == -1 and part.stop is None else value

    def turned(self, value: Any, a: int, b: int) -> _Value:
        value = self.pointwise(value)
        if {a % 3, b % 3} != {1, 2} or value.layout not in (FRAMES, ROWS):
            raise self.refuse("turns other axes than channels and frames", "Use transpose(1, 2)")
        return replace(value, layout=ROWS if value.layout == FRAMES else FRAMES)

    def widened(self, value: Any, dim: int) -> _Value:
        value = self.pointwise(value)
        if value.layout == LINE and dim in (1, -2):
            return replace(value, layout=FRAMES)
        if value.layout == LAST and dim in (2, -1):
            return replace(value, layout=FRAMES)
        raise self.refuse("adds an axis", "Only (B, samples) gets one, for its channel: unsqueeze(1)")

    def squeezed(self, value: Any, dim: int | None = None) -> _Value:
        value = self.settled(value)
        if value.layout == FRAMES and dim in (2, -1):
            return replace(value, layout=LAST, once=True)
        raise self.refuse("drops an axis", "Only the last one, of one frame: squeeze(-1), or `[..., -1]`")

    def clamped(self, value: Any, low: Any = None, high: Any = None, **named: Any) -> _Value:
        low, high = named.get("min", low), named.get("max", high)
        if low == 0 and high in (None, 6):
            return self.activation(value, RELU6 if high else RELU)
        raise self.refuse(f"clamps to {low}..{high}", "Use nn.ReLU or nn.ReLU6")

    def pad_function(self, x: Any, pad: Any, mode: str = "constant", value: Any = None) -> _Value:
        if len(pad) != 2 or not all(isinstance(p, int) for p in pad):
            raise self.refuse("pads other axes than time", "Use F.pad(x, (k, 0))")
        return self.padded(x, *pad)

    def operation(self, what: str, args: list, kwargs: dict) -> Any:
        """A function or method by its name."""
        table: dict[str, Callable] = {
            "add": lambda a, b, alpha=1: self.sum_of(a, b) if alpha == 1 else self._none("adds with a factor"),
            "cat": lambda tensors, dim=0: self.joined(tensors, dim),
            "getitem": self.cut,
            "relu": lambda x, inplace=False: self.activation(x, RELU),
            "relu6": lambda x, inplace=False: self.activation(x, RELU6),
            "clamp": self.clamped,
            "hardtanh": lambda x, min_val=-1.0, max_val=1.0, inplace=False: self.clamped(x, min_val, max_val),
            "pad": self.pad_function,
            "transpose": self.turned,
            "permute": lambda x, *axes: self.turned(x, 1, 2) if axes in ((0, 2, 1), ((0, 2, 1),)) else self._none("turns axes"),
            "unsqueeze": self.widened,
            "squeeze": self.squeezed,
            "flatten": lambda x, start_dim=0, end_dim=-1: self.flat(x) if start_dim == 1 else self._none("flattens"),
            "avg_pool1d": lambda x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True: self.pool(
                x, AVERAGE, kernel_size, stride, padding, not ceil_mode and (count_include_pad or not padding)
            ),
            "max_pool1d": lambda x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False: self.pool(
                x, MAXIMUM, kernel_size, stride, padding, not ceil_mode and dilation == 1 and not return_indices
            ),
        }  # fmt: skip
        same = {
            "iadd": "add", "add_": "add", "concat": "cat", "concatenate": "cat", "relu_": "relu", "clamp_": "clamp", "_pad": "pad",
            "swapaxes": "transpose", "clip": "clamp", "_max_pool1d": "max_pool1d", "boolean_dispatch": "max_pool1d",
        }  # fmt: skip
        what = same.get(what, what)
        if what in ("contiguous", "clone", "detach", "dropout", "dropout1d", "identity"):
            return args[0]
        if what in ("size", "getattr", "neg", "sub", "floordiv", "len") and not any(
            isinstance(a, _Value) for a in args[1:]
        ):
            if what in ("size",) or (what == "getattr" and args[1] == "shape") or isinstance(args[0], _Size):
                return _Size()
            if all(isinstance(a, (int, _Size)) for a in args):
                return _Size()
        if what not in table:
            known, cure = ACTIVATIONS.get(what, (f"is {what}, which is not known here", USE_CONVOLUTIONS))
            raise self.refuse(known, cure)
        try:
            return table[what](*args, **kwargs)
        except TypeError as error:
            raise self.refuse(f"is called in an unknown way ({error})"[:200], USE_CONVOLUTIONS) from None

    def _none(self, what: str) -> Any:
        raise self.refuse(what, USE_CONVOLUTIONS)

    # --- the whole

    def read(self, graph: fx.Graph) -> StudentGraph:
        found: dict[fx.Node, Any] = {}
        told: Any = None
        for node in graph.nodes:
            self.inner = _owner(node)
            self.at = str(node.target) if node.op == "call_module" else ".".join(filter(None, (self.inner, node.name)))
            args, kwargs = (fx.node.map_arg(a, lambda n: found[n]) for a in (node.args, node.kwargs))
            if node.op == "placeholder":
                found[node] = args[0] if args else self.enter(str(node.target), node)
            elif node.op == "get_attr":
                raise self.refuse("uses a tensor of its own", "Make it the weights or bias of a convolution")
            elif node.op == "call_module":
                found[node] = self.call_module(node, list(args), dict(kwargs))
            elif node.op == "output":
                told = args[0]
            else:
                what = (
                    node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
                )
                found[node] = self.operation(_plain(what, node.target), list(args), dict(kwargs))
        return self.fused(self.outputs(told))

    def enter(self, name: str, node: fx.Node) -> _Value:
        self.inputs.append(name)
        self.channels.append(None)
        # (B, samples) where its first use gives it an axis of channels.
        line = any(
            _plain(getattr(user.target, "__name__", str(user.target)), user.target) in ("unsqueeze",)
            or (user.target is operator.getitem and user.args[1] in NEW_CHANNEL)
            for user in node.users
        )
        return _Value(-len(self.inputs), LINE if line else FRAMES)

    def outputs(self, told: Any) -> list[Output]:
        self.at = "forward"
        if isinstance(told, _Value):
            told = {EMBEDDING_OUTPUT: told}
        if isinstance(told, (tuple, list)):
            if len(told) > 2:
                raise self.refuse(
                    f"returns {len(told)} outputs without names", 'Return a dict: {"embedding": ..., ...}'
                )
            told = dict(zip((EMBEDDING_OUTPUT, ANSWERS_OUTPUT), told, strict=False))
        if not isinstance(told, dict) or not told:
            raise self.refuse("returns no outputs", 'Return a dict: {"embedding": ..., "answers": ...}')
        found = []
        for name in sorted(told, key=lambda n: (n != EMBEDDING_OUTPUT, n != ANSWERS_OUTPUT)):
            self.at = str(name)
            if not (isinstance(name, str) and name.isidentifier() and len(name) <= 32):
                raise self.refuse("is no name of an output", "Use letters, digits and _")
            value = self.settled(told[name])
            if value.place < 0:
                raise self.refuse("is an input itself", "Put a convolution between")
            self.check_name(name)
            found.append(Output(name, value.place, value.once or name in (EMBEDDING_OUTPUT, ANSWERS_OUTPUT)))
        return found

    def check_name(self, name: str) -> None:
        if name in self.inputs or name.rstrip("0123456789") in (STATE, NEXT_STATE):
            raise self.refuse("is the name of an input or of a state", "Call the output something else")

    def fused(self, outputs: list[Output]) -> StudentGraph:
        """Batch norms, activations and dropouts into what they follow; what no output needs is left out."""
        calls = self.calls
        alias = list(range(len(calls)))

        def of(place: int) -> int:
            while place >= 0 and alias[place] != place:
                place = alias[place]
            return place

        readers = [0] * len(calls)
        needed = {o.place for o in outputs}
        for i in reversed(range(len(calls))):
            if i in needed:
                needed.update(s for s in calls[i].sources if s >= 0)
                for s in calls[i].sources:
                    if s >= 0:
                        readers[s] += 1
        for o in outputs:
            readers[o.place] += 1
        for i, call in enumerate(calls):
            if i not in needed:
                continue
            call.sources = [of(s) for s in call.sources]
            # Whether nobody else wants what it follows, before this.
            first = call.sources[0]
            alone = first >= 0 and readers[first] == 1
            before = calls[first] if first >= 0 else None
            fits = before is not None and alone and not before.activation
            if call.kind == NORM:
                if fits and before and before.kind == CONVOLUTION and not before.norm:
                    before.norm = call.norm
                else:
                    call.kind, before = SCALING, None
            elif call.kind == SCALING and fits and before and before.kind in (CONVOLUTION, SCALING, ADD):
                before.activation = call.activation
            elif call.kind == DROPOUT:
                if before is None or not alone:
                    before = before or None
                else:
                    before.dropouts += call.dropouts
                alias[i] = first
                if first >= 0:
                    readers[first] += readers[i] - 1
                continue
            else:
                before = None
            if before is not None:
                before.inner += [*call.inner, call.norm]
                alias[i], readers[first] = first, readers[i]
        kept = [i for i in range(len(calls)) if i in needed and alias[i] == i]
        new = {old: k for k, old in enumerate(kept)} | {-1 - k: -1 - k for k in range(len(self.inputs))}
        sources = [tuple(new[of(s)] for s in calls[i].sources) for i in kept]
        names = _names([calls[i] for i in kept])
        nodes = [
            Node(n, c.kind, self._known(c.channels), (c.module, c.norm), c.kernel, c.reach, c.stride, c.activation, tuple(c.dropouts))
            for n, c in ((names[k], calls[i]) for k, i in enumerate(kept))
        ]  # fmt: skip
        inputs = [
            Input(n, self._known(c), p) for n, c, p in zip(self.inputs, self.channels, self._periods(), strict=True)
        ]
        ends = [replace(o, place=new[of(o.place)]) for o in outputs]
        made = StudentGraph(self.module, self.name, inputs, nodes, sources, ends, self.answers)
        self._check_rates(made)
        unused = [k for k in range(len(inputs)) if not any(-1 - k in s for s in sources)]
        if unused or not inputs:
            raise ExportError(
                "has an input that nothing reads",
                field=", ".join(inputs[k].name for k in unused) or self.name,
                cure="Leave it out",
            )
        return made

    @staticmethod
    def _known(channels: int | None) -> int:
        return 1 if channels is None else channels

    def _periods(self) -> list[Fraction]:
        for name in self.rates:
            if name not in self.inputs:
                raise ExportError("has a rate and is no input", field=name, cure=f"There are {', '.join(self.inputs)}")
        rates = [Fraction(self.rates.get(n, 1)).limit_denominator(1000) for n in self.inputs]
        if self.rates and len(self.rates) < len(self.inputs):
            missing = [n for n in self.inputs if n not in self.rates]
            raise ExportError("has no rate", field=", ".join(missing), cure="Give the Hz of every input")
        return [rates[0] / r for r in rates]

    @staticmethod
    def _check_rates(student: StudentGraph) -> None:
        period = student.timing.period
        for i, sources in enumerate(student.sources):
            if len({period[s] for s in sources}) > 1:
                each = " and ".join(f"{float(1 / period[s]):g}" for s in sources)
                raise ExportError(
                    f"brings together frames of {each} per sample of {student.inputs[0].name}", field=student.nodes[i].name,
                    cure="Bring the branches to one frame rate by their strides",
                )  # fmt: skip


def _plain(name: str, target: Any) -> str:
    """A function's name without what Python or torch put around it."""
    if target is F.max_pool1d:
        return "max_pool1d"
    return name.strip("_") if name.startswith("__") else name


def _owner(node: fx.Node) -> str:
    """Path of the module in whose forward a call stands."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [entry[0] if isinstance(entry, tuple) else str(entry) for entry in stack.values()]
    path = paths[-1] if paths else ""
    return path.rpartition(".")[0] if node.op == "call_module" and path == node.target else path


def _names(calls: list[_Call]) -> list[str]:
    """The user's name of each: of the module that holds a convolution and what was fused into it, where that is one."""
    paths = [[p for p in (c.module, c.norm) if p] or [c.name] for c in calls]
    found = []
    for k, own in enumerate(paths):
        parent = own[0].rpartition(".")[0]
        inside = [j for j, other in enumerate(paths) if parent and any(p.startswith(f"{parent}.") for p in other)]
        alone = inside == [k] and len(own) > 1
        found.append(parent if alone else own[0])
    unique: list[str] = []
    for name in found:
        k, each = 1, name
        while each in unique:
            k += 1
            each = f"{name}_{k}"
        unique.append(each)
    return unique
