"""What the windows say of two versions: the only place where rollouts read statistics."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitoring.rollouts.gates.canary import VersionCounts
from monitoring.selectors import Period, get_totals, latency_quantiles, list_windows, merge_latency
from monitoring.windows import minute_of

REFERENCE = timedelta(hours=1)  # before the canary: where the champion's p95 is taken from


def count_version(
    endpoint: str, version: int, *, since: datetime, now: datetime, slow_ms: float | None
) -> VersionCounts:
    """Return what a version did from the minute of `since` on; slow is over `slow_ms`, if that is known."""
    windows = list_windows(endpoint, version, Period(start=minute_of(since), end=now))
    totals = get_totals(windows)
    answered = slow = 0
    if slow_ms is not None:
        sketch = merge_latency(windows)
        answered = int(sketch.n)
        slow = 0 if sketch.is_empty() else round(answered * (1.0 - float(sketch.get_rank(slow_ms, True))))
    return VersionCounts(
        requests=totals.requests,
        errors=totals.errors,
        answered=answered,
        slow=slow,
        labelled=totals.labelled,
        wrong=totals.labelled - totals.correct,
    )


def slow_limit_ms(endpoint: str, version: int, *, now: datetime) -> float | None:
    """Return the p95 of a version's latencies of the last hour; None if it had no requests."""
    windows = list_windows(endpoint, version, Period(start=minute_of(now - REFERENCE), end=now))
    return latency_quantiles(merge_latency(windows), [0.95])[0]
