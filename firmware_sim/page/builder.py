"""watch.html: the exported watch as WebAssembly, recordings as counts, and what the simulated watch made of them."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from onwrist.export.handoff.artifacts import Artifacts
from onwrist.export.handoff.golden import GOLDEN_REAL_S, golden_counts
from onwrist.export.handoff.names import WATCH_PAGE
from onwrist.firmware_sim.page.meaning import meanings
from onwrist.firmware_sim.page.packing import pack_bytes, pack_counts, runs_of
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.reference import reference_rate
from onwrist.firmware_sim.runtimes.native import BOOKS
from onwrist.firmware_sim.runtimes.wasm import build_wasm
from onwrist.firmware_sim.watch.golden import play_script
from onwrist.firmware_sim.watch.script import Script
from onwrist.firmware_sim.watch.sensor import Sensor
from onwrist.firmware_sim.watch.watch import Hop, Watch, WatchConfig, Why
from onwrist.pages.rendering import PLOT, render
from onwrist.resources import SHIPPED
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.recordings.names import NOT_TIME, OTHER_WORDS, PPG_NAMES, PPG_WORDS, TIME_WORDS, UNITS
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Recording

ROOM = Path(__file__).parent
STYLE, SCRIPTS = "style.css", ("sensor.js", "firmware.js", "drawing.js", "files.js", "watch.js")
# What the page calls the people that ship, in the order of its list; recordings/README.md has sources and licences.
PEOPLE = {
    "S34": "a wrist, clean signal",
    "S02": "a wrist, noisy signal",
    "neurokit_bio_resting_5min_100hz": "at rest, healthy",
    "bidmc_05": "intensive care, finger",
    "bidmc_13": "intensive care, finger",
    "bidmc_18": "intensive care, finger",
    "bidmc_19": "intensive care, finger",
    "t458s": "irregular rhythm",
    "t477l": "irregular rhythm",
    "v470s": "irregular rhythm",
    "v200s": "bad signal",
}
# Of each recording, from its start: enough to see, and the page is built in seconds.
STRETCH_S = 600.0
# Tenths of a beat per minute in 16 bits; 0 where there is no reference.
BPM_STEPS = 10
REASONS = {
    Why.WARMING: ("warming up", "the window reaches back before the last start"),
    Why.BRIDGED: ("gaps", "too much of the window was made up over gaps"),
    Why.CLIPPED: ("clipped", "too much of the window was at a rail of the converter"),
    Why.FLAT: ("flat", "nothing moves"),
    Why.POOR: ("poor", "the model itself calls the signal bad"),
}


@dataclass(frozen=True)
class Slider:
    """A fault that the page can turn on: something between skin and model, or the processor.

    Attributes:
        name, title, unit: of the setting. most, step: of its range, which begins at `least`. neutral: no fault.
        text: what happens.
    """

    name: str
    title: str
    unit: str
    most: float
    step: float
    text: str
    least: float = 0.0
    neutral: float = 0.0


@dataclass(frozen=True)
class Policy:
    """What the watch does over a short gap: `name` as the settings have it, in the order of ONWRIST_GAP_...; `title` for people."""

    name: str
    title: str


POLICIES = (Policy("interpolate", "a line"), Policy("hold", "the last count"), Policy("reset", "start anew"))
SLIDERS = (
    Slider("gap", "Gap", "s a minute", 30, 0.5, "No sample is sent for the last seconds of each minute."),
    Slider("loss", "Loss", "% of bursts", 30, 1, "FIFO read-outs that never arrive."),
    Slider("saturation", "Saturation", "s a minute", 30, 1, "The light climbs to the upper rail, half of each pulse is cut."),
    Slider("gain", "Gain", "x every 30 s", 1.9, 0.1, "The LED driver steps its current, there and back.", 1.0, 1.0),
    Slider("noise", "Noise", "x the pulse", 3, 0.1, "White noise on the light, of so many times the pulse's own spread."),
    Slider("drift", "Drift", "% of the rate", 5, 0.1, "The sample clock runs slow (or fast, below zero).", -5.0),
    Slider("stall", "Busy", "s a minute", 12, 0.5, "The processor is busy elsewhere, and the ring runs over."),
)  # fmt: skip


def fingerprint(chunk: np.ndarray, embedding: np.ndarray, answers: np.ndarray, why: int, sequence: int) -> int:
    """CRC-32 of everything that leaves the watch at a hop: front end's int8, embedding, answers, reasons, sequence number."""
    facts = np.array([why, sequence], "<u4").tobytes()
    return zlib.crc32(b"".join(np.asarray(a, np.int8).tobytes() for a in (chunk, embedding, answers)) + facts)


def play_recording(deployed: Deployed, sensor: Sensor) -> list[Hop]:
    """The simulated watch, TFLM inside, on an undisturbed sensor."""
    return list(Watch(deployed.model, deployed.tflm(), deployed.config).run(sensor))


def cut(recording: Recording, seconds: float) -> Recording:
    """The first seconds of a recording's PPG; other channels stay whole."""
    samples = recording.ppg.samples[: round(seconds * recording.ppg.rate_hz)]
    return replace(recording, ppg=replace(recording.ppg, samples=samples))


def shipped_people() -> list[Recording]:
    """Every recording that ships and is there, in the page's order."""
    paths = [SHIPPED / f"{name}.npz" for name in PEOPLE]
    return [read_recording(path) for path in paths if path.exists()]


def _student(deployed: Deployed) -> dict[str, Any]:
    firmware = deployed.firmware
    module = build_wasm(firmware)
    said = deployed.contract
    return {
        "name": deployed.artifacts.size, "digest": said["digest"], "answers": meanings(said["answers"]),
        "ring": firmware.constants["ONWRIST_RING"], "full": firmware.constants["ONWRIST_FULL"],
        "embedding": firmware.constants["ONWRIST_EMBEDDING"], "arena": firmware.arena.bytes, "size": len(module),
        "wasm": pack_bytes(module),
    }  # fmt: skip


def _stretch(recording: Recording, students: list[Deployed]) -> dict[str, Any]:
    stem = Path(recording.source).stem
    golden, times = {}, np.zeros(0)
    for deployed in students:
        sensor = Sensor(recording, deployed.config.sensor)
        hops = play_recording(deployed, sensor)
        marks = [fingerprint(h.chunk, h.embedding, h.answers, int(h.why), h.sequence) for h in hops]
        golden[deployed.artifacts.size] = pack_bytes(np.array(marks, "<u4").tobytes())
        times = np.array([h.time_s for h in hops])
    first = students[0].model
    reference = reference_rate(recording, times, first.answers, first.sees.window_s)
    tenths = np.nan_to_num(np.rint(reference.bpm * BPM_STEPS), nan=0.0).astype("<u2")
    return {
        "name": stem, "title": f"{stem.split('_bio_')[0]}: {PEOPLE.get(stem, 'your recording')}", "seconds": sensor.seconds,
        "counts": pack_counts(sensor.counts), "absent": runs_of(~sensor.present), "pulse": sensor.scene.pulse,
        "middle": float(np.median(sensor.counts)), "golden": golden, "reference": pack_bytes(tenths.tobytes()) if reference.name else "",
        "reference_name": reference.name,
    }  # fmt: skip


def _golden_stretch(students: list[Deployed]) -> dict[str, Any]:
    """The counts of the self-tests: half a minute of a wrist, rails at random, a constant."""
    sensor = students[0].config.sensor
    counts = golden_counts(sensor.rate_hz, sensor.bits)
    script = Script.of(counts, sensor.fifo)
    golden = {}
    for deployed in students:
        watch = Watch(deployed.model, deployed.tflm(), deployed.config)
        marks = [
            fingerprint(h.chunk, h.embedding, h.answers, int(h.why), h.sequence) for h in play_script(watch, script)
        ]
        golden[deployed.artifacts.size] = pack_bytes(np.array(marks, "<u4").tobytes())
    return {
        "name": "golden", "title": "the self-test's golden vectors", "seconds": len(counts) / sensor.rate_hz, "counts": pack_counts(counts),
        "absent": [], "pulse": float(np.std(counts[: GOLDEN_REAL_S * sensor.rate_hz])), "middle": float(np.median(counts)),
        "golden": golden, "reference": "", "reference_name": "",
    }  # fmt: skip


def watch_page(
    students: list[Artifacts],
    recordings: list[Recording],
    config: WatchConfig = WatchConfig(),
    progress: Progress = silent,
    *,
    seconds: float = STRETCH_S,
) -> bytes:
    """The page: one HTML file that asks for nothing outside itself.

    Args:
        students: side by side. recordings: what it can play, and after them the golden vectors. seconds: of each, from its start.

    Raises:
        ExportError: the compiler is missing. RecordingError, ConfigError: as the sensor.
    """
    recordings = [cut(r, seconds) for r in recordings]
    behind = [Deployed(artifacts, config) for artifacts in students]
    data = {
        "rate": config.sensor.rate_hz, "bits": config.sensor.bits, "burst": config.sensor.fifo, "hop_s": config.hop_s,
        "hop": behind[0].hop, "model_rate": behind[0].model.sees.rate_hz, "books": list(BOOKS),
        "reasons": [{"bit": int(bit), "title": title, "text": text} for bit, (title, text) in REASONS.items()],
        "students": [_student(deployed) for deployed in behind], "bpm_steps": BPM_STEPS,
        "stretches": [
            *(_stretch(r, behind) for r in progress(recordings, "page", total=len(recordings))), _golden_stretch(behind),
        ],
        "words": {"ppg_names": PPG_NAMES, "ppg": PPG_WORDS, "other": OTHER_WORDS, "time": TIME_WORDS, "not_time": NOT_TIME, "units": UNITS},
    }  # fmt: skip
    # A "<" inside data could end the script that holds it.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    script = "\n".join(path.read_text() for path in (PLOT, *(ROOM / name for name in SCRIPTS)))
    page = render(
        "watch.html.j2", ROOM, (ROOM / STYLE,), data=data, sliders=SLIDERS, policies=POLICIES, text=text, script=script
    )
    return page.encode()


def page_files(
    students: list[Artifacts], config: WatchConfig = WatchConfig(), progress: Progress = silent
) -> dict[str, bytes]:
    """For a bundle: {"watch.html": ...} with every recording that ships."""
    return {WATCH_PAGE: watch_page(students, shipped_people(), config, progress)}
