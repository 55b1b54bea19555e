"""Quiet hours: is this moment in them? Times are those on the wall clock of their zone."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time, timedelta
from typing import Any, Protocol, TypeVar

from monitoring.alerts.vocabulary import QuietEffect, Weekday


class Quiet(Protocol):
    """The fields of quiet hours."""

    name: str
    effect: str
    days: Any
    starts: time
    ends: time
    time_zone: str


Q = TypeVar("Q", bound=Quiet)


def is_quiet(hours: Quiet, now: datetime) -> bool:
    """Say whether quiet hours hold. An end at or before the start is on the day after."""
    here = now.astimezone(zoneinfo.ZoneInfo(hours.time_zone))
    clock = here.time()
    today, yesterday = _day(here), _day(here - timedelta(days=1))
    if hours.starts < hours.ends:
        return today in hours.days and hours.starts <= clock < hours.ends
    return (today in hours.days and clock >= hours.starts) or (yesterday in hours.days and clock < hours.ends)


def find_quiet(all_hours: Iterable[Q], effect: QuietEffect, now: datetime) -> Q | None:
    """Return the quiet hours of one effect that hold now, if any."""
    return next((hours for hours in all_hours if hours.effect == effect and is_quiet(hours, now)), None)


def quiet_problems(days: Any, time_zone: str) -> Iterator[tuple[str, str]]:
    """Yield (field, message) for days and zones that do not exist."""
    known = Weekday.values
    if not isinstance(days, Sequence) or isinstance(days, str) or not days or set(days) - set(known):
        yield "days", f"must be some of {', '.join(known)}, not '{days}'"
    try:
        zoneinfo.ZoneInfo(time_zone)
    except (ValueError, OSError, KeyError):  # not found is a KeyError; a path or a folder the others
        yield "time_zone", f"must be the name of a zone such as Europe/Zurich, not '{time_zone}'"


def _day(at: datetime) -> str:
    return str(Weekday.values[at.weekday()])
