"""What a user asks of a reader, and the refusal of what a kind of file cannot obey."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onwrist.errors import RecordingError

# A rate that is asked for and one that a file tells are the same within this: nominal and true rates differ by less.
SAME_RATE = 0.01


@dataclass(frozen=True)
class Asked:
    """The options of `read_recording`, each None where the user left it out.

    Attributes:
        rate_hz: samples per second.
        channel: name of the PPG channel.
        subject: the person.
        segment: the piece, where a file holds several.
        name: the path as the user gave it, for messages.
        stem: what a person is called where the file does not say.
        spill: put the columns of a long table on disk (`Spilled`).
    """

    rate_hz: float | None
    channel: str | None
    subject: str | None
    segment: str | None
    name: str
    stem: str
    spill: bool = False

    def rate(self, told: float | None, field: str = "rate_hz") -> float:
        """The rate of a file that tells one, or the one that was asked for.

        Raises:
            RecordingError: there is none, or the two differ by more than 1 %.
        """
        if told is None:
            if self.rate_hz is None:
                raise RecordingError("no sampling rate", where=self.name, field=field, cure="Give rate_hz (--rate-hz)")
            return self.rate_hz
        if not (math.isfinite(told) and told > 0):
            raise RecordingError(f"the rate is {told:g} Hz", where=self.name, field=field, cure="Mend the file")
        if self.rate_hz is not None and abs(self.rate_hz / told - 1.0) > SAME_RATE:
            raise RecordingError(
                f"rate_hz is {self.rate_hz:g}, the file says {told:.6g} Hz", where=self.name, field=field,
                cure="Leave rate_hz (--rate-hz) out, or mend the file",
            )  # fmt: skip
        return told

    def one_of(self, what: str, found: Sequence[str], asked: str | None, option: str) -> str:
        """The only person or segment of a file, or the one that was asked for.

        Raises:
            RecordingError: several and none was asked for, or not the one that was.
        """
        shown = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
        if asked is not None and asked in found:
            return asked
        if len(found) == 1 and (asked is None or option == "subject"):
            return found[0]
        if asked is None:
            raise RecordingError(
                f"holds {len(found)} {what}",
                where=self.name,
                field=option,
                cure=f"Name one with {option} (--{option}): {shown}",
            )
        raise RecordingError(
            f"no {option} '{asked}'", where=self.name, field=option, cure=f"Choose one of: {shown or '(none)'}"
        )

    def no_segments(self) -> None:
        """Refuse `segment` for a file that is one piece.

        Raises:
            RecordingError: a segment was asked for.
        """
        if self.segment is not None:
            raise RecordingError(
                f"is one piece, without a segment '{self.segment}'",
                where=self.name,
                field="segment",
                cure="Leave segment out",
            )

    def only_channel(self, *names: str) -> None:
        """Refuse any `channel` but the file's only one.

        Raises:
            RecordingError: another channel was asked for.
        """
        if self.channel is not None and self.channel.strip().lower() not in [n.lower() for n in names]:
            raise RecordingError(
                f"no channel '{self.channel}'",
                where=self.name,
                field="channel",
                cure=f"Its PPG is {names[0]}: leave channel out",
            )
