"""What a worker is given to play with: files beside the study's results, read once per process."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from onwrist.errors import ConfigError
from onwrist.export.handoff.names import CONTRACT, STEP
from onwrist.export.sources.files import Firmware
from onwrist.firmware_sim.study.store import Store

FOLDER = "model"
UNITS, STUDENT = "units.npz", "student.safetensors"
SOURCES = "firmware.json"
# Samples per read-out: no sample is lost or late in a study, so that answers do not depend on it, and calls cost time.
BURST = 1024


@dataclass(frozen=True)
class Kit:
    """One student, as a worker needs it.

    Attributes:
        contract: as in a handoff bundle. step: TFLite file of one hop.
        units: answer -> float32 (256,), its value in units for int8 -128 ... 127.
        sources: `files` and `constants` of the firmware, and `reasons` not to show an answer with their bits.
        student: weights of the float student, empty where no recording is compared.
    """

    contract: dict
    step: bytes
    units: dict[str, np.ndarray]
    sources: dict[str, dict]
    student: bytes = b""

    @property
    def digest(self) -> str:
        """Of the student's integers."""
        return self.contract["digest"]

    @property
    def window(self) -> int:
        """Input samples of one output."""
        return self.contract["window_samples"]

    @property
    def stride(self) -> int:
        """Input samples that every hop is a multiple of."""
        return self.contract["hop_multiple_samples"]

    @property
    def hop(self) -> int:
        """Input samples between outputs."""
        return self.contract["stream"]["hop_samples"]

    @property
    def gate(self) -> int | None:
        """The answer that decides what is shown; None: all are."""
        said = self.contract["answers"]
        return None if said["shown_by"] is None else said["names"].index(said["shown_by"])

    def firmware(self) -> Firmware:
        """The C sources."""
        return Firmware(self.sources["files"], self.sources["constants"], plan=None)

    def first_state(self) -> list[np.ndarray]:
        """The state of a stream that begins in silence, (1, 1, context, channels) each."""
        return [
            np.ascontiguousarray(np.broadcast_to(np.array(s["start"], np.int8), s["shape"]))
            for s in self.contract["stream"]["state"]
        ]

    def in_units(self, name: str, values: np.ndarray) -> np.ndarray:
        """An answer's int8 (n,) in its units, float32."""
        return self.units[name][values.astype(np.int16) + 128]

    def real_units(self, name: str, values: np.ndarray) -> np.ndarray:
        """A float answer (n,), in steps of no size, in the same units."""
        table = self.units[name].astype(np.float64)
        slope = (table[-1] - table[0]) / 255 / self.contract["answers"]["scale"]
        return table[128] + slope * values

    def answer_units(self) -> dict[str, str]:
        """Answer -> name of its column: with its unit where it has one."""
        return {name: f"{name}_bpm" if name == "heart_rate" else name for name in self.units}

    def files(self) -> dict[str, bytes]:
        """Name -> content, for `read_kit`."""
        sink = io.BytesIO()
        np.savez(sink, **self.units)  # type: ignore[arg-type]  # names are names
        found = {CONTRACT: json.dumps(self.contract, indent=1).encode(), STEP: self.step, UNITS: sink.getvalue()}
        found[SOURCES] = json.dumps(self.sources, indent=1).encode()
        return found | ({STUDENT: self.student} if self.student else {})


def make_kit(size: str, setting, weights=None, student=None, teacher=None) -> Kit:
    """Export a student for `setting` (hop, sensor).

    Raises:
        CheckpointError, ExportError, ConfigError: as `load_artifacts`; a hop that is no multiple.
    """
    from onwrist.export.handoff.artifacts import contract, load_artifacts
    from onwrist.export.sources.firmware import firmware_sources
    from onwrist.firmware_sim.watch.watch import Why
    from onwrist.quantize.teaching.student_files import float_weights
    from onwrist.signals.front_end.fixed import design
    from onwrist.signals.front_end.floating import hop_samples

    artifacts = load_artifacts(size, weights, student, teacher)
    hop = hop_samples(setting["hop_s"], artifacts.model.stride)
    fixed = design(setting["sensor_hz"], setting["bits"])
    found = contract(artifacts, hop, fixed)
    made = firmware_sources(artifacts.model, hop, fixed, BURST)
    steps = np.arange(-128, 128).astype(np.float32) * np.float32(artifacts.model.answers_scale)
    units = {
        column: answer.in_units(steps).astype(np.float32) if answer.kind == "value" else steps
        for answer in artifacts.model.answers
        for column in answer.columns
    }
    wanted = setting["float_share"] > 0
    parent = (student or float_weights(size, teacher)).read_bytes() if wanted else b""
    sources: dict[str, dict] = {
        "files": made.files, "constants": made.constants, "reasons": {str(w.name).lower(): int(w) for w in Why},
    }  # fmt: skip
    return Kit(found, artifacts.tflite_step(hop), units, sources, parent)


@lru_cache(maxsize=2)
def read_kit(url: str, digest: str) -> Kit:
    """The kit of a study.

    Args:
        url: the study's folder. digest: of the integers that are expected there.

    Raises:
        ConfigError: it holds another student.
    """
    store = Store(url)
    units = dict(np.load(io.BytesIO(store.read(f"{FOLDER}/{UNITS}"))))
    student = store.read(f"{FOLDER}/{STUDENT}") if store.exists(f"{FOLDER}/{STUDENT}") else b""
    contract, sources = (json.loads(store.read(f"{FOLDER}/{name}")) for name in (CONTRACT, SOURCES))
    kit = Kit(contract, store.read(f"{FOLDER}/{STEP}"), units, sources, student)
    if kit.digest != digest:
        raise ConfigError("holds another student", where=url, field=FOLDER, cure="Choose another --out")
    return kit
