"""The watch in a page: the exported C in a browser, playing recordings, in one HTML file.

python firmware_sim/demo.py
python firmware_sim/demo.py my_e4_folder --out build/mine.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from tyro.conf import Positional, arg

from onwrist.ranges import Checked
from onwrist.settings import HopS, Teacher


@dataclass(frozen=True)
class DemoConfig(Checked):
    """A page with a watch in it."""

    recordings: Annotated[
        tuple[Path, ...],
        Positional,
        arg(help="Recordings to play (default: all that ship).", help_behavior_hint="", metavar="[PATH ...]"),
    ] = ()
    out: Path = Path("build/watch.html")
    """The page."""
    minutes: Annotated[float, Interval(ge=0.5, le=1_440)] = 10.0
    """Most of each recording, from its start."""
    picture: Path | None = None
    """Also take a picture of it, with the system's Chromium."""
    hop_s: HopS = 1.0
    teacher: Teacher = None


def main(config: DemoConfig) -> int:
    """Compile the exported C for the browser and write a page that plays recordings on it, with no server and no network."""

    from onwrist.command import bar, say
    from onwrist.export.handoff.artifacts import SIZES, load_artifacts
    from onwrist.firmware_sim.page.builder import shipped_people, watch_page
    from onwrist.firmware_sim.watch.watch import WatchConfig
    from onwrist.resources import recording as shipped_or_own
    from onwrist.signals.recordings.readers import read_recording
    from onwrist.writing import write_whole

    recordings = [read_recording(shipped_or_own(p)) for p in config.recordings] or shipped_people()
    students = [load_artifacts(size, teacher=config.teacher) for size in SIZES]
    page = watch_page(students, recordings, WatchConfig(config.hop_s), bar, seconds=60 * config.minutes)
    write_whole(config.out, page)
    say(f"page: {config.out} ({len(page) / 1e6:.2f} MB)")
    if config.picture:
        from onwrist.firmware_sim.page.picture import take_picture

        write_whole(config.picture, take_picture(config.out))
        say(f"picture: {config.picture}")
    return 0


if __name__ == "__main__":
    from onwrist.command import run

    run(main, DemoConfig)
