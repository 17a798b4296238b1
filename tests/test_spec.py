"""A deployment's file: everything wrong with it at once, what it means written back, and whose recordings it names."""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.errors import CheckpointError, ConfigError, OnwristError, SplitError
from onwrist.firmware_sim.handoff.road import input_of
from onwrist.models.encoders.teacher import Adapted, examine, load_teacher
from onwrist.signals.people.material import find, held_out_by_hash
from onwrist.spec import AnswerPart, Gates, Spec, read_spec


def write(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text)
    return path


def test_every_mistake_is_said_at_once_with_what_was_meant(tmp_path):
    text = 'name = "a b"\n[teacher]\nsourc = "x"\nrate_hz = 5\n[sensor]\nrate_hz = 5000\nbits = 40\n[stream]\nhop_s = 0.1\n[input]\nwindow_s = 90\n'
    with pytest.raises(ConfigError) as error:
        read_spec(write(tmp_path, text))
    said = str(error.value)
    for part in (
        "my.toml",
        "name",
        "did you mean source?",
        "teacher.rate_hz",
        "sensor.rate_hz",
        "sensor.bits",
        "stream.hop_s",
        "input.window_s",
    ):
        assert part in said


def test_what_is_left_out_is_the_shipped_deployment(tmp_path):
    assert read_spec(write(tmp_path, "")) == Spec()
    assert not Spec().trains
    assert read_spec(write(tmp_path, '[teacher]\nsource = "simclr"\n')).trains


def test_the_resolved_spec_means_the_same_and_has_one_digest(tmp_path):
    spec = read_spec(write(tmp_path, 'name = "x"\n[data]\nrecordings = ["a/*.csv"]\n[student]\nsize = "band"\n'))
    (tmp_path / "again").mkdir()
    again = read_spec(write(tmp_path / "again", spec.resolved()))
    assert again == spec
    assert again.digest() == spec.digest()
    assert spec.data.recordings == (str(tmp_path / "a/*.csv"),)
    assert spec.digest() != Spec().digest()


def test_the_page_shows_a_spec_that_is_one(tmp_path):
    whole, *parts = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "spec.md").read_text(), re.DOTALL)
    assert read_spec(write(tmp_path, whole)).trains
    shown = [read_spec(write(tmp_path, part)) for part in parts]
    assert any(spec.gates == Gates() and "[gates]" in part for spec, part in zip(shown, parts, strict=True))
    # Every field of the model is on the page, each part with an example of its own.
    for name in Spec.model_fields:
        assert name == "name" or any(f"[{name}]" in part for part in parts), name
        for inner in getattr(type(getattr(Spec(), name)), "model_fields", ()):
            said = rf"^({inner} = |\[{name}\.{inner}\])"
            assert any(re.search(said, part, re.MULTILINE) for part in (whole, *parts)), inner
    for inner in AnswerPart.model_fields:
        assert any(re.search(rf"^{inner} = ", part, re.MULTILINE) for part in (whole, *parts)), inner


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('name = "stress"', "give a table"),
        ('name = "Stress"\nlabels = "x.csv"', "pattern"),
        ('name = "a"\nlabel = "x.csv"', "did you mean labels?"),
        ('name = "a"\nkind = "value"\nlabels = "x.csv"', "needs centre and span"),
        ('name = "a"\nkind = "classes"\nlabels = "x.csv"\nwords = ["one"]', "classes need words"),
        ('name = "quality"\nkind = "value"', "labels of quality are a yes/no"),
        ('name = "heart_rate"\ndecides = true', "only a yes/no can decide"),
        ('name = "quality"\n[[answers]]\nname = "quality"', "there twice"),
        ('name = "quality"\nspan = 3', "no unit, centre or span"),
    ],
)
def test_an_answer_that_cannot_be_is_said(tmp_path, answer, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_spec(write(tmp_path, f"[[answers]]\n{answer}\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[stream]\nhop_s = 0.3", "0.3 s is no multiple of 0.2 s: use 0.2"),
        ("[input]\nrate_hz = 50\n[stream]\nhop_s = 0.25", "0.25 s is no multiple of 0.1 s"),
        ("[stream]\nhop_s = 20", "20 s is more than a window of 10 s"),
        ("[input]\nrate_hz = 100", "100 Hz from a sensor of 64 Hz"),
        ("[student.shape]\nstride = 7", "10 s are 250 samples, no whole number of 7"),
        ("[input]\nrate_hz = 32\nwindow_s = 7", "7 s are 224 samples, no whole number of 5"),
    ],
)
def test_what_parts_make_wrong_together_is_said(tmp_path, text, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_spec(write(tmp_path, f"{text}\n"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rate_hz": 25, "high_hz": 12.0}, "at most 10 Hz"),
        ({"low_hz": 3.0, "high_hz": 4.0}, "an octave"),
        ({"clip": 3.0}, "power of two"),
        ({"rate_hz": 25, "window_s": 4.5}, "112.5 samples"),
    ],
)
def test_an_input_that_no_front_end_makes_is_said(given, said):
    spec = Spec.model_validate({"input": given, "student": {"source": "my.py:make"}})
    with pytest.raises(ConfigError, match=re.escape(said)):
        input_of(spec)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_text_is_a_traceback(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("spec") / "x.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(OnwristError):
        assert read_spec(path)


# --- whose recordings --------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path):
    for person in range(12):
        (tmp_path / f"p{person:02d}").mkdir()
        for session in ("rest", "walk"):
            (tmp_path / f"p{person:02d}" / f"{session}.csv").write_text("ppg\n1\n")
    return tmp_path


def test_people_come_from_the_path_and_are_on_one_side(study):
    items = find([f"{study}/**/*.csv"], r"(p\d+)/", held_out=("p03", "p05"))
    assert len(items) == 24
    assert {i.person for i in items if i.role == "test"} == {"p03", "p05"}
    assert not {i.person for i in items if i.role == "test"} & {i.person for i in items if i.role == "train"}


def test_a_role_depends_on_the_name_alone(study):
    everybody = {i.person: i.role for i in find([f"{study}/**/*.csv"], r"(p\d+)/", held_out_share=0.3)}
    for person, role in everybody.items():
        assert role == ("test" if held_out_by_hash(person, 0.3) else "train")
    assert set(everybody.values()) == {"train", "test"}


def test_material_that_is_none_is_refused(study):
    with pytest.raises(ConfigError, match="finds no file"):
        find([f"{study}/*.edf"])
    with pytest.raises(ConfigError, match="finds nobody in"):
        find([f"{study}/**/*.csv"], r"(q\d+)/")
    with pytest.raises(SplitError, match="nobody is called 'p77'"):
        find([f"{study}/**/*.csv"], r"(p\d+)/", held_out=("p77",))
    with pytest.raises(SplitError, match="nobody is held out"):
        find([f"{study}/p00/*.csv"], r"(p\d+)/", held_out_share=0.0)


# --- teachers ------------------------------------------------------------------------------------------


class Kept(torch.nn.Module):
    """Remembers what it was given."""

    def forward(self, wave):
        self.seen = wave
        return torch.stack([wave.mean(-1), wave.std(-1), wave[:, 0]], dim=1)


def waves(count: int = 16) -> np.ndarray:
    t = np.arange(1000) / 100
    rates = np.linspace(0.8, 3.0, count)[:, None]
    return np.sin(2 * np.pi * rates * t).astype(np.float32)


def test_a_teacher_gets_its_own_rate_and_scale():
    inner = Kept()
    Adapted(inner, 125, "z-score")(torch.from_numpy(waves()))
    assert inner.seen.shape == (16, 1250)
    np.testing.assert_allclose(inner.seen.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(inner.seen.std(-1), 1, atol=1e-4)
    spectrum = np.abs(np.fft.rfft(inner.seen[0].numpy()))
    assert np.fft.rfftfreq(1250, 1 / 125)[spectrum.argmax()] == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: torch.full((len(x), 4), float("nan")), "NaN"),
        (lambda x: torch.ones(len(x), 4), "the same answer for every signal"),
        (lambda x: torch.ones(len(x), 4) + 1e-9 * x[:, :4], "the same answer for every signal"),
    ],
)
def test_a_teacher_that_teaches_nothing_is_refused(answer, said):
    class Net(torch.nn.Module):
        def forward(self, wave):
            return answer(wave)

    with pytest.raises(CheckpointError, match=said):
        examine(Net(), waves(), "mine.py:make")


def test_a_poor_teacher_is_warned_of():
    class Net(torch.nn.Module):
        def forward(self, wave):
            return torch.cat([100 + wave[:, 50:53], torch.zeros(len(wave), 2)], dim=1)

    said = examine(Net(), waves(), "mine.py:make")
    assert any("alike" in s for s in said)
    assert any("2 of 5 coordinates never move" in s for s in said)


def test_an_onnx_file_alone_is_a_teacher(tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1250, 16), torch.nn.Tanh()).eval()
    path = tmp_path / "encoder.onnx"
    torch.onnx.export(
        net, torch.zeros(1, 1250), str(path), dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}}
    )
    teacher = load_teacher(str(path), 125, "z-score")
    given_ = torch.from_numpy(waves(5))
    with torch.no_grad():
        expected = Adapted(net, 125, "z-score")(given_)
    np.testing.assert_allclose(teacher(given_), expected, atol=1e-5)
    (tmp_path / "bad.onnx").write_bytes(b"no onnx")
    with pytest.raises(CheckpointError, match="no ONNX that runs here"):
        load_teacher(str(tmp_path / "bad.onnx"))


@pytest.mark.parametrize(
    "more",
    [
        "[input]\nrate_hz = 50\n",
        "[input]\nwindow_s = 20.0\n",
        '[[answers]]\nname = "sleep"\nat = "frames"\nlabels = "quality"\n',
    ],
)
def test_an_accelerometer_goes_with_the_usual_input_and_answers_a_hop(tmp_path, more):
    (tmp_path / "net.py").write_text("def make(embedding, answers): ...\n")
    spec = tmp_path / "my.toml"
    spec.write_text(
        f'[accelerometer]\nrate_hz = 32\nbits = 8\ncounts_per_g = 64\n[sensor]\nrate_hz = 100\n[student]\nsource = "net.py:make"\n{more}'
    )
    with pytest.raises(ConfigError, match="accelerometer"):
        read_spec(spec)
