"""Which encoder deserves the watch: every system probed on the same people, compared with xMAE person by person."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from onwrist.errors import ConfigError
from onwrist.models.bench.comparison import difference, scores
from onwrist.models.bench.features import FLOORS, HAND_MADE, NO_SIGNAL, Extractor, title
from onwrist.models.bench.probe import fold_rows, predict, r2
from onwrist.models.bench.tasks import HYPERTENSION, TASKS, Task, Windows
from onwrist.models.encoders.checkpoint import SHIPPED_TEACHER, encoder_weights
from onwrist.models.objectives.zoo import NINE
from onwrist.signals.people.cohort import Progress, silent

NOT_COMPARED = (0.0, 0.0, 0.0, "")

# Tables of the page: title, and the tasks by their beginning.
SECTIONS = (
    ("Rhythm by cardiologists, AUROC x 100", ("rhythm", "PVC", "ectopic", "AF")),
    ("Pulse and state, AUROC x 100", ("irregular", "signal quality", "hypertension", "stress")),
    ("Values, mean absolute error", ("heart rate", "RMSSD (log", "SDNN (log", "respiration", "SpO2")),
    ("Heart-rate variability, mean absolute error", ("RMSSD (ms", "SDNN (ms")),
)


def available() -> tuple[list[str], list[str]]:
    """(systems of the bench that have weights, systems that have none)."""
    names = (*NINE, SHIPPED_TEACHER)
    found = [n for n in names if encoder_weights(n).exists()]
    return found, [n for n in names if n not in found]


def run_task(
    task: Task, windows: Windows, features: dict[str, np.ndarray], born: dict[str, str] | None = None
) -> list[dict]:
    """One task on every system, a row each; `versus` compares with the first system, `versus_random` with its own network.

    A logarithmic label gives a second task in its own unit, from the same predictions.

    Args:
        features: system name to (n, k).
        born: system name to the floor that is its own network with random weights.
    """
    truth = windows.labels[task.label]
    folds = fold_rows(task, windows)
    predicted = {n: predict(task, windows, f, forest=n == HAND_MADE) for n, f in features.items()}
    # A fold whose training people have one class only has no probe, for any system.
    folds = [fold for fold in folds if all(np.isfinite(p[fold]).all() for p in predicted.values())]
    if not folds:
        raise ConfigError(f"no fold of {task.name} has both classes", field="label", cure="Label more people")
    rows = _rows(task.name, task, truth, predicted, folds, windows.person, born or {})
    if task.label.startswith("log_"):
        own_unit = {name: np.exp(p) for name, p in predicted.items()}
        in_ms = task.name.replace("log ms", "ms")
        rows += _rows(in_ms, task, np.exp(truth), own_unit, folds, windows.person, born or {})
    return rows


def _rows(name: str, task: Task, truth, predicted, folds, person, born) -> list[dict]:
    rows: list[dict] = []
    found = {system: scores(task.kind, truth, p, person, folds) for system, p in predicted.items()}
    first = next(iter(found))
    every = np.concatenate(folds)
    for system, score in found.items():
        each = score.by_fold()
        row = {
            "task": name, "data": task.data, "kind": task.kind, "system": system, "score": float(np.nanmean(each)),
            "spread": float(np.nanstd(each)), "folds": [None if np.isnan(v) else float(v) for v in each],
            "people": len(np.unique(person[every])), "windows": len(every),
        }  # fmt: skip
        if task.kind == "auroc":
            row["positive_people"] = len(np.unique(person[every][truth[every] > 0.5]))
        else:
            row["r2"] = r2(truth[every], predicted[system][every])
        if system != first:
            row["versus"] = difference(found[first], score)
        if born.get(system) in found:
            row["versus_random"] = difference(found[born[system]], score)
        rows.append(row)
    return rows


def benchmark(
    systems: Iterable[str], sets: Iterable[tuple[Windows, list[Task]]], extract: Extractor, progress: Progress = silent
) -> list[dict]:
    """Every task on every system: rows as `run_task` gives them."""
    rows, systems = [], list(systems)
    born = {name: floor for name in systems if (floor := extract.born(name))}
    for windows, tasks in sets:
        features = {name: extract.features(name, windows) for name in progress(systems, "features")}
        for task in progress(tasks, "probes"):
            rows += run_task(task, windows, features, born)
    return rows


def open_sets(only: tuple[str, ...] = ()) -> list[tuple[str, list[Task]]]:
    """(set, its tasks) of the open data; `only` names sets, empty for all."""
    tasks = (*TASKS, HYPERTENSION)
    names = dict.fromkeys(t.data for t in tasks if not only or t.data in only)
    return [(name, [t for t in tasks if t.data == name]) for name in names]


def cell(row: dict) -> str:
    """Score, spread, stars: `85.3 ± 4.1 ↑*`."""
    scale, digits = (100, 1) if row["kind"] == "auroc" else (1, 3 if "log" in row["task"] else 2)
    text = f"{scale * row['score']:.{digits}f}" if np.isfinite(row["score"]) else "-"
    # One fold has no spread over folds.
    if sum(v is not None for v in row.get("folds", ())) > 1:
        text += f" ± {scale * row['spread']:.{digits}f}"
    found, _, _, stars = row.get("versus", NOT_COMPARED)
    if not stars:
        return text
    return f"{text} {'↑' if (found > 0) == (row['kind'] == 'auroc') else '↓'}{stars}"


def table(rows: list[dict]) -> str:
    """Markdown: one line a system, one column a task; above each task its people (and how many have a positive)."""
    tasks = list(dict.fromkeys(r["task"] for r in rows))
    systems = list(dict.fromkeys(r["system"] for r in rows))
    at = {(r["task"], r["system"]): r for r in rows}
    heads = []
    for task in tasks:
        one = at[task, systems[0]]
        positive = f" ({one['positive_people']})" if "positive_people" in one else ""
        heads.append(f"{task}, {one['people']}{positive} people")
    lines = ["| system | " + " | ".join(heads) + " |", "|---|" + "---|" * len(tasks)]
    for system in systems:
        # No signal is 50 by construction where classes are ranked.
        cells = ["" if system == NO_SIGNAL and at[t, system]["kind"] == "auroc" else cell(at[t, system]) for t in tasks]
        if any(cells):
            lines.append(f"| {title(system)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def places(rows: list[dict]) -> dict[str, list[int]]:
    """Place of each system (1 is the best) on every task, floors left out; a task and its logarithm count once."""
    systems = [s for s in dict.fromkeys(r["system"] for r in rows) if s not in FLOORS]
    found: dict[str, list[int]] = {s: [] for s in systems}
    for task in _counted(rows):
        at = {r["system"]: r for r in rows if r["task"] == task}
        sign = -1 if at[systems[0]]["kind"] == "auroc" else 1
        for i, s in enumerate(sorted(systems, key=lambda s: sign * at[s]["score"])):
            found[s].append(i + 1)
    return found


def _counted(rows: list[dict]) -> list[str]:
    return [t for t in dict.fromkeys(r["task"] for r in rows) if "(ms)" not in t]


def tally(rows: list[dict]) -> str:
    """Markdown: where each system stands on average, and on how many tasks it is better or worse, with a star, than the
    first and than its own network with random weights."""
    place, tasks = places(rows), _counted(rows)
    first = title(next(iter(place)))
    heads, what = (
        ["system", f"mean place of {len(place)}, {len(tasks)} tasks", f"better / worse than {first}"],
        ["versus"],
    )
    if any("versus_random" in r for r in rows):
        heads.append("better / worse than its network at random weights")
        what.append("versus_random")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for s in sorted(place, key=lambda s: np.mean(place[s])):
        own = [r for r in rows if r["system"] == s and r["task"] in tasks]
        counts = " | ".join(_count(own, w) for w in what)
        lines.append(f"| {title(s)} | {np.mean(place[s]):.1f} | {counts} |")
    return "\n".join(lines)


def _count(rows: list[dict], what: str) -> str:
    compared = [(r[what], r["kind"]) for r in rows if what in r]
    better = [(found > 0) == (kind == "auroc") for (found, _, _, stars), kind in compared if stars]
    return f"{sum(better)} / {len(better) - sum(better)}" if compared else ""


def page(rows: list[dict]) -> str:
    """All tables, Markdown, with the tally first where it is a bench of several systems."""
    parts = []
    tasks = list(dict.fromkeys(r["task"] for r in rows))
    if len({r["system"] for r in rows} - set(FLOORS)) > 1:
        parts.append(f"### Over all tasks\n\n{tally(rows)}")
    for name, beginnings in SECTIONS:
        chosen = [t for t in tasks if t.startswith(beginnings)]
        if chosen:
            parts.append(f"### {name}\n\n{table([r for r in rows if r['task'] in chosen])}")
        tasks = [t for t in tasks if t not in chosen]
    if tasks:
        parts.append(table([r for r in rows if r["task"] in tasks]))
    return "\n\n".join(parts)
