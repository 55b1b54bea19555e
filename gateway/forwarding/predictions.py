"""Predictions to an inference service elsewhere: an ASGI application over kept connections of our own.

What a forwarded call costs, and what the clients of others cost: docs/decisions/forwarding-client.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

import structlog

from aiplatform.contracts.predict import DEADLINE_HEADER, IDENTITY_STATE, REQUEST_ID_STATE
from aiplatform.errors import UnavailableError
from aiplatform.http.asgi_body import header, read_body
from aiplatform.http.closing import last_headers
from aiplatform.http.codec import JSON_TYPE
from aiplatform.http.signing import canonical_target
from aiplatform.identity import Identity
from aiplatform.wiring import Receive, Scope, Send
from gateway.discovery.pool import Backend, Pool
from gateway.forwarding.asking import Asking, ForwardedRequest
from gateway.forwarding.connection import Response
from gateway.forwarding.failures import ConnectTimeoutError
from gateway.forwarding.headers import deadline_error, patience_s, raw_request_headers, raw_response_headers
from gateway.forwarding.started import StartedRequest
from gateway.forwarding.upstreams import Upstreams

log = structlog.get_logger(__name__)

ATTEMPTS = 3


class PredictForwarder:
    """Answers the predict protocols by asking the inference service.

    Raises PlatformErrors, which the door turns into answers.
    """

    def __init__(self, *, pool: Pool, upstreams: Upstreams, secret: str, longest_s: float, max_body_bytes: int) -> None:
        self._pool = pool
        self._upstreams = upstreams
        self._secret = secret
        self._longest_s = longest_s
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait_s = self.patience_s(header(scope, DEADLINE_HEADER))
        ends_at_s = time.monotonic() + wait_s
        body = await read_body(receive, limit_bytes=self._max_body_bytes)
        state = scope["state"]
        request = ForwardedRequest(
            method=scope["method"],
            target=_raw_target(scope),
            signed_target=canonical_target(scope["path"], scope["query_string"].decode("latin-1")),
            headers=raw_request_headers(scope["headers"]),
            wait_s=wait_s,
        )
        response = await self.ask(
            request, body, ends_at_s=ends_at_s, identity=state[IDENTITY_STATE], request_id=state[REQUEST_ID_STATE]
        )
        await _send_back(send, response)

    def patience_s(self, text: str) -> float:
        """Return how long a caller waits, by its header; raises InvalidInputError if it is no time."""
        return patience_s(text, self._longest_s)

    async def ask(
        self, request: ForwardedRequest, body: bytes, *, ends_at_s: float, identity: Identity, request_id: str
    ) -> Response:
        """Return the answer of one of the addresses; `ends_at_s` is on the monotonic clock.

        Raises: DeadlineExceededError; UnavailableError if none can be reached.
        """
        asking = self.asking(request, body, ends_at_s=ends_at_s, identity=identity, request_id=request_id)
        return await self._ask_on(asking, [])

    def start(self, asking: Asking, take: Callable[[Response | Exception], None]) -> Callable[[], object]:
        """Ask without a task where a connection stands ready; `take` is given the answer or the error, once.

        Return what gives the request up, after which `take` may not be called any more. Where a first attempt fails, or
        no connection is ready, a task goes on as `ask` does.
        """
        started = StartedRequest(self, self._upstreams, asking, take)
        started.begin(self._pool)
        return started.give_up

    async def _ask_on(self, asking: Asking, tried: list[Backend], first: Backend | None = None) -> Response:
        while True:
            left_s = asking.ends_at_s - time.monotonic()
            if left_s <= 0:
                raise self.too_late(asking)
            backend, first = first or self._pool.pick(avoid=tried), None
            try:
                return await self._ask(backend, asking, left_s)
            except OSError as error:
                if isinstance(error, TimeoutError) and not isinstance(error, ConnectTimeoutError):
                    raise self.too_late(asking) from error
                self._note_failure(backend, error, tried)

    async def go_on(self, asking: Asking, backend: Backend, error: OSError | None) -> Response:
        """Ask an address that was picked, or if it failed with an error, another one."""
        if error is None:
            return await self._ask_on(asking, [], backend)
        tried: list[Backend] = []
        self._note_failure(backend, error, tried)
        return await self._ask_on(asking, tried)

    def _note_failure(self, backend: Backend, error: OSError, tried: list[Backend]) -> None:
        """Note an address that failed; raises UnavailableError if there is none left to try.

        A prediction changes nothing but statistics, so it may be sent again.
        """
        tried.append(backend)
        log.warning("address_failed", service=self._pool.service, address=backend.address, error=str(error))
        if len(tried) == min(ATTEMPTS, len(self._pool.backends)):
            raise UnavailableError(f"'{self._pool.service}' cannot be reached: {error}") from error

    async def _ask(self, backend: Backend, asking: Asking, left_s: float) -> Response:
        request = asking.request
        backend.in_flight += 1
        try:
            response = await self._upstreams.request(
                backend.address,
                request.method,
                request.target,
                headers=asking.headers(left_s),
                body=asking.body,
                varying=asking.varying,
                timeout_s=left_s,
            )
        except TimeoutError as error:
            self.note_timeout(backend, error, left_s)
            raise
        except OSError:
            backend.breaker.record_failure()
            raise
        finally:
            backend.in_flight -= 1
        backend.breaker.record_success()
        return response

    def note_timeout(self, backend: Backend, error: TimeoutError, left_s: float) -> None:
        """Note what a time-out says of an address: an impatient caller nothing, a closed door much."""
        if isinstance(error, ConnectTimeoutError) or left_s >= self._longest_s / 2:
            backend.breaker.record_failure()

    def too_late(self, asking: Asking) -> Exception:
        """Return the error for an answer that did not come in time."""
        return deadline_error(
            self._pool.service, asking.request.wait_s, longest_s=self._longest_s, setting="GATEWAY_PREDICT_TIMEOUT_S"
        )

    def asking(
        self, request: ForwardedRequest, body: bytes, *, ends_at_s: float, identity: Identity, request_id: str
    ) -> Asking:
        """Return a signed request."""
        return Asking(request, body, ends_at_s, identity, request_id, self._secret)


async def _send_back(send: Send, response: Response) -> None:
    headers = raw_response_headers(response.headers)
    headers.append((b"content-length", b"%d" % len(response.body)))
    if not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", JSON_TYPE.encode()))
    headers += last_headers()
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _raw_target(scope: Scope) -> str:
    raw = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode()
    query = scope["query_string"]
    path = raw.split(b"?", 1)[0].decode("latin-1")
    return f"{path}?{query.decode('latin-1')}" if query else path
