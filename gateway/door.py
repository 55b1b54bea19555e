"""The predict door: authenticate, check the scope, count against the limit, then let through.

A raw ASGI application before Django: one hash, two dictionary look-ups and a few additions a
request. What is behind it is the inference app in this process, or a forwarder to another one.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

import structlog

from aiplatform.context import REQUEST_ID_HEADER, begin_request, choose_request_id, describe_request
from aiplatform.contracts.predict import IDENTITY_STATE, REQUEST_ID_STATE
from aiplatform.errors import PayloadTooLargeError, PlatformError, UnauthenticatedError
from aiplatform.http.asgi_body import (
    CLOSE,
    BodyWatch,
    ClientDisconnectedError,
    Headers,
    header,
    read_body,
    replay_body,
    send_answer,
    send_error,
)
from aiplatform.http.closing import leaving
from aiplatform.http.codec import encode_message
from aiplatform.identity import service_identity
from aiplatform.wiring import AsgiApplication, Receive, Scope, Send
from gateway.limits.answers import raw_rate_headers
from gateway.policy import PredictPolicy

log = structlog.get_logger(__name__)

LIVE_PATH = "/v2/health/live"
OPEN_PATHS = frozenset({"/v2", "/v2/", LIVE_PATH, "/v2/health/ready"})  # they tell nothing of any model


class PredictDoor:
    """Wraps what answers the predict protocols with the gateway's policy."""

    def __init__(
        self,
        application: AsgiApplication,
        policy: PredictPolicy,
        *,
        max_body_bytes: int,
        is_remote: bool,
    ) -> None:
        self._application = application
        self._policy = policy
        self._max_body_bytes = max_body_bytes
        self._is_remote = is_remote

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        request_id = choose_request_id(header(scope, REQUEST_ID_HEADER))
        begin_request(request_id)
        answer = Answer(send, request_id)
        watched = BodyWatch(receive)
        try:
            await self._pass(scope, watched, answer, request_id)
        except PlatformError as error:
            await self._refuse(answer, error, watched)
        except ClientDisconnectedError:
            return
        except Exception:  # a bug behind the door must still answer in the door's form
            log.exception("request_failed")
            await self._refuse(answer, PlatformError("the request failed; its id stands in the log"), watched)
        note = self._policy.note_health if scope["path"] in OPEN_PATHS else self._policy.note
        note(answer.status, time.perf_counter() - started_s)

    async def _pass(self, scope: Scope, receive: Receive, answer: Answer, request_id: str) -> None:
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state[REQUEST_ID_STATE] = request_id
        if scope["path"] in OPEN_PATHS:
            await self._pass_open(scope, receive, answer)
            return
        token = await self._policy.identities.authenticate_async(header(scope, "Authorization"))
        identity = token.identity
        describe_request(user=identity.username, token_id=identity.token_id)
        verdict, error = self._policy.admit(token, scope["method"], scope["path"])
        answer.add_headers(raw_rate_headers(verdict))
        if error is not None:
            raise error
        state[IDENTITY_STATE] = identity
        await self._application(scope, await self._bounded(scope, receive), answer)

    async def _pass_open(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        if self._is_remote and scope["path"] == LIVE_PATH:
            await send_answer(answer, 200, encode_message({"live": True}))  # it is this process that is asked
            return
        scope["state"][IDENTITY_STATE] = service_identity("gateway")
        await self._application(scope, receive, answer)

    async def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        # A length that was declared is held to by the server; only an undeclared one must be counted.
        declared = header(scope, "Content-Length")
        if declared.isdigit():
            if int(declared) > self._max_body_bytes:
                raise PayloadTooLargeError(
                    f"the request body has {declared} bytes, more than {self._max_body_bytes}",
                    limit="request body",
                    value=self._max_body_bytes,
                    setting="MAX_BODY_BYTES",
                )
            return receive
        if not header(scope, "Transfer-Encoding"):
            return receive
        return replay_body(await read_body(receive, limit_bytes=self._max_body_bytes), receive)

    async def _refuse(self, answer: Answer, error: PlatformError, watched: BodyWatch) -> None:
        if answer.status:
            return  # the answer is on its way; nothing can be said any more
        if leaving.has_begun or not await watched.finish():
            answer.add_headers(CLOSE)
        if error.http_status >= 500:
            log.warning("request_refused", code=error.code, error=error.message)
        extra = [(b"www-authenticate", b"Bearer")] if isinstance(error, UnauthenticatedError) else []
        await send_error(answer, error, headers=extra)


class Answer:
    """A `send` that adds the request id and the limits to the answer, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self._headers: list[tuple[bytes, bytes]] = []
        self.status = 0

    def add_headers(self, headers: Headers) -> None:
        """Add headers to the answer that will come."""
        self._headers += headers

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *self._headers]
            headers.append((b"x-request-id", self._request_id))
            message["headers"] = headers
        await self._send(message)
