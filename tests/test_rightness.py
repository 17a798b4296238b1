"""Is what is shown right: the reference, the baselines, the reasons, and one verdict whatever the file's format."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.errors import RecordingError
from onwrist.export.handoff.artifacts import load_artifacts
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.gates import verdict
from onwrist.firmware_sim.parity.play import stream
from onwrist.firmware_sim.parity.reasons import REASONS, SHOWN, reason
from onwrist.firmware_sim.parity.reference import HR_LAG_S, reference_rate
from onwrist.firmware_sim.parity.rightness import (
    BIN_SECONDS,
    RATE_BINS,
    baseline_rates,
    by_rate,
    compare_methods,
    mean_by_person,
    paired_by_person,
    right_gates,
    risk_coverage,
    surest,
)
from onwrist.firmware_sim.watch.faults import parse_faults
from onwrist.firmware_sim.watch.watch import WatchConfig, Why
from onwrist.signals.pulse.baselines import methods
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Channel, Recording


@pytest.fixture(scope="module")
def band():
    return load_artifacts("band")


def pulse(bpm: float, seconds: float = 10.0, rate: float = 64.0, seed: int | None = None) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * bpm / 60 * t) + 0.3 * np.sin(4 * np.pi * bpm / 60 * t + 0.5)
    return wave if seed is None else wave + 0.1 * np.random.default_rng(seed).normal(size=len(t))


# --- baselines ---


@settings(max_examples=25, deadline=None)
@given(st.floats(40, 160), st.sampled_from([32.0, 64.0, 125.0]), st.floats(1e-3, 1e4), st.floats(-1e5, 1e5))
def test_every_baseline_counts_a_clean_pulse(bpm, rate, gain, offset):
    for name, method in methods().items():
        if name != "NeuroKit2" or bpm > 50:  # its own thresholds miss a slow one
            assert method(gain * pulse(bpm, rate=rate) + offset, rate).bpm == pytest.approx(bpm, abs=3), name


@pytest.mark.parametrize("window", [np.zeros(640), np.full(640, np.nan), np.zeros(3), np.ones(0)])
def test_no_pulse_is_no_number(window):
    for name, method in methods().items():
        found = method(window, 64.0)
        assert np.isnan(found.bpm), name
        assert found.confidence == -np.inf


def test_a_baseline_is_surer_of_a_pulse_than_of_noise():
    noise = np.random.default_rng(0).normal(size=640)
    for name, method in methods().items():
        assert method(pulse(70, seed=1), 64.0).confidence > method(noise, 64.0).confidence, name


def test_baselines_never_look_ahead():
    line = np.concatenate([pulse(60, 20), pulse(120, 20)])
    pieces = np.split(line, 40)
    only = {"find_peaks": methods()["find_peaks"]}
    whole = baseline_rates(only, pieces, np.ones(40, bool), 64.0)["find_peaks"]
    half = baseline_rates(only, pieces[:20], np.ones(20, bool), 64.0)["find_peaks"]
    np.testing.assert_array_equal(whole[:20], half)
    assert np.isnan(whole[:9]).all()  # ten seconds are not there yet
    assert whole[19, 0] == pytest.approx(60, abs=2)
    assert whole[39, 0] == pytest.approx(120, abs=2)


# --- the reference ---


def bare(**labels) -> Recording:
    ppg = Channel(pulse(70, 120).astype(np.float32), 64.0)
    return Recording(ppg, "p", "made up", 1000.0, labels={k: np.asarray(v) for k, v in labels.items()})


def test_the_best_reference_is_taken_and_named():
    times = np.arange(20.0, 80.0)
    beats = np.arange(1, 100)
    ibi = {"ibi_t": beats * 0.75, "ibi_s": np.full(99, 0.75), "ibi_t0_unix": 1005.0}
    hr = {"hr_e4": np.arange(200.0), "hr_t0_unix": 1010.0}
    found = reference_rate(bare(**ibi, **hr), times)
    assert found.kind == "IBI"
    np.testing.assert_allclose(found.bpm[:50], 80.0)
    assert np.isnan(found.bpm[-1]) or times[-1] < 80  # the intervals end
    lagging = reference_rate(bare(**hr), times)
    assert lagging.kind == "HR"
    assert "lag" in lagging.name
    np.testing.assert_allclose(lagging.bpm, times + HR_LAG_S - 10)
    nothing = reference_rate(bare(), times)
    assert (nothing.kind, nothing.name) == ("", "")
    assert np.isnan(nothing.bpm).all()


def test_labels_of_the_set_come_before_everything_else():
    windows = {
        "bpm_ref": 60.0 + np.arange(50),
        "bpm_win_s": 8.0,
        "bpm_step_s": 2.0,
    }  # the middle of window i is 2 i + 4
    ibi = {"ibi_t": np.arange(1.0, 100.0), "ibi_s": np.ones(99)}
    times = np.arange(1.0, 120.0)
    found = reference_rate(bare(**windows, **ibi), times)
    assert found.kind == "labels"
    middle = times - 5.0
    inside = (middle >= 4) & (middle <= 102)
    np.testing.assert_allclose(found.bpm[inside], 60 + (middle[inside] - 4) / 2)
    assert np.isnan(found.bpm[~inside]).all()
    start = np.array([0.0, 100.0])
    rare = bare(bpm_ref=np.array([70.0, 90.0]), bpm_start_s=start, bpm_end_s=start + 10)
    np.testing.assert_allclose(reference_rate(rare, np.array([10.0, 60.0, 110.0])).bpm, [70, np.nan, 90])


@pytest.mark.parametrize(
    ("labels", "field"),
    [
        ({"bpm_ref": np.ones(3)}, "bpm_start_s"),
        ({"bpm_ref": np.ones(3), "bpm_start_s": np.zeros(2), "bpm_end_s": np.ones(3)}, "a start and an end"),
    ],
)
def test_labels_without_their_times_are_refused(labels, field):
    with pytest.raises(RecordingError, match=field):
        reference_rate(bare(**labels), np.array([10.0]))


def test_intervals_with_holes_are_no_reference_there():
    at = np.concatenate([np.arange(1, 20), np.arange(60, 80)]).astype(float)
    found = reference_rate(bare(ibi_t=at, ibi_s=np.ones(len(at))), np.array([15.0, 45.0, 75.0]))
    np.testing.assert_allclose(found.bpm, [60, np.nan, 60])


def test_shipped_recordings_have_the_reference_that_they_should(recordings):
    kinds = {
        n: reference_rate(read_recording(recordings / f"{n}.npz"), np.array([100.0])).kind for n in ("S34", "bidmc_05")
    }
    assert kinds == {"S34": "IBI", "bidmc_05": "ECG"}


# --- errors, curves, gates ---


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(20, 260), st.floats(20, 260), st.booleans()), min_size=1, max_size=60))
def test_bins_hold_every_output_once(rows):
    truth, said, shown = (np.array(c) for c in zip(*rows, strict=True))
    bins = by_rate(truth, said, shown.astype(bool))
    assert sum(b.outputs for b in bins) == len(rows)
    assert sum(b.shown for b in bins) == shown.sum()
    assert all(b.low in RATE_BINS for b in bins)
    total = sum(b.mae_all * b.outputs for b in bins) / len(rows)
    assert total == pytest.approx(np.abs(truth - said).mean())


def test_people_count_once_however_many_outputs_they_have():
    person = np.array(["a"] * 90 + ["b"] * 10 + ["c"] * 5)
    error, other = np.where(person == "a", 2.0, 6.0), np.full(105, 1.0)
    other[person == "c"] = np.nan  # never shown: says nothing
    assert mean_by_person(error, other, person).value == pytest.approx((1 + 5) / 2)
    assert list(surest(np.array([1.0, np.nan, 3.0, 4.0]), np.array([0.0, 9.0, 2.0, 1.0]), 2)) == [2, 3]


def test_a_curve_shows_the_surest_first_and_ends_where_answers_end():
    error = np.arange(10.0)
    assert risk_coverage(error, -error)[-1] == [1.0, 4.5]
    assert risk_coverage(error, -error)[0] == [0.1, 0.0]
    error[8:] = np.nan
    points = risk_coverage(error, -np.arange(10.0))
    assert points[-1] == [0.8, 3.5]


def test_methods_are_compared_on_the_same_outputs():
    truth = np.full(100, 70.0)
    said, shown = truth + np.where(np.arange(100) < 60, 1.0, 20.0), np.arange(100) < 60
    other = np.stack([truth + 2.0, np.arange(100.0)], axis=1)
    other[90:, 0] = np.nan
    watch, baseline = compare_methods(truth, said, shown, 1.0 * shown, {"b": other})
    assert watch["mae_where_watch_shows"] == pytest.approx(1.0)
    assert watch["mae_at_same_share"] == pytest.approx(1.0)
    assert baseline["answered"] == pytest.approx(0.9)
    assert baseline["mae_at_same_share"] == pytest.approx(2.0)


def gates_of(error: float, kind: str = "ECG", shown: float = 1.0, n: int = 100) -> str:
    truth = np.full(n, 80.0)
    seen = np.arange(n) < shown * n
    return verdict(right_gates(truth, truth + error, seen, kind, kind, 1.0, n))[0]


def test_the_verdict_follows_the_error():
    assert gates_of(1.0) == "PASS"
    assert gates_of(7.0) == "WARN"
    assert gates_of(11.0) == "FAIL"
    assert gates_of(-25.0, "IBI") == "FAIL"
    assert gates_of(25.0, "HR") == "WARN"  # an estimate cannot fail a student, nor let it pass
    assert gates_of(1.0, shown=0.0) == "WARN"
    assert gates_of(1.0, shown=0.1) == "WARN"
    assert gates_of(25.0, kind="") == "PASS"
    no_reference = right_gates(np.full(9, np.nan), np.ones(9), np.ones(9, bool), "", "", 1.0, 9)
    assert verdict(no_reference)[1].endswith("not judged: no reference")


def test_one_bad_bin_is_not_averaged_away():
    truth = np.concatenate([np.full(900, 75.0), np.full(int(BIN_SECONDS), 155.0)])
    said = np.full(len(truth), 75.0)
    word, why = verdict(right_gates(truth, said, np.ones(len(truth), bool), "ECG", "ECG", 1.0, len(truth)))
    assert word == "FAIL"
    assert "worst bin" in why


def test_methods_are_paired_by_person():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(12), 50)
    level = np.repeat(rng.uniform(1, 20, 12), 50)
    found = paired_by_person(level + 1.0, level + rng.normal(0, 0.1, 600), person)
    assert found.low > 0.9
    assert found.high < 1.1
    assert paired_by_person(level[:100], level[:100] + 1, person[:100]).low is None  # two people


# --- reasons ---


def test_every_output_has_one_reason():
    assert reason(0, False) == SHOWN
    assert reason(int(Why.WARMING | Why.POOR), True) == REASONS[1]
    assert reason(int(Why.WARMING), False) == "warming up again after a gap"
    assert reason(int(Why.FLAT | Why.POOR), False).startswith("flat")
    assert reason(int(Why.BRIDGED | Why.CLIPPED), False).startswith("clipped")
    assert {reason(bits, early) for bits in range(32) for early in (False, True)} == set(REASONS)


def wave(samples: np.ndarray) -> Recording:
    return Recording(Channel(samples.astype(np.float32), 64.0, "green"), "p", "mine.csv")


def test_the_cause_that_is_named_is_the_cause(band):
    good = pulse(70, 60, seed=0)
    cut = np.where(np.arange(len(good)) % (64 * 8) < 64 * 2, np.nan, good)
    cases = {
        "Give at least": wave(good[: 64 * 10]),
        "Nothing moves in this channel": wave(np.where(np.arange(len(good)) == 5, 1.0, 0.0)),
        "Samples are missing": wave(cut),
    }
    for words, recording in cases.items():
        with pytest.raises(RecordingError, match=words) as caught:
            stream(recording, Deployed(band))
        assert ("Give at least" in str(caught.value)) == (words == "Give at least")
    with pytest.raises(RecordingError, match="cut off"):
        stream(wave(good), Deployed(band), faults=parse_faults(("saturation:seconds=60,every_s=60",), 0))
    with pytest.raises(RecordingError, match="made up"):
        stream(wave(np.where(np.arange(len(good)) % 128 < 40, np.nan, good)), Deployed(band))


# --- one recording, three formats ---


def test_the_verdict_is_the_same_as_npz_csv_and_edf(band, recordings, tmp_path):
    import pyedflib

    whole = read_recording(recordings / "bidmc_05.npz")
    rate, n = whole.ppg.rate_hz, int(60 * whole.ppg.rate_hz)
    ppg, ecg = whole.ppg.samples[:n].astype(np.float64), whole.ecg.samples[:n].astype(np.float64)
    np.savez(tmp_path / "a.npz", ppg=ppg, ecg=ecg, fs_ppg=rate, fs_ecg=rate, subject="p")
    rows = "\n".join(f"{i / rate:.3f},{p:.4f},{e:.4f}" for i, (p, e) in enumerate(zip(ppg, ecg, strict=True)))
    (tmp_path / "a.csv").write_text("time,ppg,ecg\n" + rows)
    with pyedflib.EdfWriter(str(tmp_path / "a.edf"), 2) as edf:
        for i, (name, x) in enumerate((("PPG", ppg), ("ECG", ecg))):
            edf.setSignalHeader(
                i,
                {
                    "label": name, "dimension": "mV", "sample_frequency": rate, "physical_min": float(np.floor(x.min())),
                    "physical_max": float(np.ceil(x.max())), "digital_min": -32768, "digital_max": 32767,
                    "transducer": "", "prefilter": "",
                },
            )  # fmt: skip
        edf.writeSamples([ppg, ecg])
    found = [
        stream(read_recording(tmp_path / f"a.{end}"), Deployed(band, WatchConfig(2.0))) for end in ("npz", "csv", "edf")
    ]
    words = [[(g.name, g.word) for g in r.gates if "deadlines" not in g.name] for r in found]
    assert words[0] == words[1] == words[2]
    assert len({r.verdict[0] for r in found}) == 1
    assert {r.reference.kind for r in found} == {"ECG"}
