"""Kinds of files that strangers have and the issue's list had not: each is the same minute, or refused by its cause."""

import datetime
import decimal

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import wfdb
from made import BPM, COUNTS, PLAIN, RATE, SECONDS, TIMES, T, assert_good, pulse, put, table
from test_readers_binary import e4

from onwrist.errors import RecordingError
from onwrist.models.bench.labels import load_labels
from onwrist.signals.recordings.readers import read_recording, recordings_in

X = pulse(T, dc=1000, ac=50)
AROUND_ZERO = [f"{float(v) - 1000:.4f}" for v in COUNTS]
WHEN = [datetime.datetime(2024, 5, 1, 23, 59, 30) + datetime.timedelta(seconds=float(t)) for t in T]
MISSING = [640 <= i < 1280 for i in range(len(T))]
LABCHART = (
    "Interval=\t0.015625 s\nExcelDateTime=\t4.5413e+04\t05/01/24 10:00:00\nTimeFormat=\tStartOfBlock\nDateFormat=\t\n"
    "ChannelTitle=\tPPG\tECG\nRange=\t10.000 V\t5 mV\n"
)
LONG = sorted(
    [(t, "PPG_GREEN", x) for t, x in zip(TIMES, COUNTS, strict=True)]
    + [(f"{float(t) + 0.004:.6f}", "ACC_X", "9.81") for t in TIMES],
    key=lambda row: float(row[0]),
)

SAME = {
    "a minus of its own": table("time,ppg", TIMES, [v.replace("-", "\u2212") for v in AROUND_ZERO]),
    "hh:mm:ss:mmm": table("time,ppg", [f"10:00:{int(t):02d}:{round(t * 1000) % 1000:03d}" for t in T], COUNTS),
    "month first, in half days": table("time,ppg", [w.strftime("%m/%d/%Y %I:%M:%S.%f %p") for w in WHEN], COUNTS),
    "ISO in half days": table("time,ppg", [w.strftime("%Y-%m-%d %I:%M:%S.%f %p") for w in WHEN], COUNTS),
    "ticks of .NET": table("timestamp,ppg", [638501472000000000 + int(t * 1e7) for t in T], COUNTS),
    "ticks of Windows": table("timestamp,ppg", [133591248000000000 + int(t * 1e7) for t in T], COUNTS),
    "LabChart": LABCHART + table("", TIMES, COUNTS, ["0.1"] * len(T), separator="\t"),
    "carriage returns": PLAIN.replace("\n", "\r"),
    "rows of two sensors": table("time,sensor,value", *zip(*LONG, strict=True)),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_minute(tmp_path, name):
    assert_good(read_recording(put(tmp_path / "a.csv", SAME[name])))


def test_half_days_begin_at_midnight(tmp_path):
    found = read_recording(put(tmp_path / "a.csv", SAME["month first, in half days"]))
    assert found.start_unix == WHEN[0].replace(tzinfo=datetime.UTC).timestamp()


def test_labchart_names_its_channels(tmp_path):
    found = read_recording(put(tmp_path / "a.txt", SAME["LabChart"]))
    assert (found.ppg.name, found.ecg.name) == ("PPG", "ECG")


def test_a_count_of_samples_in_a_byte(tmp_path):
    text = table("sample,ppg", [i % 256 for i in range(len(T))], COUNTS)
    assert_good(read_recording(put(tmp_path / "a.csv", text), rate_hz=RATE))


@pytest.mark.parametrize("write", ("csv", "parquet"))
def test_of_several_sensors_one_is_read_or_asked_for(tmp_path, write):
    times, sensors, values = zip(*LONG, strict=True)

    def save(sensors):
        if write == "csv":
            return put(tmp_path / "a.csv", table("time,type,value", times, sensors, values))
        columns = {"time": np.array(times, float), "type": list(sensors), "value": np.array(values, float)}
        pq.write_table(pa.table(columns), tmp_path / "a.parquet")
        return tmp_path / "a.parquet"

    found = assert_good(read_recording(save(sensors)))
    assert any("PPG_GREEN" in n and "ACC_X" in n for n in found.notices)
    other = save([{"PPG_GREEN": "optical", "ACC_X": "acc"}[s] for s in sensors])
    assert_good(read_recording(other, channel="optical"))
    with pytest.raises(RecordingError, match="acc, optical"):
        read_recording(other)


def test_a_column_of_words_beside_a_ppg_by_name_changes_nothing(tmp_path):
    rows = ["rest" if t < 30 else "walk" for t in T]
    assert_good(read_recording(put(tmp_path / "a.csv", table("time,type,ppg", TIMES, rows, COUNTS))))


REFUSED = {
    "ticks of a crystal": (table("timestamp,ppg", [1000 + int(t * 32768) for t in T], COUNTS), "1953 Hz.*time_us"),
    "thousands": (table("time,ppg", TIMES, [f'"{float(v):,.2f}"' for v in COUNTS]), "'1,0.*plain numbers"),
    "hexadecimal": (table("time,ppg", TIMES, [hex(int(float(v))) for v in COUNTS]), "'0x.*plain numbers"),
    "units in cells": (table("time,ppg", TIMES, [f"{v}%" for v in COUNTS]), "%'.*plain numbers"),
    "a header again": (PLAIN.replace("30.000000", "time,ppg\n30.000000"), "'ppg' in row 1921.*split the file"),
    "all in one row": (",".join(COUNTS[:3000]) + "\n", "3,000 numbers in one row"),
    "stamps cut by a spreadsheet": (
        table("timestamp,ppg", [f"{1.7145e12 + 1000 * t:.4E}" for t in T], COUNTS), "do not increase",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_its_cause(tmp_path, name):
    text, words = REFUSED[name]
    with pytest.raises(RecordingError, match=words):
        read_recording(put(tmp_path / "a.csv", text))


@pytest.mark.parametrize("mark", (-9999, -999, 65535))
def test_a_number_that_stands_for_missing(tmp_path, mark):
    text = table("time,ppg", TIMES, [mark if gone else v for gone, v in zip(MISSING, COUNTS, strict=True)])
    found = assert_good(read_recording(put(tmp_path / "a.csv", text)), missing=1 / 6)
    assert any(str(mark) in n and "missing" in n for n in found.notices)


def test_a_rail_is_no_mark(tmp_path):
    counts = np.minimum(pulse(T, dc=65000, ac=900), 65535)
    found = read_recording(put(tmp_path / "a.csv", table("time,ppg", TIMES, [f"{v:.0f}" for v in counts])))
    assert found.missing == 0
    assert found.ppg.samples.max() == 65535


def test_summer_time_is_said(tmp_path):
    local = [
        (w + datetime.timedelta(hours=int(t >= 30))).strftime("%Y-%m-%d %H:%M:%S.%f")
        for w, t in zip(WHEN, T, strict=True)
    ]
    found = read_recording(put(tmp_path / "a.csv", table("time,ppg", local, COUNTS)))
    assert found.seconds == SECONDS + 3600
    assert any("an hour" in n for n in found.notices)


def test_one_rate_for_signals_of_other_length(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ppg"], file["ecg"] = X, np.zeros(4 * len(X))
        file.attrs["fs"] = 256.0
    scipy.io.savemat(tmp_path / "a.mat", {"ppg": X, "ecg": np.zeros(4 * len(X)), "fs": 256.0})
    for name in ("a.h5", "a.mat"):
        with pytest.raises(RecordingError, match=r"one rate \(256 Hz\) for 3,840 samples"):
            read_recording(tmp_path / name)
        assert_good(read_recording(tmp_path / name, rate_hz=RATE))


def test_a_rate_in_words(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ppg"] = X
        file.attrs["sampling_rate"] = "64 Hz"
    assert_good(read_recording(tmp_path / "a.h5"))


def test_a_fill_value_is_missing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ppg"] = np.where(MISSING, -32768, np.rint(X)).astype(np.int16)
        file.attrs["fs"] = 64
    assert_good(read_recording(tmp_path / "a.h5"), missing=1 / 6)


PARQUET = {
    "durations": {"time": pa.array((T * 1e9).astype(np.int64), pa.duration("ns")), "ppg": X},
    "decimals": {"time": T, "ppg": pa.array([decimal.Decimal(f"{v:.3f}") for v in X])},
    "a dictionary": {"time": T, "ppg": pa.array(np.rint(X)).dictionary_encode()},
    "words": {"time": TIMES, "ppg": COUNTS},
    "a zone": {"timestamp": pa.array((T * 1e6).astype(np.int64), pa.timestamp("us", "Europe/Berlin")), "ppg": X},
}


@pytest.mark.parametrize("name", PARQUET)
def test_parquet_types(tmp_path, name):
    pq.write_table(pa.table(PARQUET[name]), tmp_path / "a.parquet")
    assert_good(read_recording(tmp_path / "a.parquet"))


def test_parquet_of_lists_is_refused_by_name(tmp_path):
    rows = pa.array([X[i * 64 : (i + 1) * 64].tolist() for i in range(60)])
    pq.write_table(pa.table({"time": T[:60] * 64, "ppg": rows}), tmp_path / "a.parquet")
    with pytest.raises(RecordingError, match=r"ppg holds lists.*one sample a row"):
        read_recording(tmp_path / "a.parquet")


@pytest.mark.parametrize("layout", (False, True))
def test_wfdb_segments_with_a_pause_between_them(tmp_path, layout):
    wfdb.wrsamp(
        "part", fs=64, units=["NU"], sig_name=["PLETH"], p_signal=X[:, None], fmt=["16"], write_dir=str(tmp_path)
    )
    begins = "all_layout 0\n" if layout else ""
    (tmp_path / "all_layout.hea").write_text("all_layout 1 64 0\n~ 0 1/NU 0 0 0 0 0 PLETH\n")
    (tmp_path / "all.hea").write_text(f"all/{3 + layout} 1 64 9600\n{begins}part 3840\n~ 1920\npart 3840\n")
    assert_good(read_recording(tmp_path / "all.hea"), seconds=150, missing=0.2, bpm=BPM)


def damaged_e4(folder, name, text):
    (e4(folder) / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64.0\n" + "\n".join(COUNTS), "rate of 1"),
        ("1600000000000\n64.0\n" + "\n".join(COUNTS), "since 1970"),
        ("1600000000,0\n64,0\n" + "\n".join(v.replace(".", ",") for v in COUNTS), "2 columns.*with a point"),
    ],
)
def test_an_e4_table_that_would_be_read_wrongly(tmp_path, text, message):
    with pytest.raises(RecordingError, match=message):
        read_recording(damaged_e4(tmp_path / "s", "BVP.csv", text))


def test_e4_intervals_in_milliseconds_are_left_out_with_a_word(tmp_path):
    rows = "".join(f"{5 + 0.8333 * k:.4f},833.3\n" for k in range(50))
    found = read_recording(damaged_e4(tmp_path / "s", "IBI.csv", "1600000000.0, IBI\n" + rows))
    assert "ibi_s" not in found.labels
    assert any("IBI.csv is left out" in n for n in found.notices)


def labelled(folder, label):
    for person in "abc":
        put(folder / f"{person}.csv", PLAIN)
    rows = (f"{p},{p}.csv,{s},{label(p, s)}" for p in "abc" for s in (0, 10, 20))
    return put(folder / "labels.csv", "person,recording,start,label\n" + "\n".join(rows) + "\n")


def test_labels_with_a_decimal_comma_are_numbers_and_with_a_unit_are_refused(tmp_path):
    windows, tasks = load_labels(labelled(tmp_path, lambda p, s: f'"{60 + s},5"'), "rate")
    assert sorted(set(windows.labels[tasks[0].label])) == [60.5, 70.5, 80.5]
    with pytest.raises(RecordingError, match="'60 bpm' is a number with a unit"):
        load_labels(labelled(tmp_path, lambda p, s: f"{60 + s} bpm"), "rate")
    classes = load_labels(labelled(tmp_path, lambda p, s: "n1" if s else "n2"), "stage")[1]
    assert [task.kind for task in classes] == ["auroc"]


def test_a_window_that_is_labelled_twice_contradicts_itself(tmp_path):
    path = labelled(tmp_path, lambda p, s: s // 10)
    path.write_text(path.read_text() + "a,a.csv,10,0\n")
    with pytest.raises(RecordingError, match="line 3 is labelled '1' there and '0' here"):
        load_labels(path, "x")


def test_a_folder_of_recordings_stands_for_all_of_them_and_an_export_for_one(tmp_path):
    study, export = tmp_path / "study", tmp_path / "e4"
    for folder in (study, export, study / "more"):
        folder.mkdir()
    for name in ("b.csv", "a.npz", "README.md"):
        (study / name).touch()
    for name in ("BVP.csv", "ACC.csv"):
        (export / name).touch()
    assert [p.name for p in recordings_in(study)] == ["a.npz", "b.csv"]
    assert recordings_in(export) == [export]
    assert recordings_in(study / "b.csv") == [study / "b.csv"]
    assert recordings_in(study / "none") == [study / "none"]
