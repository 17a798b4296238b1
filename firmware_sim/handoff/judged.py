"""A report's gates, judged again: from its own numbers, from the files beside it, and from what this release has stored.

A report is what its maker measured. What can be computed again is; the rest is named as not checked, and a report in which
any gate failed, or says that it passed where its numbers say otherwise, makes a bundle invalid.
"""

from __future__ import annotations

import json

from onwrist.export.handoff.names import HUB, STEP, WINDOW
from onwrist.firmware_sim.handoff.confined import Row
from onwrist.firmware_sim.handoff.opening import plain
from onwrist.firmware_sim.handoff.schema import Student
from onwrist.firmware_sim.parity.firmware import FirmwareRun, firmware_gate
from onwrist.firmware_sim.parity.gates import (
    LIMITS,
    Agreement,
    Gate,
    budget_gates,
    byte_gate,
    cohort_gates,
    error_gates,
    front_end_gates,
    stored_path,
)
from onwrist.firmware_sim.parity.memory import Memory
from onwrist.models.student.work import Work
from onwrist.signals.front_end.fixed import FrontEndParity
from onwrist.spec import Gates

# Without a word on labelled people a report says that the bytes are right, not that the answers are.
PEOPLE = ("cohort", "held-out people")


def judge(report: dict, students: list[Student], files: dict[str, int]) -> list[Row]:
    """Rows for every student's gates.

    Args:
        report: report.json. students: of the bundle. files: path -> bytes, of the encoder's own files.
    """
    runs = {run["size"]: run for run in report["runs"]}
    rows = []
    for s in students:
        if s.size not in runs or runs[s.size].get("digest") != s.digest:
            rows.append(Row("FAIL", f"{s.size}: report", "is of another model, or there is none of this one"))
        else:
            rows += _judge_run(runs[s.size], s)
    if len(runs) != len(report["runs"]) or set(runs) != {s.size for s in students}:
        rows.append(Row("FAIL", "report", "has runs of other students"))
    return rows + _judge_hub(report.get("hub", []), files)


def _judge_run(run: dict, s: Student) -> list[Row]:
    said = {gate["name"]: gate for gate in run["gates"]}
    measured = {gate.name: gate for gate in _measured(run, s.size)}
    ours = measured | {gate.name: gate for gate in _stored(s)}
    lies = [
        name
        for name, gate in ours.items()
        if name in said and (said[name]["passed"], said[name]["severity"]) != (gate.passed, gate.severity)
    ]
    lies += [n for n, g in measured.items() if n in said and (said[n]["limit"], said[n]["value"]) != (g.limit, g.value)]
    missing = [name for name in ours if name not in said]
    failed = [gate["name"] for gate in run["gates"] if gate["passed"] is not True and gate.get("severity") != "warn"]
    sizes = run["memory"]["model"], run["memory"]["step"]
    there = len(s.files[WINDOW]), len(s.files[STEP])
    problems = [
        *(f"says of '{plain(name)[:60]}' what its numbers do not" for name in lies),
        *(f"has no gate '{plain(name)[:60]}'" for name in missing),
        *(f"'{plain(name)[:60]}' failed" for name in failed),
        *([] if len(said) == len(run["gates"]) else ["has a gate twice"]),
        *([] if run["passed"] is True or failed else ["passed every gate and calls itself failed"]),
        *([] if sizes == there else [f"counts {sizes} bytes of model, there are {there}"]),
        *([] if run["hop_s"] * s.contract["rate_hz"] == s.hop else ["is of another hop"]),
    ]
    what = f"{s.size}: gates of the report"
    rows = [Row("FAIL", what, text) for text in problems] or [
        Row("ok", what, f"{len(ours)} of {len(said)} judged again")
    ]
    loose = [f"{k} {v:g} (usual: {getattr(LIMITS, k):g})" for k, v in run["limits"].items() if v != getattr(LIMITS, k)]
    if loose:
        rows.append(Row("not checked", what, f"limits that its maker chose: {plain(', '.join(loose))[:300]}"))
    claimed = [name for name in said if name not in ours]
    if claimed:
        rows.append(Row("not checked", what, f"measured by its maker: {plain('; '.join(claimed))[:300]}"))
    if not any(people in name for name in said for people in PEOPLE):
        rows.append(Row("not run", what, "no gate on labelled people"))
    return rows


def _measured(run: dict, size: str) -> list[Gate]:
    """The gates that follow from the numbers of a run."""
    agreements = [Agreement(**{**a, "counts": tuple(a["counts"])}) for a in run["runtimes"]]
    front = FrontEndParity(**{k: run["front_end"][k] for k in FrontEndParity.__dataclass_fields__})
    memory = {k: run["memory"][k] for k in Memory.__dataclass_fields__}
    limits = Gates.model_validate(run["limits"])
    gates = [
        byte_gate(agreements, int(run["hops"])),
        *error_gates(**{k: run["embedding_error"][k] for k in ("usual", "worst", "shown")}, limits=limits),
        *front_end_gates(front, limits),
        *budget_gates(size, Memory(**{**memory, "work": Work(**memory["work"])})),
    ]
    if run["firmware"]:
        gates.append(
            firmware_gate(
                [FirmwareRun(f["name"], int(f["hops"]), int(f["wrong"]), int(f["bytes"]), 0) for f in run["firmware"]]
            )
        )
    return gates


def _stored(s: Student) -> list[Gate]:
    """The gates on labelled people, where this release has stored them for the same integers."""
    path = stored_path(s.size)
    stored = json.loads(path.read_text()) if path.is_file() else {}
    return cohort_gates(stored["result"], "stored", "") if stored.get("digest") == s.digest else []


def _judge_hub(entries: list[dict], files: dict[str, int]) -> list[Row]:
    measured = sorted(int(e["bytes"]) for e in entries if e["source"] == "measured")
    if measured != sorted(files.values()):
        return [Row("FAIL", "report", f"is of other files of the encoder than {HUB}/ holds")]
    return []
