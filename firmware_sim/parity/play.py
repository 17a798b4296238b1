"""Stream a recording through the simulated watch, with parity and a report."""

from __future__ import annotations

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
    cosine_gates,
    front_end_gates,
)
from onwrist.firmware_sim.parity.memory import measure
from onwrist.firmware_sim.parity.parts import PARTS, cost
from onwrist.firmware_sim.parity.streamed import Streamed
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
from onwrist.signals.pulse.beats import MIN_INTERVALS, Beats, detect_r_peaks, intervals
from onwrist.signals.pulse.clean import WINDOW_S, fill_gaps
from onwrist.signals.recordings.recording import Recording

# Fewer outputs than this say nothing about parity.
MIN_HOPS = 3


def reference_rate(recording: Recording, time_s: np.ndarray) -> tuple[np.ndarray, str]:
    """Heart rate of the last 10 s at each time: from the ECG, else from the device's own estimate, else NaN."""
    out = np.full(len(time_s), np.nan)
    if recording.ecg is not None:
        r = recording.labels.get("rpeaks")
        if r is not None:
            r = np.asarray(r) / recording.ecg.rate_hz
        else:
            r = detect_r_peaks(fill_gaps(recording.ecg.samples), recording.ecg.rate_hz)
        beats = Beats(r, np.zeros(0), 0.0)
        for i, t in enumerate(time_s):
            rr = intervals(beats.r, t - WINDOW_S, t)
            if len(rr) >= MIN_INTERVALS:
                out[i] = 60.0 / rr.mean()
        return out, "ECG"
    if "hr_e4" in recording.labels:
        offset = float(recording.labels.get("hr_t0_unix", 0.0)) - (recording.start_unix or 0.0)
        hr = np.asarray(recording.labels["hr_e4"], np.float64)
        index = np.round(time_s - offset).astype(int)
        inside = (index >= 0) & (index < len(hr))
        out[inside] = hr[index[inside]]
        return out, "the device's own estimate (no ECG)"
    return out, ""


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
        RecordingError: too short for a few outputs.
    """
    sensor = Sensor(recording, config.sensor, faults)
    model = artifacts.model
    hop = config.hop_samples(model.stride)
    watch = Watch(model, TFLMStep(artifacts.tflite_step(hop), time_major(model, hop)), config, witness=True)
    script = Script()
    if firmware:
        watch.ring = LoggedRing(watch.ring.capacity, script)
    hops = list(progress(watch.run(sensor), f"stream {artifacts.size}", total=int(sensor.seconds / config.hop_s)))
    if sum(h.valid for h in hops) < MIN_HOPS:
        raise RecordingError(
            f"{recording.seconds:.0f} s give {sum(h.valid for h in hops)} valid outputs", where=recording.source,
            cure=f"Give at least {model.window / STUDENT_RATE_HZ + MIN_HOPS * config.hop_s:.0f} s of signal",
        )  # fmt: skip
    real = np.stack([h.real for h in hops])
    played = Played(
        np.stack([h.chunk for h in hops]), np.array([h.first for h in hops]), np.stack([h.window for h in hops]),
        [h.counts for h in hops],
    )  # fmt: skip
    float_embedding, float_answers = TorchFloat(artifacts.student).run(real)
    bpm, name = reference_rate(recording, np.array([h.time_s for h in hops]))
    memory = measure(artifacts, config.sensor, config.hop_s)
    result = Streamed(
        size=artifacts.size, config=artifacts.student.config, recording=Path(recording.source).name, person=recording.subject,
        rate_hz=config.sensor.rate_hz, hop_s=config.hop_s, service_s=config.service_s, seconds=sensor.seconds, hops=hops,
        float_embedding=float_embedding, float_answers=float_answers,
        other_front_end=with_float_front_end(model, played.windows, real, hops), answer_scale=float(model.answers_scale),
        reference_bpm=bpm, reference_name=name, faults=faults, counters=watch.counters,
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
        result.watch_in_c = run_watch_everywhere(model, watch, script, hops, progress)
    similarity = result.similarity[result.valid]
    books = watch.counters
    result.gates = [
        byte_gate(result.agreements, len(hops)),
        *([firmware_gate(result.firmware), watch_gate(result.watch_in_c)] if firmware else []),
        *cosine_gates(float(np.median(similarity)), float(similarity.min()), "stream"),
        *front_end_gates(result.front_end),
        *budget_gates(artifacts.size, memory),
        Gate("samples accounted for", "all", f"{books.received:,} received", books.accounted),
        Gate("deadlines missed on this host", "0", str(result.deadline_misses), result.deadline_misses == 0),
    ]
    if not faults.faults:
        result.gates.append(Gate("samples lost in the ring", "0", str(books.dropped), books.dropped == 0))
        result.gates.append(Gate("hops missed", "0", str(books.missed), books.missed == 0))
    return result


def with_float_front_end(model: IntegerModel, windows: np.ndarray, real: np.ndarray, hops: list[Hop]) -> np.ndarray:
    """int8 (n, 259): the same INT8 student behind the float front end, computed where its input differs at all."""
    out = np.stack([np.concatenate([h.embedding, h.answers]) for h in hops])
    other = model.quantise_input(real)
    rows = np.flatnonzero((other != windows).any(axis=1))
    for i in range(0, len(rows), BATCH):
        part = rows[i : i + BATCH]
        out[part] = np.concatenate(model.run(other[part]), axis=1)
    return out
