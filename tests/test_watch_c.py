"""The whole watch in C against the simulated watch: outputs, flags and counters, whatever happens to the packets."""

import ctypes
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import lru_cache
from types import SimpleNamespace

import made
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from moving import moving
from scipy.stats import skew

from onwrist.errors import ConfigError, ExportError
from onwrist.export.handoff.artifacts import contract
from onwrist.export.sources.firmware import firmware_sources
from onwrist.export.sources.watch_rules import bridge_line, distance, watch_rules
from onwrist.firmware_sim.parity.watch_in_c import compare_watches, counters_of, run_watch, watch_cost, watch_gate
from onwrist.firmware_sim.runtimes.board import play_on_board
from onwrist.firmware_sim.runtimes.compiler import (
    CORES,
    M55,
    PORTABLE_CORES,
    STRICT,
    Toolchain,
    build_core,
    build_native,
)
from onwrist.firmware_sim.runtimes.emulator import Emulator
from onwrist.firmware_sim.runtimes.hop import NumpyStep
from onwrist.firmware_sim.runtimes.native import BOOKS, GAPS, WatchInC
from onwrist.firmware_sim.runtimes.qemu import absent
from onwrist.firmware_sim.watch.faults import KINDS, Faults, make_fault
from onwrist.firmware_sim.watch.golden import golden_watch_header, play_script
from onwrist.firmware_sim.watch.script import ALL, LoggedRing, Script
from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig, Why
from onwrist.quantize.integers.training import load_integers
from onwrist.resources import C_SOURCES
from onwrist.signals.front_end.acceleration import AccelerationConfig
from onwrist.signals.front_end.counts import count_wave
from onwrist.signals.front_end.fixed import design
from onwrist.signals.pulse.clean import clean_ppg
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Channel, Recording

BAND = load_integers("band")
# A board that pushes and shows nothing may still not know these.
ERRORS = {"null": -1, "not ready": -2, "bad argument": -3}


@dataclass(frozen=True)
class AnyRate(SensorConfig):
    """A sensor at any rate: the watch's own list is of rates that sensors have, not of what the integers can do."""

    def __post_init__(self) -> None:
        pass


def firmware(rate: float = 64, hop: int = 25, burst: int = 16, bits: int = 19):
    return firmware_sources(BAND, hop, design(rate, bits), burst)


@lru_cache(maxsize=16)
def built(rate: float, hop: int, burst: int) -> WatchInC:
    """Undefined behaviour traps."""
    return WatchInC(firmware(rate, hop, burst), sanitise=True)


def device(rate: float = 64, hop: int = 25, burst: int = 16, gap: str = "interpolate") -> WatchInC:
    """Built once, for any gap policy."""
    found = built(rate, hop, burst)
    found.gap = gap
    return found


def simulated(source, config: WatchConfig, faults: Faults = Faults()) -> tuple[Watch, list, Script]:
    sensor = Sensor(source, config.sensor, faults)
    watch = Watch(BAND, NumpyStep(BAND, config.hop_samples(BAND.stride)), config)
    script = Script()
    watch.ring = LoggedRing(watch.ring.capacity, script)
    return watch, list(watch.run(sensor)), script


def often(kind: str, every_s: float) -> dict[str, float]:
    return {"every_s": every_s} if "every_s" in KINDS[kind].__dataclass_fields__ else {}


def cut(recording: Recording, seconds: float) -> Recording:
    n = int(seconds * recording.ppg.rate_hz)
    return Recording(Channel(recording.ppg.samples[:n], recording.ppg.rate_hz), "p", "cut")


def pulse(seconds: float, rate: float = 64) -> Recording:
    t = np.arange(int(seconds * rate)) / rate
    x = np.sin(2 * np.pi * 1.3 * t) + 0.4 * np.sin(2 * np.pi * 2.6 * t)
    return Recording(Channel(x.astype(np.float32), rate), "p", "made up")


RUNS = [([k], "interpolate") for k in KINDS] + [(list(KINDS), g) for g in GAPS] + [(["lost"], g) for g in GAPS[1:]]


@pytest.mark.parametrize("kinds,gap", RUNS, ids=lambda v: v if isinstance(v, str) else v[0] if len(v) == 1 else "all")
def test_every_fault_gives_the_same_outputs_flags_and_counters(recordings, kinds, gap):
    faults = Faults(tuple(make_fault(k, often(k, 23.0)) for k in kinds), seed=3)
    source = cut(read_recording(recordings / "t477l.npz"), 70)
    watch, hops, script = simulated(source, WatchConfig(gap=gap, service_s=0.05), faults)
    run = run_watch(device(gap=gap), script, hops, watch)
    assert run.same, run
    assert run.hops == len(hops) > 40
    if len(kinds) > 1:
        c = watch.counters
        assert min(c.dropped, c.discarded, c.resets, c.gated) > 0


@pytest.mark.parametrize("rate", (25, 125, 256, 1000))
def test_from_25_to_1000_hz(rate):
    config = WatchConfig(0.2, AnyRate(rate, fifo=max(4, rate // 6), bits=22), service_s=0.02)
    kinds = ("lost", "repeated", "reordered", "late", "clock_jump", "stall")
    faults = Faults(tuple(make_fault(k, often(k, 7.0)) for k in kinds), seed=rate)
    watch, hops, script = simulated(pulse(24), config, faults)
    c = WatchInC(firmware(rate, 5, config.sensor.fifo, 22), sanitise=True)
    assert run_watch(c, script, hops, watch).same
    assert watch.counters.bridged > 0
    assert watch.counters.dropped > 0


@pytest.fixture(scope="module")
def hour(recordings):
    """All of the shipped hour, each fault every four minutes: the simulated watch, its outputs, its script."""
    faults = Faults(tuple(make_fault(k, often(k, 240.0)) for k in KINDS), seed=6)
    watch, hops, script = simulated(read_recording(recordings / "S34.npz"), WatchConfig(service_s=0.05), faults)
    c = watch.counters
    assert min(c.dropped, c.discarded, c.resets, c.bridged, c.gated, c.shown) > 0
    assert len(hops) > 3300
    return watch, hops, script


@pytest.mark.parametrize("core", [*CORES, M55], ids=lambda c: c.name)
def test_every_fault_at_once_over_an_hour_on_emulated_cores(hour, core):
    watch, hops, script = hour
    if core is M55:
        if absent():
            pytest.skip(absent())
        run = compare_watches(core.name, *play_on_board(firmware(), script, len(hops)), hops, watch)
    else:
        run = run_watch(WatchInC(firmware(), core), script, hops, watch)
    assert run.same, run


# --- whatever comes ---

# Small enough that everything happens: a ring of 26, a hop of 5, gaps up to 25, late up to 250.
TINY = WatchConfig(0.2, AnyRate(25, fifo=8, bits=19))
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("push"),
            st.one_of(st.just(0), st.integers(-12, 30), st.sampled_from([-251, -250, 25, 26, 2**31 - 1, -(2**31), 2**31])),
            st.integers(0, 60),
            st.integers(-1, 9),
        ),
        st.tuples(st.just("restart")),
    ),
    max_size=60,
)  # fmt: skip


def random_script(steps: list, start: int, seed: int) -> Script:
    rng, script, at = np.random.default_rng(seed), Script(), start
    for kind, *more in steps:
        if kind == "restart":
            script.restart()
            continue
        jump, length, takes = more
        at = (at + jump) % (1 << 32)
        style = rng.integers(4)
        counts = (
            rng.integers(0, 2**19, length) if style < 2 else np.full(length, rng.choice([0, 2**19 - 1, 100]))
            if style == 2 else rng.integers(-(2**31), 2**31, length)
        )  # fmt: skip
        script.push(at, counts.astype(np.int32), takes)
        at = (at + length) % (1 << 32)
    return script


@settings(max_examples=120, deadline=None)
@given(
    steps=STEPS,
    start=st.sampled_from([0, 2**32 - 40, 2**31 - 20]),
    seed=st.integers(0, 2**32 - 1),
    gap=st.sampled_from(GAPS),
)
@example(steps=[("push", 0, 8, -1), ("push", 25, 8, -1), ("push", 26, 8, -1)] * 8, start=0, seed=1, gap="interpolate")
@example(steps=[("push", 0, 60, 1), ("push", -60, 60, 0), ("restart",)] * 8, start=2**32 - 40, seed=2, gap="hold")  # fmt: skip
def test_any_bursts_gaps_repeats_stalls_and_restarts(steps, start, seed, gap):
    """Also the counters at every output, and the books, which balance."""
    config = replace(TINY, gap=gap)
    watch = Watch(BAND, NumpyStep(BAND, 5), config)
    script = random_script(steps, start, seed)
    hops = play_script(watch, script)
    c = device(25, 5, 8, gap)
    run = run_watch(c, script, hops, watch)
    assert run.same, (run, c.books, counters_of(watch))
    c.init()
    rows = c.play(script, books=True).books.astype(np.int64)
    for row in (*rows, np.array([c.books[n] for n in BOOKS])):
        b = dict(zip(BOOKS, row, strict=True))
        assert b["received"] == sum(b[n] for n in ("dropped", "discarded", "used", "gated", "pending", "waiting"))


@given(last=st.integers(0, 2**24 - 1), value=st.integers(0, 2**24 - 1), gap=st.integers(1, 1000))
def test_the_bridge_is_the_rounded_line(last, value, gap):
    """As the float line that it replaced, but where the line passes exactly between two counts."""
    line = np.linspace(last, value, gap + 2)[1:-1]
    difference = np.array(bridge_line(last, value, gap)) - line
    assert np.abs(difference).max() <= 0.5 + 1e-6
    exact = np.abs(np.abs(line - np.floor(line)) - 0.5) > 1e-6
    np.testing.assert_array_equal(np.array(bridge_line(last, value, gap))[exact], np.rint(line)[exact])


def test_numbers_wrap():
    assert distance(3, 2**32 - 2) == 5
    assert distance(2**32 - 2, 3) == -5
    assert distance(2**31, 0) == -(2**31)


def test_what_decides_is_a_constant(recordings):
    """Another answer decides, at another threshold: the C follows its header, the simulated watch its rules."""
    watch = Watch(BAND, NumpyStep(BAND, 25), WatchConfig())
    sensor = Sensor(cut(read_recording(recordings / "S34.npz"), 60), watch.config.sensor)
    script = Script()
    watch.ring = LoggedRing(watch.ring.capacity, script)
    watch.rules = replace(watch.rules, gate_answer=0, gate_above=-20, bridged_percent=0, clipped_percent=0)
    hops = list(watch.run(sensor))
    made = firmware()
    files = dict(made.files)
    for name, value in watch.rules.constants().items():
        files["onwrist_config.h"] = re.sub(rf"(#define {name}) .*", rf"\1 {value}", files["onwrist_config.h"])
    assert files != made.files
    other = run_watch(WatchInC(replace(made, files=files)), script, hops, watch)
    assert other.same
    assert run_watch(device(), script, hops, watch).flags > 0


def test_counts_that_fall_when_blood_comes_are_turned(recordings):
    counts = Sensor(cut(read_recording(recordings / "S34.npz"), 30), SensorConfig()).counts
    up = WatchInC(firmware()).play_counts(counts)
    down = WatchInC(firmware(), defines=("ONWRIST_COUNTS_FALL=1",)).play_counts(2**19 - 1 - counts)
    np.testing.assert_array_equal(up.embedding, down.embedding)
    assert not np.array_equal(up.embedding, device().play_counts(2**19 - 1 - counts).embedding)


def test_the_counts_of_the_simulation_rise_when_blood_comes(recordings):
    """As the contract says: blood comes faster than it goes, so that the steep side of a pulse tells which way is up."""
    for path in sorted(recordings.glob("*.npz")):
        x = clean_ppg(count_wave(read_recording(path), 64, 19)[0], 64)
        slopes = np.diff(x[: len(x) // 1920 * 1920]).copy()
        parts = np.array_split(slopes, len(x) // 1920)
        assert np.median([skew(p) for p in parts]) > 0.1, path.name
    said = contract(SimpleNamespace(size="band", model=BAND), 25, design(64, 19))["counts"]
    assert (said["lowest"], said["highest"], said["when_blood_comes"]) == (0, 2**19 - 1, "rise")


def test_the_gate_of_the_report_fails_where_one_thing_differs(recordings):
    watch, hops, script = simulated(cut(read_recording(recordings / "t477l.npz"), 40), WatchConfig())
    good = run_watch(device(), script, hops, watch)
    assert watch_gate([good] * 4).passed
    hops[7].embedding[3] ^= 1
    hops[9].why = Why.FLAT
    watch.counters.discarded += 1
    bad = run_watch(device(), script, hops[:-1], watch)
    assert (bad.wrong, bad.flags, bad.counters, bad.extra) == (1, 1, ("discarded",), 1)
    assert not watch_gate([good, good, good, bad]).passed
    assert not watch_gate([]).passed
    assert not watch_gate([good]).passed


# --- the interface ---


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "watch.so"
    files = {
        **firmware().files,
        "size.c": '#include "onwrist_watch.h"\nint size(void);\nint size(void) { return (int)sizeof(onwrist_watch); }\n',
    }
    path.write_bytes(build_native(files))
    return ctypes.CDLL(str(path))


def test_misuse_is_an_error_code(library):
    room = ctypes.create_string_buffer(library.size() + (1 << 16))
    watch = ctypes.c_void_p((ctypes.addressof(room) + 63) & ~63)
    arena = ctypes.c_void_p(((ctypes.addressof(room) + 63) & ~63) + (library.size() // 64 + 2) * 64)
    out, counts = ctypes.create_string_buffer(256), (ctypes.c_int32 * 4)()
    calls = {
        "push": lambda w: library.onwrist_watch_push(w, 0, counts, 4),
        "run": lambda w: library.onwrist_watch_run(w, out),
        "restart": lambda w: library.onwrist_watch_restart(w),
        "books": lambda w: library.onwrist_watch_books(w, out),
    }
    for call in calls.values():
        assert call(None) == ERRORS["null"]
        assert call(watch) == ERRORS["not ready"]
    init = library.onwrist_watch_init
    assert init(None, arena, 0) == init(watch, None, 0) == ERRORS["null"]
    assert init(watch, ctypes.c_void_p(arena.value + 4), 0) == ERRORS["bad argument"]
    assert init(watch, arena, 3) == init(watch, arena, -1) == ERRORS["bad argument"]
    assert calls["run"](watch) == ERRORS["not ready"]
    assert init(watch, arena, 0) == 0
    assert library.onwrist_watch_push(watch, 0, counts, -1) == ERRORS["bad argument"]
    assert library.onwrist_watch_push(watch, 0, None, 3) == ERRORS["null"]
    assert library.onwrist_watch_push(watch, 0, None, 0) == 0
    assert library.onwrist_watch_run(watch, None) == library.onwrist_watch_books(watch, None) == ERRORS["null"]
    assert [call(watch) for call in calls.values()] == [0, 2, 0, 0]
    assert calls["run"](watch) == 0


def test_a_hop_that_the_tallies_cannot_count_is_refused():
    with pytest.raises(ConfigError, match="Hz"):
        watch_rules(10_000, 19, 400, 250)
    with pytest.raises(ExportError, match="burst"):
        device().play(Script([0], [20_000], [ALL], [np.zeros(20_000, np.int32)]))


def lay_out(folder, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def build(*words) -> subprocess.CompletedProcess:
    return subprocess.run([str(w) for w in words], capture_output=True, text=True)


COMPILERS = [
    ("gcc", "-std=c11"), ("gcc", "-std=c11", "-Os", "-ffreestanding"),
    ("arm-none-eabi-gcc", "-std=c11", "-mthumb", "-mcpu=cortex-m4"), ("arm-none-eabi-gcc", "-std=c11", "-mthumb", "-mcpu=cortex-m0plus"),
    ("arm-none-eabi-gcc", "-std=c11", "-mthumb", "-mcpu=cortex-m55", "-mfloat-abi=hard"),
]  # fmt: skip


@pytest.mark.parametrize("words", COMPILERS, ids=" ".join)
def test_no_compiler_warns(tmp_path, words):
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]}")
    lay_out(tmp_path, firmware().files)
    level = () if "-Os" in words else ("-O2",)
    done = build(*words, *level, *STRICT, "-Wpedantic", "-c", tmp_path / "onwrist_watch.c", "-o", tmp_path / "o")
    assert done.returncode == 0, done.stderr


def test_a_program_in_cpp_may_include_it(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    lay_out(tmp_path, firmware().files)
    (tmp_path / "main.cpp").write_text(
        '#include "onwrist_watch.h"\nint main() { static onwrist_watch w; onwrist_watch_output o;\n'
        "return onwrist_watch_run(&w, &o) == ONWRIST_NOT_READY ? 0 : 1; }\n"
    )
    assert build("gcc", "-std=c11", "-c", tmp_path / "onwrist_watch.c", "-o", tmp_path / "w.o").returncode == 0
    stub = "void onwrist_reset(void *w) { (void)w; }\n" + "".join(
        f"int onwrist_{n}(void);\nint onwrist_{n}(void) {{ return 0; }}\n" for n in ("init", "push", "step", "get")
    )
    (tmp_path / "stub.c").write_text("void onwrist_reset(void *w);\n" + stub)
    assert build("gcc", "-c", tmp_path / "stub.c", "-o", tmp_path / "s.o").returncode == 0
    done = build(
        "g++", "-std=c++17", *STRICT, tmp_path / "main.cpp", tmp_path / "w.o", tmp_path / "s.o", "-o", tmp_path / "p"
    )
    assert done.returncode == 0, done.stderr
    assert build(tmp_path / "p").returncode == 0


@pytest.mark.parametrize("accelerometer", (False, True), ids=("light", "light and acceleration"))
def test_two_threads_and_no_race(tmp_path, accelerometer):
    """A producer that runs at any moment, or one for each sensor, and a loop that is interrupted between any two of its looks."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    beside = design(64, 19, acceleration=AccelerationConfig())
    made = firmware_sources(moving().model, 25, beside) if accelerometer else firmware()
    lay_out(tmp_path, {k: v for k, v in made.files.items() if k.startswith("onwrist")})
    program = C_SOURCES.parents[2] / "tests" / "watch_threads.c"
    words = ("gcc", "-std=gnu11", "-O2", *STRICT, f"-I{tmp_path}", program, "-lpthread", "-o", tmp_path / "threads")
    for more, samples in (("-fsanitize=thread",), 30_000), ((), 100_000):
        built = build(*words, *more)
        if more and "cannot find" in built.stderr:
            pytest.skip("this gcc has no thread sanitizer")
        assert built.returncode == 0, built.stderr
        done = build(tmp_path / "threads", samples)
        if "unexpected memory mapping" in done.stderr:
            pytest.skip("the thread sanitizer does not run on this kernel")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def test_what_it_costs(recordings):
    """Instructions of the watch layer per sample, push and loop together: measured 102, of some 4,000 with all the rest."""
    counts = Sensor(cut(read_recording(recordings / "S34.npz"), 10), SensorConfig()).counts
    spent = watch_cost(firmware(), CORES[0], counts)
    own = sum(v for k, v in spent.items() if k.startswith("onwrist_watch"))
    assert 0 < own < 115 * len(counts) < 0.1 * sum(spent.values())


# --- the self-test on the board ---


@pytest.fixture(scope="module")
def selftest() -> dict[str, str]:
    from onwrist.export.handoff.artifacts import load_artifacts
    from onwrist.export.handoff.bundle import student_files

    artifacts, fixed = load_artifacts("band"), design(64, 19)
    found = student_files(artifacts, 25, fixed, golden_watch_header, lambda *_: made.reference(artifacts.model))
    return {
        n.removeprefix("band/c/"): d.decode()
        for n, d in found.items()
        if n.startswith("band/c/") and n.endswith((".c", ".h"))
    }


def test_the_self_test_plays_the_watch_on_emulated_cores(selftest):
    for core in CORES:
        machine = Emulator(build_core(selftest, core, ("onwrist_selftest_watch",)), core, count=False)
        assert machine.call("onwrist_selftest_watch") == 0


@pytest.mark.skipif(bool(Toolchain("gcc").absent), reason=Toolchain("gcc").absent or "here")
def test_the_self_test_by_gcc(selftest):
    for core in (PORTABLE_CORES[0], CORES[0]):
        image = build_core(selftest, core, ("onwrist_selftest_watch",), toolchain=Toolchain("gcc", "-Os", False))
        assert Emulator(image, core, count=False).call("onwrist_selftest_watch") == 0


@pytest.mark.parametrize("table", ["reasons", "number", "shown_answers", "books", "telemetry"])
def test_the_self_test_notices_what_differs(selftest, table):
    header = selftest["onwrist_golden_watch.h"]
    changed = re.sub(rf"(golden_{table}\[\d+\] = \{{\s*)(-?\d+)", lambda m: m[1] + str(int(m[2]) ^ 1), header)
    assert changed != header
    core = CORES[0]
    image = build_core({**selftest, "onwrist_golden_watch.h": changed}, core, ("onwrist_selftest_watch",))
    assert Emulator(image, core, count=False).call("onwrist_selftest_watch") == 1


def test_the_golden_script_meets_every_reason(selftest):
    words = re.search(r"golden_reasons\[\d+\] = \{([^}]*)\}", selftest["onwrist_golden_watch.h"])[1]
    reasons = [int(w) for w in re.findall(r"\d+", words)]
    assert 0 in reasons
    assert all(any(r & w for r in reasons) for w in Why)
    books = re.search(r"golden_books\[\d+\] = \{([^}]*)\}", selftest["onwrist_golden_watch.h"])[1]
    assert all(int(w) > 0 for w in re.findall(r"\d+", books))


# --- the page ---


def test_the_example_of_the_page_compiles_and_runs(tmp_path, selftest):
    page = (C_SOURCES / "FIRMWARE.md").read_text()
    example = re.search(r"## The whole watch.*?```c\n(.*?)```", page, re.DOTALL)[1]
    lay_out(tmp_path, {**selftest, "main.c": example, "board.c": BOARD})
    sources = [p for p in sorted(tmp_path.glob("*.c")) if not p.name.startswith("selftest")]
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    done = build("gcc", "-std=c11", "-O2", *STRICT, f"-I{tmp_path}", *sources, "-o", tmp_path / "p")
    assert done.returncode == 0, done.stderr
    assert build(tmp_path / "p").returncode == 0
    if shutil.which("arm-none-eabi-gcc"):
        words = ("arm-none-eabi-gcc", "-std=c11", "-O2", "-mthumb", "-mcpu=cortex-m4", *STRICT)
        done = build(*words, "-c", tmp_path / "main.c", "-o", tmp_path / "o")
        assert done.returncode == 0, done.stderr


# Golden counts come 16 at a time from an "interrupt" while the loop sleeps; the program ends when they do.
BOARD = """
#include <stdint.h>
#include <stdlib.h>
#include "onwrist_golden.h"
void sensor_interrupt(void);
int32_t sensor_fifo(int32_t *counts, int32_t most, uint32_t *sequence);
void sensor_enable(void);
void show(int32_t beats_per_minute);
void hide(uint32_t reasons);
void sleep_until_interrupt(void);
static int32_t at, shown, hidden;
int32_t sensor_fifo(int32_t *counts, int32_t most, uint32_t *sequence) {
    int32_t n = 0;
    *sequence = (uint32_t)at;
    while (n < most && n < 16 && at < ONWRIST_GOLDEN_COUNTS) counts[n++] = onwrist_golden_counts[at++];
    return n;
}
void sensor_enable(void) {}
void show(int32_t bpm) { shown += bpm > 30 && bpm < 220; }
void hide(uint32_t reasons) { hidden += reasons != 0; }
void sleep_until_interrupt(void) {
    if (at >= ONWRIST_GOLDEN_COUNTS) exit(shown > 0 && hidden > 0 ? 0 : 3);
    sensor_interrupt();
}
int8_t unused(void);
int8_t unused(void) { return (int8_t)(onwrist_golden_input[0] + onwrist_golden_embedding[0] + onwrist_golden_answers[0]); }
"""
