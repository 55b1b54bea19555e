"""The client under every contract: signs, sends, retries what may be retried, rebuilds errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from aiplatform.errors import (
    DeadlineExceededError,
    InvalidInputError,
    PlatformError,
    UnavailableError,
    error_from_payload,
)
from aiplatform.http.codec import JSON_TYPE, PACKED_TYPE, decode_message, encode_message, encode_packed
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, canonical_target, sign_request
from aiplatform.identity import Identity

T = TypeVar("T")

ATTEMPTS = 2  # of a call that may be repeated and met no server
RETRIED = (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError)


def path_segment(text: str) -> str:
    """Return a name as one safe segment of a path."""
    return quote(text, safe="")


class ServiceClient:
    """Calls one service under one identity.

    `service` is its name in messages. `guard` runs before each call (see `transaction.py`).
    `headers` gives headers to add to each call (the request id).
    """

    def __init__(
        self,
        *,
        service: str,
        client: httpx.Client,
        secret: str,
        identity: Identity,
        timeout_s: float,
        guard: Callable[[], None] = lambda: None,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._service = service
        self._client = client
        self._secret = secret
        self._identity = encode_message(identity).decode()
        self._timeout_s = timeout_s
        self._guard = guard
        self._headers = headers

    def get(self, path: str, answer: type[T], *, query: Mapping[str, str] | None = None) -> T:
        """Return the answer to a GET, decoded."""
        return self._call("GET", path, b"", answer, query=query, is_idempotent=True)

    def post(
        self, path: str, message: Any, answer: type[T], *, is_idempotent: bool = False, is_packed: bool = False
    ) -> T:
        """Return the answer to a POST of a message, decoded; `is_packed` sends a bulk message as msgpack."""
        if is_packed:
            body, content_type = encode_packed(message), PACKED_TYPE
        else:
            body, content_type = encode_message(message), JSON_TYPE
        return self._call("POST", path, body, answer, is_idempotent=is_idempotent, content_type=content_type)

    def _call(
        self,
        method: str,
        path: str,
        body: bytes,
        answer: type[T],
        *,
        query: Mapping[str, str] | None = None,
        is_idempotent: bool,
        content_type: str = JSON_TYPE,
    ) -> T:
        self._guard()
        request = self._client.build_request(
            method, path, params=query, content=body, headers=dict(self._headers()), timeout=self._timeout_s
        )
        target = canonical_target(request.url.path, request.url.query.decode())
        request.headers["Content-Type"] = content_type
        request.headers[IDENTITY_HEADER] = self._identity
        request.headers[SIGNATURE_HEADER] = sign_request(
            self._secret, method=method, target=target, body=body, identity=self._identity
        )
        response = self._send(request, attempts=ATTEMPTS if is_idempotent else 1)
        if response.is_success:
            return self._decode(response, answer)
        raise error_from_payload(response.status_code, _json_or_none(response))

    def _decode(self, response: httpx.Response, answer: type[T]) -> T:
        try:
            return decode_message(response.content, answer)
        except InvalidInputError as error:  # it is the service's fault here, not our caller's
            raise PlatformError(f"{self._service} answered something else than {answer.__name__}: {error}") from error

    def _send(self, request: httpx.Request, *, attempts: int) -> httpx.Response:
        where = f"{self._service} ({request.method} {request.url.path})"
        for left in range(attempts - 1, -1, -1):
            try:
                return self._client.send(request)
            except httpx.TimeoutException as error:
                raise DeadlineExceededError(
                    f"{where} did not answer within {self._timeout_s} s",
                    limit="internal call deadline",
                    value=self._timeout_s,
                    setting="INTERNAL_TIMEOUT_S",
                ) from error
            except RETRIED as error:
                if not left:
                    raise UnavailableError(f"{where} cannot be reached: {error}") from error
            except httpx.HTTPError as error:
                raise UnavailableError(f"{where} cannot be reached: {error}") from error
        raise AssertionError("attempts is at least 1")


def _json_or_none(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None
