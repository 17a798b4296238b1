"""Every kind of file becomes the same kind of object; bad input says which file, which field and what to do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.errors import RecordingError
from onwrist.signals.recordings.readers import iter_hdf5, read_recording


def pulse(rate: float, seconds: float = 20.0) -> np.ndarray:
    t = np.arange(int(rate * seconds)) / rate
    return np.sin(2 * np.pi * 1.2 * t).astype(np.float32)


def test_shipped_npz_has_units_channels_and_person(recordings):
    wrist = read_recording(recordings / "S34.npz")
    assert wrist.subject == "S34"
    assert wrist.ppg.rate_hz == 64
    assert wrist.acc.samples.shape[1] == 3
    assert 0.8 < np.median(np.linalg.norm(wrist.acc.samples, axis=1)) < 1.2  # 1 g at rest
    icu = read_recording(recordings / "t477l.npz")
    assert icu.ecg.units == "mV"
    assert 0.3 < np.percentile(icu.ecg.samples, 99.5) - np.percentile(icu.ecg.samples, 0.5) < 10


def test_missing_counts_become_nan(tmp_path):
    counts = np.arange(1000, dtype=np.int16)
    counts[10:20] = -32768
    np.savez(tmp_path / "r.npz", ppg=counts, fs_ppg=np.float32(125), ppg_gain=np.float32(10))
    recording = read_recording(tmp_path / "r.npz")
    assert np.isnan(recording.ppg.samples[10:20]).all()
    assert recording.missing == pytest.approx(0.01)
    assert recording.ppg.samples[100] == pytest.approx(10.0)


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=20, max_size=60),
    rate=st.sampled_from([25.0, 50.0, 64.0, 100.0]),
    delimiter=st.sampled_from([",", ";", "\t"]),
)
def test_csv_returns_what_was_written(tmp_path_factory, values, rate, delimiter):
    path = tmp_path_factory.mktemp("csv") / "r.csv"
    rows = [f"{i / rate:.6f}{delimiter}{v!r}" for i, v in enumerate(values)]
    path.write_text(f"time{delimiter}ppg\n" + "\n".join(rows))
    timed = read_recording(path)
    assert timed.ppg.rate_hz == pytest.approx(rate, rel=1e-3)
    inner = min(len(timed.ppg.samples), len(values)) - 1
    np.testing.assert_allclose(
        timed.ppg.samples[:inner], values[:inner], rtol=1e-2, atol=abs(np.ptp(values)) * 2e-2 + 1e-3
    )
    path.write_text("ppg\n" + "\n".join(repr(v) for v in values))
    np.testing.assert_array_equal(read_recording(path, rate_hz=rate).ppg.samples, np.float32(values))


def test_csv_milliseconds_gaps_and_named_channel(tmp_path):
    t = np.concatenate([np.arange(0, 5000, 20), np.arange(7000, 12000, 20)])
    rows = "\n".join(f"{ms},{i % 7},{np.sin(ms / 100)}" for i, ms in enumerate(t))
    path = tmp_path / "r.csv"
    path.write_text("t_ms,red,green2\n" + rows)
    recording = read_recording(path, channel="green2")
    assert recording.ppg.rate_hz == 50
    assert 1.8 < np.isnan(recording.ppg.samples).sum() / 50 < 2.1


def test_e4_folder(tmp_path):
    (tmp_path / "BVP.csv").write_text("1600000000.0\n64.0\n" + "\n".join(f"{v:.3f}" for v in pulse(64)))
    acc = "\n".join("0,0,64" for _ in range(640))
    (tmp_path / "ACC.csv").write_text("1600000001.0,1600000001.0,1600000001.0\n32.0,32.0,32.0\n" + acc)
    recording = read_recording(tmp_path)
    assert (recording.ppg.rate_hz, recording.start_unix, recording.subject) == (64.0, 1.6e9, tmp_path.name)
    np.testing.assert_allclose(recording.ppg.samples, pulse(64), atol=1e-3)
    assert recording.acc.start_s == 1.0
    np.testing.assert_allclose(recording.acc.samples[0], [0, 0, 1])


def test_edf(tmp_path):
    import pyedflib

    path = tmp_path / "r.edf"
    with pyedflib.EdfWriter(str(path), 2) as edf:
        common = {"dimension": "mV", "physical_min": -2, "physical_max": 2, "digital_min": -32768, "digital_max": 32767}
        edf.setSignalHeader(0, {"label": "PLETH", "sample_frequency": 64, **common})
        edf.setSignalHeader(1, {"label": "ECG", "sample_frequency": 128, **common})
        edf.writeSamples([pulse(64).astype(float), pulse(128).astype(float)])
    recording = read_recording(path)
    assert (recording.ppg.rate_hz, recording.ecg.rate_hz, recording.ppg.units) == (64, 128, "mV")
    np.testing.assert_allclose(recording.ppg.samples, pulse(64), atol=1e-3)


def test_wfdb(tmp_path):
    import wfdb

    both = np.stack([pulse(125), -pulse(125)], axis=1).astype(float)
    wfdb.wrsamp(
        "rec",
        fs=125,
        units=["NU", "mV"],
        sig_name=["PLETH", "II"],
        p_signal=both,
        fmt=["16", "16"],
        write_dir=str(tmp_path),
    )
    recording = read_recording(tmp_path / "rec.hea")
    np.testing.assert_allclose(recording.ppg.samples, pulse(125), atol=1e-3)
    np.testing.assert_allclose(recording.ecg.samples, -pulse(125), atol=1e-3)
    assert recording.subject == "rec"


def test_hdf5_of_the_authors_pipeline(tmp_path):
    import h5py

    t = np.linspace(0, 10, 1000, endpoint=False)
    with h5py.File(tmp_path / "shard.h5", "w") as file:
        for user in ("p1", "p2"):
            table = np.stack([t, pulse(100, 10), -pulse(100, 10)], axis=1).astype(np.float16)
            file.create_dataset(f"{user}/0001+++0.95+++0.99", data=table)
    found = list(iter_hdf5(tmp_path / "shard.h5"))
    assert [r.subject for r in found] == ["p1", "p2"]
    assert found[0].ppg.rate_hz == 100
    np.testing.assert_allclose(found[0].ecg.samples, -pulse(100, 10), atol=2e-3)


def test_flat_hdf5_with_labels(tmp_path):
    import h5py

    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["ppg"] = np.stack([pulse(100, 10)] * 3)
        file["label"] = [0, 1, 1]
        file["subject"] = [b"a", b"b", b"b"]
        file.attrs["fs"] = 100
    found = list(iter_hdf5(tmp_path / "flat.h5"))
    assert [(r.subject, int(r.labels["label"])) for r in found] == [("a", 0), ("b", 1), ("b", 1)]


BAD = {
    "missing.csv": None,
    "empty.csv": "",
    "header.csv": "time,ppg\n",
    "word.csv": "time,ppg\n0,1\n0.01,oops\n",
    "ragged.csv": "time,ppg\n0,1\n0.01\n",
    "norate.csv": "ppg\n1\n2\n3\n",
    "backwards.csv": "time,ppg\n" + "\n".join(f"{1 - i / 50},{i}" for i in range(50)),
    "allnan.csv": "time,ppg\n" + "\n".join(f"{i / 50},nan" for i in range(50)),
    "twocolumns.csv": "time,left,right\n0,1,2\n0.01,1,2\n0.02,1,2\n",
    "broken.npz": "this is no zip",
    "broken.edf": "nor an EDF",
    "broken.h5": "nor HDF5",
    "broken.hea": "nor WFDB",
    "sound.wav": "unknown kind",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_names_the_file_and_a_cure(tmp_path, name):
    if BAD[name] is not None:
        (tmp_path / name).write_text(BAD[name])
    with pytest.raises(RecordingError) as caught:
        read_recording(tmp_path / name)
    assert name in str(caught.value)
    assert caught.value.cure


def test_npz_says_which_field(tmp_path):
    np.savez(tmp_path / "a.npz", other=np.zeros(3))
    with pytest.raises(RecordingError, match="no field 'ppg'"):
        read_recording(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", ppg=np.zeros(300))
    with pytest.raises(RecordingError, match="fs_ppg"):
        read_recording(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", ppg=np.zeros(300), fs_ppg=0.1)
    with pytest.raises(RecordingError, match="rate"):
        read_recording(tmp_path / "c.npz")


def test_pickled_npz_is_not_executed(tmp_path):
    np.savez(tmp_path / "evil.npz", ppg=np.array([print], dtype=object), fs_ppg=100)
    with pytest.raises(RecordingError, match=r"evil\.npz"):
        read_recording(tmp_path / "evil.npz")
