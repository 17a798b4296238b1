"""What the model saw before it was handed over, as the counters that a watch keeps: a row a person."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from onwrist.errors import BundleError
from onwrist.export.sources.telemetry_rules import (
    COUNTERS,
    DIRECTION,
    MOST,
    MOST_WIDTH,
    TelemetryRules,
    telemetry_rules,
)
from onwrist.signals.front_end.fixed import FixedDesign

SCHEMA_VERSION = 1
# The recordings that every installation has, so that anybody can make the same reference again.
SHIPPED = "the recordings that ship with onwrist"
# A fleet has millions of devices; what it is held against stays a small file.
MOST_PEOPLE = 2000


@dataclass(frozen=True)
class Reference:
    """Counters of people.

    Attributes:
        rules: what is counted. people: int64 (n, 80), a row a person; people have no names here.
        source: whose recordings.
    """

    rules: TelemetryRules
    people: np.ndarray
    source: str

    def file(self) -> bytes:
        """`telemetry.json`."""
        rules = self.rules
        found = {
            "schema": SCHEMA_VERSION, "student": rules.digest, "counters": rules.identity.hex(), "source": self.source,
            "fields": {name: [at.start, at.stop] for name, at in rules.fields.items()},
            "patterns": list(rules.patterns), "edges": [list(row) for row in rules.edges], "people": self.people.tolist(),
        }  # fmt: skip
        return (json.dumps(found) + "\n").encode()


def reference_of(found: object, digest: str, hop: int, fixed: FixedDesign, answers: list[str]) -> Reference:
    """A reference from the plain values of `Reference.file`, every one of them checked.

    Raises:
        BundleError: it is none, or of another student.
    """
    if not isinstance(found, dict) or found.get("schema") != SCHEMA_VERSION:
        raise BundleError(f"has no schema {SCHEMA_VERSION}", cure="Make the bundle with this release")
    if found.get("student") != digest:
        raise BundleError("is of another student than the manifest says", field="student")
    patterns, edges, people = found.get("patterns"), found.get("edges"), found.get("people")
    if not _integers(patterns, MOST_WIDTH) or not isinstance(edges, list) or len(edges) != len(patterns):  # type: ignore[arg-type]
        raise BundleError("has patterns or edges that are none", field="patterns")
    if not all(_integers(row, 1 << 20) and len(row) == DIRECTION - 1 and row == sorted(row) for row in edges):
        raise BundleError("has edges that do not rise", field="edges")
    if not isinstance(people, list) or not 0 < len(people) <= MOST_PEOPLE:
        raise BundleError("has no people", field="people")
    if not all(_integers(row, MOST + 1, 0) and len(row) == COUNTERS for row in people):
        raise BundleError(f"has people without {COUNTERS} counters", field="people")
    source = found.get("source")
    if not isinstance(source, str) or not source.isprintable() or len(source) > 200:
        raise BundleError("does not say whose recordings", field="source")
    rules = telemetry_rules(digest, hop, fixed, answers, patterns, edges)  # type: ignore[arg-type]
    made = Reference(rules, np.array(people, np.int64), source)
    if json.loads(made.file()) != found:
        raise BundleError("says more or other than follows from its edges", field="counters")
    return made


def _integers(values: object, most: int, least: int | None = None) -> bool:
    low = -most if least is None else least
    return isinstance(values, list) and all(type(v) is int and low <= v < most for v in values)
