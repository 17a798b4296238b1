"""The whole road of a spec as stages with what each reads and writes: nothing is done twice whose inputs have not changed.

    embed     recordings, teacher, labels    -> examples.npz, examined.json
    distil    examples                       -> student.safetensors, taught.json
    quantise  student, recordings            -> student.int8.safetensors, quantised.json
    hand over students, recording            -> the bundle, its zip, the report

The first three are there only for a spec that makes a student of its own. What ran is remembered in `stages.json` of the
deployment's folder (doit's own store), by the hash of every file and the values of the spec that a stage depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doit.cmd_base import TaskLoader2
from doit.doit_cmd import DoitMain
from doit.reporter import ZeroReporter
from doit.task import Task
from doit.tools import config_changed

from onwrist.errors import ConfigError, ExportError
from onwrist.signals.front_end.student_input import StudentInput
from onwrist.spec import BUILT_IN_LABELS, Spec

if TYPE_CHECKING:
    from onwrist.models.student.graph import AnyStudent, Framing
    from onwrist.models.student.network import StudentConfig
    from onwrist.quantize.judging.evaluate import Evaluation
    from onwrist.quantize.teaching.questions import Questions

# Name of a student that is none of the two shapes, in the bundle and wherever students are told apart.
OWN_STUDENT = "own"
STAGES_FILE, SPEC_FILE = "stages.json", "spec.toml"
EXAMPLES = "examples.npz"
STUDENT, QUANTISED, JUDGED = "student.safetensors", "student.int8.safetensors", "quantised.json"
# What was noticed about the encoder, and how the student was taught, for its report (`onwrist.firmware_sim.parity.making`).
EXAMINED, TAUGHT = "examined.json", "taught.json"


def most_context(sees: StudentInput) -> int:
    """Samples before a window: its past, where it is isolated, is itself mirrored (`quantize.teaching.distillation.isolate`),
    and there is no more of it."""
    return sees.samples - 1


@dataclass(frozen=True)
class Stage:
    """One stretch of the road.

    Attributes:
        name: for people. reads, writes: files. values: of the spec that it depends on, as plain values.
        run: does it.
    """

    name: str
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    values: dict
    run: Callable[[], None]


def training_stages(
    spec: Spec, folder: Path, progress: Callable[..., Iterable], say: Callable[[str], None] = lambda text: None
) -> list[Stage]:
    """The stages that make a spec's own student; none for a spec of shipped ones."""
    if not spec.trains:
        return []
    asked, material = questions_of(spec), material_of(spec)
    source = spec.teacher.source or ""
    place = Path(source.rpartition(":")[0] if ".py:" in source else source)
    held = sorted(p for p in place.rglob("*") if p.is_file()) if source and place.is_dir() else [place]
    teacher = tuple(p for p in held if source and p.is_file())
    own = (*sorted(item.path for item in material.items if item.path.is_file()), *asked.tables)
    data = {"data": spec.data.model_dump(mode="json"), "answers": [a.model_dump() for a in spec.answers]}
    s = spec.student
    shape: dict[str, Any] = {"size": s.size, "source": s.source, "embedding": s.embedding, "seed": s.seed}
    data["input"] = spec.input.model_dump()
    if s.shape:
        shape["shape"] = s.shape.model_dump()
    if spec.accelerometer:
        # Of the sensor nothing is taught: only whether there is one.
        shape["accelerometer"] = True
    code = tuple(p for p in [Path((s.source or "").rpartition(":")[0])] if p.is_file())
    examples, student, quantised = folder / EXAMPLES, folder / STUDENT, folder / QUANTISED
    return [
        Stage(
            "embed", (*teacher, *own, *code), (examples, folder / EXAMINED),
            {"teacher": spec.teacher.model_dump(), **data, **shape, "versions": s.versions},
            lambda: embed_for(spec, examples, progress, say),
        ),
        Stage(
            "distil", (examples, *code), (student, folder / TAUGHT), {**data, **shape, "steps": s.steps, "device": s.device},
            lambda: _distil(spec, examples, student, progress, say),
        ),
        Stage(
            "quantise", (student, *own, *code), (quantised, folder / JUDGED),
            {**data, "qat_steps": s.qat_steps, "seed": s.seed},
            lambda: _quantise(spec, student, quantised, folder / JUDGED, progress, say),
        ),
    ]  # fmt: skip


def travel(stages: list[Stage], folder: Path, say: Callable[[str], None]) -> None:
    """Run what has to be run, in order; the first error ends it, and what was done by then stays done.

    Raises:
        OnwristError: of the stage that failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failed: list[Exception] = []

    def action(stage: Stage) -> Callable[[], bool]:
        def run() -> bool:
            try:
                stage.run()
            except Exception as error:  # handed on below, with its own type
                failed.append(error)
                return False
            return True

        return run

    class Told(ZeroReporter):
        def execute_task(self, task) -> None:
            say(f"stage {task.name}")

        def skip_uptodate(self, task) -> None:
            say(f"stage {task.name}: nothing has changed")

    class Loader(TaskLoader2):
        def setup(self, opt_values) -> None:
            pass

        def load_doit_config(self) -> dict:
            return {"dep_file": str(folder / STAGES_FILE), "backend": "json", "reporter": Told, "verbosity": 2}

        def load_tasks(self, cmd, pos_args) -> list[Task]:
            return [
                Task(
                    stage.name, [action(stage)], file_dep=[str(p) for p in stage.reads],
                    targets=[str(p) for p in stage.writes], uptodate=[config_changed(stage.values)],
                )
                for stage in stages
            ]  # fmt: skip

    status = DoitMain(Loader()).run(["run"])
    if failed:
        raise failed[0]
    if status:
        raise ConfigError("the stages did not run", where=folder / STAGES_FILE, cure="Delete it and start again")


def material_of(spec: Spec):
    """The spec's recordings with people and roles.

    Raises:
        ConfigError, SplitError: see `onwrist.signals.people.material.find`.
    """
    from onwrist.signals.people.material import Material, find

    data = spec.data
    tables = [a.labels for a in spec.answers if a.labels and Path(a.labels).is_file()]
    people = data.people or (tables[0] if tables and data.person is None else None)
    items = (
        find(data.recordings, data.person, data.held_out, data.held_out_share, Path(people) if people else None)
        if data.recordings
        else []
    )
    return Material(tuple(items), data.sets)


def shape_of(spec: Spec) -> StudentConfig:
    """The layers of a spec's student, and what it answers.

    Raises:
        ConfigError: they see more of the past than a window, or a window is no whole number of its frames.
    """
    from onwrist.models.student.network import LADDER, MOTION_WIDTHS

    s = spec.student
    own = s.shape.model_dump(exclude_none=True) if s.shape else {}
    sees = input_of(spec)
    if spec.accelerometer:
        own["motion"] = MOTION_WIDTHS[s.size]
    shape = replace(LADDER[s.size], embedding=s.embedding, answers=questions_of(spec).answers, sees=sees, **own)
    if shape.context > most_context(sees):
        raise ConfigError(
            f"sees {shape.context} samples before its {sees.window_s:g} s, more than {most_context(sees)}",
            field="student.shape", cure="Use a smaller kernel or smaller dilations",
        )  # fmt: skip
    return shape


def input_of(spec: Spec) -> StudentInput:
    """What the spec's student is fed.

    Raises:
        ConfigError: what cannot be.
    """
    return StudentInput(**spec.input.model_dump())


def questions_of(spec: Spec) -> Questions:
    """What the spec's student is asked; every table of labels is read, so that what is wrong with one is said at once.

    Raises:
        RecordingError: a table of labels. ConfigError: answers that cannot be.
    """
    from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answer, Kind
    from onwrist.quantize.teaching.questions import SHIPPED_QUESTIONS, Question, Questions, read_table

    if not spec.answers:
        return SHIPPED_QUESTIONS
    each, decides = [], None
    for part in spec.answers:
        usual = next((a for a in SHIPPED_ANSWERS if a.name == part.source), None)
        kind: Kind = part.kind or BUILT_IN_LABELS.get(part.source, "yes/no")
        own: dict = {"unit": part.unit, "words": part.words, "at": part.at}
        if part.centre is not None and part.span is not None:
            own |= {"centre": part.centre, "span": part.span}
        if usual:
            own = {"unit": usual.unit, "centre": usual.centre, "span": usual.span, "words": usual.words} | {
                k: v for k, v in own.items() if v
            }
        question = Question(Answer(part.name, kind, **own), part.source, part.weight)
        if question.table is not None:
            read_table(question.table, question.answer, spec.input.window_s)
        each.append(question)
        decides = part.name if part.decides else decides
    return Questions(tuple(each), decides)


def student_of(spec: Spec) -> AnyStudent:
    """The spec's student before it is taught: of the shape that it says, or the user's own.

    Raises:
        CheckpointError: her function fails. ConfigError: a hop that is none of hers. ExportError: what it makes cannot stream or
        be exact, or cannot be taught, which takes light (and acceleration, where the spec has an accelerometer), an embedding,
        answers and a window.
    """
    import torch

    from onwrist.models.student.graph import make_student
    from onwrist.models.student.names import FRAMES_OUTPUT
    from onwrist.models.student.network import AXES, network_of
    from onwrist.signals.front_end.floating import hop_samples

    s, answers, sees = spec.student, questions_of(spec).answers, input_of(spec)
    torch.manual_seed(s.seed)
    if s.source is None:
        return network_of(shape_of(spec))
    student = make_student(s.source, s.embedding, answers, name=OWN_STUDENT, sees=sees)
    inputs = ", ".join(f"{i.name} of {i.channels} channels" for i in student.inputs)
    names = [o.name for o in student.outputs]
    seconds = student.window / sees.rate_hz
    wanted = [1, AXES] if spec.accelerometer else [1]
    wrong = (
        (
            [i.channels for i in student.inputs] != wanted, f"takes {inputs}",
            "With [accelerometer] a student takes two arguments, (B, samples) of PPG and (B, 3, samples) of acceleration"
            if spec.accelerometer
            else "Without [accelerometer] a student takes one argument, (B, samples) of PPG",
        ),
        (
            names not in (["embedding", "answers"], ["embedding", "answers", FRAMES_OUTPUT]), f"returns {', '.join(names)}",
            'Return {"embedding": ..., "answers": ...}',
        ),
        (
            student.window < sees.samples, f"sees {seconds:g} s of the {sees.window_s:g} s that its teacher sees",
            f"Pool over more frames: nn.AvgPool1d over {sees.window_s:g} s of them",
        ),
        (
            student.context > most_context(sees), f"sees {seconds:g} s, more than twice the {sees.window_s:g} s of its window",
            "Pool over fewer frames, or give a longer window: window_s in [input]",
        ),
    )  # fmt: skip
    for is_wrong, what, cure in wrong:
        if is_wrong:
            raise ExportError(what, where=s.source, field="student.source", cure=cure)
    hop = hop_samples(spec.stream.hop_s, student.stride, sees.rate_hz)
    student.timing.check_hop(hop)
    fewest = round(hop / sees.rate_hz / student.framing.seconds) if student.framing.count else 0
    if student.framing.count < fewest:
        raise ExportError(
            f"says {student.framing.count} frames of a window, and a hop has {fewest}", where=s.source, field="student.source",
            cure="Let what answers look back less far, or hop less",
        )  # fmt: skip
    return student


def embed_for(spec: Spec, out: Path, progress, say) -> None:
    """`embed` for the spec's own student."""
    from onwrist.models.student.graph import graph_of

    student = graph_of(student_of(spec))
    embed(spec, out, student.context, progress, say, student.framing)


def embed(spec: Spec, out: Path, context: int, progress, say, framing: Framing | None = None) -> None:
    """Write a spec's examples, windows with so many samples before them, and what was noticed about its teacher beside them."""
    import json

    import numpy as np

    from onwrist.models.encoders.devices import device_of
    from onwrist.models.encoders.teacher import examine, load_teacher
    from onwrist.models.student.graph import NO_FRAMES
    from onwrist.quantize.teaching.examples import build, save_examples
    from onwrist.signals.people.cohort import cut, shipped_tracks
    from onwrist.writing import write_whole

    s, scaled = spec.student, spec.teacher.scaling != "none"
    sees = input_of(spec)
    teacher = load_teacher(spec.teacher.source, spec.teacher.rate_hz, spec.teacher.scaling, sees.window_s)
    # Looked at before an hour is spent on it, on people of several kinds.
    windows = cut(shipped_tracks(sees=sees)).teacher_windows(scaled=scaled)
    seen = windows[:: max(1, len(windows) // 64)]
    warnings = examine(teacher, np.ascontiguousarray(seen), spec.teacher.source or "the shipped teacher")
    for warning in warnings:
        say(f"teacher: {warning}")
    examples, standard = build(
        teacher, context, versions=s.versions, seed=s.seed, material=material_of(spec),
        questions=questions_of(spec), width=s.embedding, scaled=scaled, device=device_of(s.device), sees=sees,
        framing=framing or NO_FRAMES, accelerometer=spec.accelerometer is not None, progress=progress,
    )  # fmt: skip
    save_examples(out, examples, standard)
    write_whole(out.with_name(EXAMINED), json.dumps({"warnings": warnings}).encode())


def _distil(spec: Spec, kept: Path, out: Path, progress, say) -> None:
    import json

    from onwrist.firmware_sim.parity.making import taught
    from onwrist.models.encoders.checkpoint import teacher_file
    from onwrist.models.encoders.devices import device_of
    from onwrist.models.encoders.teacher import load_teacher
    from onwrist.quantize.distill import DistillConfig
    from onwrist.quantize.judging.nearness import nearness
    from onwrist.quantize.judging.useful import words_of
    from onwrist.quantize.teaching.course import Course, distil, read_curve
    from onwrist.quantize.teaching.examples import load_examples
    from onwrist.quantize.teaching.student_files import save_student
    from onwrist.writing import write_whole

    s, asked, usual, material = spec.student, questions_of(spec), DistillConfig(), material_of(spec)
    student = student_of(spec)
    examples, standard = load_examples(kept)
    course = Course(s.steps, usual.batch, usual.lr, s.seed, usual.weight_decay, usual.bf16)
    distil(student, examples, course, questions=asked, out=out, device=device_of(s.device), progress=progress, say=say)
    warnings = json.loads(kept.with_name(EXAMINED).read_bytes())["warnings"]
    recipe = {
        "spec": spec.digest(),
        "teacher": spec.teacher.source,
        "windows": len(examples),
        "teacher_warnings": warnings,
    }
    save_student(out, student, standard, {"recipe": recipe}, teacher=teacher_file(spec.teacher.source))
    teacher = load_teacher(spec.teacher.source, spec.teacher.rate_hz, spec.teacher.scaling, student.sees.window_s)
    near = nearness(student, standard, teacher, material, scaled=spec.teacher.scaling != "none", progress=progress)
    said = taught(spec.teacher.source, warnings, material, len(examples), read_curve(out), near)
    write_whole(out.with_name(TAUGHT), json.dumps(said, indent=1).encode())
    say(words_of(student, held_out(spec, student, progress)))


def held_out(spec: Spec, student: AnyStudent, progress) -> Evaluation:
    """The people by whom a spec's student is judged: its own where it names recordings, else the usual ones."""
    from onwrist.models.student.graph import graph_of
    from onwrist.quantize.judging.evaluate import evaluation, evaluation_of_material

    material, asked, graph = material_of(spec), questions_of(spec), graph_of(student)
    if material.items:
        return evaluation_of_material(material, graph.context, progress, asked, graph.sees, graph.framing)
    return evaluation(graph.context, None, progress, asked, graph.sees, graph.framing)


def _quantise(spec: Spec, student: Path, out: Path, judged: Path, progress, say) -> None:
    import json

    from onwrist.models.student.graph import graph_of
    from onwrist.quantize.integers.training import save_quantised
    from onwrist.quantize.judging.evaluate import ptq_and_qat
    from onwrist.quantize.qat import QATConfig
    from onwrist.quantize.teaching.course import Course, quantised
    from onwrist.quantize.teaching.examples import build
    from onwrist.quantize.teaching.student_files import load_student
    from onwrist.writing import write_whole

    parent, _ = load_student(student)
    s, usual, graph = spec.student, QATConfig(), graph_of(parent)
    examples, _ = build(
        None, graph.context, versions=1, seed=s.seed + 1, material=material_of(spec), questions=questions_of(spec),
        width=s.embedding, sees=graph.sees, framing=graph.framing, accelerometer=spec.accelerometer is not None, progress=progress,
    )  # fmt: skip
    course = Course(s.qat_steps, usual.batch, usual.lr, s.seed)
    people = held_out(spec, parent, progress)
    made, found = quantised(parent, examples, course, people, out=out, progress=progress, say=say)
    recipe = {"steps": s.qat_steps, "seed": s.seed, "spec": spec.digest()}
    save_quantised(out, made, {"recipe": recipe}, parent=student)
    write_whole(judged, json.dumps(found, indent=1).encode())
    say(ptq_and_qat(found, parent.answers))
