"""The command line: one command with many verbs, the same as one script a verb.

    onwrist deploy                     # and so for every verb; `onwrist --help` lists them
    python firmware_sim/deploy.py      # the same, from a checkout

A verb is a module with a frozen config dataclass, whose fields become its options, and `main(config)`. Verbs import what
they need when they run, so that `--help` and a wrong argument answer at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from onwrist.errors import OnwristError
from onwrist.interrupts import held_during_imports

Config = TypeVar("Config")
# Exit statuses: what a gate found, what a user can mend, what a signal ended (128 + its number, as shells have it).
GATE_FAILED, USER_ERROR, FAULT, INTERRUPTED, BROKEN_PIPE = 1, 2, 70, 130, 141

# Verb -> (module under onwrist, config class, what it does), in the order of the road.
VERBS = {
    "deploy": (
        "firmware_sim.deploy",
        "DeployConfig",
        "the whole road: export, stream, firmware, gates, bundle, report",
    ),
    "stream": (
        "firmware_sim.stream",
        "StreamConfig",
        "one recording through the simulated watch, with parity and a report",
    ),
    "verify": ("firmware_sim.verify", "VerifyConfig", "check a handoff bundle"),
    "tflite": ("export.to_tflite", "TFLiteConfig", "export to full-integer TFLite"),
    "onnx": ("export.to_onnx", "ONNXConfig", "export to quantised ONNX"),
    "c": ("export.to_c", "CConfig", "export to plain C"),
    "bundle": ("firmware_sim.bundle", "BundleConfig", "write a handoff bundle"),
    "doctor": ("doctor", "DoctorConfig", "what is installed, what is missing, and what that costs"),
    "pretrain": ("models.pretrain", "PretrainConfig", "pretrain an encoder"),
    "distill": ("quantize.distill", "DistillConfig", "distil an encoder into a streaming student"),
    "qat": ("quantize.qat", "QATConfig", "quantise a student: PTQ, then QAT"),
    "sensitivity": (
        "firmware_sim.sensitivity",
        "SensitivityConfig",
        "where INT8 hurts: one tensor at a time, all but one",
    ),
    "search": ("firmware_sim.search", "SearchConfig", "students under a budget, error against instructions or flash"),
    "probe": ("models.probe", "ProbeConfig", "what the frozen teacher knows"),
    "skill": ("quantize.skill", "SkillConfig", "how much of the teacher's skill a student keeps"),
    "adds": ("quantize.adds", "AddsConfig", "what the embedding adds to pulse intervals, on rhythms"),
    "answers": ("quantize.answers", "AnswersConfig", "what students say, against what is true: rates, rhythms, wrists"),
    "teachers": ("quantize.teachers", "TeachersConfig", "which teacher leaves the best student"),
    "benchmark": ("models.benchmark", "BenchmarkConfig", "many encoders on the same people"),
    "efficiency": ("models.efficiency", "EfficiencyConfig", "how many labelled people an encoder needs"),
    "published": ("models.published", "PublishedConfig", "the published table beside ours"),
    "curves": ("models.curves", "CurvesConfig", "what pretraining runs cost"),
    "cohort": ("firmware_sim.cohort", "CohortConfig", "a whole study through the simulated watch, on many machines"),
    "drift": ("firmware_sim.drift", "DriftConfig", "do watches in the field still see what the model was made for?"),
    "drift-trial": (
        "firmware_sim.drift_trial",
        "DriftTrialConfig",
        "how often drift is found, and where there is none",
    ),
    "cohort-gates": ("firmware_sim.cohort_gates", "CohortGatesConfig", "INT8 against float on the labelled cohort"),
    "survey": ("firmware_sim.survey", "SurveyConfig", "many recordings: a verdict each, baselines paired by person"),
    "motion": ("firmware_sim.motion", "MotionConfig", "heart rate in motion, with and without acceleration"),
    "beats": ("firmware_sim.beats", "BeatsConfig", "the watch's beats against the ECG's, beside other detectors"),
    "sweep": ("firmware_sim.sweep", "SweepConfig", "accuracy against the strength of each fault"),
    "demo": ("firmware_sim.demo", "DemoConfig", "the watch in a page, playing recordings in a browser"),
    "parts": ("firmware_sim.parts", "PartsConfig", "what a hop costs on each microcontroller"),
    "bench": ("firmware_sim.bench", "BenchConfig", "timings on this host"),
    "bench-cohort": ("firmware_sim.bench_cohort", "BenchCohortConfig", "how fast a study is played, by workers"),
    "versus": ("firmware_sim.versus", "VersusConfig", "the C beside another generator's"),
}


def main() -> None:
    """`onwrist VERB [options]`."""
    with held_during_imports():
        _main(sys.argv[1:])


def _main(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(_verbs())
        raise SystemExit(0 if words else USER_ERROR)
    if words[0] == "--version":
        from onwrist import __version__

        print(__version__)
        raise SystemExit(0)
    verb, options = words[0], words[1:]
    if verb not in VERBS:
        import difflib

        near = difflib.get_close_matches(verb, VERBS, 1)
        hint = f": did you mean {near[0]}?" if near else "; `onwrist --help` lists them"
        say(f"error: no verb {verb!r}{hint}")
        raise SystemExit(USER_ERROR)
    place, config, _ = VERBS[verb]
    try:
        module = importlib.import_module(f"onwrist.{place}")
    except KeyboardInterrupt:
        say("stopped")
        raise SystemExit(INTERRUPTED) from None
    run(module.main, getattr(module, config), options, f"onwrist {verb}")


def _verbs() -> str:
    width = max(map(len, VERBS)) + 2
    lines = [f"  {verb:{width}}{what}" for verb, (_, _, what) in VERBS.items()]
    return "\n".join(
        ["usage: onwrist VERB [options]   (onwrist VERB --help lists a verb's options)", "", *lines, "", "  --version"]
    )


def run(
    main: Callable[[Config], int | None],
    config: type[Config],
    options: list[str] | None = None,
    program: str | None = None,
) -> None:
    """Parse `config` from the command line, call `main` with it, exit with its status.

    A user's mistake is one line and status 2, a failed gate is `main` returning 1. Anything else is a fault of this
    program: one line and status 70, the trace with `--debug`.
    """
    options = list(sys.argv[1:] if options is None else options)
    with held_during_imports():
        raise SystemExit(_status(main, config, options, program))


def _status(main: Callable[[Config], int | None], config: type[Config], options: list[str], program: str | None) -> int:
    debug = "--debug" in options
    if not debug:
        # What it thinks of a compiler for graphics cards is no news to whoever runs on a watch.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    options = [o for o in options if o != "--debug"]
    try:
        import tyro

        parsed = tyro.cli(_with_help(config), args=options, prog=program, description=_first_paragraph(main, config))
        status = main(parsed)
        sys.stdout.flush()
    except OnwristError as error:
        if debug:
            traceback.print_exc()
        say(f"error: {error}")
        status = USER_ERROR
    except KeyboardInterrupt:
        say("stopped")
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, which is its right; what is left unwritten would raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = BROKEN_PIPE
    except Exception as error:
        if debug:
            traceback.print_exc()
        lines = str(error).splitlines()
        say(f"fault: {type(error).__name__}: {lines[0] if lines else ''} (the trace: --debug)")
        status = FAULT
    return status or 0


def _with_help(config: type[Config]) -> type[Config]:
    """The same config with ranges in its help, and without "(default: None)": what None means stands in the field's words."""
    import tyro

    from onwrist.ranges import limits

    hints = get_type_hints(config, include_extras=True)
    told: dict[str, Any] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        hint, range_ = hints[field.name], limits(hints[field.name])
        if field.default is None or field.default == ():
            if range_ or not _described(hint):
                behind = f"({range_})" if range_ else ""
                told[field.name] = Annotated[hint, tyro.conf.arg(help_behavior_hint=behind, metavar=_metavar(hint))]
        elif range_:
            told[field.name] = Annotated[hint, tyro.conf.arg(help_behavior_hint=_beside(range_))]
    made = type(config.__name__, (config,), {"__annotations__": told, "__doc__": config.__doc__})
    for name in told:
        setattr(made, name, getattr(config, name))
    return dataclasses.dataclass(frozen=True)(made)


def _beside(range_: str) -> Callable[[str], str]:
    return lambda default: f"(default: {default}; {range_})"


def _described(hint: Any) -> bool:
    """Whether a shared setting says already how its help is to read."""
    return any(hasattr(m, "help_behavior_hint") for m in getattr(hint, "__metadata__", ()))


def _metavar(hint: Any) -> str | None:
    """PATH for `Path | None`: that it may be left out is plain from the brackets' absence."""
    hint = getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint
    kinds = [k for k in get_args(hint) if k is not type(None) and k is not Ellipsis]
    names = {Path: "PATH", str: "TEXT", float: "NUMBER", int: "NUMBER"}
    return names.get(getattr(kinds[0], "__origin__", kinds[0])) if len(kinds) == 1 else None


def _first_paragraph(main: Callable, config: type) -> str:
    return (main.__doc__ or config.__doc__ or "").split("\n\n")[0].strip()


def bar(items: Iterable, what: str, **more) -> Any:
    """Progress bar on standard error; where that is no terminal, a line at the start and at the end."""
    from tqdm import tqdm

    terminal = sys.stderr is not None and sys.stderr.isatty()
    pace = {"mininterval": 0.5} if terminal else {"mininterval": 60.0, "maxinterval": 120.0}
    return tqdm(items, desc=what, file=sys.stderr, dynamic_ncols=terminal, ascii=not terminal, **pace, **more)


def results(found: Any, path: Path, text: str) -> None:
    """What a measuring command leaves: its numbers as JSON in `path`, its table on standard output."""
    from onwrist.writing import write_whole

    write_whole(path, json.dumps(found, indent=1).encode())
    print(text)
    say(f"results: {path}")


def say(text: str) -> None:
    """One line for the person at the terminal; nothing where standard error was closed, whatever it can encode."""
    if sys.stderr is None:
        return
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    with contextlib.suppress(OSError):
        print(text.encode(encoding, "replace").decode(encoding), file=sys.stderr, flush=True)
