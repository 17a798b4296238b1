"""What weights files say of themselves, of their parent, teacher and recipe, and what happens to a file that was changed."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from onwrist.errors import CheckpointError, ExportError
from onwrist.models.encoders.checkpoint import load_encoder, read_state, save_encoder
from onwrist.models.encoders.xmae import XMAE, XMAEConfig
from onwrist.models.student.network import LADDER, Student
from onwrist.quantize.integers.fake_quant import quantise
from onwrist.quantize.integers.training import load_quantised, save_quantised
from onwrist.quantize.teaching.examples import Standard
from onwrist.quantize.teaching.student_files import load_student, save_student
from onwrist.resources import WEIGHTS, weights_metadata
from onwrist.writing import claim_file

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A teacher, its float student and the quantised one, each from the file before."""
    folder = tmp_path_factory.mktemp("family")
    teacher, parent, child = (folder / f"{n}.safetensors" for n in ("teacher", "float", "int8"))
    torch.manual_seed(0)
    save_encoder(teacher, XMAE(XMAEConfig()).ppg_path, {"method": "xmae", "recipe": {"windows": 1}})
    student = Student(LADDER["band"]).eval()
    save_student(parent, student, Standard(np.zeros(256), np.ones(256)), {"recipe": {"steps": 7}}, teacher=teacher)
    quantised = quantise(student, [torch.randn(8, student.config.window)])
    save_quantised(child, quantised, {"recipe": {"steps": 0}}, parent=parent)
    return teacher, parent, child


LOADERS = (load_encoder, load_student, load_quantised)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def test_each_file_names_what_it_was_made_from(family):
    teacher, parent, _ = family
    said = [json.loads(weights_metadata(f)["digests"]) for f in family]
    assert [s["parent"] for s in said] == ["", "", sha(parent.read_bytes())]
    assert [s["teacher"] for s in said] == ["", sha(teacher.read_bytes()), sha(teacher.read_bytes())]
    assert said[1]["recipe"] == sha(b'{"steps": 7}')
    assert len({s["self"] for s in said}) == 3
    for load, file in zip(LOADERS, family, strict=True):
        load(file)


def test_nothing_writes_weights_but_what_gives_them_digests():
    floors = ("onwrist", "signals", "models", "quantize", "export", "firmware_sim")
    writers = [
        path.relative_to(ROOT)
        for floor in floors for path in sorted((ROOT / floor).rglob("*.py"))
        if re.search(r"from safetensors\S* import [^\n]*\bsave|safetensors\.\S*save", path.read_text())
    ]  # fmt: skip
    assert [str(w) for w in writers] == ["models/encoders/checkpoint.py"]
    assert "with_digests(" in (ROOT / writers[0]).read_text()


def parts(file):
    with safe_open(file, framework="pt") as opened:
        return load_file(file), dict(opened.metadata())


def changed(file, out, kind):
    """The file with one thing changed, as a tool that knows nothing of digests would write it."""
    state, metadata = parts(file)
    name = next(n for n in sorted(state) if state[n].dtype == torch.float32 and state[n].numel() > 100)
    if kind == "a weight":
        state[name].view(-1)[3] += 1e-3
    elif kind == "the recipe":
        metadata["recipe"] = '{"steps": 8}'
    elif kind == "its teacher":
        metadata["digests"] = json.dumps(json.loads(metadata["digests"]) | {"teacher": "0" * 64})
    elif kind == "no digest of itself":
        metadata["digests"] = "{}"
    else:
        metadata["digests"] = "[[["
    save_file(state, out, metadata)
    return out


@pytest.mark.parametrize(
    "kind", ["a weight", "the recipe", "its teacher", "no digest of itself", "digests that are no JSON"]
)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_changed_file_is_one_typed_error(family, tmp_path, which, kind):
    path = changed(family[which], tmp_path / "changed.safetensors", kind)
    with pytest.raises(CheckpointError, match=r"other weights|damaged metadata") as error:
        LOADERS[which](path)
    assert "changed.safetensors" in str(error.value)
    assert error.value.cure


@pytest.mark.parametrize("which", [0, 1, 2])
def test_files_without_digests_are_read(family, tmp_path, which):
    state, metadata = parts(family[which])
    save_file(state, tmp_path / "old.safetensors", {k: v for k, v in metadata.items() if k != "digests"})
    LOADERS[which](tmp_path / "old.safetensors")


def test_shipped_files_are_read():
    for size in LADDER:
        load_student(WEIGHTS / f"{size}.safetensors")
        load_quantised(WEIGHTS / f"{size}.int8.safetensors")


DAMAGE = {
    "no JSON": ("student", "{{{"),
    "a list": ("student", "[1]"),
    "an unknown field": ("student", '{"colour": 1}'),
    "a size beyond all memory": ("student", '{"stem": 1000000000000}'),
    "a size that is text": ("student", '{"stem": "32"}'),
    "nested": ("student", "[" * 100_000),
    "not as many widths as dilations": ("student", '{"widths": [8], "dilations": [1, 2]}'),
}


@pytest.mark.parametrize(("field", "text"), DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("load", [load_student, load_quantised])
def test_a_damaged_config_is_a_typed_error(family, tmp_path, load, field, text):
    state, metadata = parts(family[LOADERS.index(load)])
    metadata = {k: v for k, v in metadata.items() if k != "digests"} | {field: text}
    save_file(state, tmp_path / "d.safetensors", metadata)
    with pytest.raises(CheckpointError, match="damaged metadata") as error:
        load(tmp_path / "d.safetensors")
    assert error.value.field == field


def test_a_tensor_that_is_missing_or_of_another_kind_is_a_typed_error(family, tmp_path):
    for load, file in zip(LOADERS, family, strict=True):
        state, metadata = parts(file)
        metadata.pop("digests")
        for name in sorted(state)[:: max(1, len(state) // 3)]:
            for value in (None, torch.zeros(1), state[name].to(torch.complex64)):
                other = {n: v for n, v in state.items() if n != name} | ({} if value is None else {name: value})
                save_file(other, tmp_path / "t.safetensors", metadata)
                try:
                    load(tmp_path / "t.safetensors")
                except CheckpointError:
                    continue
                assert value is not None, (name, value)
    with pytest.raises(CheckpointError):
        read_state(tmp_path / "none.safetensors")


def test_one_training_writes_a_file(tmp_path):
    out = tmp_path / "runs" / "band.safetensors"
    with claim_file(out):
        with pytest.raises(ExportError, match="another run"), claim_file(out):
            pass
        with claim_file(out.with_name("watch.safetensors")):  # another size into the same folder
            pass
    out.mkdir()
    with pytest.raises(ExportError, match="is a folder"), claim_file(out):
        pass
