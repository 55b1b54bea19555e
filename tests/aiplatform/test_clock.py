"""The clock repeats jobs; one job's error or slowness is its own."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from aiplatform.clock import Clock, run_job
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
