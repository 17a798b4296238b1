"""What a student says and how its numbers are read; apart from the network, so that a contract is read without torch.

    answers = Answers((Answer("stress", "yes/no", words=("stressed",)),))
    answers.columns                     # ("stress",): the outputs of the head, in order
    answers.plain                       # what a student's file, a step and a contract carry

Every output z of the head is a plain number within +-ANSWER_RANGE: a value is `centre + span * z` in its unit, the rest are
logits of `span * z`. All share one INT8 scale, whose range is fixed. A learnt range would end where the training people end,
which is a ceiling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from onwrist.errors import ConfigError

EMBEDDING = 256
# Of the shipped heart rate: z within +-ANSWER_RANGE is 30 to 229 BPM in steps of 0.78.
HEART_RATE_CENTRE, HEART_RATE_SPAN = 130.0, 50.0
# Of every yes or no and class: logits of +-16 in steps of 0.125.
LOGIT_SPAN = 8.0
ANSWER_RANGE = 2.0
# A name becomes a column, a macro of the C and a field of the contract; a student with more outputs is none for a watch.
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
MOST_COLUMNS = 32
RATE_UNIT = "BPM"

Kind = Literal["value", "yes/no", "classes"]
Pace = Literal["hop", "frames"]


@dataclass(frozen=True)
class Answer:
    """One thing that a student says beside its embedding.

    Attributes:
        name: small letters, digits and `_`.
        kind: "value" (one output), "yes/no" (one logit), or "classes" (a logit each, the largest is the answer).
        unit: of a value. centre, span: value = centre + span * z, so that centre +- 2 * span can be said.
        words: what a yes is called; or the classes, in order.
        at: "hop": said once a hop; "frames": of every frame, and once a hop of the newest.

    Raises:
        ConfigError: a name, span or words that cannot be.
    """

    name: str
    kind: Kind = "yes/no"
    unit: str = ""
    centre: float = 0.0
    span: float = LOGIT_SPAN
    words: tuple[str, ...] = ()
    at: Pace = "hop"

    def __post_init__(self) -> None:
        where = f"answers.{self.name}"
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r} is no name", field="answers", cure="Use small letters, digits and _, as heart_rate"
            )
        if self.kind not in ("value", "yes/no", "classes"):
            raise ConfigError(f"no kind {self.kind!r}", field=where, cure="Use value, yes/no or classes")
        if self.at not in ("hop", "frames"):
            raise ConfigError(f"at {self.at!r}", field=where, cure="Use hop or frames")
        if not (np.isfinite([self.centre, self.span]).all() and self.span > 0):
            raise ConfigError(f"a span of {self.span:g}", field=where, cure="Give centre, and a span above 0")
        if not all(NAME.fullmatch(w) for w in self.words):
            raise ConfigError(f"words {', '.join(self.words)}", field=where, cure="Use small letters, digits and _")
        if self.kind == "classes" and (len(self.words) < 2 or len(set(self.words)) < len(self.words)):
            raise ConfigError("classes need two words or more, each once", field=where, cure='words = ["wake", "rem"]')
        if self.kind != "classes" and len(self.words) > 1:
            raise ConfigError("more than one word", field=where, cure='Use kind = "classes"')

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its outputs: its own, or one for each class."""
        return tuple(f"{self.name}.{w}" for w in self.words) if self.kind == "classes" else (self.name,)

    @property
    def word(self) -> str:
        """What a yes is called."""
        return self.words[0] if self.words else self.name

    @property
    def is_rate(self) -> bool:
        """Whether it is a heart rate: what a reference from ECG or intervals can be held against."""
        return self.kind == "value" and self.unit.upper() == RATE_UNIT

    def in_units(self, z: np.ndarray) -> np.ndarray:
        """Outputs of the head to values in their unit, or logits."""
        return self.centre + self.span * z

    def standardised(self, values: np.ndarray) -> np.ndarray:
        """Values in their unit to what the head is taught."""
        return (values - self.centre) / self.span

    def sentences(self) -> dict[str, str]:
        """How its outputs are read, for a contract: field -> words."""
        if self.kind == "value":
            unit = self.unit.lower() if self.unit.isalnum() else ""
            return {f"{self.name}_{unit}".rstrip("_"): f"{self.centre:g} + {self.span:g} * value"}
        if self.kind == "yes/no":
            return {self.name: f"logit = {self.span:g} * value: {self.word} above 0"}
        return {c: f"logit = {self.span:g} * value: the largest of {self.name} is the answer" for c in self.columns}


@dataclass(frozen=True)
class Answers:
    """All that a student says beside its embedding, in the order of its outputs.

    Attributes:
        each: the answers. shown_by: name of the yes or no that has to be a yes for an output to be shown; None: all are.

    Raises:
        ConfigError: none, one name twice, or a deciding answer that is none of them.
    """

    each: tuple[Answer, ...]
    shown_by: str | None = None

    def __post_init__(self) -> None:
        names = [a.name for a in self.each]
        if not names or len(set(names)) < len(names):
            raise ConfigError("no answer, or one name twice", field="answers", cure="Give each answer its own name")
        if len(self.columns) > MOST_COLUMNS:
            raise ConfigError(f"{len(self.columns)} outputs", field="answers", cure=f"Use at most {MOST_COLUMNS}")
        if self.shown_by in names and self[self.shown_by].at == "frames":
            raise ConfigError(
                f"{self.shown_by!r} is said of frames",
                field="answers",
                cure="Let a yes/no of a hop decide what is shown",
            )
        if self.shown_by is not None and (self.shown_by not in names or self[self.shown_by].kind != "yes/no"):
            raise ConfigError(
                f"{self.shown_by!r} cannot decide what is shown", field="answers", cure="Let a yes/no of them decide"
            )

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.each)

    def __len__(self) -> int:
        return len(self.each)

    def __getitem__(self, name: str) -> Answer:
        for answer in self.each:
            if answer.name == name:
                return answer
        raise ConfigError(
            f"no answer {name!r}", field="answers", cure=f"There are {', '.join(a.name for a in self.each)}"
        )

    def __contains__(self, name: str) -> bool:
        return any(a.name == name for a in self.each)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the head's outputs."""
        return tuple(c for a in self.each for c in a.columns)

    def at(self, name: str) -> slice:
        """Where an answer's outputs are."""
        first = self.columns.index(self[name].columns[0])
        return slice(first, first + len(self[name].columns))

    def column(self, name: str) -> int:
        """Where an answer's first output is."""
        return self.at(name).start

    @property
    def framed(self) -> bool:
        """Whether one of them is said of every frame."""
        return any(a.at == "frames" for a in self.each)

    @property
    def gate(self) -> int | None:
        """The output that decides what is shown."""
        return None if self.shown_by is None else self.column(self.shown_by)

    @property
    def rate(self) -> Answer | None:
        """The heart rate, where there is one."""
        return next((a for a in self.each if a.is_rate), None)

    @property
    def flags(self) -> tuple[Answer, ...]:
        """Every yes or no that does not decide what is shown."""
        return tuple(a for a in self.each if a.kind == "yes/no" and a.name != self.shown_by)

    def rates(self, z: np.ndarray) -> np.ndarray:
        """Outputs (..., columns) to beats a minute (...); NaN where no answer is a heart rate."""
        if self.rate is None:
            return np.full(z.shape[:-1], np.nan, np.float32)
        return self.rate.in_units(z[..., self.column(self.rate.name)])

    def sure(self, z: np.ndarray) -> np.ndarray:
        """Outputs (..., columns) to how sure the student is that they may be shown (...); equal where nothing decides."""
        return np.zeros(z.shape[:-1], np.float32) if self.gate is None else z[..., self.gate]

    @property
    def drawn(self) -> Answer | None:
        """The value that stands for the student in a picture: the heart rate, else the first value; None without one."""
        return self.rate or next((a for a in self.each if a.kind == "value"), None)

    def chances(self, z: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """Outputs (n, columns) to (name, probability (n,)) of every yes/no and every class."""
        found: list[tuple[str, np.ndarray]] = []
        for answer in self.each:
            logits = answer.span * z[:, self.at(answer.name)].astype(np.float64)
            if answer.kind == "yes/no":
                found.append((answer.name, 1 / (1 + np.exp(-logits[:, 0]))))
            elif answer.kind == "classes":
                p = np.exp(logits - logits.max(axis=1, keepdims=True))
                found += zip(answer.words, (p / p.sum(axis=1, keepdims=True)).T, strict=True)
        return found

    @property
    def plain(self) -> dict[str, Any]:
        """As plain values, for metadata."""
        each = [{**asdict(a), "words": list(a.words)} for a in self.each]
        for values in each:
            if values["at"] == "hop":  # what files from before there were others say
                del values["at"]
        return {"each": each, "shown_by": self.shown_by}

    @classmethod
    def of(cls, values: Any) -> Answers:
        """What `plain` gave.

        Raises:
            ConfigError: it is something else.
        """
        try:
            each = [Answer(**{**a, "words": tuple(a["words"])}) for a in values["each"]]
            return cls(tuple(each), values["shown_by"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"are no answers ({error})"[:120], field="answers", cure="Make the student anew"
            ) from None

    def sentences(self) -> dict[str, str]:
        """How every output is read, for a contract."""
        return {key: text for a in self.each for key, text in a.sentences().items()}


SHIPPED_ANSWERS = Answers(
    (
        Answer("heart_rate", "value", RATE_UNIT, HEART_RATE_CENTRE, HEART_RATE_SPAN),
        Answer("quality", words=("good",)),
        Answer("irregular", words=("irregular",)),
    ),
    shown_by="quality",
)
# What the shipped heads answer, in this order.
ANSWERS = SHIPPED_ANSWERS.columns


def owner_of(key: str, columns: Sequence[str]) -> str | None:
    """The output that a contract's field `NAME` or `NAME_UNIT` speaks of: the longest name that it begins with."""
    fitting = [c for c in columns if key == c or key.startswith(f"{c}_")]
    return max(fitting, key=len, default=None)
