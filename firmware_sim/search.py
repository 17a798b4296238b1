"""Which student? Shapes under a budget of flash, RAM and emulated instructions, ranked by short distillations.

python firmware_sim/search.py my.toml --minutes 60
python firmware_sim/search.py --instructions 200000 --flash 48000 --minutes 600 --study postgresql://host/search
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Interval

from onwrist.ranges import Checked, Seed

Bytes = Annotated[int, Interval(ge=1, le=1 << 30)]


@dataclass(frozen=True)
class SearchConfig(Checked):
    """A search for students under a budget."""

    spec: Annotated[Path | None, tyro.conf.Positional] = None
    """A deployment's TOML file; left out: the shipped deployment's task."""
    minutes: Annotated[float, Interval(gt=0, le=100_000)] = 60.0
    """How long this process looks; what another found in the same study counts as well."""
    trials: Annotated[int, Interval(ge=1, le=1_000_000)] | None = None
    """Shapes that this process trains at most."""
    against: Literal["instructions", "flash"] = "instructions"
    """Which cost stands against the error; the others are budgets alone."""
    flash: Bytes | None = None
    """Budget of the TFLite step, bytes (default: the spec's, else that of watch)."""
    ram: Bytes | None = None
    """Budget of the stream's memory, bytes (default: the spec's)."""
    macs: Annotated[int, Interval(ge=1, le=1 << 40)] | None = None
    """Budget of multiply-accumulates of a hop (default: the spec's)."""
    instructions: Annotated[int, Interval(ge=1, le=1 << 40)] | None = None
    """Budget of instructions of a hop on the emulated M4F (default: the spec's)."""
    steps: Annotated[int, Interval(ge=2, le=1_000_000)] = 300
    """Optimiser steps of a trial."""
    batch: Annotated[int, Interval(ge=2, le=65_536)] = 128
    """Windows per step of a trial."""
    seed: Seed = 0
    """Seed of shapes, weights and batches."""
    study: str | None = None
    """SQLite file or database URL; several processes and machines may share it (default: OUT/study.db)."""
    examples: Path | None = None
    """Examples to learn from, as embedded once (default: OUT/examples.npz, made where it is missing)."""
    full: bool = False
    """Then take the whole road with every student of the front, as `onwrist deploy` does."""
    out: Path | None = None
    """Folder of front.html, front.json and a spec for each point (default: runs/search/NAME)."""


def main(config: SearchConfig) -> int:
    """Look for students that are better for what they cost; write the front as a picture, a table and a spec for each."""
    import json
    import time
    from dataclasses import asdict, replace

    from onwrist.command import bar, say
    from onwrist.errors import ConfigError
    from onwrist.firmware_sim.deploy import DeployConfig
    from onwrist.firmware_sim.deploy import main as deploy
    from onwrist.firmware_sim.handoff.road import EXAMPLES, embed, material_of, most_context, questions_of, shape_of
    from onwrist.firmware_sim.parity.memory import BUDGETS
    from onwrist.firmware_sim.shapes.costs import Budget, costs_of
    from onwrist.firmware_sim.shapes.page import page, spec_of, table, verdicts
    from onwrist.firmware_sim.shapes.study import Task, explore, front, open_study, points, refused
    from onwrist.firmware_sim.watch.sensor import SensorConfig
    from onwrist.firmware_sim.watch.watch import WatchConfig
    from onwrist.quantize.distill import DistillConfig
    from onwrist.quantize.teaching.course import Course
    from onwrist.quantize.teaching.distillation import fingerprint
    from onwrist.quantize.teaching.examples import load_examples
    from onwrist.quantize.teaching.trial import short, split
    from onwrist.spec import Spec, read_spec
    from onwrist.writing import write_whole

    spec = read_spec(config.spec) if config.spec else Spec()
    if spec.student.source:
        raise ConfigError(
            "is a network of your own, whose shape a search does not know", where=config.spec, field="student.source",
            cure="Leave it out to search among the ladder's shapes, or onwrist deploy it as it is",
        )  # fmt: skip
    out = config.out or Path("runs/search") / spec.name
    out.mkdir(parents=True, exist_ok=True)
    asked, own, usual = questions_of(spec), spec.student, DistillConfig()
    budget = Budget(
        config.flash or own.flash_bytes or BUDGETS["watch"].flash, config.ram or own.ram_bytes, config.macs or own.macs_per_hop,
        config.instructions or own.instructions_per_hop,
    )  # fmt: skip
    sensor = SensorConfig(spec.sensor.rate_hz, spec.sensor.fifo, spec.sensor.bits)
    watch = WatchConfig(spec.stream.hop_s, sensor, spec.stream.gap)
    kept = config.examples or out / EXAMPLES
    if not kept.exists():
        embed(spec, kept, most_context(shape_of(spec).sees), bar, say)
    examples, _ = load_examples(kept)
    people = {item.path.stem: item.person for item in material_of(spec).items}
    taught, choice = split(examples, people)
    course = Course(config.steps, config.batch, usual.lr, config.seed, usual.weight_decay, usual.bf16)
    task = Task(
        replace(shape_of(spec), name="searched"), round(spec.stream.hop_s * spec.input.rate_hz), examples.x.shape[1], budget, config.against,
        {
            "examples": fingerprint(examples), "course": asdict(course), "budget": asdict(budget), "against": config.against,
            "hop_s": spec.stream.hop_s, "sensor": asdict(sensor), "sampler": "constraints",
        },
    )  # fmt: skip
    study = open_study(config.study or str(out / "study.db"), spec.name, task, config.seed)
    end, trained = time.monotonic() + 60 * config.minutes, 0
    steps = explore(
        study, task, lambda shape, most: costs_of(shape, watch, most),
        lambda shape, give_up: short(shape, taught, choice, asked, course, give_up),
    )  # fmt: skip
    for number, why in steps:
        say(f"shape {number}: {why or 'trained'}")
        trained += not why
        if time.monotonic() > end or (config.trials is not None and trained >= config.trials):
            break
    found = points(study, task)
    best = front(found, task)
    how = (
        f"Each shape learnt for {config.steps} steps of {config.batch} windows from {len(taught):,} and was judged on {len(choice):,} "
        "windows of training people that it did not see; nobody of any report is among them. A short training ranks, it does not judge."
    )
    plain = {
        "schema": "onwrist-search-1", "how": how, "budget": asdict(budget), "against": config.against, "refused": refused(study),
        "verdicts": verdicts(found), "front": [p.number for p in best], "points": [asdict(p) for p in found],
    }  # fmt: skip
    write_whole(out / "front.json", (json.dumps(plain, indent=1, default=str) + "\n").encode())
    write_whole(out / "front.html", page(best, found, refused(study), task, how).encode())
    specs = []
    for point in best:
        specs.append(out / f"{spec.name}-{point.number}.toml")
        write_whole(specs[-1], spec_of(spec, point).resolved().encode())
    print("\n".join([table(best, found), "", *verdicts(found)]))
    say(f"picture: {out / 'front.html'}; a spec for each: onwrist deploy {specs[0] if specs else ''}")
    if not config.full:
        return 0
    return max([deploy(DeployConfig(path)) for path in specs], default=0)


if __name__ == "__main__":
    from onwrist.command import run

    run(main, SearchConfig)
