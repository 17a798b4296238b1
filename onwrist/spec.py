"""A deployment as one TOML file: validated as a whole, written back as it was understood, with a hash of its own.

    name = "mine"
    [teacher]
    source = "my_encoder.py:make"
    rate_hz = 125
    [data]
    recordings = ["study/**/*.csv"]
    person = '(p\\d+)_'

docs/spec.md has every field with an example; what is left out takes the value that the shipped deployment has.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from onwrist.errors import ConfigError
from onwrist.resources import SHIPPED

SCHEMA = "onwrist-spec-1"
# Hz of a PPG: below 20 a pulse of 230 a minute has hardly five samples, beyond 1,000 no wearable goes.
Rate = Annotated[float, Field(ge=20, le=1000)]


class Part(BaseModel):
    """A table of the file: unknown keys are errors, values keep their type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Teacher(Part):
    """The encoder that is imitated."""

    source: str | None = None
    """A system's name, a checkpoint, `file.py:function`, an `.onnx` or `.keras` file, a SavedModel's folder; left out: the shipped teacher."""
    rate_hz: Rate = 100.0
    """Samples a second that the encoder takes."""
    scaling: Literal["min-max", "z-score"] = "min-max"
    """Of each window: to [-1, 1] by its extremes, or to zero mean and unit spread."""


class Data(Part):
    """Whose recordings teach, and who is held out."""

    recordings: tuple[str, ...] = ()
    """Globs of files in any format that is read, relative to the spec."""
    sets: bool = True
    """Also the open sets of ONWRIST_DATA."""
    person: str | None = None
    """Regular expression on the path; its first group is the person. Left out: a recording is a person."""
    held_out: tuple[str, ...] = ()
    """People who are judged and never trained on, by name."""
    held_out_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the people who are held out by the hash of their name, where none is named."""

    @field_validator("person")
    @classmethod
    def _one_group(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groups
            except re.error as error:
                raise ValueError(f"is no regular expression ({error})") from None
            if groups < 1:
                raise ValueError("has no group: put the person's part in brackets, as (p\\d+)_")
        return value

    @model_validator(mode="after")
    def _somebody(self) -> Data:
        if not self.recordings and not self.sets:
            raise ValueError("nobody to learn from: give recordings, or sets = true")
        return self


class SensorPart(Part):
    """The watch's PPG sensor."""

    rate_hz: Literal[25, 32, 50, 64, 100, 125] = 64
    """Samples a second."""
    bits: Annotated[int, Field(ge=8, le=24)] = 19
    """Of its converter."""
    fifo: Annotated[int, Field(ge=1, le=125)] = 16
    """Samples a burst."""

    @model_validator(mode="after")
    def _a_second(self) -> SensorPart:
        if self.fifo > self.rate_hz:
            raise ValueError(f"fifo of {self.fifo} samples is more than a second at {self.rate_hz} Hz")
        return self


class StudentPart(Part):
    """What goes onto the watch."""

    size: Literal["watch", "band"] = "watch"
    """Which of the two shapes."""
    train: bool | None = None
    """Distil and quantise; left out: only if the teacher or the data are not the shipped ones."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 4000
    """Of distillation."""
    qat_steps: Annotated[int, Field(ge=0, le=100_000)] = 900
    """Of quantisation-aware training; 0: calibrated only."""
    versions: Annotated[int, Field(ge=1, le=20)] = 3
    """Watch-like versions of each recording."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of weights, versions and batches."""


class Stream(Part):
    """The run that is judged."""

    recording: str = str(SHIPPED / "S34.npz")
    """Played through the simulated watch."""
    hop_s: Annotated[float, Field(ge=0.2, le=10)] = 1.0
    """Seconds between outputs, a multiple of 0.2."""
    gap: Literal["interpolate", "hold", "reset"] = "interpolate"
    """What bridges a gap of up to a second."""

    @field_validator("hop_s")
    @classmethod
    def _on_the_grid(cls, value: float) -> float:
        if abs(value / 0.2 - round(value / 0.2)) > 1e-9:
            raise ValueError(f"{value:g} s is no multiple of 0.2 s: use {max(1, round(value / 0.2)) * 0.2:.1f}")
        return value


class Study(Part):
    """What `onwrist cohort --spec` judges, over everybody and over the worst subgroup."""

    gate: tuple[str, ...] = ()
    """Limits: mae<=5, shown>=0.5; left out: what INT8 may cost."""
    people: str | None = None
    """Table with a column `person` or `recording`; its other columns make subgroups."""
    by: tuple[str, ...] = ()
    """Columns of that table; left out: all that name groups."""


class Spec(Part):
    """A deployment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = "shipped"
    """Of its folder: letters, digits, `_`, `.` and `-`."""
    teacher: Teacher = Teacher()
    data: Data = Data()
    sensor: SensorPart = SensorPart()
    student: StudentPart = StudentPart()
    stream: Stream = Stream()
    study: Study = Study()

    @property
    def trains(self) -> bool:
        """Whether a student has to be made for it."""
        if self.student.train is not None:
            return self.student.train
        return self.teacher != Teacher() or bool(self.data.recordings)

    def resolved(self) -> str:
        """The whole spec as TOML, every value in the open."""
        return tomli_w.dumps({"schema": SCHEMA, **_without_none(self.model_dump(mode="json"))})

    def digest(self) -> str:
        """SHA-256 of the resolved text."""
        return hashlib.sha256(self.resolved().encode()).hexdigest()


def read_spec(path: Path) -> Spec:
    """A spec from its file; relative paths in it are relative to the file.

    Raises:
        ConfigError: not TOML, or not a spec: everything that is wrong with it, at once.
    """
    try:
        values = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=path, cure="Give a .toml file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"is no TOML ({error})", where=path, cure="See docs/spec.md") from None
    values.pop("schema", None)
    try:
        spec = Spec.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_all_of(error), where=path, cure="docs/spec.md has every field") from None
    return _at_home(spec, path.resolve().parent)


def _at_home(spec: Spec, folder: Path) -> Spec:
    globs = tuple(g if "://" in g or Path(g).is_absolute() else str(folder / g) for g in spec.data.recordings)
    source, recording, people = spec.teacher.source, spec.stream.recording, spec.study.people
    if (source and (folder / source.rpartition(":")[0]).is_file()) or (source and (folder / source).exists()):
        source = str(folder / source)
    if (folder / recording).exists():
        recording = str(folder / recording)
    if people and (folder / people).exists():
        people = str(folder / people)
    return spec.model_copy(
        update={
            "data": spec.data.model_copy(update={"recordings": globs}),
            "teacher": spec.teacher.model_copy(update={"source": source}),
            "stream": spec.stream.model_copy(update={"recording": recording}),
            "study": spec.study.model_copy(update={"people": people}),
        }
    )


def _all_of(error: ValidationError) -> str:
    """Every mistake in one line each, with the name that was probably meant."""
    said = []
    for found in error.errors():
        place = ".".join(str(p) for p in found["loc"])
        if found["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(found["loc"][-1]), _fields(found["loc"][:-1]), 1)
            said.append(f"{place}: no such field{f', did you mean {near[0]}?' if near else ''}")
        else:
            said.append(f"{place}: {found['msg'].removeprefix('Value error, ')} (it is {found['input']!r:.60})")
    return "; ".join(said)


def _fields(place: tuple[Any, ...]) -> list[str]:
    model: Any = Spec
    for name in place:
        model = model.model_fields[name].annotation
    return list(model.model_fields)


def _without_none(values: Any) -> Any:
    """TOML has no null: what was left out stays out."""
    if isinstance(values, dict):
        return {k: _without_none(v) for k, v in values.items() if v is not None}
    return values
