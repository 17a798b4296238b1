"""INT8 against float on the labelled cohort.

python firmware_sim/cohort_gates.py --size band
"""

from __future__ import annotations

from dataclasses import dataclass

from onwrist.ranges import Checked
from onwrist.settings import Size


@dataclass(frozen=True)
class CohortGatesConfig(Checked):
    """Cohort gates of one shipped student."""

    size: Size = "watch"
    store: bool = False
    """Keep the result beside the weights, for machines without the cohort."""


def main(config: CohortGatesConfig) -> int:
    """INT8 against float on the labelled cohort; exit status 1 if a gate fails."""

    import datetime
    import json

    from onwrist.command import GATE_FAILED, bar, say
    from onwrist.export.handoff.artifacts import load_artifacts
    from onwrist.firmware_sim.parity.gates import cohort_comparison, judge_cohort, stored_path
    from onwrist.quantize.judging.evaluate import evaluation

    artifacts = load_artifacts(config.size)
    if config.store:
        found = cohort_comparison(artifacts, evaluation(artifacts.student.context, progress=bar))
        stored = {"digest": artifacts.model.digest(), "date": datetime.date.today().isoformat(), "result": found}
        stored_path(config.size).write_text(json.dumps(stored, indent=1) + "\n")
        say(f"stored: {stored_path(config.size).name}")
    gates = judge_cohort(artifacts, bar)
    for gate in gates:
        print(
            f"{'pass' if gate.passed else 'FAIL'}  {gate.name}: {gate.value} (limit {gate.limit}; {gate.source}, {gate.detail})"
        )
    return 0 if all(g.passed for g in gates) else GATE_FAILED


if __name__ == "__main__":
    from onwrist.command import run

    run(main, CohortGatesConfig)
