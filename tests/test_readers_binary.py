"""Arrays, trees, records and exports: npz, HDF5, MATLAB, Parquet, WFDB, EDF, Empatica."""

import gzip
import shutil
import zipfile

import numpy as np
import pytest
from made import COUNTS, T, assert_good, heart_rate, pulse

from onwrist.errors import RecordingError
from onwrist.signals.recordings.readers import iter_hdf5, read_recording

# --- npz ---


def npz(path, **fields):
    np.savez(path, **fields)
    return path


def test_npz_obeys_the_channel(tmp_path):
    path = npz(tmp_path / "r.npz", ppg=pulse(T), green=pulse(T, 90), fs_ppg=64.0)
    assert_good(read_recording(path))
    assert_good(read_recording(path, channel="green"), bpm=90)
    with pytest.raises(RecordingError, match=r"no channel 'blue'.*ppg, green"):
        read_recording(path, channel="blue")


def test_npz_obeys_or_refuses_the_rate(tmp_path):
    path = npz(tmp_path / "r.npz", ppg=pulse(T), fs_ppg=64.0)
    assert_good(read_recording(path, rate_hz=64))
    with pytest.raises(RecordingError, match="rate_hz is 100, the file says 64"):
        read_recording(path, rate_hz=100)
    assert_good(read_recording(npz(tmp_path / "n.npz", ppg=pulse(T)), rate_hz=64))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ppg_gain": np.array([1.0, 2.0])}, "ppg_gain.*single number"),
        ({"ppg_gain": 0.0}, "ppg_gain.*is 0"),
        ({"fs_ppg": np.array([64.0, 64.0])}, "fs_ppg.*single number"),
        ({"fs_ppg": "64"}, "fs_ppg.*single number"),
        ({"fs_ppg": np.nan}, "fs_ppg.*single number"),
        ({"ppg": np.zeros((4, 100))}, "ppg.*windows"),
        ({"ppg": np.array(["a", "b"])}, "ppg"),
        ({"acc": np.zeros(30)}, "acc"),
        ({"acc": np.zeros((30, 3))}, "fs_acc"),
        ({"ecg": np.zeros((2, 2, 2))}, "ecg"),
        ({"t0_unix": np.zeros(3)}, "t0_unix"),
    ],
)
def test_npz_names_the_field_that_is_wrong(tmp_path, fields, message):
    with pytest.raises(RecordingError, match=rf"r\.npz: {message}"):
        read_recording(npz(tmp_path / "r.npz", **{"ppg": pulse(T), "fs_ppg": 64.0, **fields}))


def test_npz_takes_numbers_in_arrays_and_columns(tmp_path):
    assert_good(read_recording(npz(tmp_path / "r.npz", ppg=pulse(T)[:, None], fs_ppg=np.array([64.0]))))


def test_npz_that_claims_a_trillion_samples_is_refused_before_it_is_read(tmp_path):
    path = npz(tmp_path / "r.npz", ppg=np.zeros(10), fs_ppg=64.0)
    with zipfile.ZipFile(tmp_path / "big.npz", "w") as out, zipfile.ZipFile(path) as source:
        for name in source.namelist():
            out.writestr(name, source.read(name).replace(b"(10,), }" + b" " * 13, b"(1000000000000,), }  "))
    with pytest.raises(RecordingError, match=r"ppg: claims shape \(1000000000000,\)"):
        read_recording(tmp_path / "big.npz")


# --- HDF5 ---


def h5(path, **arrays):
    import h5py

    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            if name == "attributes":
                file.attrs.update(value)
            else:
                file[name.replace("__", "/")] = value
    return path


def stack(t, x):
    return np.stack([t, x], 1)


@pytest.mark.parametrize("rate", [25.0, 31.25, 33.3, 64.0, 99.9, 128.0])
def test_hdf5_true_rate(tmp_path, rate):
    t = np.arange(int(60 * rate)) / rate
    assert_good(read_recording(h5(tmp_path / "r.h5", p__s=stack(t, pulse(t)))), rate=rate)


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e6])
def test_hdf5_times_in_any_unit_and_a_gap(tmp_path, unit):
    t = np.where(T < 30, T, T + 20)
    recording = read_recording(h5(tmp_path / "r.h5", p__s=stack(unit * t, pulse(t))))
    assert_good(recording, seconds=80, missing=0.25)


def test_hdf5_rows_instead_of_columns(tmp_path):
    assert_good(read_recording(h5(tmp_path / "r.h5", p__s=stack(T, pulse(T)).T)))


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1), (1, -1, 1)])
def test_hdf5_a_signal_of_any_flat_shape(tmp_path, shape):
    assert_good(read_recording(h5(tmp_path / "r.h5", ppg=pulse(T).reshape(shape), attributes={"fs": 64})))


@pytest.mark.parametrize(
    "arrays",
    [
        {"p01__ppg": pulse(T), "p01__notes": "left wrist", "p01__fs": 64.0},
        {"p01__ppg": pulse(T), "p01__time": T},
        {"p01__ppg": pulse(T), "attributes": {"sampling rate": 64.0}},
        {"data__PPG__v": pulse(T), "data__PPG__fs": 64},
        {"ppg": pulse(T), "t": 1e3 * T, "notes": "text"},
        {"anything": pulse(T), "fs": 64},
    ],
)
def test_hdf5_layouts(tmp_path, arrays):
    assert_good(read_recording(h5(tmp_path / "r.h5", **arrays)))


def test_hdf5_people_and_segments_are_named_or_refused(tmp_path):
    path = h5(
        tmp_path / "r.h5", a__s0=stack(T, pulse(T, 60)), b__s0=stack(T, pulse(T, 90)), b__s1=stack(T, pulse(T, 120))
    )
    with pytest.raises(RecordingError, match=r"2 people.*--subject.*a, b"):
        read_recording(path)
    assert_good(read_recording(path, subject="a"), bpm=60)
    with pytest.raises(RecordingError, match=r"2 segments.*--segment.*s0, s1"):
        read_recording(path, subject="b")
    assert_good(read_recording(path, subject="b", segment="s1"), bpm=120)
    with pytest.raises(RecordingError, match="no segment 's9'"):
        read_recording(path, subject="b", segment="s9")
    assert [heart_rate(r) for r in iter_hdf5(path)] == pytest.approx([60, 90, 120], abs=0.5)


def test_hdf5_windows_of_several_people_are_not_the_first(tmp_path):
    path = h5(
        tmp_path / "r.h5", ppg=np.stack([pulse(T, 60), pulse(T, 90)]), subject=[b"a", b"b"], attributes={"fs": 64}
    )
    with pytest.raises(RecordingError, match="2 people"):
        read_recording(path)
    assert_good(read_recording(path, subject="b"), bpm=90)


def test_hdf5_options_are_obeyed(tmp_path):
    path = h5(tmp_path / "r.h5", ppg=pulse(T), green=pulse(T, 90), fs=64.0)
    assert_good(read_recording(path, channel="green"), bpm=90)
    with pytest.raises(RecordingError, match="no channel 'blue'"):
        read_recording(path, channel="blue")
    with pytest.raises(RecordingError, match="the file says 64"):
        read_recording(path, rate_hz=32)


def test_hdf5_that_claims_a_trillion_samples(tmp_path):
    import h5py

    with h5py.File(tmp_path / "r.h5", "w") as file:
        file.create_dataset("ppg", shape=(10**12,), dtype="f4", chunks=(1000,))
        file.attrs["fs"] = 64
    with pytest.raises(RecordingError, match=r"ppg: claims shape \(1000000000000,\)"):
        read_recording(tmp_path / "r.h5")


# --- MATLAB, Parquet ---


@pytest.mark.parametrize(
    "content",
    [
        {"ppg": pulse(T), "fs": 64.0},
        {"ppg": pulse(T)[:, None], "Fs": 64.0, "notes": "x"},
        {"PPG": pulse(T), "t": T},
        {"data": {"ppg": {"v": pulse(T), "fs": 64.0}, "ekg": {"v": pulse(T), "fs": 64.0}}},
        {"pleth": pulse(T), "sampling_rate": 64},
    ],
)
def test_matlab(tmp_path, content):
    import scipy.io

    scipy.io.savemat(tmp_path / "r.mat", content)
    assert_good(read_recording(tmp_path / "r.mat"))


def test_matlab_of_several_people(tmp_path):
    import scipy.io

    people = np.array([{"ppg": {"v": pulse(T, b), "fs": 64.0}} for b in (60, 90)], dtype=object)
    scipy.io.savemat(tmp_path / "r.mat", {"data": people})
    with pytest.raises(RecordingError, match="holds 2 people"):
        read_recording(tmp_path / "r.mat")
    assert_good(read_recording(tmp_path / "r.mat", subject="2"), bpm=90)


def test_matlab_73_is_hdf5(tmp_path):
    path = h5(tmp_path / "r.mat", ppg=pulse(T)[None, :], fs=np.array([[64.0]]))
    assert_good(read_recording(path))


@pytest.mark.parametrize("stamps", ["seconds", "datetime", "index", "none"])
def test_parquet(tmp_path, stamps):
    import pandas as pd

    frame = pd.DataFrame({"ppg": pulse(T), "temp": 31.0})
    if stamps == "seconds":
        frame.insert(0, "time", T)
    if stamps == "datetime":
        frame.insert(0, "timestamp", pd.to_datetime("2024-05-01") + pd.to_timedelta(T, unit="s"))
    if stamps == "index":
        frame.index = pd.DatetimeIndex(
            pd.to_datetime("2024-05-01", utc=True) + pd.to_timedelta(T, unit="s"), name="when"
        )
    frame.to_parquet(tmp_path / "r.parquet")
    assert_good(read_recording(tmp_path / "r.parquet", rate_hz=64 if stamps == "none" else None))


def test_parquet_with_missing_samples_and_people(tmp_path):
    import pandas as pd

    x = pulse(T)
    x[640:1280] = np.nan
    one = pd.DataFrame({"subject": "a", "t_ms": 1e3 * T, "bvp": x})
    pd.concat([one, one.assign(subject="b")]).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(RecordingError, match="2 people"):
        read_recording(tmp_path / "r.parquet")
    assert_good(read_recording(tmp_path / "r.parquet", subject="b"), missing=1 / 6)


# --- WFDB ---


def dat(folder, name="x.dat"):
    (folder / name).write_bytes((1000 * pulse(T)).astype("<i2").tobytes())


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("r 0 64 3840\n", "declares no signals"),
        ("r 1 64 100000000000\nx.dat 16 1000 16 0 0 0 0 PLETH\n", "claims 100,000,000,000 samples"),
        ("r 1 64 7680\nx.dat 16 1000 16 0 0 0 0 PLETH\n", "says 7,680 samples, x.dat holds 3,840"),
        ("r 1 64 3840\ny.dat 16 1000 16 0 0 0 0 PLETH\n", "y.dat is missing.*Copy y.dat"),
        ("r 1 64 3840\n/etc/passwd 16 1000 16 0 0 0 0 PLETH\n", "outside its folder|invalid syntax"),
        ("r/2 1 64 3840\nr 1920\nr 1920\n", "contain one another"),
        ("r/2 1 64 3840\nq 1920\nq 1920\n", "q"),
        ("r 1 64 3840\nx.dat 16 1000 16 0 0 0 0 ECG\n", "no channel is called like a PPG.*ECG"),
        ("rubbish\n", "r.hea"),
        ("", "empty"),
    ],
)
def test_wfdb_headers_that_are_wrong(tmp_path, header, message):
    dat(tmp_path)
    (tmp_path / "r.hea").write_text(header)
    with pytest.raises(RecordingError, match=message):
        read_recording(tmp_path / "r.hea")


def test_wfdb_without_names(tmp_path):
    dat(tmp_path)
    (tmp_path / "r.hea").write_text("r 1 64 3840\nx.dat 16 1000\n")
    assert any("does not name" in n for n in assert_good(read_recording(tmp_path / "r.hea")).notices)


@pytest.mark.parametrize("given", ["r", "r.hea", "x.dat"])
def test_wfdb_by_any_of_its_names(tmp_path, given):
    dat(tmp_path, "x.dat")
    for name in ("r", "x"):
        (tmp_path / f"{name}.hea").write_text(f"{name} 1 64 3840\nx.dat 16 1000 16 0 0 0 0 PLETH,\n")
    assert assert_good(read_recording(tmp_path / given)).ppg.name == "PLETH"


def test_wfdb_zipped(tmp_path):
    dat(tmp_path)
    (tmp_path / "r.hea").write_text("r 1 64 3840\nx.dat 16 1000 16 0 0 0 0 PLETH\n")
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as packed:
        packed.write(tmp_path / "r.hea", "r.hea")
        packed.write(tmp_path / "x.dat", "x.dat")
    assert_good(read_recording(tmp_path / "r.zip"))


# --- EDF ---


def edf(path, kind=None):
    import pyedflib

    common = {"dimension": "mV", "physical_min": -4, "physical_max": 4, "digital_min": -32768, "digital_max": 32767}
    with pyedflib.EdfWriter(str(path), 1, file_type=kind or pyedflib.FILETYPE_EDFPLUS) as out:
        out.setSignalHeader(0, {"label": "PPG", "sample_frequency": 64, **common})
        out.writeSamples([pulse(T)])
    return bytearray(path.read_bytes())


def paused(data: bytearray, pause: float) -> bytearray:
    """EDF+D whose second half starts later."""
    data[192:197] = b"EDF+D"
    size = 2 * (64 + int(data[256 + 2 * 216 + 8 : 256 + 2 * 216 + 16]))
    for i in range(60):
        at = 768 + i * size + 128
        onset = f"+{i + (pause if i >= 30 else 0):.0f}\x14\x14\0".encode()
        data[at : at + 20] = onset.ljust(20, b"\0")
    return data


def test_edf_discontinuous_without_a_pause(tmp_path):
    data = edf(tmp_path / "r.edf")
    data[192:197] = b"EDF+D"
    (tmp_path / "r.edf").write_bytes(data)
    assert_good(read_recording(tmp_path / "r.edf"))


def test_edf_pauses_are_missing(tmp_path):
    (tmp_path / "r.edf").write_bytes(paused(edf(tmp_path / "r.edf"), 20))
    recording = read_recording(tmp_path / "r.edf")
    assert recording.seconds == pytest.approx(80)
    assert recording.missing == pytest.approx(0.25)
    assert np.flatnonzero(np.isnan(recording.ppg.samples))[[0, -1]].tolist() == [30 * 64, 50 * 64 - 1]
    np.testing.assert_allclose(recording.ppg.samples[50 * 64 :], pulse(T)[30 * 64 :], atol=1e-3)


def test_edf_pause_of_years_and_disorder(tmp_path):
    for pause, word in ((1e8, "pauses for 27778 hours"), (-10, "record 31 starts before")):
        (tmp_path / "r.edf").write_bytes(paused(edf(tmp_path / "r.edf"), pause))
        with pytest.raises(RecordingError, match=word):
            read_recording(tmp_path / "r.edf")


@pytest.mark.parametrize("cut", [0, 100])
def test_edf_that_is_still_recorded(tmp_path, cut):
    data = edf(tmp_path / "r.edf")
    data[236:244] = b"-1      "
    (tmp_path / "r.edf").write_bytes(data[: len(data) - cut])
    recording = assert_good(read_recording(tmp_path / "r.edf"), seconds=60 if cut == 0 else 59)
    assert any("unfinished" in n for n in recording.notices)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:-2000], "says 60 records, the file holds 5"),
        (lambda d: d[:236] + b"99999999" + d[244:], "says 99999999 records"),
        (lambda d: d[:236] + b"0       " + d[244:], "no record yet"),
        (lambda d: d[:252] + b"9999" + d[256:], "header"),
        (lambda d: d[:252] + b"abcd" + d[256:], "no numbers"),
        (lambda d: d[:300], "header"),
    ],
)
def test_edf_damage_by_its_name(tmp_path, change, message):
    (tmp_path / "r.edf").write_bytes(change(bytes(edf(tmp_path / "r.edf"))))
    with pytest.raises(RecordingError, match=message):
        read_recording(tmp_path / "r.edf")


@pytest.mark.parametrize("name", ["r.edf", "r.npz", "r.h5", "r.mat", "r.parquet"])
def test_everything_also_in_gzip(tmp_path, name):
    import pandas as pd
    import scipy.io

    path = tmp_path / name
    if name == "r.edf":
        edf(path)
    elif name == "r.npz":
        npz(path, ppg=pulse(T), fs_ppg=64)
    elif name == "r.h5":
        h5(path, ppg=pulse(T), fs=64)
    elif name == "r.mat":
        scipy.io.savemat(path, {"ppg": pulse(T), "fs": 64})
    else:
        pd.DataFrame({"time": T, "ppg": pulse(T)}).to_parquet(path)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert_good(read_recording(tmp_path / f"{name}.gz"))
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()[:200]))
    with pytest.raises(RecordingError, match=rf"{name}\.gz"):
        read_recording(tmp_path / f"{name}.gz")


# --- Empatica ---


def e4(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "BVP.csv").write_text("1600000000.0\n64.0\n" + "\n".join(COUNTS) + "\n")
    (folder / "HR.csv").write_text("1600000010.0\n1.0\n" + "72.0\n" * 50)
    (folder / "IBI.csv").write_text(
        "1600000000.0, IBI\n" + "".join(f"{5 + 0.8333 * k:.4f},0.8333\n" for k in range(50))
    )
    (folder / "ACC.csv").write_text("1600000000.0,1600000000.0,1600000000.0\n32.0,32.0,32.0\n" + "0,0,64\n" * 1920)
    (folder / "tags.csv").write_text("1600000030.5\n")
    (folder / "EDA.csv").write_text("")
    return folder


def test_e4_references_are_called_as_in_the_shared_sets(tmp_path, recordings):
    ours = read_recording(e4(tmp_path / "s1"))
    theirs = read_recording(recordings / "S34.npz")
    assert_good(ours)
    for name in ("hr_e4", "hr_t0_unix", "ibi_t", "ibi_s", "ibi_t0_unix", "tags_unix"):
        assert ours.labels[name].ndim == theirs.labels[name].ndim, name
        assert ours.labels[name].dtype == theirs.labels[name].dtype, name
    assert ours.labels["hr_t0_unix"] - ours.start_unix == 10
    assert 60 / np.median(ours.labels["ibi_s"]) == pytest.approx(72, abs=0.1)


@pytest.mark.parametrize("empty", ["", "1600000000.0, IBI\n"])
def test_e4_without_intervals(tmp_path, empty):
    folder = e4(tmp_path / "s1")
    (folder / "IBI.csv").write_text(empty)
    assert "ibi_t" not in read_recording(folder).labels


def test_e4_with_a_damaged_reference_says_so(tmp_path):
    folder = e4(tmp_path / "s1")
    (folder / "HR.csv").write_text("1600000010.0\n1.0\nx\ny\n")
    assert any("HR.csv is left out" in n for n in assert_good(read_recording(folder)).notices)


def test_e4_in_a_parent_folder_or_a_zip(tmp_path):
    e4(tmp_path / "all" / "s1")
    assert assert_good(read_recording(tmp_path / "all")).subject == "s1"
    shutil.make_archive(str(tmp_path / "ann"), "zip", tmp_path / "all" / "s1")
    assert assert_good(read_recording(tmp_path / "ann.zip")).subject == "ann"
    shutil.make_archive(str(tmp_path / "top"), "zip", tmp_path / "all")
    assert_good(read_recording(tmp_path / "top.zip"))
    e4(tmp_path / "all" / "s2")
    with pytest.raises(RecordingError, match=r"2 recordings.*--segment.*s1, s2"):
        read_recording(tmp_path / "all")
    assert assert_good(read_recording(tmp_path / "all", segment="s2")).subject == "s2"


def test_e4_refuses_what_it_cannot_obey(tmp_path):
    folder = e4(tmp_path / "s1")
    assert_good(read_recording(folder, channel="bvp", rate_hz=64))
    for option in ({"channel": "nonsense"}, {"channel": "EDA"}, {"rate_hz": 32}, {"segment": "x"}):
        with pytest.raises(RecordingError, match="s1"):
            read_recording(folder, **option)


def test_a_folder_without_a_recording(tmp_path):
    with pytest.raises(RecordingError, match=r"holds no recording.*BVP\.csv"):
        read_recording(tmp_path)


RECORD = {
    "type": "record", "name": "Session", "fields": [
        {"name": "enrollment", "type": {"type": "record", "name": "E", "fields": [{"name": "participantID", "type": "string"}]}},
        {"name": "rawData", "type": {"type": "record", "name": "R", "fields": [
            {"name": "bvp", "type": {"type": "record", "name": "B", "fields": [
                {"name": "timestampStart", "type": "long"}, {"name": "samplingFrequency", "type": "float"},
                {"name": "values", "type": {"type": "array", "items": "float"}}]}},
            {"name": "tags", "type": {"type": "record", "name": "T", "fields": [
                {"name": "tagsTimeMicros", "type": {"type": "array", "items": "long"}}]}},
            {"name": "systolicPeaks", "type": {"type": "record", "name": "S", "fields": [
                {"name": "peaksTimeNanos", "type": {"type": "array", "items": "long"}}]}},
        ]}},
    ],
}  # fmt: skip


def avro(path, start=1.7e9, who="p1", x=None):
    import fastavro

    path.parent.mkdir(exist_ok=True)
    beats = [int((start + 60 / 72 * k) * 1e9) for k in range(60)]
    raw = {
        "bvp": {"timestampStart": int(start * 1e6), "samplingFrequency": 64.0, "values": list(pulse(T) if x is None else x)},
        "tags": {"tagsTimeMicros": []}, "systolicPeaks": {"peaksTimeNanos": beats},
    }  # fmt: skip
    with path.open("wb") as file:
        fastavro.writer(file, RECORD, [{"enrollment": {"participantID": who}, "rawData": raw}])
    return path


def test_embrace_plus(tmp_path):
    recording = assert_good(read_recording(avro(tmp_path / "a.avro")))
    assert (recording.subject, recording.start_unix) == ("p1", 1.7e9)
    assert np.median(recording.labels["ibi_s"]) == pytest.approx(60 / 72, abs=1e-3)
    with pytest.raises(RecordingError, match="no BVP"):
        read_recording(avro(tmp_path / "n.avro", x=[]))
    with pytest.raises(RecordingError, match=r"n\.avro"):
        read_recording(tmp_path / "n.avro", channel="eda")


def test_embrace_plus_files_of_a_session_are_joined(tmp_path):
    avro(tmp_path / "s" / "1.avro")
    avro(tmp_path / "s" / "2.avro", start=1.7e9 + 80)
    recording = read_recording(tmp_path / "s")
    assert recording.seconds == pytest.approx(140)
    assert recording.missing == pytest.approx(20 / 140)
    avro(tmp_path / "s" / "3.avro", start=1.7e9 + 200, who="p2")
    with pytest.raises(RecordingError, match="2 people"):
        read_recording(tmp_path / "s")
    assert_good(read_recording(tmp_path / "s", subject="p2"))
