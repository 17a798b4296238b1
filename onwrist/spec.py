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
from typing import Annotated, Any, Literal, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from onwrist.errors import ConfigError
from onwrist.resources import SHIPPED

SCHEMA = "onwrist-spec-1"
# Labels that R-peaks and intervals give without a table, and of which kind they are.
BUILT_IN_LABELS: dict[str, Literal["value", "yes/no", "classes"]] = {
    "heart_rate": "value",
    "quality": "yes/no",
    "irregular": "yes/no",
    "rmssd": "value",
    "sdnn": "value",
}
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
    scaling: Literal["min-max", "z-score", "none"] = "min-max"
    """Of each window: to [-1, 1] by its extremes, to zero mean and unit spread, or left in the recording's units."""


class Data(Part):
    """Whose recordings teach, and who is held out."""

    recordings: tuple[str, ...] = ()
    """Globs of files in any format that is read, relative to the spec."""
    sets: bool = True
    """Also the open sets of ONWRIST_DATA."""
    person: str | None = None
    """Regular expression on the path; its first group is the person. Left out, and no table: a recording is a person."""
    people: str | None = None
    """In place of the expression: a table of recording and person; the first answer's table where that has one."""
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
        if self.person and self.people:
            raise ValueError("person and people: give one of them")
        return self


class AnswerPart(Part):
    """Something that the student says beside its embedding."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    """Small letters, digits and _, as heart_rate."""
    kind: Literal["value", "yes/no", "classes"] | None = None
    """Left out: a yes/no, or what the built-in labels are."""
    labels: str | None = None
    """A built-in (heart_rate, quality, irregular, rmssd, sdnn), `recording:NAME` for a 1 Hz label of the files, or a table of
    person, recording, start, label; left out: the built-in of its name."""
    unit: Annotated[str, Field(max_length=16)] = ""
    """Of a value."""
    centre: float | None = None
    """Of a value: from centre - 2 span to centre + 2 span can be said."""
    span: Annotated[float, Field(gt=0)] | None = None
    """Of a value, in its unit."""
    words: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")], ...] = ()
    """What a yes is called; or the classes, in order."""
    weight: Annotated[float, Field(ge=0, le=100)] | None = None
    """In the loss; left out: 6 for a value, 0.3 for the others."""
    gate: Annotated[float, Field(gt=0)] | None = None
    """What INT8 may cost: AUROC or macro-F1 (0.005 is half a point), or mean error in the unit of a value."""
    decides: bool = False
    """Whether a yes of it is needed for an output to be shown."""
    at: Literal["hop", "frames"] = "hop"
    """Said once a hop; or of every frame of a network of one's own."""

    @property
    def source(self) -> str:
        """Where its labels come from."""
        return self.labels or self.name

    @model_validator(mode="after")
    def _makes_sense(self) -> AnswerPart:
        built_in = self.source in BUILT_IN_LABELS
        kind = self.kind or BUILT_IN_LABELS.get(self.source, "yes/no")
        if built_in and kind != BUILT_IN_LABELS[self.source]:
            raise ValueError(f"labels of {self.source} are a {BUILT_IN_LABELS[self.source]}, not a {kind}")
        if self.labels is None and not built_in:
            raise ValueError(f"labels: give a table, recording:NAME, or one of {', '.join(BUILT_IN_LABELS)}")
        if kind == "value" and self.source != "heart_rate" and (self.centre is None or self.span is None):
            raise ValueError("a value needs centre and span: centre +- 2 span is what can be said")
        if kind != "value" and (self.centre is not None or self.span is not None or self.unit):
            raise ValueError(f"a {kind} has no unit, centre or span")
        if kind == "classes" and (len(self.words) < 2 or len(set(self.words)) < len(self.words)):
            raise ValueError("classes need words, two or more, each once")
        if kind != "classes" and len(self.words) > 1:
            raise ValueError('has more than one word: use kind = "classes"')
        if self.decides and kind != "yes/no":
            raise ValueError("only a yes/no can decide what is shown")
        if self.at == "frames" and built_in:
            raise ValueError(f"{self.source} is said of windows: labels of frames are a table, or recording:NAME")
        if self.at == "frames" and self.decides:
            raise ValueError("what is said of frames decides nothing: let a yes/no of a hop decide")
        return self


class InputPart(Part):
    """What the student is fed (`onwrist.signals.front_end.student_input`)."""

    rate_hz: Annotated[int, Field(ge=20, le=100)] = 25
    """Samples a second behind the front end; at most the sensor's."""
    window_s: Annotated[float, Field(ge=4, le=60)] = 10.0
    """Seconds that teacher and student see, that labels speak of, and that are judged."""
    low_hz: Annotated[float, Field(ge=0.2, le=4)] = 0.5
    """Lower edge of the band."""
    high_hz: Annotated[float, Field(ge=2, le=40)] = 8.0
    """Upper edge; at most 0.4 of the rate."""
    floor: Annotated[float, Field(ge=0.01, le=1e6)] = 0.5
    """Least mean magnitude, in counts of the sensor: what is quieter is its own noise."""
    clip: Annotated[float, Field(ge=1, le=64)] = 4.0
    """Mean magnitudes that int8 reaches to; a power of two."""


class SensorPart(Part):
    """The watch's PPG sensor."""

    rate_hz: Annotated[int, Field(ge=25, le=1000)] = 64
    """25 to 1,000, at least the student's."""
    bits: Annotated[int, Field(ge=8, le=24)] = 19
    """8 to 24: of a wider converter firmware hands in the upper 24."""
    fifo: Annotated[int, Field(ge=1, le=125)] = 16
    """Samples a burst."""
    replay: Literal["scaled", "counts"] = "scaled"
    """A recording at mid-range with a pulse of 2 % of it, whatever it holds; or the counts that it holds, as they are."""
    when_blood_comes: Literal["rise", "fall"] = "rise"
    """Which way the counts of the recording that is played go then."""

    @model_validator(mode="after")
    def _a_second(self) -> SensorPart:
        if self.fifo > self.rate_hz:
            raise ValueError(f"fifo of {self.fifo} samples is more than a second at {self.rate_hz} Hz")
        return self


class AccelerometerPart(Part):
    """The watch's accelerometer, three axes; a spec with this table makes a student that takes them beside the light."""

    rate_hz: Annotated[int, Field(ge=20, le=1000)] = 50
    """20 to 1,000."""
    bits: Annotated[int, Field(ge=8, le=16)] = 16
    """Of a signed count."""
    counts_per_g: Annotated[float, Field(ge=1, le=65_536)] = 4096.0
    """Counts of one g: 4,096 is +-8 g in 16 bits."""


Channels = Annotated[int, Field(ge=1, le=512)]
Taps = Annotated[int, Field(ge=1, le=64)]


class Shape(Part):
    """A student's layers where they are not those of its size; what is left out is its size's."""

    stem: Channels | None = None
    """Channels at the student's rate."""
    stem_kernel: Taps | None = None
    """Samples that the first layer sees."""
    frames: Channels | None = None
    """Channels of the strided layer."""
    frame_kernel: Taps | None = None
    """Samples that it sees."""
    stride: Annotated[int, Field(ge=1, le=25)] | None = None
    """Samples a frame; a hop is a whole number of frames, and so is a window."""
    widths: Annotated[tuple[Channels, ...], Field(min_length=1, max_length=8)] | None = None
    """Channels of each block."""
    kernel: Taps | None = None
    """Frames that each block sees."""
    dilations: Annotated[tuple[Annotated[int, Field(ge=1, le=32)], ...], Field(min_length=1, max_length=8)] | None = (
        None
    )
    """Spacing of those frames, one for each block."""
    head: Annotated[tuple[Channels, ...], Field(max_length=4)] | None = None
    """Widths of the hidden layers before the answers; none: a linear read-out."""

    @model_validator(mode="after")
    def _one_each(self) -> Shape:
        if self.widths is not None and self.dilations is not None and len(self.widths) != len(self.dilations):
            raise ValueError("widths and dilations: give one of each per block")
        return self


class StudentPart(Part):
    """What goes onto the watch."""

    size: Literal["watch", "band"] = "watch"
    """Which of the two shapes, and whose budget is its own."""
    shape: Shape | None = None
    """Layers of one's own choice, or of `onwrist search`."""
    source: Annotated[str, Field(pattern=r"^.+\.py:[A-Za-z_]\w*$")] | None = None
    """A network of one's own in place of the two: `file.py:function`, called with `embedding` and `answers`, the widths."""
    embedding: Annotated[int, Field(ge=8, le=256)] = 256
    """Width of its embedding."""
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
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu"
    """Where it is taught."""
    flash_bytes: Annotated[int, Field(gt=0)] | None = None
    """Budgets, each a gate: of the TFLite step; left out: those of its size."""
    ram_bytes: Annotated[int, Field(gt=0)] | None = None
    """Of the stream: activations, state, sensor ring, front end."""
    macs_per_hop: Annotated[int, Field(gt=0)] | None = None
    """Multiply-accumulates of a hop."""
    instructions_per_hop: Annotated[int, Field(gt=0)] | None = None
    """Of the exported C on an emulated Cortex-M4F, front end included."""

    @model_validator(mode="after")
    def _own_is_taught(self) -> StudentPart:
        if self.source and self.train is False:
            raise ValueError("a network of one's own has no shipped weights: leave train out")
        if self.source and self.shape:
            raise ValueError("shape and source: give one of them")
        return self


class Gates(Part):
    """Every threshold of the gates."""

    cosine_median: Annotated[float, Field(gt=0, le=1)] = 0.999
    """INT8 to float on labelled people: 0.999 is 2.6 degrees, another embedding to a linear probe."""
    usual_error: Annotated[float, Field(gt=0)] = 0.0447
    """INT8 to float over what is shown, of the embedding's usual size: how far the median output turns (0.0447 is a cosine of
    0.999)."""
    worst_error: Annotated[float, Field(gt=0)] = 0.1414
    """And the farthest one. A length: a worst cosine is decided by an output next to the origin, where it is rounding."""
    auroc_points: Annotated[float, Field(gt=0, lt=1)] = 0.005
    """What INT8 may cost a yes/no: the paired interval over people has to lie inside."""
    f1_points: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """And classes, of macro-F1."""
    value_share: Annotated[float, Field(gt=0)] = 0.002
    """And a value, of its span: 0.1 BPM of a heart rate."""
    front_end_db: Annotated[float, Field(gt=0)] = 0.1
    """What the fixed-point front end may cost beside int8 itself."""
    front_end_steps: Annotated[int, Field(ge=0)] = 1
    """And by how much it may turn a rounding."""
    right_bpm: Annotated[float, Field(gt=0)] = 5.0
    """Mean error of the heart rate that is shown, as meters are held to (ANSI/AAMI EC13); more is a warning."""
    wrong_bpm: Annotated[float, Field(gt=0)] = 10.0
    """And what is wrong by any account: a failure."""
    shown_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Of the outputs: below it a watch hardly ever answers."""


class Stream(Part):
    """The run that is judged."""

    recording: str = str(SHIPPED / "S34.npz")
    """Played through the simulated watch."""
    hop_s: Annotated[float, Field(ge=0.2, le=60)] = 1.0
    """Seconds between outputs, at most a window; a whole number of the student's frames (of 0.2 s, as shipped)."""
    gap: Literal["interpolate", "hold", "reset"] = "interpolate"
    """What bridges a gap of up to a second."""


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
    input: InputPart = InputPart()
    accelerometer: AccelerometerPart | None = None
    """Left out: the watch has none."""
    answers: tuple[AnswerPart, ...] = ()
    """What the student says; left out: heart rate, quality and irregular, as shipped."""
    student: StudentPart = StudentPart()
    stream: Stream = Stream()
    study: Study = Study()
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _one_of_each(self) -> Spec:
        names = [a.name for a in self.answers]
        if len(set(names)) < len(names):
            raise ValueError(f"answers: {max(names, key=names.count)} is there twice")
        if sum(a.decides for a in self.answers) > 1:
            raise ValueError("answers: one alone can decide what is shown")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Spec:
        given, hop_s, shape = self.input, self.stream.hop_s, self.student.shape
        if given.rate_hz > self.sensor.rate_hz:
            raise ValueError(f"input.rate_hz: {given.rate_hz} Hz from a sensor of {self.sensor.rate_hz} Hz")
        if hop_s > given.window_s:
            raise ValueError(f"stream.hop_s: {hop_s:g} s is more than a window of {given.window_s:g} s")
        if self.student.source is None:
            framed = next((a.name for a in self.answers if a.at == "frames"), "")
            if framed:
                raise ValueError(f"answers.{framed}.at: the shipped shapes answer once a hop; give student.source")
            # A network of one's own has frames of its own.
            stride = (shape and shape.stride) or 5
            frame, samples = stride / given.rate_hz, given.window_s * given.rate_hz
            if abs(samples / stride - round(samples / stride)) > 1e-9:
                raise ValueError(
                    f"student.shape.stride: {given.window_s:g} s are {samples:g} samples, no whole number of {stride}"
                )
            if abs(hop_s / frame - round(hop_s / frame)) > 1e-9:
                near = max(1, round(hop_s / frame)) * frame
                raise ValueError(f"stream.hop_s: {hop_s:g} s is no multiple of {frame:g} s: use {near:.4g}")
        return self

    @model_validator(mode="after")
    def _moves(self) -> Spec:
        if self.accelerometer is None:
            return self
        if self.input != InputPart():
            raise ValueError("accelerometer: it is taught and played at the usual input alone; leave out input")
        framed = next((a.name for a in self.answers if a.at == "frames"), "")
        if framed:
            raise ValueError(f"answers.{framed}.at: with an accelerometer every answer is said once a hop")
        return self

    @property
    def trains(self) -> bool:
        """Whether a student has to be made for it."""
        if self.student.train is not None:
            return self.student.train
        own = self.teacher != Teacher() or bool(self.data.recordings) or bool(self.answers)
        shaped = self.student.source is not None or self.student.shape is not None
        other = shaped or self.input != InputPart() or self.accelerometer is not None
        return own or other or self.student.embedding != StudentPart().embedding

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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
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
    student = spec.student.source
    if student and _is_there(folder / student.rpartition(":")[0], file=True):
        student = str(folder / student)
    if source and (_is_there(folder / source.rpartition(":")[0], file=True) or _is_there(folder / source)):
        source = str(folder / source)
    if _is_there(folder / recording):
        recording = str(folder / recording)
    if people and _is_there(folder / people):
        people = str(folder / people)
    persons = spec.data.people and str(folder / spec.data.people)
    answers = tuple(
        a.model_copy(update={"labels": str(folder / a.labels)})
        if a.labels and _is_there(folder / a.labels, file=True)
        else a
        for a in spec.answers
    )
    return spec.model_copy(
        update={
            "answers": answers,
            "data": spec.data.model_copy(update={"recordings": globs, "people": persons}),
            "teacher": spec.teacher.model_copy(update={"source": source}),
            "student": spec.student.model_copy(update={"source": student}),
            "stream": spec.stream.model_copy(update={"recording": recording}),
            "study": spec.study.model_copy(update={"people": people}),
        }
    )


def _is_there(path: Path, *, file: bool = False) -> bool:
    """Whether a path (or a file) is there; one that no file system takes, too long a name, is not."""
    try:
        return path.is_file() if file else path.exists()
    except OSError:
        return False


def _all_of(error: ValidationError) -> str:
    """Every mistake in one line each, with the name that was probably meant."""
    said = []
    for found in error.errors():
        place = ".".join(str(p) for p in found["loc"])
        if found["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(found["loc"][-1]), _fields(found["loc"][:-1]), 1)
            said.append(f"{place}: no such field{f', did you mean {near[0]}?' if near else ''}")
        else:
            text = found["msg"].removeprefix("Value error, ")
            # What several tables together make wrong names its place itself.
            said.append(f"{place}: {text} (it is {found['input']!r:.60})" if place else text)
    return "; ".join(said)


def _fields(place: tuple[Any, ...]) -> list[str]:
    model: Any = Spec
    for name in place:
        if isinstance(name, str):
            model = model.model_fields[name].annotation
            model = get_args(model)[0] if get_args(model) else model
    return list(model.model_fields)


def _without_none(values: Any) -> Any:
    """TOML has no null: what was left out stays out."""
    if isinstance(values, dict):
        return {k: _without_none(v) for k, v in values.items() if v is not None}
    return [_without_none(v) for v in values] if isinstance(values, list) else values
