"""Acceleration in teaching: of the same moments as the light, made with the motion that it causes, and no loss without it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import pulse

from onwrist.errors import ConfigError
from onwrist.firmware_sim.motion import MotionConfig, main
from onwrist.models.student.graph import graph_of, takes_acceleration
from onwrist.models.student.network import LADDER, MOTION_WIDTHS, Student, describe, network_of
from onwrist.quantize.judging.evaluate import evaluation_of, run_integers, run_torch
from onwrist.quantize.teaching.augment import Motion, turned, watch_version
from onwrist.quantize.teaching.distillation import train
from onwrist.quantize.teaching.examples import Standard, build, load_examples, save_examples
from onwrist.quantize.teaching.motion import bouts, coupled, steps
from onwrist.quantize.teaching.student_files import float_weights, load_student, save_student, take_over
from onwrist.signals.people.cohort import cut, prepare
from onwrist.signals.people.material import Item, Material
from onwrist.signals.pulse.baselines import spectral_peak
from onwrist.signals.pulse.motion_aware import adaptive_filter, spectral_subtraction
from onwrist.signals.pulse.tracking import RATES, RateTrack, tracked
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Channel, Recording

SHAPE = replace(LADDER["band"], motion=MOTION_WIDTHS["band"])


def worn(seconds=120, ppg_hz=64.0, acc_hz=32.0, start_s=0.0, knock_s=60.3) -> Recording:
    """A pulse, gravity, and a knock that light and acceleration feel at once."""
    t, u = np.arange(int(seconds * ppg_hz)) / ppg_hz, start_s + np.arange(int(seconds * acc_hz)) / acc_hz
    bump = lambda at: np.exp(-0.5 * ((at - knock_s) / 0.06) ** 2)  # noqa: E731
    acc = np.stack([0.1 + 0 * u, -0.2 + 1.2 * bump(u), 0.97 + 0 * u], axis=1)
    ppg = pulse(t, dc=1000, ac=0.1) + 1.2 * bump(t)
    return Recording(
        Channel(ppg.astype(np.float32), ppg_hz), "a", "made.npz",
        acc=Channel(acc.astype(np.float32), acc_hz, "acc", "g", start_s),
    )  # fmt: skip


# --- the signal ---


@pytest.mark.parametrize(("ppg_hz", "acc_hz", "start_s"), [(64, 32, 0), (125, 50, 7.5), (25, 104, -3.2)])
def test_light_and_acceleration_are_of_the_same_moments(ppg_hz, acc_hz, start_s):
    """One sweep from 0.8 to 2 Hz in both, as two sensors of their own rates and beginnings have it."""
    sweep = lambda t: np.sin(2 * np.pi * (0.8 + 0.005 * t) * t)  # noqa: E731
    t, u = np.arange(120 * ppg_hz) / ppg_hz, start_s + np.arange(120 * acc_hz) / acc_hz
    axes = np.stack([0.1 + 0 * u, 0.6 * sweep(u), 0.97 + 0 * u], axis=1).astype(np.float32)
    light = Channel((1000 + sweep(t)).astype(np.float32), ppg_hz)
    track = prepare(Recording(light, "a", "made.npz", acc=Channel(axes, acc_hz, "acc", "g", start_s)))
    assert track.acceleration.shape == (len(track.student), 3)
    lags = np.arange(-10, 11)
    alike = [np.corrcoef(track.student[500:2500], track.acceleration[500 + k : 2500 + k, 1])[0, 1] for k in lags]
    assert abs(lags[int(np.argmax(alike))]) <= 1
    assert max(alike) > 0.95
    assert 36 <= np.abs(track.acceleration[500:2500, 1].astype(int)).max() <= 42  # 0.6 g in steps of 1/64
    assert np.abs(track.acceleration[500:, [0, 2]]).max() <= 1  # gravity is out
    first = round(max(0, start_s) * 25)
    assert not track.acceleration[: max(0, first - 1)].any()


def test_windows_of_both_are_cut_alike():
    cohort = cut([prepare(worn())], 10.0)
    light, acceleration = cohort.student_windows(150), cohort.acceleration_windows(150)
    assert acceleration.shape == (len(light), 3, light.shape[1])
    track = cohort.tracks[0]
    row = 5
    np.testing.assert_array_equal(acceleration[row].T, track.acceleration[50 * 25 - 150 : 60 * 25])
    mirrored = np.abs(np.arange(-150, 250))
    np.testing.assert_array_equal(acceleration[0].T, track.acceleration[mirrored])


def test_who_has_no_acceleration_or_not_in_g_is_still():
    bare = replace(worn(), acc=None)
    assert prepare(bare).acceleration is None
    assert prepare(replace(worn(), acc=replace(worn().acc, units="counts"))).acceleration is None
    both = cut([prepare(bare), prepare(worn())])
    windows = both.acceleration_windows(150)
    assert not windows[both.at == 0].any()
    assert windows[both.at == 1].any()


def test_a_number_that_no_wrist_is_accelerated_by_is_bridged():
    recording = worn()
    recording.acc.samples[600] = -210_000.0
    recording.acc.samples[700] = np.nan
    clean, odd = prepare(worn()), prepare(recording)
    assert np.abs(clean.acceleration.astype(int) - odd.acceleration).max() <= 1


def test_acceleration_in_metres_is_read_as_g(tmp_path):
    """As the wrist exercises of PhysioNet have it: thousandths of m/s2."""
    acc = np.tile(np.array([0, 0, 9807], np.int16), (640, 1))
    np.savez(
        tmp_path / "a.npz", ppg=np.arange(1280), fs_ppg=64.0, acc=acc, fs_acc=32.0, acc_scale=0.001,
        acc_unit="m/s2 low-noise",
    )  # fmt: skip
    found = read_recording(tmp_path / "a.npz").acc
    np.testing.assert_allclose(found.samples[0], [0, 0, 1], atol=1e-3)


# --- what is made ---


def explained(light: np.ndarray, acceleration: np.ndarray, taps: int = 25) -> float:
    """Share of the light that the best linear filter of the three axes gives."""
    lines = [np.roll(axis, k) for axis in acceleration.T for k in range(taps)]
    a = np.stack(lines, axis=1)[taps:]
    y = light[taps:]
    left = y - a @ np.linalg.lstsq(a, y, rcond=None)[0]
    return 1 - float(left.var() / y.var())


@pytest.mark.parametrize("seed", range(4))
def test_made_motion_comes_with_the_acceleration_that_explains_it(seed):
    rng = np.random.default_rng(seed)
    made = steps(500, 25.0, rng, felt=True)
    assert made.light.std() == pytest.approx(1, abs=1e-6)
    assert explained(made.light, made.acceleration) > 0.8
    shake = np.random.default_rng(seed).normal(size=(2000, 3))
    assert explained(coupled(shake, 25.0, np.random.default_rng(seed)), shake) > 0.6
    other = steps(500, 25.0, np.random.default_rng(seed + 50), felt=True)
    assert explained(other.light, np.random.default_rng(9).normal(size=(500, 3))) < 0.5


def test_felt_bouts_move_the_light_only_where_they_are_felt():
    spared = 0
    for seed in range(20):
        made = bouts(6000, 25.0, np.random.default_rng(seed), [], 1.3, felt=True)
        felt = np.abs(made.acceleration).sum(axis=1) > 1e-9
        assert not np.any((np.abs(made.light) > 1e-9) & ~felt)
        spared += int(np.sum(felt & (made.light == 0)))
    assert spared > 1000  # under a tight strap


def test_what_is_made_for_light_alone_is_what_it_was():
    """The draws of a recipe without acceleration: whoever repeats one gets the same versions."""
    recording = worn()
    track = prepare(recording)
    motion = Motion([track.student], [])
    a = watch_version(recording, track, np.random.default_rng(3), motion)[0]
    b = watch_version(recording, replace(track, acceleration=None), np.random.default_rng(3), motion)[0]
    np.testing.assert_array_equal(a.student, b.student)
    assert a.acceleration is None


def test_a_version_for_an_accelerometer_has_what_the_wrist_felt():
    recording = worn()
    track = prepare(recording)
    found = [
        watch_version(recording, track, np.random.default_rng(s), Motion([], []), accelerometer=True)[0]
        for s in range(8)
    ]
    for version in found:
        assert version.acceleration.shape == (len(version.student), 3)
        assert np.abs(version.acceleration.astype(int)).max() > 10  # the knock, at least
    axes = np.random.default_rng(0).normal(size=(50, 3))
    size = np.linalg.norm(turned(axes, np.random.default_rng(1)), axis=1) / np.linalg.norm(axes, axis=1)
    assert size.std() < 1e-9
    assert 0.8 < size[0] < 1.25


@pytest.fixture(scope="module")
def examples(recordings):
    material = Material(
        tuple(Item(recordings / f"{n}.npz", n, r) for n, r in (("S02", "train"), ("bidmc_13", "train"))), sets=False
    )
    return build(None, SHAPE.context, versions=2, material=material, accelerometer=True)[0]


def test_examples_have_acceleration_where_somebody_wore_it(examples, tmp_path):
    assert examples.acceleration.shape == (len(examples), 3, examples.x.shape[1])
    assert examples.acceleration.any(axis=(1, 2)).mean() > 0.3
    save_examples(tmp_path / "e.npz", examples, Standard(np.zeros(256), np.ones(256)))
    np.testing.assert_array_equal(load_examples(tmp_path / "e.npz")[0].acceleration, examples.acceleration)
    light, acceleration = examples.fed(network_of(SHAPE))
    assert light is examples.x
    np.testing.assert_allclose(acceleration[:, 0, 0], examples.acceleration[:, 0, 0] / 32)
    assert len(examples.fed(Student(LADDER["band"]))) == 1


# --- the student ---


@pytest.fixture(scope="module")
def begun() -> Student:
    student = network_of(SHAPE)
    take_over(student, float_weights("band"))
    return student.eval()


def test_a_student_begins_as_the_one_without_acceleration(begun):
    shipped, _ = load_student(float_weights("band"))
    torch.manual_seed(0)
    x, acc = torch.randn(5, SHAPE.window), torch.randn(5, 3, SHAPE.window)
    for said in (begun(x, acc), tuple(graph_of(begun).said(x, acc).values())):
        for a, b in zip(said, shipped(x), strict=True):
            torch.testing.assert_close(a, b)
    assert takes_acceleration(begun)
    assert not takes_acceleration(shipped)
    assert [(i.name, i.channels, i.period) for i in graph_of(begun).inputs] == [("ppg", 1, 1), ("acc", 3, 1)]


def test_it_learns_from_acceleration_and_survives_the_disk(begun, examples, tmp_path):
    student = network_of(SHAPE)
    take_over(student, float_weights("band"))
    list(train(student, examples, steps=3, batch=16, lr=2e-3, weight_decay=0.0, seed=0, bf16=False))
    assert student.motion[-1].weight.abs().max() > 0
    save_student(tmp_path / "s.safetensors", student, Standard(np.zeros(256), np.ones(256)), {})
    again, _ = load_student(tmp_path / "s.safetensors")
    x, acc = torch.randn(2, SHAPE.window), torch.randn(2, 3, SHAPE.window)
    torch.testing.assert_close(again(x, acc)[0], student.eval()(x, acc)[0])
    assert not torch.allclose(again(x, acc)[0], again(x, 0 * acc)[0])


def test_examples_of_light_alone_teach_no_student_of_both(examples):
    light = replace(examples, acceleration=np.zeros((0, 0, 0), np.int8))
    with pytest.raises(ConfigError, match="light alone"):
        next(train(network_of(SHAPE), light, steps=1, batch=4, lr=1e-3, weight_decay=0.0, seed=0, bf16=False))


def test_held_out_people_without_a_sensor_are_judged_as_still(begun):
    bare = evaluation_of(cut([prepare(replace(worn(), acc=None))]), SHAPE.context, "made")
    light, acceleration = bare.fed(begun)
    assert acceleration.shape == (len(light), 3, SHAPE.window)
    assert not acceleration.any()
    assert len(bare.fed(load_student(float_weights("band"))[0])) == 1


def test_shipped_shapes_are_described_as_before():
    assert "motion" not in describe(LADDER["watch"])
    assert describe(SHAPE)["motion"] == (8, 24)


@pytest.mark.slow
def test_int8_of_both_inputs_is_the_float_student(begun, examples):
    from onwrist.quantize.integers.arithmetic import read_integers
    from onwrist.quantize.integers.fake_quant import quantise
    from onwrist.quantize.integers.training import calibration_batches

    torch.manual_seed(1)
    student = network_of(SHAPE)
    take_over(student, float_weights("band"))
    torch.nn.init.normal_(student.motion[-1].weight, 0, 0.05)
    given = examples.fed(student)
    model = read_integers(quantise(student.eval(), calibration_batches(given, 0)))
    some = [x[::10] for x in given]
    a, b = run_torch(student, *some).embedding, run_integers(model, *some).embedding
    cosine = np.sum(a * b, axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    assert np.median(cosine) > 0.99
    # A step of the second input is 1/64 g.
    assert model.quantise_input(np.float32([1.0]), 1)[0] == 32


# --- the classic methods, and what is followed ---


def test_classic_methods_take_out_what_the_wrist_did():
    """Steps three times as strong as the pulse: who sees the light alone counts steps."""
    rate = 64.0
    t, u = np.arange(640) / rate, np.arange(320) / 32
    light = np.sin(2 * np.pi * 82 / 60 * t) + 3 * np.sin(2 * np.pi * 132 / 60 * t + 1)
    acc = np.stack([np.sin(2 * np.pi * 132 / 60 * u), 0.3 * np.sin(2 * np.pi * 132 / 60 * u + 2), 1 + 0 * u], axis=1)
    assert spectral_peak(light, rate).bpm == pytest.approx(132, abs=1)
    for method in (spectral_subtraction, adaptive_filter):
        assert method(light, rate, acc, 32.0).bpm == pytest.approx(82, abs=2), method.__name__
        assert method(light, rate, 0 * acc, 32.0).bpm == pytest.approx(132, abs=2)
        assert np.isnan(method(np.ones(640), rate, acc, 32.0).bpm)


def test_the_command_holds_methods_against_each_other(tmp_path, capsys):
    """Half a minute of steps beside a pulse of 80, the rate known: who takes acceleration is right, who does not counts steps."""
    t, u, steps_hz = np.arange(64 * 40) / 64, np.arange(32 * 40) / 32, 132 / 60
    acc = np.stack([np.sin(2 * np.pi * steps_hz * u), 0.2 * np.cos(2 * np.pi * steps_hz * u), 1 + 0 * u], axis=1)
    np.savez(
        tmp_path / "walk.npz", ppg=1e4 + 50 * pulse(t, 80) + 200 * np.sin(2 * np.pi * steps_hz * t + 1), fs_ppg=64.0,
        acc=(64 * acc).round().astype(np.int8), acc_lsb_per_g=64.0, fs_acc=32.0, bpm_ref=np.full(17, 80.0), bpm_win_s=8.0,
        bpm_step_s=2.0, subject="walker",
    )  # fmt: skip
    main(MotionConfig((tmp_path / "walk.npz",), out=tmp_path / "motion.json"))
    found = {r["method"]: r for r in json.loads((tmp_path / "motion.json").read_text())["moving"]}
    assert found["spectral peak"]["error_all"] > 40
    for method in ("spectral subtraction", "adaptive filter", "spectral subtraction, tracked"):
        assert found[method]["error_all"] < 3, method
    assert {r["outputs"] for r in found.values()} == {found["watch"]["outputs"]}
    assert "| spectral subtraction | 100 % |" in capsys.readouterr().out
    (tmp_path / "copy").mkdir()
    twice = (tmp_path / "watch.safetensors", tmp_path / "copy" / "watch.safetensors")
    for file in twice:
        file.write_bytes(float_weights("watch").read_bytes())
    with pytest.raises(ConfigError, match="two files of one name"):
        main(MotionConfig((tmp_path / "walk.npz",), twice, tmp_path / "out.json"))


def test_a_followed_rate_goes_along_and_is_not_thrown_by_one_that_is_wrong():
    truth = np.concatenate([np.full(30, 80.0), np.linspace(80, 140, 40), np.full(20, 140.0)])
    said, quality = truth.copy(), np.full(len(truth), 2.0)
    said[[20, 50, 51, 80]] = 190.0
    found = tracked(said, quality)
    assert np.abs(found[5:, 0] - truth[5:]).max() < 8
    assert np.abs(found[5:, 0] - truth[5:]).mean() < 2
    # Long enough in another place, and it is there.
    moved = tracked(np.r_[np.full(30, 80.0), np.full(60, 150.0)], np.full(90, 2.0))
    assert moved[-1, 0] == 150


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(20, 240) | st.just(float("nan")), st.floats(-30, 30)), min_size=2, max_size=40),
    st.integers(1, 39),
)
def test_what_is_followed_never_looks_ahead_and_stays_in_16_bits(hops, cut_at):
    bpm, quality = np.array(hops).T
    whole, part = tracked(bpm, quality), tracked(bpm[:cut_at], quality[:cut_at])
    np.testing.assert_array_equal(whole[: len(part)], part)
    track = RateTrack()
    for r, q in hops:
        found = track.push(track.of_answer(r, q))
        assert track.scores.dtype == np.int32
        assert -(1 << 15) <= track.scores.min() <= track.scores.max() == 0
        assert 0 <= found.margin < 1 << 15
        assert 30 <= found.bpm < 30 + RATES
