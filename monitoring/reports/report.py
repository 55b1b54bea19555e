"""The performance report of a version over a period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from aiplatform.errors import InvalidInputError
from aiplatform.profiles import CategoryProfile, DataProfile, NumericProfile
from monitoring.accuracy import Accuracy, realised_accuracy, wilson_interval
from monitoring.baselines import BaselineProfile, load_baseline
from monitoring.drift.results import DriftTable
from monitoring.drift.table import compare_profiles, missing_baseline
from monitoring.models import ServedVersion, Window
from monitoring.reports.series import MAX_POINTS, SeriesPoint, build_series
from monitoring.reports.verdict import Health, HealthVerdict, judge_health
from monitoring.selectors import (
    Period,
    Totals,
    count_confusions,
    drift_limits,
    get_served_version,
    get_totals,
    latency_quantiles,
    list_windows,
    merge_latency,
)
from monitoring.windows import read_window_profile, union_profiles

DEFAULT_PERIOD_S = 3600
MAX_CLASSES = 100  # of a model with more, the most frequent are reported


@dataclass(frozen=True, kw_only=True)
class LabelAccuracy:
    """How often a true label was recognised, with the 95% interval, and what it was taken for."""

    label: str
    labelled: int
    correct: int
    value: float
    low: float
    high: float
    mistaken_for: str | None  # the most frequent wrong prediction


@dataclass(frozen=True, kw_only=True)
class PerformanceReport:
    """Everything that the page shows and the API answers."""

    served: ServedVersion
    period: Period
    verdict: HealthVerdict
    totals: Totals
    latency_ms: dict[str, float | None]
    accuracy: Accuracy
    expected_accuracy: float | None
    accuracy_by_label: list[LabelAccuracy]
    predicted_labels: dict[str, int]
    predicted_values: dict[str, float]  # quantiles by name, of a model that predicts numbers
    drift: DriftTable
    series: list[SeriesPoint]

    @property
    def mean_confidence(self) -> float | None:
        """Return the mean confidence of the predicted labels."""
        return self.totals.confidence_sum / self.totals.confidence_count if self.totals.confidence_count else None

    @property
    def error_rate(self) -> float | None:
        """Return the share of requests that met a server error."""
        return self.totals.errors / self.totals.requests if self.totals.requests else None

    @property
    def mean_absolute_error(self) -> float | None:
        """Return the mean distance of predicted numbers from the truth."""
        return self.totals.absolute_error_sum / self.totals.valued if self.totals.valued else None

    @property
    def root_mean_squared_error(self) -> float | None:
        """Return the root of the mean squared distance of predicted numbers from the truth."""
        if not self.totals.valued:
            return None
        return float((max(0.0, self.totals.squared_error_sum) / self.totals.valued) ** 0.5)


def build_report(*, endpoint: str, version: int, period_s: float, now: datetime | None = None) -> PerformanceReport:
    """Return the report over the last `period_s` seconds.

    Raises: NotFoundError if the version has no predictions; InvalidInputError for a period that
    is not between a minute and the retention.
    """
    check_period(period_s)
    served = get_served_version(endpoint, version)
    period = Period.last(period_s, now=now or datetime.now(UTC))
    windows = list_windows(endpoint, version, period)
    rows, totals = list(windows), get_totals(windows)
    baseline, profile = load_baseline(served), _merged_profile(rows)
    drift = _compare(baseline, profile)
    accuracy = realised_accuracy(labelled=totals.labelled, correct=totals.correct, predictions=totals.rows)
    p50, p95, p99 = latency_quantiles(merge_latency(windows), [0.5, 0.95, 0.99])
    return PerformanceReport(
        served=served,
        period=period,
        verdict=_recent_trouble(served, period, baseline) or judge_health(totals, accuracy, baseline.accuracy, drift),
        totals=totals,
        latency_ms={"p50": p50, "p95": p95, "p99": p99},
        accuracy=accuracy,
        expected_accuracy=baseline.accuracy,
        accuracy_by_label=group_confusions(count_confusions(endpoint, version, period)),
        predicted_labels=_label_counts(profile),
        predicted_values=_value_quantiles(profile),
        drift=drift,
        series=build_series(
            _fine_windows(endpoint, version, period),
            period,
            baseline=baseline.profile,
            min_samples=settings.DRIFT_MIN_SAMPLES,
        ),
    )


def _recent_trouble(served: ServedVersion, period: Period, baseline: BaselineProfile) -> HealthVerdict | None:
    """Return the verdict on the period's end alone, if it is bad: in the whole it could drown."""
    recent = Period.last(settings.DRIFT_PERIOD_S, now=period.end)
    if recent.start <= period.start:
        return None
    windows = list_windows(served.endpoint, served.version, recent)
    totals, profile = get_totals(windows), _merged_profile(list(windows))
    accuracy = realised_accuracy(labelled=totals.labelled, correct=totals.correct, predictions=totals.rows)
    when = f"in the last {settings.DRIFT_PERIOD_S / 60:g} minutes"
    verdict = judge_health(totals, accuracy, baseline.accuracy, _compare(baseline, profile), when=when)
    return verdict if verdict.health is Health.NOT_WELL else None


def _compare(baseline: BaselineProfile, profile: DataProfile) -> DriftTable:
    if baseline.profile is None:
        return missing_baseline(baseline.reason)
    return compare_profiles(baseline.profile, profile, drift_limits())


def check_period(period_s: float) -> None:
    """Raise InvalidInputError unless a report can cover so many seconds."""
    longest_s = settings.WINDOW_RETENTION_DAYS * 86400
    if not 60 <= period_s <= longest_s:
        raise InvalidInputError(f"period_s must be from 60 to {longest_s:g} (WINDOW_RETENTION_DAYS), not {period_s:g}")


def report_to_dict(report: PerformanceReport) -> dict[str, Any]:
    """Return the report as JSON-ready values."""
    totals, served = report.totals, report.served
    return {
        "endpoint": served.endpoint,
        "model": served.model,
        "version": served.version,
        "artifact_digest": served.artifact_digest,
        "period": {**_iso(asdict(report.period)), "seconds": report.period.seconds},
        "verdict": asdict(report.verdict),
        "traffic": {
            "predictions": totals.rows, "requests": totals.requests, "errors": totals.errors,
            "rejected": totals.rejected, "error_rate": report.error_rate,
            "throughput_per_s": totals.rows / report.period.seconds,
        },
        "latency_ms": report.latency_ms,
        "accuracy": {
            **asdict(report.accuracy),
            "expected": report.expected_accuracy,
            "by_label": [asdict(label) for label in report.accuracy_by_label],
        },
        "numbers": {
            "labelled": totals.valued,
            "mean_absolute_error": report.mean_absolute_error,
            "root_mean_squared_error": report.root_mean_squared_error,
        },
        "predictions": {
            "mean_confidence": report.mean_confidence,
            "labels": report.predicted_labels,
            "value_quantiles": report.predicted_values,
        },
        "drift": report.drift.to_dict(),
        "series": [_iso(asdict(point)) for point in report.series],
    }  # fmt: skip


def _iso(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}


def group_confusions(counts: Iterable[tuple[str, str, int]]) -> list[LabelAccuracy]:
    """Return accuracy by true label from (true, predicted, count), worst first."""
    by_label: dict[str, dict[str, int]] = defaultdict(dict)
    for true, predicted, count in counts:
        by_label[true][predicted] = count
    found = []
    for label, predicted_as in by_label.items():
        labelled, correct = sum(predicted_as.values()), predicted_as.get(label, 0)
        wrong = {name: count for name, count in predicted_as.items() if name != label}
        low, high = wilson_interval(correct, labelled)
        found.append(
            LabelAccuracy(
                label=label, labelled=labelled, correct=correct, value=correct / labelled, low=low, high=high,
                mistaken_for=max(wrong, key=lambda name: wrong[name]) if wrong else None,
            )
        )  # fmt: skip
    return sorted(found, key=lambda item: (item.value, item.label))[:MAX_CLASSES]


def _fine_windows(endpoint: str, version: int, period: Period) -> list[Window]:
    """Return the windows of a chart: no longer than the time between two of its points."""
    step_s = period.seconds / MAX_POINTS
    coarsest = max((r for r in Window.Resolution if r <= step_s), default=Window.Resolution.MINUTE)
    return list(list_windows(endpoint, version, period, coarsest=coarsest))


def _merged_profile(windows: list[Window]) -> DataProfile:
    return union_profiles(read_window_profile(window) for window in windows)


def _label_counts(profile: DataProfile) -> dict[str, int]:
    labels = profile.outputs.get("label")
    if not isinstance(labels, CategoryProfile):
        return {}
    return dict(sorted(list(labels.counts().items())[:MAX_CLASSES]))


def _value_quantiles(profile: DataProfile) -> dict[str, float]:
    values = profile.outputs.get("value")
    if not isinstance(values, NumericProfile) or not values.count:
        return {}
    ranks = {"least": 0.0, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "greatest": 1.0}
    return dict(zip(ranks, values.quantiles(ranks.values()), strict=True))
