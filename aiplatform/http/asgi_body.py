"""The few things a raw ASGI application needs: headers, the body, an answer, an error."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from aiplatform.errors import PayloadTooLargeError, PlatformError
from aiplatform.http.codec import JSON_TYPE, encode_message
from aiplatform.wiring import Receive, Scope, Send

Headers = Sequence[tuple[bytes, bytes]]
REST_BYTES = 1024 * 1024  # of a body that nobody wants, read so that its connection can be kept
REST_TIMEOUT_S = 1.0
CLOSE: Headers = ((b"connection", b"close"),)
_HEADER_MAP = "aiplatform.headers"


class ClientDisconnectedError(Exception):
    """The client went away before its request was whole; there is nobody to answer."""


def header_map(scope: Scope) -> Mapping[bytes, bytes]:
    """Return the request's headers by lower-case name, the first of each; made once a request."""
    found: dict[bytes, bytes] | None = scope.get(_HEADER_MAP)
    if found is None:
        found = scope[_HEADER_MAP] = dict(reversed(scope["headers"]))
    return found


def header(scope: Scope, name: str) -> str:
    """Return a request header, or '' if it is not there."""
    value = header_map(scope).get(_lower(name))
    return "" if value is None else value.decode("latin-1")


@functools.cache
def _lower(name: str) -> bytes:
    return name.lower().encode()  # names come from the code, never from a request


async def read_body(receive: Receive, *, limit_bytes: int | None = None) -> bytes:
    """Return the whole request body.

    Raises: PayloadTooLargeError beyond `limit_bytes`; ClientDisconnectedError.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientDisconnectedError
        chunk = event.get("body", b"")
        size += len(chunk)
        if limit_bytes is not None and size > limit_bytes:
            raise PayloadTooLargeError(
                f"the request body is larger than {limit_bytes} bytes",
                limit="request body",
                value=limit_bytes,
                setting="MAX_BODY_BYTES",
            )
        chunks.append(chunk)
        if not event.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def replay_event(event: MutableMapping[str, Any], receive: Receive) -> Receive:
    """Return a `receive` that gives an event already taken, then goes on with the real one."""
    events = [event]

    async def replay() -> MutableMapping[str, Any]:
        return events.pop() if events else await receive()

    return replay


class BodyWatch:
    """A `receive` that knows whether the request's body has been read to its end.

    A server closes a kept connection, without a word, after an answer to a request whose body it has not seen
    whole; the client's next request then fails. So who refuses a request reads the rest first, or says
    that it will close.
    """

    __slots__ = ("_receive", "is_whole")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_whole = False

    async def __call__(self) -> MutableMapping[str, Any]:
        event = await self._receive()
        if not event.get("more_body", False):
            self.is_whole = True
        return event

    async def finish(self) -> bool:
        """Read on to the end if that is near in bytes and time; say whether it was reached."""
        left = REST_BYTES
        try:
            async with asyncio.timeout(REST_TIMEOUT_S):
                while not self.is_whole and left > 0:
                    left -= len((await self()).get("body", b""))
        except TimeoutError:
            return False
        return self.is_whole


def replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body already read, then goes on with the real one."""
    return replay_event({"type": "http.request", "body": body, "more_body": False}, receive)


async def send_answer(
    send: Send, status: int, body: bytes, *, content_type: str = JSON_TYPE, headers: Headers = ()
) -> None:
    """Send a whole answer."""
    fixed = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: PlatformError, *, headers: Headers = ()) -> None:
    """Send an error as JSON; Retry-After where it says when."""
    retry_after_s = getattr(error, "retry_after_s", None)
    extra = list(headers)
    if retry_after_s is not None:
        extra.append((b"retry-after", str(max(1, round(retry_after_s))).encode()))
    await send_answer(send, error.http_status, encode_message(error.payload()), headers=extra)
