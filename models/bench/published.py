"""The published table beside ours: do nine systems stand in the same order on open data?"""

from __future__ import annotations

from scipy.stats import spearmanr

from onwrist.errors import ConfigError
from onwrist.models.objectives.zoo import SYSTEMS

# AUROC x 100 of the published table for the tasks that have a counterpart on open data: PVC, ectopic, hypertension (lab).
OURS = ("PVC against sinus", "ectopic against sinus", "hypertension")

PUBLISHED = {
    "xmae": (81.4, 87.8, 68.8),
    "mae": (78.7, 85.8, 53.6),
    "msn": (68.5, 69.2, 56.1),
    "papagei": (69.6, 76.2, 52.1),
    "apple": (74.2, 84.3, 56.8),
    "dino": (67.5, 67.8, 53.7),
    "lsm": (78.8, 86.2, 53.8),
    "simclr": (67.8, 71.0, 55.7),
    "apple-m": (80.7, 85.8, 56.3),
}


def table(rows: list[dict]) -> str:
    """Markdown: published and measured AUROC x 100 of each system, and the rank correlation of the two orders.

    Raises:
        ConfigError: a system or a task is not in the rows.
    """
    at = {(r["task"], r["system"]): 100 * r["score"] for r in rows}
    missing = [s for s in PUBLISHED if any((t, s) not in at for t in OURS)]
    if missing:
        raise ConfigError(f"no result of {missing[0]}", field="benchmark", cure="Run models/benchmark.py on all nine")
    lines = [
        "| system | " + " | ".join(f"{t}: published | here" for t in OURS) + " |",
        "|---|" + "---|---|" * len(OURS),
    ]
    for system, numbers in PUBLISHED.items():
        cells = [f"{n:.1f} | {at[t, system]:.1f}" for t, n in zip(OURS, numbers, strict=True)]
        lines.append(f"| {SYSTEMS[system].title} | {' | '.join(cells)} |")
    ranks = []
    for i, task in enumerate(OURS):
        found = spearmanr([n[i] for n in PUBLISHED.values()], [at[task, s] for s in PUBLISHED])
        ranks.append(f"{found.statistic:+.2f} | (p {found.pvalue:.2f})")
    lines.append("| rank correlation | " + " | ".join(ranks) + " |")
    return "\n".join(lines)
