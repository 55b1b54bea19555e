"""A period over time: what the charts draw, in whole minutes and not too many points."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import datasketches

from aiplatform.profiles import KLL_K, DataProfile
from monitoring.accuracy import realised_accuracy
from monitoring.drift.psi import bin_profiles, population_stability_index
from monitoring.models import Window
from monitoring.selectors import Period, group_by_bucket, latency_quantiles
from monitoring.windows import MINUTE_S, read_latency, read_window_profile, union_profiles

MAX_POINTS = 120
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
    mean_confidence: float | None = None
    worst_psi: float | None


def build_series(
    windows: list[Window], period: Period, *, baseline: DataProfile | None, min_samples: int
) -> list[SeriesPoint]:
    """Return the points in time order; buckets without traffic are there too, with zero throughput."""
    grouped = group_by_bucket(windows, period, buckets=MAX_POINTS)
    if not grouped:
        return []
    minutes = max(1, -(-int(period.seconds // MINUTE_S + 1) // MAX_POINTS))
    start = min(grouped)
    points: list[SeriesPoint] = []
    step = timedelta(minutes=minutes)
    while start <= period.end:
        length_s = min(minutes * MINUTE_S, max(1.0, (period.end - start).total_seconds()))
        if start not in grouped and points and start + step > period.end:
            break  # a bucket that has just begun and holds nothing yet is no silence
        reach = _latest([grouped.get(start - step * back, []) for back in range(DRIFT_REACH)], min_samples)
        psi = _worst_psi(reach, baseline) if baseline and reach else None
        points.append(_point(start, grouped.get(start, []), length_s, psi))
        start += step
    return points


def _latest(buckets: list[list[Window]], min_samples: int) -> list[Window]:
    """Return the windows of the newest buckets (first) that hold enough; none if the newest is empty."""
    found: list[Window] = []
    for windows in buckets if buckets[0] else []:
        found.extend(windows)
        if sum(window.rows for window in found) >= min_samples:
            return found
    return []


def _point(start: datetime, windows: list[Window], length_s: float, worst_psi: float | None) -> SeriesPoint:
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
        mean_confidence=sum(w.confidence_sum for w in windows) / confident if confident else None,
        worst_psi=worst_psi,
    )


def _latencies(windows: list[Window]) -> list[float | None]:
    merged = datasketches.kll_doubles_sketch(KLL_K)
    for window in windows:
        merged.merge(read_latency(window.latency))
    return latency_quantiles(merged, [0.5, 0.95, 0.99])


def _worst_psi(windows: list[Window], baseline: DataProfile) -> float | None:
    merged = union_profiles(read_window_profile(window) for window in windows)
    known = baseline.features
    shared = [(known[n], p) for n, p in merged.features.items() if n in known and type(known[n]) is type(p) and p.count]
    return max((population_stability_index(bin_profiles(base, here)) for base, here in shared), default=None)
