"""First stage of a streamed recording: through sensor, faults, ring and front end into TFLM's stream, hop by hop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.gates import Played
from onwrist.firmware_sim.parity.hops import Hops, gather
from onwrist.firmware_sim.parity.reasons import REASONS, reason
from onwrist.firmware_sim.watch.faults import Faults
from onwrist.firmware_sim.watch.script import Script, write_script
from onwrist.firmware_sim.watch.sensor import Sensor
from onwrist.firmware_sim.watch.watch import Watch
from onwrist.firmware_sim.watch.windows import Windows
from onwrist.signals.people.cohort import Progress, silent
from onwrist.signals.recordings.recording import Recording

# Fewer outputs than this say nothing about parity.
MIN_HOPS = 3


@dataclass(frozen=True)
class Run:
    """What the watch did with one recording.

    Attributes:
        recording: what was played, pulses up. faults: what went wrong.
        sensor, watch: as they stood at the end. script: what happened to the ring, where it was logged.
        hops: every output, with what went into the model and the float front end's.
    """

    recording: Recording
    faults: Faults
    sensor: Sensor
    watch: Watch
    script: Script
    hops: Hops

    @property
    def beats(self) -> np.ndarray:
        """`hops.BEAT` of all outputs, in order; times are of the watch's last start, and begin anew with each."""
        return self.hops.beats

    @property
    def name(self) -> str:
        """Of the recording's file."""
        return Path(self.recording.source).name

    @property
    def time_s(self) -> np.ndarray:
        """(n,) seconds since power-up."""
        return self.hops.time_s

    @property
    def latency_s(self) -> np.ndarray:
        """(n,) seconds of the model on this host."""
        return self.hops.latency_s

    @property
    def why(self) -> np.ndarray:
        """(n,) reasons not to show an output, as bits."""
        return self.hops.why

    @property
    def valid(self) -> np.ndarray:
        """(n,) whether the window is real signal."""
        return self.hops.valid

    @property
    def shown(self) -> np.ndarray:
        """(n,) valid, and good in the model's own eyes."""
        return self.hops.shown

    @property
    def embedding(self) -> np.ndarray:
        """int8 (n, width)."""
        return self.hops.embedding

    @property
    def answers(self) -> np.ndarray:
        """int8 (n, answers)."""
        return self.hops.answers

    @property
    def frames(self) -> np.ndarray:
        """int8 (n, frames of a hop, answers), oldest first; no frames of a student that answers once a hop."""
        return self.hops.frames

    @property
    def outputs(self) -> tuple[np.ndarray, np.ndarray]:
        """int8 embedding (n, width), and (n, C) all that is said beside it: answers, and those of frames, one behind the other."""
        return self.embedding, np.concatenate([self.answers, self.frames.reshape(len(self.hops), -1)], axis=1)

    @cached_property
    def played(self) -> Played:
        """What went into the model, for whoever has to compute the same."""
        h = self.hops
        windows = Windows(h.chunks, h.first, self.watch.model.window)
        acceleration = h.acceleration if self.watch.motion else None
        return Played(h.chunks, h.first, windows, h.fed_counts, h.frames.shape[1], acceleration)

    @cached_property
    def real(self) -> Windows:
        """float32 windows: what the float front end made of the same counts."""
        return Windows(self.hops.real, self.hops.first, self.watch.model.window)

    @property
    def real_beside(self) -> list[Windows]:
        """float32 windows of acceleration, of a student that takes it: the int8 in its units, for it has an absolute scale."""
        if self.played.acceleration is None:
            return []
        scale = self.watch.model.inputs[1].scale
        return [Windows(self.played.acceleration * scale, self.played.first, self.watch.model.window)]


def run_watch_on(
    recording: Recording,
    deployed: Deployed,
    faults: Faults = Faults(),
    progress: Progress = silent,
    *,
    logged: bool = False,
) -> Run:
    """Play a recording through the watch with TFLM's stream in the loop.

    Args:
        logged: write the script too, so that another watch can be put through the same.

    Raises:
        RecordingError: no output to speak of; it names the reason that most outputs have.
    """
    config = deployed.config
    sensor = Sensor(recording, config.sensor, faults)
    watch = Watch(deployed.model, deployed.tflm(), config, witness=True, beats=True)
    script = write_script(watch) if logged else Script()
    total = int(sensor.seconds / config.hop_s)
    hops = gather(progress(watch.run(sensor), f"stream {deployed.artifacts.size}", total=total))
    if np.count_nonzero(hops.valid) < MIN_HOPS:
        raise too_few(recording, hops, deployed.model.window / deployed.model.sees.rate_hz, config.hop_s)
    return Run(recording, faults, sensor, watch, script, hops)


def too_few(recording: Recording, hops: Hops, window_s: float, hop_s: float) -> RecordingError:
    """The error of a recording that gives hardly an output: by what most of its outputs lack, after the warm-up."""
    valid = int(np.count_nonzero(hops.valid))
    needed = window_s + MIN_HOPS * hop_s
    what = f"{recording.seconds:.0f} s give {valid} valid output{'' if valid == 1 else 's'}"
    where = {"where": recording.source, "field": recording.ppg.name}
    early = round(window_s / hop_s) - 1
    late = [reason(int(why), False) for why in hops.why[early:][~hops.valid[early:]]]
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
