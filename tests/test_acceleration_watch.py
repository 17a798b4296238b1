"""Acceleration beside the light in the watch: which row belongs to which light, what is said where it is missing, and the
same outputs, flags and counters in C, whatever happens to the packets of either."""

import ctypes
from dataclasses import asdict, replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from moving import moving

from onwrist.errors import ConfigError, ExportError, RecordingError
from onwrist.export.sources.firmware import ACCELERATION, firmware_sources
from onwrist.firmware_sim.parity.watch_in_c import compare_watches, counters_of, run_watch
from onwrist.firmware_sim.runtimes.board import play_on_board
from onwrist.firmware_sim.runtimes.compiler import CORES, M55, build_native
from onwrist.firmware_sim.runtimes.hop import NumpyStep
from onwrist.firmware_sim.runtimes.native import GAPS, WatchInC
from onwrist.firmware_sim.runtimes.qemu import absent
from onwrist.firmware_sim.watch.acceleration_faults import KINDS
from onwrist.firmware_sim.watch.faults import KINDS as LIGHT_KINDS
from onwrist.firmware_sim.watch.faults import Faults, make_fault, parse_faults
from onwrist.firmware_sim.watch.golden import play_script
from onwrist.firmware_sim.watch.script import Script, write_script
from onwrist.firmware_sim.watch.sensor import AccelerometerConfig, Sensor, SensorConfig
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig
from onwrist.quantize.integers.training import load_integers
from onwrist.signals.front_end.acceleration import AXES, AccelerationConfig, FixedAcceleration
from onwrist.signals.front_end.fixed import design
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Recording

MODEL = moving().model
WRIST = AccelerometerConfig(50, 16, 4096.0, fifo=12)
USUAL = SensorConfig(acceleration=WRIST)
# Small enough that everything happens, at a rate below the student's: a hop of 5, bursts of 8 and 5.
TINY = SensorConfig(25, fifo=8, acceleration=AccelerometerConfig(20, 12, 1000.0, fifo=5))


@lru_cache(maxsize=8)
def built(sensor: SensorConfig, hop: int) -> WatchInC:
    """Undefined behaviour traps."""
    fixed = design(sensor.rate_hz, sensor.bits, acceleration=sensor.acceleration)
    return WatchInC(firmware_sources(MODEL, hop, fixed, sensor.fifo, sensor.acceleration.fifo), sanitise=True)


def device(sensor: SensorConfig = USUAL, hop: int = 25, gap: str = "interpolate") -> WatchInC:
    found = built(sensor, hop)
    found.gap = gap
    return found


def wrist(recordings, seconds: float, begin: float = 600) -> Recording:
    """A real wrist that moves."""
    whole = read_recording(recordings / "S34.npz")

    def cut(channel):
        rows = slice(*(int(t * channel.rate_hz) for t in (begin, begin + seconds)))
        return replace(channel, samples=channel.samples[rows])

    return Recording(cut(whole.ppg), "p", "cut", acc=cut(whole.acc))


def played(recording, sensor: SensorConfig = USUAL, faults: Faults = Faults(), **more):
    """(watch, outputs, script) of a simulated watch."""
    config = WatchConfig(sensor=sensor, **more)
    watch = Watch(MODEL, NumpyStep(MODEL, config.hop_samples(MODEL.stride)), config)
    script = write_script(watch)
    return watch, list(watch.run(Sensor(recording, sensor, faults))), script


def rows_of(hops) -> np.ndarray:
    return np.concatenate([h.acceleration for h in hops])


def often(kinds, every_s: float, seed: int = 3) -> Faults:
    known = {**LIGHT_KINDS, **KINDS}
    own = [{"every_s": every_s} if "every_s" in known[k].__dataclass_fields__ else {} for k in kinds]
    return Faults(tuple(make_fault(k, o) for k, o in zip(kinds, own, strict=True)), seed)


# --- which acceleration belongs to which light ---


@pytest.mark.parametrize("light,fifo", ((25, 5), (64, 16), (100, 25)))
@pytest.mark.parametrize("rate,burst", ((20, 20), (26, 3), (50, 12), (200, 32)))
def test_a_row_goes_in_with_the_light_of_its_time(recordings, light, fifo, rate, burst):
    """Whatever the rates and bursts: row n of acceleration with sample n of light, none missing, after a short wait."""
    sensor = SensorConfig(light, fifo=fifo, acceleration=AccelerometerConfig(rate, 16, 4096.0, fifo=burst))
    recording = wrist(recordings, 30)
    watch, hops, _ = played(recording, sensor)
    line = Sensor(recording, sensor).accelerometer
    whole = FixedAcceleration(sensor.acceleration).push(line.counts)
    found = rows_of(hops)
    assert np.std(found) > 1, "the wrist moves"
    np.testing.assert_array_equal(found, whole[: len(found)])
    assert len(hops) >= 29
    assert watch.motion.counters.missing == watch.motion.counters.slips == 0
    waited = max(h.done_s - h.time_s for h in hops)
    assert waited <= burst / rate + fifo / light + 1e-6


def test_nothing_of_the_light_changes(recordings):
    """The same samples, reasons and books, at most a little later; whatever becomes of the acceleration."""
    light = SensorConfig()
    recording, faults = wrist(recordings, 60), often(("lost", "late", "clock_jump", "gain"), 17)
    alone = Watch(load_integers("band"), NumpyStep(load_integers("band"), 25), WatchConfig(sensor=light))
    wanted = [(h.chunk.tobytes(), h.sequence, h.first) for h in alone.run(Sensor(recording, light, faults))]
    for words in ((), ("acc_lost:share=0.3",), ("acc_absent",)):
        both = Faults(faults.faults + parse_faults(words).faults, faults.seed)
        watch, hops, _ = played(recording, USUAL, both)
        assert [(h.chunk.tobytes(), h.sequence, h.first) for h in hops] == wanted[: len(hops)]
        assert len(wanted) - len(hops) <= 1, "the last may wait for acceleration that does not come"
        assert watch.accounted
        assert watch.counters.resets == alone.counters.resets


def test_without_acceleration_it_is_zeros_and_said(recordings):
    """No accelerometer, none in the recording, or one that falls silent: outputs are those of zeros from then on."""
    recording = wrist(recordings, 40)
    for source, words, silent in (
        (recording, ("acc_absent",), 0), (replace(recording, acc=None), (), 0), (recording, ("acc_absent:after_s=20.2",), 21),
    ):  # fmt: skip
        hops = played(source, USUAL, parse_faults(words))[1]
        assert [h.unmoved for h in hops[silent:]] == [25] * (len(hops) - silent)
        assert not rows_of(hops[silent:]).any()
        assert sum(h.unmoved for h in hops[: max(0, silent - 1)]) == 0
        step = NumpyStep(MODEL, 25)
        for hop in hops:
            answers = step.step(hop.chunk, np.ascontiguousarray(hop.acceleration.T))[1]
            np.testing.assert_array_equal(answers, hop.answers)
        # Waiting for what does not come ends with the first hop that lacks all of it.
        assert max(h.done_s - h.time_s for h in hops[silent + 2 :]) == 0


@pytest.mark.parametrize("ppm", (-20_000, 3_000, 20_000))
def test_another_clock_is_followed(recordings, ppm):
    """A clock that is 2 % off is half a second off after 25 s; it is never much more, and each time that is said."""
    recording = wrist(recordings, 240)
    fault = parse_faults((f"acc_clock:ppm={ppm}",))
    watch, hops, _ = played(recording, USUAL, fault)
    books = watch.motion.counters
    apart = 240 * abs(ppm) * 1e-6
    assert apart / 0.75 - 1 <= books.slips <= apart / 0.25 + 1
    assert books.missing <= 25 * books.slips
    truth = FixedAcceleration(WRIST).push(Sensor(recording, USUAL).accelerometer.counts).astype(float)
    found = rows_of(hops).astype(float)
    for begin in range(1000, len(found) - 500, 500):
        part = found[begin : begin + 500]
        fit = [np.sum((truth[begin + lag : begin + lag + 500] - part) ** 2) for lag in range(-25, 26)]
        if np.std(part) > 2:
            assert abs(int(np.argmin(fit)) - 25) <= 19, "a quarter of a second, and a burst of each sensor"


def test_a_silence_ends_where_it_would_have(recordings):
    """Packets that come late, or not at all, shift nothing: afterwards rows are those of an undisturbed watch."""
    recording = wrist(recordings, 60)
    quiet = rows_of(played(recording)[1])
    for words in (("acc_late:every_s=20",), ("acc_lost:share=0.05",)):
        watch, hops, _ = played(recording, USUAL, parse_faults(words, seed=2))
        found, hold = rows_of(hops), np.array([h.unmoved for h in hops])
        assert 0 < hold.sum() < 300
        assert watch.motion.counters.missing == hold.sum()
        if words[0].startswith("acc_late"):
            good = np.repeat(hold == 0, 25)
            np.testing.assert_array_equal(found[good], quiet[: len(found)][good])
        else:
            # The high-pass begins anew behind a gap, so that rows are near, not equal.
            aligned = [
                np.mean(np.abs(found[50:-50].astype(int) - np.roll(quiet, k, 0)[50 : len(found) - 50]))
                for k in (-2, 0, 2)
            ]
            assert np.argmin(aligned) == 1


def test_a_student_of_light_has_no_use_for_an_accelerometer(recordings):
    """Its bytes, books and sources are what they are without one."""
    band, recording = load_integers("band"), wrist(recordings, 30)
    runs = []
    for sensor in (SensorConfig(), USUAL):
        watch = Watch(band, NumpyStep(band, 25), WatchConfig(sensor=sensor))
        hops = list(watch.run(Sensor(recording, sensor)))
        runs.append(([(h.time_s, h.answers.tobytes(), h.unmoved) for h in hops], asdict(watch.counters)))
        assert watch.motion is None
    assert runs[0] == runs[1]
    alone, beside = (firmware_sources(band, 25, design(64, 19, acceleration=a)).files for a in (None, WRIST))
    assert alone == beside
    assert not any("acceleration" in name or "ACCELERATION" in text for name, text in alone.items())


# --- the same in C ---

RUNS = [[k] for k in KINDS] + [[*LIGHT_KINDS, *(k for k in KINDS if k != "acc_absent")]]


@pytest.mark.parametrize("kinds", RUNS, ids=lambda k: k[0] if len(k) == 1 else "all")
def test_every_fault_gives_the_same_outputs_flags_and_counters(recordings, kinds):
    watch, hops, script = played(wrist(recordings, 70), USUAL, often(kinds, 23.0), service_s=0.05)
    run = run_watch(device(), script, hops, watch)
    assert run.same, (run, counters_of(watch))
    assert len(hops) > 40
    books = watch.motion.counters
    assert books.received == books.dropped + books.discarded + books.used + len(watch.motion.ring)
    if kinds == ["acc_saturation"]:
        assert books.clipped > 500
    if len(kinds) > 1:
        assert min(books.dropped, books.lost, books.missing) > 0


@pytest.mark.parametrize("core", [CORES[0], M55], ids=lambda c: c.name)
def test_every_fault_at_once_on_emulated_cores(recordings, core):
    watch, hops, script = played(wrist(recordings, 120, 300), USUAL, often(RUNS[-1], 41.0, 6), service_s=0.05)
    firmware = firmware_sources(MODEL, 25, design(64, 19, acceleration=WRIST), 16, 12)
    if core is M55:
        if absent():
            pytest.skip(absent())
        run = compare_watches(core.name, *play_on_board(firmware, script, len(hops)), hops, watch)
    else:
        run = run_watch(WatchInC(firmware, core), script, hops, watch)
    assert run.same, (run, counters_of(watch))
    assert run.hops > 80


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.booleans(),
            st.one_of(st.just(0), st.integers(-9, 30), st.sampled_from([-251, -250, 26, 200, 201, 2**31 - 1, -(2**31), 2**31])),
            st.integers(0, 40),
            st.integers(-1, 6),
        ),
        st.none(),
    ),
    max_size=60,
)  # fmt: skip


def random_script(steps: list, start: int, seed: int) -> Script:
    """Bursts of either sensor (True: acceleration), each from where it was, and a jump; None: restart."""
    rng, script, at = np.random.default_rng(seed), Script(), {False: start, True: start * 20 // 25}
    for step in steps:
        if step is None:
            script.restart()
            continue
        moves, jump, length, takes = step
        at[moves] = (at[moves] + jump) % (1 << 32)
        counts = rng.integers(-3000, 3000, (length, AXES)) if moves else rng.integers(0, 2**19, length)
        script.push(at[moves], counts, takes)
        at[moves] = (at[moves] + length) % (1 << 32)
    return script


@settings(max_examples=120, deadline=None)
@given(
    steps=STEPS,
    start=st.sampled_from([0, 2**32 - 40, 2**31 - 20]),
    seed=st.integers(0, 2**32 - 1),
    gap=st.sampled_from(GAPS),
)
@example(steps=[(True, 0, 5, 0), (False, 0, 8, -1)] * 20, start=0, seed=1, gap="interpolate")
@example(steps=[(False, 0, 8, -1)] * 6 + [(True, 0, 40, 0), (False, 0, 8, -1)] * 6, start=0, seed=1, gap="hold")
@example(steps=[(True, 0, 40, 0)] * 4 + [(False, 0, 8, 1)] * 12 + [(True, 201, 5, 0), (False, 0, 8, -1)] * 9, start=0, seed=2, gap="reset")  # fmt: skip
def test_any_bursts_gaps_repeats_stalls_and_restarts_of_both(steps, start, seed, gap):
    watch = Watch(MODEL, NumpyStep(MODEL, 5), WatchConfig(0.2, TINY, gap))
    script = random_script(steps, start, seed)
    hops = play_script(watch, script)
    c = device(TINY, 5, gap)
    run = run_watch(c, script, hops, watch)
    assert run.same, (run, c.books, c.acceleration_books, counters_of(watch))
    books = c.acceleration_books
    assert books["received"] == sum(books[n] for n in ("dropped", "discarded", "used", "waiting"))
    assert books["missing"] == sum(h.unmoved for h in hops)


# --- misuse ---


def test_misuse_is_an_error_code(tmp_path):
    files = dict(firmware_sources(MODEL, 25, design(64, 19, acceleration=WRIST)).files)
    files["size.c"] = (
        '#include "onwrist_watch.h"\nint size(void);\nint size(void) { return (int)sizeof(onwrist_watch); }\n'
    )
    path = tmp_path / "watch.so"
    path.write_bytes(build_native(files))
    library = ctypes.CDLL(str(path))
    room = ctypes.create_string_buffer(library.size() + (1 << 16))
    begin = (ctypes.addressof(room) + 63) & ~63
    watch, arena = ctypes.c_void_p(begin), ctypes.c_void_p(begin + (library.size() // 64 + 2) * 64)
    counts, out = (ctypes.c_int16 * 12)(), ctypes.create_string_buffer(256)
    push, books = library.onwrist_watch_push_acceleration, library.onwrist_watch_acceleration_books
    assert push(None, 0, counts, 4) == books(None, out) == -1
    assert push(watch, 0, counts, 4) == books(watch, out) == -2
    assert library.onwrist_watch_init(watch, arena, 0) == 0
    assert push(watch, 0, counts, -1) == -3
    assert push(watch, 0, None, 3) == books(watch, None) == -1
    assert push(watch, 0, None, 0) == push(watch, 0, counts, 4) == books(watch, out) == 0


def test_what_does_not_fit_together_is_refused(recordings):
    with pytest.raises(ExportError, match="no accelerometer"):
        firmware_sources(MODEL, 25, design(64, 19))
    with pytest.raises(ExportError, match="no accelerometer"):
        Watch(MODEL, NumpyStep(MODEL, 25), WatchConfig())
    other = replace(MODEL, inputs=(MODEL.inputs[0], replace(MODEL.inputs[1], name="gyro")))
    with pytest.raises(ExportError, match=r"three of acceleration .* called acc"):
        firmware_sources(other, 25, design(64, 19, acceleration=WRIST))
    with pytest.raises(ConfigError, match="a second of samples"):
        AccelerometerConfig(25, fifo=26)
    with pytest.raises(ConfigError, match="bits"):
        AccelerationConfig(bits=17)
    recording = wrist(recordings, 20)
    with pytest.raises(RecordingError, match="is in counts"):
        Sensor(replace(recording, acc=replace(recording.acc, units="counts")), USUAL)
    with pytest.raises(ConfigError, match="acc_clock"):
        parse_faults(("acc_clok",))
    assert set(ACCELERATION) < set(firmware_sources(MODEL, 25, design(64, 19, acceleration=WRIST)).files)
