"""Discovery and balancing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.discovery.discovery import StaticDiscovery
from gateway.discovery.health import check_backends
from gateway.discovery.pool import NoBackendError, Pool
from gateway.forwarding.upstreams import Upstreams
from gateway.resilience.breaker import CircuitBreaker
from tests.gateway.support import FakeClock, local_server


def pool_of(*addresses: str, clock: FakeClock | None = None) -> Pool:
    clock = clock or FakeClock()
    pool = Pool(service="inference", new_breaker=lambda: CircuitBreaker(failures=1, open_s=5, clock=clock))
    pool.set_addresses(addresses)
    return pool


def test_static_discovery_reads_several_addresses_of_a_setting() -> None:
    discovery = StaticDiscovery({"training": "http://a:1/, http://b:2", "inference": ""})
    assert discovery.find_addresses("training") == ("http://a:1", "http://b:2")
    assert discovery.find_addresses("inference") == ()


def test_idle_addresses_take_turns() -> None:
    pool = pool_of("a", "b", "c")
    assert sorted(pool.pick().address for _ in range(6)) == ["a", "a", "b", "b", "c", "c"]


def test_the_address_with_the_least_in_flight_is_next() -> None:
    pool = pool_of("a", "b")
    pool.backends[0].in_flight = 3
    assert {pool.pick().address for _ in range(4)} == {"b"}


def test_unhealthy_addresses_are_passed_over_while_another_is_well() -> None:
    pool = pool_of("a", "b")
    pool.backends[0].is_healthy = False
    assert {pool.pick().address for _ in range(4)} == {"b"}


def test_when_every_health_check_fails_all_are_tried() -> None:
    pool = pool_of("a", "b")
    for backend in pool.backends:
        backend.is_healthy = False
    assert {pool.pick().address for _ in range(4)} == {"a", "b"}


def test_with_every_breaker_open_the_error_says_when_to_retry() -> None:
    clock = FakeClock()
    pool = pool_of("a", "b", clock=clock)
    for backend in pool.backends:
        backend.breaker.record_failure()
    clock.pass_s(2)
    with pytest.raises(NoBackendError, match="none of the 2 addresses of 'inference'") as caught:
        pool.pick()
    assert caught.value.retry_after_s == 3
    assert caught.value.http_status == 503


def test_addresses_that_stay_keep_their_state_in_a_new_list() -> None:
    pool = pool_of("a", "b")
    kept = pool.backends[1]
    pool.set_addresses(("b", "c"))
    assert [b.address for b in pool.backends] == ["b", "c"]
    assert pool.backends[0] is kept


def test_health_checks_see_which_address_is_ready() -> None:
    async def look(pool: Pool) -> None:
        upstreams = Upstreams()
        await check_backends(upstreams, [pool], timeout_s=2)
        await upstreams.close()

    with local_server() as well, local_server(lambda _: (503, {}, b"")) as unwell, local_server() as gone:
        gone.stop()
        pool = pool_of(well.url, unwell.url, gone.url)
        asyncio.run(look(pool))
        assert [b.is_healthy for b in pool.backends] == [True, False, False]
        assert well.seen[0].path == "/health/ready"
