"""Check a handoff bundle.

python firmware_sim/verify.py build/handoff
python firmware_sim/verify.py handoff.zip
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from onwrist.errors import BundleError, OnwristError


@dataclass(frozen=True)
class VerifyConfig:
    """Check of a bundle."""

    bundle: Annotated[Path, tyro.conf.Positional] = Path("build/handoff")
    """Folder or zip that make deploy or export/bundle.py wrote."""


def main(config: VerifyConfig) -> int:
    """Check a handoff bundle: 0 valid, 3 degraded (something could not be run), 1 invalid."""
    from onwrist.firmware_sim.handoff.verify import INVALID, verify

    try:
        verdict = verify(config.bundle)
    except BundleError as error:
        print(f"REFUSED  {error}")
        return INVALID
    except OnwristError as error:
        print(f"FAIL     {error}")
        return INVALID
    print("\n".join(verdict.lines))
    print(verdict.word)
    return verdict.status


if __name__ == "__main__":
    from onwrist.command import run

    run(main, VerifyConfig)
