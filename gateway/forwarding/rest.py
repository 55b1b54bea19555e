"""REST calls to a service elsewhere: the Django request goes on by httpx, signed with its identity."""

from __future__ import annotations

import time

import httpx
import structlog
from django.http import HttpRequest, HttpResponse

from aiplatform.context import REQUEST_ID_HEADER, outgoing_headers
from aiplatform.contracts.predict import DEADLINE_HEADER
from aiplatform.errors import UnavailableError
from aiplatform.http.codec import encode_message
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, canonical_target, sign_request
from aiplatform.identity import Identity
from gateway.discovery.pool import Backend, Pool
from gateway.forwarding.headers import deadline_error, patience_s, request_headers, response_headers
from gateway.policy import IDEMPOTENT_METHODS

log = structlog.get_logger(__name__)

ATTEMPTS = 3
CONNECT_TIMEOUT_S = 2.0
NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
BROKEN = (httpx.NetworkError, httpx.RemoteProtocolError)


class RestForwarder:
    """Sends requests on. A call that changes something is repeated only if nothing of it was sent."""

    def __init__(self, *, secret: str, longest_s: float, transport: httpx.BaseTransport | None = None) -> None:
        self._secret = secret
        self._longest_s = longest_s
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30)
        self._client = httpx.Client(
            transport=transport or httpx.HTTPTransport(limits=limits, trust_env=False), trust_env=False
        )

    def forward(self, request: HttpRequest, pool: Pool, identity: Identity) -> HttpResponse:
        """Return the service's answer.

        Raises: NoBackendError, UnavailableError, DeadlineExceededError, InvalidInputError.
        """
        wait_s = patience_s(request.headers.get(DEADLINE_HEADER, ""), self._longest_s)
        ends_at_s = time.monotonic() + wait_s
        tried: list[Backend] = []
        while True:
            left_s = ends_at_s - time.monotonic()
            if left_s <= 0:
                raise self._too_late(pool, wait_s)
            backend = pool.pick(avoid=tried)
            try:
                return _to_django(self._ask(backend, request, identity, left_s))
            except NOTHING_SENT as error:
                self._go_on(pool, tried, backend, error, may_retry=True)
            except httpx.TimeoutException as error:
                if wait_s >= self._longest_s:  # an impatient caller says nothing about the address
                    backend.breaker.record_failure()
                raise self._too_late(pool, wait_s) from error
            except BROKEN as error:
                self._go_on(pool, tried, backend, error, may_retry=request.method in IDEMPOTENT_METHODS)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, backend: Backend, request: HttpRequest, identity: Identity, left_s: float) -> httpx.Response:
        method = request.method or "GET"
        encoded = encode_message(identity).decode()
        query = request.META.get("QUERY_STRING", "")
        headers = [
            *request_headers(request.headers.items()),
            *outgoing_headers().items(),
            ("Accept-Encoding", "identity"),
            (DEADLINE_HEADER, str(max(1, int(left_s * 1000)))),
            (IDENTITY_HEADER, encoded),
        ]
        outgoing = self._client.build_request(
            method,
            httpx.URL(backend.address).copy_with(path=request.path, query=query.encode() or None),
            content=request.body,
            headers=headers,
            timeout=httpx.Timeout(left_s, connect=min(CONNECT_TIMEOUT_S, left_s)),
        )
        target = canonical_target(outgoing.url.path, outgoing.url.query.decode())
        outgoing.headers[SIGNATURE_HEADER] = sign_request(
            self._secret, method=method, target=target, body=request.body, identity=encoded
        )
        backend.in_flight += 1
        try:
            response = self._client.send(outgoing)
        finally:
            backend.in_flight -= 1
        backend.breaker.record_success()
        return response

    def _go_on(
        self, pool: Pool, tried: list[Backend], backend: Backend, error: httpx.HTTPError, *, may_retry: bool
    ) -> None:
        backend.breaker.record_failure()
        tried.append(backend)
        log.warning("address_failed", service=pool.service, address=backend.address, error=str(error))
        if not may_retry or len(tried) == min(ATTEMPTS, len(pool.backends)):
            raise UnavailableError(f"'{pool.service}' cannot be reached: {error}") from error

    def _too_late(self, pool: Pool, wait_s: float) -> Exception:
        return deadline_error(pool.service, wait_s, longest_s=self._longest_s, setting="GATEWAY_API_TIMEOUT_S")


def _to_django(answer: httpx.Response) -> HttpResponse:
    response = HttpResponse(answer.content, status=answer.status_code)
    for name, value in response_headers(answer.headers.items()):
        response[name] = value
    if REQUEST_ID_HEADER in response:
        del response[REQUEST_ID_HEADER]
    return response
