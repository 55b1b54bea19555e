"""Sets the gauges that Prometheus reads: drift, accuracy, coverage of every version in use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings

from monitoring import metrics
from monitoring.accuracy import realised_accuracy
from monitoring.drift.results import ColumnDrift
from monitoring.models import ServedVersion
from monitoring.performance import metrics as performance_metrics
from monitoring.performance.selectors import get_estimate, get_version_totals
from monitoring.readings import Readings
from monitoring.selectors import Period, get_drift, list_active_served, list_windows, merge_profiles

ACTIVE_FOR = timedelta(hours=1)  # after its last prediction a version's gauges are still set, to NaN if silent


def update_gauges(*, now: datetime | None = None) -> None:
    """Measure each version in use over DRIFT_PERIOD_S."""
    now = now or datetime.now(UTC)
    period = Period.last(settings.DRIFT_PERIOD_S, now=now)
    for served in list_active_served(period.start - ACTIVE_FOR):
        _set_gauges(served, period)


def _set_gauges(served: ServedVersion, period: Period) -> None:
    names = (served.endpoint, str(served.version))
    readings = Readings()
    totals = get_version_totals(served.endpoint, served.version, period, readings)
    accuracy = realised_accuracy(labelled=totals.labelled, correct=totals.correct, predictions=totals.rows)
    metrics.ACCURACY.labels(*names).set(_number(accuracy.value))
    metrics.LABEL_COVERAGE.labels(*names).set(_number(accuracy.coverage))
    confidence = totals.confidence_sum / totals.confidence_count if totals.confidence_count else None
    metrics.MEAN_CONFIDENCE.labels(*names).set(_number(confidence))
    estimated = get_estimate(served, period, readings).accuracy.value
    performance_metrics.ESTIMATED_ACCURACY.labels(*names).set(_number(estimated))
    profile = merge_profiles(list_windows(served.endpoint, served.version, period))
    drift = get_drift(served, profile, readings)
    for column in drift.features:
        metrics.DRIFT_SCORE.labels(*names, column.column).set(_number(column.statistic("psi")))
    said = [column for column in drift.predictions if column.column != "confidence"]
    metrics.PREDICTION_DRIFT_SCORE.labels(*names).set(_number(_worst(said)))
    metrics.EMBEDDING_DRIFT_SCORE.labels(*names).set(_number(_worst(drift.embedding)))


def _worst(columns: Sequence[ColumnDrift]) -> float | None:
    return max((psi for column in columns if (psi := column.statistic("psi")) is not None), default=None)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
