"""Cleaning, the causal front end, beats, people: what every later number stands on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.errors import ConfigError, SplitError
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ, WATCH_RATES_HZ, FrontEnd, condition
from onwrist.signals.people.cohort import cut, mirror_past, prepare
from onwrist.signals.people.split import check_disjoint, person_folds, person_of, role
from onwrist.signals.pulse.beats import Beats, DeviceIntervals, device_labels, upslopes, window_labels
from onwrist.signals.pulse.clean import clean_ppg, fill_gaps, min_max, resample
from onwrist.signals.recordings.readers import read_recording


def tone(hz: float, rate: float, seconds: float = 30.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize(("hz", "gain"), [(0.05, 0.0), (1.5, 1.0), (4.0, 1.0), (20.0, 0.0)])
def test_pulse_band(hz, gain):
    out = clean_ppg(tone(hz, 100), 100)[500:-500]
    assert np.abs(out).max() == pytest.approx(gain, abs=0.05)


def test_cleaning_is_zero_phase():
    x = np.exp(-0.5 * ((np.arange(1000) - 500) / 8.0) ** 2)
    assert abs(int(np.argmax(clean_ppg(x, 100))) - 500) <= 1


def test_gaps_are_bridged_linearly():
    np.testing.assert_allclose(fill_gaps(np.array([np.nan, 1, np.nan, np.nan, 4, np.nan])), [1, 1, 2, 3, 4, 4])


@pytest.mark.parametrize("rate", [25, 29.41, 64, 125, 250])
def test_resampling_keeps_a_pulse_tone(rate):
    out = resample(tone(1.3, rate), rate, 100)
    assert len(out) == pytest.approx(3000, abs=5)
    middle = slice(500, 2500)
    assert np.corrcoef(out[middle], tone(1.3, 100)[: len(out)][middle])[0, 1] > 0.995


def test_min_max_is_per_window_and_survives_a_flat_one():
    w = min_max(np.stack([np.linspace(3, 9, 10), np.full(10, 7.0)]).astype(np.float32))
    assert (w[0].min(), w[0].max()) == (-1, 1)
    assert not w[1].any()


# --- front end ---


@settings(max_examples=40, deadline=None)
@given(rate=st.sampled_from(WATCH_RATES_HZ), cuts=st.lists(st.integers(0, 2000), max_size=30), seed=st.integers(0, 99))
def test_any_split_into_bursts_gives_the_same_stream(rate, cuts, seed):
    x = np.random.default_rng(seed).normal(size=2000).cumsum()
    whole = condition(x, rate)
    front_end = FrontEnd(rate)
    pieces = [front_end.push(p) for p in np.split(x, sorted(cuts))]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


@pytest.mark.parametrize("rate", WATCH_RATES_HZ)
def test_every_watch_rate_arrives_at_25_hz(rate):
    out = condition(1000 + tone(1.2, rate, 60), rate)
    assert len(out) == pytest.approx(60 * STUDENT_RATE_HZ, abs=2)
    spectrum = np.abs(np.fft.rfft(out[500:1500] * np.hanning(1000)))
    assert np.argmax(spectrum) * STUDENT_RATE_HZ / 1000 == pytest.approx(1.2, abs=0.03)
    # Unit mean magnitude: a sine then peaks at pi / 2.
    assert out[500:].max() == pytest.approx(np.pi / 2, rel=0.06)


@pytest.mark.parametrize("rate", [50, 64, 100, 125])  # slower sensors cannot hold the tone
def test_what_would_alias_into_the_pulse_band_is_removed(rate):
    # 12.5 to 17 Hz folds onto 8-12.5 Hz; 20 Hz and more folds onto the pulse.
    pulse, alias = tone(1.2, rate), tone(23.0, rate)
    a, b = condition(pulse, rate), condition(pulse + alias, rate)
    assert np.abs(a - b)[250:].max() < 0.05


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.1, 1e4), offset=st.floats(-1e5, 1e5))
def test_gain_and_offset_of_the_sensor_do_not_matter(gain, offset):
    x = tone(1.1, 64, 20) + 0.2 * tone(2.2, 64, 20)
    # A thirtieth of an input step: at the very first sample the rounding of a large offset is all there is to scale.
    np.testing.assert_allclose(condition(gain * x + offset, 64), condition(x, 64), atol=1e-3)


def test_front_end_is_causal():
    x = np.random.default_rng(0).normal(size=1280)
    y = x.copy()
    y[700:] = 0
    a, b = condition(x, 64), condition(y, 64)
    same = int(700 * 25 / 64)
    np.testing.assert_array_equal(a[:same], b[:same])
    assert np.abs(a[same + 20 :] - b[same + 20 :]).max() > 0.1


def test_a_rate_below_the_students_is_refused():
    with pytest.raises(ConfigError, match="below"):
        FrontEnd(20)


def test_mirrored_past_is_the_signal_backwards():
    np.testing.assert_array_equal(mirror_past(np.arange(5), 3), [3, 2, 1, 0, 1, 2, 3, 4])
    assert len(mirror_past(np.arange(5), 12)) == 17


# --- beats ---


def regular(interval: float, count: int = 40, delay: float = 0.3) -> Beats:
    r = np.arange(count) * interval
    return Beats(r, r + delay, delay)


def test_labels_of_a_regular_pulse():
    label = window_labels(regular(0.75), 5, 15)
    assert label["hr"] == pytest.approx(80)
    assert label["rmssd"] == pytest.approx(0, abs=1e-6)
    assert (label["irregular"], label["quality"]) == (0, 1)


def test_labels_of_an_irregular_pulse():
    r = np.cumsum(np.random.default_rng(0).uniform(0.4, 1.2, 40))
    assert window_labels(Beats(r, r + 0.3, 0.3), 5, 15)["irregular"] == 1


def test_no_label_where_the_pulse_does_not_follow():
    beats = regular(0.75)
    scrambled = Beats(beats.r, beats.upslope + 0.37, 0.3)
    label = window_labels(scrambled, 5, 15)
    assert label["quality"] == 0
    assert np.isnan(label["hr"])
    assert np.isnan(label["irregular"])


def test_an_irregular_pulse_that_follows_its_ecg_is_a_good_signal():
    r = np.cumsum(np.random.default_rng(0).uniform(0.4, 1.2, 40))
    weak = np.delete(r + 0.3, slice(3, None, 4))  # every fourth beat without a pulse
    label = window_labels(Beats(r, weak, 0.3), 5, 15)
    assert (label["irregular"], label["quality"]) == (1, 1)


def test_an_even_pulse_whose_ecg_missed_beats_has_no_rate():
    pulses = np.arange(60) * 0.5 + 0.3
    r = np.delete(pulses - 0.3, slice(5, None, 6))
    label = window_labels(Beats(r, pulses, 0.3), 5, 15)
    assert label["quality"] == 1
    assert np.isnan(label["hr"])
    assert np.isnan(label["irregular"])


def test_chance_does_not_make_a_fast_pulse_good():
    r = np.arange(120) * 0.3
    rng = np.random.default_rng(0)
    noise = np.sort(rng.uniform(0, 36, 120))
    assert window_labels(Beats(r, noise, 0.3), 5, 15)["quality"] != 1


def test_labels_from_a_wristbands_own_intervals():
    at = np.arange(1, 60) * 0.8
    device = DeviceIntervals(at, np.full(59, 0.8), at - 0.1)
    label = device_labels(device, 5, 15)
    assert label["hr"] == pytest.approx(75)
    assert (label["quality"], label["irregular"]) == (1, 0)
    strange = DeviceIntervals(at, np.full(59, 0.8), np.arange(1, 90) * 0.53)
    assert device_labels(strange, 5, 15)["quality"] != 1
    noise = DeviceIntervals(at + 100, np.full(59, 0.8), np.cumsum(np.tile([0.3, 1.4, 0.7], 20)))
    assert device_labels(noise, 5, 15)["quality"] == 0


def test_upslopes_find_every_pulse_of_a_real_recording(recordings):
    track = prepare(read_recording(recordings / "bidmc_13.npz"))
    assert len(upslopes(track.teacher, 100)) == pytest.approx(len(track.beats.r), rel=0.03)
    # The file's delay counts from the R-peak, GQRS marks the onset of the QRS complex.
    assert track.beats.delay_s == pytest.approx(float(track.extra["delay_s"]), abs=0.06)


def test_heart_rate_label_agrees_with_the_monitor(recordings):
    track = prepare(read_recording(recordings / "bidmc_18.npz"))
    cohort = cut([track])
    monitor = [np.median(track.extra["num_hr_1hz"][int(s) : int(s) + 10]) for s in cohort.start_s]
    assert np.nanmedian(np.abs(cohort.labels["hr"] - monitor)) < 1.5


# --- people ---


def test_known_doubles_are_one_person():
    assert person_of("bidmc_21") == person_of("bidmc_20")
    with pytest.raises(SplitError, match="both sides"):
        check_disjoint(["bidmc_20"], ["bidmc_21"])


def test_neighbouring_record_numbers_may_be_one_patient():
    with pytest.raises(SplitError, match="one patient"):
        check_disjoint(["a103l"], ["a104s"])
    check_disjoint(["a103l"], ["a111l"])
    with pytest.raises(SplitError, match="nobody"):
        check_disjoint([], ["a104s"])


def test_roles_leave_a_gap_around_the_held_out_blocks():
    names = [f"a{n}l" for n in range(100, 850)]
    train = [n for n in names if role(n) == "train"]
    test = [n for n in names if role(n) == "test"]
    assert len(test) > 0.15 * len(names)
    check_disjoint(train, test)


def test_shipped_recordings_are_of_people_nobody_trained_on(recordings):
    assert {role(f.stem) for f in recordings.glob("*.npz")} == {"test"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("abcdefghij"), min_size=20, max_size=80), st.integers(2, 4))
def test_folds_split_people_never_windows(groups, folds):
    if len(set(groups)) < folds:
        with pytest.raises(SplitError):
            person_folds(groups, folds)
        return
    parts = person_folds(groups, folds)
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    where = [{groups[i] for i in part} for part in parts]
    assert sum(len(w) for w in where) == len(set(groups))
