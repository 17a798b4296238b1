"""How many labelled people does an encoder need? Probe scores at 1 to 100 % of the people who may be fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onwrist.errors import ConfigError
from onwrist.models.bench.comparison import scores
from onwrist.models.bench.features import Extractor, title
from onwrist.models.bench.probe import fold_rows, predict
from onwrist.models.bench.systems import places
from onwrist.models.bench.tasks import TASKS, Task, Windows, load_windows
from onwrist.models.encoders.checkpoint import SHIPPED_TEACHER
from onwrist.signals.people.cohort import Progress, silent

SHARES = (0.01, 0.05, 0.10, 0.25, 0.50, 1.00)

COLOURS = ("#2563a8", "#c0392b", "#2e8b57", "#c98a1b", "#1f2933")

INTERVAL = (2.5, 97.5)


def best(rows: list[dict], count: int = 2) -> list[str]:
    """The systems with the best mean place over the tasks of a benchmark, but xmae and the shipped teacher."""
    place = {s: np.mean(p) for s, p in places(rows).items() if s not in ("xmae", SHIPPED_TEACHER)}
    return sorted(place, key=place.__getitem__)[:count]


def some_people(windows: Windows, task: Task, share: float, draw: int) -> np.ndarray:
    """(n,) the windows of a random share of the labelled people who may be fitted on, at least one."""
    may = np.isfinite(windows.labels[task.label])
    if task.split == "held_out":
        may &= windows.fit
    people = np.unique(windows.person[may])
    count = max(1, round(share * len(people)))
    chosen = np.random.default_rng([draw, count]).permutation(people)[:count]
    return may & np.isin(windows.person, chosen)


def curve(task: Task, windows: Windows, features: dict[str, np.ndarray], draws: int) -> list[dict]:
    """A row for every system and share: the median score over draws, a 95 % interval, and how many people.

    The interval is over the people that were drawn to fit on and, for each of these draws, over subsets of the test people. A
    draw whose people all have one label fits no probe; it scores what knowing nothing scores.
    """
    folds = fold_rows(task, windows)
    truth = windows.labels[task.label]
    rows = []
    for share in SHARES:
        chosen = [some_people(windows, task, share, d) for d in range(1 if share == 1.0 else draws)]
        for name, x in features.items():
            found, spread = [], []
            for fit in chosen:
                p = predict(task, windows, x, fit=fit)
                blind = 0.0 if task.kind == "auroc" else float(np.mean(truth[fit]))
                score = scores(task.kind, truth, np.where(np.isfinite(p), p, blind), windows.person, folds)
                found.append(float(np.nanmean(score.by_fold())))
                spread.append(score.drawn)
            low, high = np.nanpercentile(spread, INTERVAL)
            rows.append(
                {
                    "task": task.name, "kind": task.kind, "system": name, "share": share,
                    "people": len(np.unique(windows.person[chosen[0]])), "score": float(np.median(found)),
                    "low": float(low), "high": float(high), "draws": found,
                }
            )  # fmt: skip
    return rows


def efficiency(
    systems: Sequence[str],
    tasks: Sequence[str],
    *,
    draws: int,
    cache: Path,
    bf16: bool = True,
    root: Path | None = None,
    progress: Progress = silent,
) -> list[dict]:
    """The curves of some systems on some tasks, by name.

    Args:
        draws: random choices of people per share. cache: folder of features. root: folder of the sets.

    Raises:
        ConfigError: no such task.
    """
    known = {t.name: t for t in TASKS}
    unknown = [t for t in tasks if t not in known]
    if unknown:
        raise ConfigError(f"no task {unknown[0]!r}", field="tasks", cure=f"Use {', '.join(known)}")
    extract, rows = Extractor(cache, bf16), []
    for name in dict.fromkeys(known[t].data for t in tasks):
        windows = load_windows(name, root, progress=progress)
        features = {s: extract.features(s, windows) for s in progress(systems, "features")}
        chosen = [known[t] for t in tasks if known[t].data == name]
        for task in progress(chosen, "curves"):
            rows += curve(task, windows, features, draws)
    return rows


def draw(rows: list[dict], path: Path) -> None:
    """One panel a task: median score against the share of labelled people, with its interval."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = list(dict.fromkeys(r["task"] for r in rows))
    figure, panels = plt.subplots(1, len(tasks), figsize=(3.6 * len(tasks), 3.4), layout="constrained", squeeze=False)
    for panel, task in zip(panels[0], tasks, strict=True):
        own = [r for r in rows if r["task"] == task]
        for system, colour in zip(dict.fromkeys(r["system"] for r in own), COLOURS, strict=False):
            line = [r for r in own if r["system"] == system]
            x = [100 * r["share"] for r in line]
            panel.fill_between(x, [r["low"] for r in line], [r["high"] for r in line], color=colour, alpha=0.15, lw=0)
            panel.plot(x, [r["score"] for r in line], "o-", ms=3, color=colour, label=title(system))
        people = [r["people"] for r in own if r["system"] == own[0]["system"]]
        panel.set_xscale("log")
        panel.set_xticks(
            [100 * s for s in SHARES], [f"{100 * s:.0f} %\n{n}" for s, n in zip(SHARES, people, strict=True)]
        )
        panel.minorticks_off()
        panel.set_title(task, fontsize=10)
        panel.set_ylabel("AUROC" if own[0]["kind"] == "auroc" else "mean absolute error", fontsize=9)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].legend(fontsize=8, frameon=False)
    figure.supxlabel("labelled people", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def table(rows: list[dict]) -> str:
    """Markdown: one line a task and system, one column a share."""
    lines = [
        "| task | system | " + " | ".join(f"{100 * s:.0f} %" for s in SHARES) + " |",
        "|---|---|" + "---|" * len(SHARES),
    ]
    for task in dict.fromkeys(r["task"] for r in rows):
        for system in dict.fromkeys(r["system"] for r in rows):
            line = [r for r in rows if r["task"] == task and r["system"] == system]
            digits = 3 if line[0]["kind"] == "auroc" or "log" in task else 2
            cells = [f"{r['score']:.{digits}f} [{r['low']:.{digits}f}, {r['high']:.{digits}f}]" for r in line]
            lines.append(f"| {task} | {title(system)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
