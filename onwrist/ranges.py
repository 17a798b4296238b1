"""Ranges of settings: written once, at the field; `--help` shows them, and every config that is made is held to them.

    @dataclass(frozen=True)
    class DistillConfig(Checked):
        steps: Annotated[int, Interval(ge=1, le=1_000_000)] = 4000

It makes no difference whether a config comes from the command line, from a file or from Python.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Interval, Len, MinLen, MultipleOf

from onwrist.errors import ConfigError

# Seeds of numpy's older generators are 32 bits; torch's take more.
Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Share = Annotated[float, Interval(ge=0, le=1)]


class Checked:
    """Base of a config: its numbers, words and flags have the type and the range that their annotations say."""

    def __post_init__(self) -> None:
        check(self)


def check(config: Any) -> None:
    """Hold a dataclass to its annotations.

    Raises:
        ConfigError: a number is none, or out of range; a word is not one of those that are known.
    """
    from pydantic import ValidationError

    for name, (hint, adapter) in _adapters(type(config)).items():  # type: ignore[arg-type]
        value = getattr(config, name)
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError:
            raise ConfigError(f"is {value!r:.60}", field=name, cure=f"Give {meant(hint)}") from None


@cache
def _adapters(config: type) -> dict[str, tuple[Any, Any]]:
    """Field -> (annotation, what checks it), for the fields that hold numbers, words of a list, or flags, or not nothing."""
    from pydantic import ConfigDict, TypeAdapter

    hints = get_type_hints(config, include_extras=True)
    finite = ConfigDict(allow_inf_nan=False)
    narrow = {n: h for n, h in hints.items() if {int, float, bool} & {*_kinds(h)} or _words(h) or _some(h)}
    return {name: (hint, TypeAdapter(hint, config=finite)) for name, hint in narrow.items()}


def meant_name(name: str, known: Iterable[str]) -> str:
    """`Did you mean NAME? ` where one of the known names is near, else ""."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean {near[0]}? " if near else ""


def limits(hint: Any) -> str:
    """An annotation's range in words, "" without one: `1 to 20`, `above 0, at most 1`, `0.2 to 10, a multiple of 0.2`."""
    said = []
    for part in _parts(hint):
        if isinstance(part, Interval):
            low = f"{_number(part.ge)} to" if part.gt is None else f"above {_number(part.gt)}, at most"
            said.append(f"{low} {_number(part.le)}")
        elif isinstance(part, MultipleOf):
            said.append(f"a multiple of {_number(part.multiple_of)}")
    return ", ".join(said)


def meant(hint: Any) -> str:
    """What an annotation asks for, in words."""
    kinds, words, range_ = set(_kinds(hint)), _words(hint), limits(hint)
    if words:
        return f"{'one or more' if _some(hint) else 'one'} of {', '.join(map(str, words))}"
    if not {int, float} & kinds:
        return "true or false" if bool in kinds else "at least one"
    kind = "whole number" if int in kinds else "number"
    kind = f"{kind}s" if tuple in kinds else f"a {kind}"
    return f"{kind} {range_}" if range_.startswith("above") else f"{kind} from {range_}" if range_ else kind


def _some(hint: Any) -> bool:
    """Whether it may not be empty."""
    return any(isinstance(p, MinLen | Len) for p in _parts(hint))


def _kinds(hint: Any) -> Iterator[type]:
    return (p for p in _parts(hint) if isinstance(p, type))


def _words(hint: Any) -> list[Any]:
    return [w for p in _parts(hint) if get_origin(p) is Literal for w in get_args(p)]


def _parts(hint: Any) -> Iterator[Any]:
    """All that an annotation is made of: types, what they are of, and what is noted beside them."""
    yield hint
    yield get_origin(hint)
    if get_origin(hint) is Annotated:
        yield from _parts(hint.__origin__)
        yield from hint.__metadata__
    elif get_origin(hint) is not Literal:
        for inner in get_args(hint):
            yield from _parts(inner)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
