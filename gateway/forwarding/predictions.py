"""Predictions to an inference service elsewhere: an ASGI application on aiohttp's client.

aiohttp and not httpx: a forwarded call cost 140 us of CPU against several times that
(benchmark in docs/decisions/forwarding-client.md).
"""

from __future__ import annotations

import time
from urllib.parse import quote

import aiohttp
import structlog
from multidict import CIMultiDict
from yarl import URL

from aiplatform.context import REQUEST_ID_HEADER
from aiplatform.contracts.predict import DEADLINE_HEADER, IDENTITY_STATE, REQUEST_ID_STATE
from aiplatform.errors import UnavailableError
from aiplatform.http.asgi_body import header, read_body, send_answer
from aiplatform.http.codec import JSON_TYPE, encode_message
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, canonical_target, sign_request
from aiplatform.wiring import Receive, Scope, Send
from gateway.discovery.pool import Backend, Pool
from gateway.forwarding.headers import deadline_error, patience_s, request_headers, response_headers
from gateway.forwarding.session import ClientSession

log = structlog.get_logger(__name__)

ATTEMPTS = 3
# A prediction changes nothing but statistics, so it may be sent again when its connection broke.
RETRIED = (aiohttp.ClientConnectionError,)


class PredictForwarder:
    """Answers the predict protocols by asking the inference service.

    Raises PlatformErrors, which the door turns into answers.
    """

    def __init__(
        self, *, pool: Pool, session: ClientSession, secret: str, longest_s: float, max_body_bytes: int
    ) -> None:
        self._pool = pool
        self._session = session
        self._secret = secret
        self._longest_s = longest_s
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait_s = patience_s(header(scope, DEADLINE_HEADER), self._longest_s)
        ends_at_s = time.monotonic() + wait_s
        body = await read_body(receive, limit_bytes=self._max_body_bytes)
        headers = self._headers(scope, body)
        tried: list[Backend] = []
        while True:
            left_s = ends_at_s - time.monotonic()
            if left_s <= 0:
                raise self._too_late(wait_s)
            backend = self._pool.pick(avoid=tried)
            try:
                await self._ask(backend, scope, headers, body, left_s, send)
                return
            except RETRIED as error:
                tried.append(backend)
                log.warning("address_failed", service=self._pool.service, address=backend.address, error=str(error))
                if len(tried) == min(ATTEMPTS, len(self._pool.backends)):
                    raise UnavailableError(f"'{self._pool.service}' cannot be reached: {error}") from error
            except TimeoutError as error:
                raise self._too_late(wait_s) from error

    async def _ask(
        self, backend: Backend, scope: Scope, headers: CIMultiDict[str], body: bytes, left_s: float, send: Send
    ) -> None:
        headers[DEADLINE_HEADER] = str(max(1, int(left_s * 1000)))
        backend.in_flight += 1
        try:
            async with self._session.get().request(
                scope["method"],
                URL(backend.address + _raw_target(scope), encoded=True),
                data=body or None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=left_s, sock_connect=min(2.0, left_s)),
                allow_redirects=False,
            ) as response:
                answer = await response.read()
        except TimeoutError as error:
            self._note_timeout(backend, error, left_s)
            raise
        except aiohttp.ClientPayloadError as error:  # the connection broke within the answer
            backend.breaker.record_failure()
            raise aiohttp.ClientConnectionError(str(error)) from error
        except aiohttp.ClientConnectionError:
            backend.breaker.record_failure()
            raise
        finally:
            backend.in_flight -= 1
        backend.breaker.record_success()
        back = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in response_headers(response.headers.items())
            if name.lower() != "content-type"
        ]
        if encoding := response.headers.get("Content-Encoding"):  # the session hands the body on as it is
            back.append((b"content-encoding", encoding.encode("latin-1")))
        kind = response.headers.get("Content-Type", JSON_TYPE)
        await send_answer(send, response.status, answer, content_type=kind, headers=back)

    def _headers(self, scope: Scope, body: bytes) -> CIMultiDict[str]:
        state = scope["state"]
        identity = encode_message(state[IDENTITY_STATE]).decode()
        plain = ((k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"])
        headers = CIMultiDict(request_headers(plain))
        headers[REQUEST_ID_HEADER] = state[REQUEST_ID_STATE]
        headers[IDENTITY_HEADER] = identity
        headers["Accept-Encoding"] = header(scope, "Accept-Encoding") or "identity"
        headers[SIGNATURE_HEADER] = sign_request(
            self._secret,
            method=scope["method"],
            target=canonical_target(scope["path"], scope["query_string"].decode("latin-1")),
            body=body,
            identity=identity,
        )
        return headers

    def _note_timeout(self, backend: Backend, error: TimeoutError, left_s: float) -> None:
        # An impatient caller says nothing about the address; a connection that does not open does.
        if isinstance(error, aiohttp.ConnectionTimeoutError) or left_s >= self._longest_s / 2:
            backend.breaker.record_failure()

    def _too_late(self, wait_s: float) -> Exception:
        return deadline_error(
            self._pool.service, wait_s, longest_s=self._longest_s, setting="GATEWAY_PREDICT_TIMEOUT_S"
        )


def _raw_target(scope: Scope) -> str:
    raw = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode()
    query = scope["query_string"]
    path = raw.split(b"?", 1)[0].decode("latin-1")
    return f"{path}?{query.decode('latin-1')}" if query else path
