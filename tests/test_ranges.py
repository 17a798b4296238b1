"""Numbers that settings may not be: every number of every verb and of every fault, from the command line and from Python."""

import importlib
import math
import time
from dataclasses import fields
from typing import get_type_hints

import numpy as np
import pytest
from annotated_types import Interval

from onwrist.command import USER_ERROR, VERBS, run
from onwrist.errors import ConfigError
from onwrist.export.handoff.artifacts import load_artifacts
from onwrist.firmware_sim.runtimes.hop import LiteRTStep, time_major
from onwrist.firmware_sim.study.plan import Setting
from onwrist.firmware_sim.watch.faults import KINDS, Faults, make_fault, parse_faults, read_faults
from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig
from onwrist.models.encoders.xmae import XMAEConfig
from onwrist.models.student.network import StudentConfig
from onwrist.ranges import _parts, _words
from onwrist.signals.front_end.floating import FrontEndConfig, hop_samples
from onwrist.signals.recordings.recording import Channel, Recording

ODD = (-1, 0, math.nan, math.inf, -math.inf, 1e18, 0.21, 1e-9)


def numbers(config):
    """(name, kinds, interval, words) of the fields that hold numbers."""
    for name, hint in get_type_hints(config, include_extras=True).items():
        parts = list(_parts(hint))
        if int in parts or float in parts or any(isinstance(w, int) for w in _words(hint)):
            ranges = [p for p in parts if isinstance(p, Interval)]
            yield name, parts, ranges[0] if ranges else None, _words(hint)


VERB_CONFIGS = {v: getattr(importlib.import_module(f"onwrist.{place}"), name) for v, (place, name, _) in VERBS.items()}
CONFIGS = {
    **VERB_CONFIGS,
    **{c.__name__: c for c in (WatchConfig, SensorConfig, FrontEndConfig, StudentConfig, XMAEConfig, Setting)},
}
NUMBERS = [(verb, *found) for verb, config in CONFIGS.items() for found in numbers(config)]
# What has no default; what another rule than the range of one number asks for.
needed = {"cohort": {"recordings": ("x",)}, "Setting": {"size": "watch", "digest": ""}}
OTHER_RULES = {"hop_s", "fifo", "rate_hz", "widths", "dilations", "batch", "motion"}


def within(value, kinds, interval, words):
    """What the annotation says of a value, worked out here, not by what is tested."""
    if words:
        return value in words
    whole = float not in kinds
    if not math.isfinite(value) or (whole and not isinstance(value, int)):
        return False
    low = value > interval.gt if interval.gt is not None else value >= interval.ge
    return low and value <= interval.le


def test_there_are_many_and_each_has_both_ends():
    assert len(NUMBERS) > 40
    for verb, name, _, interval, words in NUMBERS:
        ends = interval and (interval.ge is not None or interval.gt is not None) and interval.le is not None
        assert words or ends, f"{verb} {name} has no range"


@pytest.mark.parametrize(
    ("verb", "name", "kinds", "interval", "words"), NUMBERS, ids=[f"{n[0]}-{n[1]}" for n in NUMBERS]
)
def test_a_number_is_in_its_range_or_is_refused(verb, name, kinds, interval, words):
    config = CONFIGS[verb]
    ends = [] if words else [e for e in (interval.ge, interval.le) if e is not None]
    whole = float not in kinds
    for value in [*ODD, *ends, True, "7"]:
        value = int(value) if whole and isinstance(value, float) and value.is_integer() else value
        given = {**needed.get(verb, {}), name: (value,) if tuple in kinds else value}
        fits = not isinstance(value, bool | str) and within(value, kinds, interval, words)
        try:
            config(**given)
        except ConfigError as error:
            assert not fits or name in OTHER_RULES, (value, error)
            assert error.field
            assert error.cure.startswith(("Give ", "Use "))
        else:
            assert fits, value


@pytest.mark.parametrize("verb", [v for v, c in VERB_CONFIGS.items() if list(numbers(c))])
def test_the_command_line_says_it_in_one_line(verb, capsys):
    ran = []
    for name, _, _, _ in numbers(CONFIGS[verb]):
        option = "--" + {"float_share": "float"}.get(name, name).replace("_", "-")
        for value in ("-1e30", "nan", "inf"):
            where = ["x"] if verb == "cohort" else []
            with pytest.raises(SystemExit) as ended:
                run(lambda config: ran.append(config), CONFIGS[verb], [*where, option, value])
            said = capsys.readouterr().err
            assert ended.value.code == USER_ERROR, (option, value)
            assert "Traceback" not in said
            assert said.startswith("error: ") or option in said, said  # a range, or no number at all
    assert not ran


def test_help_shows_ranges(capsys):
    with pytest.raises(SystemExit):
        run(lambda config: None, CONFIGS["distill"], ["--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "(default: 4000; 0 to 1,000,000)" in text
    assert "(default: 0.002; above 0, at most 1)" in text


def test_cures_are_right():
    for hop_s in (0, -1, math.nan, math.inf, 0.01, 61):
        with pytest.raises(ConfigError, match=r"from 0.02 to 60"):
            WatchConfig(hop_s)
    for hop_s in (0, math.nan, math.inf, 0.21, 0.04):
        with pytest.raises(ConfigError, match=r"multiple of 0.2 s"):
            hop_samples(hop_s, 5)
    for hop in range(5, 255, 5):
        assert hop_samples(WatchConfig(hop / 25).hop_s, 5) == hop
        assert hop_samples(hop / 50, 5, 50) == hop


FAULT_NUMBERS = [(kind, f.name) for kind, made in KINDS.items() for f in fields(made)]


@pytest.mark.parametrize(("kind", "name"), FAULT_NUMBERS)
def test_a_fault_is_in_its_range_or_is_refused(kind, name, tmp_path):
    ((_, kinds, interval, words),) = [n for n in numbers(KINDS[kind]) if n[0] == name]
    for value in (*ODD, -5, 12.5):
        value = int(value) if math.isfinite(value) and float(value).is_integer() else value
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(f'[[fault]]\nkind = "{kind}"\n{name} = {value}\n')
        fits = within(value, kinds, interval, words)
        for make in (
            lambda: KINDS[kind](**{name: value}),  # noqa: B023
            lambda: make_fault(kind, {name: value}),  # noqa: B023
            lambda: parse_faults((f"{kind}:{name}={value}",)).faults[0],  # noqa: B023
            lambda: read_faults(recipe).faults[0],  # noqa: B023
        ):
            try:
                fault = make()
            except ConfigError as error:
                assert not fits, (value, error)
                assert name in str(error.field)
            else:
                assert fits, value
                assert getattr(fault, name) == value


@pytest.fixture(scope="module")
def minute():
    t = np.arange(64 * 60) / 64
    wave = np.sin(2 * np.pi * 1.2 * t) + 0.3 * np.sin(4 * np.pi * 1.2 * t)
    return Recording(Channel(wave.astype(np.float32), 64.0), "p", "made")


@pytest.fixture(scope="module")
def step():
    a = load_artifacts("band")
    return a.model, a.tflite_step(25)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_of_every_range_can_be_played(kind, minute, step):
    """Every number of a fault at either end, alone and all at once: the books balance, and it takes no time to speak of."""
    ends = {n: (i.ge, i.le) for n, _, i, _ in numbers(KINDS[kind])}
    combinations = [{n: e[k]} for n, e in ends.items() for k in (0, 1)]
    if {"every_s", "seconds"} <= set(ends):
        combinations.append({"every_s": ends["every_s"][0], "seconds": ends["seconds"][1]})
    began = time.process_time()
    for settings in combinations:
        sensor = Sensor(minute, SensorConfig(), Faults((make_fault(kind, settings),)))
        watch = Watch(step[0], LiteRTStep(step[1], time_major(step[0], 25)), WatchConfig())
        assert sum(1 for _ in watch.run(sensor)) <= 120, settings
        assert watch.counters.accounted, settings
    assert time.process_time() - began < 20


def test_a_recipe_says_what_it_does_not_know(tmp_path):
    path = tmp_path / "recipe.toml"
    for text, expected in (
        ('sede = 7\n[[fault]]\nkind = "lost"', "Did you mean seed?"),
        ('[[fault]]\nkind = "lsot"', "Did you mean lost?"),
        ('[[fault]]\nkind = "lost"\nshar = 0.1', "Did you mean share?"),
        ('[[fault]]\nkind = "lost"\nshare = "0.1"', "is no number"),
        ('[[fault]]\nkind = "lost"\nshare = true', "is no number"),
        ("[[fault]]\nkind = 7", "is no list of faults"),
        ('seed = "7"', "Give a whole number from 0"),
        ("seed = -1", "Give a whole number from 0"),
        ("seed = 1.5", "Give a whole number from 0"),
        ('fault = "lost"', "is no list of faults"),
        ("x = " + "[" * 5000, "is no recipe"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=expected.replace("?", r"\?")) as error:
            read_faults(path)
        assert "recipe.toml" in str(error.value)
