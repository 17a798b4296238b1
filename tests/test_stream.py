"""The scripts as a stranger uses them: own files in, parity and a report out, a failed gate is a failed exit."""

import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from onwrist.errors import ConfigError, RecordingError
from onwrist.firmware_sim.parity import pictures
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.gates import EXACT
from onwrist.firmware_sim.parity.parts import PARTS, cells, find_part
from onwrist.firmware_sim.parity.play import stream
from onwrist.firmware_sim.parity.report import page
from onwrist.firmware_sim.parity.summary import summary
from onwrist.firmware_sim.parity.sweep import STRENGTHS, point, stored_curves, subjects
from onwrist.firmware_sim.parity.terminal import table
from onwrist.firmware_sim.watch.faults import KINDS, parse_faults
from onwrist.firmware_sim.watch.sensor import SensorConfig
from onwrist.firmware_sim.watch.watch import WatchConfig
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Channel, Recording

SCRIPTS = (
    "models/pretrain.py", "models/probe.py", "quantize/distill.py", "quantize/qat.py", "quantize/skill.py", "export/to_onnx.py",
    "export/to_tflite.py", "firmware_sim/stream.py", "firmware_sim/deploy.py", "firmware_sim/cohort_gates.py",
    "firmware_sim/bench.py", "firmware_sim/survey.py", "firmware_sim/parts.py", "firmware_sim/sweep.py", "firmware_sim/versus.py", "export/to_c.py",
    "firmware_sim/bundle.py", "models/benchmark.py", "models/efficiency.py", "quantize/teachers.py",
    "models/curves.py", "models/published.py",
)  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_describes_every_option(run_script, script):
    done = run_script(script, "--help")
    assert done.returncode == 0, done.stderr
    options = re.findall(r"^│ (--[a-z0-9-]+)", done.stdout, re.MULTILINE)
    assert options
    text = re.sub(r"[│╭╰─╮╯]", " ", done.stdout[done.stdout.index("╭") :])  # after the usage line
    for a, b in zip(options, [*options[1:], None], strict=True):
        start = text.index(a + " ") if a + " " in text else text.index(a)
        end = text.find(b, start + len(a)) if b else -1
        body = text[start : end if end > 0 else None]
        assert len(body.replace(a, "").split()) > 4, f"{script} {a} has no description"


@pytest.fixture(scope="module")
def streamed(artifacts, recordings):
    return stream(read_recording(recordings / "bidmc_13.npz"), Deployed(artifacts, WatchConfig(hop_s=4.0)))


def test_stream_of_a_real_recording(streamed):
    found = summary(streamed)
    assert found["hops"] == pytest.approx(120, abs=1)
    assert found["valid_hops"] == found["hops"] - 3
    assert {g.name for g in streamed.gates} >= {
        "stream and window, every firmware runtime: same bytes", "flash, window", "flash, stream", "activations, stream",
        "samples accounted for",
    }  # fmt: skip
    by_name = {a["runtime"]: a for a in found["runtimes"]}
    assert set(EXACT) <= set(by_name)
    for name in EXACT:
        assert by_name[name]["equal"] == 1.0
    assert by_name["ONNX Runtime"]["equal"] > 0.5
    assert found["heart_rate"]["reference"] == "ECG"
    assert found["heart_rate"]["int8_mae"] < 10
    assert sum(found["reasons"].values()) == found["hops"]
    assert found["reasons"]["shown"] == found["shown_hops"]
    assert {m["method"] for m in found["methods"]} >= {"watch shows", "find_peaks", "MSPTDfast", "spectral peak"}
    assert sum(b["shown"] for b in found["heart_rate"]["by_rate"]) == found["heart_rate"]["hops"]
    assert found["counters"]["received"] == round(streamed.rate_hz * streamed.seconds)
    json.dumps(found)


def test_report_is_one_page_with_everything_inside(streamed):
    html = page([streamed])
    assert html.count('<svg role="img" aria-label="') == 11
    assert not re.search(r"""(src|href)=['"](?!data:|#)""", html)  # nothing is fetched
    assert html.index(streamed.verdict[0]) < html.index("<svg")  # the verdict comes first
    names = re.findall(r' id="([^"]+)"', html)
    assert len(names) == len(set(names))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(names)
    for gate in streamed.gates:
        assert gate.name in unescape(html)
    text = table([streamed])
    assert f"verdict, {streamed.size}: {streamed.verdict[0]}" in text
    assert "median (5 to 95 %)" in text
    assert "\x1b" not in text  # piped: no colour
    for method in ("find_peaks", "MSPTDfast", "spectral peak"):
        assert method in text
        assert method in html
    assert max(map(len, table([streamed], width=80).splitlines()[:-1])) <= 80


def test_a_faulty_run_is_drawn_and_reproduced(run_script, tmp_path):
    recipe = tmp_path / "bad.toml"
    recipe.write_text('seed = 4\n[[fault]]\nkind = "lost"\nshare = 0.05\n[[fault]]\nkind = "motion"\n')
    found = []
    for name, words in (("a", ("--faults", recipe)), ("b", ("--fault", "lost:share=0.05", "motion", "--seed", 4))):
        done = run_script(
            "firmware_sim/stream.py", "recordings/v200s.npz", "--size", "band", "--out", tmp_path / name,
            "--no-cohort", "--part", "STM32L4R5", *words,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        found.append(json.loads((tmp_path / name / "report.json").read_text())["runs"][0])
    assert found[0]["counters"] == found[1]["counters"]
    assert found[0]["cosine"] == found[1]["cosine"]
    assert found[0]["counters"]["bridged"] > 0
    assert found[0]["counters"]["sent"] == found[0]["counters"]["received"]
    assert 0 < found[0]["utilisation"] < 0.01
    html = (tmp_path / "a" / "report.html").read_text()
    assert "a faulty stretch" in html
    assert "Faults, seed 4" in html


def test_faults_only_make_it_worse_and_the_gate_helps(recordings, artifacts):
    people = subjects(recordings)[:3]
    points = [
        point(artifacts, people, parse_faults(words), WatchConfig()) for words in ((), ("motion:scale=4,every_s=30",))
    ]
    clean, moved = points
    assert moved["shown"] < clean["shown"]
    assert moved["mae_ungated"] > clean["mae_ungated"]
    assert moved["mae"][0] < moved["mae_ungated"]


def test_stored_curves_are_of_the_shipped_integers(artifacts):
    found = stored_curves(artifacts)
    assert len(found) == 1
    assert set(found[0]["curves"]) == set(KINDS) == set(STRENGTHS)
    drawn = pictures.curves(found[0])
    assert [text.partition('aria-label="')[2].partition(":")[0].replace(" ", "_") for text in drawn] == list(KINDS)


def test_without_counted_instructions_every_part_is_unknown(streamed):
    assert [c.part for c in streamed.costs] == [p.name for p in PARTS]
    assert all(c.cycles is None and c.seconds is None and "unknown" in cells(c) for c in streamed.costs)
    with pytest.raises(ConfigError, match=r"no part 'nRF54L15' whose time is known"):
        find_part("nRF54L15")


def test_a_hostile_name_is_escaped(streamed):
    hostile = replace(streamed.run.recording, source="<script>alert(1)<script>", subject="<script>alert(1)<script>")
    html = page([replace(streamed, run=replace(streamed.run, recording=hostile))])
    assert "alert(1)" in html
    assert "<script>alert" not in html


def test_own_csv_through_the_script(run_script, tmp_path, recordings):
    source = read_recording(recordings / "bidmc_05.npz").ppg
    rows = "\n".join(
        f"{i / source.rate_hz:.4f},{v:.6f}" for i, v in enumerate(source.samples[: int(90 * source.rate_hz)])
    )
    (tmp_path / "mine.csv").write_text("time,ppg\n" + rows)
    out = tmp_path / "out"
    done = run_script(
        "firmware_sim/stream.py",
        tmp_path / "mine.csv",
        "--size",
        "band",
        "--sensor-hz",
        50,
        "--out",
        out,
        "--no-cohort",
    )
    assert done.returncode in (0, 1), done.stderr
    found = json.loads((out / "report.json").read_text())["runs"][0]
    assert done.returncode == (0 if found["passed"] else 1)
    assert found["rate_hz"] == 50
    assert found["recording"] == "mine.csv"
    assert "bytes equal to TFLM" in done.stdout
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_own_e4_folder_through_the_script(run_script, tmp_path, recordings):
    source = read_recording(recordings / "S34.npz")
    folder = tmp_path / "e4"
    folder.mkdir()
    body = "\n".join(f"{v:.2f}" for v in source.ppg.samples[: 64 * 60])
    (folder / "BVP.csv").write_text(f"{source.start_unix:.6f}\n64.000000\n{body}\n")
    done = run_script("firmware_sim/stream.py", folder, "--size", "band", "--out", tmp_path / "out", "--no-cohort")
    assert done.returncode in (0, 1), done.stderr
    assert json.loads((tmp_path / "out" / "report.json").read_text())["runs"][0]["seconds"] == pytest.approx(60)


def test_bad_recordings_end_in_one_line(run_script, tmp_path):
    (tmp_path / "short.csv").write_text("ppg\n" + "\n".join(str(np.sin(i / 8)) for i in range(300)))
    for words in (("none.csv",), ("short.csv",), ("short.csv", "--rate-hz", "50")):
        done = run_script(
            "firmware_sim/stream.py", tmp_path / words[0], *words[1:], "--out", tmp_path / "out", "--no-cohort"
        )
        assert done.returncode == 2
        assert done.stderr.strip().splitlines()[-1].startswith("error: ")
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_too_short_says_how_long(artifacts):
    t = np.arange(64 * 10) / 64
    with pytest.raises(RecordingError, match="at least"):
        stream(Recording(Channel(np.sin(8 * t).astype(np.float32), 64), "p", "short"), Deployed(artifacts))


def test_every_watch_rate_streams_exactly(artifacts, recordings):
    recording = read_recording(recordings / "v200s.npz")
    for rate in (25, 32, 100):
        result = stream(recording, Deployed(artifacts, WatchConfig(10.0, SensorConfig(rate, fifo=8))))
        assert [a.equal for a in result.agreements if a.runtime in EXACT] == [1.0] * len(EXACT)
