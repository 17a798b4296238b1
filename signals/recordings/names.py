"""What the names of columns and channels mean: which is the time and in what unit, which the PPG, which the ECG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from onwrist.errors import RecordingError

# How a cell says that it holds no value.
MISSING_WORDS = (
    "", "nan", "na", "n/a", "#n/a", "null", "none", "nil", "-", "--", "?", ".", "missing", "<na>", "nat",
)  # fmt: skip

# In order of preference: what says PPG outright, then the LEDs, then what a file of one signal calls it.
PPG_NAMES = (
    "ppg", "pleth", "bvp", "ppg_ir", "ppg_green", "green", "ir", "pleth_ir", "infrared", "signal", "value",
)  # fmt: skip
PPG_WORDS = ("ppg", "pleth", "bvp", "plethysmogram", "photoplethysmogram", "pulseox", "green", "ir", "infrared", "red")
# A column with one of these words in its name is made from a PPG, or is of something else altogether.
OTHER_WORDS = (
    "hr", "bpm", "spo2", "quality", "sqi", "time", "timestamp", "ecg", "ekg", "acc", "accel", "gyro", "temp", "eda", "gsr",
    "ambient", "label", "marker", "event", "index", "sample", "counter", "seq", "nseq", "peak", "peaks", "valid",
    "subject", "participant", "person", "user", "patient", "activity", "battery", "resp", "rsp",
)  # fmt: skip
ECG_NAMES = ("ecg", "ekg", "ecg_ii", "mlii", "ecg_i", "ecg1")
ECG_WORDS = ("ecg", "ekg", "mlii", "electrocardiogram")
# A letter is a lead only beside other leads: alone, `i` and `ii` are infra-red or a current, `v` a voltage.
LEADS = ("ii", "iii", "i", "avr", "avl", "avf", "v", "v1", "v2", "v3", "v4", "v5", "v6", "mcl1")
SURE_LEADS = ("ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6", "mcl1")
MILLIVOLTS = ("mv", "uv", "µv", "μv", "millivolts", "millivolt")
RESP_NAMES = ("resp", "rsp", "respiration")
TIME_WORDS = (
    "time", "t", "timestamp", "timestamps", "timer", "ts", "unix", "unixtime", "unixtimestamp", "epoch", "datetime", "date",
    "clock", "elapsed", "millis", "micros", "nanos", "seconds", "milliseconds", "microseconds", "nanoseconds", "sec",
    "secs", "ms", "us", "ns", "msec", "utc", "localtime", "zeit",
)  # fmt: skip
# Names with a time word that are not the time of a row.
NOT_TIME = ("zone", "timezone", "offset", "received", "label", "interval", "ptt", "pat", "rr", "ibi")
COUNTER_WORDS = ("index", "sample", "samples", "counter", "seq", "nseq", "packet", "row", "frame", "idx")
PERSON_NAMES = (
    "subject", "subject_id", "subjectid", "participant", "participant_id", "participantid", "person", "person_id", "user",
    "user_id", "userid", "patient", "patient_id", "patientid",
)  # fmt: skip
# A column that says whose value stands in a row, beside a column that is called by none of them.
KIND_NAMES = (
    "sensor", "sensor_type", "sensor_name", "type", "data_type", "kind", "signal", "signal_type", "channel", "channel_name",
    "stream", "source", "variable", "measurement", "measure", "metric", "modality",
)  # fmt: skip
ANY_NAMES = ("value", "values", "val", "data", "reading", "raw", "signal", "amplitude", "y", "x", "sample_value")
SEGMENT_NAMES = ("segment", "segment_id", "session", "session_id", "recording", "recording_id", "visit")
UNITS = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "msec": 1e-3, "millis": 1e-3, "milliseconds": 1e-3, "millisecond": 1e-3,
    "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "usec": 1e-6, "micros": 1e-6, "microseconds": 1e-6, "microsecond": 1e-6,
    "ns": 1e-9, "nsec": 1e-9, "nanos": 1e-9, "nanoseconds": 1e-9, "nanosecond": 1e-9,
    "min": 60.0, "minutes": 60.0,
}  # fmt: skip
_UNIT_BEHIND = re.compile(r"^(.*?)[\s_]*[(\[{]\s*([^)\]}]*?)\s*[)\]}][\s,;]*$", re.DOTALL)


def base_and_unit(name: str) -> tuple[str, str]:
    """`Time (s)` to ("time", "s"), ` PLETH,` to ("pleth", "")."""
    name = name.strip().strip(",;").strip()
    found = _UNIT_BEHIND.match(name)
    base, unit = (found.group(1), found.group(2)) if found and found.group(1).strip() else (name, "")
    return re.sub(r"[\s\-.]+", "_", base.strip().lower()).strip("_"), unit.strip()


def words(name: str) -> list[str]:
    """`Shimmer_AB12_PPG_A13_CAL` to its words in small letters; a number behind a word is a word: `ppg1` to ppg, 1."""
    return [w for w in re.split(r"[^a-zµμ0-9]+|(?<=[a-zµμ])(?=\d)", base_and_unit(name)[0]) if w]


def same(name: str, asked: str) -> bool:
    """Whether a user who asks for `asked` means this name; case, outer blanks and a unit behind it do not matter."""
    return name.strip().lower() == asked.strip().lower() or base_and_unit(name)[0] == base_and_unit(asked)[0]


def named(names: Sequence[str], asked: str, where: str | Path, what: str = "channel") -> int:
    """Index of the channel that a user asks for.

    Raises:
        RecordingError: there is none of that name, or several.
    """
    for test in (
        lambda n: n == asked,
        lambda n: n.strip().lower() == asked.strip().lower(),
        lambda n: same(n, asked),
    ):
        found = [i for i, n in enumerate(names) if test(n)]
        if len(found) == 1:
            return found[0]
        if found:
            raise RecordingError(
                f"{len(found)} {what}s are called '{asked}'", where=where, field=what, cure="Give each its own name"
            )
    raise RecordingError(
        f"no {what} '{asked}'",
        where=where,
        field=what,
        cure=f"Choose one of: {', '.join(n.strip() for n in names) or '(none)'}",
    )


def find_ppg(names: Sequence[str]) -> tuple[int | None, list[str]]:
    """(index of the channel that is called like a PPG, names of others that are too); None where no name says so."""
    ranked: list[tuple[float, int]] = []
    for i, name in enumerate(names):
        base, parts = base_and_unit(name)[0], words(name)
        if base in PPG_NAMES:
            ranked.append((PPG_NAMES.index(base), i))
        elif not set(parts) & set(OTHER_WORDS):
            rank = min(
                (k for k, w in enumerate(PPG_WORDS) if any(p == w or (k < 5 and p.startswith(w)) for p in parts)),
                default=None,
            )
            if rank is not None:
                ranked.append((len(PPG_NAMES) + rank, i))
    if not ranked and any("ambient" in words(n) for n in names):
        # Polar's loggers number their LEDs and name only the ambient light.
        ranked = [(k, i) for k, i in enumerate(j for j, n in enumerate(names) if words(n)[:1] == ["channel"])]
    if not ranked:
        return None, []
    ranked.sort()
    return ranked[0][1], [names[i].strip() for _, i in ranked[1:]]


def need_ppg(names: Sequence[str], channel: str | None, where: str | Path, notices: list[str]) -> int:
    """Index of the PPG among a file's channels; a choice among several is noted.

    Raises:
        RecordingError: no such channel, or none that is called like a PPG.
    """
    if channel is not None:
        return named(names, channel, where)
    at, others = find_ppg(names)
    if at is None:
        raise RecordingError(
            "no channel is called like a PPG", where=where, field="channel",
            cure=f"Name it with channel (--channel): {', '.join(n.strip() for n in names) or '(the file has none)'}",
        )  # fmt: skip
    note_others(names[at], others, notices)
    return at


def note_others(chosen: str, others: Sequence[str], notices: list[str]) -> None:
    """Say that a channel was chosen among several."""
    if others:
        notices.append(f"'{chosen.strip()}' is read; also there: {', '.join(others)} (choose with --channel)")


def find_ecg(names: Sequence[str], units: Sequence[str], not_this: int | None) -> int | None:
    """Index of the ECG, or None. A lead's bare letters count only in millivolts (`II`), or beside other leads."""
    bases = [base_and_unit(n)[0] for n in names]
    free = [i for i in range(len(names)) if i != not_this]
    for wanted in ECG_NAMES:
        for i in free:
            if bases[i] == wanted:
                return i
    for i in free:
        parts = words(names[i])
        if set(parts) & set(ECG_WORDS) and not set(parts) & (set(OTHER_WORDS) - set(ECG_WORDS)):
            return i
    leads = {bases[i] for i in free if bases[i] in LEADS}
    beside = len(leads) > 1 and bool(leads & set(SURE_LEADS) - {"ii"} or len(leads) > 2)
    for lead in LEADS:
        for i in free:
            volts = units[i].strip().lower() in MILLIVOLTS
            if bases[i] == lead and (beside or (volts and lead in SURE_LEADS)):
                return i
    return None


def find_one(names: Sequence[str], wanted: Sequence[str], not_this: int | None = None) -> int | None:
    """Index of the first channel whose name, without its unit, is among `wanted`."""
    bases = [base_and_unit(n)[0] for n in names]
    return next((bases.index(w) for w in wanted if w in bases and bases.index(w) != not_this), None)


def time_columns(names: Sequence[str]) -> list[int]:
    """Columns that are called like the time of a row, a sensor's own clock first."""
    found = []
    for i, name in enumerate(names):
        parts = words(name)
        joined = base_and_unit(name)[0].replace("_", "")
        if not set(parts) & set(NOT_TIME) and (
            set(parts) & set(TIME_WORDS)
            or "timestamp" in joined
            or joined.startswith("time")
            or joined.endswith("time")
        ):
            found.append(i)
    return sorted(found, key=lambda i: ("sensor" not in words(names[i]), i))


def named_unit(name: str, unit: str = "") -> float | None:
    """Seconds per unit of a time column, where its name or its unit row says so."""
    for text in (unit, base_and_unit(name)[1]):
        if text.strip().lower() in UNITS:
            return UNITS[text.strip().lower()]
    parts = words(name)
    return next((UNITS[p] for p in reversed(parts) if p in UNITS and p != "min"), None)
