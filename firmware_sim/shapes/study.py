"""The search itself: Optuna proposes shapes, budgets refuse, short distillations rank, the store remembers.

The store is a SQLite file or any URL of Optuna's, so that several processes or machines join one study and a killed one goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from onwrist.errors import ConfigError, OnwristError
from onwrist.firmware_sim.shapes.costs import Budget, Costs
from onwrist.firmware_sim.shapes.space import beyond, knobs, shape
from onwrist.models.student.network import LADDER, StudentConfig
from onwrist.quantize.teaching.trial import Judged

if TYPE_CHECKING:
    import optuna

# Drawn at random before the sampler believes that it knows something.
FIRST_AT_RANDOM = 10
# A half-trained shape is given up where so many cheaper ones were better by then.
BEATEN_BY = 2
# Values of a shape that was refused before anything was trained: worse than any, and never weighed, because a constraint is broken.
WORST_ERROR, WORST_SPENT = 1e3, 1e12
LADDER_KEY, WHY, COSTS, JUDGED, RUNG_ERROR, IDENTITY = "ladder", "why", "costs", "judged", "rung", "identity"
REFUSED = "refused"


@dataclass(frozen=True)
class Point:
    """A shape that was trained.

    Attributes:
        number: of the trial. ladder: its name if it is one of the ladder's, else empty.
    """

    number: int
    config: StudentConfig
    costs: Costs
    judged: Judged
    ladder: str


@dataclass(frozen=True)
class Task:
    """What a study is about; another one's trials are no help.

    Attributes:
        like: embedding and answers of every shape. hop: samples. window: of the examples.
        against: which cost stands against the error, "instructions" or "flash". identity: whatever has to be equal in every
            process that joins.
    """

    like: StudentConfig
    hop: int
    window: int
    budget: Budget
    against: str
    identity: dict[str, Any]


def open_study(store: str, name: str, task: Task, seed: int) -> optuna.Study:
    """The study of a store, made or joined; the ladder's two are its first shapes.

    Args:
        store: a file, or a URL (sqlite:///..., postgresql://...).

    Raises:
        ConfigError: Optuna is not installed, the store cannot be used, or holds another task's trials.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError("Optuna is not installed", field="search", cure='pip install "onwrist[search]"') from None

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = store if "://" in store else f"sqlite:///{store}"
    try:
        study = optuna.create_study(
            storage=url, study_name=name, directions=["minimize", "minimize"], load_if_exists=True
        )
    except Exception as error:  # of the database's driver, whichever it is
        raise ConfigError(
            f"cannot be used ({str(error).splitlines()[0]})"[:200], where=store, cure="Give a file or a database's URL"
        ) from None
    known = study.user_attrs.get(IDENTITY)
    if known is None:
        study.set_user_attr(IDENTITY, task.identity)
        for size in LADDER:
            study.enqueue_trial(knobs(LADDER[size], task.hop), user_attrs={LADDER_KEY: size}, skip_if_exists=True)
    elif known != task.identity:
        other = ", ".join(k for k in task.identity if known.get(k) != task.identity[k])
        raise ConfigError(
            f"is a study with another {other}", where=store, cure="Use another --study, or the same options"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several of the sampler's options are called experimental
        # A process that joins must not propose what another did.
        study.sampler = optuna.samplers.TPESampler(
            seed=seed + len(study.trials), multivariate=True, group=True, n_startup_trials=FIRST_AT_RANDOM,
            constraints_func=lambda trial: (1.0 if trial.user_attrs.get(REFUSED) else 0.0,),
        )  # fmt: skip
    return study


def explore(
    study: optuna.Study,
    task: Task,
    cost: Callable[[StudentConfig, Budget], Costs],
    teach: Callable[[StudentConfig, Callable[[float], bool]], Judged | None],
) -> Iterator[tuple[int, str]]:
    """Propose, refuse, train, remember; yields (number, what became of it) after each shape, for ever.

    Args:
        cost: of a shape, as far as it keeps a budget; the ladder's two are there to compare with, whatever they cost. teach: trains it, asks once whether to give up, judges it.
    """
    while True:
        trial = study.ask()
        config = shape(trial, task.like, task.hop)
        why = beyond(config, task.window)
        budget = Budget() if LADDER_KEY in trial.user_attrs else task.budget
        costs = None
        if not why:
            try:
                costs = cost(config, budget)
                why = budget.broken(costs)
            except OnwristError as error:
                why = str(error)
        if costs is not None:
            trial.set_user_attr(COSTS, asdict(costs))
        judged = None
        if not why and costs is not None:
            spent = _spent(costs, task.against)

            def give_up(error: float, trial=trial, spent=spent) -> bool:
                trial.set_user_attr(RUNG_ERROR, error)
                return LADDER_KEY not in trial.user_attrs and beaten(study, error, spent, task.against)

            judged = teach(config, give_up)
            why = "" if judged else "given up half-way: cheaper ones were better by then"
        # The sampler has to be told values of every shape: it cannot weigh one without.
        half_way = trial.user_attrs.get(RUNG_ERROR)
        if judged is not None and costs is not None:
            trial.set_user_attr(JUDGED, asdict(judged))
            values = [judged.error, _spent(costs, task.against)]
        elif half_way is not None and costs is not None:
            trial.set_user_attr(WHY, why)
            values = [half_way, _spent(costs, task.against)]
        else:
            trial.set_user_attr(WHY, why)
            trial.set_user_attr(REFUSED, True)
            values = [WORST_ERROR, WORST_SPENT]
        study.tell(trial, values)
        yield trial.number, why


def beaten(study: optuna.Study, error: float, spent: float, against: str) -> bool:
    """Whether cheaper shapes had a smaller error half-way."""
    better = 0
    for other in study.get_trials(deepcopy=False):
        costs, half_way = other.user_attrs.get(COSTS), other.user_attrs.get(RUNG_ERROR)
        if half_way is not None and costs[against] <= spent and half_way < error:
            better += 1
    return better >= BEATEN_BY


def points(study: optuna.Study, task: Task) -> list[Point]:
    """Every shape that was trained to the end of its trial."""
    import optuna

    found = []
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
        if JUDGED not in trial.user_attrs:
            continue
        config = shape(optuna.trial.FixedTrial(trial.params), task.like, task.hop)
        judged = Judged(**trial.user_attrs[JUDGED])
        found.append(
            Point(trial.number, config, Costs(**trial.user_attrs[COSTS]), judged, trial.user_attrs.get(LADDER_KEY, ""))
        )
    return found


def refused(study: optuna.Study) -> dict[str, int]:
    """How many shapes were not trained to the end, by the first words of why."""
    found: dict[str, int] = {}
    for trial in study.get_trials(deepcopy=False):
        if WHY not in trial.user_attrs:
            continue
        why = str(trial.user_attrs[WHY])
        key = (
            "given up half-way"
            if why.startswith("given up")
            else "beyond the window"
            if why.startswith("sees")
            else "over budget"
        )
        found[key] = found.get(key, 0) + 1
    return found


def front(found: list[Point], task: Task) -> list[Point]:
    """Those within budget that no other beats on one axis without being worse on the other, cheapest first."""
    kept: list[Point] = []
    fitting = [p for p in found if not task.budget.broken(p.costs)]
    for point in sorted(fitting, key=lambda p: (_spent(p.costs, task.against), p.judged.error)):
        if not kept or point.judged.error < kept[-1].judged.error:
            kept.append(point)
    return kept


def better_than(found: list[Point], size: str) -> list[Point]:
    """Shapes that are better than one of the ladder's in error, flash, RAM or instructions, and worse in none of them."""
    own = next((p for p in found if p.ladder == size), None)
    if own is None:
        return []
    theirs = _axes(own)
    return [
        p
        for p in found
        if p is not own and _axes(p) != theirs and all(a <= b for a, b in zip(_axes(p), theirs, strict=True))
    ]


def _axes(point: Point) -> tuple[float, ...]:
    c = point.costs
    return point.judged.error, c.flash, c.ram, c.instructions or 0


def _spent(costs: Costs, against: str) -> float:
    return float(getattr(costs, against) or 0)
