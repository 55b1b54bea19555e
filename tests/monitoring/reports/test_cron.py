"""Cron expressions are read as cron reads them, in the days of a time zone, and refused in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest

from aiplatform.errors import InvalidInputError
from monitoring.reports.cron import parse_cron
from monitoring.reports.periods import list_finished

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday


def before(text: str, count: int = 4, *, now: datetime = NOW, time_zone: str = "UTC") -> list[str]:
    """Return the last times of an expression, the latest first."""
    return [f"{found:%m-%d %H:%M}" for found in islice(parse_cron(text).times_before(now, time_zone), count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 6 * * mon-fri", ["11-25 06:00", "11-24 06:00", "11-23 06:00", "11-20 06:00"]),
        ("0 6 * * 1-5", ["11-25 06:00", "11-24 06:00", "11-23 06:00", "11-20 06:00"]),
        ("30 */8 * * *", ["11-25 08:30", "11-25 00:30", "11-24 16:30", "11-24 08:30"]),
        ("0 0 1 */3 *", ["10-01 00:00", "07-01 00:00", "04-01 00:00", "01-01 00:00"]),
        ("0 0 * * 7", ["11-22 00:00", "11-15 00:00", "11-08 00:00", "11-01 00:00"]),
        ("0 0 * * SUN", ["11-22 00:00", "11-15 00:00", "11-08 00:00", "11-01 00:00"]),
        ("15 9 1,15 * *", ["11-15 09:15", "11-01 09:15", "10-15 09:15", "10-01 09:15"]),
        ("0 12 20 * sun", ["11-22 12:00", "11-20 12:00", "11-15 12:00", "11-08 12:00"]),  # either day
        ("0 12 */2 * sun", ["11-15 12:00", "11-01 12:00", "10-25 12:00", "10-11 12:00"]),  # both days
        ("0 0 29 feb *", ["02-29 00:00", "02-29 00:00", "02-29 00:00", "02-29 00:00"]),
        ("0 12 * * *", ["11-25 12:00", "11-24 12:00", "11-23 12:00", "11-22 12:00"]),  # now is in time
    ],
)
def test_times_are_those_of_cron(text: str, expected: list[str]) -> None:
    assert before(text) == expected


def test_days_are_those_of_the_time_zone() -> None:
    assert before("0 0 * * *", 2, time_zone="Asia/Tokyo") == ["11-24 15:00", "11-23 15:00"]
    assert before("0 9 * * *", 2, now=datetime(2026, 10, 25, 12, tzinfo=UTC), time_zone="Europe/Berlin") == [
        "10-25 08:00", "10-24 07:00",
    ]  # fmt: skip


def test_the_hour_that_is_left_out_comes_once_and_the_one_that_is_repeated_too() -> None:
    spring = before("30 * * * *", 3, now=datetime(2026, 3, 29, 2, tzinfo=UTC), time_zone="Europe/Berlin")
    assert spring == ["03-29 01:30", "03-29 00:30", "03-28 23:30"]
    autumn = before("30 * * * *", 3, now=datetime(2026, 10, 25, 2, tzinfo=UTC), time_zone="Europe/Berlin")
    assert autumn == ["10-25 00:30", "10-24 23:30", "10-24 22:30"]


def test_periods_follow_each_other_without_a_gap_over_both_changes_of_the_clock() -> None:
    for expression in ("30 2 * * *", "0 */6 * * *", "0 18 * * fri"):
        spans = list_finished(
            "cron", "Europe/Berlin", since=NOW - timedelta(days=300), now=NOW, limit=2000, cron=expression
        )
        assert len(spans) > 40
        assert all(one[1] == other[0] for one, other in pairwise(spans))
        assert all(start < end for start, end in spans)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0 6 * *", "has five fields (minute, hour, day of month, month, day of week), '0 6 * *' has 4"),
        ("60 6 * * *", "minute is from 0 to 59, not '60'"),
        ("*/5 * * * *", "names one minute, '*/5' are 12"),
        ("0 6 * foo *", "month: 'foo' is not a number"),
        ("0 6 31 2 *", "'0 6 31 2 *' never comes"),
        ("0 9-6 * * *", "hour: '9-6' ends before it begins"),
        ("0 */0 * * *", "hour: '*/0' has a step of 0"),
        ("0 6 0 * *", "day of month is from 1 to 31, not '0'"),
        ("@daily", "'@daily' has 1"),
        ("0 6 -1 * *", "day of month: '-1' is not a number"),
    ],
)
def test_what_is_no_expression_is_refused_in_words(text: str, problem: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_cron(text)
    assert problem in refused.value.message
