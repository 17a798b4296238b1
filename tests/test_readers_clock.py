"""Time stamps as devices write them: the rate, the gaps and the heart rate have to come out right."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import COUNTS, PLAIN, TIMES, T, assert_good, pulse, put, table

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import uniform_clock
from onwrist.signals.recordings.readers import read_recording

N = len(T)
START = datetime.datetime(2024, 5, 1, 23, 59, 30, tzinfo=datetime.UTC)
WHEN = [START + datetime.timedelta(seconds=float(t)) for t in T]
UNIX = START.timestamp()


def words(pattern: str) -> list[str]:
    return [w.strftime(pattern) for w in WHEN]


STAMPS = {
    "iso": ("timestamp", words("%Y-%m-%d %H:%M:%S.%f")),
    "iso with T and zone": ("timestamp", words("%Y-%m-%dT%H:%M:%S.%f+02:00")),
    "iso with Z": ("timestamp", words("%Y-%m-%dT%H:%M:%S.%fZ")),
    "iso, whole seconds without a fraction": ("timestamp", [str(w.replace(tzinfo=None)) for w in WHEN]),
    "iso without marks": ("timestamp", words("%Y%m%dT%H%M%S.%f")),
    "day first": ("date time", words("%d/%m/%Y %H:%M:%S.%f")),
    "month first": ("date time", words("%m/%d/%Y %H:%M:%S.%f")),
    "dots": ("datetime", words("%d.%m.%Y %H:%M:%S.%f")),
    "clock over midnight": ("time", words("%H:%M:%S.%f")),
    "clock with twelve hours": ("time", words("%I:%M:%S.%f %p")),
    "minutes and seconds": ("time", words("%M:%S.%f")),
    "unix s": ("timestamp", [f"{UNIX + t:.6f}" for t in T]),
    "unix ms": ("timestamp", [f"{1e3 * (UNIX + t):.3f}" for t in T]),
    "unix whole ms": ("timestamp", [round(1e3 * (UNIX + t)) for t in T]),
    "unix us": ("timestamp", [int(UNIX * 1e6) + int(1e6 * t) for t in T]),
    "unix ns": ("timestamp", [int(UNIX) * 10**9 + int(1e9 * t) for t in T]),
    "ms": ("timestamp_ms", [f"{1e3 * t:.3f}" for t in T]),
    "ms in brackets": ("Time [ms]", [f"{1e3 * t:.3f}" for t in T]),
    "ms without a name for it": ("timer", [f"{1e3 * t:.3f}" for t in T]),
    "whole ms": ("time", [round(1e3 * t) for t in T]),
    "us": ("t", [int(1e6 * t) for t in T]),
    "us by name": ("time_us", [int(1e6 * t) for t in T]),
    "ns": ("time", [int(1e9 * t) for t in T]),
    "ns by unit": ("sensor timestamp [ns]", [int(1e9 * t) for t in T]),
    "minutes": ("time (min)", [f"{t / 60:.9f}" for t in T]),
    "days of a spreadsheet": ("time", [f"{45413.5 + t / 86400:.11f}" for t in T]),
    "days of MATLAB": ("time", [f"{739373.5 + t / 86400:.11f}" for t in T]),
    "pairs": ("time", [f"{np.floor(t * 32) / 32:.6f}" for t in T]),
    "whole seconds": ("time", [int(t) for t in T]),
    "whole unix seconds": ("timestamp", [int(UNIX + t) for t in T]),
    "iso whole seconds": ("timestamp", words("%Y-%m-%d %H:%M:%S")),
    "packets": ("time", [f"{(i // 16 + 1) * 0.25 + i % 16 * 3e-4:.6f}" for i in range(N)]),
    "packets in ms": ("timestamp", [f"{1e3 * UNIX + (i // 16 + 1) * 250 + i % 16 * 0.3:.1f}" for i in range(N)]),
    "packets of one stamp": ("time", [f"{(i // 25 + 1) * 25 / 64:.6f}" for i in range(N)]),
    "microseconds that run over": ("micros", [(2**32 - 10**7 + int(1e6 * t)) % 2**32 for t in T]),
    "milliseconds of 16 bits": ("millis", [round(1e3 * t) % 65536 for t in np.arange(N) / 64]),
}


@pytest.mark.parametrize("name", STAMPS)
def test_every_stamp_is_the_same_recording(tmp_path, name):
    head, stamps = STAMPS[name]
    assert_good(read_recording(put(tmp_path / "r.csv", table(f"{head},ppg", stamps, COUNTS))))


def test_date_and_time_in_two_columns(tmp_path):
    rows = table("Date,Time,PPG", words("%Y-%m-%d"), words("%H:%M:%S.%f"), COUNTS)
    assert assert_good(read_recording(put(tmp_path / "r.csv", rows))).start_unix == pytest.approx(UNIX)


def test_the_start_is_since_1970_where_the_file_tells(tmp_path):
    for name, tells in (
        ("iso", True),
        ("unix us", True),
        ("unix ns", True),
        ("clock over midnight", False),
        ("ms", False),
    ):
        head, stamps = STAMPS[name]
        start = read_recording(put(tmp_path / "r.csv", table(f"{head},ppg", stamps, COUNTS))).start_unix
        assert start == (pytest.approx(UNIX, abs=1e-3) if tells else None), name


GAP = np.where(T < 30, T, T + 20)


@pytest.mark.parametrize("written", ["seconds", "milliseconds", "packets", "iso", "whole seconds"])
def test_a_gap_is_missing_and_nothing_moves(tmp_path, written):
    n = np.arange(N)
    stamps = {
        "seconds": [f"{t:.6f}" for t in GAP],
        "milliseconds": [round(1e3 * t) for t in GAP],
        "packets": [
            f"{(k // 16 + 1) * 0.25 + k % 16 * 3e-4 + (20 if t >= 30 else 0):.6f}" for k, t in zip(n, T, strict=True)
        ],
        "iso": [(START + datetime.timedelta(seconds=float(t))).isoformat() for t in GAP],
        "whole seconds": [int(t) for t in GAP],
    }[written]
    path = put(tmp_path / "r.csv", table("time,ppg", stamps, [f"{v:.4f}" for v in pulse(GAP)]))
    recording = assert_good(read_recording(path), seconds=80, missing=0.25)
    lost = np.flatnonzero(np.isnan(recording.ppg.samples)) / 64
    assert abs(lost[0] - 30) < 0.05
    assert abs(lost[-1] - 50) < 0.05


def test_lost_packets_are_missing_and_late_ones_are_not(tmp_path):
    rng = np.random.default_rng(0)
    packets = np.arange(240)
    kept = np.setdiff1d(packets, [50, 51, 52, 120])
    arrival = packets * 0.25 + rng.uniform(0, 0.08, 240)
    arrival[30] += 0.3  # late, and the next comes on its heels
    arrival = np.maximum.accumulate(arrival)
    stamps = [f"{arrival[p] + k * 3e-4:.6f}" for p in kept for k in range(16)]
    x = [f"{v:.4f}" for p in kept for v in pulse((p * 16 + np.arange(16)) / 64)]
    recording = assert_good(read_recording(put(tmp_path / "r.csv", table("time,ppg", stamps, x))), missing=4 / 240)
    gone = np.isnan(recording.ppg.samples).reshape(-1, 16).all(axis=1)
    assert np.abs(np.flatnonzero(gone) - [50, 51, 52, 120]).max() <= 2


def test_single_lost_rows_are_missing(tmp_path):
    kept = np.setdiff1d(np.arange(N), [100, 777, 3000])
    rows = table("time,ppg", [TIMES[i] for i in kept], [COUNTS[i] for i in kept])
    recording = read_recording(put(tmp_path / "r.csv", rows))
    assert np.flatnonzero(np.isnan(recording.ppg.samples)).tolist() == [100, 777, 3000]


def test_a_clock_set_back_goes_on_with_a_word(tmp_path):
    stamps = [f"{t - (5 if t >= 30 else 0):.6f}" for t in T]
    recording = assert_good(read_recording(put(tmp_path / "r.csv", table("time,ppg", stamps, COUNTS))))
    assert any("set back by 5 s at row 1921" in n for n in recording.notices)


def test_a_row_that_is_there_twice_is_left_out(tmp_path):
    rows = [*range(1000), 999, *range(1000, N)]
    path = put(tmp_path / "r.csv", table("time,ppg", [TIMES[i] for i in rows], [COUNTS[i] for i in rows]))
    recording = assert_good(read_recording(path))
    np.testing.assert_array_equal(recording.ppg.samples, np.float32([float(c) for c in COUNTS]))
    assert any("1 rows repeat" in n for n in recording.notices)


@pytest.mark.parametrize("rate", [10, 25, 31.25, 33.3, 50, 62.5, 99.9, 128, 256, 1000])
@pytest.mark.parametrize("decimals", [3, 6])
def test_the_true_rate(tmp_path, rate, decimals):
    t = np.arange(int(60 * rate)) / rate
    rows = table("time_s,ppg", [f"{v:.{decimals}f}" for v in t], [f"{v:.4f}" for v in pulse(t)])
    assert_good(read_recording(put(tmp_path / "r.csv", rows)), rate=rate)


def test_a_clock_that_is_a_little_off_keeps_its_own_rate(tmp_path):
    t = np.arange(64 * 300) / 63.9
    rows = table("time,ppg", [f"{v:.6f}" for v in t], [f"{v:.4f}" for v in pulse(t)])
    assert read_recording(put(tmp_path / "r.csv", rows)).ppg.rate_hz == pytest.approx(63.9, abs=1e-3)


def test_uneven_frames_of_a_camera_are_interpolated(tmp_path):
    t = np.cumsum(np.random.default_rng(1).normal(1 / 30, 0.006, 1800))
    rows = table("time,red", [f"{v:.4f}" for v in t], [f"{v:.4f}" for v in pulse(t)])
    recording = read_recording(put(tmp_path / "r.csv", rows))
    assert recording.ppg.rate_hz == pytest.approx(30, rel=0.01)
    inner = np.arange(30, 1700)
    wanted = pulse(t[0] + inner / recording.ppg.rate_hz)
    assert np.sqrt(np.mean((recording.ppg.samples[inner] - wanted) ** 2)) < 0.1


def test_a_rate_beside_stamps_is_obeyed_or_refused(tmp_path):
    path = put(tmp_path / "r.csv", table("time,ppg", [f"{t:.6f}" for t in GAP], [f"{v:.4f}" for v in pulse(GAP)]))
    assert_good(read_recording(path, rate_hz=64), seconds=80, missing=0.25)
    with pytest.raises(RecordingError, match=r"rate_hz is 100, the file says 64"):
        read_recording(path, rate_hz=100)


def test_a_count_of_samples_is_no_millisecond(tmp_path):
    path = put(tmp_path / "r.csv", table("t,ppg", range(N), COUNTS))
    with pytest.raises(RecordingError, match="milliseconds or a count"):
        read_recording(path)
    assert_good(read_recording(path, rate_hz=64))
    kept = [i for i in range(N) if not 1000 <= i < 1640]
    path = put(tmp_path / "n.csv", table("sample,ppg", kept, [COUNTS[i] for i in kept]))
    assert_good(read_recording(path, rate_hz=64), missing=640 / N)


def jump(seconds: float) -> str:
    return table("time,ppg", [f"{t + (seconds if t >= 30 else 0):.6f}" for t in T], COUNTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (jump(3 * 365.25 * 86400), "jumps by 3 years between rows 1920 and 1921"),
        (jump(-2 * 86400), "jumps by 2 days"),
        (jump(2e18), "jumps by"),
        (table("time,ppg", TIMES[::-1], COUNTS), "run backwards.*Sort"),
        (table("time,ppg", np.random.default_rng(0).permutation(TIMES), COUNTS), "disorder.*Sort"),
        (table("time,ppg", TIMES + TIMES, COUNTS + COUNTS), "start anew at row 3841.*Split"),
        (table("time,ppg", ["5"] * N, COUNTS), "do not increase"),
        (table("time_s,ppg", [f"{1e3 * t:.3f}" for t in T], COUNTS), "milliseconds it would be 64 Hz"),
        (table("time,ppg", np.cumsum(np.random.default_rng(0).exponential(0.02, N)), COUNTS), "not one clock"),
        (PLAIN[:30], "do not tell a rate|no time"),
    ],
)
def test_stamps_that_are_no_clock_are_refused_by_their_cause(tmp_path, text, message):
    with pytest.raises(RecordingError, match=message) as caught:
        read_recording(put(tmp_path / "r.csv", text))
    assert "r.csv" in str(caught.value)
    assert caught.value.cure


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([20.0, 25.0, 33.3, 64.0, 100.0, 125.0]),
    jitter=st.floats(0, 0.19),
    gaps=st.lists(st.tuples(st.integers(50, 900), st.integers(1, 2000)), max_size=3, unique_by=lambda g: g[0]),
    seed=st.integers(0, 1000),
)
def test_places_are_those_of_the_clock(rate, jitter, gaps, seed):
    """Any even clock with jitter below a fifth of a step and any gaps: every row lands where it was taken."""
    place = np.arange(1000)
    for at, length in gaps:
        place[at:] += length
    rng = np.random.default_rng(seed)
    clock = uniform_clock((place + rng.uniform(-jitter, jitter, 1000)) / rate, "x", "time")
    assert clock.rate_hz == pytest.approx(rate, rel=2e-3)
    laid = clock.lay(np.arange(1000.0))
    assert len(laid) == clock.length
    assert abs(clock.length - (place[-1] + 1)) <= 0.002 * place[-1] + 1
    if clock.at is None:
        np.testing.assert_array_equal(laid[np.isfinite(laid)], np.arange(1000.0))
