"""Parity and its gates: does the firmware's runtime compute what training computed, and does the task survive?

    onwrist cohort-gates --size watch             # gates on the labelled cohort
    onwrist cohort-gates --size watch --store     # and keep them beside the weights

A gate that needs the labelled cohort is computed where the cohort is; elsewhere its stored result is shown, marked
as stored, and it fails if it belongs to other integers than the model's.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from onwrist.export.handoff.artifacts import Artifacts
from onwrist.firmware_sim.parity.deployed import Deployed
from onwrist.firmware_sim.parity.memory import BUDGETS, Memory
from onwrist.firmware_sim.parity.nearness import BLOCK, Nearness, blocks, joined, nearness
from onwrist.firmware_sim.runtimes.hop import NumpyStep, Stepped, TFLMStep
from onwrist.firmware_sim.runtimes.window import TFLM, Numpy, Runtime, other_runtimes
from onwrist.firmware_sim.watch.windows import Windows
from onwrist.models.bench.subsets import text
from onwrist.models.student.outputs import SHIPPED_ANSWERS, Answer, Answers
from onwrist.quantize.judging.evaluate import (
    EVALUATION_SETS,
    Evaluation,
    compare,
    cosine,
    evaluation,
    run_integers,
    run_torch,
)
from onwrist.quantize.judging.useful import floors
from onwrist.resources import WEIGHTS
from onwrist.signals.front_end.fixed import FrontEndParity
from onwrist.signals.people.cohort import Progress, data_root, silent
from onwrist.spec import Gates, StudentPart

# What is asked where a spec asks for nothing else.
LIMITS = Gates()
# Of single windows, for pictures and figures: below it an embedding is another one.
COSINE_WORST = 0.99
LSB_BINS = tuple(range(0, 9))
# Windows per call: progress is shown between calls.
BATCH = 64

# Embedding (n, width) and answers (n, answers).
Said = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Gate:
    """One criterion.

    Attributes:
        name: what is asked. limit, value: as text for people.
        passed: whether it holds.
        source: 'measured', or 'stored' with data set, date and model digest in `detail`.
        severity: what it means if it does not hold: the run fails, or carries a warning.
        judged: False where there was nothing to judge by; `value` then says why.
        group: what it speaks of: the same bytes everywhere, INT8 close to float, right about the person, fits the part.
    """

    name: str
    limit: str
    value: str
    passed: bool
    source: str = "measured"
    detail: str = ""
    severity: Literal["fail", "warn"] = "fail"
    judged: bool = True
    group: Literal["exact", "close", "right", "fits"] = "close"

    @property
    def word(self) -> str:
        """pass, WARN, FAIL, or not judged."""
        if not self.judged:
            return "not judged"
        return "pass" if self.passed else self.severity.upper()


def verdict(gates: list[Gate]) -> tuple[str, str]:
    """(PASS, WARN or FAIL, the reason in words) of all gates together; no gate at all is a failure."""
    against = [g for word in ("FAIL", "WARN") for g in gates if g.word == word]
    if against:
        return against[0].word, "; ".join(f"{g.name}: {g.value} (asked: {g.limit})" for g in against)
    if not gates:
        return "FAIL", "nothing was judged"
    open_ones = [g for g in gates if not g.judged]
    return "PASS", "; ".join(f"{g.name}: {g.value}" for g in open_ones)


@dataclass(frozen=True)
class Agreement:
    """One runtime against the reference for firmware, over the bytes of embedding and answers.

    Attributes:
        runtime: name. equal: share of equal bytes. largest: max difference in LSB.
        counts: bytes with difference 0, 1, ... 8 and more.
        cosine_median, cosine_worst: of the embedding.
    """

    runtime: str
    equal: float
    largest: int
    counts: tuple[int, ...]
    cosine_median: float
    cosine_worst: float


# What a device may run: a window or a stream of it, in the reference kernels or the numpy model of them.
EXACT = (
    TFLMStep.name, TFLM.name, "LiteRT reference, stream", "LiteRT reference", NumpyStep.name, Numpy.name,
)  # fmt: skip


def all_runtimes(deployed: Deployed) -> list[Runtime | Stepped]:
    """Every integer runtime but TFLM's stream, which is the reference."""
    a = deployed.artifacts
    return [
        deployed.litert(),
        NumpyStep(a.model, deployed.hop),
        TFLM(a.tflite),
        *other_runtimes(a.quantised, a.model, a.tflite, a.onnx),
        deployed.onnx(),
    ]


class Comparison:
    """A runtime against the reference, block by block: of what was compared only sums are kept, and a cosine of each output.

    Args:
        name: of the runtime.
    """

    def __init__(self, name: str):
        self.name, self.largest = name, 0
        self.counts = np.zeros(len(LSB_BINS), np.int64)
        self.cosines: list[np.ndarray] = []

    def add(self, reference: Said, other: Said) -> None:
        """The next outputs of both, int8 (embedding, answers)."""
        a, b = (np.concatenate(pair, axis=1).astype(np.int16) for pair in (reference, other))
        difference = np.abs(a - b)
        self.counts += np.bincount(np.minimum(difference, LSB_BINS[-1]).ravel(), minlength=len(LSB_BINS))
        self.largest = max(self.largest, int(difference.max(initial=0)))
        self.cosines.append(cosine(reference[0], other[0]))

    def agreement(self) -> Agreement:
        """What came out."""
        similarity, equal = np.concatenate(self.cosines), int(self.counts[0]) / int(self.counts.sum())
        counts = tuple(int(c) for c in self.counts)
        return Agreement(
            self.name, equal, self.largest, counts, float(np.median(similarity)), float(similarity.min())
        )  # fmt: skip


def agreement(reference: Said, other: Said, name: str) -> Agreement:
    """Compare int8 (embedding, answers) of two runtimes over the same windows."""
    comparison = Comparison(name)
    for rows in blocks(len(reference[0])):
        comparison.add((reference[0][rows], reference[1][rows]), (other[0][rows], other[1][rows]))
    return comparison.agreement()


@dataclass(frozen=True)
class Played:
    """What went into the model in a run, hop by hop.

    Attributes:
        chunks: int8 (n, hop). first: (n,) whether the model started anew with that hop.
        windows: int8, the window that ends with each hop.
        counts: per hop the counts (int32) that went into the front end since the one before, made-up ones included.
        frames: of a hop, for which answers at frame rate are said.
        acceleration: int8 (n, hop, 3), of a student that takes it.
    """

    chunks: np.ndarray
    first: np.ndarray
    windows: Windows
    counts: list[np.ndarray] = field(default_factory=list)
    frames: int = 0
    acceleration: np.ndarray | None = None

    @property
    def beside(self) -> list[Windows]:
        """Windows of what goes in beside the light: int8 (m, 3, window)."""
        return [] if self.acceleration is None else [Windows(self.acceleration, self.first, self.windows.window)]

    @property
    def hops(self) -> Iterator[tuple[np.ndarray, ...]]:
        """What a stepped runtime is given, hop by hop."""
        if self.acceleration is None:
            return ((chunk,) for chunk in self.chunks)
        rows = self.acceleration
        return ((chunk, np.ascontiguousarray(rows[k].T)) for k, chunk in enumerate(self.chunks))


def run_windows(
    runtime: Runtime, windows: Windows, progress: Progress = silent, beside: Sequence[Windows] = ()
) -> Said:
    """Embedding (n, 256) and answers (n, 3) of a runtime over windows, of further inputs too, so many at a time."""
    every = (windows, *beside)
    parts = [runtime.run(*(w[rows] for w in every)) for rows in progress(windows.batches(BATCH), runtime.name)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def replay(
    runtime: Runtime | Stepped, played: Played, progress: Progress = silent
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """(rows, int8 embedding (n, 256), int8 (n, C) of all that is said beside it) of a runtime over a run, block by block: hop by
    hop, or from whole windows."""
    if isinstance(runtime, Runtime):
        for rows in progress(played.windows.batches(BATCH), runtime.name):
            embedding, *said = runtime.run(*(w[rows] for w in (played.windows, *played.beside)))
            yield rows, embedding, _beside(said, played.frames)
        return
    runtime.reset()
    hops = iter(progress(zip(played.hops, played.first, strict=True), runtime.name, total=len(played.first)))
    for rows in blocks(len(played.first)):
        found = []
        for given, first in itertools.islice(hops, BLOCK):
            if first:
                runtime.reset()
            found.append(runtime.step(*given))
        embedding, *said = (np.stack(each) for each in zip(*found, strict=True))
        yield rows, embedding, _beside(said, played.frames)
    next(hops, None)  # a bar ends when it is asked once more


def _beside(said: Sequence[np.ndarray], frames: int) -> np.ndarray:
    """Answers (n, C) and, one after the other behind them, those of the newest frames, where there are such."""
    answers, *more = said
    newest = [m.reshape(len(m), -1)[:, -frames * answers.shape[1] :] for m in more[:1] if frames]
    return np.concatenate([answers, *newest], axis=1)


def compare_runtimes(
    reference: Said, runtimes: list[Runtime | Stepped], played: Played, progress: Progress = silent
) -> list[Agreement]:
    """The outputs of TFLM's stream, and every other integer runtime against them, over the same run."""
    rows = [agreement(reference, reference, TFLMStep.name)]
    for runtime in runtimes:
        comparison = Comparison(runtime.name)
        for at, embedding, answers in replay(runtime, played, progress):
            comparison.add((reference[0][at], reference[1][at]), (embedding, answers))
        rows.append(comparison.agreement())
    return rows


def byte_gate(rows: list[Agreement], hops: int) -> Gate:
    """Stream = window, and TFLM = LiteRT reference = numpy model, on every byte."""
    exact = [r for r in rows if r.runtime in EXACT]
    passed = {r.runtime for r in exact} == set(EXACT) and hops > 0 and all(r.equal == 1.0 for r in exact)
    value = ", ".join(f"{r.runtime} {100 * r.equal:.4f} %" for r in exact)
    name = "stream and window, every firmware runtime: same bytes"
    return Gate(name, "100 %", value, passed, detail=f"{hops} hops", group="exact")


def front_end_gates(parity: FrontEndParity, limits: Gates = LIMITS) -> list[Gate]:
    """Fixed-point front end against its float design."""
    lost = parity.float_snr_db - parity.snr_db
    return [
        Gate(
            "front end, fixed point to float: SNR lost", f"<= {limits.front_end_db:g} dB", f"{lost:.3f} dB",
            lost <= limits.front_end_db, detail=f"{parity.snr_db:.2f} dB, int8 alone {parity.float_snr_db:.2f} dB",
        ),
        Gate(
            "front end, fixed point to float: largest difference", f"<= {limits.front_end_steps} input LSB",
            f"{parity.largest} LSB", parity.largest <= limits.front_end_steps, detail=f"{100 * parity.equal:.3f} % equal",
        ),
    ]  # fmt: skip


def cosine_gate(median: float, what: str, source: str = "measured", detail: str = "", limits: Gates = LIMITS) -> Gate:
    """INT8 against float: median cosine of the embedding; NaN (no valid window) fails."""
    limit = limits.cosine_median
    return Gate(
        f"cosine INT8 to float, median, {what}", f">= {limit}", f"{median:.5f}", median >= limit, source, detail
    )


def embedding_gates(
    int8: np.ndarray, real: np.ndarray, shown: np.ndarray, limits: Gates = LIMITS, scale: float = 1.0
) -> list[Gate]:
    """INT8 against float over what is shown: usual and worst error of the embedding, in units of its usual size.

    Args:
        int8, real: (n, d) embeddings; real in real units, int8 in steps of `scale`. shown: (n,) bool; where nothing is shown
            there is nothing to judge.
    """
    near = [nearness(int8[rows].astype(np.float64) * scale, real[rows]) for rows in blocks(len(real))]
    return error_gates(**embedding_errors(joined(near), shown), limits=limits)


def embedding_errors(near: Nearness, shown: np.ndarray) -> dict:
    """What `embedding_gates` judges, as plain values, and of how many outputs.

    usual is how far the median output turns (sqrt(2 - 2 cosine), so that 0.0447 is a cosine of 0.999: a common
    factor in length is nothing to a probe, and no output next to the origin can decide a median); worst is a length.
    """
    if not shown.any():
        return {"usual": None, "worst": None, "shown": 0}
    error = near.distance[shown] / max(float(np.median(near.size[shown])), 1e-9)
    turn = np.sqrt(max(0.0, 2.0 - 2.0 * float(np.median(near.cosine[shown]))))
    return {"usual": float(turn), "worst": float(error.max()), "shown": int(shown.sum())}


def error_gates(usual: float | None, worst: float | None, shown: int, limits: Gates = LIMITS) -> list[Gate]:
    """The same from the two errors over `shown` outputs."""
    names = ("embedding, INT8 to float, usual error", "embedding, INT8 to float, worst error")
    most = (limits.usual_error, limits.worst_error)
    asked = [f"<= {100 * limit:.1f} % of its size" for limit in most]
    if not shown:
        return [
            Gate(n, a, "not judged: nothing is shown", True, judged=False) for n, a in zip(names, asked, strict=True)
        ]
    found = (usual, worst)
    detail = f"{shown:,} outputs that are shown"
    return [
        Gate(n, a, f"{100 * v:.1f} %", v <= limit, detail=detail)
        for n, a, v, limit in zip(names, asked, found, most, strict=True)
    ]


def budget_gates(size: str, memory: Memory) -> list[Gate]:
    """Flash, activations and streamed work against the size's budget, as a window and as a stream."""
    budget = BUDGETS.get(size)
    if budget is None:
        return []
    rows = [
        ("flash, window", memory.model, budget.flash, "B"),
        ("flash, stream", memory.step, budget.flash, "B"),
        ("activations, window", memory.activations, budget.activations, "B"),
        ("activations, stream", memory.step_activations, budget.activations, "B"),
    ]
    gates = [Gate(n, f"<= {limit:,} {unit}", f"{v:,} {unit}", v <= limit, group="fits") for n, v, limit, unit in rows]
    if budget.streamed_macs:
        macs, limit = memory.work.streamed / 1e6, budget.streamed_macs / 1e6
        gates.append(
            Gate("work per 10 s, stream", f"<= {limit:g} MMAC", f"{macs:.2f} MMAC", macs <= limit, group="fits")
        )
    return gates


def own_budget_gates(asked: StudentPart, memory: Memory, hop_s: float, instructions: int | None) -> list[Gate]:
    """The budgets that a spec sets beside those of the size.

    Args:
        instructions: of a hop on the emulated Cortex-M4F; None: it was not run.
    """
    rows = [
        ("flash", asked.flash_bytes, memory.step, "B"), ("RAM", asked.ram_bytes, memory.ram, "B"),
        ("MACs per hop", asked.macs_per_hop, round(memory.work.of_hop(hop_s)), ""),
        ("instructions per hop, emulated M4F", asked.instructions_per_hop, instructions, ""),
    ]  # fmt: skip
    gates = []
    for name, most, value, unit in rows:
        if most is not None:
            limit = f"<= {most:,} {unit}".rstrip()
            if value is None:
                gates.append(Gate(f"budget of the spec, {name}", limit, "not judged: the C was not run", True, judged=False, group="fits"))  # fmt: skip
            else:
                gates.append(Gate(f"budget of the spec, {name}", limit, f"{value:,} {unit}".rstrip(), value <= most, group="fits"))  # fmt: skip
    return gates


def cohort_gates(found: dict, source: str, detail: str, *, current: bool = True) -> list[Gate]:
    """Task differences INT8 minus float on the labelled cohort, and its median cosine.

    The worst cosine is gated on the stream. Of the cohort's windows it is reported in every gate's detail and in the
    README, not gated: among thousands of disturbed windows a few have an embedding next to the origin, where a cosine
    is mostly rounding.

    Args:
        found: of `quantize.judging.evaluate.compare`.
        current: False if `found` belongs to other integers; every gate then fails.
    """
    cosines = found["cosine"]
    below = f"{detail}; worst {cosines['worst']:.4f}, {cosines['below_0.99']} windows below {COSINE_WORST} (not gated)"
    gates = [cosine_gate(cosines["median"], "cohort", source, below)]
    gates += [answer_gate(a, found[a.name]["difference"], source, detail) for a in SHIPPED_ANSWERS]
    return [replace(gate, passed=gate.passed and current) for gate in gates]


def answer_gate(
    answer: Answer,
    difference: Sequence[float],
    source: str = "measured",
    detail: str = "",
    limit: float | None = None,
    limits: Gates = LIMITS,
) -> Gate:
    """What INT8 may cost an answer: points of AUROC or macro-F1 (the interval over people inside), or of a value's error.

    Args:
        difference: INT8 minus float, with its interval. limit: of this answer, in its own unit; None: that of its kind.
    """
    d, low, high = difference
    if answer.kind == "value":
        most = limits.value_share * answer.span if limit is None else limit
        name = f"{answer.name.replace('_', '-')} MAE difference"
        return Gate(name, f"<= {most:g} {answer.unit}".rstrip(), text((d, low, high)), d <= most, source, detail)
    most = {"yes/no": limits.auroc_points, "classes": limits.f1_points}[answer.kind] if limit is None else limit
    score = "AUROC" if answer.kind == "yes/no" else "macro-F1"
    return Gate(
        f"{score} difference, {answer.name}", f"interval inside +-{100 * most:g} point",
        text([100 * v for v in (d, low, high)], 2), low >= -most and high <= most, source, detail,
    )  # fmt: skip


def cost_gates(
    found: dict, answers: Answers, limits: Gates = LIMITS, own: dict[str, float] | None = None
) -> list[Gate]:
    """What INT8 costs on somebody's own held-out people: the median cosine, and each answer that they have labels for.

    Where too few people are there for an interval the difference alone is looked at, and can only warn.

    Args:
        found: of `judging.evaluate.compare`. own: limits of single answers, by name.
    """
    what = f"{found['data']}, {found['people']} people, {found['windows']} windows"
    gates = [cosine_gate(found["cosine"]["median"], "held-out people", detail=what, limits=limits)]
    for answer in answers:
        d, low, high = found[answer.name]["difference"]
        if not np.isfinite(d):
            continue  # no labels, or of one kind only: the floors say so
        limit = (own or {}).get(answer.name)
        seen_in = f"{what}, {found[answer.name]['frames']} frames" if answer.at == "frames" else what
        if np.isfinite([low, high]).all():
            gates.append(answer_gate(answer, (d, low, high), detail=seen_in, limit=limit, limits=limits))
        else:
            seen = answer_gate(answer, (d, d, d), detail=seen_in, limit=limit, limits=limits)
            gates.append(replace(seen, value=text((d, low, high)), severity="warn"))
    return gates


def stored_path(size: str) -> Path:
    """Where the cohort's result is kept beside the weights."""
    return WEIGHTS / f"{size}.cohort.json"


def cohort_present(root: Path | None = None) -> bool:
    """Whether the larger labelled sets are on this machine."""
    return all((root or data_root()).joinpath(s).is_dir() for s in EVALUATION_SETS)


def judge_cohort(artifacts: Artifacts, progress: Progress = silent, data: Evaluation | None = None) -> list[Gate]:
    """Cohort gates: measured where the cohort is, else stored.

    Args:
        data: the cohort, for whoever has prepared it already.
    """
    if cohort_present():
        data = data or evaluation(artifacts.student.context, progress=progress)
        found = cohort_comparison(artifacts, data)
        return cohort_gates(found, "measured", f"{found['data']}, {found['people']} people, {found['windows']} windows")
    path = stored_path(artifacts.size)
    if not path.exists():
        return [Gate("labelled cohort", "present or stored", "neither", False, "stored")]
    stored = json.loads(path.read_text())
    same = stored["digest"] == artifacts.model.digest()
    detail = f"{stored['result']['data']}, {stored['date']}, model {stored['digest'][:12]}" + (
        "" if same else ", OTHER MODEL"
    )
    return cohort_gates(stored["result"], "stored", detail, current=same)


def floor_gates(artifacts: Artifacts, data: Evaluation) -> list[Gate]:
    """Every answer of the INT8 student above its floor on held-out people: no pass for a student that knows nothing.

    An answer that is no better than a constant fails; one that too few people can speak for carries a warning.
    """
    found = floors(run_integers(artifacts.model, *data.fed(artifacts.model)), data)
    if not found:
        return [Gate("answers above their floors", "each", f"not judged: {data.name} have no labels", True, judged=False, group="right")]  # fmt: skip
    people = f"{data.name}, {len(np.unique(data.person))} people"
    asked = {
        "value": "below the best constant's error",
        "auroc": "above chance",
        "macro-F1": "above the commonest class",
    }
    return [
        Gate(
            f"{f.answer.replace('_', ' ')} above its floor", asked[f.kind], f.words, f.above, detail=people,
            severity="warn" if f.margin.low is None and not f.flat else "fail", group="right",
        )
        for f in found
    ]  # fmt: skip


def judge_people(
    artifacts: Artifacts,
    own: Evaluation | None,
    progress: Progress = silent,
    limits: Gates = LIMITS,
    costs: dict[str, float] | None = None,
) -> list[Gate]:
    """Gates on held-out people: those of a spec where it names some, else the labelled cohort's and the floors.

    Args:
        own: held-out people of somebody's own recordings. costs: what INT8 may cost single answers, by name.
    """
    if own is not None:
        found = cohort_comparison(artifacts, own)
        return [*cost_gates(found, own.answers, limits, costs), *floor_gates(artifacts, own)]
    data = evaluation(artifacts.student.context, progress=progress)
    return [*judge_cohort(artifacts, progress, data), *floor_gates(artifacts, data)]


def cohort_comparison(artifacts: Artifacts, data: Evaluation) -> dict:
    """INT8 (numpy model of the firmware's arithmetic) against the float student on labelled people."""
    given = data.fed(artifacts.model)
    return compare(run_torch(artifacts.student, *given), run_integers(artifacts.model, *given), data)
