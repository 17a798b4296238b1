"""Typed errors of every floor: each says which file, which field, and what to do."""

from __future__ import annotations

from pathlib import Path


class OnwristError(Exception):
    """Base of all errors a user can cause and mend.

    Args:
        what: what is wrong, in one clause.
        where: the file (or other source) it was found in.
        field: the field, column or channel it was found in.
        cure: what the user can do about it.
    """

    def __init__(self, what: str, *, where: str | Path | None = None, field: str | None = None, cure: str = ""):
        self.what, self.where, self.field, self.cure = what, where, field, cure
        place = ": ".join(str(p) for p in (where, field) if p is not None)
        text = f"{place}: {what}" if place else what
        super().__init__(f"{text}. {cure}" if cure else text)


class RecordingError(OnwristError):
    """A recording cannot be read, or holds what cannot be used."""


class SplitError(OnwristError):
    """A split puts one person on both sides, or leaves a side empty."""


class CheckpointError(OnwristError):
    """Weights do not fit the network that they are loaded into."""


class ExportError(OnwristError):
    """A model holds something that the target format cannot say exactly."""


class ConfigError(OnwristError):
    """A setting is out of range, or two settings contradict each other."""


class BundleError(OnwristError):
    """A handoff bundle is not what its manifest says, and nothing of it was run."""
