"""The raw ASGI parts: bodies, signatures at the door of a serving process, the lifespan."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiplatform.asgi import Application
from aiplatform.contracts.predict import IDENTITY_STATE
from aiplatform.errors import PayloadTooLargeError
from aiplatform.http.asgi_body import ClientDisconnectedError, read_body, replay_body, send_answer
from aiplatform.http.asgi_signature import RequireSignature
from aiplatform.http.codec import encode_message
from aiplatform.http.signing import sign_request
from aiplatform.identity import Identity, Scope
from aiplatform.predict_routes import is_predict_path
from aiplatform.wiring import Lifespan, wiring
from tests.gateway.support import INTERNAL_SECRET, Reply, ask

ADA = Identity(username="ada", scopes=frozenset({Scope.PREDICT}))


class Behind:
    """Remembers who reached it with what."""

    def __init__(self) -> None:
        self.seen: list[tuple[Identity, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append((scope["state"][IDENTITY_STATE], await read_body(receive)))
        await send_answer(send, 200, b"{}")


def signed(behind: Behind, body: bytes, path: str = "/v1/models/a b:predict", **changes: str) -> Reply:
    identity = encode_message(ADA).decode()
    signature = sign_request(INTERNAL_SECRET, method="POST", target=path, body=body, identity=identity)
    headers = {"X-Platform-Signature": signature, "X-Platform-Identity": identity, **changes}
    door = RequireSignature(behind, secrets=["a-newer-secret", INTERNAL_SECRET], limit_bytes=100)
    return ask(door, path, headers=headers, chunks=(body[:3], body[3:]))


def test_a_signed_request_comes_in_with_its_identity_and_body() -> None:
    behind = Behind()
    assert signed(behind, b'{"instances": []}').status == 200
    assert behind.seen == [(ADA, b'{"instances": []}')]


@pytest.mark.parametrize(
    "changes", [{"X-Platform-Identity": '{"username":"root","scopes":["admin"]}'}, {"X-Platform-Signature": ""}]
)
def test_an_unsigned_or_altered_request_does_not(changes: dict[str, str]) -> None:
    behind = Behind()
    assert signed(behind, b"{}", **changes).status == 401
    assert behind.seen == []


def test_a_body_beyond_the_limit_is_refused_before_it_is_held() -> None:
    behind = Behind()
    reply = signed(behind, b"x" * 101)
    assert (reply.status, reply.json()["details"]["setting"]) == (413, "MAX_BODY_BYTES")
    assert behind.seen == []


def test_a_caller_that_went_away_is_answered_nothing() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v2/x", "query_string": b"", "headers": []}
    asyncio.run(RequireSignature(Behind(), secrets=[], limit_bytes=1)(scope, receive, send))
    assert sent == []


def test_a_body_is_put_together_and_given_again() -> None:
    events = [{"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.request", "body": b"c"}]

    async def receive() -> Any:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def read_twice() -> tuple[bytes, bytes]:
        body = await read_body(receive, limit_bytes=3)
        again = replay_body(body, receive)
        first = await read_body(again)
        with pytest.raises(ClientDisconnectedError):
            await read_body(again)
        return body, first

    assert asyncio.run(read_twice()) == (b"abc", b"abc")


def test_the_limit_of_a_body_names_itself() -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"abcd", "more_body": True}

    with pytest.raises(PayloadTooLargeError, match="larger than 3 bytes"):
        asyncio.run(read_body(receive, limit_bytes=3))


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/v2", True), ("/v2/health/live", True), ("/v1/models/m:predict", True), ("/v20", False), ("/api/v2/", False)],
)
def test_the_predict_protocols_are_told_by_their_paths(path: str, expected: bool) -> None:
    assert is_predict_path(path) is expected


def lifespan(*parts: Lifespan) -> list[str]:
    """Run an application's lifespan with these parts; return what it told the server."""
    kept, wiring.lifespans = wiring.lifespans, list(parts)
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    told: list[str] = []

    async def receive() -> Any:
        return events.pop(0)

    async def send(message: Any) -> None:
        told.append(message["type"])

    try:
        asyncio.run(Application(predict=None, others=Behind())({"type": "lifespan"}, receive, send))
    finally:
        wiring.lifespans = kept
    return told


def test_parts_start_in_order_and_stop_in_reverse() -> None:
    done: list[str] = []

    def part(name: str) -> Lifespan:
        async def start() -> None:
            done.append(f"start {name}")

        async def stop() -> None:
            done.append(f"stop {name}")

        return Lifespan(name=name, start=start, stop=stop)

    assert lifespan(part("a"), part("b")) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert done == ["start a", "start b", "stop b", "stop a"]


def test_a_part_that_cannot_start_fails_the_start() -> None:
    async def start() -> None:
        raise RuntimeError("no room")

    async def stop() -> None:
        raise AssertionError("it never started")

    with pytest.raises(RuntimeError, match="no room"):
        lifespan(Lifespan(name="broken", start=start, stop=stop))
