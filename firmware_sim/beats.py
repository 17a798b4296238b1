"""The watch's beats against the ECG's, beside MSPTDfast, NeuroKit2 and find_peaks on the same people.

    onwrist beats                                # the shipped recordings
    onwrist beats a.npz b.edf                    # your own, with an ECG
    onwrist beats --study                        # everybody of $ONWRIST_DATA on whom nothing was chosen
    onwrist beats --choose                       # the numbers that are chosen on training people
    onwrist beats --cost                         # instructions, flash and RAM on emulated cores

NeuroKit2 takes part where it is installed (`pip install neurokit2`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from onwrist.ranges import Checked
from onwrist.settings import Bits, Data, SensorHz

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BeatsConfig(Checked):
    """Beats of the watch against an ECG."""

    recordings: Positional[tuple[Path, ...]] = ()
    """Recordings with an ECG, or names of shipped ones (default: all that ship and have one)."""
    study: Annotated[bool, arg(help="The larger sets: people on whom nothing was chosen.")] = False
    choose: Annotated[bool, arg(help="Print the numbers that are chosen on training people, and judge nothing.")] = (
        False
    )
    cost: Annotated[bool, arg(help="What beats cost on emulated cores, and judge nothing.")] = False
    sensor_hz: SensorHz = 64
    bits: Bits = 16
    out: Path = Path("runs/beats.json")
    """Where the figures are written."""
    data: Data = None


def main(config: BeatsConfig) -> None:
    """Judge the beats of the watch by the ECG: found, timing, intervals, variability, by rhythm and activity."""
    from onwrist.command import bar, results
    from onwrist.errors import ConfigError
    from onwrist.firmware_sim.parity.beats import judge
    from onwrist.firmware_sim.parity.beats_cost import beats_cost
    from onwrist.firmware_sim.parity.beats_cost import table_of as table_of_costs
    from onwrist.firmware_sim.parity.beats_people import activity_of, choosing_files, chosen, study_files
    from onwrist.firmware_sim.parity.beats_table import plain, table_of
    from onwrist.quantize.integers.training import load_integers
    from onwrist.resources import SHIPPED
    from onwrist.resources import recording as shipped_or_own
    from onwrist.signals.recordings.readers import read_recording

    if config.choose:
        print(chosen(_some(choosing_files(config.data)), bar))
        return
    if config.cost:
        print(table_of_costs(beats_cost(load_integers("band"), 25, _stretch(config), config.sensor_hz, config.bits)))
        return
    if config.study:
        files = _some(study_files(config.data))
    else:
        files = [(shipped_or_own(p), "") for p in config.recordings]
        files = files or [(p, activity_of(p)) for p in sorted(SHIPPED.glob("*.npz"))]
    judged = [judge(read_recording(f), activity, config.sensor_hz, config.bits) for f, activity in bar(files, "beats")]
    judged = [j for j in judged if j.scores]
    if not judged:
        raise ConfigError(
            "no recording has an ECG that two of three detectors read alike",
            field="recordings",
            cure="Give a PPG with an ECG of half a minute or more",
        )
    found = plain(judged)
    results(found, config.out, table_of(found))


def _stretch(config: BeatsConfig) -> np.ndarray:
    """Forty seconds of a patient, in counts."""
    from onwrist.resources import SHIPPED
    from onwrist.signals.front_end.counts import convert, count_wave
    from onwrist.signals.recordings.readers import read_recording

    wave, _ = count_wave(read_recording(SHIPPED / "bidmc_05.npz"), config.sensor_hz, config.bits)
    return convert(wave[: 40 * config.sensor_hz], config.bits)


def _some(files: list) -> list:
    from onwrist.errors import ConfigError

    if not files:
        raise ConfigError("the larger sets are not there", field="data", cure="Set ONWRIST_DATA to their folder")
    return files


if __name__ == "__main__":
    from onwrist.command import run

    run(main, BeatsConfig)
