"""Stream a recording through the simulated watch, with parity and a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.export.handoff.artifacts import Artifacts, contract
from onwrist.firmware_sim.parity.firmware import firmware_gate, run_everywhere
from onwrist.firmware_sim.parity.gates import (
    BATCH,
    Gate,
    Played,
    all_runtimes,
    budget_gates,
    byte_gate,
    compare_runtimes,
    embedding_gates,
    front_end_gates,
)
from onwrist.firmware_sim.parity.memory import measure
from onwrist.firmware_sim.parity.parts import PARTS, cost, not_below
from onwrist.firmware_sim.parity.reference import reference_rate
from onwrist.firmware_sim.parity.rightness import baseline_rates, right_gates
from onwrist.firmware_sim.parity.streamed import REASONS, Streamed, reason
from onwrist.firmware_sim.parity.watch_in_c import run_watch_everywhere, watch_gate
from onwrist.firmware_sim.runtimes.hop import TFLMStep, time_major
from onwrist.firmware_sim.runtimes.window import TorchFloat
from onwrist.firmware_sim.watch.faults import Faults
from onwrist.firmware_sim.watch.script import LoggedRing, Script
from onwrist.firmware_sim.watch.sensor import Sensor
from onwrist.firmware_sim.watch.watch import Hop, Watch, WatchConfig
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.fixed import compare_front_ends, design
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.pulse.baselines import methods
from onwrist.signals.pulse.polarity import upside_down
from onwrist.signals.recordings.recording import Recording

# Fewer outputs than this say nothing about parity.
MIN_HOPS = 3


def stream(
    recording: Recording,
    artifacts: Artifacts,
    config: WatchConfig = WatchConfig(),
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
    recording, turned = upright(recording)
    sensor = Sensor(recording, config.sensor, faults)
    model = artifacts.model
    hop = config.hop_samples(model.stride)
    watch = Watch(model, TFLMStep(artifacts.tflite_step(hop), time_major(model, hop)), config, witness=True)
    script = Script()
    if firmware:
        watch.ring = LoggedRing(watch.ring.capacity, script)
    hops = list(progress(watch.run(sensor), f"stream {artifacts.size}", total=int(sensor.seconds / config.hop_s)))
    if sum(h.valid for h in hops) < MIN_HOPS:
        raise too_few(recording, hops, model.window / STUDENT_RATE_HZ, config.hop_s)
    real = np.stack([h.real for h in hops])
    played = Played(
        np.stack([h.chunk for h in hops]), np.array([h.first for h in hops]), np.stack([h.window for h in hops]),
        [h.counts for h in hops],
    )  # fmt: skip
    float_embedding, float_answers = TorchFloat(artifacts.student).run(real)
    reference = reference_rate(recording, np.array([h.time_s for h in hops]))
    valid = np.array([h.valid for h in hops])
    others = baseline_rates(
        methods(), played.counts, valid & np.isfinite(reference.bpm), config.sensor.rate_hz, progress
    )
    memory = measure(artifacts, config.sensor, config.hop_s)
    result = Streamed(
        size=artifacts.size, config=artifacts.student.config, recording=Path(recording.source).name, person=recording.subject,
        rate_hz=config.sensor.rate_hz, hop_s=config.hop_s, service_s=config.service_s, seconds=sensor.seconds, hops=hops,
        float_embedding=float_embedding, float_answers=float_answers,
        other_front_end=with_float_front_end(model, played.windows, real, hops), answer_scale=float(model.answers_scale),
        reference_bpm=reference.bpm, reference_name=reference.name, reference_kind=reference.kind, baselines=others,
        embedding_scale=float(model.embedding_scale), faults=faults, counters=watch.counters,
        ring_capacity=watch.ring.capacity, high_water=watch.ring.high_water, sent=sensor.sent,
        saturated=sensor.saturated, memory=memory,
        front_end=compare_front_ends(played.chunks.ravel(), real[:, -hop:].ravel()),
        costs=[cost(part, artifacts, memory, config.sensor, config.hop_s) for part in PARTS],
        contract=contract(artifacts, hop, design(config.sensor.rate_hz, config.sensor.bits)),
    )  # fmt: skip
    result.agreements = compare_runtimes(
        (result.embedding, result.answers), all_runtimes(artifacts, hop), played, progress
    )
    if firmware:
        fixed = design(config.sensor.rate_hz, config.sensor.bits)
        result.firmware = run_everywhere(model, hop, fixed, played, (result.embedding, result.answers), progress)
        counted = [f.instructions for f in result.firmware if f.instructions and "M4F" in f.name]
        result.costs = [not_below(c, counted[0]) for c in result.costs] if counted else result.costs
        result.watch_in_c = run_watch_everywhere(model, watch, script, hops, progress)
    books = watch.counters
    real_units = result.embedding.astype(np.float64) * result.embedding_scale
    result.gates = [
        byte_gate(result.agreements, len(hops)),
        *([firmware_gate(result.firmware), watch_gate(result.watch_in_c)] if firmware else []),
        *embedding_gates(real_units, result.float_embedding, result.shown),
        *front_end_gates(result.front_end),
        *budget_gates(artifacts.size, memory),
        *right_gates(
            result.reference_bpm, result.bpm, result.shown, reference.kind, reference.name, config.hop_s,
            len(hops) - result.reasons[REASONS[1]],
        ),
        Gate("samples accounted for", "all", f"{books.received:,} received", books.accounted, group="exact"),
        Gate(
            "deadlines missed on this host", "0", str(result.deadline_misses), result.deadline_misses == 0, group="fits"
        ),
    ]  # fmt: skip
    if turned:
        result.gates.append(
            Gate("pulses point up", "as the model was trained", "they point down: the recording was turned", False,
                 severity="warn", group="right", detail="firmware has to count the same way: see counts in the contract")
        )  # fmt: skip
    if not faults.faults:
        result.gates.append(Gate("samples lost in the ring", "0", str(books.dropped), books.dropped == 0, group="fits"))
        result.gates.append(Gate("hops missed", "0", str(books.missed), books.missed == 0, group="fits"))
    return result


def upright(recording: Recording) -> tuple[Recording, bool]:
    """The recording with its pulses up, and whether it had to be turned for that.

    A model that was taught on counts that rise when blood comes says nothing, or nonsense, to a signal upside down.
    """
    ppg = recording.ppg
    if not upside_down(ppg.samples, ppg.rate_hz):
        return recording, False
    return replace(recording, ppg=replace(ppg, samples=-ppg.samples)), True


def too_few(recording: Recording, hops: list[Hop], window_s: float, hop_s: float) -> RecordingError:
    """The error of a recording that gives hardly an output: by what most of its outputs lack, after the warm-up."""
    valid = sum(h.valid for h in hops)
    needed = window_s + MIN_HOPS * hop_s
    what = f"{recording.seconds:.0f} s give {valid} valid output{'' if valid == 1 else 's'}"
    where = {"where": recording.source, "field": recording.ppg.name}
    early = round(window_s / hop_s) - 1
    late = [reason(int(h.why), False) for h in hops[early:] if not h.valid]
    if recording.seconds < needed:
        return RecordingError(f"{what}: too short", cure=f"Give at least {needed:.0f} s of signal", **where)
    cures = {
        REASONS[2]: "Nothing moves in this channel: choose another with channel (--channel), or check the sensor",
        REASONS[3]: "The signal is cut off at its highest or lowest value: use less light or gain, or another channel",
        REASONS[4]: f"Samples are missing ({100 * recording.missing:.0f} % of the file): nowhere do {window_s:.0f} s follow "
        "without a gap of over a second",
        REASONS[5]: f"Samples are missing ({100 * recording.missing:.0f} % of the file): too much of every window is made up",
    }  # fmt: skip
    # Nothing at all came out, or nothing but restarts: the gaps swallow every window.
    worst = max(cures, key=late.count) if late else REASONS[4]
    share = f" ({100 * late.count(worst) / len(late):.0f} % of them)" if late else ""
    return RecordingError(f"{what}; the outputs are {worst}{share}", cure=cures[worst], **where)


def with_float_front_end(model: IntegerModel, windows: np.ndarray, real: np.ndarray, hops: list[Hop]) -> np.ndarray:
    """int8 (n, 259): the same INT8 student behind the float front end, computed where its input differs at all."""
    out = np.stack([np.concatenate([h.embedding, h.answers]) for h in hops])
    other = model.quantise_input(real)
    rows = np.flatnonzero((other != windows).any(axis=1))
    for i in range(0, len(rows), BATCH):
        part = rows[i : i + BATCH]
        out[part] = np.concatenate(model.run(other[part]), axis=1)
    return out
