"""Days, weeks and months as people of a time zone count them; their length in seconds varies.

With a cron expression a period lasts from one of its times to the next.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from django.db.models import TextChoices

from aiplatform.errors import InvalidInputError
from monitoring.reports.cron import parse_cron

Span = tuple[datetime, datetime]  # in UTC, from, to but not at


class PeriodKind(TextChoices):
    """How long a scheduled report's period is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    CRON = "cron", "by a cron expression"


def check_time_zone(name: str) -> str:
    """Return why a time zone cannot be used, or nothing."""
    return "" if name in available_timezones() else f"there is no time zone '{name}'"


def check_cron(text: str) -> str:
    """Return why a cron expression cannot be used, or nothing."""
    try:
        parse_cron(text)
    except InvalidInputError as error:
        return error.message
    return ""


def last_finished(kind: str, time_zone: str, now: datetime, *, cron: str = "") -> Span:
    """Return the last period that is over. `cron` is of the kind of that name."""
    if kind == PeriodKind.CRON:
        end, start = islice(parse_cron(cron).times_before(now, time_zone), 2)
        return start, end
    zone = ZoneInfo(time_zone)
    first = _first_day(kind, now.astimezone(zone).date())
    before = _first_day(kind, first - timedelta(days=1))
    return _midnight(before, zone), _midnight(first, zone)


def list_finished(
    kind: str, time_zone: str, *, since: datetime, now: datetime, limit: int, cron: str = ""
) -> list[Span]:
    """Return the latest periods that ended after `since` and before `now`, the oldest first."""
    found: list[Span] = []
    span = last_finished(kind, time_zone, now, cron=cron)
    while span[1] > since and len(found) < limit:
        found.append(span)
        span = last_finished(kind, time_zone, span[0], cron=cron)
    return found[::-1]


def _first_day(kind: str, day: date) -> date:
    if kind == PeriodKind.MONTH:
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if kind == PeriodKind.WEEK else day


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
