"""The watch in a page, in a real browser: the same bytes as the simulated watch, undisturbed and under every fault."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

from onwrist.export.handoff.golden import golden_vectors
from onwrist.firmware_sim.page.builder import SLIDERS, fingerprint, play_recording, watch_page
from onwrist.firmware_sim.page.meaning import meanings
from onwrist.firmware_sim.page.packing import pack_counts
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.runtimes.hop import TFLMStep, time_major
from onwrist.firmware_sim.runtimes.native import BOOKS
from onwrist.firmware_sim.watch.sensor import Sensor
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig
from onwrist.models.student.outputs import LOGIT_SPAN
from onwrist.signals.front_end.fixed import design
from onwrist.signals.recordings.readers import read_recording

SECONDS = 70.0
PEOPLE = ("S34", "t458s")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 860}


@pytest.fixture(scope="module")
def students():
    from onwrist.export.handoff.artifacts import SIZES, load_artifacts

    return [load_artifacts(size) for size in SIZES]


@pytest.fixture(scope="module")
def people(recordings):
    from onwrist.firmware_sim.page.builder import cut

    return [cut(read_recording(recordings / f"{name}.npz"), SECONDS) for name in PEOPLE]


@pytest.fixture(scope="module")
def html(students, people, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "watch.html"
    path.write_bytes(watch_page(students, people))
    return path


@pytest.fixture
def opened(browser):
    """Open a file in a page of its own; `problems` of the result gathers whatever the page complains of."""
    contexts = []

    def call(path, still=True, **settings):
        context = browser.new_context(reduced_motion="reduce" if still else "no-preference", **settings)
        contexts.append(context)
        page = context.new_page()
        page.problems, page.asked = [], []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda line: page.problems.append(line.text) if line.type in ("error", "warning") else None)
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        page.evaluate("() => onwrist.ready")
        return page

    yield call
    for context in contexts:
        context.close()


def until(page, condition, seconds=60):
    """Wait for it; asked from outside, since the page's policy lets nobody make code of text within."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def played_by_hand(artifacts, script, gap="interpolate"):
    """The simulated watch, TFLM inside, put through what the page's sensor sent and its processor did."""
    config = WatchConfig(gap=gap)
    runtime = TFLMStep(artifacts.tflite_step(25), time_major(artifacts.model, 25))
    watch, hops = Watch(artifacts.model, runtime, config), []

    def work():
        while len(watch.ring):
            hops.extend(watch.process(watch.ring.pop(config.sensor.fifo)))

    for read_out in script:
        for sequence, counts in read_out["bursts"]:
            watch.ring.push(sequence, np.array(counts, np.int32))
            watch.counters.received += len(counts)
            if not read_out["busy"]:
                work()
        if not read_out["busy"]:
            work()
    work()
    return watch, hops


def same_outputs(found, hops):
    assert len(found) == len(hops)
    for got, hop in zip(found, hops, strict=True):
        assert got["input"] == hop.chunk.tolist()
        assert got["embedding"] == hop.embedding.tolist()
        assert got["answers"] == hop.answers.tolist()
        assert (got["reasons"], got["sequence"]) == (int(hop.why), hop.sequence)


def test_undisturbed_every_byte_is_the_simulated_watchs(html, students, people, opened):
    page = opened(html)
    for index, person in enumerate(people):
        played = page.evaluate("(i) => onwrist.play(i)", index)
        sensor = Sensor(person)
        sent = [c for read_out in played["script"] for _, counts in read_out["bursts"] for c in counts]
        assert sent == sensor.counts.tolist()
        for artifacts, found in zip(students, played["students"], strict=True):
            hops = play_recording(Deployed(artifacts), Sensor(person))
            assert len(hops) > SECONDS - 3
            same_outputs(found["outputs"], hops)
            assert (found["name"], found["equal"], found["differ"]) == (artifacts.size, len(hops), 0)
    assert not page.problems


def test_the_golden_vectors_are_those_of_the_bundle(html, students, opened):
    page = opened(html)
    played = page.evaluate("(i) => onwrist.play(i)", len(PEOPLE))
    sent = [c for read_out in played["script"] for _, counts in read_out["bursts"] for c in counts]
    for artifacts, found in zip(students, played["students"], strict=True):
        golden = golden_vectors(artifacts.model, 25, design(64, 19))
        assert sent == golden.counts.tolist()
        assert [o["input"] for o in found["outputs"]] == golden.input.tolist()
        assert [o["embedding"] for o in found["outputs"]] == golden.embedding.tolist()
        assert [o["answers"] for o in found["outputs"]] == golden.answers.tolist()
        assert (found["equal"], found["differ"]) == (len(golden.input), 0)


@pytest.mark.parametrize("gap", ["hold", "reset"])
def test_other_ways_over_a_gap_are_the_simulated_watchs_too(html, students, opened, gap):
    page = opened(html)
    short = {"gap": 0.5, "loss": 4}
    line = page.evaluate("(faults) => onwrist.play(0, faults)", short)
    played = page.evaluate("([faults, gap]) => onwrist.play(0, faults, Infinity, gap)", [short, gap])
    for artifacts, found, usual in zip(students, played["students"], line["students"], strict=True):
        watch, hops = played_by_hand(artifacts, played["script"], gap)
        same_outputs(found["outputs"], hops)
        assert found["books"]["resets"] == watch.counters.resets
        assert found["outputs"] != usual["outputs"]


FAULTS = {
    "gap": {"gap": 8}, "loss": {"loss": 10}, "saturation": {"saturation": 20}, "gain": {"gain": 1.6},
    "noise": {"noise": 1.5}, "drift": {"drift": -2}, "stall": {"stall": 8}, "flip": {"flip": True},
    "all": {"gap": 3, "loss": 3, "saturation": 9, "gain": 1.4, "noise": 0.5, "drift": 1, "stall": 5, "flip": True},
}  # fmt: skip


def test_every_slider_is_tried():
    assert set(FAULTS) == {s.name for s in SLIDERS} | {"flip", "all"}


def test_disturbed_every_byte_is_the_simulated_watchs(html, students, opened):
    page = opened(html)
    undisturbed = page.evaluate("() => onwrist.play(0)")["script"]
    seen = set()
    for name, faults in FAULTS.items():
        played = page.evaluate("(faults) => onwrist.play(0, faults)", faults)
        assert played["script"] != undisturbed, name
        for artifacts, found in zip(students, played["students"], strict=True):
            watch, hops = played_by_hand(artifacts, played["script"])
            same_outputs(found["outputs"], hops)
            books = {k: v for k, v in found["books"].items() if hasattr(watch.counters, k)}
            assert books == {k: getattr(watch.counters, k) for k in books}
            assert len(books) == len(BOOKS) - 2
            assert found["books"]["waiting"] == 0
            assert found["equal"] == found["differ"] == 0  # nothing is claimed of a disturbed run
            seen |= {"dropped"} if watch.counters.dropped else set()
            seen |= {bit.name for hop in hops for bit in hop.why} | ({"resets"} if watch.counters.resets else set())
    assert {"WARMING", "BRIDGED", "CLIPPED", "POOR", "dropped", "resets"} <= seen


def test_it_says_so_where_a_byte_differs(html, opened, tmp_path):
    text = html.read_text()
    data = json.loads(text.split('type="application/json">')[1].split("</script>")[0])
    golden = data["stretches"][0]["golden"]
    assert text.count(golden["watch"]) == 1
    other = tmp_path / "wrong.html"
    other.write_text(text.replace(golden["watch"], golden["band"], 1))
    page = opened(other, still=False)
    until(page, "document.getElementById('verdict').dataset.state === 'differs'")
    assert "differ" in page.inner_text("#verdict")
    assert "differ" in page.inner_text("[data-student='0'] .same")
    assert "equal" in page.inner_text("[data-student='1'] .same")


def test_it_runs_by_itself_says_that_bytes_are_equal_and_asks_nobody(html, opened):
    page = opened(html, still=False)
    until(page, "document.getElementById('verdict').dataset.state === 'equal'")
    page.evaluate(
        "() => { const e = document.getElementById('pace'); e.value = 8; e.dispatchEvent(new Event('input')); }"
    )
    # One person after the other, and the golden vectors; between two, the first is over and the second not yet unpacked.
    second = f"onwrist.state.run.stretch.title === DATA.stretches[{len(PEOPLE)}].title"
    until(page, f"onwrist.state.ended && {second}")
    assert page.get_attribute("#verdict", "data-state") == "equal"
    assert page.inner_text("[data-student='0'] [data-part=sum]") == "every sample is accounted for"
    assert page.asked == [html.as_uri()]
    assert not page.problems


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_and_nothing_cut_off(html, opened, size, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed: axe-playwright-python"
    )
    page = opened(html, viewport=size, color_scheme=scheme, bypass_csp=True)
    page.evaluate(
        "() => { const e = document.getElementById('fault-gap'); e.value = 8; e.dispatchEvent(new Event('input')); }"
    )
    page.click("#play")
    until(page, "onwrist.state.run.time > 3")
    page.click("#play")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    cut_off = page.evaluate(
        "() => [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className)"
    )
    assert not cut_off
    found = axe.Axe().run(page)
    assert not found.violations_count, found.generate_report()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")


def test_by_keyboard_alone(html, opened):
    page = opened(html, viewport=DESK)
    met = []
    for _ in range(30):
        page.keyboard.press("Tab")
        met.append(page.evaluate("document.activeElement.id"))
        if met[-1]:
            assert page.evaluate(
                "() => { const e = document.activeElement; const s = getComputedStyle(e.id === 'file' ? e.parentElement.querySelector('.button') : e); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; }"
            ), met[-1]
    wanted = [
        "who",
        "play",
        "again",
        "pace",
        "onward",
        "file",
        "policy",
        *(f"fault-{s.name}" for s in SLIDERS),
        "fault-flip",
    ]
    assert [i for i in met if i in wanted][: len(wanted)] == wanted

    def go(name):
        for _ in range(40):
            if page.evaluate("document.activeElement.id") == name:
                return
            page.keyboard.press("Tab")
        raise AssertionError(name)

    go("play")
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Pause"
    until(page, "document.getElementById('verdict').dataset.state === 'equal'")
    go("fault-gap")
    page.keyboard.press("ArrowRight")
    until(page, "document.getElementById('verdict').dataset.state === 'disturbed'")
    assert page.inner_text("output[for=fault-gap]") == "0.5 s a minute"
    assert "Disturbed" in page.inner_text("#said")  # a screen reader is told
    go("mend")
    page.keyboard.press("Enter")
    assert page.inner_text("output[for=fault-gap]") == "none"
    go("policy")
    page.keyboard.press("ArrowDown")
    until(page, "document.getElementById('verdict-head').textContent === 'Gaps: the last count'")
    page.keyboard.press("ArrowUp")
    until(page, "document.getElementById('verdict').dataset.state === 'equal'")


def test_own_e4_file_becomes_the_sensors_counts(html, opened, recordings, tmp_path):
    samples = read_recording(recordings / "S02.npz").ppg.samples[: 64 * 60]
    lines = ["1700000000.0", "64.000000", *(f"{v:.2f}" for v in samples)]
    file = tmp_path / "e4" / "BVP.csv"
    file.parent.mkdir()
    file.write_text("\n".join(lines) + "\n")
    page = opened(html)
    page.set_input_files("#file", file)
    page.wait_for_selector("#ask[open]")
    assert page.input_value("#ask-rate") == "64"
    page.keyboard.press("Enter")
    until(page, "onwrist.state.run.time > 3")
    assert "Your own recording" in page.inner_text("#verdict")
    counts = np.array(page.evaluate("[...onwrist.state.own.counts]"))
    expected = Sensor(read_recording(file.parent)).counts
    assert len(counts) == len(expected)
    assert np.abs(counts - expected).max() <= 1
    assert not page.problems


def test_own_table_with_times_gaps_and_another_rate(html, students, opened, tmp_path):
    t = np.arange(0, 40, 0.01)
    pulse = np.sin(2 * np.pi * 1.5 * t) + 0.4 * np.sin(2 * np.pi * 3 * t)
    cells = [
        f"{a:.2f};{b}"
        for a, b in zip(t, ["" if 20 <= s < 20.5 else f"{p:.5f}" for s, p in zip(t, pulse, strict=True)], strict=True)
    ]
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(["time;green", *cells]))
    page = opened(html)
    page.set_input_files("#file", file)
    page.wait_for_selector("#ask[open]")
    assert page.input_value("#ask-rate") == "100"
    assert page.evaluate("document.getElementById('ask-column').selectedOptions[0].text") == "green"
    page.click("#ask-go")
    played = page.evaluate("() => onwrist.play('own')")
    assert abs(sum(len(c) for r in played["script"] for _, c in r["bursts"]) - 64 * 39.5) < 3
    for artifacts, found in zip(students, played["students"], strict=True):
        watch, hops = played_by_hand(artifacts, played["script"])
        same_outputs(found["outputs"], hops)
        assert found["books"]["bridged"] == watch.counters.bridged > 0


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "is empty"),
        ("ppg\n1\n2\nthree\n", '"three" in row 4 is not a number'),
        ("time,ppg\n0,1\n0.01\n", "row 3 has 1 cells, not 2"),
        ("time,ppg\n0,1\n0.02,2\n0.01,3\n", "times do not increase"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_by_name(html, opened, tmp_path, text, why):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    page = opened(html)
    page.set_input_files("#file", file)
    page.wait_for_selector("#ask[open]")
    assert "bad.csv" in page.inner_text("#ask-said")
    assert why in page.inner_text("#ask-said")
    assert not page.is_visible("#ask-go")
    page.keyboard.press("Escape")
    assert not page.is_visible("#ask")


def test_packed_counts_come_out_of_a_browser_as_they_went_in(html, opened):
    rng = np.random.default_rng(0)
    page = opened(html)
    for counts in (rng.integers(0, 2**24, 500), np.full(40, 7), rng.integers(0, 3, 33), np.array([0, 2**24 - 1] * 20)):
        packed = pack_counts(counts)
        found = page.evaluate("async (p) => [...unpackCounts(await unpack(p.data), p.length, p.planes)]", packed)
        assert found == counts.tolist()


def test_the_command_writes_a_page_and_takes_its_picture(browser, run_script, tmp_path):
    page, picture = tmp_path / "watch.html", tmp_path / "watch.png"
    words = ["t458s", "--minutes", "0.5", "--out", page, "--picture", picture]
    done = run_script("firmware_sim/demo.py", *words)
    assert done.returncode == 0, done.stderr
    assert page.read_bytes().startswith(b"<!doctype html>")
    assert len(page.read_bytes()) < 1_000_000
    assert picture.read_bytes()[1:4] == b"PNG"
    assert int.from_bytes(picture.read_bytes()[16:20]) == 1280
    assert len(picture.read_bytes()) < 200_000


def test_fingerprint_sees_every_byte():
    zero = {"chunk": np.zeros(25, np.int8), "embedding": np.zeros(256, np.int8), "answers": np.zeros(3, np.int8)}
    found = {fingerprint(**zero, why=0, sequence=9)}
    for name, array in zero.items():
        for i in range(len(array)):
            changed = array.copy()
            changed[i] = 1
            found.add(fingerprint(**{**zero, name: changed}, why=0, sequence=9))
    found |= {fingerprint(**zero, why=16, sequence=9), fingerprint(**zero, why=0, sequence=10)}
    assert len(found) == 1 + 25 + 256 + 3 + 2


def test_meanings_come_from_the_contract():
    said = meanings(
        {
            "scale": 0.5, "names": ["heart_rate", "quality", "skin"],
            "heart_rate_bpm": "90 + 30 * value", "quality": "logit = 8 * value: good above 0.5",
        }
    )  # fmt: skip
    line, logit, raw = (SimpleNamespace(**m) for m in said)
    assert (line.kind, line.offset, line.gain, line.unit, line.title) == ("line", 90, 15, "BPM", "Heart rate")
    assert (logit.kind, logit.gain, logit.word, logit.threshold) == ("logit", 4, "good", 0.5)
    assert (raw.kind, raw.gain) == ("raw", 0.5)


def test_every_shipped_answer_can_be_drawn(students):
    from onwrist.export.handoff.artifacts import contract

    for artifacts in students:
        assert "raw" not in {m["kind"] for m in meanings(contract(artifacts)["answers"])}


def test_the_largest_of_a_question_s_classes_is_the_word_that_stands_there(recordings, opened, tmp_path):
    import torch

    from onwrist.export.graphs.tflite_writer import write_tflite
    from onwrist.export.handoff.artifacts import Artifacts
    from onwrist.firmware_sim.page.builder import cut
    from onwrist.models.student.network import Student, StudentConfig
    from onwrist.models.student.outputs import Answer, Answers
    from onwrist.quantize.integers.arithmetic import read_integers
    from onwrist.quantize.integers.fake_quant import quantise

    words = ("wake", "light_sleep", "deep")
    answers = Answers((Answer("sleep", "classes", words=words),))
    torch.manual_seed(3)
    small = StudentConfig("band", stem=8, frames=8, widths=(8,), dilations=(1,), embedding=16, answers=answers)
    student = Student(small).eval()
    quantised = quantise(student, [torch.randn(16, small.window)])
    model = read_integers(quantised)
    own = Artifacts("band", student, quantised, model, write_tflite(model), b"")
    path = tmp_path / "watch.html"
    path.write_bytes(watch_page([own], [cut(read_recording(recordings / "S34.npz"), 30.0)]))
    page = opened(path)
    page.click("#play")
    until(page, "onwrist.state.students[0].hops.length > 20")
    seen = page.evaluate(
        """() => {
          const text = (what) => [...document.querySelectorAll(what)].map((e) => e.textContent);
          const hops = onwrist.state.students[0].hops, hop = hops[hops.length - 1];
          return { q: [...hop.answers], shown: !hop.reasons, word: text("[data-group=sleep]")[0], each: text(".meters b") };
        }"""
    )
    shares = np.exp(LOGIT_SPAN * float(model.answers_scale) * np.array(seen["q"], float))
    assert seen["each"] == [f"{np.floor(100 * s + 0.5):.0f} %" for s in shares / shares.sum()]
    assert seen["shown"]
    assert seen["word"] == words[int(np.argmax(seen["q"]))].replace("_", " ")
    assert not page.problems
