"""What a run of the simulated watch says beside its reference, the float model, and every other machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import nn

from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.firmware import FirmwareRun
from onwrist.firmware_sim.parity.gates import Agreement, Gate, verdict
from onwrist.firmware_sim.parity.hops import Hops
from onwrist.firmware_sim.parity.memory import Memory
from onwrist.firmware_sim.parity.nearness import Nearness
from onwrist.firmware_sim.parity.parts import Cost
from onwrist.firmware_sim.parity.reasons import count_reasons
from onwrist.firmware_sim.parity.reference import Reference
from onwrist.firmware_sim.parity.run import Run
from onwrist.firmware_sim.parity.watch_in_c import WatchRun
from onwrist.firmware_sim.runtimes.mix import Mix
from onwrist.firmware_sim.watch.watch import Counters
from onwrist.models.student.outputs import Answers
from onwrist.signals.front_end.fixed import FrontEndParity


@dataclass(frozen=True)
class FloatRun:
    """The float student over the same seconds.

    Attributes:
        answers: (n, answers), behind the float front end.
        near: the INT8 embedding to the float one, in real units. similarity: cosine of the two, in steps, (n,).
        other_answers: int8 (n, answers), of the INT8 student behind the float front end. other_similarity: cosine of its embedding
            to that behind the fixed-point one, (n,).
        front_end: the fixed-point front end against its float design.
    """

    answers: np.ndarray
    near: Nearness
    similarity: np.ndarray
    other_answers: np.ndarray
    other_similarity: np.ndarray
    front_end: FrontEndParity


@dataclass(frozen=True)
class Streamed:
    """Everything that one student said about one recording.

    Attributes:
        deployed: the student at its hop behind its sensor. run: what the watch did.
        real: the float student beside it. reference: what the heart really did.
        baselines: name -> (n, 2), beats/min and confidence of other methods on the same ten seconds.
        agreements: other integer runtimes over the same run. firmware, watch_in_c: the exported C, where it was asked for.
        costs: on every part. mixes: instructions of a hop by core. gates: what all of it means.
    """

    deployed: Deployed
    run: Run
    real: FloatRun
    reference: Reference
    baselines: dict[str, np.ndarray]
    agreements: list[Agreement]
    firmware: list[FirmwareRun]
    watch_in_c: list[WatchRun]
    costs: list[Cost]
    mixes: dict[str, Mix]
    gates: list[Gate]

    def with_gates(self, more: list[Gate]) -> Streamed:
        """The same, judged by more."""
        return replace(self, gates=[*self.gates, *more])

    @property
    def size(self) -> str:
        """The student's name."""
        return self.deployed.artifacts.size

    @property
    def student(self) -> nn.Module:
        """The float parent."""
        return self.deployed.artifacts.student

    @property
    def contract(self) -> dict:
        """What firmware has to know."""
        return self.deployed.contract

    @property
    def meaning(self) -> Answers:
        """What the answers are."""
        return self.deployed.model.answers

    @property
    def memory(self) -> Memory:
        """Bytes on the device."""
        return self.deployed.memory

    @property
    def recording(self) -> str:
        """Name of the recording's file."""
        return self.run.name

    @property
    def person(self) -> str:
        """Whose it is."""
        return self.run.recording.subject

    @property
    def rate_hz(self) -> float:
        """Of the sensor."""
        return self.deployed.config.sensor.rate_hz

    @property
    def hop_s(self) -> float:
        """Seconds between outputs."""
        return self.deployed.config.hop_s

    @property
    def service_s(self) -> float:
        """Seconds that a hop keeps the processor busy."""
        return self.deployed.config.service_s

    @property
    def seconds(self) -> float:
        """That the sensor ran."""
        return self.run.sensor.seconds

    @property
    def hops(self) -> Hops:
        """Outputs of TFLM's stream."""
        return self.run.hops

    @property
    def counters(self) -> Counters:
        """Where the samples went."""
        return self.run.watch.counters

    @property
    def time_s(self) -> np.ndarray:
        """(n,) seconds since power-up."""
        return self.run.time_s

    @property
    def latency_s(self) -> np.ndarray:
        """(n,) seconds of the model on this host."""
        return self.run.latency_s

    @property
    def why(self) -> np.ndarray:
        """(n,) reasons not to show an output, as bits."""
        return self.run.why

    @property
    def valid(self) -> np.ndarray:
        """(n,) whether the window is real signal."""
        return self.run.valid

    @property
    def shown(self) -> np.ndarray:
        """(n,) valid, and good in the model's own eyes."""
        return self.run.shown

    @property
    def embedding(self) -> np.ndarray:
        """int8 (n, width)."""
        return self.run.embedding

    @property
    def answers(self) -> np.ndarray:
        """int8 (n, answers)."""
        return self.run.answers

    @property
    def embedding_scale(self) -> float:
        """Embedding units per step."""
        return float(self.deployed.model.embedding_scale)

    @property
    def answer_scale(self) -> float:
        """Answer units per step."""
        return float(self.deployed.model.answers_scale)

    @property
    def reference_bpm(self) -> np.ndarray:
        """(n,) from the ECG or the device, NaN where none."""
        return self.reference.bpm

    @property
    def similarity(self) -> np.ndarray:
        """Cosine INT8 to float of each hop."""
        return self.real.similarity

    @property
    def real_answers(self) -> np.ndarray:
        """INT8 answers in real units, (n, answers)."""
        return self.answers.astype(np.float32) * self.answer_scale

    @property
    def deadline_misses(self) -> int:
        """Hops whose model took longer than the hop on this host."""
        return int(np.sum(self.latency_s > self.hop_s))

    @property
    def verdict(self) -> tuple[str, str]:
        """(PASS, WARN or FAIL, the reason in words)."""
        return verdict(self.gates)

    @property
    def passed(self) -> bool:
        """Whether no gate fails; one that warns does not."""
        return self.verdict[0] != "FAIL"

    @cached_property
    def bpm(self) -> np.ndarray:
        """Heart rate of every output, shown or not, beats/min (n,); NaN of a student that says none."""
        return self.meaning.rates(self.real_answers)

    @property
    def judged(self) -> np.ndarray:
        """(n,) valid, and with a reference."""
        return self.valid & np.isfinite(self.reference_bpm)

    @cached_property
    def reasons(self) -> dict[str, int]:
        """Every output once: reason -> count."""
        return count_reasons(self.why, self.deployed.model.window, self.deployed.hop)
