"""One recording through the simulated watch and every witness: the stages of a parity run, in order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.firmware import firmware_gate, run_everywhere
from onwrist.firmware_sim.parity.gates import (
    BATCH,
    Gate,
    all_runtimes,
    budget_gates,
    byte_gate,
    compare_runtimes,
    embedding_errors,
    error_gates,
    front_end_gates,
    own_budget_gates,
)
from onwrist.firmware_sim.parity.nearness import joined, nearness
from onwrist.firmware_sim.parity.parts import PARTS, cost, count_mixes
from onwrist.firmware_sim.parity.reasons import REASONS
from onwrist.firmware_sim.parity.reference import Reference, reference_rate
from onwrist.firmware_sim.parity.rightness import baseline_rates, right_gates
from onwrist.firmware_sim.parity.run import Run, run_watch_on
from onwrist.firmware_sim.parity.streamed import FloatRun, Streamed
from onwrist.firmware_sim.parity.watch_in_c import run_watch_everywhere, watch_gate
from onwrist.firmware_sim.runtimes.window import TorchFloat
from onwrist.firmware_sim.watch.faults import Faults
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.quantize.judging.evaluate import cosine
from onwrist.signals.front_end.fixed import compare_front_ends
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.pulse.baselines import methods
from onwrist.signals.pulse.polarity import upside_down
from onwrist.signals.recordings.recording import Recording

TURNED = Gate(
    "pulses point up", "as the model was trained", "they point down: the recording was turned", False,
    severity="warn", group="right", detail="firmware has to count the same way: see counts in the contract",
)  # fmt: skip


def stream(
    recording: Recording,
    deployed: Deployed,
    progress: Progress = silent,
    *,
    faults: Faults = Faults(),
    firmware: bool = False,
) -> Streamed:
    """Play a recording through the watch with TFLM's stream in the loop, then every other runtime over the same run.

    Args:
        firmware: also compile the exported C and run it, here and on emulated cores: from the ADC counts on, and as a
            whole watch, from the bursts on.

    Raises:
        RecordingError: no output to speak of; it names the reason that most outputs have.
    """
    # Where somebody says which way the counts go, or wants them as they are, nobody turns them for her.
    said = deployed.config.sensor
    free = said.when_blood_comes == "rise" and said.replay == "scaled"
    recording, turned = upright(recording) if free else (recording, False)
    run = run_watch_on(recording, deployed, faults, progress, logged=firmware)
    reference = reference_rate(recording, run.time_s, deployed.model.answers, deployed.model.sees.window_s)
    outputs = run.outputs
    others = compare_runtimes(outputs, all_runtimes(deployed), run.played, progress)
    in_c = run_everywhere(deployed, run.played, outputs, progress) if firmware else []
    watch_in_c = run_watch_everywhere(deployed, run, progress) if firmware else []
    mixes = count_mixes(deployed) if firmware else {}
    result = Streamed(
        deployed, run, float_beside(deployed, run), reference, baselines_beside(deployed, run, reference, progress),
        others, in_c, watch_in_c, [cost(part, deployed, mixes) for part in PARTS], mixes, gates=[],
    )  # fmt: skip
    return result.with_gates([*gates(result), *([TURNED] if turned else [])])


def upright(recording: Recording) -> tuple[Recording, bool]:
    """The recording with its pulses up, and whether it had to be turned for that.

    A model that was taught on counts that rise when blood comes says nothing, or nonsense, to a signal upside down.
    """
    ppg = recording.ppg
    if not upside_down(ppg.samples, ppg.rate_hz):
        return recording, False
    return replace(recording, ppg=replace(ppg, samples=-ppg.samples)), True


def float_beside(deployed: Deployed, run: Run) -> FloatRun:
    """The float student behind the float front end, and the two halves of the way swapped one by one."""
    model, student = deployed.model, TorchFloat(deployed.artifacts.student)
    scale = float(model.embedding_scale)
    answers, others = np.zeros(run.answers.shape, np.float32), np.zeros_like(run.answers)
    similarity, other_similarity = np.zeros(len(run.hops)), np.zeros(len(run.hops))
    near = []
    for rows in run.real.batches(BATCH):
        int8, windows = run.embedding[rows], run.real[rows]
        real, answers[rows] = student.run(windows, *(w[rows] for w in run.real_beside))
        near.append(nearness(int8.astype(np.float64) * scale, real))
        similarity[rows] = cosine(int8, real)
        other, others[rows] = _with_input(model, model.quantise_input(windows), run, rows)
        other_similarity[rows] = cosine(int8, other)
    parity = compare_front_ends(run.played.chunks.ravel(), run.real.chunks.ravel(), model.sees.counts)
    return FloatRun(answers, joined(near), similarity, others, other_similarity, parity)


def _with_input(model: IntegerModel, x: np.ndarray, run: Run, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """int8 embedding and answers of the INT8 student for int8 windows (m, window); where those are the run's, its own."""
    embedding, answers = run.embedding[rows].copy(), run.answers[rows].copy()
    differs = np.flatnonzero((x != run.played.windows[rows]).any(axis=1))
    if len(differs):
        beside = [w[rows][differs] for w in run.played.beside]
        embedding[differs], answers[differs], *_ = model.run(x[differs], *beside)
    return embedding, answers


def baselines_beside(
    deployed: Deployed, run: Run, reference: Reference, progress: Progress = silent
) -> dict[str, np.ndarray]:
    """Other methods on the same ten seconds, wherever they can be judged: name -> (n, 2), beats/min and confidence."""
    judged = run.valid & np.isfinite(reference.bpm)
    return baseline_rates(methods(), run.played.counts, judged, deployed.config.sensor.rate_hz, progress)


def gates(r: Streamed) -> list[Gate]:
    """What a run means: the same bytes, close to float, right about the person, fit for the part."""
    books = r.counters
    asked = len(r.hops) - r.reasons[REASONS[1]]
    limits = r.deployed.limits
    counted = [f.instructions for f in r.firmware if f.instructions and "M4F" in f.name]
    found = [
        byte_gate(r.agreements, len(r.hops)),
        *([firmware_gate(r.firmware), watch_gate(r.watch_in_c)] if r.firmware else []),
        *error_gates(**embedding_errors(r.real.near, r.shown), limits=limits),
        *front_end_gates(r.real.front_end, limits),
        *budget_gates(r.size, r.memory),
        *own_budget_gates(r.deployed.budget, r.memory, r.hop_s, counted[0] if counted else None),
        *right_gates(r.reference_bpm, r.bpm, r.shown, r.reference.kind, r.reference.name, r.hop_s, asked, limits),
        Gate("samples accounted for", "all", f"{books.received:,} received", r.run.watch.accounted, group="exact"),
        Gate("deadlines missed on this host", "0", str(r.deadline_misses), r.deadline_misses == 0, group="fits"),
    ]
    if r.run.watch.motion:
        line = r.run.watch.motion
        whole = line.counters.accounted(line.ring.head - line.ring.tail)
        value = f"{line.counters.received:,} received"
        found.append(Gate("acceleration accounted for", "all", value, whole, group="exact"))
    if not r.run.faults.faults:
        found.append(Gate("samples lost in the ring", "0", str(books.dropped), books.dropped == 0, group="fits"))
        found.append(Gate("hops missed", "0", str(books.missed), books.missed == 0, group="fits"))
    return found
