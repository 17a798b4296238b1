"""Damaged and odd inputs of every kind: a recording that keeps its promises, or one typed error; never a traceback, a hang
or an allocation that a file's words ask for.

A thousand inputs a kind; ONWRIST_FUZZ=20 runs twenty times as many.
"""

import gzip
import io
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from damage import INPUTS, damaged
from made import COUNTS, PLAIN, TIMES, T, pulse, put, table
from test_readers_binary import avro, dat, e4, edf, h5, npz, stack

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import MAX_SAMPLES
from onwrist.signals.recordings.readers import matlab, read_recording
from onwrist.signals.recordings.recording import MAX_RATE_HZ, MIN_RATE_HZ

ROWS = 300
OPTIONS = [{}, {}, {}, {"rate_hz": 64.0}, {"rate_hz": 100.0}, {"channel": "ppg"}, {"channel": "x"}, {"subject": "a"},
           {"segment": "1"}, {"invert": True}]  # fmt: skip


def text_seeds(folder) -> list[bytes]:
    t, x = TIMES[:ROWS], COUNTS[:ROWS]
    opensignals = '# {"d": {"column": ["nSeq", "A1"], "sensor": ["BVP"], "sampling rate": 100}}\n'
    return [
        "".join(line + "\n" for line in PLAIN.split("\n")[:ROWS]).encode(),
        table("Time [s];PLETH;II;V", t, x, x, x, separator=";").replace(".", ",").encode(),
        table("timestamp,ppg", [f"2024-05-01T23:59:{58 + float(v) / 10:09.6f}Z" for v in t], x).encode(),
        table("subject,time,ppg", ["a"] * ROWS, t, x).encode("utf-16"),
        (opensignals + table("", range(ROWS), x, separator="\t")).encode(),
        table("date,clock,ir,red", ["2024-05-01"] * ROWS, [f"23:59:{float(v):09.6f}" for v in t], x, x).encode(),
        b"".join(b"IR=%d, RED=%d\n" % (i * 7 % 97, i) for i in range(ROWS)),
        gzip.compress(table("t_ms,green", [f"{1000 * float(v):.0f}" for v in t], x).encode()),
    ]


def npz_seeds(folder) -> list[bytes]:
    short = pulse(T[:ROWS])
    return [
        npz(folder / "a.npz", ppg=short, fs_ppg=64.0, ecg=short, acc=np.zeros((150, 3)), fs_acc=32.0).read_bytes(),
        npz(folder / "b.npz", ppg=(100 * short).astype(np.int16), fs_ppg=64, ppg_gain=100.0, subject="a").read_bytes(),
        npz(folder / "c.npz", rgb=np.ones((300, 3)) * short[:, None], t_ms=np.arange(300) * 33.0).read_bytes(),
    ]


def hdf5_seeds(folder) -> list[bytes]:
    t, x = T[:ROWS], pulse(T[:ROWS])
    return [
        h5(folder / "a.h5", a__s0=stack(t, x), b__s0=stack(t, x)).read_bytes(),
        h5(folder / "b.h5", ppg=x, time=t, notes="text", attributes={"fs": 64}).read_bytes(),
        h5(folder / "c.h5", ppg=np.stack([x, x]), subject=[b"a", b"b"], attributes={"fs": 64}).read_bytes(),
    ]


def matlab_seeds(folder) -> list[bytes]:
    import scipy.io

    scipy.io.savemat(folder / "a.mat", {"data": {"ppg": {"v": pulse(T[:ROWS]), "fs": 64.0}}})
    scipy.io.savemat(folder / "b.mat", {"ppg": pulse(T[:ROWS]), "fs": 64.0, "t": T[:ROWS]}, do_compression=True)
    return [(folder / name).read_bytes() for name in ("a.mat", "b.mat")]


def parquet_seeds(folder) -> list[bytes]:
    import pandas as pd

    pd.DataFrame({"subject": "a", "time": T[:ROWS], "ppg": pulse(T[:ROWS])}).to_parquet(folder / "a.parquet")
    return [(folder / "a.parquet").read_bytes()]


def edf_seeds(folder) -> list[bytes]:
    whole = edf(folder / "a.edf")
    broken, unfinished = bytearray(whole), bytearray(whole)
    broken[192:197] = b"EDF+D"
    unfinished[236:244] = b"-1      "
    return [bytes(whole), bytes(broken), bytes(unfinished)]


def avro_seeds(folder) -> list[bytes]:
    return [avro(folder / "a.avro", x=pulse(T[:ROWS])).read_bytes()]


def zip_seeds(folder) -> list[bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(e4(folder / "s").iterdir()):
            packed.writestr(f"s/{file.name}", "\n".join(file.read_text().split("\n")[:ROWS]))
    return [out.getvalue()]


def header_seeds(folder) -> list[bytes]:
    dat(folder)
    return [
        b"r 1 64 3840\nx.dat 16 1000 16 0 0 0 0 PLETH\n",
        b"r 2 64/64(0) 1920 12:00:00 01/01/2024\nx.dat 16 1000(0)/NU 16 0 0 0 0 PLETH\nx.dat 16 1000(0)/mV 16 0 0 0 0 II\n",
        b"r/2 1 64 3840\ns 1920\n~ 1920\n",
    ]


KINDS = {
    "r.csv": text_seeds, "r.npz": npz_seeds, "r.h5": hdf5_seeds, "r.mat": matlab_seeds, "r.parquet": parquet_seeds,
    "r.edf": edf_seeds, "r.avro": avro_seeds, "r.zip": zip_seeds, "r.hea": header_seeds,
}  # fmt: skip


def assert_keeps_its_promises(recording) -> None:
    for channel in (recording.ppg, recording.ecg, recording.acc, recording.resp):
        if channel is None:
            continue
        assert channel.samples.dtype == np.float32
        assert channel.samples.ndim == (2 if channel is recording.acc else 1)
        assert 0 < len(channel.samples) <= MAX_SAMPLES
        assert not np.isinf(channel.samples).any()
        assert MIN_RATE_HZ <= channel.rate_hz <= MAX_RATE_HZ
        assert np.isfinite(channel.offset)
    assert np.isfinite(recording.ppg.samples).any()
    assert recording.start_unix is None or np.isfinite(recording.start_unix)
    assert recording.subject
    assert all(isinstance(n, str) and n for n in recording.notices)


def outcome(path, options):
    """(recording, None) or (None, the typed error); anything else is a failure of the test."""
    try:
        return read_recording(path, **options), None
    except RecordingError as error:
        return None, error


# MATLAB files are read in a process of their own, which takes half a second to load SciPy; this one loads it once and
# is copied for each file: the same code, as far from the reader as ever.
MATLAB_SERVER = """
import os, runpy, sys
import scipy.io
unpack = runpy.run_path(sys.argv[1])["unpack"]
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            status = unpack(*line.rstrip("\\n").split("\\t"))
        except BaseException:
            status = 1
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def matlab_at_hand(monkeypatch):
    command = [sys.executable, "-c", MATLAB_SERVER, matlab.matlab_process.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def run(words, **_):
            server.stdin.write("\t".join(words[-2:]) + "\n")
            server.stdin.flush()
            return subprocess.CompletedProcess(words, int(server.stdout.readline()), b"", b"")

        with monkeypatch.context() as m:
            m.setattr(matlab.subprocess, "run", run)
            yield


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("matlab_at_hand")
def test_damage_ends_in_a_recording_or_in_one_typed_error(tmp_path, name):
    seeds = KINDS[name](tmp_path)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    path, read, refused = tmp_path / name, 0, 0
    for i in range(INPUTS):
        data = damaged(seeds[i % len(seeds)], rng)
        path.write_bytes(data)
        options = OPTIONS[rng.integers(len(OPTIONS))]
        recording, error = outcome(path, options)
        if error is None:
            assert_keeps_its_promises(recording)
            read += 1
        else:
            assert name in str(error), (i, options)
            assert error.cure, (i, options)
            refused += 1
    assert read + refused == INPUTS
    assert refused > 0


@pytest.mark.parametrize("name", [n for n in KINDS if n != "r.hea"])
def test_undamaged_seeds_can_be_read(tmp_path, name):
    """The harm starts from files that are right."""
    good = 0
    for seed in KINDS[name](tmp_path):
        (tmp_path / name).write_bytes(seed)
        for options in ({}, {"rate_hz": 64.0}, {"subject": "a"}):
            try:
                read_recording(tmp_path / name, **options)
            except RecordingError:
                continue
            good += 1
            break
    assert good == len(KINDS[name](tmp_path))


def test_rows_at_random_never_become_a_recording_of_another_length(tmp_path):
    """Random stamps: whatever is read has as many finite samples as rows, or fewer."""
    rng = np.random.default_rng(5)
    for _ in range(INPUTS // 5):
        n = int(rng.integers(2, 200))
        kind = rng.integers(3)
        t = (np.cumsum(rng.exponential(0.02, n)), np.sort(rng.uniform(0, 10, n)), rng.integers(0, 50, n) / 10)[kind]
        path = put(tmp_path / "r.csv", table("time,ppg", t, rng.normal(size=n)))
        try:
            recording = read_recording(path)
        except RecordingError:
            continue
        assert_keeps_its_promises(recording)
