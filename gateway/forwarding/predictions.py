"""Predictions to an inference service elsewhere: an ASGI application over kept connections of our own.

What a forwarded call costs, and what the clients of others cost: docs/decisions/forwarding-client.md.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from urllib.parse import quote

import structlog

from aiplatform.context import REQUEST_ID_HEADER
from aiplatform.contracts.predict import DEADLINE_HEADER, IDENTITY_STATE, REQUEST_ID_STATE
from aiplatform.errors import UnavailableError
from aiplatform.http.asgi_body import header, read_body
from aiplatform.http.closing import last_headers
from aiplatform.http.codec import JSON_TYPE, encode_message
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, canonical_target, sign_request
from aiplatform.identity import Identity
from aiplatform.wiring import Receive, Scope, Send
from gateway.discovery.pool import Backend, Pool
from gateway.forwarding.connection import Headers, Response
from gateway.forwarding.headers import deadline_error, patience_s, raw_request_headers, raw_response_headers
from gateway.forwarding.upstreams import ConnectTimeoutError, Upstreams

log = structlog.get_logger(__name__)

ATTEMPTS = 3
_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()
_IDENTITY = IDENTITY_HEADER.lower().encode()
_SIGNATURE = SIGNATURE_HEADER.lower().encode()
_DEADLINE = DEADLINE_HEADER.lower().encode()


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """What of a request is the same for all addresses: `headers` are those that travel on."""

    method: str
    target: str
    signed_target: str
    headers: Headers
    wait_s: float


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
        headers = self._headers(request, body, identity, request_id)
        tried: list[Backend] = []
        while True:
            left_s = ends_at_s - time.monotonic()
            if left_s <= 0:
                raise self._too_late(request.wait_s)
            backend = self._pool.pick(avoid=tried)
            try:
                return await self._ask(backend, request, headers, body, left_s)
            except OSError as error:
                if isinstance(error, TimeoutError) and not isinstance(error, ConnectTimeoutError):
                    raise self._too_late(request.wait_s) from error
                # A prediction changes nothing but statistics, so it may be sent again.
                tried.append(backend)
                log.warning("address_failed", service=self._pool.service, address=backend.address, error=str(error))
                if len(tried) == min(ATTEMPTS, len(self._pool.backends)):
                    raise UnavailableError(f"'{self._pool.service}' cannot be reached: {error}") from error

    async def _ask(
        self, backend: Backend, request: ForwardedRequest, headers: Headers, body: bytes, left_s: float
    ) -> Response:
        headers = [*headers, (_DEADLINE, b"%d" % max(1, int(left_s * 1000)))]
        backend.in_flight += 1
        try:
            response = await self._upstreams.request(
                backend.address, request.method, request.target, headers=headers, body=body, timeout_s=left_s
            )
        except TimeoutError as error:
            self._note_timeout(backend, error, left_s)
            raise
        except OSError:
            backend.breaker.record_failure()
            raise
        finally:
            backend.in_flight -= 1
        backend.breaker.record_success()
        return response

    def _headers(self, request: ForwardedRequest, body: bytes, identity: Identity, request_id: str) -> Headers:
        encoded = _encode_identity(identity)
        signature = sign_request(
            self._secret, method=request.method, target=request.signed_target, body=body, identity=encoded
        )
        return [
            *request.headers,
            (_REQUEST_ID, request_id.encode()),
            (_IDENTITY, encoded.encode()),
            (_SIGNATURE, signature.encode()),
        ]

    def _note_timeout(self, backend: Backend, error: TimeoutError, left_s: float) -> None:
        # An impatient caller says nothing about the address; a connection that does not open does.
        if isinstance(error, ConnectTimeoutError) or left_s >= self._longest_s / 2:
            backend.breaker.record_failure()

    def _too_late(self, wait_s: float) -> Exception:
        return deadline_error(
            self._pool.service, wait_s, longest_s=self._longest_s, setting="GATEWAY_PREDICT_TIMEOUT_S"
        )


async def _send_back(send: Send, response: Response) -> None:
    headers = raw_response_headers(response.headers)
    headers.append((b"content-length", b"%d" % len(response.body)))
    if not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", JSON_TYPE.encode()))
    headers += last_headers()
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


@functools.lru_cache(maxsize=1024)
def _encode_identity(identity: Identity) -> str:
    return encode_message(identity).decode()


def _raw_target(scope: Scope) -> str:
    raw = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode()
    query = scope["query_string"]
    path = raw.split(b"?", 1)[0].decode("latin-1")
    return f"{path}?{query.decode('latin-1')}" if query else path
