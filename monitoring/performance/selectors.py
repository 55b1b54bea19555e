"""Reads performance, quality and estimates of a version, or of all of an endpoint, over a period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from django.conf import settings
from django.db.models import QuerySet

from aiplatform.profiles import DataProfile
from monitoring.accuracy import realised_accuracy
from monitoring.baselines import load_baseline
from monitoring.models import ObservedWindow, PerformanceWindow, ServedVersion
from monitoring.performance.by_segment import measure_segments
from monitoring.performance.classification import measure_classification
from monitoring.performance.counts import Counts, add_up, unpack_counts
from monitoring.performance.estimation import estimate_performance, no_estimate
from monitoring.performance.expectations import find_expectations
from monitoring.performance.observed import Observed, merge_observed, unpack_observed
from monitoring.performance.quality import measure_quality
from monitoring.performance.regression import measure_regression
from monitoring.performance.results import Estimate, EstimatedResult, PerformanceResult, QualityResult, SegmentResult
from monitoring.performance.rollup import in_period
from monitoring.readings import Readings
from monitoring.selectors import (
    Period,
    Totals,
    get_served_version,
    get_totals,
    get_totals_by_version,
    list_windows,
    merge_profiles_by_version,
)

Row = TypeVar("Row", PerformanceWindow, ObservedWindow)
MERGED = 500  # windows in memory at once
NO_CALIBRATION = "no calibration: the artifact does not say how often a confidence is right"


def get_performance(endpoint: str, version: int, period: Period) -> PerformanceResult:
    """Return all that is known of how a version does, with labels and without.

    Raises: NotFoundError if no prediction of it has arrived.
    """
    served = get_served_version(endpoint, version)
    counts = get_counts(endpoint, version, period)
    rows = get_totals(list_windows(endpoint, version, period)).rows
    labelled = counts.labelled + counts.valued
    return PerformanceResult(
        predictions=rows,
        labelled=labelled,
        label_coverage=min(1.0, labelled / rows) if rows else None,
        classification=measure_classification(counts),
        regression=measure_regression(counts),
        segments=_segments(served, counts),
        estimated=get_estimate(served, period),
    )


def get_counts(endpoint: str, version: int | None, period: Period) -> Counts:
    """Return the counts of all labelled predictions of a period."""
    total = Counts()
    for some in _in_chunks(_between(PerformanceWindow.objects.all(), endpoint, version, period), "counts"):
        total = add_up([total, *(unpack_counts(raw) for raw in some)])
    return total


def get_observed(endpoint: str, version: int | None, period: Period) -> Observed:
    """Return what ingestion saw in a period."""
    total = Observed()
    for some in _in_chunks(_between(ObservedWindow.objects.all(), endpoint, version, period), "content"):
        total = merge_observed([total, *(unpack_observed(raw) for raw in some)])
    return total


def get_estimate(served: ServedVersion, period: Period, readings: Readings | None = None) -> EstimatedResult:
    """Return performance as the confidences of a period foretell it."""
    readings = readings or Readings()
    baseline = readings.once(load_baseline, served)
    totals = get_version_totals(served.endpoint, served.version, period, readings)
    known = realised_accuracy(labelled=totals.labelled, correct=totals.correct, predictions=totals.rows)
    realised = Estimate(value=known.value, low=known.low, high=known.high, samples=known.labelled)
    if baseline.calibration is None:
        reason = NO_CALIBRATION if baseline.profile is not None else f"no baseline: {baseline.reason}"
        return no_estimate(reason, expected=baseline.accuracy, realised=realised, label_coverage=known.coverage)
    return estimate_performance(
        readings.once(get_observed, served.endpoint, served.version, period).sure,
        baseline.calibration,
        expected=baseline.accuracy,
        min_samples=settings.DRIFT_MIN_SAMPLES,
        realised=realised,
        label_coverage=known.coverage,
    )


def get_quality(endpoint: str, version: int, period: Period, readings: Readings | None = None) -> QualityResult:
    """Return what is wrong with the data that came in.

    Raises: NotFoundError if no prediction of the version has arrived.
    """
    readings = readings or Readings()
    served = readings.once(get_served_version, endpoint, version)
    return measure_quality(
        readings.once(merge_profiles_by_version, endpoint, version, period).get(version, DataProfile()),
        readings.once(get_observed, endpoint, version, period),
        readings.once(load_baseline, served).profile,
        requests=get_version_totals(endpoint, version, period, readings).requests,
    )


def get_version_totals(endpoint: str, version: int, period: Period, readings: Readings) -> Totals:
    """Return a version's counts of a period."""
    return readings.once(get_totals_by_version, endpoint, version, period).get(version, Totals())


def _segments(served: ServedVersion, counts: Counts) -> tuple[SegmentResult, ...]:
    expectations = find_expectations(served)
    return measure_segments(counts, expectations.segmentation) if expectations else ()


def _between(windows: QuerySet[Row], endpoint: str, version: int | None, period: Period) -> QuerySet[Row]:
    found = windows.filter(in_period(period), served__endpoint=endpoint)
    return found if version is None else found.filter(served__version=version)


def _in_chunks(windows: QuerySet[PerformanceWindow] | QuerySet[ObservedWindow], column: str) -> Sequence[list[bytes]]:
    raw = list(windows.order_by("start").values_list(column, flat=True))
    return [raw[i : i + MERGED] for i in range(0, len(raw), MERGED)]
