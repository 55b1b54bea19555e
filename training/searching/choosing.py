"""Asks Optuna for the next trial and whether one is worth going on with, from what has been seen so far.

Optuna keeps nothing: its study is made anew, in memory, from the trials that the database holds, so any process may ask
and none is missed. What a pruner notes on a trial (its rung) is given back to be kept.
Sources: TPE, Bergstra et al., Algorithms for Hyper-Parameter Optimization (NIPS 2011);
Hyperband, Li et al. (JMLR 2018).
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.searching.space import Dimension, grid_points

if TYPE_CHECKING:
    import optuna

TPE, RANDOM, GRID = SAMPLERS = ("tpe", "random", "grid")
NO_PRUNER, MEDIAN, HYPERBAND = PRUNERS = ("none", "median", "hyperband")
FEWEST_FOR_IMPORTANCE = 4


@dataclass(frozen=True, kw_only=True)
class SeenTrial:
    """A trial so far. `value` None: it has none (yet). `steps`: the metric by epoch. `notes`: a pruner's own."""

    number: int
    values: Mapping[str, Any]
    state: str  # 'running', 'complete', 'pruned' or 'failed'
    value: float | None = None
    steps: Mapping[int, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a search wants. `epochs` is how many a trial has at most."""

    name: str
    space: tuple[Dimension, ...]
    is_minimized: bool
    sampler: str
    pruner: str
    seed: int
    epochs: int


def propose(study: Study, seen: Sequence[SeenTrial], number: int) -> dict[str, Any] | None:
    """Return the values of trial `number`, the same whoever asks; None if a grid has no further combination."""
    if study.sampler == GRID:
        points = grid_points(study.space)
        random.Random(study.seed).shuffle(points)  # noqa: S311 (an order, not a secret)
        return points[number] if number < len(points) else None
    made = _make_study(study, seen, seed=_seed_of(study, number))
    return dict(made.ask(_distributions(study.space)).params)


def should_prune(study: Study, seen: Sequence[SeenTrial], number: int) -> tuple[bool, dict[str, Any]]:
    """Say whether a running trial is to be given up, and return what the pruner noted on it."""
    if study.pruner == NO_PRUNER:
        return False, {}
    made = _make_study(study, seen, seed=study.seed)
    place = next(place for place, trial in enumerate(seen) if trial.number == number)
    trial = made.get_trials(deepcopy=True)[place]
    if trial.last_step is None:
        return False, {}
    verdict = bool(made.pruner.prune(made, trial))
    return verdict, dict(made.get_trials(deepcopy=True)[place].system_attrs)


def importances(study: Study, seen: Sequence[SeenTrial]) -> dict[str, float]:
    """Return how much each parameter mattered, shares of 1, largest first; empty if too few trials are complete.

    Source: PED-ANOVA, Watanabe et al., IJCAI 2023.
    """
    complete = [trial for trial in seen if trial.state == "complete"]
    if len(complete) < FEWEST_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    made = _make_study(study, complete, seed=study.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the evaluator is marked as experimental
        found = get_param_importances(made, evaluator=PedAnovaImportanceEvaluator())
    total = sum(found.values()) or 1.0
    return {name: round(value / total, 4) for name, value in found.items()}


def _make_study(study: Study, seen: Sequence[SeenTrial], *, seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(
        study_name=study.name,  # Hyperband deals trials to its brackets by it
        direction="minimize" if study.is_minimized else "maximize",
        sampler=_sampler(study, seed),
        pruner=_pruner(study),
    )
    for trial in seen:
        made.add_trial(_frozen(study, trial))
    return made


def _sampler(study: Study, seed: int) -> Any:
    from optuna.samplers import RandomSampler, TPESampler

    return RandomSampler(seed=seed) if study.sampler == RANDOM else TPESampler(seed=seed, constant_liar=True)


def _pruner(study: Study) -> Any:
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if study.pruner == MEDIAN:
        return MedianPruner(n_startup_trials=3, n_warmup_steps=1)
    if study.pruner == HYPERBAND:
        return HyperbandPruner(min_resource=1, max_resource=max(1, study.epochs), reduction_factor=3)
    return NopPruner()


def _frozen(study: Study, trial: SeenTrial) -> Any:
    from optuna.trial import TrialState, create_trial

    states = {
        "running": TrialState.RUNNING,
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    is_told = trial.state in ("complete", "pruned")
    return create_trial(
        state=states[trial.state],
        value=trial.value if is_told else None,
        params={dimension.name: _plain(dimension, trial.values[dimension.name]) for dimension in study.space},
        distributions=_distributions(study.space),
        intermediate_values=dict(trial.steps),
        system_attrs=dict(trial.notes),
    )


def _distributions(space: Sequence[Dimension]) -> dict[str, Any]:
    return {dimension.name: _distribution(dimension) for dimension in space}


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(list(dimension.choices))
    if dimension.is_whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.is_log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.is_log)


def _plain(dimension: Dimension, value: Any) -> Any:
    return int(value) if dimension.is_whole and not dimension.choices else value


def _seed_of(study: Study, number: int) -> int:
    """Return a seed of a trial's own: with one for all, every trial would be the first."""
    return int.from_bytes(hashlib.sha256(f"{study.seed}/{study.name}/{number}".encode()).digest()[:4])
