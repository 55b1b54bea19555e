"""Adds up yesterday's minutes to hours, so that a report over a month reads hundreds of rows and not tens of thousands.

All counts are sums, so an hour's row is exactly its minutes'. What comes later for such a minute, a label
or its correction, goes into a new row of the minute, which is added to the hour the next time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import TruncHour

from monitoring.models import ObservedWindow, PerformanceWindow
from monitoring.performance.counts import add_up, pack_counts, unpack_counts
from monitoring.performance.observed import merge_observed, pack_observed, unpack_observed
from monitoring.selectors import Period

MINUTE, HOUR = 60, 3600
AFTER = timedelta(hours=26)  # the detectors look at minutes, and a day's report at its minutes
MAX_STEPS = 200  # hours in one run; the clock comes again

Merge = Callable[[list[bytes]], bytes]


def roll_up_performance(*, now: datetime | None = None) -> int:
    """Add up what lies further back than AFTER; return how many hours were written."""
    before = ((now or datetime.now(UTC)) - AFTER).replace(minute=0, second=0, microsecond=0)
    done = _roll_up(PerformanceWindow, "counts", _merge_counts, before)
    return done + _roll_up(ObservedWindow, "content", _merge_contents, before)


def in_period(period: Period) -> Q:
    """Return the condition for the rows of a period; where only hours are left it begins with a whole one."""
    hour = period.start.replace(minute=0, second=0, microsecond=0)
    begun = Q(resolution=MINUTE, start__gte=period.start) | Q(resolution=HOUR, start__gte=hour)
    return begun & Q(start__lte=period.end)


def _merge_counts(parts: list[bytes]) -> bytes:
    return pack_counts(add_up([unpack_counts(raw) for raw in parts]))


def _merge_contents(parts: list[bytes]) -> bytes:
    return pack_observed(merge_observed([unpack_observed(raw) for raw in parts]))


def _roll_up(model: type[PerformanceWindow] | type[ObservedWindow], column: str, merge: Merge, before: datetime) -> int:
    minutes = model.objects.filter(resolution=MINUTE, start__lt=before).order_by()
    hours = minutes.annotate(hour=TruncHour("start", tzinfo=UTC)).values_list("served", "hour").distinct()
    steps = list(islice(hours.iterator(), MAX_STEPS))
    for served, hour in steps:
        _add_to_hour(model, column, merge, served, hour)
    return len(steps)


@transaction.atomic
def _add_to_hour(
    model: type[PerformanceWindow] | type[ObservedWindow], column: str, merge: Merge, served: int, hour: datetime
) -> None:
    """Replace the minutes of an hour by its row. Whoever is killed here leaves the minutes; a second one finds none."""
    within = model.objects.filter(served_id=served, start__gte=hour, start__lt=hour + timedelta(hours=1))
    minutes = list(within.filter(resolution=MINUTE).order_by("start").select_for_update())
    if not minutes:
        return
    model.objects.get_or_create(served_id=served, start=hour, resolution=HOUR)
    row = model.objects.select_for_update().get(served_id=served, start=hour, resolution=HOUR)
    setattr(row, column, merge([bytes(getattr(some, column)) for some in (row, *minutes)]))
    row.save(update_fields=[column])
    model.objects.filter(pk__in=[minute.pk for minute in minutes]).delete()
