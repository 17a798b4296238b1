"""The whole road of a spec as stages with what each reads and writes: nothing is done twice whose inputs have not changed.

    distil    recordings, teacher            -> student.safetensors, taught.json
    quantise  student, recordings            -> student.int8.safetensors, quantised.json
    hand over students, recording            -> the bundle, its zip, the report

The first two are there only for a spec that makes a student of its own. What ran is remembered in `stages.json` of the
deployment's folder (doit's own store), by the hash of every file and the values of the spec that a stage depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from doit.cmd_base import TaskLoader2
from doit.doit_cmd import DoitMain
from doit.reporter import ZeroReporter
from doit.task import Task
from doit.tools import config_changed

from onwrist.errors import ConfigError
from onwrist.spec import Spec

STAGES_FILE, SPEC_FILE = "stages.json", "spec.toml"
STUDENT, QUANTISED, JUDGED = "student.safetensors", "student.int8.safetensors", "quantised.json"
# How the student was taught, for its report (`onwrist.firmware_sim.parity.making`).
TAUGHT = "taught.json"


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


def training_stages(spec: Spec, folder: Path, progress: Callable[..., Iterable]) -> list[Stage]:
    """The stages that make a spec's own student; none for a spec of shipped ones."""
    if not spec.trains:
        return []
    source = spec.teacher.source or ""
    place = Path(source.rpartition(":")[0] if ".py:" in source else source)
    held = sorted(p for p in place.rglob("*") if p.is_file()) if source and place.is_dir() else [place]
    teacher = tuple(p for p in held if source and p.is_file())
    own = tuple(sorted(item.path for item in material_of(spec).items if item.path.is_file()))
    values = {"teacher": spec.teacher.model_dump(), "data": spec.data.model_dump(mode="json")}
    student, quantised = folder / STUDENT, folder / QUANTISED
    return [
        Stage(
            "distil", (*teacher, *own), (student, folder / TAUGHT),
            {**values, "student": spec.student.model_dump(exclude={"qat_steps"})},
            lambda: _distil(spec, student, progress),
        ),
        Stage(
            "quantise", (student, *own), (quantised, folder / JUDGED),
            {**values, "qat_steps": spec.student.qat_steps, "seed": spec.student.seed},
            lambda: _quantise(spec, student, quantised, folder / JUDGED, progress),
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
    items = find(data.recordings, data.person, data.held_out, data.held_out_share) if data.recordings else []
    return Material(tuple(items), data.sets)


def _distil(spec: Spec, out: Path, progress) -> None:
    import json

    import numpy as np
    import torch

    from onwrist.firmware_sim.parity.making import taught
    from onwrist.models.encoders.teacher import examine, load_teacher
    from onwrist.models.student.network import LADDER, Student
    from onwrist.quantize.distill import DistillConfig
    from onwrist.quantize.judging.nearness import nearness
    from onwrist.quantize.teaching.distillation import train
    from onwrist.quantize.teaching.examples import build
    from onwrist.quantize.teaching.student_files import save_student
    from onwrist.signals.people.cohort import cut, shipped_tracks
    from onwrist.writing import write_whole

    torch.manual_seed(spec.student.seed)
    teacher = load_teacher(spec.teacher.source, spec.teacher.rate_hz, spec.teacher.scaling)
    # Looked at before an hour is spent on it, on people of several kinds.
    windows = cut(shipped_tracks()).teacher_windows()
    seen = windows[:: max(1, len(windows) // 64)]
    warnings = examine(teacher, np.ascontiguousarray(seen), spec.teacher.source or "the shipped teacher")
    shape = LADDER[spec.student.size]
    material = material_of(spec)
    examples, standard = build(
        teacher, shape.context, versions=spec.student.versions, seed=spec.student.seed, material=material,
        progress=progress,
    )  # fmt: skip
    student, s = Student(shape), spec.student
    usual = DistillConfig()
    training = train(
        student, examples, steps=s.steps, batch=usual.batch, lr=usual.lr, weight_decay=usual.weight_decay, seed=s.seed,
        bf16=usual.bf16,
    )  # fmt: skip
    losses = list(progress(training, f"distil {s.size}", total=s.steps))
    near = nearness(student, standard, teacher, material, progress=progress)
    recipe = {
        "spec": spec.digest(),
        "teacher": spec.teacher.source,
        "windows": len(examples),
        "teacher_warnings": warnings,
    }
    save_student(out, student, standard, {"recipe": recipe})
    said = taught(spec.teacher.source, warnings, material, len(examples), losses, near)
    write_whole(out.with_name(TAUGHT), json.dumps(said, indent=1).encode())


def _quantise(spec: Spec, student: Path, out: Path, judged: Path, progress) -> None:
    import json

    from onwrist.quantize.integers.arithmetic import read_integers
    from onwrist.quantize.integers.fake_quant import quantise
    from onwrist.quantize.integers.training import calibration_batches, save_quantised, train_quantised
    from onwrist.quantize.judging.evaluate import compare, evaluation, evaluation_of_material, run_integers, run_torch
    from onwrist.quantize.qat import QATConfig
    from onwrist.quantize.teaching.examples import build
    from onwrist.quantize.teaching.student_files import load_student
    from onwrist.writing import write_whole

    parent, _ = load_student(student)
    material, s, context = material_of(spec), spec.student, parent.config.context
    examples, _ = build(None, context, versions=1, seed=s.seed + 1, material=material, progress=progress)
    quantised = quantise(parent, calibration_batches(examples.x, s.seed))
    if s.qat_steps:
        usual = QATConfig()
        losses = train_quantised(
            quantised, parent, examples.x, steps=s.qat_steps, batch=usual.batch, lr=usual.lr, seed=s.seed
        )
        for _ in progress(losses, f"QAT {s.size}", total=s.qat_steps):
            pass
    own = evaluation_of_material(material, context, progress) if material.items else evaluation(context, None, progress)
    found = compare(run_torch(parent, own.x), run_integers(read_integers(quantised), own.x), own)
    save_quantised(out, quantised, {"steps": s.qat_steps, "seed": s.seed, "spec": spec.digest()})
    write_whole(judged, json.dumps(found, indent=1).encode())
