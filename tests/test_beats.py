"""Beats: known pulse trains give known intervals, C is Python in every beat, what cannot be trusted is not said."""

import ctypes
import json
from dataclasses import replace
from functools import lru_cache

import made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.errors import ConfigError
from onwrist.export.sources.beats_rules import beats_config, room_for
from onwrist.export.sources.files import runtime_sources
from onwrist.export.sources.firmware import BEATS, BEATS_CONFIG, firmware_sources, with_beats
from onwrist.firmware_sim.beats import BeatsConfig, main
from onwrist.firmware_sim.parity.beats import common_delay, judge, matched
from onwrist.firmware_sim.parity.beats_table import person, plain
from onwrist.firmware_sim.runtimes.compiler import CORES, build_native
from onwrist.firmware_sim.runtimes.device import Native
from onwrist.firmware_sim.runtimes.hop import NumpyStep
from onwrist.firmware_sim.runtimes.native import WatchInC
from onwrist.firmware_sim.watch.golden import play_script
from onwrist.firmware_sim.watch.script import ALL, Script
from onwrist.firmware_sim.watch.sensor import SensorConfig
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig
from onwrist.models.bench.probe import auroc
from onwrist.models.bench.tasks import Task, Windows
from onwrist.quantize.integers.training import load_integers
from onwrist.quantize.judging.adds import beat_features, predictions
from onwrist.signals.front_end.counts import convert, count_wave
from onwrist.signals.front_end.fixed import IN_COUNTS, MAGNITUDE_BITS, FixedFrontEnd, design
from onwrist.signals.front_end.floating import FrontEnd
from onwrist.signals.pulse import onset_rules as rules
from onwrist.signals.pulse.baselines import counted_beats, over_windows
from onwrist.signals.pulse.clean import min_max
from onwrist.signals.pulse.heartbeats import rhythm_of, sure_stretches
from onwrist.signals.pulse.onsets import UNITS_HZ, BeatDetector, delay_of
from onwrist.signals.pulse.stream import BeatStream, find_beats
from onwrist.signals.recordings.readers import read_recording

BAND = load_integers("band")
PLAYER = """#include "onwrist_beats.h"
int32_t size_of_beats(void);
int32_t play(onwrist_beats *b, const int32_t *y, const int64_t *m, const uint8_t *spoilt, int32_t n, uint32_t *out);
int32_t size_of_beats(void) { return (int32_t)sizeof(onwrist_beats); }
int32_t play(onwrist_beats *b, const int32_t *y, const int64_t *m, const uint8_t *spoilt, int32_t n, uint32_t *out) {
    int32_t k = 0;
    for (int32_t i = 0; i < n; i++) {
        if (spoilt[i]) onwrist_beats_spoil(b);
        if (!onwrist_beats_push(b, y[i], m[i])) continue;
        out[4 * k] = b->beat.time, out[4 * k + 1] = b->beat.found;
        out[4 * k + 2] = b->beat.interval, out[4 * k + 3] = b->beat.confidence;
        k++;
    }
    return k;
}
"""


def train(beat_s, seconds: float, rate: float = 64.0, height=1.0) -> np.ndarray:
    """Counts of pulses whose steepest rises are a fixed time after the given beats: a fast rise, a slow fall."""
    t = np.arange(int(seconds * rate)) / rate
    wave = np.zeros(len(t))
    for b, h in zip(beat_s, np.broadcast_to(height, len(beat_s)), strict=True):
        x = np.maximum(t - b, 0) / 0.09
        wave += h * x**3 * np.exp(-x)
    return np.rint(30000 + 500 * wave).astype(np.int32)


def intervals_of(beats) -> np.ndarray:
    return np.array([b.interval for b in beats if b.interval]) / UNITS_HZ


@lru_cache
def compiled(hop: int = 25, core=None) -> WatchInC:
    fixed = design(64, 16)
    return WatchInC(with_beats(firmware_sources(BAND, hop, fixed), fixed), core, sanitise=core is None)


def both(script: Script, hop: int = 25, core=None) -> tuple[np.ndarray, np.ndarray]:
    """Beats of the watch in C and of the simulated one, as rows, and how many each output had."""
    device = compiled(hop, core)
    device.init()
    found = device.play(script)
    config = WatchConfig(hop / 25, SensorConfig(64, bits=16))
    hops = play_script(Watch(BAND, NumpyStep(BAND, hop), config, beats=True), script)
    assert found.beat_count.tolist() == [len(h.beats) for h in hops]
    expected = [(b.time, b.found, b.interval, b.confidence) for h in hops for b in h.beats]
    return found.beats, np.array(expected, np.uint32).reshape(-1, 4)


def script_of(counts: np.ndarray, lost=()) -> Script:
    script = Script()
    for first in range(0, len(counts), 16):
        if first // 16 not in lost:
            script.push(first, counts[first : first + 16].astype(np.int32), ALL)
    return script


# --- what is known ---


@pytest.mark.parametrize("bpm", [40, 60, 75, 120, 180])
def test_an_even_train_gives_its_interval(bpm):
    beat_s = np.arange(0.5, 60, 60 / bpm)
    found = intervals_of(find_beats(train(beat_s, 60), 64, 16))
    assert len(found) >= 56 * bpm / 60 - 3
    assert np.abs(found - 60 / bpm).max() < 0.004


def test_uneven_intervals_come_out_to_a_few_ms():
    """Respiratory arrhythmia between samples: no interval is a multiple of one."""
    rr = 0.85 + 0.06 * np.sin(np.arange(80) * 0.9) + 0.01 * np.sin(np.arange(80) * 2.3)
    beat_s = 0.5 + np.cumsum(rr)
    found = intervals_of(find_beats(train(beat_s, beat_s[-1] + 1), 64, 16))
    # The first seconds have no beats, and the last pulse does not fall any more.
    ends = [rr[len(rr) - len(found) - k : len(rr) - k] for k in range(3)]
    truth = min(ends, key=lambda r: np.abs(r - found).max())
    assert np.median(np.abs(found - truth)) < 0.003
    assert np.abs(found - truth).max() < 0.012


def test_a_second_wave_is_no_beat():
    """Half as high, 0.3 s after each: an oximeter's dicrotic wave."""
    beat_s = np.arange(0.5, 90, 0.9)
    both_waves = np.sort(np.concatenate([beat_s, beat_s + 0.3]))
    height = np.where(np.isin(both_waves, beat_s), 1.0, 0.45)
    found = intervals_of(find_beats(train(both_waves, 90, height=height), 64, 16))
    assert np.median(found) == pytest.approx(0.9, abs=0.01)
    assert np.mean(np.abs(found - 0.9) < 0.02) > 0.9


def test_beats_come_late_by_less_than_a_second_and_never_early(recordings):
    wave, _ = count_wave(read_recording(recordings / "bidmc_05.npz"), 64, 16)
    beats = find_beats(convert(wave, 16), 64, 16)
    late = np.array([b.found / 25 - b.time / UNITS_HZ for b in beats])
    assert len(beats) > 300
    assert late.min() > 0
    assert np.median(late) < 0.7
    assert late.max() < 2.5


@pytest.mark.parametrize("name", ["bidmc_05", "t477l"])
def test_the_float_front_end_gives_the_same_beats_to_a_ms(recordings, name):
    wave, _ = count_wave(read_recording(recordings / f"{name}.npz"), 64, 16)
    counts = convert(wave, 16)
    fixed, real = FixedFrontEnd(64, 16), FrontEnd(64, IN_COUNTS)
    y = real.highpass.push(real.conversion.push(counts.astype(float))) * 2.0**fixed.design.fraction
    magnitude = real._running_magnitude(np.abs(y)) * 2.0**MAGNITUDE_BITS
    detector = BeatDetector(delay_of(fixed.design))
    found = [detector.push(round(a), round(m), False) for a, m in zip(y.tolist(), magnitude.tolist(), strict=True)]
    floating = [b for b in found if b]
    beats = find_beats(counts, 64, 16)
    assert [b.found for b in beats] == [b.found for b in floating]
    apart = [abs(a.time - b.time) / UNITS_HZ for a, b in zip(beats, floating, strict=True)]
    assert max(apart) < 0.001


def test_minutes_are_those_of_the_intervals():
    """RMSSD, SDNN and pNN50 of a minute against numpy's, over the intervals that are trusted."""
    rr = np.tile([0.80, 0.86, 0.82, 0.90], 107)
    stream = BeatStream(FixedFrontEnd(64, 16))
    beat_s = 0.5 + np.cumsum(rr)
    stream.push(train(beat_s, 60 * 6))
    said, five = stream.minutes.over(1), stream.minutes.over(5)
    minute = [b for b in stream.beats if 5 * rules.MINUTE <= b.found < 6 * rules.MINUTE]
    assert all(b.confidence >= rules.TRUSTED for b in minute)
    ms = np.array([b.interval for b in minute]) * 1e3 / UNITS_HZ
    before = [b.interval for b in stream.beats if b.found < 5 * rules.MINUTE][-1] * 1e3 / UNITS_HZ
    steps = np.diff(np.append(before, ms))
    assert said.intervals == len(ms)
    assert said.mean / 10 == pytest.approx(ms.mean(), abs=0.1)
    assert said.sdnn / 10 == pytest.approx(ms.std(ddof=1), abs=0.15)
    assert np.sqrt(said.bare) / 10 == pytest.approx(np.sqrt(np.mean(steps**2)), abs=0.5)
    assert said.rmssd**2 == pytest.approx(said.bare - rules.JITTER**2, abs=2 * said.rmssd + 1)
    assert said.pnn50 / 1000 == pytest.approx(np.mean(np.abs(steps) > 50), abs=0.002)
    assert five.intervals > 4.5 * said.intervals
    assert stream.minutes.over(5).rmssd == pytest.approx(said.rmssd, rel=0.1)


# --- what cannot be trusted ---


def test_no_interval_spans_a_gap_and_no_beat_lies_in_one():
    beat_s = np.arange(0.5, 60, 0.8)
    lost = range(100, 103)  # 0.75 s from second 25 on: bridged
    found, expected = both(script_of(train(beat_s, 60), lost))
    np.testing.assert_array_equal(found, expected)
    at = found[:, 0] / UNITS_HZ
    assert not np.any((at > 25) & (at < 25.75))
    after = np.flatnonzero(at > 25)[0]
    assert found[after, 2] == 0
    assert found[after, 3] == 0
    assert np.all(found[after + 1 :, 2] > 0)


@pytest.mark.parametrize("rail", [0, 2**16 - 1])
def test_no_interval_spans_a_rail(rail):
    counts = train(np.arange(0.5, 60, 0.8), 60)
    counts[64 * 30] = rail
    beats = find_beats(counts, 64, 16)
    at = np.array([b.time / UNITS_HZ for b in beats])
    assert beats[np.flatnonzero(at > 30)[0]].interval == 0
    assert np.count_nonzero([b.interval == 0 for b in beats]) == 2  # the first of all, and this one


def test_a_flat_line_has_no_beats():
    assert find_beats(np.full(64 * 30, 30000), 64, 16) == []


def test_the_first_seconds_have_none():
    beats = find_beats(train(np.arange(0.5, 30, 0.8), 30), 64, 16)
    assert beats[0].interval == 0
    assert beats[0].time / UNITS_HZ > 1.5


# --- C is Python ---


@pytest.mark.parametrize("core", [None, CORES[0]], ids=["native", "M4F"])
def test_c_gives_every_beat_of_a_recording(recordings, core):
    """Fibrillation, with lost packets, a rail and a start anew."""
    wave, _ = count_wave(read_recording(recordings / "t477l.npz"), 64, 16)
    wave = wave[: 64 * (90 if core else 240)].copy()
    wave[64 * 40 : 64 * 41] = 2**16
    lost = [60, 61, *range(240, 250)]
    found, expected = both(script_of(convert(wave, 16), lost), core=core)
    np.testing.assert_array_equal(found, expected)
    assert len(found) > (60 if core else 200)


@pytest.mark.parametrize("hop", [5, 250])
def test_c_gives_every_beat_at_any_hop(hop):
    found, expected = both(script_of(train(np.arange(0.5, 40, 0.33), 40), [50, 51]), hop)
    np.testing.assert_array_equal(found, expected)
    assert len(found) > 60
    assert room_for(hop) >= hop / 6


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sets(st.integers(0, 60), max_size=12), st.sampled_from([0.3, 3.0, 60.0]))
def test_c_gives_every_beat_of_anything(seed, lost, roughness):
    """Random walks over the whole range, rails and gaps among them."""
    rng = np.random.default_rng(seed)
    walk = 2**15 + 60 * roughness * np.cumsum(rng.standard_normal(64 * 16)) + 3000 * np.sin(np.arange(64 * 16) / 9)
    found, expected = both(script_of(convert(walk, 16), lost))
    np.testing.assert_array_equal(found, expected)


@lru_cache
def library():
    files = {**runtime_sources(*BEATS), BEATS_CONFIG: beats_config(design(64, 16), 25), "play.c": PLAYER}
    return Native(build_native(files, sanitise=True)).code


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 29), st.integers(0, 40), st.floats(0.05, 3))
def test_widths_hold_for_whatever_the_front_end_may_give(seed, bits, magnitude_bits, tempo):
    """Words of any size beside any magnitude, undefined behaviour traps; minutes too."""
    rng = np.random.default_rng(seed)
    n = 1600
    y = (2.0**bits * np.clip(np.sin(np.arange(n) * tempo) + 0.3 * rng.standard_normal(n), -1, 1)).astype(np.int32)
    m = rng.integers(0, 1 << magnitude_bits, n) if seed % 2 else np.full(n, (1 << magnitude_bits) - 1)
    spoilt = (rng.random(n) < 0.01).astype(np.uint8)
    code = library()
    assert code.size_of_beats() < 1024
    state, out = ctypes.create_string_buffer(1024), np.zeros((n, 4), np.uint32)
    code.onwrist_beats_reset(state)
    m = m.astype(np.int64)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (y, m, spoilt, out)]
    made_up = code.play(state, *pointers[:3], n, pointers[3])
    stream = BeatStream(FixedFrontEnd(64, 16))
    expected = []
    for a, b, bad in zip(y.tolist(), m.tolist(), spoilt.tolist(), strict=True):
        if bad:
            stream.detector.spoil()
        beat = stream.detector.push(a, b, b <= stream.front_end.design.floor)
        stream.minutes.push(beat, stream.detector.span)
        if beat:
            expected.append((beat.time, beat.found, beat.interval, beat.confidence))
    assert out[:made_up].tolist() == [list(e) for e in expected]
    figures = (ctypes.c_uint16 * 6)()
    shown = code.onwrist_beats_variability(state, 1, figures) & 1
    said = stream.minutes.over(1)
    assert bool(shown) == (said is not None)
    if said:
        assert list(figures) == [said.intervals, said.cover, said.mean, said.sdnn, said.rmssd, said.pnn50]


def test_answers_do_not_change_for_beats(recordings):
    wave, _ = count_wave(read_recording(recordings / "bidmc_05.npz"), 64, 16)
    script = script_of(convert(wave[: 64 * 60], 16))
    plain_watch = WatchInC(firmware_sources(BAND, 25, design(64, 16)))
    device = compiled()
    device.init()
    a, b = plain_watch.play(script), device.play(script)
    assert np.array_equal(a.embedding, b.embedding)
    assert np.array_equal(a.answers, b.answers)
    assert len(a.beats) == 0
    assert device.bytes - plain_watch.bytes < 1024


# --- the judge ---


def test_beats_are_matched_one_for_one():
    pairs = matched(np.array([1.0, 2.0, 3.0]), np.array([0.95, 1.02, 2.4, 3.1]))
    assert pairs.tolist() == [[0, 1], [2, 3]]


def test_a_detector_s_own_delay_is_no_error():
    r = np.cumsum(np.random.default_rng(0).uniform(0.6, 1.1, 200))
    assert common_delay(r, r + 0.62) == pytest.approx(0.62, abs=1e-9)


def test_rhythm_is_told_by_the_intervals():
    even = np.full(30, 0.8)
    ectopic = even.copy()
    ectopic[[5, 14, 22]] = 0.5
    ectopic[[6, 15, 23]] = 1.1
    chaos = np.random.default_rng(1).uniform(0.45, 1.2, 30)
    assert [rhythm_of(x) for x in (even, ectopic, chaos)] == ["even", "ectopy", "irregular"]


def test_the_heart_is_known_where_two_detectors_agree(recordings):
    """Most of the healthy person's recording; nothing once the ECG is noise."""
    recording = read_recording(recordings / "neurokit_bio_resting_5min_100hz.npz")
    stretches = sure_stretches(recording)
    assert len(stretches) >= 6
    noise = np.random.default_rng(0).standard_normal(len(recording.ecg.samples)).astype(np.float32)
    assert len(sure_stretches(replace(recording, ecg=replace(recording.ecg, samples=noise)))) <= 1
    assert sure_stretches(replace(recording, ecg=None)) == []


def test_two_records_of_one_patient_are_one_person(recordings):
    judged = judge(read_recording(recordings / "neurokit_bio_resting_5min_100hz.npz"), others=False)
    assert person(replace(judged, name="bidmc_21")) == "bidmc_20"
    assert person(replace(judged, name="mine", subject="me")) == "me"


def test_over_windows_finds_what_one_window_finds():
    counts = train(np.arange(0.5, 60, 0.8), 60).astype(float)
    whole, parts = counted_beats(counts, 64.0), over_windows(counted_beats, counts, 64.0)
    inner = (whole > 1) & (whole < 59)
    assert np.abs(whole[inner][:, None] - parts[None]).min(axis=1).max() < 0.05
    assert abs(len(whole) - len(parts)) <= 2


def test_the_command_judges_a_recording(recordings, tmp_path, capsys):
    out = tmp_path / "beats.json"
    main(BeatsConfig((recordings / "neurokit_bio_resting_5min_100hz.npz",), out=out))
    shown = capsys.readouterr().out
    found = json.loads(out.read_text())
    watch = found["conditions"]["even"]["watch"]
    assert "| even (1, " in shown
    assert watch["f1"] > 0.98
    assert watch["interval_ms"] < 10
    assert set(found["conditions"]["even"]) >= {"watch", "find_peaks", "MSPTDfast"}
    for row in found["confidence"]:
        assert 0 <= row["promised"] <= 1


def test_without_an_ecg_it_says_what_to_do(tmp_path):
    csv = made.put(tmp_path / "plain.csv", made.PLAIN)
    with pytest.raises(ConfigError, match="ECG") as error:
        main(BeatsConfig((csv,), out=tmp_path / "x.json"))
    assert "half a minute" in error.value.cure


def test_a_report_is_empty_of_nobody():
    assert plain([])["conditions"] == {}


# --- what the embedding adds ---


@pytest.mark.slow
def test_what_an_embedding_adds_is_found_where_it_adds_and_only_there():
    """Ten people, a rhythm that intervals tell half of: noise adds nothing, the truth adds the rest."""
    rng = np.random.default_rng(0)
    person = np.repeat([f"p{i}" for i in range(10)], 40)
    truth = rng.integers(0, 2, len(person)).astype(float)
    few = {"few": np.column_stack([truth + 1.5 * rng.standard_normal(len(truth)) for _ in range(3)])}
    windows = Windows(np.zeros((len(truth), 1)), person, person, np.zeros(len(truth), bool), {"AF": truth})
    task = Task("AF", "ppg_arrhythmia", "AF", "auroc", "folds", 5)
    noise, knows = rng.standard_normal((len(truth), 8)), truth[:, None] + 0.3 * rng.standard_normal((len(truth), 8))
    gain = {}
    for name, embedding in (("noise", noise), ("knows", knows)):
        said = predictions(task, windows, few, embedding)
        assert all(np.isfinite(p).all() for p in said.values())
        gain[name] = auroc(truth, said["few and embedding"]) - auroc(truth, said["few"])
    assert gain["knows"] > 0.03
    assert abs(gain["noise"]) < 0.03


def test_the_watch_s_beats_tell_even_from_uneven():
    """Ten seconds at 100 Hz, as the bench has them."""
    even = train(np.arange(0.4, 10, 0.8), 10, 100).astype(np.float32)
    uneven = train(np.array([0.4, 1.0, 2.1, 2.7, 3.9, 4.4, 5.6, 6.1, 7.3, 7.9, 9.0]), 10, 100).astype(np.float32)
    x = beat_features(min_max(np.stack([even, uneven])))
    assert x[0, 0] == pytest.approx(75, abs=1)
    assert x[0, 4] < 0.02 < 0.2 < x[1, 4]
    assert not beat_features(np.zeros((1, 1000), np.float32)).any()
