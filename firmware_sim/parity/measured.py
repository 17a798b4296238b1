"""What a board said of itself: lines of JSON that `selftest_board.c` prints, in a log of whatever else came over the wire."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from onwrist.errors import ConfigError
from onwrist.firmware_sim.parity.cycles import Cycles
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.parts import PARTS, Cost

SCHEMA = "onwrist.board/1"
# Of a log: some hours of a talkative board.
MOST_BYTES = 16 << 20
Count = Annotated[int, Field(ge=0, lt=1 << 32, strict=True)]
Word = Annotated[str, Field(max_length=120, pattern=r"^[^\x00-\x1f|]*$")]


class Span(BaseModel):
    """Cycles over the hops of the golden vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    least: Count
    most: Count
    mean: Count

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if not 0 < self.least <= self.mean <= self.most:
            raise ValueError("is not 0 < least <= mean <= most")
        return self


class Row(BaseModel):
    """A line: which part, at which clock, which student (digest: of its integers), and what a hop took there."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_: Literal["onwrist.board/1"] = Field(alias="schema")
    part: Word
    mhz: Annotated[float, Field(ge=0, le=5000)]
    student: Word
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    sensor_hz: Annotated[float, Field(gt=0, le=1000)]
    hop: Annotated[int, Field(ge=1, le=10_000, strict=True)]
    hops: Count
    wrong: Count
    counter: Word | None
    cycles: Span | None
    compiler: Word

    @model_validator(mode="after")
    def _counted(self) -> Row:
        if (self.counter is None) != (self.cycles is None):
            raise ValueError("has cycles without a counter, or a counter without cycles")
        if self.cycles is not None and not self.mhz:
            raise ValueError("has cycles and no clock: build the self-test with -DONWRIST_BOARD_MHZ")
        return self


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; lines that are no JSON of a board are a log's own and are passed over.

    Raises:
        ConfigError: no such file, no row in it, or a row that is broken or says something impossible; it names the line.
    """
    try:
        data = path.read_bytes()[: MOST_BYTES + 1]
    except OSError as error:
        cure = "Give the file that holds the line of the self-test"
        raise ConfigError(f"cannot be read ({error.strerror})", where=path, cure=cure) from None
    if len(data) > MOST_BYTES:
        raise ConfigError(
            f"is larger than {MOST_BYTES >> 20} MB", where=path, cure="Keep the lines of the self-test alone"
        )
    rows = []
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        begin = re.search(r'\{\s*"schema"\s*:\s*"onwrist\.', line)
        if begin:
            rows.append(_row(line[begin.start() :], path, f"line {number}"))
    if not rows:
        cure = "Run onwrist_selftest_board() on the board (FIRMWARE.md) and keep the line it prints"
        raise ConfigError(f"has no line of {SCHEMA}", where=path, cure=cure)
    return rows


def _row(text: str, path: Path, field: str) -> Row:
    cure = "Give the line as the board printed it"
    try:
        return Row.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise ConfigError(f"is cut off or no JSON ({error.msg})", where=path, field=field, cure=cure) from None
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        said = re.sub(r"^Value error, ", "", first["msg"])
        raise ConfigError(said, where=path, field=f"{field}, {at}" if at else field, cure=cure) from None
    except RecursionError:
        raise ConfigError("is nested too deep", where=path, field=field, cure=cure) from None


def with_measured(costs: list[Cost], rows: list[Row], students: list[Deployed], path: Path | None) -> list[Cost]:
    """Estimates, replaced by what was measured on the same part; a part that is not known is added.

    Where a board has no counter its estimate stays, and a row beside it says that it ran.

    Raises:
        ConfigError: a row is of no such student, of another hop or sensor, or its bytes were wrong.
    """
    found = list(costs)
    for row in rows:
        student = next((s for s in students if s.model.digest().startswith(row.digest)), None)
        if student is None:
            known = ", ".join(f"{s.model.digest()[: len(row.digest)]} ({s.artifacts.size})" for s in students)
            raise ConfigError(
                f"is of other integers ({row.digest})", where=path, field="digest",
                cure=f"Measure one of {known}, or use the release whose bundle was flashed",
            )  # fmt: skip
        config = student.config
        if row.hop != student.hop or row.sensor_hz != config.sensor.rate_hz:
            raise ConfigError(
                f"is of a hop of {row.hop} samples behind {row.sensor_hz:g} Hz, where {student.hop} behind "
                f"{config.sensor.rate_hz:g} Hz are asked for",
                where=path, field="hop", cure="Give --hop-s and --sensor-hz of that firmware",
            )  # fmt: skip
        if row.wrong or not row.hops:
            raise ConfigError(
                f"differs in {row.wrong} bytes over {row.hops} hops", where=path, field="wrong",
                cure="Mend the board first (FIRMWARE.md, self-test): its times are of something else",
            )  # fmt: skip
        found = _replaced(found, _measured(row, student))
    return found


def _measured(row: Row, student: Deployed) -> Cost:
    cycles = None if row.cycles is None else Cycles(row.cycles.least, row.cycles.most)
    source = f"measured, {row.counter}" if cycles else "ran right there, no cycle counter"
    part = next((p for p in PARTS if p.name.lower() == row.part.lower() and p.mhz == row.mhz), None)
    return Cost(
        part.name if part else row.part, student.artifacts.size, student.config.hop_s, True, None, cycles, row.mhz,
        part.watts if part else None, f"{source}, {row.hops} hops, {row.compiler}", part.power_source if part else "", measured=True,
    )  # fmt: skip


def _replaced(costs: list[Cost], new: Cost) -> list[Cost]:
    same = [
        i for i, c in enumerate(costs) if (c.part.lower(), c.size) == (new.part.lower(), new.size) and c.mhz == new.mhz
    ]
    if not same:
        return [*costs, new]
    at = same[-1]
    kept = [] if new.cycles else [costs[at]]
    return [*costs[:at], *kept, new, *costs[at + 1 :]]
