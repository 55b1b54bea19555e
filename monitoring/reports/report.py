"""Makes the performance report of a version over a period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from aiplatform.errors import InvalidInputError
from aiplatform.profiles import CategoryProfile, DataProfile, NumericProfile
from monitoring.accuracy import Accuracy, realised_accuracy, wilson_interval
from monitoring.baselines import BaselineProfile, load_baseline
from monitoring.drift.results import DriftTable
from monitoring.drift.table import compare_profiles, missing_baseline
from monitoring.latencies import LatencySketch
from monitoring.models import ServedVersion, Window
from monitoring.performance.over_time import estimate_over_time
from monitoring.performance.results import Estimate
from monitoring.reports.document import (
    AccuracySection,
    Numbers,
    PerformanceReport,
    Predictions,
    ReportPeriod,
    Traffic,
)
from monitoring.reports.findings import Evidence, judge_health
from monitoring.reports.latency import estimate_quantiles
from monitoring.reports.measured import measure_period
from monitoring.reports.series import MAX_POINTS, build_series
from monitoring.reports.surroundings import find_lineage, firing_at_end, list_period_alerts, list_period_rollouts
from monitoring.reports.verdict import Health, HealthVerdict
from monitoring.selectors import (
    Period,
    Totals,
    drift_limits,
    get_served_version,
    get_totals,
    list_windows,
    merge_latency,
)
from monitoring.vectors import compare_embeddings
from monitoring.windows import read_window_profile, union_profiles

DEFAULT_PERIOD_S = 3600
LONG_S = 6 * 3600  # longer periods show drift over time by the hour
MAX_CLASSES = 100  # of a model with more, the most frequent are reported


@dataclass(frozen=True, kw_only=True)
class MeasuredWindows:
    """What the windows of a period add up to."""

    served: ServedVersion
    period: Period
    totals: Totals
    accuracy: Accuracy
    baseline: BaselineProfile
    profile: DataProfile
    drift: DriftTable
    latency: LatencySketch


def build_report(*, endpoint: str, version: int, period_s: float, now: datetime | None = None) -> PerformanceReport:
    """Return the report over the last `period_s` seconds, from windows alone: it reads nothing of the prediction store.

    Raises: NotFoundError if the version has no predictions; InvalidInputError for a period that
    is not between a minute and the retention.
    """
    now = now or datetime.now(UTC)
    period = choose_period(period_s=period_s, start=None, end=None, now=now)
    return report_on(measure_windows(get_served_version(endpoint, version), period), now=now)


def build_period_report(
    *, endpoint: str, version: int, period: Period, now: datetime | None = None
) -> PerformanceReport:
    """Return the report over a period, with a test of whole embeddings where the prediction store keeps some.

    Raises: NotFoundError if the version has no predictions.
    """
    found = measure_windows(get_served_version(endpoint, version), period)
    vectors = compare_embeddings(found.served, period) if found.drift.embedding else None
    if vectors is not None:
        found = replace(found, drift=found.drift.with_vectors(vectors))
    return report_on(found, now=now or datetime.now(UTC))


def report_on(found: MeasuredWindows, *, now: datetime) -> PerformanceReport:
    """Return the report on what a version's windows say."""
    served, period, totals = found.served, found.period, found.totals
    more = measure_period(
        served, period, profile=found.profile, baseline=found.baseline.profile, requests=totals.requests
    )
    alerts = list_period_alerts(served, period)
    evidence = Evidence(
        totals=totals, accuracy=found.accuracy, expected_accuracy=found.baseline.accuracy, drift=found.drift,
        estimated=more.performance.estimated, quality=more.quality, changes=more.changes,
        alerts=firing_at_end(alerts, period),
    )  # fmt: skip
    latencies = estimate_quantiles(found.latency)
    return PerformanceReport(
        endpoint=served.endpoint,
        model=served.model,
        version=served.version,
        artifact_digest=served.artifact_digest,
        generated_at=now,
        period=ReportPeriod(start=period.start, end=period.end, seconds=period.seconds),
        verdict=_verdict(found, evidence),
        traffic=_traffic(totals, period),
        latency_ms={name: estimate.value for name, estimate in latencies.items()},
        latency_estimates_ms=latencies,
        accuracy=_accuracy(found),
        numbers=_numbers(totals),
        predictions=_predictions(found),
        drift=found.drift,
        performance=more.performance,
        quality=more.quality,
        changes=more.changes,
        alerts=alerts,
        rollouts=list_period_rollouts(served, period),
        lineage=find_lineage(served),
        series=tuple(
            build_series(
                _fine_windows(served, period),
                period,
                baseline=found.baseline.profile,
                min_samples=settings.DRIFT_MIN_SAMPLES,
                hourly=_hourly_windows(served, period),
                estimates=estimate_over_time(
                    served,
                    period,
                    calibration=found.baseline.calibration,
                    min_samples=settings.DRIFT_MIN_SAMPLES,
                    buckets=MAX_POINTS,
                ),
            )
        ),
    )


def measure_windows(served: ServedVersion, period: Period) -> MeasuredWindows:
    """Return what a version's windows say of a period."""
    windows = list_windows(served.endpoint, served.version, period)
    totals, baseline = get_totals(windows), load_baseline(served)
    profile = union_profiles(read_window_profile(window) for window in windows.iterator())
    return MeasuredWindows(
        served=served,
        period=period,
        totals=totals,
        accuracy=realised_accuracy(labelled=totals.labelled, correct=totals.correct, predictions=totals.rows),
        baseline=baseline,
        profile=profile,
        drift=_compare(baseline, profile),
        latency=merge_latency(windows),
    )


def choose_period(*, period_s: float, start: datetime | None, end: datetime | None, now: datetime) -> Period:
    """Return the period from `start` to `end`; without a start the `period_s` seconds before the end, or before now.

    Raises: InvalidInputError for a period that is not between a minute and the retention.
    """
    longest_s = settings.WINDOW_RETENTION_DAYS * 86400
    end = min(_in_utc(end) or now, now)
    seconds = (end - start_utc).total_seconds() if (start_utc := _in_utc(start)) else period_s
    if not 60 <= seconds <= longest_s:
        given = f"{start_utc:%Y-%m-%dT%H:%M:%SZ} to {end:%Y-%m-%dT%H:%M:%SZ}" if start_utc else f"{period_s:g}"
        raise InvalidInputError(f"period_s must be from 60 to {longest_s:g} (WINDOW_RETENTION_DAYS), not {given}")
    return Period.last(seconds, now=end)


def _in_utc(time: datetime | None) -> datetime | None:
    if time is None:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _verdict(found: MeasuredWindows, evidence: Evidence) -> HealthVerdict:
    """Return the verdict on the whole period; or on its end alone, if only that is bad: in the whole it drowns."""
    whole = judge_health(evidence)
    recent = Period.last(settings.DRIFT_PERIOD_S, now=found.period.end)
    if whole.health is Health.NOT_WELL or recent.start <= found.period.start:
        return whole
    at_end = measure_windows(found.served, recent)
    verdict = judge_health(
        Evidence(
            totals=at_end.totals,
            accuracy=at_end.accuracy,
            expected_accuracy=found.baseline.accuracy,
            drift=at_end.drift,
        ),
        when=f"in the last {settings.DRIFT_PERIOD_S / 60:g} minutes",
    )
    return verdict if verdict.health is Health.NOT_WELL else whole


def _compare(baseline: BaselineProfile, profile: DataProfile) -> DriftTable:
    if baseline.profile is None:
        return missing_baseline(baseline.reason)
    return compare_profiles(baseline.profile, profile, drift_limits())


def _traffic(totals: Totals, period: Period) -> Traffic:
    rate = Estimate()
    if totals.requests:
        low, high = wilson_interval(totals.errors, totals.requests)
        rate = Estimate(value=totals.errors / totals.requests, low=low, high=high, samples=totals.requests)
    return Traffic(
        predictions=totals.rows,
        requests=totals.requests,
        errors=totals.errors,
        rejected=totals.rejected,
        error_rate=rate.value,
        error_rate_estimate=rate,
        throughput_per_s=totals.rows / period.seconds,
    )


def _accuracy(found: MeasuredWindows) -> AccuracySection:
    return AccuracySection(
        **asdict(found.accuracy),
        expected=found.baseline.accuracy,
        needed=settings.ACCURACY_MIN_LABELS,
    )


def _numbers(totals: Totals) -> Numbers:
    if not totals.valued:
        return Numbers(labelled=0, mean_absolute_error=None, root_mean_squared_error=None)
    mean_square = max(0.0, totals.squared_error_sum) / totals.valued
    return Numbers(
        labelled=totals.valued,
        mean_absolute_error=totals.absolute_error_sum / totals.valued,
        root_mean_squared_error=float(mean_square**0.5),
    )


def _predictions(found: MeasuredWindows) -> Predictions:
    totals = found.totals
    return Predictions(
        mean_confidence=totals.confidence_sum / totals.confidence_count if totals.confidence_count else None,
        labels=_label_counts(found.profile.outputs),
        value_quantiles=_value_quantiles(found.profile.outputs),
    )


def _fine_windows(served: ServedVersion, period: Period) -> list[Window]:
    """Return the windows of a chart: no longer than the time between two of its points."""
    step_s = period.seconds / MAX_POINTS
    coarsest = max((r for r in Window.Resolution if r <= step_s), default=Window.Resolution.MINUTE)
    found = list_windows(served.endpoint, served.version, period, coarsest=coarsest)
    return list(found.defer("sketches", "profile") if period.seconds > LONG_S else found)


def _hourly_windows(served: ServedVersion, period: Period) -> list[Window] | None:
    """Return the windows of a long period's drift over time: hours, or days where a point stands for more than one."""
    if period.seconds <= LONG_S:
        return None
    coarsest = Window.Resolution.HOUR if period.seconds <= 7 * 86_400 else Window.Resolution.DAY
    return list(list_windows(served.endpoint, served.version, period, coarsest=coarsest))


def _label_counts(outputs: Mapping[str, Any]) -> dict[str, int]:
    labels = outputs.get("label")
    if not isinstance(labels, CategoryProfile):
        return {}
    most = sorted(labels.counts().items(), key=lambda item: (-item[1], item[0]))[:MAX_CLASSES]
    return dict(sorted(most))


def _value_quantiles(outputs: Mapping[str, Any]) -> dict[str, float]:
    values = outputs.get("value")
    if not isinstance(values, NumericProfile) or not values.count:
        return {}
    ranks = {"least": 0.0, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "greatest": 1.0}
    return dict(zip(ranks, values.quantiles(ranks.values()), strict=True))
