"""A whole study: the same bytes whoever plays it, whatever is killed, wherever it lies; one bad file costs one row."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip("distributed", reason="the extra `cohort` is not installed")
pytest.importorskip("pyarrow", reason="the extra `cohort` is not installed")

import pyarrow.parquet as pq

from onwrist.errors import ConfigError, RecordingError
from onwrist.firmware_sim.parity.play import reference_rate
from onwrist.firmware_sim.study import part as part_module
from onwrist.firmware_sim.study.conduct import cluster, conduct, open_study
from onwrist.firmware_sim.study.kit import make_kit
from onwrist.firmware_sim.study.light import light
from onwrist.firmware_sim.study.part import Job, play_part
from onwrist.firmware_sim.study.plan import Setting, in_sample, make_plan
from onwrist.firmware_sim.study.players import NativePlayer, SimulatedPlayer
from onwrist.firmware_sim.study.real import fed
from onwrist.firmware_sim.study.reference import find_intervals, movement, truth
from onwrist.firmware_sim.study.store import UNFINISHED, Store
from onwrist.firmware_sim.study.synthetic import sources, write_person
from onwrist.firmware_sim.watch.sensor import Sensor
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig
from onwrist.resources import SHIPPED
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Channel, Recording

HOURS, PEOPLE = 0.5, 8
PLAYING = {"size": "watch", "hop_s": 1.0, "sensor_hz": 64, "bits": 19, "float_share": 0.25}


@pytest.fixture(scope="module")
def kit():
    return make_kit("watch", PLAYING)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Eight made-up people of half an hour, one damaged file, one without a usable sample."""
    folder = tmp_path_factory.mktemp("people")
    of = sources()
    for i in range(PEOPLE):
        write_person(folder / f"site{i % 2}" / f"P{i}.npz", of, i, HOURS)
    whole = (folder / "site0" / "P0.npz").read_bytes()
    (folder / "site1" / "cut.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(folder / "site1" / "empty.npz", ppg=np.full(1000, -32768, np.int16), fs_ppg=64.0)
    return folder


def setting(kit, **more):
    # A recording each: as many parts as can be killed in the middle of.
    return Setting(digest=kit.digest, **{**PLAYING, "part_bytes": 1000, **more})


def play(kit, patterns, out, workers, **more):
    plan = make_plan(setting(kit, **more), patterns)
    store = Store(str(out))
    open_study(store, plan, kit)
    with cluster(workers) as client:
        return conduct(store, plan, client)


def tree(folder):
    """Name -> hash of every file."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def undisturbed(kit, people, tmp_path_factory):
    """The study, played in one process without any trouble."""
    out = tmp_path_factory.mktemp("undisturbed") / "study"
    play(kit, [str(people / "**" / "*.npz")], out, 0)
    return out


def hops(out):
    return pq.read_table(out / "hops")


def test_rows_and_books(undisturbed, kit):
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    table = hops(undisturbed)
    assert manifest["recordings"] == PEOPLE
    assert manifest["hops"] == len(table)
    assert manifest["packages"]["onwrist"]
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((undisturbed / name).read_bytes()).hexdigest() == entry["sha256"]
    assert set(kit.answer_units().values()) < set(table.column_names)
    why = table["why"].to_numpy()
    assert np.array_equal(table["shown"].to_numpy(zero_copy_only=False), why == 0)
    assert b"1=warming" in table.schema.metadata[b"why"]
    compared = {n for n in set(table["recording"].to_pylist()) if in_sample(n, PLAYING["float_share"])}
    assert 0 < len(compared) < PEOPLE
    cosine = table["cosine"].to_numpy(zero_copy_only=False)
    names = np.array(table["recording"].to_pylist())
    told = np.isin(names, list(compared)) & (why & 1 == 0)
    assert np.array_equal(np.isfinite(cosine), told)
    assert np.median(cosine[told]) > 0.999
    said = pq.read_table(undisturbed / "recordings.parquet").to_pylist()
    for row in said:
        books = json.loads(row["counters"])
        assert books["received"] == sum(books[k] for k in ("dropped", "discarded", "used", "gated", "pending"))
        assert books["hops"] == row["hops"]
        assert books["shown"] == row["shown"]


def test_a_bad_file_is_a_row(undisturbed, people):
    rows = pq.read_table(undisturbed / "failures.parquet").to_pylist()
    assert [r["recording"] for r in rows] == ["site1/cut.npz", "site1/empty.npz"]
    assert all(r["error"] and "\n" not in r["error"] and str(people) not in r["error"] for r in rows)
    assert "every sample is missing" in rows[1]["error"]


def test_a_killed_worker_changes_nothing(kit, people, undisturbed, tmp_path):
    out = tmp_path / "study"
    plan = make_plan(setting(kit), [str(people / "**" / "*.npz")])
    store = Store(str(out))
    open_study(store, plan, kit)
    killed = []
    with cluster(2) as client:
        pids = client.run(os.getpid)

        def kill():
            while len(store.sizes("parts")) < 2:
                time.sleep(0.01)
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        conduct(store, plan, client)
        killer.join()
    assert killed
    assert tree(out) == tree(undisturbed)


def test_a_killed_driver_goes_on(people, undisturbed, tmp_path):
    out = tmp_path / "study"
    words = [
        "cohort",
        str(people / "**" / "*.npz"),
        "--out",
        str(out),
        "--float",
        "0.25",
        "--part-mb",
        "0.001",
        "--no-report",
    ]
    command = [sys.executable, "-m", "onwrist", *words, "--workers"]
    child = subprocess.Popen([*command, "1"], stderr=subprocess.PIPE, cwd=ROOT)
    parts = out / "parts"
    while child.poll() is None and (not parts.is_dir() or len(list(parts.glob("*.json"))) < 2):
        time.sleep(0.005)
    assert child.poll() is None, child.stderr.read()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (out / "manifest.json").exists()
    before = {p.name: p.stat().st_mtime_ns for p in parts.glob("*.json")}
    # What a writer that died leaves beside its file.
    (out / "hops" / f"000003.parquet{UNFINISHED}dead").write_bytes(b"half")
    done = subprocess.run([*command, "2"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert tree(out) == tree(undisturbed)
    assert all((parts / name).stat().st_mtime_ns == t for name, t in before.items())


def test_another_study_is_refused(kit, people, undisturbed):
    with pytest.raises(ConfigError, match="settings hop_s"):
        open_study(Store(str(undisturbed)), make_plan(setting(kit, hop_s=2.0), [str(people)]), kit)
    with pytest.raises(ConfigError, match="recordings"):
        open_study(Store(str(undisturbed)), make_plan(setting(kit), [str(people / "site0")]), kit)
    with pytest.raises(RecordingError, match="no recordings"):
        make_plan(setting(kit), [str(people / "*.none")])
    with pytest.raises(ConfigError, match="protocol"):
        make_plan(setting(kit), ["nowhere://x"])


def test_in_memory_and_by_folder(kit, people, undisturbed):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(people), "/people", recursive=True)
    found = play(kit, ["memory://people"], "memory://played", 0)
    there = json.loads((undisturbed / "manifest.json").read_text())
    assert found["files"] == there["files"]


def test_on_an_object_store(kit, people, undisturbed, monkeypatch):
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    server_module = pytest.importorskip("moto.server", reason="the extra `s3` is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        import s3fs

        s3 = s3fs.S3FileSystem(skip_instance_cache=True)
        s3.mkdir("bucket")
        s3.put(str(people), "bucket/people", recursive=True)
        found = play(kit, ["s3://bucket/people/**/*.npz"], "s3://bucket/played", 1)
    finally:
        server.stop()
    assert found["files"] == json.loads((undisturbed / "manifest.json").read_text())["files"]


def test_a_recording_that_ends_its_process_is_a_row(kit, people, undisturbed, tmp_path, monkeypatch):
    plan = make_plan(setting(kit), [str(people / "site0")])
    store = Store(str(tmp_path))
    open_study(store, plan, kit)
    apart = play_part(Job(store.url, plan.setting, 0, plan.parts[0], apart=True))
    (tmp_path / "parts" / "000000.json").unlink()
    assert apart == play_part(Job(store.url, plan.setting, 0, plan.parts[0]))
    monkeypatch.setattr(part_module.sys, "executable", "/bin/false")
    found = play_part(Job(store.url, plan.setting, 1, plan.parts[1], apart=True))
    assert found["rows"] == 0
    assert "ended the process" in found["failures"][0]["error"]


@pytest.mark.parametrize("gap", ["interpolate", "hold", "reset"])
def test_both_watches_say_the_same(kit, gap):
    recording = read_recording(SHIPPED / "bidmc_05.npz")
    x = recording.ppg.samples.copy()
    for begin, length in ((3000, 40), (9000, 125), (20_000, 126), (30_000, 2000)):
        x[begin : begin + length] = np.nan
    holed = Recording(Channel(x, recording.ppg.rate_hz), "x", "x")
    chosen = setting(kit, gap=gap)
    said = []
    for player in (NativePlayer(kit, chosen), SimulatedPlayer(kit, chosen)):
        for _ in range(2):  # a second recording is not the first one's
            blocks = list(player.play(light(holed, 64, 19)))
        arrays = [
            np.concatenate([getattr(b, n) for b in blocks]) for n in ("time_s", "why", "first", "embedding", "answers")
        ]
        said.append((arrays, player.counters()))
    assert all(np.array_equal(a, b) for a, b in zip(said[0][0], said[1][0], strict=True))
    assert said[0][1] == said[1][1]
    assert said[0][1]["resets"] >= 1
    # What the float student is fed is what the watch was.
    sensor = Sensor(holed, WatchConfig().sensor)
    player = SimulatedPlayer(kit, chosen)
    watch = Watch(player.model, player.step, player.config, witness=True)
    hops_of = list(watch.run(sensor))
    segments, mine = [], []
    for hop in hops_of:
        segments.append([]) if hop.first else None
        segments[-1].append(hop.counts)
    for anew, counts in fed(light(holed, 64, 19), 64, gap):
        mine.append([]) if anew else None
        mine[-1].append(counts)
    mine = [np.concatenate(m) for m in mine]
    segments = [np.concatenate(s) for s in segments]
    long = [m for m in mine if len(m) >= 64 * 1.5]
    assert len(long) == len(segments)
    for a, b in zip(segments, long, strict=True):
        assert np.abs(a - b[: len(a)]).max() <= 1  # made-up counts may be rounded the other way


def test_long_recordings_come_in_pieces():
    recording = read_recording(SHIPPED / "bidmc_05.npz")
    whole = next(light(recording, 64, 19))
    pieces = list(light(recording, 64, 19, piece_s=100.0))
    assert len(pieces) == 5
    firsts = [p.first for p in pieces]
    assert firsts == np.cumsum([0, *[len(p.counts) for p in pieces[:-1]]]).tolist()
    joined = np.concatenate([p.counts for p in pieces])
    assert len(joined) == len(whole.counts)
    assert all(p.present.all() for p in pieces)
    # The range is read from the raw samples, so the gain differs a little; the wave does not.
    assert np.corrcoef(joined, whole.counts)[0, 1] > 0.9999
    slope = np.polyfit(whole.counts, joined, 1)[0]
    assert abs(slope - 1) < 0.02


@pytest.mark.parametrize("name", ["bidmc_05", "bidmc_18", "v470s"])
def test_truth_is_the_reference(name):
    recording = read_recording(SHIPPED / f"{name}.npz")
    time_s = np.arange(1.0, recording.seconds)
    mine, irregular = truth(find_intervals(recording), time_s)
    theirs = reference_rate(recording, time_s).bpm
    both = np.isfinite(mine) & np.isfinite(theirs)
    assert both.mean() > 0.8
    assert np.allclose(mine[both], theirs[both])
    # It leaves out only what covers too little of the ten seconds.
    assert np.isfinite(theirs[np.isfinite(mine)]).all()
    assert set(np.unique(irregular[np.isfinite(irregular)])) <= {0.0, 1.0}


def test_truth_after_the_last_beat_is_unknown():
    beats = np.arange(1.0, 20.0, 0.8)
    labels = {"rpeaks": (beats * 100).astype(int)}
    ecg = Channel(np.ones(6000, np.float32), 100.0, "ecg")
    recording = Recording(Channel(np.ones(6000, np.float32), 100.0), "x", "x", ecg=ecg, labels=labels)
    rate, irregular = truth(find_intervals(recording), np.arange(1.0, 60.0))
    assert rate[14] == pytest.approx(75.0)
    assert irregular[14] == 0.0
    assert np.isnan(rate[40:]).all()
    assert np.isnan(irregular[40:]).all()


def test_movement_is_the_spread_of_each_hop():
    acc = np.zeros((320, 3), np.float32)
    acc[:, 2] = 1.0
    acc[96:128, 2] += 0.5 * np.sin(np.arange(32))
    recording = Recording(Channel(np.ones(640, np.float32), 64.0), "x", "x", acc=Channel(acc, 32.0, "acc"))
    found = movement(recording, np.arange(1.0, 13.0), 1.0)
    assert np.allclose(found[:3], 0, atol=1e-6)
    assert found[3] == pytest.approx(np.std(acc[96:128, 2]), rel=1e-3)
    assert np.isnan(found[11])


def test_a_sample_is_the_same_everywhere():
    names = [f"site/{i}.npz" for i in range(4000)]
    drawn = {n for n in names if in_sample(n, 0.05)}
    assert 140 < len(drawn) < 260
    assert drawn <= {n for n in names if in_sample(n, 0.2)}
    assert not any(in_sample(n, 0.0) for n in names)
    assert all(in_sample(n, 1.0) for n in names)


@pytest.mark.parametrize(("rate", "size"), [(50, 1.0), (256, 1e9)])
def test_an_ecg_at_any_rate_and_in_any_unit_is_a_reference(rate, size):
    beats = np.arange(0.5, 60, 0.8)
    t = np.arange(60 * rate) / rate
    ecg = size * np.exp(-0.5 * ((t[:, None] - beats) / 0.02) ** 2).sum(axis=1).astype(np.float32)
    channel = Channel(ecg, rate, "ecg")
    found = find_intervals(Recording(Channel(ecg, rate), "p", "made", ecg=channel))
    assert len(found.end) == pytest.approx(len(beats) - 1, abs=3)
    assert np.median(found.end - found.begin) == pytest.approx(0.8, abs=0.03)
