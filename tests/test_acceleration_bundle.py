"""A student of light and acceleration all the way: every runtime from counts of both sensors, contract, bundle, verifier, cost."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from bundles import array_file, arrays, edit_json, files_of, here, packed, rehashed
from moving import moving, still

from onwrist.errors import ExportError
from onwrist.export.handoff.artifacts import contract
from onwrist.export.handoff.bundle import assemble
from onwrist.export.handoff.golden import golden_acceleration, golden_counts
from onwrist.export.handoff.names import CONTRACT, GOLDEN
from onwrist.export.handoff.provenance import Origin
from onwrist.export.sources.firmware import firmware_sources
from onwrist.firmware_sim.fleet.counting import make_reference
from onwrist.firmware_sim.handoff.verify import verify
from onwrist.firmware_sim.parity.acceleration_cost import table_of, watch_costs
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.firmware import run_firmware
from onwrist.firmware_sim.parity.play import stream
from onwrist.firmware_sim.parity.summary import summary
from onwrist.firmware_sim.parity.survey import survey
from onwrist.firmware_sim.parity.tables import samples
from onwrist.firmware_sim.runtimes.compiler import CORES, STRICT
from onwrist.firmware_sim.watch.faults import parse_faults
from onwrist.firmware_sim.watch.golden import golden_watch_header
from onwrist.firmware_sim.watch.sensor import AccelerometerConfig, SensorConfig
from onwrist.firmware_sim.watch.watch import WatchConfig
from onwrist.models.student.work import work
from onwrist.resources import SHIPPED
from onwrist.signals.front_end.acceleration import STEP_G, AccelerationConfig, FixedAcceleration
from onwrist.signals.front_end.fixed import FixedFrontEnd, design
from onwrist.signals.recordings.readers import read_recording

WRIST = AccelerationConfig(50, 16, 4096.0)
FIXED = design(64, 19, acceleration=WRIST)


def short(recordings, begin: float, seconds: float):
    whole = read_recording(recordings / "S34.npz")

    def cut(channel):
        rows = slice(*(int(t * channel.rate_hz) for t in (begin, begin + seconds)))
        return replace(channel, samples=channel.samples[rows])

    return replace(whole, ppg=cut(whole.ppg), acc=cut(whole.acc), ecg=None, labels={}, source="cut")


def reference(model, hop, fixed):
    """Of one wrist alone, with and without acceleration: what is tested is that it can be made again."""
    recording = short(SHIPPED, 300, 240)
    people = [recording, replace(recording, acc=None, subject="other")]
    return make_reference(model, hop, fixed, people, "one wrist")


@pytest.fixture(scope="module")
def bundle():
    return assemble([(moving(), Origin("", "", "", ""))], 25, FIXED, golden_watch_header, reference)


@pytest.fixture(scope="module")
def streamed(recordings):
    deployed = Deployed(moving(), WatchConfig(sensor=SensorConfig(acceleration=AccelerometerConfig())))
    faults = parse_faults(("acc_lost:share=0.1", "acc_late:every_s=8"), seed=1)
    return stream(short(recordings, 660, 20), deployed, faults=faults)


def test_every_runtime_says_the_same_from_counts_of_both(streamed):
    """Stream = window = TFLM = LiteRT = numpy, acceleration lost and late; the watch's books too."""
    exact = {g.name: g for g in streamed.gates if g.group == "exact"}
    assert all(g.passed for g in exact.values()), exact
    assert {"acceleration accounted for", "samples accounted for"} < set(exact)
    near = {a.runtime: a.largest for a in streamed.agreements}
    assert near["ONNX Runtime, stream"] <= 4
    assert near["Brevitas"] <= 4
    assert streamed.hops.unmoved.sum() > 0
    assert np.std(streamed.hops.acceleration) > 1
    said = summary(streamed)["acceleration"]
    assert said["received"] > 0
    assert said["outputs_with_less"] > 0
    json.dumps(said)
    assert any("acceleration: missing" in str(row[0]) for row in samples([streamed]).rows)


@pytest.mark.parametrize("core", (None, CORES[0]), ids=("native", "M4F"))
def test_the_five_calls_say_the_same(streamed, core):
    """From counts of light and rows of acceleration; the instructions of a hop are those of both sensors."""
    outputs = streamed.embedding, streamed.answers
    run = run_firmware(streamed.deployed.firmware, core, streamed.run.played, outputs)
    assert run.wrong == 0
    assert run.bytes > 0
    if core:
        assert run.kernels["onwrist_acceleration_receive"] > 10_000


def test_memory_counts_both_sensors(streamed):
    alone = Deployed(still(), WatchConfig()).memory
    both = streamed.memory
    assert both.window == 4 * moving().model.window
    assert both.ring > alone.ring + 12 * 100
    assert both.front_end > alone.front_end + 3 * 4 * 20
    assert both.front_end_tables > alone.front_end_tables


def test_the_contract_says_what_firmware_needs():
    found = contract(moving(), 25, FIXED)
    a = found["acceleration"]
    assert (a["lowest"], a["highest"]) == (-(2**15), 2**15 - 1)
    assert a["fixed_point_front_end"]["step_g"] == STEP_G
    assert found["acc"]["shape"] == [1, 1, moving().model.window, 3]
    assert not {"acc", "acceleration"} & set(contract(still(), 25, FIXED))
    assert contract(still(), 25, FIXED) == contract(still(), 25, design(64, 19))


def test_the_bundle_verifies(bundle, tmp_path):
    """In the golden vectors and the self-test on emulated cores is acceleration, from its counts on."""
    verdict = verify(packed(files_of(bundle), tmp_path / "b.zip"), run=here)
    assert not verdict.failed, verdict.lines
    passed = {r.what for r in verdict.rows if r.state == "ok"}
    assert {"moving: TFLM, window", "moving: LiteRT reference, stream", "moving: C self-test on emulated M4F"} < passed
    golden = arrays(bundle.files[f"moving/{GOLDEN}"])
    rows = FixedAcceleration(WRIST).push(golden["acc_counts"])
    np.testing.assert_array_equal(rows[: golden["acc_input"].shape[0] * 25].reshape(-1, 25, 3), golden["acc_input"])
    light = FixedFrontEnd.of(FIXED).push(golden["counts"])
    np.testing.assert_array_equal(light[: golden["input"].size].reshape(-1, 25), golden["input"])


@pytest.mark.parametrize("what", ("counts", "rows", "gain", "absent", "step"))
def test_one_number_of_acceleration_that_is_other_is_found(bundle, tmp_path, what):
    files = files_of(bundle)

    def edit(found: dict) -> None:
        a = found["acceleration"]["fixed_point_front_end"]
        if what == "gain":
            a["gain"] += 2
        elif what == "step":
            a["step_g"] = 7.0
        else:
            del found["acceleration"]

    if what in ("counts", "rows"):
        golden = arrays(files[f"moving/{GOLDEN}"])
        name = "acc_counts" if what == "counts" else "acc_input"
        golden[name].flat[2000] ^= 3
        files[f"moving/{GOLDEN}"] = array_file(golden)
    else:
        files[f"moving/{CONTRACT}"] = edit_json(files[f"moving/{CONTRACT}"], edit)
    verdict = verify(packed(rehashed(files), tmp_path / "b.zip"), run=here)
    assert verdict.failed


@pytest.mark.parametrize(
    "compiler", (("gcc", "-Os"), ("arm-none-eabi-gcc", "-O2", "-mthumb", "-mcpu=cortex-m0plus")), ids=" ".join
)
def test_no_compiler_warns(tmp_path, compiler):
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no {compiler[0]}")
    for name, text in firmware_sources(moving().model, 25, FIXED).files.items():
        (tmp_path / name).write_text(text)
    for name in ("onwrist_watch.c", "onwrist_acceleration.c"):
        words = [*compiler, "-std=c11", *STRICT, "-Wpedantic", "-c", str(tmp_path / name), "-o", str(tmp_path / "o")]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_what_does_not_know_acceleration_says_so(recordings):
    with pytest.raises(ExportError, match=r"no accelerometer.*SensorConfig"):
        survey(short(recordings, 660, 30), moving(), WatchConfig())
    with pytest.raises(ExportError, match="no accelerometer"):
        contract(moving(), 25, design(64, 19))


def test_cost(capsys):
    """The table of docs/how/accelerometer.md: `pytest tests/test_acceleration_bundle.py -k cost -s`."""
    seconds = 5
    counts = golden_counts(64, 19)[: 64 * seconds]
    rows = []
    for artifacts, rate in ((still(), 0), (moving(), 32), (moving(), 50), (moving(), 100)):
        fixed = design(64, 19, acceleration=AccelerationConfig(rate or 50))
        acceleration = golden_acceleration(fixed.acceleration)[: seconds * (rate or 50)]
        rows.append(watch_costs(artifacts.model, 25, fixed, CORES[0], counts, acceleration))
    with capsys.disabled():
        print("\n" + table_of(rows))
        for a in (still(), moving()):
            print(f"{a.size}: {len(a.tflite):,} B of TFLite, {work(a.student, 1.0).streamed // 10:,} MACs a second")
    alone, *both = rows
    assert alone.acceleration == 0
    assert all(0 < r.acceleration < r.instructions - alone.instructions for r in both)
    assert [r.acceleration for r in both] == sorted(r.acceleration for r in both)
