"""Reads of runs and of the registry, for commands, APIs, pages and supervision."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Count, F, Max, Min, Model, Q, QuerySet
from django.utils import timezone

from aiplatform.errors import InvalidInputError, NotFoundError
from training.models import (
    Alias,
    EpochMetrics,
    ModelVersion,
    RegisteredModel,
    Run,
    RunData,
    RunTag,
    RunUsage,
    Search,
    Trial,
)
from training.names import LATEST
from training.states import ACTIVE_STATES, ENDED_STATES, DeployState, RunState, SearchState, TrialState, VersionState

Row = TypeVar("Row", bound=Model)
FEWEST_POINTS, MOST_POINTS = 2, 10_000  # of a curve that is thinned
_ID_PREFIX = re.compile(r"[0-9a-f]{4,32}")


def find_run(run_id: UUID) -> Run | None:
    """Return a run, or None."""
    return Run.objects.filter(pk=run_id).first()


def get_run(reference: str | UUID) -> Run:
    """Return a run by its id or by the first four or more characters of it.

    Raises: NotFoundError if there is none; InvalidInputError if several begin so.
    """
    return _get_by_id(Run.objects.all(), reference, one="run", many="runs")


def get_search(reference: str | UUID) -> Search:
    """Return a search by its id or by the first four or more characters of it.

    Raises: NotFoundError if there is none; InvalidInputError if several begin so.
    """
    return _get_by_id(Search.objects.all(), reference, one="search", many="searches")


def list_searches() -> QuerySet[Search]:
    """Return searches, newest first."""
    return Search.objects.prefetch_related("trials")


def list_running_searches() -> list[Search]:
    """Return searches that are to be advanced."""
    return list(Search.objects.filter(state=SearchState.RUNNING).order_by("created_at"))


def best_trial(search: Search) -> Trial | None:
    """Return the complete trial with the best value, the first of equals; None if none is complete."""
    order = "value" if search.is_minimized else "-value"
    complete = search.trials.filter(state=TrialState.COMPLETE, value__isnull=False)
    return complete.select_related("run").order_by(order, "number").first()


def list_spent_trials(run_ids: Sequence[UUID]) -> list[UUID]:
    """Return those of the runs that are ended trials of a search that is over, neither its best nor registered."""
    over = Trial.objects.filter(run_id__in=run_ids, run__state__in=ENDED_STATES, run__registers=False)
    closed = over.exclude(state=TrialState.RUNNING).exclude(search__state=SearchState.RUNNING).select_related("search")
    trials = list(closed)
    best = {search.pk: best_trial(search) for search in {trial.search for trial in trials}}
    return [trial.run_id for trial in trials if trial != best[trial.search_id] and trial.run_id is not None]


def metric_by_epoch(run_ids: Sequence[UUID], metric: str) -> dict[UUID, dict[int, float]]:
    """Return a metric of runs by epoch; what is no number is left out."""
    found: dict[UUID, dict[int, float]] = {}
    rows = EpochMetrics.objects.filter(run_id__in=run_ids).order_by("epoch")
    for run_id, epoch, values in rows.values_list("run_id", "epoch", "values"):
        if values.get(metric) is not None:
            found.setdefault(run_id, {})[epoch] = float(values[metric])
    return found


def _get_by_id(rows: QuerySet[Row], reference: str | UUID, *, one: str, many: str) -> Row:
    text = str(reference).replace("-", "").lower()
    if not _ID_PREFIX.fullmatch(text):
        raise InvalidInputError(f"a {one}'s id is 4 or more of 0-9 a-f, not '{reference}'")
    low, high = UUID(text.ljust(32, "0")), UUID(text.ljust(32, "f"))
    found = list(rows.filter(pk__gte=low, pk__lte=high)[:2])
    if not found:
        raise NotFoundError(f"there is no {one} '{reference}'")
    if len(found) > 1:
        raise InvalidInputError(f"several {many} begin with '{reference}'; give more characters")
    return found[0]


def list_runs(
    *, state: str = "", model_name: str = "", tag: str = "", limit: int | None = None, has_tags: bool = True
) -> QuerySet[Run]:
    """Return runs, newest first, with their versions and, unless `has_tags` is false, their tags."""
    runs = Run.objects.select_related("version", "version__model")
    if has_tags:
        runs = runs.prefetch_related("tags")
    if tag:
        runs = runs.filter(tags__name=tag)
    if state:
        runs = runs.filter(state=state)
    if model_name:
        runs = runs.filter(model_name=model_name)
    return runs[:limit] if limit is not None else runs


def list_repeatable_runs(limit: int) -> list[Run]:
    """Return the runs that succeeded last and are no trials of a search, newest first: what may be trained again."""
    return list(list_runs(state=RunState.SUCCEEDED).filter(registers=True)[:limit])


def tags_of(runs: Sequence[Run]) -> dict[UUID, list[str]]:
    """Return the names of the tags of some runs, in order, by the runs' keys; without those that have none."""
    found: dict[UUID, list[str]] = {}
    for key, name in RunTag.objects.filter(run__in=[run.pk for run in runs]).values_list("run", "name"):
        found.setdefault(key, []).append(name)
    return {key: sorted(names) for key, names in found.items()}


def list_tags(limit: int = 100) -> list[str]:
    """Return the tags that most runs have, by name."""
    counted = RunTag.objects.order_by().values_list("name").annotate(count=Count("id")).order_by("-count")
    return sorted(name for name, _ in counted[:limit])


def is_training_going_on() -> bool:
    """Say whether a run waits, is held by a process or is to be deployed, or a search is to be advanced."""
    open_runs = Q(state__in=[RunState.QUEUED, *ACTIVE_STATES]) | Q(deploy_state=DeployState.PENDING)
    return Run.objects.filter(open_runs).exists() or Search.objects.filter(state=SearchState.RUNNING).exists()


def list_active_runs() -> list[Run]:
    """Return the runs that a process holds."""
    return list(Run.objects.filter(state__in=ACTIVE_STATES))


def count_workers(run_id: UUID) -> int:
    """Return how many processes share a run's steps; a recipe may have no such parameter."""
    parameters = Run.objects.values_list("parameters", flat=True).get(pk=run_id)
    return int(parameters.get("workers", 1))


def list_runs_to_ring(*, silent_s: float) -> list[Run]:
    """Return queued runs for which nobody rang during the last `silent_s` seconds, oldest first."""
    since = timezone.now() - timedelta(seconds=silent_s)
    queued = Run.objects.filter(state=RunState.QUEUED).order_by("created_at")
    return list(queued.filter(rung_at=None) | queued.filter(rung_at__lte=since))


def list_due_deployments() -> list[Run]:
    """Return runs whose deployment is to be tried now."""
    return list(Run.objects.filter(deploy_state=DeployState.PENDING, deploy_next_at__lte=timezone.now()))


def list_epochs(run: Run, *, since: datetime | None = None) -> list[EpochMetrics]:
    """Return a run's epochs in order, or those that were recorded at a moment or after it."""
    epochs = run.epochs.all()
    return list(epochs if since is None else epochs.filter(recorded_at__gte=since))


def list_epoch_rows(run: Run, *, points: int | None = None) -> list[dict[str, Any]]:
    """Return `epoch`, `values`, `recorded_at` of a run's epochs in order: all, or about `points`, the last among them.

    What is left out is not read. Raises: InvalidInputError if `points` is not from 2 to 10,000.
    """
    epochs = run.epochs.all()
    if points is not None:
        if not FEWEST_POINTS <= points <= MOST_POINTS:
            raise InvalidInputError(f"points must be from {FEWEST_POINTS} to {MOST_POINTS}, not {points}")
        last = epochs.aggregate(last=Max("epoch"))["last"] or 0
        stride = max(1, math.ceil(last / points))
        epochs = epochs.alias(beyond=F("epoch") % stride).filter(Q(beyond=0) | Q(epoch=last))
    return [dict(row) for row in epochs.values("epoch", "values", "recorded_at")]


def charts_mark(run: Run) -> tuple[Any, ...]:
    """Return what changes when a run's charts do."""
    epochs = run.epochs.aggregate(count=Count("id"), last=Max("recorded_at"))
    measured_at = RunUsage.objects.filter(run=run).values_list("measured_at", flat=True).first()
    return epochs["count"], epochs["last"], measured_at


def find_usage(run: Run) -> RunUsage | None:
    """Return what was measured of a run's process; None if nothing was."""
    return RunUsage.objects.filter(run=run).first()


def find_data_sources(run: Run) -> list[dict[str, Any]]:
    """Return what a run found in each source of its data; empty before it has looked."""
    found = RunData.objects.filter(run=run).first()
    return list(found.sources) if found else []


def training_curves(run: Run) -> dict[str, list[tuple[float, float | None]]]:
    """Return for each metric its points (epoch, value)."""
    curves: dict[str, list[tuple[float, float | None]]] = {}
    for point in list_epochs(run):
        for name, value in point.values.items():
            curves.setdefault(name, []).append((point.epoch, value))
    return curves


def count_runs_by_state() -> dict[str, int]:
    """Return how many runs are in each state."""
    counted = Run.objects.order_by().values_list("state").annotate(count=Count("id"))
    return dict.fromkeys(RunState.values, 0) | dict(counted)


def list_models() -> QuerySet[RegisteredModel]:
    """Return models that have at least one ready version, by name, with the number of the `newest`."""
    ready = Q(versions__state=VersionState.READY)
    models = RegisteredModel.objects.annotate(newest=Max("versions__version", filter=ready))
    return models.filter(newest__isnull=False).order_by("name").prefetch_related("aliases__version")


def longest_wait_s() -> float:
    """Return how long the oldest queued run has waited; 0 if none waits."""
    return _age_s(Run.objects.filter(state=RunState.QUEUED).aggregate(first=Min("created_at"))["first"])


def longest_run_s() -> float:
    """Return how long the oldest active run has been going; 0 if none is."""
    return _age_s(Run.objects.filter(state__in=ACTIVE_STATES).aggregate(first=Min("started_at"))["first"])


def last_run_s() -> float:
    """Return how long the run that ended last took; 0 if none has."""
    run = Run.objects.filter(started_at__isnull=False, ended_at__isnull=False).order_by("-ended_at").first()
    return 0.0 if run is None else run.duration_s or 0.0


def _age_s(moment: datetime | None) -> float:
    return 0.0 if moment is None else (timezone.now() - moment).total_seconds()


def newest_number(model: RegisteredModel) -> int:
    """Return the number of the newest ready version of a model from `list_models`."""
    return int(model.newest)  # type: ignore[attr-defined]


def get_model(name: str) -> RegisteredModel:
    """Return a model.

    Raises: NotFoundError if there is none.
    """
    model = list_models().filter(name=name).first()
    if model is None:
        raise NotFoundError(f"there is no model '{name}'")
    return model


def list_versions(model_name: str = "") -> QuerySet[ModelVersion]:
    """Return ready versions, newest first, of one model or of all."""
    versions = ModelVersion.objects.filter(state=VersionState.READY).select_related("model", "run")
    versions = versions.prefetch_related("aliases").order_by("model__name", "-version")
    return versions.filter(model__name=model_name) if model_name else versions


def list_latest_runs(model_name: str, *, limit: int = 100) -> list[Run]:
    """Return a model's latest runs with their versions, newest first."""
    return list(Run.objects.filter(model_name=model_name).select_related("version").order_by("-created_at")[:limit])


def get_version(model_name: str, reference: str) -> ModelVersion:
    """Return a version by number, by alias, or the newest for 'latest'.

    Raises: NotFoundError naming what is not there.
    """
    versions = list_versions(model_name)
    if reference == LATEST:
        found = versions.first()
    elif reference.isdigit():
        found = versions.filter(version=int(reference[:9])).first()
    else:
        found = versions.filter(aliases__name=reference).first()
    if found is None:
        get_model(model_name)
        what = "version" if reference.isdigit() else "alias"
        raise NotFoundError(f"model '{model_name}' has no {what} '{reference}'")
    return found


def list_aliases(model_name: str) -> QuerySet[Alias]:
    """Return a model's aliases by name."""
    return Alias.objects.filter(model__name=model_name).select_related("version", "model")


def list_recent_runs(limit: int) -> Sequence[Run]:
    """Return active and waiting runs first, then the newest of the others."""
    live = list(Run.objects.filter(state__in=(*ACTIVE_STATES, RunState.QUEUED))[:limit])
    ended = Run.objects.exclude(state__in=(*ACTIVE_STATES, RunState.QUEUED))[: limit - len(live)]
    return [*live, *ended]
