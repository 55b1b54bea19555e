"""Rates, windows, and counts that hold under threads, tasks and several processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiplatform.errors import InvalidConfigurationError
from gateway.limits.answers import rate_headers, rate_limited_error
from gateway.limits.limiter import Limiter
from gateway.limits.rates import Allowance, Rate, parse_rate
from tests.gateway.support import FakeClock

KEY = ("7", "predict")


class MemoryCounts:
    """Counters that several limiters share; can be made unreachable."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.is_down = False

    def add_counts(self, added: Mapping[str, int], *, keep_s: Mapping[str, int]) -> Sequence[int]:
        if self.is_down:
            raise ConnectionError("down")
        for name, count in added.items():
            self.counts[name] = self.counts.get(name, 0) + count
        return [self.counts[name] for name in added]


@pytest.mark.parametrize(
    ("text", "limit", "window_s"), [("6000/min", 6000, 60), ("5/s", 5, 1), (" 10 / H ", 10, 3600), ("1/day", 1, 86400)]
)
def test_a_rate_is_read_from_text(text: str, limit: int, window_s: int) -> None:
    rate = parse_rate(text)
    assert rate == Rate(limit=limit, window_s=window_s)
    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "6000", "0/min", "-1/s", "5/fortnight", "x/min", "1.5/s"])
def test_a_rate_that_cannot_be_read_names_the_units(text: str) -> None:
    with pytest.raises(InvalidConfigurationError, match="/s, /min, /h or /day"):
        parse_rate(text)


def test_exactly_the_limit_passes_when_many_threads_ask_at_once() -> None:
    limiter = Limiter(clock=FakeClock())
    rate = parse_rate("500/min")
    with ThreadPoolExecutor(16) as threads:
        passed = sum(threads.map(lambda _: limiter.admit(KEY, rate).is_allowed, range(4000)))
    assert passed == 500


def test_exactly_the_limit_passes_when_many_tasks_ask_at_once() -> None:
    limiter = Limiter(clock=FakeClock())
    rate = parse_rate("100/min")

    async def one() -> bool:
        await asyncio.sleep(0)
        return limiter.admit(KEY, rate).is_allowed

    async def all_at_once() -> int:
        return sum(await asyncio.gather(*(one() for _ in range(1000))))

    assert asyncio.run(all_at_once()) == 100


def test_tokens_and_routes_are_counted_apart() -> None:
    limiter = Limiter(clock=FakeClock())
    rate = parse_rate("1/min")
    keys = [("1", "predict"), ("2", "predict"), ("1", "training")]
    assert all(limiter.admit(key, rate).is_allowed for key in keys)
    assert not any(limiter.admit(key, rate).is_allowed for key in keys)


def test_a_full_window_fades_out_over_the_next_one() -> None:
    clock = FakeClock(now_s=600.0)
    limiter = Limiter(clock=clock)
    rate = parse_rate("60/min")
    clock.pass_s(59)
    assert sum(limiter.admit(KEY, rate).is_allowed for _ in range(100)) == 60
    clock.pass_s(1)
    assert not limiter.admit(KEY, rate).is_allowed
    clock.pass_s(30)
    assert sum(limiter.admit(KEY, rate).is_allowed for _ in range(100)) == 30


@pytest.mark.parametrize("moment_s", [600.0, 630.0, 659.5])
def test_a_request_passes_after_the_time_that_the_refusal_named(moment_s: float) -> None:
    clock = FakeClock(now_s=moment_s)
    limiter = Limiter(clock=clock)
    rate = parse_rate("10/min")
    for _ in range(10):
        assert limiter.admit(KEY, rate).is_allowed
    refused = limiter.admit(KEY, rate)
    assert refused.retry_after_s > 0
    clock.pass_s(refused.retry_after_s - 0.1)
    still_refused = limiter.admit(KEY, rate)
    assert not still_refused.is_allowed
    clock.pass_s(still_refused.retry_after_s + 0.001)
    assert limiter.admit(KEY, rate).is_allowed


def test_two_processes_that_share_counts_keep_the_limit_together() -> None:
    store, clock, rate = MemoryCounts(), FakeClock(now_s=600.0), parse_rate("100/min")
    first, second = (Limiter(processes=2, store=store, clock=clock) for _ in range(2))
    passed = 0
    for _ in range(50):
        for limiter in (first, second):
            passed += sum(limiter.admit(KEY, rate).is_allowed for _ in range(3))
            limiter.share_counts()
    assert 100 <= passed <= 103  # past it by what one process let through since its last exchange


def test_shared_counts_of_the_last_window_still_count_in_the_next() -> None:
    store, clock, rate = MemoryCounts(), FakeClock(now_s=659.0), parse_rate("100/min")
    first, second = (Limiter(processes=2, store=store, clock=clock) for _ in range(2))
    for _ in range(50):
        assert first.admit(KEY, rate).is_allowed
        assert second.admit(KEY, rate).is_allowed
    for limiter in (first, second, first):
        limiter.share_counts()
    clock.pass_s(1)
    assert not first.admit(KEY, rate).is_allowed
    assert not second.admit(KEY, rate).is_allowed


def test_without_the_shared_store_each_process_takes_its_share() -> None:
    store = MemoryCounts()
    limiter = Limiter(processes=4, store=store, clock=FakeClock())
    store.is_down = True
    limiter.admit(KEY, parse_rate("100/min"))
    limiter.share_counts()
    assert not limiter.is_shared
    assert sum(limiter.admit(KEY, parse_rate("100/min")).is_allowed for _ in range(100)) == 24
    store.is_down = False
    limiter.share_counts()
    assert limiter.is_shared


def test_processes_without_a_store_divide_the_limit() -> None:
    limiter = Limiter(processes=4, clock=FakeClock())
    assert sum(limiter.admit(KEY, parse_rate("100/min")).is_allowed for _ in range(100)) == 25


def test_keys_that_went_quiet_are_forgotten() -> None:
    clock = FakeClock()
    limiter = Limiter(clock=clock)
    for number in range(50):
        limiter.admit((str(number), "predict"), parse_rate("5/s"))
    clock.pass_s(10)
    limiter.forget_idle()
    assert limiter._windows == {}


def test_a_refusal_says_limit_window_value_setting_and_when_to_retry() -> None:
    limiter = Limiter(clock=FakeClock(now_s=600.0))
    allowance = Allowance(rate=parse_rate("2/min"), setting="RATE_LIMIT_API")
    for _ in range(2):
        limiter.admit(KEY, allowance.rate)
    verdict = limiter.admit(KEY, allowance.rate)
    error = rate_limited_error("training", allowance, verdict)
    assert error.http_status == 429
    assert error.details == {
        "limit": "requests of a token to 'training'", "value": 2, "setting": "RATE_LIMIT_API",
        "retry_after_s": 90, "window_s": 60,
    }  # fmt: skip
    assert "2/min" in error.message
    assert dict(rate_headers(verdict)) == {
        "RateLimit-Limit": "2", "RateLimit-Remaining": "0", "RateLimit-Reset": "60", "RateLimit-Policy": "2;w=60",
    }  # fmt: skip
