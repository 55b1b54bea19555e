"""A period over time: what the charts draw, in whole minutes and not too many points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiplatform.profiles import DataProfile
from monitoring.accuracy import realised_accuracy
from monitoring.cover import floor_time
from monitoring.drift.psi import bin_profiles, population_stability_index
from monitoring.latencies import union_latencies
from monitoring.models import Window
from monitoring.performance.results import Estimate
from monitoring.selectors import Period, bucket_size, group_by_bucket, latency_quantiles
from monitoring.windows import read_window_profile, union_profiles

MAX_POINTS = 120
HOUR_S = 3600
DRIFT_REACH = 5  # buckets that a drift value may look back to find enough predictions


@dataclass(frozen=True, kw_only=True)
class SeriesPoint:
    """One bucket of time. None is a gap: nothing was measured."""

    start: datetime
    predictions: int
    throughput_per_s: float
    error_rate: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    accuracy: float | None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    label_coverage: float | None
    estimated_accuracy: float | None = None
    estimated_low: float | None = None
    estimated_high: float | None = None
    mean_confidence: float | None = None
    worst_psi: float | None


def build_series(
    windows: list[Window],
    period: Period,
    *,
    baseline: DataProfile | None,
    min_samples: int,
    hourly: list[Window] | None = None,
    estimates: Mapping[datetime, Estimate] | None = None,
) -> list[SeriesPoint]:
    """Return the points in time order; buckets without traffic are there too, with zero throughput.

    With `hourly` drift is that of the hour (or day) that holds the point, and the other windows' sketches
    of features are not read: in a long period these are many. `estimates`: the estimated accuracy by bucket.
    """
    by_hour = _drift_by_hour(hourly, baseline, min_samples) if hourly is not None and baseline else None
    grouped = group_by_bucket(windows, period, buckets=MAX_POINTS)
    if not grouped:
        return []
    step = bucket_size(period, buckets=MAX_POINTS)
    start = min(grouped)
    points: list[SeriesPoint] = []
    while start <= period.end:
        length_s = min(step.total_seconds(), max(1.0, (period.end - start).total_seconds()))
        if start not in grouped and points and start + step > period.end:
            break  # a bucket that has just begun and holds nothing yet is no silence
        if by_hour is not None:
            hours = {floor_time(window.start, HOUR_S) for window in grouped.get(start, [])}
            psi = max((drift for hour in hours if (drift := by_hour.get(hour)) is not None), default=None)
        else:
            reach = _latest([grouped.get(start - step * back, []) for back in range(DRIFT_REACH)], min_samples)
            psi = _worst_psi(reach, baseline) if baseline and reach else None
        estimate = (estimates or {}).get(start, Estimate())
        points.append(_point(start, grouped.get(start, []), length_s, psi, estimate))
        start += step
    return points


def _drift_by_hour(windows: list[Window], baseline: DataProfile, min_samples: int) -> dict[datetime, float | None]:
    grouped: dict[datetime, list[Window]] = {}
    for window in windows:
        grouped.setdefault(floor_time(window.start, HOUR_S), []).append(window)
    found: dict[datetime, float | None] = {}
    for start, group in grouped.items():
        psi = _worst_psi(group, baseline) if sum(window.rows for window in group) >= min_samples else None
        hours = max(1, max(window.resolution for window in group) // HOUR_S)
        found |= {start + timedelta(hours=hour): psi for hour in range(hours)}
    return found


def _latest(buckets: list[list[Window]], min_samples: int) -> list[Window]:
    """Return the windows of the newest buckets (first) that hold enough; none if the newest is empty."""
    found: list[Window] = []
    for windows in buckets if buckets[0] else []:
        found.extend(windows)
        if sum(window.rows for window in found) >= min_samples:
            return found
    return []


def _point(
    start: datetime, windows: list[Window], length_s: float, worst_psi: float | None, estimate: Estimate
) -> SeriesPoint:
    rows, requests = sum(w.rows for w in windows), sum(w.requests for w in windows)
    confident = sum(w.confidence_count for w in windows)
    p50, p95, p99 = _latencies(windows)
    accuracy = realised_accuracy(
        labelled=sum(w.labelled for w in windows), correct=sum(w.correct for w in windows), predictions=rows
    )
    return SeriesPoint(
        start=start,
        predictions=rows,
        throughput_per_s=rows / length_s,
        error_rate=sum(w.errors for w in windows) / requests if requests else None,
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        accuracy=accuracy.value,
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        label_coverage=accuracy.coverage,
        estimated_accuracy=estimate.value,
        estimated_low=estimate.low,
        estimated_high=estimate.high,
        mean_confidence=sum(w.confidence_sum for w in windows) / confident if confident else None,
        worst_psi=worst_psi,
    )


def _latencies(windows: list[Window]) -> list[float | None]:
    return latency_quantiles(union_latencies(window.latency for window in windows), [0.5, 0.95, 0.99])


def _worst_psi(windows: list[Window], baseline: DataProfile) -> float | None:
    merged = union_profiles(read_window_profile(window) for window in windows)
    known = baseline.features
    shared = [(known[n], p) for n, p in merged.features.items() if n in known and type(known[n]) is type(p) and p.count]
    return max((population_stability_index(bin_profiles(base, here)) for base, here in shared), default=None)
