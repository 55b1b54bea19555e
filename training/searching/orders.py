"""What people and programs order of a search: its beginning, its end, more trials, its winner in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog
from django.utils import timezone

from aiplatform.errors import ConflictError, InvalidInputError
from training import selectors
from training.comparison import is_less_better
from training.models import Run, Search
from training.recipe_defaults import get_recipe
from training.resources.asking import ResourceOrder
from training.searching.choosing import GRID, PRUNERS, SAMPLERS
from training.searching.space import Dimension, grid_points, parse_space
from training.services import RunOrder, cancel_run, check_order, register_run, resume_run
from training.states import RunState, SearchState, TrialState

log = structlog.get_logger(__name__)

MOST_TRIALS, MOST_PARALLEL = 1000, 64


@dataclass(frozen=True, kw_only=True)
class SearchOrder:
    """What to search. `space` as people write it; `metric` of the epochs; `goal` empty: by the metric's name."""

    recipe: str
    data_uri: str
    model_name: str
    space: str
    target: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    trials: int = 20
    parallel: int = 1
    sampler: str = "tpe"
    pruner: str = "median"
    metric: str = "val_loss"
    goal: str = ""
    actor: str = ""
    resources: ResourceOrder = field(default_factory=ResourceOrder)


def create_search(order: SearchOrder) -> Search:
    """Begin a search; the clock, or a waiting command, orders its trials.

    Raises: InvalidInputError (or a class of it) naming the rule and the value received; nothing is begun.
    """
    space = parse_space(order.space, get_recipe(order.recipe).parameters)
    _check(order, space)
    values = check_order(
        RunOrder(
            recipe=order.recipe, data_uri=order.data_uri, model_name=order.model_name, target=order.target,
            parameters=order.parameters, seed=order.seed, resources=order.resources,
        )
    )  # fmt: skip
    wanted = min(order.trials, len(grid_points(space))) if order.sampler == GRID else order.trials
    goal = order.goal or ("min" if is_less_better(order.metric) else "max")
    search = Search.objects.create(
        recipe=order.recipe, parameters=values, data_uri=order.data_uri, target=order.target,
        model_name=order.model_name, seed=order.seed, requested_by=order.actor,
        space=[dimension.to_dict() for dimension in space], metric=order.metric, is_minimized=goal == "min",
        sampler=order.sampler, pruner=order.pruner, trials_wanted=wanted, parallel=order.parallel,
        resources=asdict(order.resources),
    )  # fmt: skip
    log.info("search_created", search=str(search.pk), recipe=search.recipe, trials=wanted, actor=order.actor)
    return search


def cancel_search(search: Search, *, actor: str = "") -> Search:
    """Order no further trial, and cancel those that run.

    Raises: ConflictError if it has ended.
    """
    done = Search.objects.filter(pk=search.pk, state=SearchState.RUNNING).update(
        state=SearchState.CANCELLED, message="cancelled", ended_at=timezone.now()
    )
    search.refresh_from_db()
    if not done:
        raise ConflictError(f"search {search.short_id} has ended already: {search.get_state_display().lower()}")
    for run in Run.objects.filter(trial__search=search):
        if not run.is_ended:
            _cancel_quietly(run, actor)
    log.info("search_cancelled", search=str(search.pk), actor=actor)
    return search


def resume_search(search: Search, *, trials: int | None = None, actor: str = "") -> Search:
    """Go on with a search that has ended, up to so many trials altogether.

    Raises: ConflictError if it is running; InvalidInputError if there would be nothing to do.
    """
    wanted = search.trials_wanted if trials is None else trials
    so_far = search.trials.count()
    has_open = search.trials.filter(state=TrialState.RUNNING).exists()
    least = so_far if has_open else so_far + 1
    if not least <= wanted <= MOST_TRIALS:
        raise InvalidInputError(f"trials must be from {least} (it has had {so_far}) to {MOST_TRIALS}, not {wanted}")
    done = Search.objects.filter(pk=search.pk).exclude(state=SearchState.RUNNING).update(
        state=SearchState.RUNNING, message="", ended_at=None, trials_wanted=wanted, lease_expires_at=None
    )  # fmt: skip
    search.refresh_from_db()
    if not done:
        raise ConflictError(f"search {search.short_id} is running")
    for run in Run.objects.filter(trial__search=search, trial__state=TrialState.RUNNING, state=RunState.CANCELLED):
        resume_run(run, actor=actor)
    log.info("search_resumed", search=str(search.pk), trials=wanted, actor=actor)
    return search


def register_winner(search: Search, *, deploy_endpoint: str = "", actor: str = "") -> Run:
    """Have the best trial's model registered, and deployed if an endpoint is named; return its run.

    Raises: ConflictError if no trial is complete, or the best one is registered already.
    """
    best = selectors.best_trial(search)
    if best is None or best.run is None:
        raise ConflictError(f"search {search.short_id} has no complete trial yet")
    return register_run(best.run, deploy_endpoint=deploy_endpoint, actor=actor)


def _check(order: SearchOrder, space: list[Dimension]) -> None:
    for name, value, most in (("trials", order.trials, MOST_TRIALS), ("parallel", order.parallel, MOST_PARALLEL)):
        if not 1 <= value <= most:
            raise InvalidInputError(f"{name} must be from 1 to {most}, not {value}")
    for name, text, known in (
        ("sampler", order.sampler, SAMPLERS),
        ("pruner", order.pruner, PRUNERS),
        ("goal", order.goal, ("", "min", "max")),
    ):
        if text not in known:
            raise InvalidInputError(f"{name} must be one of {', '.join(filter(None, known))}, not '{text}'")
    if not order.metric:
        raise InvalidInputError("metric must name what the epochs are judged by, for example val_loss")
    if order.metric.startswith("test"):
        raise InvalidInputError(
            f"'{order.metric}': test rows must not choose parameters; take one of the epochs' metrics"
        )
    for dimension in space:
        if dimension.name in order.parameters:
            raise InvalidInputError(f"'{dimension.name}' is in the space and set to {order.parameters[dimension.name]}")
        if dimension.points and order.sampler != GRID:
            raise InvalidInputError(f"'/{dimension.points}' of '{dimension.name}' is for the sampler 'grid' only")


def _cancel_quietly(run: Run, actor: str) -> None:
    try:
        cancel_run(run, actor=actor)
    except ConflictError:
        run.refresh_from_db()
        if not run.is_ended:
            raise
