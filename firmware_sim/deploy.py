"""From a spec to a handoff bundle that verifies, and a parity report: what `make deploy` runs.

python firmware_sim/deploy.py                       # the shipped students, an hour on a wrist
python firmware_sim/deploy.py my.toml               # your encoder, your people, your sensor (docs/spec.md)
python firmware_sim/deploy.py --recording bidmc_05
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from onwrist.ranges import Checked


@dataclass(frozen=True)
class DeployConfig(Checked):
    """The whole road, once."""

    spec: Annotated[Path | None, tyro.conf.Positional] = None
    """A deployment's TOML file, see docs/spec.md; left out: the shipped deployment."""
    recording: Path | None = None
    """Played instead of the spec's recording: a file, a folder, or the name of one that ships."""
    out: Path | None = None
    """The handoff folder (default: build/handoff, or with a spec build/NAME/handoff)."""
    hub: bool = True
    """Also export the encoder itself; only where the teacher is the shipped one."""
    firmware: bool = True
    """Also run the exported C, natively and on emulated Cortex-M4F, M33 and M7."""
    store: bool = False
    """Keep the encoder's figures beside the weights, for machines without the converter."""


def main(config: DeployConfig) -> int:
    """Take the whole road: make the student if the spec asks for one, export, stream, judge, write a bundle, verify it."""
    from onwrist.command import GATE_FAILED, bar, say
    from onwrist.firmware_sim.handoff.deploy import hand_over, summary
    from onwrist.firmware_sim.handoff.road import SPEC_FILE, training_stages, travel
    from onwrist.spec import Spec, read_spec
    from onwrist.writing import write_whole

    spec = read_spec(config.spec) if config.spec else Spec()
    folder = Path("build") / spec.name if config.spec else Path("build")
    if config.recording:
        spec = spec.model_copy(update={"stream": spec.stream.model_copy(update={"recording": str(config.recording)})})
    stages = training_stages(spec, folder, bar, say)
    if stages:
        write_whole(folder / SPEC_FILE, spec.resolved().encode())
        travel(stages, folder, say)
    done = hand_over(
        spec, folder, config.out or folder / "handoff", hub=config.hub, firmware=config.firmware, store=config.store,
        progress=bar,
    )  # fmt: skip
    print(summary(done))
    say(f"bundle: {done.folder} and {done.packed}\nopen: {done.folder / done.page}")
    return 0 if done.passed else GATE_FAILED


if __name__ == "__main__":
    from onwrist.command import run

    run(main, DeployConfig)
