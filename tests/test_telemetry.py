"""Counters of what the model sees: the same bytes in C and in Python, on this host and on a core, whatever comes."""

from dataclasses import replace
from functools import lru_cache

import made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.errors import BundleError
from onwrist.export.handoff.reference import reference_of
from onwrist.export.sources.firmware import firmware_sources, with_telemetry
from onwrist.export.sources.telemetry_rules import (
    BYTES,
    COUNTERS,
    HEADER,
    MOST,
    OUTPUTS,
    merge,
    pack,
    telemetry_rules,
    unpack,
)
from onwrist.firmware_sim.fleet.counting import Counter, directions, make_reference
from onwrist.firmware_sim.runtimes.compiler import CORES
from onwrist.firmware_sim.runtimes.hop import NumpyStep
from onwrist.firmware_sim.runtimes.native import WatchInC
from onwrist.firmware_sim.watch.golden import play_script
from onwrist.firmware_sim.watch.script import ALL, Script
from onwrist.firmware_sim.watch.sensor import SensorConfig
from onwrist.firmware_sim.watch.telemetry import Telemetry
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig
from onwrist.models.student.outputs import ANSWERS
from onwrist.quantize.integers.training import load_integers
from onwrist.signals.front_end.counts import convert, count_wave
from onwrist.signals.front_end.fixed import design
from onwrist.signals.recordings.readers import read_recording

BAND = load_integers("band")
counters = st.lists(st.one_of(st.integers(0, 300), st.integers(MOST - 2, MOST)), min_size=COUNTERS, max_size=COUNTERS)


@lru_cache
def compiled(rate: int = 64, hop: int = 25, core=None) -> WatchInC:
    rules = made.reference(BAND, hop, rate).rules
    firmware = with_telemetry(firmware_sources(BAND, hop, design(rate, 19)), rules)
    return WatchInC(firmware, core, sanitise=core is None)


def simulated(script: Script, rate: int = 64, hop: int = 25) -> Telemetry:
    config = WatchConfig(hop / 25, SensorConfig(rate))
    telemetry = Telemetry(made.reference(BAND, hop, rate).rules)
    play_script(Watch(BAND, NumpyStep(BAND, hop), config), script, telemetry)
    return telemetry


def script_of(counts, lost=()) -> Script:
    script = Script()
    for first in range(0, len(counts), 16):
        if first // 16 not in lost:
            script.push(first, counts[first : first + 16].astype(np.int32), ALL)
    return script


@pytest.mark.parametrize("core", [None, CORES[0]], ids=["native", "M4F"])
def test_a_recording_is_counted_alike(recordings, core):
    """Two minutes with gaps, rails and a dead sensor, so that every kind of counter moves."""
    wave, _ = count_wave(read_recording(recordings / "t477l.npz"), 64, 19)
    wave = wave[: 64 * 120].copy()
    wave[64 * 60 : 64 * 64] = 2**19
    wave[64 * 100 :] = 1000
    script = script_of(convert(wave, 19), lost=[*range(150, 153), *range(160, 164), *range(398, 406)])
    expected = simulated(script)
    device = compiled(core=core)
    device.init()
    device.play(script)
    assert device.telemetry == expected.data
    assert len(device.telemetry) == BYTES
    fields = {name: expected.counters[at] for name, at in expected.fields.items()}
    shares = dict(zip(OUTPUTS, fields["outputs"], strict=True))
    assert all(shares[n] > 0 for n in OUTPUTS), shares
    valid = shares["outputs"] - shares["warming"]
    assert all(counts.sum() == valid for name, counts in fields.items() if name != "outputs")


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([0, 1, 200, 20000, 2**19]),
    lost=st.lists(st.integers(25, 60), max_size=6),
    middle=st.sampled_from([0, 1000, 2**18, 2**19 - 1]),
)
def test_whatever_comes_is_counted_alike(seed, size, lost, middle):
    rng = np.random.default_rng(seed)
    counts = np.clip(middle + rng.normal(0, 1, 16 * 64) * size, 0, 2**19 - 1).astype(np.int32)
    script = script_of(counts, lost)
    device = compiled(25, 25)
    device.init()
    device.play(script)
    expected = simulated(script, 25, 25)
    assert device.telemetry == expected.data
    assert expected.counters[expected.fields["wave"]].sum() > 0


@settings(max_examples=60, deadline=None)
@given(a=counters, b=counters)
def test_counters_add_and_stop(a, b):
    rules = made.reference(BAND).rules
    first, second = (rules.header + pack(np.array(c)) for c in (a, b))
    both = merge(first, second)
    assert unpack(both).tolist() == [min(x + y, MOST) for x, y in zip(a, b, strict=True)]
    assert merge(second, first) == both
    device = compiled()
    device.machine.write(device.counted, np.frombuffer(first, np.int8))
    assert device.merge_telemetry(second) == 0
    assert device.telemetry == both


def test_counters_of_other_rules_are_not_added():
    device = compiled()
    device.init()
    before = device.telemetry
    other = replace(made.reference(BAND).rules, digest="0" * 64)
    assert device.merge_telemetry(other.header + bytes(BYTES - HEADER)) == -3
    assert device.telemetry == before
    with pytest.raises(ValueError, match="other rules"):
        merge(before, other.header + bytes(BYTES - HEADER))


@pytest.mark.parametrize("answers", [1, 3, 4, 6, 12])
def test_there_is_room_whatever_a_student_answers(answers):
    names = [f"a{i}" for i in range(answers)]
    edges = [list(range(6))] * 3
    rules = telemetry_rules("0" * 64, 25, design(64, 19), names, (1, 2, 3), edges)
    assert max(at.stop for at in rules.fields.values()) <= COUNTERS
    assert rules.answers == tuple(names[:6])
    assert len(rules.header) == HEADER


def test_directions_spread_and_their_parts_are_equal():
    """People who differ along one pattern: it is found, and each part holds as many."""
    from onwrist.export.sources.telemetry_rules import signs

    rng = np.random.default_rng(0)
    people = [rng.normal(0, 5, (210, 256)) + 30 * at * signs(77, 256) / 16 for at in (-1, -0.5, 0, 0.5, 1)]
    people = [np.rint(p).astype(np.int8) for p in people]
    patterns, edges = directions(people)
    assert patterns[0] == 77
    sums = np.concatenate(people).astype(int) @ signs(77, 256)
    held = np.diff([0, *[int((sums < e).sum()) for e in edges[0]], len(sums)])
    assert np.abs(held / len(sums) - 1 / 7).max() < 0.01


def test_a_reference_is_read_as_it_was_written_and_nothing_else(recordings):
    import json

    source = read_recording(recordings / "bidmc_05.npz")
    fixed = design(64, 19)
    found = make_reference(BAND, 25, fixed, [source], "one person")
    assert found.people.shape == (1, COUNTERS)
    counter = Counter(BAND, 25, fixed, found.rules)
    counts, present = counter.counts(source)
    blocks = counter.blocks(counts, present, 60)
    assert len(blocks) == len(counts) // (60 * 64)
    assert (blocks.sum(axis=0) <= found.people[0]).all()
    plain = json.loads(found.file())
    read = reference_of(plain, BAND.digest(), 25, fixed, list(ANSWERS))
    assert read.rules == found.rules
    assert np.array_equal(read.people, found.people)
    for field, value in (
        ("schema", 2), ("student", "0" * 64), ("people", []), ("people", [[1] * 79]), ("people", [[-1] * 80]),
        ("edges", [[3, 2, 1, 0, 0, 0]] * 3), ("patterns", [1, 2]), ("counters", "00"), ("source", 3), ("more", 1),
    ):  # fmt: skip
        with pytest.raises(BundleError):
            reference_of({**plain, field: value}, BAND.digest(), 25, fixed, list(ANSWERS))


def test_misuse_is_an_error_code():
    device = compiled()
    device.init()
    machine, counted = device.machine, device.counted
    fresh, out = machine.allocate(BYTES), machine.allocate(64)
    add, merged = "onwrist_telemetry_add", "onwrist_telemetry_merge"
    assert machine.call("onwrist_telemetry_init", 0) == -1
    assert machine.call(add, 0, device.watch, out) == machine.call(add, counted, 0, out) == -1
    assert machine.call(add, counted, device.watch, 0) == -1
    assert machine.call(merged, 0, counted) == machine.call(merged, counted, 0) == -1
    # Counters that were not begun, an output that nothing filled, another's counters that were not begun.
    assert machine.call(add, fresh, device.watch, out) == machine.call(add, counted, device.watch, out) == -2
    assert machine.call(merged, fresh, fresh) == -2
    assert machine.call(merged, counted, fresh) == -3
    assert unpack(device.telemetry).sum() == 0
