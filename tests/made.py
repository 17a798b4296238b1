"""Made-up recordings in the layouts that devices and programs write: 72 beats a minute at 64 Hz for a minute, unless said."""

from pathlib import Path

import numpy as np

from onwrist.export.handoff.reference import Reference
from onwrist.export.sources.telemetry_rules import telemetry_rules
from onwrist.models.student.outputs import ANSWERS
from onwrist.signals.front_end.fixed import design
from onwrist.signals.pulse.clean import clean_ppg, fill_gaps
from onwrist.signals.recordings.recording import Recording

RATE, SECONDS, BPM = 64.0, 60, 72.0
T = np.arange(int(RATE * SECONDS)) / RATE


def pulse(t, bpm: float = BPM, dc: float = 0.0, ac: float = 1.0) -> np.ndarray:
    """A pulse with a steep rise and a slow fall."""
    phase = 2 * np.pi * bpm / 60 * np.asarray(t, np.float64)
    return dc + ac * (np.sin(phase) + 0.4 * np.sin(2 * phase + 0.7) + 0.15 * np.sin(3 * phase + 1.1))


COUNTS = [f"{v:.4f}" for v in pulse(T, dc=1000, ac=50)]
TIMES = [f"{v:.6f}" for v in T]


def table(head: str, *columns, separator: str = ",") -> str:
    """A header and rows."""
    rows = (separator.join(map(str, row)) for row in zip(*columns, strict=True))
    return (head + "\n" if head else "") + "\n".join(rows) + "\n"


PLAIN = table("time,ppg", TIMES, COUNTS)


def put(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def heart_rate(recording: Recording) -> float:
    """The strongest line of the spectrum between 36 and 240 a minute."""
    ppg = recording.ppg
    x = clean_ppg(fill_gaps(ppg.samples), ppg.rate_hz)
    f = np.fft.rfftfreq(8 * len(x), 1 / ppg.rate_hz)
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)), 8 * len(x)))
    band = (f > 0.6) & (f < 4)
    return float(60 * f[band][power[band].argmax()])


def assert_good(recording: Recording, rate=RATE, seconds=SECONDS, missing=0.0, bpm=BPM) -> Recording:
    """Right rate, length, share of missing samples, and heart rate."""
    assert recording.ppg.rate_hz == rate or abs(recording.ppg.rate_hz / rate - 1) < 1e-4
    assert abs(recording.seconds - seconds) < 0.5
    assert abs(recording.missing - missing) < 0.01
    assert abs(heart_rate(recording) - bpm) < 0.5
    assert recording.ppg.samples.dtype == np.float32
    return recording


def reference(model, hop: int = 25, rate: float = 64, bits: int = 19) -> Reference:
    """Of two people who were never there: what is compiled with it is as good as with the real one."""
    edges = [[k * (i + 1) * 100 for k in range(-3, 3)] for i in range(3)]
    rules = telemetry_rules(model.digest(), hop, design(rate, bits), ANSWERS, (63, 214, 39), edges)
    return Reference(rules, np.arange(160).reshape(2, 80), "nobody")
