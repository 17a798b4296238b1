"""What a study adds up to, on rows whose figures are known: sums, subgroups, gates, worst stretches, the page."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("duckdb", reason="the extra `cohort` is not installed")
pytest.importorskip("pyarrow", reason="the extra `cohort` is not installed")

import pyarrow as pa

from onwrist.errors import ConfigError
from onwrist.firmware_sim.study.figures import LEAST_PEOPLE, Rows, summarise
from onwrist.firmware_sim.study.judge import judge, parse, study_verdict
from onwrist.firmware_sim.study.plan import Setting, make_plan
from onwrist.firmware_sim.study.report import write_study_report
from onwrist.firmware_sim.study.store import Store
from onwrist.firmware_sim.study.table import FAILURE_SCHEMA, RECORDING_SCHEMA, hop_schema, hop_writer, parquet_bytes
from onwrist.firmware_sim.study.waves import raw_waves
from onwrist.resources import SHIPPED
from onwrist.signals.recordings.readers import read_recording
from onwrist.spec import Gates

REASONS = {"warming": 1, "bridged": 2, "clipped": 4, "flat": 8, "poor": 16}
PEOPLE, HOPS = 14, 120


def kit():
    units = {"heart_rate": "heart_rate_bpm", "quality": "quality", "irregular": "irregular"}
    return SimpleNamespace(answer_units=lambda: units, sources={"reasons": REASONS}, digest="d")


def error_of(i):
    """People of the second device are farther off."""
    return 1.0 + i % 3 + (6.0 if i >= PEOPLE // 2 else 0.0)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Fourteen people of two minutes at 70 BPM, the first sixteen seconds warming; one stretch of one of them far off."""
    folder = tmp_path_factory.mktemp("study <i>")
    store = Store(str(folder))
    schema = hop_schema(kit())
    for i in range(PEOPLE):
        time_s = np.arange(1.0, HOPS + 1)
        why = np.where(time_s <= 16, 1, 0).astype(np.uint8)
        said = np.full(HOPS, 70.0 + error_of(i))
        if i == 2:
            said[60:] += 40.0
        rows = {
            "person": [f"P{i}"] * HOPS, "recording": [f"P{i}.npz"] * HOPS, "time_s": time_s, "heart_rate_bpm": said,
            "quality": np.ones(HOPS), "irregular": np.full(HOPS, -1.0), "why": why, "shown": why == 0,
            "flagged": np.zeros(HOPS, bool), "cosine": np.where(why == 0, 0.999, np.nan),
            "heart_rate_bpm_float": said - 0.05, "quality_float": np.ones(HOPS), "irregular_float": -np.ones(HOPS),
            "true_bpm": np.full(HOPS, 70.0), "true_irregular": [False] * HOPS, "movement_g": np.full(HOPS, 0.01),
        }  # fmt: skip
        local = folder / "rows.parquet"
        with hop_writer(local, schema) as writer:
            arrays = [
                pa.array(rows[f.name], f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in schema
            ]
            cast = [
                a.dictionary_encode() if pa.types.is_dictionary(f.type) else a
                for a, f in zip(arrays, schema, strict=True)
            ]
            writer.write_table(pa.table(cast, schema=schema))
        store.publish(local, f"hops/{i:06d}.parquet")
    store.write("recordings.parquet", parquet_bytes([], RECORDING_SCHEMA))
    failed = [{"recording": "<b>.npz", "kind": "RecordingError", "error": "is <broken> & gone"}]
    store.write("failures.parquet", parquet_bytes(failed, FAILURE_SCHEMA))
    lines = ["person,device,id", *(f"P{i},{'old' if i < PEOPLE // 2 else 'new'},{i}" for i in range(PEOPLE))]
    (folder / "people.csv").write_text("\n".join(lines))
    return store


@pytest.fixture(scope="module")
def figures(study):
    return summarise(Rows(study, study.path("people.csv")), (), REASONS)


def value(figures, measure, column="", group="all"):
    return next(g for g in figures.groups if (g.column, g.group, g.measure) == (column, group, measure))


def test_sums_by_person_and_group(figures):
    assert len(figures.people) == PEOPLE
    assert value(figures, "shown").value == pytest.approx(104 / 120)
    assert figures.reasons["warming"] == pytest.approx(16 / 120)
    errors = [error_of(i) + (40.0 * 60 / 104 if i == 2 else 0.0) for i in range(PEOPLE)]
    assert value(figures, "mae").value == pytest.approx(np.mean(errors), rel=1e-5)
    half = PEOPLE // 2
    assert value(figures, "mae", "device", "new").value == pytest.approx(np.mean(errors[half:]), rel=1e-5)
    assert value(figures, "difference").value == pytest.approx(0.05, rel=1e-3)
    assert value(figures, "specificity").value == 1.0
    found = value(figures, "mae", "device", "new")
    assert found.low < found.value < found.high
    assert found.people == half >= LEAST_PEOPLE
    assert {g.column for g in figures.groups} == {"", "device", "id"}
    assert np.isnan(value(figures, "mae", "id", "3").low)


def test_the_worst_stretch_is_found_and_pictured(figures):
    worst = figures.stretches[0]
    assert (worst["recording"], worst["begin_s"], worst["against"]) == ("P2.npz", 60, "reference")
    assert worst["error"] == pytest.approx(40 + error_of(2), rel=0.05)
    assert len(figures.pictured) == len(figures.stretches)
    assert len(figures.pictured[0]["time_s"]) > 60


def test_gates_ask_everybody_and_the_worst_subgroup(figures):
    gates = judge(figures, ("mae<=8", "shown>=0.5"))
    assert [(g.name, g.passed) for g in gates] == [
        ("mae, everybody", True), ("mae, worst subgroup (device new)", True), ("shown, everybody", True),
        ("shown, worst subgroup (device new)", True),
    ]  # fmt: skip
    strict = judge(figures, ("mae<=7.5",))
    assert [g.passed for g in strict] == [True, False]
    assert [(g.name, g.limit, g.word) for g in judge(figures)][:5] == [
        ("difference, everybody", "<= 0.1 BPM", "pass"), ("difference, worst subgroup (device new)", "<= 0.1 BPM", "pass"),
        ("mae, everybody", "<= 10 BPM", "pass"), ("mae, worst subgroup (device new)", "<= 10 BPM", "pass"),
        ("mae, everybody", "<= 5 BPM", "WARN"),
    ]  # fmt: skip
    assert study_verdict(judge(figures))[0] == "WARN"
    assert study_verdict(judge(figures, limits=Gates(wrong_bpm=6.0)))[0] == "FAIL"
    assert judge(figures, ("sensitivity>=0.5",))[0].value == "not measured"
    assert not judge(figures, ("sensitivity>=0.5",))[0].passed
    for wrong in ("mae<5", "speed<=3", "mae<=x", ""):
        with pytest.raises(ConfigError, match="is no gate"):
            parse(wrong)


def test_few_people_are_no_verdict(figures):
    few = replace(figures, groups=[replace(g, people=LEAST_PEOPLE - 1) for g in figures.groups if not g.column])
    word, why = study_verdict(judge(few))
    assert (word, "too few people (5 of 6)" in why) == ("not judged", True)
    assert study_verdict(judge(few, ("mae<=7.5",)))[0] == "PASS"
    assert study_verdict(judge(replace(few, groups=[])))[0] == "not judged"


def test_columns_and_tables_that_are_not_there(study, tmp_path):
    rows = Rows(study, study.path("people.csv"))
    with pytest.raises(ConfigError, match="no column 'sex'"):
        summarise(rows, ("sex",), REASONS)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="has neither"):
        Rows(study, str(tmp_path / "x.csv"))
    with pytest.raises(ConfigError, match="is no table"):
        Rows(study, str(tmp_path / "none.csv"))


def test_the_page_and_its_tables(study, figures):
    manifest = {
        "setting": {"size": "watch", "digest": "d" * 64, "hop_s": 1.0, "sensor_hz": 64, "bits": 19, "float_share": 1.0},
        "people": PEOPLE, "recordings": PEOPLE, "hours": 0.5, "hops": PEOPLE * HOPS, "shown": PEOPLE * 104, "failures": 1,
    }  # fmt: skip
    path = write_study_report(study, manifest, figures, judge(figures, ("mae<=7.5",)))
    text = study.read("report/report.html").decode()
    assert path.endswith("report.html")
    assert "FAIL" in text
    assert "is &lt;broken&gt; &amp; gone" in text
    assert "<b>.npz" not in text
    assert text.count("<svg") == 3 + len(figures.stretches)
    people = list(csv.DictReader(io.StringIO(study.read("report/people.csv").decode())))
    assert len(people) == PEOPLE
    assert float(people[0]["mae"]) == pytest.approx(error_of(0), rel=1e-5)
    assert people[-1]["device"] == "new"


def test_a_spec_says_what_is_played_and_what_is_judged(tmp_path):
    (tmp_path / "people.csv").write_text("person,site\nbidmc_05,a\nbidmc_13,b\n")
    spec = tmp_path / "mine.toml"
    spec.write_text(
        'name = "mine"\n[student]\nsize = "band"\ntrain = false\n[sensor]\nrate_hz = 100\n[stream]\nhop_s = 2.0\n'
        f"[data]\nrecordings = ['{SHIPPED}/bidmc_05.npz', '{SHIPPED}/bidmc_13.npz']\n"
        "[study]\ngate = ['mae<=0.001']\npeople = 'people.csv'\n"
    )
    out = tmp_path / "study"
    command = [sys.executable, "-c", "from onwrist.command import main; main()", "cohort", "--spec", str(spec)]
    done = subprocess.run([*command, "--out", str(out), "--workers", "0"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "FAIL: mae, everybody" in done.stdout
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["recordings"] == 2
    played = {k: manifest["setting"][k] for k in ("size", "sensor_hz", "hop_s")}
    assert played == {"size": "band", "sensor_hz": 100, "hop_s": 2.0}
    assert "site a" in (out / "report" / "report.html").read_text()
    spec.write_text('name = "nobody"\n[student]\ntrain = true\n')
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "onwrist deploy" in done.stderr


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(study, figures, width):
    import shutil

    driver = pytest.importorskip("playwright.sync_api", reason="the browser's driver is not installed: playwright")
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        pytest.skip("no Chromium on this machine (Debian: chromium)")
    manifest = {
        "setting": {"size": "watch", "digest": "d" * 64, "hop_s": 1.0, "sensor_hz": 64, "bits": 19, "float_share": 1.0},
        "people": PEOPLE, "recordings": PEOPLE, "hours": 0.5, "hops": PEOPLE * HOPS, "shown": PEOPLE * 104, "failures": 1,
    }  # fmt: skip
    path = write_study_report(study, manifest, figures, judge(figures))
    with driver.sync_playwright() as p:
        running = p.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = running.new_page(viewport={"width": width, "height": 800})
        page.goto(Path(path).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        running.close()


def test_the_raw_light_of_a_stretch_is_the_recording_s():
    plan = make_plan(Setting("band", "d"), [str(SHIPPED / "bidmc_05.npz"), str(SHIPPED / "S34.npz")])
    stretches = [{"recording": "S34.npz", "begin_s": 120}, {"recording": "gone.npz", "begin_s": 0}]
    wave, nothing = raw_waves(plan, stretches)
    raw = read_recording(SHIPPED / "S34.npz").ppg
    assert wave[0, 0] == 120
    assert np.array_equal(wave[1], raw.samples[int(120 * raw.rate_hz) : int(180 * raw.rate_hz)].astype(float))
    assert nothing.shape == (2, 0)
