"""A process that is behind says so at once, and no longer than it is."""

from __future__ import annotations

import asyncio
import time

from inference.scheduler.overload import BEAT_S, OverloadGuard


def test_a_loop_that_was_held_up_is_overloaded_until_it_has_caught_up() -> None:
    async def scenario() -> list[bool]:
        guard = OverloadGuard(max_lag_s=0.1)
        guard.start()
        await asyncio.sleep(0)
        said = [guard.is_overloaded()]
        time.sleep(BEAT_S + 0.15)  # as many requests would that come at once
        said.append(guard.is_overloaded())
        error = guard.refusal()
        assert (error.http_status, error.details["setting"]) == (503, "MAX_LOOP_LAG_MS")
        await asyncio.sleep(0.001)
        said.append(guard.is_overloaded())
        guard.stop()
        time.sleep(BEAT_S + 0.15)
        said.append(guard.is_overloaded())
        return said

    assert asyncio.run(scenario()) == [False, True, False, False]


def test_more_requests_under_way_than_allowed_are_refused_until_some_have_ended() -> None:
    guard = OverloadGuard(max_lag_s=0.0, max_under_way=2)
    guard.under_way = 1
    assert not guard.is_overloaded()
    guard.under_way += 1
    assert guard.is_overloaded()
    assert guard.refusal().details["setting"] == "MAX_REQUESTS_UNDER_WAY"
    guard.under_way -= 1
    assert not guard.is_overloaded()


def test_without_bounds_nothing_is_refused() -> None:
    guard = OverloadGuard(max_lag_s=0.0, clock=lambda: 1e9)
    guard.under_way = 10**6
    assert not guard.is_overloaded()
