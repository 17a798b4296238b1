"""What is kept of a run, and of a long file, does not grow by more than the outputs that the report needs."""

import subprocess
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made import pulse, put, table

from onwrist.export.handoff.artifacts import load_artifacts
from onwrist.firmware_sim.parity import play, run
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.gates import Played, agreement, compare_runtimes
from onwrist.firmware_sim.parity.hops import BEAT, Hops
from onwrist.firmware_sim.study.light import light
from onwrist.firmware_sim.study.reference import find_intervals
from onwrist.firmware_sim.watch.windows import Windows
from onwrist.signals.front_end.student_input import USUAL
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.readers import table as tables
from onwrist.signals.recordings.recording import Channel, Recording
from onwrist.signals.recordings.spilled import Spilled

RATE, WIDTH, ANSWERS, HOP = 64, 256, 3, 25


class Still:
    """A student that always says the same, at no cost."""

    name, integer = "still", True

    def reset(self):
        pass

    def step(self, x):
        return np.full(WIDTH, x[-1], np.int8), np.full(ANSWERS, 100, np.int8)


class StillWindow:
    name, integer = "still window", True

    def __init__(self, dtype=np.int8):
        self.dtype = dtype

    def run(self, windows):
        return np.repeat(windows[:, -1:], WIDTH, 1).astype(self.dtype), np.full(
            (len(windows), ANSWERS), 100, self.dtype
        )


def peak(work) -> int:
    """Bytes that work holds at its most."""
    tracemalloc.start()
    try:
        kept = work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        del kept
        tracemalloc.stop()


@pytest.mark.slow
def test_a_watch_that_plays_keeps_little_of_an_output(monkeypatch):
    monkeypatch.setattr(Deployed, "tflm", lambda self: Still())
    monkeypatch.setattr(
        "onwrist.firmware_sim.parity.hops.BLOCK", 64
    )  # as much less than the run as it is less than a day
    deployed = Deployed(load_artifacts("watch"))
    held = []
    for minutes in (3, 12):
        x = pulse(np.arange(minutes * 60 * RATE) / RATE).astype(np.float32)
        recording = Recording(Channel(x, RATE), "p", "made")
        held.append(peak(lambda r=recording: run.run_watch_on(r, deployed)))
    # Chunk, float chunk, counts, embedding and times are 0.8 kB; the sensor's light and counts are 0.9 kB a second.
    assert (held[1] - held[0]) / (9 * 60) < 2000


def made_run(count: int):
    """A run as `Run` has it, of a student that says the same as `Still`."""
    rng = np.random.default_rng(0)
    chunks = rng.integers(-100, 100, (count, HOP)).astype(np.int8)
    nothing, one = np.zeros(count), np.ones(count, np.int64)
    embedding, answers = np.repeat(chunks[:, -1:], WIDTH, 1), np.full((count, ANSWERS), 100, np.int8)
    hops = Hops(
        nothing, nothing, nothing, np.zeros(count, np.int64), one > 1, one, chunks, chunks.astype(np.float32), embedding, answers,
        np.zeros(count, np.int32), one, np.zeros(0, BEAT), one - 1, np.zeros((count, 0, ANSWERS), np.int8), one - 1,
        np.zeros((count, 0, 3), np.int8),
    )  # fmt: skip
    played = Played(chunks, hops.first, Windows(chunks, hops.first, 400))
    real = Windows(hops.real, hops.first, 400)
    return SimpleNamespace(hops=hops, embedding=embedding, answers=answers, played=played, real=real, real_beside=[])


def test_comparisons_keep_a_number_of_an_output_and_not_its_embedding(monkeypatch):
    monkeypatch.setattr(play, "TorchFloat", lambda student: StillWindow(np.float32))
    model = SimpleNamespace(embedding_scale=1.0, quantise_input=lambda x: x.astype(np.int8), sees=USUAL)
    deployed = SimpleNamespace(model=model, artifacts=SimpleNamespace(student=None))
    held = []
    for count in (6_000, 18_000):
        made = made_run(count)

        def work(made=made):
            outputs = made.embedding, made.answers
            rows = compare_runtimes(outputs, [Still(), StillWindow()], made.played)
            beside = play.float_beside(deployed, made)
            assert all(r.equal == 1.0 for r in rows)
            assert beside.similarity.min() > 0.999
            return rows, beside

        held.append(peak(work))
    # An embedding is 256 bytes in int8, and 2,048 in float64.
    assert (held[1] - held[0]) / 12_000 < 400


def test_in_blocks_or_at_once_is_the_same():
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-128, 128, (9_000, WIDTH)).astype(np.int8) for _ in range(2))
    say = np.zeros((9_000, ANSWERS), np.int8)
    found = agreement((a, say), (b, say), "x")
    difference = np.abs(np.concatenate([a, say], 1).astype(int) - np.concatenate([b, say], 1))
    x, y = a.astype(float), b.astype(float)
    cosine = (x * y).sum(1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))
    assert (found.equal, found.largest) == (np.mean(difference == 0), difference.max())
    assert sum(found.counts) == difference.size
    assert (found.cosine_median, found.cosine_worst) == (np.median(cosine), cosine.min())


# --- long files -----------------------------------------------------------------------------------------------

T = np.arange(200 * RATE) / RATE
GAPS = (T < 50) | (T > 57.3)
STAMPS = {
    "even": T,
    "gaps": T[GAPS],
    "in packets": np.floor(T * 4) / 4 + 3e-4 * (np.arange(len(T)) % 16),
    "set back": T - 5.0 * (T > 90),
    "some twice": np.repeat(T, np.where(np.arange(len(T)) % 500 == 7, 2, 1)),
    "some missing": np.where(np.arange(len(T)) % 1000 == 5, np.nan, T),
    "uneven frames": T + np.random.default_rng(3).uniform(0, 0.006, len(T)),
    "milliseconds": np.rint(T * 1000),
    "none": None,
}


@pytest.mark.parametrize("name", STAMPS)
@pytest.mark.parametrize("kind", ("csv", "parquet"))
def test_on_disk_or_in_memory_is_the_same(tmp_path, monkeypatch, name, kind):
    monkeypatch.setattr(tables, "SPILL_ROWS", 2_000)
    monkeypatch.setattr("onwrist.signals.recordings.readers.delimited.CHUNK_ROWS", 1_500)
    monkeypatch.setattr("onwrist.signals.recordings.readers.parquet.BATCH_ROWS", 1_500)
    stamps = STAMPS[name]
    x = np.rint(pulse(T if stamps is None else np.nan_to_num(stamps), dc=1e5, ac=500))
    columns = {} if stamps is None else {"time_ms" if name == "milliseconds" else "time": stamps}
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        cells = [["" if np.isnan(v) else f"{v:.6f}" for v in c] for c in (*columns.values(), x)]
        put(path, table(",".join([*columns, "ppg"]), *cells))
    else:
        pq.write_table(pa.table({**columns, "ppg": x}), path, row_group_size=3_000)
    rate = RATE if stamps is None else None
    whole, spilled = (read_recording(path, rate_hz=rate, spill=s) for s in (False, True))
    if name in ("even", "gaps", "milliseconds", "none"):
        assert isinstance(spilled.ppg.samples, Spilled)
    np.testing.assert_array_equal(np.asarray(spilled.ppg.samples), whole.ppg.samples)
    assert np.asarray(spilled.ppg.samples).dtype == whole.ppg.samples.dtype
    for field in ("rate_hz", "name", "units", "offset"):
        assert getattr(spilled.ppg, field) == getattr(whole.ppg, field)
    for field in ("seconds", "missing", "start_unix", "notices", "subject"):
        assert getattr(spilled, field) == getattr(whole, field)
    for ours, theirs in zip(light(spilled, RATE, 19, 60.0), light(whole, RATE, 19, 60.0), strict=True):
        np.testing.assert_array_equal(ours.counts, theirs.counts)
        np.testing.assert_array_equal(ours.present, theirs.present)


def test_an_ecg_on_disk_is_the_same_reference(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "SPILL_ROWS", 1_000)
    monkeypatch.setattr("onwrist.signals.recordings.readers.parquet.BATCH_ROWS", 500)
    t = np.arange(60 * 128) / 128
    beats = 1000.0 * np.exp(-((((t * 1.2) % 1.0) - 0.5) ** 2) / 4e-4)
    pq.write_table(pa.table({"time": t, "ppg": pulse(t, dc=1e5, ac=500), "ecg": beats}), tmp_path / "a.parquet")
    whole, spilled = (read_recording(tmp_path / "a.parquet", spill=s) for s in (False, True))
    assert isinstance(spilled.ecg.samples, Spilled)
    ours, theirs = find_intervals(spilled), find_intervals(whole)
    assert len(ours.end) > 60
    np.testing.assert_array_equal(ours.end, theirs.end)


def test_slices_of_a_column_on_disk():
    x, column = np.arange(700_000, dtype=np.float64), Spilled()
    column.add(x[:10].astype(np.float32))
    column.add(x[10:])
    for at in (slice(None), slice(5, -3), slice(3, None, 7), slice(None, -5, 700), slice(9, 9), slice(-2, None)):
        np.testing.assert_array_equal(column[at], x[at])
    assert (column[0], column[-1], len(column), column.dtype) == (0.0, 699_999.0, 700_000, np.float64)
    np.testing.assert_array_equal(np.asarray(column.times(0.5)), x * 0.5)


MOST = """
import sys
from onwrist.firmware_sim.study.light import light
from onwrist.signals.recordings.readers import read_recording
recording = read_recording(sys.argv[1], spill=True)
samples = sum(len(piece.counts) for piece in light(recording, 64, 19))
most = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(samples, int(most.split()[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_worker_s_memory_does_not_grow_with_a_file(tmp_path):
    hour = 3600 * RATE
    x = np.rint(1e5 + 500 * np.sin(2 * np.pi * 1.2 * np.arange(hour) / RATE)).astype(np.int32)
    most = {}
    for hours in (12, 60):
        path = tmp_path / f"{hours}.parquet"
        with pq.ParquetWriter(path, pa.schema({"time": pa.float64(), "ppg": pa.int32()})) as writer:
            for i in range(hours):
                writer.write_table(pa.table({"time": (i * hour + np.arange(hour)) / RATE, "ppg": x}))
        done = subprocess.run([sys.executable, "-c", MOST, str(path)], capture_output=True, text=True, check=True)
        samples, most[hours] = done.stdout.split()
        assert int(samples) == hours * hour
    # In memory, two days of stamps and samples are 130 MB.
    assert float(most[60]) - float(most[12]) < 50
