"""The predict door before an application in the same process."""

from __future__ import annotations

from typing import Any

import pytest

from aiplatform.context import add_request_fields
from aiplatform.errors import QueueFullError
from aiplatform.http.asgi_body import read_body, send_answer
from aiplatform.identity import Identity, Scope
from gateway.door import PredictDoor
from gateway.identities import Identities
from gateway.limits.limiter import Limiter
from gateway.policy import PredictPolicy
from tests.gateway.support import SECRET, FakeClock, ask, bearer, known_token

PREDICT = "/v1/models/digits:predict"


class Behind:
    """An inference application: remembers what reached it."""

    def __init__(self) -> None:
        self.identities: list[Identity | None] = []
        self.bodies: list[bytes] = []
        self.logged: list[dict[str, Any]] = []
        self.raises: Exception | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.identities.append(scope["state"].get("identity"))
        self.logged.append(dict(add_request_fields(None, "info", {})))
        if self.raises:
            raise self.raises
        self.bodies.append(await read_body(receive))
        await send_answer(send, 200, b'{"predictions":[1]}', headers=[(b"x-prediction-id", b"p1")])


def door(behind: Behind, *tokens: Any, counted: list[Any] | None = None, max_body_bytes: int = 1000) -> PredictDoor:
    return PredictDoor(
        behind,
        PredictPolicy(
            identities=Identities(load=lambda: tokens or (known_token(),), clock=FakeClock()),
            limiter=Limiter(clock=FakeClock()),
            count=lambda *what: (counted if counted is not None else []).append(what),
        ),
        max_body_bytes=max_body_bytes,
        is_remote=False,
    )


def test_a_request_with_a_token_reaches_the_application_with_its_identity() -> None:
    behind = Behind()
    counted: list[Any] = []
    reply = ask(door(behind, counted=counted), PREDICT, headers=bearer(), chunks=(b'{"instances":[1]}',))
    assert reply.status == 200
    assert reply.headers["x-prediction-id"] == "p1"
    assert behind.bodies == [b'{"instances":[1]}']
    assert behind.identities[0] == Identity(username="ada", scopes=frozenset({Scope.PREDICT}), token_id="7")
    assert [(route, status) for route, status, _ in counted] == [("predict", 200)]


def test_the_request_id_comes_back_and_stands_in_log_lines_without_the_token() -> None:
    behind = Behind()
    reply = ask(door(behind), PREDICT, headers={**bearer(), "X-Request-Id": "req-1"})
    assert reply.headers["x-request-id"] == "req-1"
    assert behind.logged == [{"request_id": "req-1", "user": "ada", "token_id": "7"}]
    assert SECRET not in str(behind.logged)


def test_a_harmful_request_id_is_replaced() -> None:
    reply = ask(door(Behind()), PREDICT, headers={**bearer(), "X-Request-Id": "a b\tc"})
    assert len(reply.headers["x-request-id"]) == 32


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
def test_without_a_known_token_the_answer_is_401_as_serving_clients_expect_it(headers: dict[str, str]) -> None:
    behind = Behind()
    reply = ask(door(behind), PREDICT, headers=headers)
    assert reply.status == 401
    assert "token" in reply.json()["error"]
    assert reply.headers["www-authenticate"] == "Bearer"
    assert "x-request-id" in reply.headers
    assert behind.identities == []


def test_a_token_without_the_scope_is_refused_with_its_name() -> None:
    token = known_token(scopes=frozenset({Scope.TRAIN}))
    reply = ask(door(Behind(), token), PREDICT, headers=bearer())
    assert (reply.status, reply.json()["details"]) == (403, {"scope": "predict"})


def test_a_monitor_token_may_read_metadata_and_not_predict() -> None:
    token = known_token(scopes=frozenset({Scope.MONITOR}))
    guarded = door(Behind(), token)
    assert ask(guarded, "/v1/models/digits/metadata", method="GET", headers=bearer()).status == 200
    assert ask(guarded, "/v2/repository/index", headers=bearer()).status == 200, "a POST that only reads"
    assert ask(guarded, PREDICT, headers=bearer()).status == 403


def test_an_admin_token_may_predict() -> None:
    assert ask(door(Behind(), known_token(scopes=frozenset({Scope.ADMIN}))), PREDICT, headers=bearer()).status == 200


def test_past_the_limit_the_answer_says_all_and_the_application_sees_nothing() -> None:
    behind = Behind()
    counted: list[Any] = []
    guarded = door(behind, known_token(predict="2/min"), counted=counted)
    passed = [ask(guarded, PREDICT, headers=bearer()) for _ in range(2)]
    assert [reply.headers["ratelimit-remaining"] for reply in passed] == ["1", "0"]
    refused = ask(guarded, PREDICT, headers=bearer())
    assert refused.status == 429
    details = refused.json()["details"]
    assert (details["value"], details["window_s"], details["setting"]) == (2, 60, "RATE_LIMIT_PREDICT")
    assert int(refused.headers["retry-after"]) == details["retry_after_s"] > 0
    assert refused.headers["ratelimit-limit"] == "2"
    assert len(behind.identities) == 2
    assert counted[-1][:2] == ("predict", 429)


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready"])
def test_health_and_server_metadata_need_no_token(path: str) -> None:
    assert ask(door(Behind()), path, method="GET").status == 200


@pytest.mark.parametrize("path", ["/v2/models/digits", "/v2/models/digits/ready", "/v1/models/digits"])
def test_everything_of_a_model_needs_a_token(path: str) -> None:
    assert ask(door(Behind()), path, method="GET").status == 401


def test_a_declared_body_that_is_too_large_is_refused_unread() -> None:
    behind = Behind()
    reply = ask(door(behind, max_body_bytes=10), PREDICT, headers=bearer(), chunks=(b"x" * 11,))
    assert (reply.status, reply.json()["details"]["setting"]) == (413, "MAX_BODY_BYTES")
    assert behind.bodies == []


def test_an_undeclared_body_is_counted_while_it_comes() -> None:
    behind = Behind()
    guarded = door(behind, max_body_bytes=10)
    assert ask(guarded, PREDICT, headers=bearer(), chunks=(b"12345", b"67890", b"1")).status == 413
    assert ask(guarded, PREDICT, headers=bearer(), chunks=(b"12345", b"67890")).status == 200
    assert behind.bodies == [b"1234567890"]


def test_an_error_from_behind_keeps_its_status_and_form() -> None:
    behind = Behind()
    behind.raises = QueueFullError("full", limit="queue", value=5, setting="QUEUE", retry_after_s=1)
    reply = ask(door(behind), PREDICT, headers=bearer())
    assert (reply.status, reply.json()["error"], reply.headers["retry-after"]) == (503, "full", "1")


def test_a_bug_behind_the_door_is_a_500_that_tells_no_secret() -> None:
    behind = Behind()
    behind.raises = RuntimeError("secret detail")
    reply = ask(door(behind), PREDICT, headers=bearer())
    assert reply.status == 500
    assert b"secret detail" not in reply.body
