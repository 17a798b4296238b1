"""Text tables as loggers, phones and spreadsheets write them."""

import gzip
import json
import zipfile

import numpy as np
import pytest
from made import BPM, COUNTS, PLAIN, RATE, TIMES, T, assert_good, pulse, put, table

from onwrist.errors import RecordingError
from onwrist.signals.recordings.readers import read_recording

N = len(T)
COMMA = PLAIN.replace(",", ";").replace(".", ",")
# What is written, and in which encoding: all of it is the same recording.
DIALECTS = {
    "mark": (PLAIN, "utf-8-sig"),
    "utf16": (PLAIN, "utf-16"),
    "utf16 without mark": (PLAIN, "utf-16-le"),
    "utf16 big end first": (PLAIN, "utf-16-be"),
    "latin": (table("time,ppg,skin °C", TIMES, COUNTS, ["31"] * N), "latin-1"),
    "late umlaut": (table("time,ppg,note", TIMES, COUNTS, ["a"] * (N - 1) + ["müde"]), "latin-1"),
    "decimal comma": (COMMA, "utf-8"),
    "decimal comma, tabs": (COMMA.replace(";", "\t"), "utf-8"),
    "decimal comma in quotes": (table("time,ppg", *[[f'"{c.replace(".", ",")}"' for c in k] for k in (TIMES, COUNTS)]), "utf-8"),
    "semicolons": (PLAIN.replace(",", ";"), "utf-8"),
    "tabs": (PLAIN.replace(",", "\t"), "utf-8"),
    "pipes": (PLAIN.replace(",", "|"), "utf-8"),
    "blanks": (PLAIN.replace(",", "   "), "utf-8"),
    "one blank": (PLAIN.replace(",", " "), "utf-8"),
    "blanks before": ("\n".join("  " + line.replace(",", "  ") for line in PLAIN.splitlines()), "utf-8"),
    "comma and blank": (PLAIN.replace(",", ", "), "utf-8"),
    "windows ends": (PLAIN.replace("\n", "\r\n"), "utf-8"),
    "old ends": (PLAIN.replace("\n", "\r"), "utf-8"),
    "empty lines": (PLAIN.replace("\n", "\n\n"), "utf-8"),
    "no last end": (PLAIN.rstrip(), "utf-8"),
    "remarks": ("# Text format\n# Device: A, LED 3 mA\n\n" + PLAIN, "utf-8"),
    "percent remarks": ("% made by\n" + PLAIN, "utf-8"),
    "remark in between": (PLAIN.replace("\n10.000000", "\n# marker, button\n10.000000"), "utf-8"),
    "header in a remark": ("# time,ppg\n" + PLAIN.split("\n", 1)[1], "utf-8"),
    "prose": ("Export of device 7\nSubject: x\n\n" + PLAIN, "utf-8"),
    "settings above": ("Device,Sensor A\nGain,3\nLED current,12\n" + PLAIN, "utf-8"),
    "sep line": ("sep=;\n" + PLAIN.replace(",", ";"), "utf-8"),
    "unit row": (PLAIN.replace("\n", "\ns,counts\n", 1), "utf-8"),
    "unit row in brackets": (PLAIN.replace("\n", "\n[s],[a.u.]\n", 1), "utf-8"),
    "trailing separators": ("\n".join(line + "," for line in PLAIN.splitlines()), "utf-8"),
    "trailing only in data": (PLAIN.replace("\n", ",\n").replace("time,ppg,", "time,ppg", 1), "utf-8"),
    "quoted": (table('"time","ppg"', *[[f'"{c}"' for c in k] for k in (TIMES, COUNTS)]), "utf-8"),
    "names with blanks": (PLAIN.replace("time,ppg", " time , ppg "), "utf-8"),
    "cut-off last row": (PLAIN[:-12], "utf-8"),
    "row cut in its time": (PLAIN[:-17], "utf-8"),
    "row numbers": (table(",time,ppg", range(N), TIMES, COUNTS), "utf-8"),
    "no header": (PLAIN.split("\n", 1)[1], "utf-8"),
    "plus and exponents": (table("time,ppg", [f"{float(v):+.6e}" for v in TIMES], COUNTS), "utf-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_is_the_same_recording(tmp_path, name):
    text, encoding = DIALECTS[name]
    recording = assert_good(read_recording(put(tmp_path / "r.csv", text, encoding)))
    cut = 1 if "cut" in name else 0
    np.testing.assert_array_equal(recording.ppg.samples[: N - cut], np.float32([float(c) for c in COUNTS])[: N - cut])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_column_alone_keeps_its_first_sample(tmp_path, encoding):
    recording = read_recording(put(tmp_path / "r.csv", "".join(v + "\n" for v in COUNTS), encoding), rate_hz=RATE)
    assert len(recording.ppg.samples) == N
    assert recording.ppg.samples[0] == np.float32(float(COUNTS[0]))


def test_an_empty_line_of_a_single_column_is_a_missing_sample(tmp_path):
    lines = ["ppg", *COUNTS]
    lines[101] = ""
    recording = read_recording(put(tmp_path / "r.csv", "\n".join(lines) + "\n\n"), rate_hz=RATE)
    assert len(recording.ppg.samples) == N
    assert np.flatnonzero(np.isnan(recording.ppg.samples)).tolist() == [100]


@pytest.mark.parametrize("word", ["", "nan", "NaN", "NA", "N/A", "#N/A", "null", "NULL", "None", "-", " ", "?", "inf"])
def test_words_for_a_missing_sample(tmp_path, word):
    cells = [word if 640 <= i < 1280 else v for i, v in enumerate(COUNTS)]
    assert_good(read_recording(put(tmp_path / "r.csv", table("time,ppg,x", TIMES, cells, COUNTS))), missing=1 / 6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PLAIN.replace(COUNTS[100], "oops"), ["'oops'", "row 101", "ppg", "empty"]),
        (PLAIN.replace("\n" + TIMES[100] + ",", "\nsoon,"), ["'soon'", "row 101", "time"]),
        (
            PLAIN.replace("\n" + TIMES[2000] + ",", "\n" + TIMES[2000] + ",1,2,"),
            ["line 2002", "4 cells, not 2", "Mend"],
        ),
        (PLAIN.replace("time,ppg", '"time","ppg"').replace(TIMES[3000], '"' + TIMES[3000]), ["quote", "line 3002"]),
        (table("time,left,right", TIMES, COUNTS, COUNTS), ["which column is the PPG", "left, right", "--channel"]),
        (table("ppg", COUNTS), ["no time column and no rate", "--rate-hz"]),
        ("time,ppg\n", ["no row of numbers"]),
        ("just words\nand more\n", ["no row of numbers"]),
        ("\ufeff\n\n", ["empty"]),
        ("time,ppg\n0.0,1.0\n0.1,2.0\n\0\0\0\n", ["zero bytes"]),
        (",".join(f"c{i}" for i in range(5000)) + "\n" + ",".join(["1"] * 5000) + "\n", ["5,000 columns"]),
    ],
)
def test_the_cause_that_is_named_is_the_cause(tmp_path, text, words):
    with pytest.raises(RecordingError) as caught:
        read_recording(put(tmp_path / "r.csv", text))
    for word in ["r.csv", *words]:
        assert word in str(caught.value)


def test_a_day_of_words_is_refused_by_name(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(RecordingError, match=r"spreadsheet.*CSV"):
        read_recording(tmp_path / "a.xlsx")


@pytest.mark.parametrize(
    ("head", "channel", "reads"),
    [
        ("Time (s),PPG (counts)", None, "PPG (counts)"),
        ("Time [s], PLETH", None, "PLETH"),
        ("timer,hr", "hr", "hr"),
        ("timestamp,Photoplethysmogram", None, "Photoplethysmogram"),
        ("time,IR", None, "IR"),
        ("time,anything", None, "anything"),
        ("time,ppg green", "PPG_green", "ppg green"),
    ],
)
def test_columns_by_their_names(tmp_path, head, channel, reads):
    recording = assert_good(read_recording(put(tmp_path / "r.csv", table(head, TIMES, COUNTS)), channel=channel))
    assert recording.ppg.name == reads


def test_a_choice_among_several_is_said(tmp_path):
    path = put(
        tmp_path / "r.csv",
        table("time,red,ir,green", TIMES, *[[f"{v:.3f}" for v in pulse(T, b)] for b in (50, 90, 72)]),
    )
    recording = assert_good(read_recording(path))
    assert recording.ppg.name == "green"
    assert any("ir, red" in n for n in recording.notices)
    assert_good(read_recording(path, channel="red"), bpm=50)
    with pytest.raises(RecordingError, match=r"no channel 'blue'.*red, ir, green"):
        read_recording(path, channel="blue")


@pytest.mark.parametrize("name", ["i", "v", "ii", "I", "V5"])
def test_a_letter_alone_is_no_ecg(tmp_path, name):
    assert read_recording(put(tmp_path / "r.csv", table(f"time,ppg,{name}", TIMES, COUNTS, COUNTS))).ecg is None


@pytest.mark.parametrize(
    ("head", "lead"), [("ecg", "ecg"), ("ECG (mV)", "ECG (mV)"), ("MLII", "MLII"), ("ekg_1", "ekg_1")]
)
def test_an_ecg_that_says_so_is_one(tmp_path, head, lead):
    assert read_recording(put(tmp_path / "r.csv", table(f"time,ppg,{head}", TIMES, COUNTS, COUNTS))).ecg.name == lead


def test_leads_beside_leads_are_an_ecg(tmp_path):
    """PhysioNet's own BIDMC CSV."""
    path = put(
        tmp_path / "b.csv", table("Time [s], RESP, PLETH, V, AVR, II", TIMES, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
    )
    recording = assert_good(read_recording(path))
    assert (recording.ppg.name, recording.ecg.name, recording.resp.name) == ("PLETH", "II", "RESP")


def test_several_people_in_a_table_are_named_or_refused(tmp_path):
    who = ["ann"] * N + ["ben"] * N
    t, x = TIMES * 2, COUNTS + [f"{v:.3f}" for v in pulse(T, 90)]
    path = put(tmp_path / "r.csv", table("subject,time,ppg", who, t, x))
    with pytest.raises(RecordingError, match=r"2 people.*--subject.*ann, ben"):
        read_recording(path)
    assert assert_good(read_recording(path, subject="ben"), bpm=90).subject == "ben"
    with pytest.raises(RecordingError, match="no subject 'eve'"):
        read_recording(path, subject="eve")


@pytest.mark.parametrize("ending", ["csv.gz", "txt.gz"])
def test_gzip(tmp_path, ending):
    (tmp_path / f"ann.{ending}").write_bytes(gzip.compress(PLAIN.encode()))
    assert assert_good(read_recording(tmp_path / f"ann.{ending}")).subject == "ann"


def test_a_damaged_gzip_is_said(tmp_path):
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(PLAIN.encode())[:-2000])
    with pytest.raises(RecordingError, match=r"r\.csv\.gz"):
        read_recording(tmp_path / "r.csv.gz")


def test_a_zip_of_one_file_is_that_file_and_of_two_is_asked_about(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("folder/ann.csv", PLAIN)
        packed.writestr("__MACOSX/._ann.csv", "rubbish")
    assert_good(read_recording(tmp_path / "a.zip"))
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as packed:
        packed.writestr("folder/ben.csv", PLAIN)
    with pytest.raises(RecordingError, match=r"2 recordings.*--segment.*ann.csv, folder/ben.csv"):
        read_recording(tmp_path / "a.zip")
    assert_good(read_recording(tmp_path / "a.zip", segment="folder/ben.csv"))


def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("../../evil.csv", PLAIN)
    with pytest.raises(RecordingError, match="leads out"):
        read_recording(tmp_path / "a.zip")


# --- logs of devices, in the layouts that they come in ---


def test_polar_sensor_logger(tmp_path):
    ns = [int(7.6e17) + round(v * 1e9) for v in T]
    phone = [f"2024-05-01T10:00:{v:06.3f}" for v in T]
    rows = table(
        "Phone timestamp;sensor timestamp [ns];channel 0;channel 1;channel 2;ambient", phone, ns,
        [int(float(c) * 100) for c in COUNTS], [1] * N, [2] * N, [3] * N, separator=";",
    )  # fmt: skip
    recording = assert_good(read_recording(put(tmp_path / "Polar_Sense_PPG.txt", rows)))
    assert recording.ppg.name == "channel 0"
    assert any("channel 1" in n for n in recording.notices)


def test_shimmer(tmp_path):
    names = ["Shimmer_AB12_Timestamp_Unix_CAL", "Shimmer_AB12_Accel_LN_X_CAL", "Shimmer_AB12_PPG_A13_CAL"]
    text = '"sep=\t"\n' + "\t".join(names) + "\t\n" + "ms\tm/(s^2)\tmV\t\n"
    ms = [f"{1714550000000 + 1000 * v:.3f}" for v in T]
    text += "".join("\t".join(row) + "\t\n" for row in zip(ms, ["0.1"] * N, COUNTS, strict=True))
    recording = assert_good(read_recording(put(tmp_path / "s.csv", text)))
    assert recording.ppg.name == names[2]
    assert recording.ppg.units == "mV"
    assert recording.start_unix == pytest.approx(1714550000)


def test_opensignals(tmp_path):
    device = {
        "sensor": ["ECG", "PULSEOX"],
        "column": ["nSeq", "I1", "A1", "A2"],
        "sampling rate": 100,
        "resolution": [4, 1, 10, 10],
    }
    x = [int(500 + 100 * v) for v in pulse(np.arange(6000) / 100)]
    text = "# OpenSignals Text File Format. Version 1\n# " + json.dumps({"00:07:80": device}) + "\n# EndOfHeader\n"
    text += "".join(f"{i % 16}\t0\t{i % 7}\t{v}\t\n" for i, v in enumerate(x))
    recording = assert_good(read_recording(put(tmp_path / "o.txt", text)), rate=100)
    assert recording.ppg.name == "PULSEOX"
    assert recording.ecg.name == "ECG"
    with pytest.raises(RecordingError, match="rate_hz is 1000, the file says 100"):
        read_recording(tmp_path / "o.txt", rate_hz=1000)


@pytest.mark.parametrize(
    ("line", "reads"),
    [
        ("{ms}, R[={r}] IR[={v}] G[=0]", "IR"),
        ("IR={v}, BPM=71.4, Avg BPM=70", "IR"),
        ("red:{r},ir:{v}", "ir"),
        ("12:{m:02d}:{s:06.3f} -> IR={v}, Red={r}", "IR"),
    ],
)
def test_max3010x_as_the_serial_monitor_shows_it(tmp_path, line, reads):
    x = [int(100_000 + 1000 * v) for v in pulse(T)]
    text = "Initializing...\nPlace your index finger on the sensor\n"
    text += "".join(
        line.format(ms=int(1000 * t), v=v, r=90_000 + i % 9, m=int(t // 60), s=t % 60) + "\r\n"
        for i, (t, v) in enumerate(zip(T, x, strict=True))
    )
    path = put(tmp_path / "m.log", text)
    recording = read_recording(path) if "->" in line else read_recording(path, rate_hz=RATE)
    assert assert_good(recording).ppg.name == reads


def test_max3010x_in_microseconds_that_run_over(tmp_path):
    us = [(int(4294967296 - 20e6) + int(1e6 * t)) % 4294967296 for t in T]
    assert_good(read_recording(put(tmp_path / "m.csv", table("micros,red,ir", us, ["1"] * N, COUNTS))))


# --- precision, polarity, options ---


def test_counts_of_32_bits_keep_their_pulse(tmp_path):
    x = np.rint(pulse(T, dc=1.9e9, ac=60))
    ppg = read_recording(put(tmp_path / "r.csv", table("time,ppg", TIMES, [f"{v:.0f}" for v in x]))).ppg
    np.testing.assert_array_equal(ppg.samples.astype(np.float64) + ppg.offset, x)


def test_small_pulses_on_a_large_float_keep_too(tmp_path):
    x = pulse(T, dc=5e5, ac=0.01)
    ppg = read_recording(put(tmp_path / "r.csv", table("time,ppg", TIMES, [f"{v:.6f}" for v in x]))).ppg
    assert np.abs(ppg.samples.astype(np.float64) + ppg.offset - x).max() < 1e-5


def test_upside_down_is_said_and_turned_on_demand(tmp_path):
    down = put(tmp_path / "d.csv", table("time,ppg", TIMES, [f"{v:.4f}" for v in -pulse(T, bpm=BPM)]))
    up = put(tmp_path / "u.csv", PLAIN)
    assert any("upside down" in n and "--invert" in n for n in read_recording(down).notices)
    assert read_recording(down, invert=True).notices == ()
    assert read_recording(up).notices == ()
    np.testing.assert_array_equal(read_recording(up, invert=True).ppg.samples, -read_recording(up).ppg.samples)


@pytest.mark.parametrize("invert", [False, True])
def test_polarity_of_the_shipped_recordings(recordings, invert):
    """Eleven real people: none is called upside down upright, and of the others none is called so in its right way."""
    said = {
        f.stem: any("upside down" in n for n in read_recording(f, invert=invert).notices)
        for f in sorted(recordings.glob("*.npz"))
    }
    if invert:
        assert sum(said.values()) >= 7, said
    else:
        assert not any(said.values()), said


def test_flat_and_clipped_are_called_so(tmp_path):
    with pytest.raises(RecordingError, match="every sample is 512"):
        read_recording(put(tmp_path / "f.csv", table("time,ppg", TIMES, ["512"] * N)))
    x = [f"{v:.3f}" for v in np.clip(pulse(T), -1, 0.5)]
    assert any("clipped" in n for n in read_recording(put(tmp_path / "c.csv", table("time,ppg", TIMES, x))).notices)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 1e9])
def test_an_impossible_rate_is_refused(tmp_path, rate):
    with pytest.raises(RecordingError, match="rate_hz"):
        read_recording(put(tmp_path / "r.csv", PLAIN), rate_hz=rate)


def test_a_segment_of_a_single_piece_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="segment"):
        read_recording(put(tmp_path / "r.csv", PLAIN), segment="2")
