"""The circuit breaker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from gateway.resilience.breaker import BreakerState, CircuitBreaker
from tests.gateway.support import FakeClock


def opened(clock: FakeClock) -> CircuitBreaker:
    breaker = CircuitBreaker(failures=3, open_s=5, clock=clock)
    for _ in range(3):
        breaker.record_failure()
    return breaker


def test_it_opens_after_failures_in_a_row_and_not_before() -> None:
    breaker = CircuitBreaker(failures=3, open_s=5, clock=FakeClock())
    breaker.record_failure()
    breaker.record_failure()
    breaker.record_success()
    breaker.record_failure()
    breaker.record_failure()
    before = breaker.state
    assert breaker.acquire()
    breaker.record_failure()
    assert (before, breaker.state) == (BreakerState.CLOSED, BreakerState.OPEN)
    assert not breaker.acquire()


def test_half_open_lets_one_trial_through_among_many_threads() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.pass_s(5)
    assert breaker.state is BreakerState.HALF_OPEN
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: breaker.acquire(), range(64))) == 1


def test_a_trial_that_succeeds_closes_it() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.pass_s(5)
    assert breaker.acquire()
    breaker.record_success()
    assert breaker.state is BreakerState.CLOSED
    assert all(breaker.acquire() for _ in range(3))


def test_a_trial_that_fails_opens_it_for_the_whole_time_again() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.pass_s(5)
    assert breaker.acquire()
    breaker.record_failure()
    clock.pass_s(4.9)
    assert not breaker.acquire()
    clock.pass_s(0.2)
    assert breaker.acquire()


def test_a_trial_whose_end_is_never_told_is_followed_by_another() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.pass_s(5)
    assert breaker.acquire()
    assert not breaker.acquire()
    clock.pass_s(5)
    assert breaker.acquire()


def test_it_says_when_the_next_trial_may_be_made() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.pass_s(2)
    assert breaker.retry_after_s == 3
