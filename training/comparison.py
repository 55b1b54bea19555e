"""Several runs side by side: what differs in their orders, what they reached, and how they got there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import F, Max, Q

from aiplatform.errors import InvalidInputError
from training import selectors
from training.models import EpochMetrics, Run, RunEvaluation
from training.states import VersionState

FEWEST, MOST = 2, 8
CURVE_POINTS = 200
LARGEST_MATRIX = 30  # classes; beyond it a page has no room for the cells
_LESS_IS_BETTER = (
    "loss",
    "error",
    "mae",
    "mse",
    "rmse",
    "mape",
    "smape",
    "brier",
    "perplexity",
    "cost",
    "seconds",
    "ece",
)
_ORDER_FIELDS = ("recipe", "data_uri", "target", "model_name", "seed")
_KNOWN_LATER = ("data_fingerprint", "code_commit")  # an empty one is not known yet, which is no difference

Point = tuple[float, float | None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One parameter or metric of all runs, in their order; `best` are the places of the best values."""

    name: str
    values: tuple[Any, ...]
    best: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts of one run; rows are true classes, columns predicted ones."""

    run: Run
    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs side by side. `curves`: for each metric the points (epoch, value) by the run's short id."""

    runs: tuple[Run, ...]
    parameters: tuple[Row, ...]
    metrics: tuple[Row, ...]
    curves: dict[str, dict[str, list[Point]]]
    confusions: tuple[Confusion, ...]


def compare_runs(references: Sequence[str | UUID]) -> Comparison:
    """Return runs side by side, in the given order.

    Raises: InvalidInputError if they are not 2 to 8 different ones; NotFoundError naming one that is not there.
    """
    runs = _find_runs(references)
    curves = _curves(runs)
    return Comparison(
        runs=tuple(runs),
        parameters=tuple(_differing_parameters(runs)),
        metrics=tuple(_metric_rows(runs)),
        curves=curves,
        confusions=tuple(_confusions(runs)),
    )


def is_less_better(metric: str) -> bool:
    """Say whether a smaller value of a metric is the better one, by the words of its name."""
    return any(word in _LESS_IS_BETTER for word in metric.replace(" ", "_").split("_"))


def epoch_curves(runs: Sequence[Run]) -> dict[Any, dict[str, list[Point]]]:
    """Return by run and metric the points (epoch, value), about 200 of each run at most, the last among them."""
    ids = [run.pk for run in runs]
    rows = EpochMetrics.objects.filter(run_id__in=ids)
    lengths = dict(rows.order_by().values_list("run_id").annotate(last=Max("epoch")))
    wanted = Q(pk__in=[])
    for run_id, last in lengths.items():
        stride = math.ceil(last / CURVE_POINTS)
        own = Q(run_id=run_id) if stride == 1 else Q(run_id=run_id) & (Q(**{f"kept_{stride}": 0}) | Q(epoch=last))
        rows = rows if stride == 1 else rows.annotate(**{f"kept_{stride}": F("epoch") % stride})
        wanted |= own
    curves: dict[Any, dict[str, list[Point]]] = {run_id: {} for run_id in ids}
    for run_id, epoch, values in rows.filter(wanted).order_by("epoch").values_list("run_id", "epoch", "values"):
        for name, value in values.items():
            curves[run_id].setdefault(name, []).append((epoch, value))
    return curves


def _find_runs(references: Sequence[str | UUID]) -> list[Run]:
    if not FEWEST <= len(references) <= MOST:
        raise InvalidInputError(f"{FEWEST} to {MOST} runs can be compared, not {len(references)}")
    ids = [selectors.get_run(reference).pk for reference in references]
    if len(set(ids)) != len(ids):
        raise InvalidInputError("a run can be compared with others only, and is given twice")
    found = selectors.list_runs().filter(pk__in=ids).in_bulk()
    return [found[run_id] for run_id in ids]


def _differing_parameters(runs: Sequence[Run]) -> list[Row]:
    rows = [Row(name=name, values=tuple(getattr(run, name) for run in runs)) for name in _ORDER_FIELDS]
    rows += [
        Row(name=name, values=tuple(getattr(run, name) for run in runs))
        for name in _KNOWN_LATER
        if all(getattr(run, name) for run in runs)
    ]
    names = dict.fromkeys(name for run in runs for name in run.parameters)
    rows += [Row(name=name, values=tuple(run.parameters.get(name) for run in runs)) for name in names]
    packages = dict.fromkeys(name for run in runs if run.packages for name in run.packages)
    rows += [
        Row(name=f"package {name}", values=tuple(run.packages.get(name) for run in runs))
        for name in packages
        if all(run.packages for run in runs)
    ]
    return [row for row in rows if any(value != row.values[0] for value in row.values[1:])]


def _metric_rows(runs: Sequence[Run]) -> list[Row]:
    tested = [_test_metrics(run) for run in runs]
    last = [_last_metrics(run) for run in runs]
    rows = [_row(f"test {name}", [of.get(name) for of in tested]) for name in _names(tested)]
    rows += [_row(name, [of.get(name) for of in last]) for name in _names(last)]
    return [*rows, _row("seconds", [run.duration_s if run.is_ended else None for run in runs])]


def _test_metrics(run: Run) -> dict[str, float | None]:
    version = getattr(run, "version", None)
    if version is not None and version.state == VersionState.READY:
        return dict(version.metrics)
    evaluation = RunEvaluation.objects.filter(run=run).first()
    return dict(evaluation.metrics) if evaluation else {}


def _last_metrics(run: Run) -> dict[str, float | None]:
    newest = EpochMetrics.objects.filter(run=run).order_by("-epoch").first()
    return dict(newest.values) if newest else {}


def _names(metrics: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for of in metrics for name in of))


def _row(name: str, values: Sequence[float | None]) -> Row:
    known = [value for value in values if value is not None]
    best: tuple[int, ...] = ()
    if len(known) > 1 and min(known) != max(known):
        wanted = min(known) if is_less_better(name) else max(known)
        best = tuple(place for place, value in enumerate(values) if value == wanted)
    return Row(name=name, values=tuple(values), best=best)


def _curves(runs: Sequence[Run]) -> dict[str, dict[str, list[Point]]]:
    by_run = epoch_curves(runs)
    curves: dict[str, dict[str, list[Point]]] = {}
    for run in runs:
        for name, points in by_run[run.pk].items():
            curves.setdefault(name, {})[run.short_id] = points
    return curves


def _confusions(runs: Sequence[Run]) -> list[Confusion]:
    found = RunEvaluation.objects.in_bulk([run.pk for run in runs])
    return [
        Confusion(
            run=run,
            labels=tuple(map(str, found[run.pk].labels)),
            matrix=tuple(tuple(row) for row in found[run.pk].confusion_matrix),
        )
        for run in runs
        if run.pk in found and 0 < len(found[run.pk].confusion_matrix) <= LARGEST_MATRIX
    ]
