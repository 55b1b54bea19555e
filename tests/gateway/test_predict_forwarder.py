"""Predictions forwarded to real local servers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from aiplatform.contracts.predict import PREDICTION_ID_HEADER
from aiplatform.http.signing import verify_request
from gateway.discovery.pool import Pool
from gateway.door import PredictDoor
from gateway.forwarding.lane import ForwardLane
from gateway.forwarding.predictions import PredictForwarder
from gateway.forwarding.upstreams import Upstreams
from gateway.identities import Identities
from gateway.lane import LaneDoor
from gateway.limits.limiter import Limiter
from gateway.policy import PredictPolicy
from gateway.resilience.breaker import BreakerState, CircuitBreaker
from tests.gateway.support import (
    INTERNAL_SECRET,
    FakeClock,
    Reply,
    Seen,
    bearer,
    call_asgi,
    call_lane,
    known_token,
    local_server,
)

PATH = "/v1/models/digits:predict"
Ask = Callable[..., Awaitable[Reply]]


_way = "ordinary"


@pytest.fixture(params=["ordinary", "lane", "kept"], autouse=True)
def way(request: pytest.FixtureRequest) -> None:
    """Every request is made on all ways in: they must not differ. Over a kept connection no task is made for it."""
    global _way
    _way = request.param


def forward(
    script: Callable[[Ask, Pool], Awaitable[Any]], *addresses: str, longest_s: float = 5, failures: int = 3
) -> Any:
    """Run a script of requests through door and forwarder on one event loop, on the way that `way` says."""

    async def run() -> Any:
        clock = FakeClock()
        upstreams = Upstreams()
        pool = Pool(service="inference", new_breaker=lambda: CircuitBreaker(failures=failures, open_s=5, clock=clock))
        pool.set_addresses(addresses)
        forwarder = PredictForwarder(
            pool=pool, upstreams=upstreams, secret=INTERNAL_SECRET, longest_s=longest_s, max_body_bytes=1000
        )
        identities, limiter = Identities(load=lambda: [known_token()], clock=clock), Limiter(clock=clock)
        identities.refresh()
        policy = PredictPolicy(identities=identities, limiter=limiter)
        door = PredictDoor(forwarder, policy, max_body_bytes=1000, is_remote=True)
        lane = LaneDoor(ForwardLane(forwarder, max_body_bytes=1000), policy)

        async def ask(path: str = PATH, **options: Any) -> Reply:
            options = {"headers": bearer(), **options}
            if _way != "ordinary":
                return await call_lane(lane, door, path, **options)
            return await call_asgi(door, path, **options)

        if _way == "kept":
            await keep_connections(upstreams, addresses)
        try:
            return await script(ask, pool)
        finally:
            await upstreams.close()

    return asyncio.run(run())


async def keep_connections(upstreams: Upstreams, addresses: Iterable[str]) -> None:
    """Have some idle connections to each address that lets them in."""
    for address in addresses:
        known = upstreams._add(address)
        with contextlib.suppress(OSError):
            known.idle += [await upstreams._open(known) for _ in range(3)]


def one(**options: Any) -> Callable[[Ask, Pool], Awaitable[Reply]]:
    async def script(ask: Ask, pool: Pool) -> Reply:
        return await ask(**options)

    return script


def predicted(request: Seen) -> tuple[int, dict[str, str], bytes]:
    headers = {"Content-Type": "application/json", PREDICTION_ID_HEADER: "p1", "X-Request-Id": "theirs"}
    return 200, headers, b'{"predictions": [3]}'


def test_the_answer_and_its_headers_come_back_with_the_gateways_request_id() -> None:
    with local_server(predicted) as server:
        reply = forward(one(headers={**bearer(), "X-Request-Id": "req-1"}), server.url)
    assert (reply.status, reply.json()) == (200, {"predictions": [3]})
    assert reply.headers["x-prediction-id"] == "p1"
    assert reply.headers["x-request-id"] == "req-1"
    assert "ratelimit-limit" in reply.headers


def test_the_request_arrives_signed_with_the_identity_and_without_the_token() -> None:
    with local_server(predicted) as server:
        headers = {
            **bearer(), "X-Request-Id": "req-1", "Cookie": "sessionid=1", "Content-Type": "application/json",
            "X-Platform-Identity": '{"username":"root"}', "Inference-Header-Content-Length": "9",
        }  # fmt: skip
        forward(one(headers=headers, query=b"a=%20b", chunks=(b'{"instances":[1]}',)), server.url)
    seen = server.seen[0]
    assert seen.path == f"{PATH}?a=%20b"
    lowered = {name.lower(): value for name, value in seen.headers.items()}
    assert json.loads(lowered["x-platform-identity"])["username"] == "ada"
    verify_request(
        [INTERNAL_SECRET], lowered["x-platform-signature"], method="POST", target=f"{PATH}?a=%20b",
        body=b'{"instances":[1]}', identity=lowered["x-platform-identity"],
    )  # fmt: skip
    assert not {"authorization", "cookie"} & set(lowered)
    assert lowered["x-request-id"] == "req-1"
    assert lowered["inference-header-content-length"] == "9"
    assert 0 < int(lowered["x-request-timeout-ms"]) <= 5000


def test_packed_and_binary_bodies_pass_as_they_are_both_ways() -> None:
    sent, answered = gzip.compress(b"head and bytes"), gzip.compress(bytes(5000))
    described = {
        "Content-Type": "application/octet-stream", "Content-Encoding": "gzip", "Vary": "accept-encoding",
        "Inference-Header-Content-Length": "7",
    }  # fmt: skip
    with local_server(lambda _: (200, described, answered)) as server:
        headers = {
            **bearer(), "Content-Encoding": "gzip", "Accept-Encoding": "gzip", "Content-Type": "application/x-any",
        }  # fmt: skip
        reply = forward(one(headers=headers, chunks=(sent,)), server.url)
    assert (reply.status, reply.body) == (200, answered)
    assert described.items() <= {name.title(): value for name, value in reply.headers.items()}.items()
    seen = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert server.seen[0].body == sent
    assert (seen["content-encoding"], seen["accept-encoding"]) == ("gzip", "gzip")
    assert seen["content-type"] == "application/x-any"


def test_nothing_is_packed_for_a_caller_who_accepts_nothing() -> None:
    with local_server(predicted) as server:
        forward(one(), server.url)
    assert "accept-encoding" not in {name.lower() for name in server.seen[0].headers}


def test_an_error_of_the_service_comes_back_as_it_is() -> None:
    with local_server(lambda _: (404, {"Content-Type": "application/json"}, b'{"error":"no model"}')) as server:
        reply = forward(one(), server.url)
    assert (reply.status, reply.json()) == (404, {"error": "no model"})


def test_no_request_fails_when_one_of_two_addresses_dies() -> None:
    with local_server(predicted) as first, local_server(predicted) as second:

        async def script(ask: Ask, pool: Pool) -> list[int]:
            statuses = [(await ask()).status for _ in range(10)]
            await asyncio.to_thread(first.stop)
            statuses += [(await ask()).status for _ in range(20)]
            states = {b.address: b.breaker.state for b in pool.backends}
            assert states == {first.url: BreakerState.OPEN, second.url: BreakerState.CLOSED}
            return statuses

        assert forward(script, first.url, second.url) == [200] * 30
        assert len(first.seen) == 5
        assert len(second.seen) == 25


def test_a_connection_that_breaks_before_the_answer_moves_on_to_the_next_address() -> None:
    with local_server(lambda _: (0, {}, b"")) as broken, local_server(predicted) as well:

        async def script(ask: Ask, pool: Pool) -> list[int]:
            return [(await ask()).status for _ in range(4)]

        assert forward(script, broken.url, well.url) == [200] * 4


def test_with_no_address_left_the_answer_is_503_and_soon_says_when_to_retry() -> None:
    with local_server() as gone:
        gone.stop()

        async def script(ask: Ask, pool: Pool) -> list[Reply]:
            return [await ask() for _ in range(4)]

        replies = forward(script, gone.url)
    assert [reply.status for reply in replies] == [503] * 4
    assert "cannot be reached" in replies[0].json()["error"]
    assert "retry-after" not in replies[0].headers
    assert replies[3].headers["retry-after"] == "5"  # the breaker is open: nothing was tried


def test_a_status_that_http_has_no_name_for_comes_back_as_it_is() -> None:
    with local_server(lambda _: (599, {}, b"odd")) as server:
        reply = forward(one(), server.url)
    assert (reply.status, reply.body) == (599, b"odd")


def test_the_callers_deadline_is_kept_and_named() -> None:
    gave_up = threading.Event()
    answered: list[bool] = []

    def slow(request: Seen) -> tuple[int, dict[str, str], bytes]:
        gave_up.wait(10)
        answered.append(True)
        return predicted(request)

    with local_server(slow) as server:

        async def script(ask: Ask, pool: Pool) -> list[Reply]:
            replies = [await ask(headers={**bearer(), "X-Request-Timeout-Ms": "100"}) for _ in range(3)]
            assert pool.backends[0].breaker.state is BreakerState.CLOSED  # an impatient caller is no failure
            return replies

        reply = forward(script, server.url)[0]
        assert answered == [], "the caller went before the answer came"
        gave_up.set()
    assert reply.status == 504
    assert reply.json()["details"]["setting"] == "X-Request-Timeout-Ms"


def test_the_gateways_own_deadline_counts_as_a_failure_of_the_address() -> None:
    def slow(request: Seen) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.5)
        return predicted(request)

    with local_server(slow) as server:

        async def script(ask: Ask, pool: Pool) -> tuple[Reply, BreakerState]:
            return await ask(), pool.backends[0].breaker.state

        reply, state = forward(script, server.url, longest_s=0.1, failures=1)
    assert (reply.status, reply.json()["details"]["setting"]) == (504, "GATEWAY_PREDICT_TIMEOUT_S")
    assert state is BreakerState.OPEN


@pytest.mark.parametrize("value", ["soon", "0", "-5", "inf", "nan"])
def test_a_deadline_that_is_no_time_is_400(value: str) -> None:
    with local_server(predicted) as server:
        reply = forward(one(headers={**bearer(), "X-Request-Timeout-Ms": value}), server.url)
    assert (reply.status, server.seen) == (400, [])


def test_live_is_the_gateways_own_and_ready_is_asked() -> None:
    with local_server(lambda _: (503, {}, b'{"ready":false}')) as server:

        async def script(ask: Ask, pool: Pool) -> list[int]:
            paths = ("/v2/health/live", "/v2/health/ready")
            return [(await ask(path, method="GET", headers={})).status for path in paths]

        assert forward(script, server.url) == [200, 503]
        assert [seen.path for seen in server.seen] == ["/v2/health/ready"]


def test_many_requests_at_once_share_the_addresses() -> None:
    with local_server(predicted) as first, local_server(predicted) as second:

        async def script(ask: Ask, pool: Pool) -> list[int]:
            return [reply.status for reply in await asyncio.gather(*(ask() for _ in range(40)))]

        assert forward(script, first.url, second.url) == [200] * 40
        assert len(first.seen) == len(second.seen) == 20
