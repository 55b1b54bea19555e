"""What the windows say of two versions: the only place where rollouts read statistics."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, F, QuerySet, Sum, Value
from django.db.models.functions import Abs, Greatest, Least

from monitoring.models import Feedback
from monitoring.rollouts.gates.canary import VersionCounts
from monitoring.selectors import Period, get_totals, latency_quantiles, list_windows, merge_latency
from monitoring.windows import minute_of

REFERENCE = timedelta(hours=1)  # before the canary: where the champion's p95 is taken from
LOSS_REFERENCE = timedelta(days=1)  # and its mean error; labels are rarer than answers
SCALE = 4.0  # mean errors of the champion are a loss of 1; of normal errors one in 700 is greater
LEAST_SCALE = 1e-12  # of a champion without any error: every error is a loss of 1
_GREATEST = 1e150  # numbers beyond count as this, so that no database's arithmetic overflows


def count_version(
    endpoint: str,
    version: int,
    *,
    since: datetime,
    now: datetime,
    slow_ms: float | None,
    loss_scale: float | None,
) -> VersionCounts:
    """Return what a version did from the minute of `since` on; slow is over `slow_ms`, if that is known.

    Absolute errors of numbers are losses of at most 1, in parts of `loss_scale`; none are counted if it is unknown.
    """
    windows = list_windows(endpoint, version, Period(start=minute_of(since), end=now))
    totals = get_totals(windows)
    answered = slow = 0
    if slow_ms is not None:
        sketch = merge_latency(windows)
        answered = int(sketch.n)
        slow = 0 if sketch.is_empty() else round(answered * (1.0 - float(sketch.get_rank(slow_ms, True))))
    valued, loss = (0, 0.0) if loss_scale is None else _losses(endpoint, version, since, now, loss_scale)
    return VersionCounts(
        requests=totals.requests,
        errors=totals.errors,
        answered=answered,
        slow=slow,
        labelled=totals.labelled,
        wrong=totals.labelled - totals.correct,
        valued=valued,
        loss=loss,
    )


def slow_limit_ms(endpoint: str, version: int, *, now: datetime) -> float | None:
    """Return the p95 of a version's latencies of the last hour; None if it had no requests."""
    windows = list_windows(endpoint, version, Period(start=minute_of(now - REFERENCE), end=now))
    return latency_quantiles(merge_latency(windows), [0.95])[0]


def error_scale(endpoint: str, version: int, *, before: datetime, least: int) -> float | None:
    """Return the absolute error that is a loss of 1: four times a version's mean error in the day before.

    The predictions are those made before the canary, so it depends on nothing that the canary tests. None if
    fewer than `least` of them are labelled yet.
    """
    rows = _valued_rows(endpoint, version, before - LOSS_REFERENCE, minute_of(before))
    found = rows.aggregate(rows=Count("pk"), mean=Avg(_absolute_error()))
    if found["rows"] < max(1, least):
        return None
    return max(LEAST_SCALE, SCALE * float(found["mean"]))


def _losses(endpoint: str, version: int, since: datetime, now: datetime, scale: float) -> tuple[int, float]:
    rows = _valued_rows(endpoint, version, minute_of(since), minute_of(now) + timedelta(minutes=1))
    loss = Least(_absolute_error() / Value(scale), Value(1.0))
    found = rows.aggregate(rows=Count("pk"), loss=Sum(loss))
    return int(found["rows"]), float(found["loss"] or 0.0)


def _valued_rows(endpoint: str, version: int, start: datetime, end: datetime) -> QuerySet[Feedback]:
    """Return the feedback of predictions made from `start` to before `end`, both whole minutes."""
    return Feedback.objects.filter(
        block__window__served__endpoint=endpoint,
        block__window__served__version=version,
        block__time__gte=start,
        block__time__lt=end,
        value__isnull=False,
        predicted_value__isnull=False,
    ).order_by()


def _absolute_error() -> Any:
    said, true = (
        Least(Greatest(F(name), Value(-_GREATEST)), Value(_GREATEST)) for name in ("predicted_value", "value")
    )
    return Abs(said - true)
