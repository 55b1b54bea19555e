"""Which windows stand for a period: as few as possible, each prediction in exactly one of them.

A prediction is counted in the minute's window; once that is rolled up, in the hour's too; then in
the day's. A period is read as the days, then the hours that lie whole in it, and the minutes at its
ends. A window that is not rolled up is always read, so nothing waits for the clock to be counted.

Minutes go after `WINDOW_MINUTE_RETENTION_DAYS`, hours after `WINDOW_HOUR_RETENTION_DAYS`: before
these a period's ends are those of the whole hours or days in which they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from django.conf import settings
from django.db.models import Q

from monitoring.models import Window

Resolution = Window.Resolution
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Span = tuple[datetime, datetime]  # from, to but not at


def floor_time(time: datetime, resolution: int) -> datetime:
    """Return the start of the minute, hour or day (UTC) that holds a time."""
    size = timedelta(seconds=resolution)
    return EPOCH + (time - EPOCH) // size * size


def ceil_time(time: datetime, resolution: int) -> datetime:
    """Return the first start of a minute, hour or day at or after a time."""
    floor = floor_time(time, resolution)
    return floor if floor == time else floor + timedelta(seconds=resolution)


@dataclass(frozen=True, kw_only=True)
class Horizons:
    """Before these the finer windows may be gone; both are starts of days."""

    minutes: datetime
    hours: datetime

    @classmethod
    def at(cls, now: datetime) -> Self:
        """Return the horizons that the settings give. What the retention removes lies a day further back."""
        minutes = now - timedelta(days=settings.WINDOW_MINUTE_RETENTION_DAYS)
        hours = now - timedelta(days=settings.WINDOW_HOUR_RETENTION_DAYS)
        return cls(minutes=floor_time(minutes, Resolution.DAY), hours=floor_time(hours, Resolution.DAY))


def this_moment() -> datetime:
    """Return the time that decides which windows may be gone."""
    return datetime.now(UTC)


def cover(start: datetime, end: datetime, *, coarsest: int = Resolution.DAY, now: datetime | None = None) -> Q:
    """Return the condition for the windows that together stand for the minutes from `start` to `end`.

    `coarsest`: charts read minutes, or hours, as long as there are any.
    """
    horizons = Horizons.at(now or this_moment())
    first, after = floor_time(start, Resolution.MINUTE), floor_time(end, Resolution.MINUTE) + timedelta(minutes=1)
    hours = _whole(first, after, Resolution.HOUR, horizons.minutes, is_wanted=coarsest >= Resolution.HOUR)
    days = _whole(first, after, Resolution.DAY, horizons.hours, is_wanted=coarsest >= Resolution.DAY)
    hours = _join(hours, days)  # before a horizon days and hours begin before the period
    minutes = _join((first, after), hours)
    return (
        Q(resolution=Resolution.MINUTE) & _in(minutes) & (Q(is_rolled_up=False) | ~_in(hours))
        | Q(resolution=Resolution.HOUR) & _in(hours) & (Q(is_rolled_up=False) | ~_in(days))
        | Q(resolution=Resolution.DAY) & _in(days)
    )


def _whole(first: datetime, after: datetime, size: int, horizon: datetime, *, is_wanted: bool) -> Span | None:
    """Return the hours (or days) that lie whole in a span, and those that have to stand for it before the horizon."""
    begin = floor_time(first, size) if first < horizon else ceil_time(first, size)
    finish = ceil_time(after, size) if after <= horizon else floor_time(after, size)
    if not is_wanted:
        finish = min(finish, horizon)
    return (begin, finish) if begin < finish else None


def _join(one: Span | None, other: Span | None) -> Span | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def _in(span: Span | None) -> Q:
    return Q(pk__in=[]) if span is None else Q(start__gte=span[0], start__lt=span[1])
