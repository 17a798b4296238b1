"""What a study adds up to: per recording, person and subgroup, with intervals over people, and its worst stretches.

DuckDB reads the hops, so that memory does not grow with them; what remains is one row per recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onwrist.errors import ConfigError
from onwrist.firmware_sim.study.store import Store, is_local, reach
from onwrist.firmware_sim.study.table import FAILURES, HOPS, RECORDINGS
from onwrist.models.bench import subsets

# Of fewer people there is no interval.
LEAST_PEOPLE = subsets.FEWEST
# A column with more values than this names people, not groups of them.
MOST_GROUPS = 24
STRETCH_S, WORST = 60, 20
# Rated answers that a stretch needs, or one wrong hop would be the worst of all.
LEAST_RATED = 10
COSINE_WORST = 0.99

# Measure -> (numerator, denominator, unit, what it is). All are sums over hops, by person.
MEASURES: dict[str, tuple[str, str, str, str]] = {
    "shown": ("shown", "hops", "share", "outputs shown"),
    "flagged": ("flagged", "shown", "share", "of what is shown, called irregular"),
    "mae": ("error", "rated", "BPM", "heart rate shown against the reference, mean absolute"),
    "bias": ("signed", "rated", "BPM", "heart rate shown minus the reference"),
    "sensitivity": ("hit", "irregular", "share", "of irregular shown hops, flagged"),
    "specificity": ("quiet", "regular", "share", "of regular shown hops, not flagged"),
    "difference": ("cost", "paired", "BPM", "INT8 minus float: mean absolute error, same hops"),
    "turned": ("turned", "compared", "share", f"valid hops whose cosine to float is below {COSINE_WORST}"),
    "apart": ("apart", "compared", "BPM", "INT8 from float, heart rate, mean absolute"),
}


@dataclass(frozen=True)
class Measured:
    """One measure of one group: value with its 95 % interval (NaN for too few people), and what it rests on."""

    column: str
    group: str
    measure: str
    value: float
    low: float
    high: float
    people: int
    count: int


@dataclass
class Figures:
    """All figures of a study.

    Attributes:
        recordings, people: rows with sums and measures. groups: per subgroup; `column` is '' for everybody.
        stretches: the worst, worst first. failures: rows. reasons: reason -> share of hops.
        pictured: per stretch the hops around it. waves: per stretch its raw light, of `raw_waves`; may be left empty.
    """

    recordings: list[dict[str, Any]]
    people: list[dict[str, Any]]
    groups: list[Measured]
    stretches: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    reasons: dict[str, float]
    pictured: list[dict[str, np.ndarray]] = field(default_factory=list)
    waves: list[np.ndarray] = field(default_factory=list)


class Rows:
    """The tables of a study, open in DuckDB.

    Args:
        store: a study that is complete. people: URL of a table with a row per person or recording (CSV or Parquet), or None.

    Raises:
        ConfigError: the people's table has neither a `person` nor a `recording` column, or cannot be read.
    """

    def __init__(self, store: Store, people: str | None = None):
        import duckdb

        self.store = store
        self.base = duckdb.connect()
        # Sums in one order: the same digits on every machine.
        self.base.execute("SET threads = 1")
        self._table("hops", store, f"{HOPS}/*.parquet")
        self._table("recordings", store, RECORDINGS)
        self._table("failures", store, FAILURES)
        self.columns: list[str] = []
        self.key = "person"
        if people:
            self._people(people)

    def _table(self, name: str, store: Store, pattern: str) -> None:
        self._open(name, store.fs, store.path(pattern))

    def _open(self, name: str, fs, path: str) -> None:
        reader = "read_csv_auto" if path.lower().endswith((".csv", ".tsv")) else "read_parquet"
        if not is_local(fs):
            self.base.register_filesystem(fs)
            path = fs.unstrip_protocol(path)
        quoted = path.replace("'", "''")
        self.base.execute(f"CREATE VIEW {name} AS SELECT * FROM {reader}('{quoted}')")

    def _people(self, url: str) -> None:
        import duckdb

        fs, path = reach(url)
        try:
            self._open("people", fs, path)
            names = [d[0] for d in self.base.execute("SELECT * FROM people LIMIT 0").description]
        except duckdb.Error as error:
            cure = "Give a CSV or Parquet file"
            raise ConfigError(f"is no table ({str(error).splitlines()[0]})", where=url, cure=cure) from error
        self.key = next((k for k in ("recording", "person") if k in names), "")
        if not self.key:
            cure = "Name the column of the people `person`, or of the files `recording`"
            raise ConfigError(f"has neither (but {', '.join(names)})", where=url, field="person", cure=cure)
        self.columns = [n for n in names if n not in ("recording", "person")]

    def select(self, query: str) -> list[dict[str, Any]]:
        """Rows of a query."""
        found = self.base.execute(query)
        names = [d[0] for d in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def summarise(rows: Rows, by: Sequence[str], reasons: dict[str, int]) -> Figures:
    """Everything that the report shows.

    Args:
        by: columns of the people's table; empty: all that name groups. reasons: name -> bit of `why`.

    Raises:
        ConfigError: no such column.
    """
    for column in by:
        if column not in rows.columns:
            cure = f"Use {', '.join(rows.columns)}" if rows.columns else "Give --people"
            raise ConfigError(f"no column {column!r}", field="by", cure=cure)
    has = {d[0] for d in rows.base.execute("SELECT * FROM hops LIMIT 0").description}
    rated, irregular = "shown AND true_bpm IS NOT NULL", "shown AND true_irregular"
    beat, real = "heart_rate_bpm", "heart_rate_bpm_float"
    if beat not in has:
        # A student that says no heart rate is judged on what it says.
        beat = real = "CAST(NULL AS FLOAT)"
    # Warming, bridged, clipped and flat windows are not the model's to answer for.
    valid = f"why & {sum(b for n, b in reasons.items() if n != 'poor')} = 0 AND cosine IS NOT NULL"
    sums = {
        "hops": "count(*)", "shown": "sum(shown::INT)", "flagged": "sum(flagged::INT)",
        "rated": f"count({beat}) FILTER ({rated})", "error": f"sum(abs({beat} - true_bpm)) FILTER ({rated})",
        "signed": f"sum({beat} - true_bpm) FILTER ({rated})",
        "irregular": f"count(*) FILTER ({irregular})", "hit": f"count(*) FILTER ({irregular} AND flagged)",
        "regular": "count(*) FILTER (shown AND NOT true_irregular)",
        "quiet": "count(*) FILTER (shown AND NOT true_irregular AND NOT flagged)",
        "paired": f"count({real}) FILTER ({rated})",
        "cost": f"sum(abs({beat} - true_bpm) - abs({real} - true_bpm)) FILTER ({rated})",
        "compared": f"count(*) FILTER ({valid})", "turned": f"count(*) FILTER ({valid} AND cosine < {COSINE_WORST})",
        "apart": f"sum(abs({beat} - {real})) FILTER ({valid})", "cosine_median": f"median(cosine) FILTER ({valid})",
        "cosine_worst": f"min(cosine) FILTER ({valid})",
        **{f"why_{name}": f"count(*) FILTER (why & {bit} > 0)" for name, bit in reasons.items()},
    }  # fmt: skip
    listed = ", ".join(f"coalesce({v}, 0) AS {k}" if "cosine" not in k else f"{v} AS {k}" for k, v in sums.items())
    base = "SELECT recording, person, {} FROM hops GROUP BY recording, person ORDER BY recording"
    recordings = rows.select(base.format(listed))
    known = rows.select(f"SELECT DISTINCT ON ({rows.key}) * FROM people ORDER BY {rows.key}") if rows.columns else []
    table = {str(k[rows.key]): k for k in known}
    for r in recordings:
        entry = table.get(r[rows.key], {})
        r["person"] = str(entry.get("person") or r["person"])
        r |= {c: "" if entry.get(c) is None else str(entry[c]) for c in rows.columns}
    counted = [k for k in sums if not k.startswith("cosine")]
    people: dict[str, dict[str, Any]] = {}
    for r in recordings:
        person = people.setdefault(
            r["person"], {"person": r["person"], **{c: r[c] for c in rows.columns}, **dict.fromkeys(counted, 0)}
        )
        for k in counted:
            person[k] += r[k]
    for r in [*recordings, *people.values()]:
        r |= {m: r[a] / r[b] if r[b] else None for m, (a, b, _, _) in MEASURES.items() if m not in sums}
        r["shown_share"] = r["shown"] / r["hops"] if r["hops"] else None
    everybody = list(people.values())
    groups = _measure("", "all", everybody)
    for column in by or rows.columns:
        names = sorted({p[column] for p in everybody})
        if not by and not 1 < len(names) <= MOST_GROUPS:
            continue
        for name in names:
            groups += _measure(column, name, [p for p in everybody if p[column] == name])
    total = sum(r["hops"] for r in recordings) or 1
    found = Figures(
        recordings, everybody, groups, _worst(rows, beat, real), rows.select("SELECT * FROM failures"),
        {name: sum(r[f"why_{name}"] for r in recordings) / total for name in reasons},
    )  # fmt: skip
    found.pictured = [_around(rows, s, has) for s in found.stretches]
    return found


def _measure(column: str, group: str, people: list[dict[str, Any]]) -> list[Measured]:
    found = []
    for measure, (top, bottom, _, _) in MEASURES.items():
        a, b = (np.array([float(p[k]) for p in people]) for k in (top, bottom))
        total = b.sum()
        if total:
            _, low, high = subsets.interval(a / total, b / total).plain
            # One division of two sums: what is the same in everybody is that, to the last digit.
            found.append(
                Measured(
                    column, group, measure, float(a.sum() / total), low, high, int(np.count_nonzero(b)), int(total)
                )
            )
    return found


def _worst(rows: Rows, beat: str, real: str) -> list[dict[str, Any]]:
    """Minutes in which what is shown is farthest from the reference; where there is none, from the float student."""
    query = (
        "SELECT recording, person, CAST(floor(time_s / {s}) AS BIGINT) * {s} AS begin_s, count(*) AS rated, "
        "avg(abs({beat} - {other})) AS error, avg(movement_g) AS movement_g FROM hops WHERE shown AND {other} IS NOT NULL "
        "GROUP BY ALL HAVING count(*) >= {least} ORDER BY error DESC, recording, begin_s LIMIT {most}"
    )
    for other, name in (("true_bpm", "reference"), (real, "float student")):
        found = rows.select(query.format(s=STRETCH_S, beat=beat, other=other, least=LEAST_RATED, most=WORST))
        if found and found[0]["error"] is not None:
            return [{**f, "against": name} for f in found]
    return []


def _around(rows: Rows, stretch: dict[str, Any], has: set[str]) -> dict[str, np.ndarray]:
    """Hops of a stretch and a minute on either side."""
    wanted = [
        c for c in ("time_s", "heart_rate_bpm", "heart_rate_bpm_float", "true_bpm", "shown", "movement_g") if c in has
    ]
    begin, end = stretch["begin_s"] - STRETCH_S, stretch["begin_s"] + 2 * STRETCH_S
    name = stretch["recording"].replace("'", "''")
    query = f"SELECT {', '.join(wanted)} FROM hops WHERE recording = '{name}' AND time_s BETWEEN {begin} AND {end} ORDER BY time_s"
    found = rows.base.execute(query).fetchnumpy()
    return {k: np.ma.filled(np.ma.asarray(v).astype(np.float64), np.nan) for k, v in found.items()}
