"""Minutes become hours and days exactly: each prediction counted once, whenever and however often one rolls up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection
from django.db.models import Sum
from pytest_django import Settings

from aiplatform.contracts.monitoring import FeedbackItem
from aiplatform.profiles import NumericProfile
from monitoring.cover import cover
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models import PredictionBlock, Window
from monitoring.predictions import find_rows
from monitoring.retention import clean_up
from monitoring.rollup import roll_up_windows
from monitoring.selectors import Period, count_confusions, get_totals, list_windows, merge_profiles
from tests.monitoring.factories import make_batch

pytestmark = pytest.mark.django_db
# A recent midnight: what is older than WINDOW_MINUTE_RETENTION_DAYS is read in whole hours.
DAY = (datetime.now(UTC) - timedelta(days=4)).replace(hour=0, minute=0, second=0, microsecond=0)
LATER = DAY + timedelta(days=2, hours=1)
R = Window.Resolution


def record(time: datetime, rows: int = 5, *, value: float = 1.0, ids: list[str] | None = None) -> None:
    batch = make_batch(rows, time=time, ids=ids or [], numeric={"size": [value] * rows}, labels=["7"] * rows)
    record_predictions(batches=[batch], now=max(time, LATER))


def fill(hours: int = 30, step_minutes: int = 17) -> int:
    """Record 5 rows every few minutes from midnight on; return how many."""
    times = [DAY + timedelta(minutes=m) for m in range(0, hours * 60, step_minutes)]
    for number, time in enumerate(times):
        record(time, value=float(number))
    return 5 * len(times)


def rows_of(resolution: int, **wanted: object) -> int:
    found = Window.objects.filter(resolution=resolution, **wanted).aggregate(rows=Sum("rows"))["rows"]
    return int(found or 0)


def totals(start: datetime, end: datetime) -> tuple[int, int]:
    """Return rows by their count and by their sketch."""
    windows = list_windows("digits", 1, Period(start=start, end=end))
    size = merge_profiles(windows).features.get("size")
    return get_totals(windows).rows, size.count if size else 0


@pytest.mark.postgres
def test_minutes_become_hours_and_days_and_nothing_is_lost_or_counted_twice() -> None:
    rows = fill()
    before = merge_profiles(Window.objects.all()).features["size"]
    assert totals(DAY, LATER) == (rows, rows)
    assert roll_up_windows(now=LATER) > 0
    assert (rows_of(R.MINUTE), rows_of(R.HOUR), rows_of(R.DAY)) == (rows, rows, rows)
    assert totals(DAY, LATER) == (rows, rows)
    after = merge_profiles(list_windows("digits", 1, Period(start=DAY, end=LATER))).features["size"]
    assert isinstance(before, NumericProfile) and isinstance(after, NumericProfile)
    assert after.moments.mean == pytest.approx(before.moments.mean)
    assert after.moments.deviation == pytest.approx(before.moments.deviation)
    assert (after.moments.low, after.moments.high) == (before.moments.low, before.moments.high)
    assert after.quantiles([0.5])[0] == pytest.approx(before.quantiles([0.5])[0], abs=0.03 * rows)


def test_rolling_up_again_changes_nothing() -> None:
    fill(5)
    roll_up_windows(now=LATER)
    before = list(Window.objects.order_by("pk").values())
    assert roll_up_windows(now=LATER) == 0
    assert list(Window.objects.order_by("pk").values()) == before


def test_a_long_period_is_read_from_few_windows() -> None:
    fill(48, 7)
    roll_up_windows(now=LATER)
    start, end = DAY - timedelta(hours=3), LATER
    assert [w.resolution for w in list_windows("digits", 1, Period(start=start, end=end))] == [R.DAY, R.DAY]
    fine = list_windows("digits", 1, Period(start=start, end=end), coarsest=R.HOUR)
    assert {w.resolution for w in fine} == {R.HOUR} and get_totals(fine).rows == rows_of(R.DAY)


@pytest.mark.parametrize("seed", range(8))
def test_any_period_at_any_moment_of_rolling_up_has_exactly_its_rows(seed: int) -> None:
    chance = random.Random(seed)
    minutes = sorted(chance.sample(range(2800), 60))
    for minute in minutes[::2]:
        record(DAY + timedelta(minutes=minute))
    roll_up_windows(now=DAY + timedelta(minutes=chance.randrange(3200)))
    for minute in minutes[1::2]:  # late ones among them
        record(DAY + timedelta(minutes=minute))
    roll_up_windows(now=DAY + timedelta(minutes=chance.randrange(3200)))
    record(DAY + timedelta(minutes=minutes[0]))
    for _ in range(10):
        first, last = sorted(chance.sample(range(2880), 2))
        expected = 5 * sum(first <= m <= last for m in [*minutes, minutes[0]])
        found = totals(DAY + timedelta(minutes=first), DAY + timedelta(minutes=last, seconds=30))
        assert found == (expected, expected), (first, last)


@pytest.mark.postgres
def test_a_late_batch_is_counted_at_once_and_reaches_hour_and_day() -> None:
    rows = fill()
    roll_up_windows(now=LATER)
    record(DAY + timedelta(minutes=17), rows=3)
    record(DAY + timedelta(minutes=18), rows=4)  # of a minute that had none
    assert totals(DAY, LATER) == (rows + 7, rows + 7)
    assert rows_of(R.DAY) == rows
    roll_up_windows(now=LATER)
    assert (rows_of(R.MINUTE), rows_of(R.HOUR), rows_of(R.DAY)) == (rows + 7,) * 3
    assert totals(DAY, LATER) == (rows + 7, rows + 7)
    assert not Window.objects.filter(is_rolled_up=False).exclude(resolution=R.DAY).exists()
    assert Window.objects.filter(start=DAY + timedelta(minutes=17), resolution=R.MINUTE).count() == 1


def test_an_hour_that_is_not_over_is_left_alone() -> None:
    record(DAY + timedelta(minutes=5))
    assert roll_up_windows(now=DAY + timedelta(minutes=64)) == 0, "WINDOW_ROLLUP_DELAY_S is five minutes"
    assert roll_up_windows(now=DAY + timedelta(minutes=66)) == 1


@pytest.mark.postgres
def test_labels_reach_closed_windows_and_corrections_do_too() -> None:
    record(DAY, ids=["a", "b", "c", "d", "e"])
    record_feedback(items=[FeedbackItem(prediction_id="a", label="7")])
    roll_up_windows(now=LATER)
    record_feedback(items=[FeedbackItem(prediction_id="b", label="7"), FeedbackItem(prediction_id="c", label="1")])
    record_feedback(items=[FeedbackItem(prediction_id="a", label="2")])
    period = Period(start=DAY - timedelta(days=1), end=LATER)
    for _ in range(2):
        found = get_totals(list_windows("digits", 1, period))
        assert (found.rows, found.labelled, found.correct) == (5, 3, 1)
        roll_up_windows(now=LATER)
    day = Window.objects.get(resolution=R.DAY)
    assert (day.rows, day.labelled, day.correct) == (5, 3, 1)
    assert count_confusions("digits", 1, period) == [("1", "7", 1), ("2", "7", 1), ("7", "7", 1)]


class Cut(DatabaseError):
    """The connection went at this statement."""


def cut_after(statements: int) -> Iterator[None]:
    left = [statements]

    def cut(execute: object, sql: str, params: object, many: bool, context: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise Cut(sql)
        return execute(sql, params, many, context)  # type: ignore[operator]

    with connection.execute_wrapper(cut):
        yield


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_cut_at_any_statement_rolling_up_loses_and_doubles_nothing() -> None:
    rows = fill(3, 20)
    roll_up_windows(now=DAY + timedelta(hours=2, minutes=10))
    record(DAY, rows=2)
    rows += 2
    statements = 0
    while True:
        try:
            for _ in cut_after(statements):
                roll_up_windows(now=LATER)
            break
        except Cut:
            assert totals(DAY, LATER) == (rows, rows), statements
        statements += 1
    assert statements > 10
    assert (rows_of(R.MINUTE), rows_of(R.HOUR), rows_of(R.DAY)) == (rows,) * 3


def test_minutes_and_hours_go_and_their_predictions_and_labels_stay(settings: Settings) -> None:
    settings.WINDOW_MINUTE_RETENTION_DAYS, settings.WINDOW_HOUR_RETENTION_DAYS = 3.0, 6.0
    record(DAY + timedelta(minutes=3), ids=["a", "b", "c", "d", "e"])
    rows = fill(5)
    roll_up_windows(now=LATER)
    now = DAY + timedelta(days=5, hours=3)
    removed = clean_up(now=now)
    assert removed["minutes"] > 10 and rows_of(R.MINUTE) == 0 and rows_of(R.HOUR) == rows + 5
    assert set(PredictionBlock.objects.values_list("window__resolution", flat=True)) == {R.HOUR}
    record_feedback(items=[FeedbackItem(prediction_id="a", label="7")])
    roll_up_windows(now=now)
    clean_up(now=DAY + timedelta(days=9))
    assert rows_of(R.HOUR) == 0
    day = Window.objects.get(resolution=R.DAY)
    assert (day.rows, day.labelled) == (rows + 5, 1)
    assert len(find_rows(["a", "b"])) == 2
    assert PredictionBlock.objects.exists()


def test_windows_that_were_not_rolled_up_outlive_the_retention_of_minutes() -> None:
    rows = fill(3)
    clean_up(now=DAY + timedelta(days=20))
    assert rows_of(R.MINUTE) == rows


def test_before_the_horizon_a_period_is_read_in_whole_hours_and_days(settings: Settings) -> None:
    settings.WINDOW_MINUTE_RETENTION_DAYS, settings.WINDOW_HOUR_RETENTION_DAYS = 3.0, 6.0
    for minute in (10, 50, 70, 130):
        record(DAY + timedelta(minutes=minute))
    roll_up_windows(now=LATER)
    for days, expected in ((2, 10), (5, 15), (8, 20)):  # the minutes; the hours; the day in which it lies
        now = DAY + timedelta(days=days)
        wanted = cover(DAY + timedelta(minutes=40), DAY + timedelta(minutes=80), now=now)
        assert Window.objects.filter(wanted).aggregate(rows=Sum("rows"))["rows"] == expected, days
        clean_up(now=now)
        assert Window.objects.filter(wanted).aggregate(rows=Sum("rows"))["rows"] == expected, days
