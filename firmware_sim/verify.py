"""Check a handoff bundle.

python firmware_sim/verify.py build/handoff
python firmware_sim/verify.py handoff.zip --public-key minisign.pub
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from onwrist.ranges import Checked


@dataclass(frozen=True)
class VerifyConfig(Checked):
    """Check of a bundle."""

    bundle: Annotated[Path, tyro.conf.Positional] = Path("build/handoff")
    """Folder or zip that make deploy or firmware_sim/bundle.py wrote."""
    public_key: Path | None = None
    """Minisign public key that has to have signed it."""


def main(config: VerifyConfig) -> int:
    """Check a handoff bundle: 0 valid, 3 degraded (not judged, or something could not be run), 1 invalid."""
    from onwrist.errors import BundleError
    from onwrist.export.handoff.names import INVALID
    from onwrist.firmware_sim.handoff.verify import STATUS, refusal, verify

    try:
        verdict = verify(config.bundle, config.public_key)
    except BundleError as error:
        print(f"{refusal(error)}\n{INVALID}")
        return STATUS[INVALID]
    print("\n".join(verdict.lines))
    print(verdict.word)
    return verdict.status


if __name__ == "__main__":
    from onwrist.command import run

    run(main, VerifyConfig)
