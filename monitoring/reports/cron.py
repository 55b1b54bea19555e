"""Cron expressions of report schedules: five fields, read as Debian's cron reads them.

    minute hour day-of-month month day-of-week      0 6 * * mon-fri

Our own, as two things differ from what runs jobs: a period needs the time *before* a time, in the days of a time
zone; and a report's expression names one minute, for each time of it makes a report that is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from aiplatform.errors import InvalidInputError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_GAP_DAYS = 366 * 8  # 29 February, over a year like 1900 that has none
_EVERY_DATE = date(2024, 12, 31)  # with eight years before it, and 29 February among them


@dataclass(frozen=True, kw_only=True)
class _Field:
    """One field's name, its least and greatest value, and the names that stand for values from the least on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field(name="minute", low=0, high=59),
    _Field(name="hour", low=0, high=23),
    _Field(name="day of month", low=1, high=31),
    _Field(name="month", low=1, high=12, names=_MONTHS),
    _Field(name="day of week", low=0, high=7, names=_WEEKDAYS),
)


@dataclass(frozen=True, kw_only=True)
class CronExpression:
    """When it is time, by the clock of a place. Weekdays count from Sunday, 0."""

    minute: int
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either_day: bool  # both kinds of day are restricted: either is enough

    def times_before(self, moment: datetime, time_zone: str) -> Iterator[datetime]:
        """Yield, in UTC, the times up to and at a moment, the latest first, without end but for eight years of none.

        A time that the clock leaves out in spring is the time that it then shows, once; one that it shows twice in
        autumn is the first of the two.
        """
        zone, latest = ZoneInfo(time_zone), moment + timedelta(microseconds=1)
        day = last_found = moment.astimezone(zone).date() + timedelta(days=1)
        while (last_found - day).days <= _LONGEST_GAP_DAYS:
            for hour in sorted(self.hours, reverse=True) if self._is_day(day) else ():
                found = datetime.combine(day, time(hour, self.minute), zone).astimezone(UTC)
                if found < latest:
                    yield found
                    latest, last_found = found, day
            day -= timedelta(days=1)

    def _is_day(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        is_day, is_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return is_day or is_weekday if self.is_either_day else is_day and is_weekday


def parse_cron(text: str) -> CronExpression:
    """Return the expression that a text stands for.

    Raises: InvalidInputError naming the field and what is wrong with it.
    """
    words = text.split()
    if len(words) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        raise InvalidInputError(f"a cron expression has five fields ({names}), '{text}' has {len(words)}")
    minutes, hours, days, months, weekdays = (
        _read_field(field, word.lower()) for field, word in zip(_FIELDS, words, strict=True)
    )
    if len(minutes) != 1:
        raise InvalidInputError(f"a report's cron expression names one minute, '{words[0]}' are {len(minutes)}")
    found = CronExpression(
        minute=min(minutes), hours=hours, days=days, months=months,
        weekdays=frozenset(weekday % 7 for weekday in weekdays),
        is_either_day=not words[2].startswith("*") and not words[4].startswith("*"),
    )  # fmt: skip
    if next(found.times_before(datetime.combine(_EVERY_DATE, time(23, 59), UTC), "UTC"), None) is None:
        raise InvalidInputError(f"'{text}' never comes: no month of it has such a day")
    return found


def _read_field(field: _Field, word: str) -> frozenset[int]:
    return frozenset(value for part in word.split(",") for value in _read_part(field, part))


def _read_part(field: _Field, part: str) -> range:
    """Return the values of `*`, `5`, `1-5`, each with `/step` behind it; a name may stand for a value."""
    span, slash, step_text = part.partition("/")
    step = _read_number(field, step_text, part) if slash else 1
    if not step:
        raise InvalidInputError(f"{field.name}: '{part}' has a step of 0")
    if span == "*":
        return range(field.low, min(field.high, 6 if field.names == _WEEKDAYS else field.high) + 1, step)
    first, dash, last = span.partition("-")
    low = _read_value(field, first, part)
    high = _read_value(field, last, part) if dash else (field.high if slash else low)
    if low > high:
        raise InvalidInputError(f"{field.name}: '{part}' ends before it begins")
    return range(low, high + 1, step)


def _read_value(field: _Field, text: str, part: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.low
    value = _read_number(field, text, part)
    if not field.low <= value <= field.high:
        raise InvalidInputError(f"{field.name} is from {field.low} to {field.high}, not '{part}'")
    return value


def _read_number(field: _Field, text: str, part: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise InvalidInputError(f"{field.name}: '{part}' is not a number, a range (1-5), a step (*/2) or *")
    return int(text)
