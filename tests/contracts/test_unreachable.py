"""What only a network can do: refuse, hang, break."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from aiplatform import services
from aiplatform.errors import DeadlineExceededError, UnavailableError
from aiplatform.http.addresses import BalancedTransport, split_addresses
from aiplatform.http.client import ServiceClient
from aiplatform.identity import service_identity
from tests.gateway.support import FakeClock, Seen, local_server


def client_to(client: httpx.Client, timeout_s: float = 5) -> ServiceClient:
    return ServiceClient(
        service="training", client=client, secret="s" * 32, identity=service_identity("test"), timeout_s=timeout_s
    )


def http(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False)


def test_a_refused_connection_is_unavailable_and_names_service_and_path() -> None:
    with local_server() as server, http(server.url) as client:
        server.stop()
        with pytest.raises(UnavailableError, match=r"training \(GET /internal/x\) cannot be reached"):
            client_to(client).get("/internal/x", dict)


def test_a_late_answer_is_a_deadline_error_that_names_the_setting() -> None:
    gave_up = threading.Event()
    answered: list[bool] = []

    def slow(request: Seen) -> tuple[int, dict[str, str], bytes]:
        gave_up.wait(10)
        answered.append(True)
        return 200, {}, b"{}"

    with local_server(slow) as server, http(server.url) as client:
        with pytest.raises(DeadlineExceededError) as caught:
            client_to(client, timeout_s=0.1).get("/internal/x", dict)
        assert answered == [], "the caller went before the answer came"
        gave_up.set()
    assert caught.value.details["setting"] == "INTERNAL_TIMEOUT_S"


def test_only_a_call_that_may_be_repeated_is_sent_again_when_the_connection_breaks() -> None:
    answers = iter([0, 200, 0])

    def broken_at_first(request: Seen) -> tuple[int, dict[str, str], bytes]:
        return next(answers), {}, b"{}"

    with local_server(broken_at_first) as server, http(server.url) as client:
        assert client_to(client).post("/internal/x", {}, dict, is_idempotent=True) == {}
        assert len(server.seen) == 2
        with pytest.raises(UnavailableError):
            client_to(client).post("/internal/x", {}, dict)
        assert len(server.seen) == 3


def balanced(*urls: str, clock: FakeClock | None = None) -> httpx.Client:
    transport = BalancedTransport(urls, httpx.HTTPTransport(trust_env=False), clock=clock or FakeClock())
    return httpx.Client(base_url=urls[0], transport=transport, trust_env=False)


def test_several_addresses_take_turns() -> None:
    with local_server() as first, local_server() as second, balanced(first.url, second.url) as client:
        for _ in range(6):
            client_to(client).get("/internal/x", dict)
        assert len(first.seen) == len(second.seen) == 3
        assert second.seen[0].headers["Host"] == second.url.removeprefix("http://")


def test_an_address_that_is_down_is_passed_even_by_calls_that_may_not_be_repeated() -> None:
    clock = FakeClock()
    with local_server() as gone, local_server() as well, balanced(gone.url, well.url, clock=clock) as client:
        gone.stop()
        for _ in range(6):
            assert client_to(client).post("/internal/x", {}, dict) == {}
        assert len(well.seen) == 6


def test_with_all_addresses_down_the_service_is_unavailable() -> None:
    with local_server() as first, local_server() as second, balanced(first.url, second.url) as client:
        first.stop()
        second.stop()
        with pytest.raises(UnavailableError):
            client_to(client).get("/internal/x", dict)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ()), ("http://a:1", ("http://a:1",)), (" http://a:1/ ,http://b:2,", ("http://a:1", "http://b:2"))],
)
def test_addresses_are_separated_by_commas(text: str, expected: tuple[str, ...]) -> None:
    assert split_addresses(text) == expected


def test_the_settings_client_balances_over_all_addresses_of_a_service(settings: Any) -> None:
    with local_server() as first, local_server() as second:
        addresses = f"{first.url},{second.url}"
        settings.SERVICE_URLS = {"training": addresses}
        with services._remote_client(addresses):
            for _ in range(4):
                services.service_client("training").get("/internal/x", dict)
        assert len(first.seen) == len(second.seen) == 2
