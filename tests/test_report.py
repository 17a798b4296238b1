"""The report and the page that leads to it, as a person sees them: in a browser, on a phone, in the dark, on paper."""

import base64
import json
import re

import numpy as np
import pytest
from bundles import band, judged_bundle, plain_bundle

from onwrist.export.handoff.names import INDEX_PAGE, MANIFEST, REPORT_JSON
from onwrist.firmware_sim.handoff.index import index_page, with_index
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.making import read_making, taught
from onwrist.firmware_sim.parity.play import stream
from onwrist.firmware_sim.parity.reasons import REASONS
from onwrist.firmware_sim.parity.report import page
from onwrist.firmware_sim.parity.summary import summary
from onwrist.firmware_sim.parity.sweep import stored_curves
from onwrist.signals.people.material import Item, Material
from onwrist.signals.recordings.readers import read_recording

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 860}
TRANSPARENT = "rgba(0, 0, 0, 0)"


@pytest.fixture(scope="module")
def streamed(recordings):
    return stream(read_recording(recordings / "bidmc_13.npz"), Deployed(band()))


@pytest.fixture(scope="module")
def report(streamed, tmp_path_factory):
    hub = [
        {"format": "ONNX", "bytes": 9, "cosine_median": 1.0, "cosine_worst": 1.0, "windows": 2, "source": "measured"}
    ]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page([streamed], hub, stored_curves(band())))
    return path


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    bundle = with_index(plain_bundle())
    for name, data in bundle.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / INDEX_PAGE


@pytest.fixture
def opened(browser):
    contexts = []

    def call(path, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        tab = context.new_page()
        tab.problems, tab.asked = [], []
        tab.on("pageerror", lambda error: tab.problems.append(str(error)))
        tab.on("console", lambda line: tab.problems.append(line.text) if line.type in ("error", "warning") else None)
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.goto(path.as_uri())
        return tab

    yield call
    for context in contexts:
        context.close()


def unpacked(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def test_the_data_in_the_page_are_the_runs(streamed, report):
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', report.read_text(), re.DOTALL)[1])
    (student,) = data["students"]
    assert data["hops"] == len(streamed.hops)
    assert (data["value"], data["unit"]) == ("heart rate", "BPM")
    np.testing.assert_allclose(unpacked(student["says"], "<f4"), streamed.bpm, rtol=1e-6)
    np.testing.assert_allclose(unpacked(data["reference"], "<f4"), streamed.reference_bpm, rtol=1e-6)
    chances = dict(streamed.meaning.chances(streamed.real_answers))
    assert [c["name"] for c in student["chances"]] == list(chances)
    for c in student["chances"]:
        np.testing.assert_allclose(unpacked(c["of"], np.uint8) / 255, chances[c["name"]], atol=0.002)
    np.testing.assert_array_equal(unpacked(student["sure"], np.uint8), unpacked(student["chances"][0]["of"], np.uint8))
    why = unpacked(student["why"], np.uint8)
    assert {REASONS[k]: int(n) for k, n in zip(*np.unique(why, return_counts=True), strict=True)} == {
        name: n for name, n in streamed.reasons.items() if n
    }
    fed = streamed.hops.chunks.ravel()
    np.testing.assert_array_equal(unpacked(data["wave"], np.int8), fed)


def test_any_minute_can_be_looked_at_by_keyboard_alone(streamed, report, opened):
    tab = opened(report, viewport=DESK)
    assert tab.is_visible("#zoom")
    assert not tab.is_visible("#stills")
    said = tab.inner_text("#zoom-said")
    assert f"{int(streamed.shown.sum())} of {len(streamed.hops)} outputs shown" in said
    tab.focus("#zoom-span")
    tab.select_option("#zoom-span", label="1 minute")
    tab.focus("#zoom-at")
    tab.keyboard.press("End")
    last = tab.inner_text("#zoom-said")
    assert f"{int(streamed.shown[-60:].sum())} of 60 outputs shown" in last
    tab.keyboard.press("Home")
    first = tab.inner_text("#zoom-said")
    assert f"{int(streamed.shown[:60].sum())} of 60 outputs shown" in first
    assert f"{REASONS[1]} {streamed.reasons[REASONS[1]]}" in first
    tab.focus("[data-jump=worst]")
    tab.keyboard.press("Enter")
    worst = tab.inner_text("#zoom-said")
    tab.focus("[data-jump=best]")
    tab.keyboard.press("Enter")
    assert tab.inner_text("#zoom-said") != worst
    drawn = "() => { const c = document.getElementById('zoom-canvas'); return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((v, i) => i % 4 === 3 && v > 0).length; }"
    assert tab.evaluate(drawn) > 2000
    tab.locator("#zoom-canvas").hover(position={"x": 300, "y": 200})
    assert re.search(r"band at \d+:\d\d: \d+\.\d BPM", tab.inner_text("#zoom-said"))
    assert tab.asked == [report.as_uri()]
    assert not tab.problems


def test_without_javascript_and_on_paper_the_stills_stand_there(report, opened):
    bare = opened(report, java_script_enabled=False, viewport=DESK)
    assert bare.is_visible("#stills svg")
    assert not bare.is_visible("#zoom")
    paper = opened(report, viewport=DESK, color_scheme="dark")
    paper.emulate_media(media="print")
    assert paper.is_visible("#stills svg")
    assert not paper.is_visible("#zoom")
    assert paper.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["report", "index"])
def test_accessible_and_nothing_cut_off(request, opened, which, size, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed: axe-playwright-python"
    )
    tab = opened(request.getfixturevalue(which), viewport=size, color_scheme=scheme, bypass_csp=True)
    tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    # What is wider than the screen can be scrolled where it stands, and nothing is smaller than can be read.
    cut_off = tab.evaluate(
        "() => [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .picture')).map(e => e.outerHTML.slice(0, 80))"
    )
    assert not cut_off
    letters = tab.evaluate(
        "() => [...document.querySelectorAll('main svg text')].filter(e => e.getClientRects().length).map(e => parseFloat(getComputedStyle(e).fontSize) * Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b))"
    )
    assert min(letters, default=9) > 8.4
    found = axe.Axe().run(tab)
    assert not found.violations_count, found.generate_report()
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")


def test_the_index_leads_to_every_file(index):
    links = re.findall(r'href="([^"#:]+)"', index.read_text())
    there = {p.relative_to(index.parent).as_posix() for p in index.parent.rglob("*") if p.is_file()} - {INDEX_PAGE}
    assert set(links) == there | {MANIFEST}
    assert "nothing was judged" in index.read_text()


def test_the_index_says_what_the_report_says():
    bundle = judged_bundle()
    html = with_index(bundle).files[INDEX_PAGE].decode()
    assert "Every gate of the report holds" in html
    sizes = {n: len(d) for n, d in bundle.files.items()}
    failed = index_page({**sizes, "<i>.c": 3}, bundle.students, {"band": {"teacher": "<b>mine"}}, "invalid").decode()
    assert "A gate of the report fails" in failed
    assert "<b>mine" not in failed
    assert REPORT_JSON in failed


def test_a_run_of_ones_own_says_whose_encoder_and_how_near(streamed, tmp_path):
    items = tuple(
        Item(tmp_path / f"{who}.csv", who, role) for who, role in (("p1", "train"), ("p2", "train"), ("p9", "test"))
    )
    losses = [{"imitation": 1.0 / (k + 1), "answers": 2.0} for k in range(1000)]
    each = {"p9": {"median": 0.873, "windows": 40}, "<p8>": {"median": 0.5, "windows": 2}}
    near = {
        "data": "held-out people of the spec",
        "people": 2,
        "windows": 42,
        "median": 0.861,
        "low": 0.7,
        "each": each,
    }
    said = taught(
        "/home/me/my_encoder.py:make", ["3 of 8 coordinates never move"], Material(items, False), 512, losses, near
    )
    path = tmp_path / "taught.json"
    path.write_text(json.dumps(said))
    assert "/home/me" not in path.read_text()
    making = read_making(path)
    assert len(making.losses) == 200
    assert making.losses[-1]["step"] == 1000
    html = page([streamed], making=making)
    for words in (
        "The encoder: my_encoder.py:make",
        "0.861",
        "512 windows",
        "2 to learn from, 1 held out",
        "3 of 8 coordinates",
        "losses of the",
    ):
        assert words in html, words
    assert "<p8>" not in html
    assert html.index("&lt;p8&gt;") < html.index("p9<")  # the farthest first
    assert read_making(tmp_path / "none.json") is None
    assert summary(streamed)["passed"] == streamed.passed
