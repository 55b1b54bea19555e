"""REST calls forwarded to real local servers."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.test import RequestFactory

from aiplatform.errors import DeadlineExceededError, UnavailableError
from aiplatform.http.signing import verify_request
from aiplatform.identity import Identity, Scope
from gateway.discovery.pool import NoBackendError, Pool
from gateway.forwarding.rest import RestForwarder
from gateway.resilience.breaker import CircuitBreaker
from tests.gateway.support import INTERNAL_SECRET, FakeClock, Seen, local_server

ADA = Identity(username="ada", scopes=frozenset({Scope.TRAIN}), token_id="7")


def pool_of(*addresses: str, failures: int = 3) -> Pool:
    clock = FakeClock()
    pool = Pool(service="training", new_breaker=lambda: CircuitBreaker(failures=failures, open_s=5, clock=clock))
    pool.set_addresses(addresses)
    return pool


def send(
    pool: Pool, method: str = "GET", path: str = "/api/training/runs/?page=2", body: Any = None, **headers: Any
) -> Any:
    forwarder = RestForwarder(secret=INTERNAL_SECRET, longest_s=2)
    request = RequestFactory().generic(
        method, path, json.dumps(body) if body is not None else "", content_type="application/json", **headers
    )
    try:
        return forwarder.forward(request, pool, ADA)
    finally:
        forwarder.close()


def test_method_path_query_and_body_arrive_signed_with_the_identity() -> None:
    with local_server(lambda _: (201, {"Content-Type": "application/json", "X-Own": "1"}, b'{"id":1}')) as server:
        response = send(
            pool_of(server.url), "POST", "/api/training/runs/?a=1%202", {"x": 1}, HTTP_AUTHORIZATION="Bearer s",
            HTTP_COOKIE="sessionid=1", HTTP_X_PLATFORM_SIGNATURE="forged", HTTP_ACCEPT="application/json",
        )  # fmt: skip
    assert (response.status_code, response.content, response["X-Own"]) == (201, b'{"id":1}', "1")
    seen = server.seen[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/api/training/runs/?a=1%202", b'{"x": 1}')
    lowered = {name.lower(): value for name, value in seen.headers.items()}
    assert not {"authorization", "cookie"} & set(lowered)
    assert lowered["accept"] == "application/json"
    verify_request(
        [INTERNAL_SECRET], lowered["x-platform-signature"], method="POST", target="/api/training/runs/?a=1%202",
        body=b'{"x": 1}', identity=lowered["x-platform-identity"],
    )  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_idempotent_call_whose_connection_broke_is_made_again_elsewhere(method: str) -> None:
    with local_server(lambda _: (0, {}, b"")) as broken, local_server() as well:
        pool = pool_of(broken.url, well.url)
        assert [send(pool, method).status_code for _ in range(2)] == [200, 200]
        assert len(broken.seen) == 1


def test_a_post_whose_connection_broke_is_not_made_again() -> None:
    with local_server(lambda _: (0, {}, b"")) as broken, local_server() as well:
        with pytest.raises(UnavailableError, match="'training' cannot be reached"):
            send(pool_of(broken.url, well.url), "POST", body={})
        assert well.seen == []


def test_a_post_that_met_no_server_goes_to_the_next_address() -> None:
    with local_server() as gone, local_server() as well:
        gone.stop()
        assert send(pool_of(gone.url, well.url), "POST", body={}).status_code == 200


def test_an_open_breaker_answers_without_trying() -> None:
    with local_server() as gone:
        gone.stop()
        pool = pool_of(gone.url, failures=1)
        with pytest.raises(UnavailableError):
            send(pool)
        with pytest.raises(NoBackendError) as caught:
            send(pool)
    assert caught.value.retry_after_s == 5


def test_the_deadline_of_the_caller_is_kept() -> None:
    gave_up = threading.Event()
    answered: list[bool] = []

    def slow(request: Seen) -> tuple[int, dict[str, str], bytes]:
        gave_up.wait(10)
        answered.append(True)
        return 200, {}, b""

    with local_server(slow) as server:
        with pytest.raises(DeadlineExceededError, match="X-Request-Timeout-Ms"):
            send(pool_of(server.url), HTTP_X_REQUEST_TIMEOUT_MS="100")
        assert answered == [], "the caller went before the answer came"
        gave_up.set()
