"""Drift: false alarms stay at their level, planted changes are found and named, bad tables are refused in a line."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import made
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bundles import files_of, packed, plain_bundle

from onwrist.errors import ConfigError
from onwrist.export.sources.telemetry_rules import pack
from onwrist.firmware_sim.fleet.compare import compare, psi, shares
from onwrist.firmware_sim.fleet.counting import Counter, shipped_recordings
from onwrist.firmware_sim.fleet.planted import NONE, PLANTS, count_people, fleet_of
from onwrist.firmware_sim.fleet.table import COUNTERS, Fleet, read_fleet, write_fleet
from onwrist.firmware_sim.fleet.trial import trial
from onwrist.quantize.integers.training import load_integers
from onwrist.signals.front_end.fixed import design

BAND = load_integers("band")
RULES = made.reference(BAND).rules


def person(rng, outputs: int, swing: float = 6.0) -> np.ndarray:
    """Counters of somebody with habits of their own, a few outputs or many."""
    found = np.zeros(80, np.int64)
    found[0] = outputs
    found[7] = rng.binomial(outputs, rng.beta(20, 3))
    for name, at in RULES.fields.items():
        if name != "outputs":
            size = at.stop - at.start
            middle = swing if name == "swing" else size / 2
            weights = np.exp(-0.5 * ((np.arange(size) - middle - rng.normal(0, 0.7)) / 0.8) ** 2) + 1e-4
            found[at] = rng.multinomial(outputs, weights / weights.sum())
    return found


def fleet(rng, devices: int, outputs: int, swing: float = 6.0, model: str = "A") -> Fleet:
    text = np.array([f"{model}{i}" for i in range(devices)])
    same = np.full(devices, "1")
    return Fleet(
        text, same, np.full(devices, model), same, np.stack([person(rng, outputs, swing) for _ in range(devices)])
    )


def test_false_alarms_stay_at_their_level_though_days_are_longer_than_recordings():
    """Fifteen people of ten minutes against forty devices of a day: the two sides spread unequally."""
    runs = 200
    rng = np.random.default_rng(0)
    found = [
        compare(np.stack([person(rng, 300) for _ in range(15)]), fleet(rng, 40, 20_000), RULES, level=0.05, permutations=199, seed=k)[0]
        for k in range(runs)
    ]  # fmt: skip
    rate = np.mean([f.p <= f.level for f in found])
    # 95 % of the time within this of the level, and the test is one of many.
    assert rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_a_change_of_one_model_is_found_in_that_model_and_named():
    rng = np.random.default_rng(1)
    a, b = fleet(rng, 30, 2000), fleet(rng, 30, 2000, swing=4.5, model="B")
    both = Fleet(
        *(np.concatenate([getattr(a, n), getattr(b, n)]) for n in ("device", "day", "model", "firmware", "counters"))
    )
    found = {f.name: f for f in compare(np.stack([person(rng, 300) for _ in range(30)]), both, RULES)}
    assert set(found) == {"whole fleet", "model A", "model B"}
    assert found["model B"].alarm
    assert found["model B"].field == "swing"
    assert not found["model A"].alarm


def test_days_of_a_device_are_one_device_and_few_devices_say_nothing():
    rng = np.random.default_rng(2)
    reference = np.stack([person(rng, 300) for _ in range(30)])
    one = fleet(rng, 1, 2000, swing=2)
    month = Fleet(*(np.repeat(getattr(one, n), 30, axis=0) for n in ("device", "day", "model", "firmware", "counters")))
    (found,) = compare(reference, month, RULES)
    assert (found.devices, found.alarm, found.every) == (1, False, {})


def test_the_index_of_equal_distributions_is_nothing_and_of_others_its_formula():
    a, b = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    assert psi(a, a) == 0
    assert psi(a, b) == pytest.approx(2 * 0.3 * np.log(2.5), rel=0.01)


def test_how_long_a_recording_was_is_no_difference():
    row = np.zeros((2, 80), np.int64)
    row[:, 0], row[0, 2], row[1, 2] = (200, 1000), 20, 20
    row[0, 7], row[1, 7] = 90, 490
    found, where = shares(row, RULES)
    assert {"anew", "warming"}.isdisjoint(where)
    assert found[:, where["shown"]][:, 0] == pytest.approx([0.5, 0.5])


def test_people_of_shipped_recordings_turned_upside_down(tmp_path):
    """The whole way: sensor, C, counters, comparison; and the table that says how often."""
    counter = Counter(BAND, 25, design(64, 19), RULES)
    people = count_people(counter, shipped_recordings(), PLANTS)
    assert len(people) >= 11
    rng = np.random.default_rng(0)
    reference = np.stack([p.blocks[NONE.name].sum(axis=0) for p in people])
    for plant, alarm in ((NONE.name, False), ("polarity", True), ("gain", True)):
        made_up = fleet_of(people, lambda *_, name=plant: name, 30, 2, rng)
        path = tmp_path / f"{plant}.parquet"
        write_fleet(path, made_up, RULES)
        again = read_fleet(path, RULES)
        assert np.array_equal(again.counters, made_up.counters)
        assert compare(reference, again, RULES, by=())[0].alarm is alarm, plant
    rows = {r["plant"]: r for r in trial(people, RULES, 2, 100)["rows"]}
    assert rows[NONE.name]["runs"] == 8
    assert all(r["alarms"] <= r["runs"] for r in rows.values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop_columns(["day"]), "no column day"),
        (lambda t: t.slice(0, 0), "no rows"),
        (lambda t: t.set_column(4, COUNTERS, pa.array([b"x" * 256] * len(t))), "not the 256 bytes"),
        (lambda t: t.set_column(4, COUNTERS, pa.array([None] * len(t), pa.binary())), "rows without it"),
        (lambda t: t.set_column(4, COUNTERS, pa.array([replace(RULES, hop=5).header + pack(np.zeros(80, int))] * len(t))), "other rules"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_refused(tmp_path, change, says):
    path = tmp_path / "t.parquet"
    write_fleet(path, fleet(np.random.default_rng(0), 3, 200), RULES)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(ConfigError, match=says):
        read_fleet(path, RULES)


def test_no_parquet_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_text("device,day\n")
    with pytest.raises(ConfigError, match="is no Parquet"):
        read_fleet(tmp_path / "t.parquet", RULES)


@pytest.mark.slow
def test_the_command_says_what_moved_shows_it_and_exits_with_1(tmp_path):
    bundle = packed(files_of(plain_bundle()), tmp_path / "b.zip")

    def drift(*words):
        command = [sys.executable, "-c", "from onwrist.command import main; main()", "drift"]
        where = ["--bundle", bundle, "--size", "band", "--out", tmp_path / "out", "--by", "model"]
        return subprocess.run([*map(str, (*command, *words, *where))], capture_output=True, text=True, env=os.environ)

    done = drift("--demo", "fade")
    assert done.returncode == 1, done.stderr
    assert "ALARM whole fleet" in done.stdout
    assert "(swing)" in done.stdout
    said = json.loads((tmp_path / "out" / "drift.json").read_text())
    assert [s["slice"] for s in said["slices"]] == ["whole fleet", "model A", "model B"]
    page = (tmp_path / "out" / "drift.html").read_text()
    assert "how large the pulse is" in page
    assert "beside the reference" in page
    assert (
        drift(tmp_path / "out" / "telemetry.parquet", "--baseline", tmp_path / "out" / "telemetry.parquet").returncode
        == 0
    )
    none = drift()
    assert none.returncode == 2
    assert "--demo none" in none.stderr
