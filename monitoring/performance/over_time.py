"""Estimated accuracy over time: what the confidences of each of a chart's buckets foretell."""

from __future__ import annotations

from datetime import datetime, timedelta

from aiplatform.calibration import Calibration
from monitoring.models import ObservedWindow, ServedVersion
from monitoring.performance.cells import Cells
from monitoring.performance.estimation import estimate_performance
from monitoring.performance.observed import unpack_sure
from monitoring.performance.results import Estimate
from monitoring.performance.rollup import in_period
from monitoring.selectors import Period, bucket_size

REACH = 5  # buckets that an estimate may look back to find enough rows

Parts = dict[tuple[datetime, int], Cells]  # by start and length of the row of the database


def estimate_over_time(
    served: ServedVersion, period: Period, *, calibration: Calibration | None, min_samples: int, buckets: int
) -> dict[datetime, Estimate]:
    """Return the estimated accuracy by start of its bucket; a bucket that cannot have one is left out.

    A bucket with less than `min_samples` rows also takes those of the buckets before it, up to REACH of them;
    one without rows has no estimate. What only an hour's row stands for is the same in all of the hour's buckets.
    """
    if calibration is None:
        return {}
    size = bucket_size(period, buckets=buckets)
    grouped = _group(served, period, size)
    found = {}
    for start in grouped:
        parts = _latest([grouped.get(start - size * back, {}) for back in range(REACH)], min_samples)
        cells = Cells.total(list(parts.values()))
        estimate = estimate_performance(cells, calibration, expected=None, min_samples=min_samples).accuracy
        if estimate.value is not None:
            found[start] = estimate
    return found


def _group(served: ServedVersion, period: Period, size: timedelta) -> dict[datetime, Parts]:
    rows = ObservedWindow.objects.filter(
        in_period(period), served__endpoint=served.endpoint, served__version=served.version
    )
    grouped: dict[datetime, Parts] = {}
    for start, resolution, raw in rows.order_by("start").values_list("start", "resolution", "content"):
        cells = unpack_sure(raw)
        if not len(cells.counts):
            continue
        bucket = period.start + (start - period.start) // size * size
        end = min(start + timedelta(seconds=resolution), period.end + timedelta(microseconds=1))
        while bucket < end:
            parts = grouped.setdefault(bucket, {})
            key = (start, resolution)
            parts[key] = Cells.total([parts[key], cells]) if key in parts else cells
            bucket += size
    return grouped


def _latest(buckets: list[Parts], min_samples: int) -> Parts:
    """Return the parts of the newest buckets (first) that hold enough; none if the newest is empty."""
    found: Parts = {}
    for parts in buckets if buckets[0] else []:
        found |= parts
        if sum(int(cells.counts.sum()) for cells in found.values()) >= min_samples:
            break
    return found
