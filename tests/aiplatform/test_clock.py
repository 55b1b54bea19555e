"""The clock repeats jobs; one job's error or slowness is its own."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection
from django.db.models import QuerySet

from aiplatform.clock import Clock, run_job
from aiplatform.lookout import Lookout
from aiplatform.wiring import Job


def fail() -> None:
    """Raise, as a broken job does."""
    raise ValueError("broken")


@pytest.mark.django_db
def test_a_failing_job_is_reported_and_does_not_raise() -> None:
    assert run_job(Job(name="broken", interval_s=1, run=fail)) is False
    assert run_job(Job(name="fine", interval_s=1, run=lambda: None)) is True


@pytest.mark.django_db(transaction=True)
def test_a_slow_job_and_a_failing_job_do_not_hold_up_the_others() -> None:
    three_ticks, release = threading.Semaphore(0), threading.Event()
    jobs = [
        Job(name="slow", interval_s=0.01, run=lambda: release.wait(20)),
        Job(name="broken", interval_s=0.01, run=fail),
        Job(name="quick", interval_s=0.01, run=three_ticks.release),
    ]
    clock = Clock(jobs)
    thread = threading.Thread(target=clock.run)
    thread.start()
    ticked = [three_ticks.acquire(timeout=10) for _ in range(3)]
    release.set()
    clock.stop()
    thread.join(timeout=10)
    assert ticked == [True, True, True]
    assert not thread.is_alive()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("interval_s", "is_kept"), [(1.0, True), (60.0, False)])
def test_a_job_that_comes_again_soon_keeps_its_connection_to_a_server(
    interval_s: float, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    monkeypatch.setattr(connection, "vendor", "postgresql")  # whatever the tests run on
    monkeypatch.setattr(connection, "close", lambda: closed.append(1))
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: closed.append(1))
    run_job(Job(name="ask", interval_s=interval_s, run=connection.ensure_connection))
    assert (not closed) is is_kept


def named_groups(name: str) -> QuerySet[Group]:
    return Group.objects.filter(name=name)


@pytest.mark.django_db
def test_one_statement_tells_which_of_many_jobs_have_something_to_do(django_assert_num_queries: Any) -> None:
    jobs = [
        Job(name=name, interval_s=1, run=fail, waiting=functools.partial(named_groups, name)) for name in "abcdefgh"
    ]
    lookout = Lookout(jobs)
    with django_assert_num_queries(1):
        assert lookout.list_due() == []
    Group.objects.create(name="b")
    Group.objects.create(name="h")
    with django_assert_num_queries(1):
        assert [job.name for job in lookout.list_due()] == ["b", "h"]


@contextmanager
def running(jobs: Sequence[Job]) -> Iterator[None]:
    clock = Clock(jobs)
    thread = threading.Thread(target=clock.run)
    thread.start()
    yield
    clock.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_a_job_that_waits_for_rows_is_run_while_there_are_some() -> None:
    looks, runs = threading.Semaphore(0), threading.Semaphore(0)

    def work() -> None:
        Group.objects.filter(name="work").delete()
        runs.release()

    def look() -> QuerySet[Group]:
        looks.release()
        return named_groups("work")

    with running([Job(name="work", interval_s=0.01, run=work, waiting=look)]):
        assert looks.acquire(timeout=10)
        assert not runs.acquire(timeout=0.2), "there was nothing to do"
        Group.objects.create(name="work")
        assert runs.acquire(timeout=10)
        while runs.acquire(timeout=0.2):  # it may have been woken once more before the row was gone
            pass
        Group.objects.create(name="work")
        assert runs.acquire(timeout=10)


@pytest.mark.django_db(transaction=True)
def test_jobs_are_run_where_nobody_can_tell_whether_they_have_something_to_do() -> None:
    runs = threading.Semaphore(0)

    def nobody_knows() -> QuerySet[Group]:
        raise OperationalError("the database is away")

    with running([Job(name="work", interval_s=0.01, run=runs.release, waiting=nobody_knows)]):
        assert runs.acquire(timeout=10)
