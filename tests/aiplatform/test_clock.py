"""The clock repeats jobs; one job's error or slowness is its own."""

from __future__ import annotations

import threading

import pytest

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
