"""What is installed, what is missing, what that costs, and the command that mends it.

onwrist doctor
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from onwrist.ranges import Checked
from onwrist.resources import WEIGHTS, weights_metadata

TFLM_PYTHONS = ((3, 11), (3, 12), (3, 13))


@dataclass(frozen=True)
class Finding:
    """One thing that a step needs.

    Attributes:
        name, found: what it is, and its version or place; "" where it is missing.
        needed: without it the product does not do what its README says.
        costs, mend: what is not to be had without it, and the command that brings it.
    """

    name: str
    found: str
    needed: bool
    costs: str
    mend: str


# Distribution -> what is lost without it; the first group is what `pip install onwrist` brings.
NEEDED = {
    "torch": "training, QAT and every export from weights",
    "brevitas": "QAT and every export from weights",
    "onnx": "ONNX files",
    "onnxruntime": "ONNX Runtime beside the others in parity",
    "ai-edge-litert": "LiteRT's reference kernels in parity",
    "tflite-micro": "TFLM, the reference for firmware: stream and its byte gate",
    "ziglang": "the compiler of the emulated cores: the C is not run",
    "unicorn": "the emulated cores: the C is not run, nothing is counted",
    "scikit-learn": "probes and the bench",
    "matplotlib": "pictures of the report",
}
EXTRAS = {
    "litert-torch": ("witness", "Google's converter as a witness, and the encoder's own TFLite"),
    "tensorflow": ("tensorflow", "TensorFlow's interpreter and converter as witnesses, Keras teachers"),
    "bakenn": ("compare", "another C generator beside ours in `make bench`"),
    "ethos-u-vela": ("npu", "the students on Ethos-U NPUs in `onwrist parts --npu`"),
    "dask": ("cohort", "`onwrist cohort`"),
    "cryptography": ("sign", "signing bundles, and checking signatures"),
    "playwright": ("browser", "tests of the pages in a browser"),
    "mkdocs-material": ("site", "the documents as pages"),
}
# The same under another name.
ALSO_CALLED = {"tensorflow": "tensorflow-cpu"}
# Program -> (Debian's package, what is lost without it).
PROGRAMS = {
    "arm-none-eabi-gcc": ("gcc-arm-none-eabi libnewlib-arm-none-eabi", "the C is not tried with the compiler that most teams use"),
    "qemu-system-arm": ("qemu-system-arm", "the Cortex-M55 is compiled for, not run"),
    "gcc": ("gcc", "the self-test under GCC's sanitizers"),
    "cmake": ("cmake", "the CMake and Zephyr packages of the C are not built"),
    "arduino-builder": ("arduino-builder", "the Arduino library is not built by Arduino's own builder"),
    "chromium": ("chromium", "the pages are not tried in a browser"),
}  # fmt: skip


def examine() -> list[Finding]:
    """Everything that a step of the road may need, on this machine."""
    found = [_python()]
    for name, costs in NEEDED.items():
        found.append(Finding(name, _version(name), True, costs, "pip install -r requirements.lock"))
    for name, (extra, costs) in EXTRAS.items():
        found.append(
            Finding(
                name,
                _version(name) or _version(ALSO_CALLED.get(name, name)),
                False,
                costs,
                f"pip install 'onwrist[{extra}]'",
            )
        )
    for name, (package, costs) in PROGRAMS.items():
        found.append(Finding(name, shutil.which(name) or "", False, costs, f"apt-get install {package}"))
    found.append(
        Finding(
            "CUDA",
            shutil.which("nvidia-smi") or "",
            False,
            "training takes the CPU",
            "a driver and a CUDA build of torch",
        )
    )
    root = os.environ.get("ONWRIST_DATA", "")
    there = root if root and Path(root).is_dir() else ""
    found.append(
        Finding("larger sets", there, False, "training, probes and cohort gates (stored results are shown)", "export ONWRIST_DATA=FOLDER")
    )  # fmt: skip
    found.append(_digests())
    return found


def _digests() -> Finding:
    files = sorted(WEIGHTS.glob("*.safetensors"))
    silent = [f.name for f in files if "digests" not in weights_metadata(f)]
    return Finding(
        "digests", "" if silent else f"in all {len(files)} weights files", False,
        f"{', '.join(silent)}: written before files had digests, damage to a float one is not noticed", "train them again",
    )  # fmt: skip


def _python() -> Finding:
    running = sys.version_info[:2] in TFLM_PYTHONS
    return Finding(
        "Python", platform.python_version() if running else "", True,
        f"TFLM has no wheels for Python {platform.python_version()}: no stream, no byte gate", "use Python 3.11 to 3.13",
    )  # fmt: skip


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class DoctorConfig(Checked):
    """What this machine has."""

    json: bool = False
    """Plain values instead of a table."""


def main(config: DoctorConfig) -> int:
    """Say what is installed, what is missing, what that costs and how to mend it; exit 1 if something needed is missing."""
    import json as plain

    found = examine()
    if config.json:
        print(plain.dumps({"schema": "onwrist-doctor-1", "findings": [asdict(f) for f in found]}, indent=1))
    else:
        width = max(len(f.name) for f in found) + 2
        for f in found:
            mark = "ok     " if f.found else "MISSING" if f.needed else "without"
            print(f"{mark}  {f.name:{width}}{f.found or f'{f.costs}. Mend: {f.mend}'}")
    return 1 if any(f.needed and not f.found for f in found) else 0


if __name__ == "__main__":
    from onwrist.command import run

    run(main, DoctorConfig)
