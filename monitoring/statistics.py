"""Every number that a rule, a page or a metric may ask for, measured from windows on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from aiplatform.errors import InvalidInputError
from monitoring.accuracy import realised_accuracy
from monitoring.drift.results import ColumnDrift, DriftTable, Verdict
from monitoring.models import Window
from monitoring.selectors import (
    Period,
    get_drift,
    get_served_version,
    get_totals,
    latency_quantiles,
    list_served_versions,
    list_windows,
    merge_latency,
    merge_profiles,
)


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """What can be measured. With `zero_is_data`, no traffic at all is the value 0, not 'no data'."""

    name: str
    unit: str
    help: str
    needs_feature: bool = False  # True: may be asked for one feature
    zero_is_data: bool = False


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measured value; None is 'no data' or 'not enough data' (`detail['reason']` says which)."""

    metric: str
    value: float | None
    samples: int
    detail: dict[str, Any] = field(default_factory=dict)


def _catalogue(*infos: MetricInfo) -> dict[str, MetricInfo]:
    return {info.name: info for info in infos}


METRICS: dict[str, MetricInfo] = _catalogue(
    MetricInfo(name="error_rate", unit="share", help="Share of requests that ended in a server error (5xx)"),
    MetricInfo(name="latency_p50_ms", unit="ms", help="Half of the answered requests were faster"),
    MetricInfo(name="latency_p95_ms", unit="ms", help="95% of the answered requests were faster"),
    MetricInfo(name="latency_p99_ms", unit="ms", help="99% of the answered requests were faster"),
    MetricInfo(name="throughput_per_s", unit="1/s", help="Predicted rows per second", zero_is_data=True),
    MetricInfo(name="prediction_count", unit="rows", help="Predicted rows", zero_is_data=True),
    MetricInfo(name="accuracy", unit="share", help="Share of labelled predictions that were right"),
    MetricInfo(name="label_coverage", unit="share", help="Share of predictions whose truth is known"),
    MetricInfo(name="mean_absolute_error", unit="", help="Mean distance of predicted numbers from the truth"),
    MetricInfo(name="drift_psi", unit="PSI", needs_feature=True,
               help="Population stability index; the worst feature's if none is named"),
    MetricInfo(name="drift_ks", unit="KS", needs_feature=True,
               help="Kolmogorov-Smirnov distance; the worst feature's if none is named"),
    MetricInfo(name="drifted_feature_share", unit="share", help="Share of judged features whose verdict is 'drifted'"),
    MetricInfo(name="prediction_drift_psi", unit="PSI", help="Population stability index of what the model predicts"),
    MetricInfo(name="mean_confidence", unit="share", help="Mean confidence of the predicted label"),
)  # fmt: skip


def measure(
    metric: str, *, endpoint: str, version: int | None, window_s: int, now: datetime, feature: str | None = None
) -> Measurement:
    """Return one metric over the last `window_s` seconds, all versions together if `version` is None.

    Drift of several versions is that of the worst, since each has a baseline of its own.
    Raises: InvalidInputError if there is no such metric.
    """
    if metric not in METRICS:
        raise InvalidInputError(f"no metric is named '{metric}'; there are {', '.join(sorted(METRICS))}")
    question = _Question(metric, endpoint, version, Period.last(window_s, now=now), feature)
    return _ANSWERS[metric](question)


@dataclass(frozen=True)
class _Question:
    metric: str
    endpoint: str
    version: int | None
    period: Period
    feature: str | None

    @property
    def windows(self) -> QuerySet[Window]:
        return list_windows(self.endpoint, self.version, self.period)

    def answer(self, value: float | None, samples: int, **detail: Any) -> Measurement:
        if value is None:
            detail.setdefault("reason", "no data")
        return Measurement(metric=self.metric, value=value, samples=samples, detail=detail)


def _error_rate(question: _Question) -> Measurement:
    totals = get_totals(question.windows)
    rate = totals.errors / totals.requests if totals.requests else None
    return question.answer(rate, totals.requests, errors=totals.errors)


def _latency(rank: float) -> Callable[[_Question], Measurement]:
    def answer(question: _Question) -> Measurement:
        sketch = merge_latency(question.windows)
        return question.answer(latency_quantiles(sketch, [rank])[0], int(sketch.n))

    return answer


def _prediction_count(question: _Question) -> Measurement:
    rows = get_totals(question.windows).rows
    return question.answer(float(rows) if rows or _is_known(question) else None, rows)


def _throughput(question: _Question) -> Measurement:
    rows, seconds = get_totals(question.windows).rows, question.period.seconds
    return question.answer(rows / seconds if rows or _is_known(question) else None, rows, seconds=seconds)


def _is_known(question: _Question) -> bool:
    return list_served_versions(question.endpoint, question.version).exists()


def _accuracy(question: _Question) -> Measurement:
    totals = get_totals(question.windows)
    found = realised_accuracy(labelled=totals.labelled, correct=totals.correct, predictions=totals.rows)
    return question.answer(found.value, found.labelled, low=found.low, high=found.high, coverage=found.coverage)


def _coverage(question: _Question) -> Measurement:
    totals = get_totals(question.windows)
    labelled = totals.labelled + totals.valued
    return question.answer(min(1.0, labelled / totals.rows) if totals.rows else None, totals.rows, labelled=labelled)


def _absolute_error(question: _Question) -> Measurement:
    totals = get_totals(question.windows)
    return question.answer(totals.absolute_error_sum / totals.valued if totals.valued else None, totals.valued)


def _confidence(question: _Question) -> Measurement:
    totals = get_totals(question.windows)
    mean = totals.confidence_sum / totals.confidence_count if totals.confidence_count else None
    return question.answer(mean, totals.confidence_count)


def _drift_tables(question: _Question) -> list[tuple[int, DriftTable]]:
    """Return (version, table) for each version with data in the period."""
    versions = question.windows.order_by().values_list("served__version", flat=True).distinct()
    tables = []
    for version in sorted(versions):
        windows = list_windows(question.endpoint, version, question.period)
        served = get_served_version(question.endpoint, version)
        tables.append((version, get_drift(served, merge_profiles(windows))))
    return tables


def _feature_drift(test: str) -> Callable[[_Question], Measurement]:
    def answer(question: _Question) -> Measurement:
        tables = _drift_tables(question)
        columns = [
            (version, column)
            for version, table in tables
            for column in table.features
            if question.feature in (None, "", column.column)
        ]
        return _worst(question, test, columns, tables)

    return answer


def _prediction_drift(question: _Question) -> Measurement:
    tables = _drift_tables(question)
    columns = [(v, column) for v, table in tables for column in table.predictions if column.column != "confidence"]
    return _worst(question, "psi", columns, tables)


def _worst(
    question: _Question, test: str, columns: list[tuple[int, ColumnDrift]], tables: list[tuple[int, DriftTable]]
) -> Measurement:
    results = [(r.statistic, v, c, r) for v, c in columns if (r := c.find_test(test)) and r.statistic is not None]
    seen = max((r.window_samples for _, c in columns if (r := c.find_test(test))), default=0)
    if not results:
        return question.answer(None, seen, reason=_why_no_drift(tables))
    value, version, column, result = max(results, key=lambda found: found[0])
    return question.answer(
        value, result.window_samples, feature=column.column, version=version, p_value=result.p_value,
        verdict=column.verdict.value, baseline_samples=result.baseline_samples,
    )  # fmt: skip


def _drifted_share(question: _Question) -> Measurement:
    tables = _drift_tables(question)
    judged = [(v, c) for v, t in tables for c in t.features if c.verdict is not Verdict.NOT_ENOUGH_DATA]
    drifted = sorted({column.column for _, column in judged if column.verdict is Verdict.DRIFTED})
    samples = max((result.window_samples for _, column in judged for result in column.tests), default=0)
    if not judged:
        return question.answer(None, samples, reason=_why_no_drift(tables))
    count = sum(1 for _, column in judged if column.verdict is Verdict.DRIFTED)
    return question.answer(count / len(judged), samples, features=drifted, judged=len(judged))


def _why_no_drift(tables: list[tuple[int, DriftTable]]) -> str:
    if not tables:
        return "no data"
    return next((f"no baseline: {table.reason}" for _, table in tables if not table.has_baseline), "not enough data")


_ANSWERS: dict[str, Callable[[_Question], Measurement]] = {
    "error_rate": _error_rate,
    "latency_p50_ms": _latency(0.5),
    "latency_p95_ms": _latency(0.95),
    "latency_p99_ms": _latency(0.99),
    "throughput_per_s": _throughput,
    "prediction_count": _prediction_count,
    "accuracy": _accuracy,
    "label_coverage": _coverage,
    "mean_absolute_error": _absolute_error,
    "drift_psi": _feature_drift("psi"),
    "drift_ks": _feature_drift("ks"),
    "drifted_feature_share": _drifted_share,
    "prediction_drift_psi": _prediction_drift,
    "mean_confidence": _confidence,
}
