"""The wheel, installed where nothing else of this project is: it deploys, exports and verifies, and touches nobody else."""

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

# What a user may call her own packages.
HERS = ("models", "export", "signals", "quantize", "recordings")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source") / "onwrist"
    # Built beside the checkout: what an earlier build left in it would go into the wheel again, and two at once collide.
    left_out = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=left_out)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("onwrist-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A new environment elsewhere: the wheel, read-only, and the dependencies of this one but not this checkout."""
    home = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(home, with_pip=False)
    packages = next(home.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # A plain path line: what lies there can be imported, but its own .pth files, so this checkout, are not followed.
    (packages / "dependencies.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")) + "\n")
    for folder, _, files in os.walk(packages / "onwrist"):
        for name in files:
            (Path(folder) / name).chmod(0o444)
        Path(folder).chmod(0o555)
    yield home
    for folder, _, _ in os.walk(packages / "onwrist"):
        Path(folder).chmod(0o755)


def run(home: Path, folder: Path, *words: object) -> subprocess.CompletedProcess:
    command = [str(home / "bin" / "python"), "-m", "onwrist", *map(str, words)]
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "ONWRIST_DATA")}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)


def test_the_wheel_holds_one_package_and_its_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"onwrist"}
    for held in (
        "onwrist/models/weights/watch.int8.safetensors", "onwrist/recordings/S34.npz", "onwrist/export/sources/c/onwrist.c",
        "onwrist/firmware_sim/runtimes/bare/link.ld",
    ):  # fmt: skip
        assert held in names
    assert any(n.endswith("licenses/NOTICE") for n in names)
    assert not any(n.startswith("onwrist/tests") for n in names)


def test_it_deploys_and_verifies_from_the_wheel(installed, tmp_path):
    done = run(installed, tmp_path, "deploy", "--no-hub", "--no-firmware", "--recording", "bidmc_13", "--out", "out")
    assert done.returncode in (0, 1), done.stderr
    assert (tmp_path / "out" / "manifest.json").exists()
    done = run(installed, tmp_path, "tflite", "--size", "band", "--out", "band.tflite")
    assert done.returncode == 0, done.stderr
    done = run(installed, tmp_path, "c", "--size", "band", "--out", "c")
    assert done.returncode == 0, done.stderr
    done = run(installed, tmp_path, "bundle", "--sizes", "band", "--out", "band")
    assert done.returncode == 0, done.stderr
    done = run(installed, tmp_path, "verify", "band.zip")
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"out", "out.zip", "band.tflite", "c", "band", "band.zip"}


def test_it_collides_with_nobody(installed, tmp_path):
    """Her folders of the same names stay hers, also from inside her encoder."""
    for name in HERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "mynet.py").write_text(f"OWNER = {name!r}\n")
    (tmp_path / "sibling.py").write_text("WIDTH = 8\n")
    (tmp_path / "my_encoder.py").write_text(
        "import torch\n"
        "from models.mynet import OWNER\nfrom signals.mynet import OWNER as OTHER\nfrom sibling import WIDTH\n"
        "assert (OWNER, OTHER) == ('models', 'signals')\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.f = torch.nn.Linear(1000, WIDTH)\n"
        "    def forward(self, x):\n        from export.mynet import OWNER\n        assert OWNER == 'export'\n        return self.f(x)\n"
        "def make():\n    return Net()\n"
    )
    code = (
        "from onwrist.models.encoders.checkpoint import load_encoder, embedding_width\n"
        "print(embedding_width(load_encoder('my_encoder.py:make')))"
    )
    done = subprocess.run([installed / "bin" / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "8", done.stderr


def test_site_packages_of_this_environment_are_ours_alone():
    places = [Path(p) for p in site.getsitepackages()]
    assert not any((p / name).exists() for p in places for name in HERS)
