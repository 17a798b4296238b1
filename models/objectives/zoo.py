"""The nine pretraining systems by name, and the variants of xMAE that are not among them."""

from __future__ import annotations

from dataclasses import dataclass

from onwrist.errors import ConfigError
from onwrist.models.objectives.apple import Apple
from onwrist.models.objectives.apple_m import AppleM
from onwrist.models.objectives.base import Objective
from onwrist.models.objectives.cross_modal import CrossModal, PublishedCrossModal, RhythmCrossModal
from onwrist.models.objectives.dino import DINO
from onwrist.models.objectives.lsm import LSM
from onwrist.models.objectives.mae import MAE1D
from onwrist.models.objectives.msn import MSN
from onwrist.models.objectives.papagei import PaPaGeiP
from onwrist.models.objectives.simclr import SimCLR


@dataclass(frozen=True)
class System:
    """One pretraining system.

    Attributes:
        title: its name in the published table.
        build: the objective; called, it makes its networks.
        listed: whether it is one of the nine.
    """

    title: str
    build: type[Objective]
    listed: bool = True


SYSTEMS = {
    "xmae": System("xMAE", CrossModal),
    "mae": System("MAE-1D", MAE1D),
    "msn": System("MSN", MSN),
    "papagei": System("PaPaGei-P", PaPaGeiP),
    "apple": System("Apple", Apple),
    "dino": System("DINO", DINO),
    "lsm": System("LSM", LSM),
    "simclr": System("SimCLR", SimCLR),
    "apple-m": System("Apple-M", AppleM),
    "xmae-rhythm": System("xMAE + R-peaks", RhythmCrossModal, listed=False),
    "xmae-published": System("xMAE, published settings", PublishedCrossModal, listed=False),
}
NINE = tuple(name for name, system in SYSTEMS.items() if system.listed)


def build(name: str) -> Objective:
    """A fresh objective by name.

    Raises:
        ConfigError: no such system.
    """
    if name not in SYSTEMS:
        raise ConfigError(f"no system {name!r}", field="method", cure=f"Use one of {', '.join(SYSTEMS)}")
    return SYSTEMS[name].build()
