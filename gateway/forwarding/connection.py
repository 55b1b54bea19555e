"""One kept-alive HTTP/1.1 connection to another app: a request at a time, written and read by hand.

Why not a client library: docs/decisions/forwarding-client.md. It speaks what the platform's own servers answer
with: a length, chunks, or the end of the connection. What it cannot read ends the connection with an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from gateway.forwarding.failures import ConnectionBrokenError

Headers = list[tuple[bytes, bytes]]

_END_OF_HEAD = b"\r\n\r\n"
_WITHOUT_BODY = frozenset({204, 304})
MAX_HEAD_BYTES = 64 * 1024


class Response:
    """An answer as it came; header names in lower case."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.body = body


Take = Callable[[Response | ConnectionBrokenError], None]


class _Reading:
    """How far the answer has been read. A length of None: the body lasts until the connection ends."""

    __slots__ = ("buffer", "chunks", "is_chunked", "is_head_request", "length", "response", "take")

    def __init__(self, take: Take, is_head_request: bool) -> None:
        self.take = take
        self.is_head_request = is_head_request
        self.buffer = bytearray()
        self.response: Response | None = None
        self.length: int | None = None
        self.is_chunked = False
        self.chunks: list[bytes] = []


class UpstreamConnection:
    """A connection, as `asyncio.Protocol` wants it; `is_reusable` says whether another request may follow.

    Not derived from it, so that it can be machine code.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reading: _Reading | None = None
        self.is_reusable = True
        self.has_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the open transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def send(self, request: bytes, take: Take, *, is_head_request: bool = False) -> None:
        """Write a whole request; `take` is given its answer, once, or the error that there will be none.

        Raises: ConnectionBrokenError if the connection is closed.
        """
        if self._transport is None or not self.is_reusable or self._reading is not None:
            raise ConnectionBrokenError("the connection is closed")
        self._reading = _Reading(take, is_head_request)
        self._transport.write(request)

    def close(self) -> None:
        """End the connection; an answer that is still awaited fails."""
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> None:
        """Let the connection end: `connection_lost` follows."""

    def pause_writing(self) -> None:
        """Go on: one request at a time is written, and no more than was read."""

    def resume_writing(self) -> None:
        """Go on."""

    def data_received(self, data: bytes) -> None:
        """Read on."""
        reading = self._reading
        if reading is None:
            self.close()  # nobody asked
            return
        try:
            self._read(reading, data)
        except (ValueError, IndexError) as error:
            self._fail(f"the answer is not HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Finish an answer that lasts until the end; fail any other."""
        self.is_reusable = False
        reading = self._reading
        if reading is None:
            return
        if reading.response is not None and reading.length is None and not reading.is_chunked and exc is None:
            self._finish(reading, bytes(reading.buffer))
        else:
            self._fail(f"the connection broke: {exc or 'closed by the other side'}")

    def _read(self, reading: _Reading, data: bytes) -> None:
        if reading.response is None and not reading.buffer and self._read_at_once(reading, data):
            return
        reading.buffer += data
        while reading.response is None:
            end = reading.buffer.find(_END_OF_HEAD)
            if end < 0:
                if len(reading.buffer) > MAX_HEAD_BYTES:
                    raise ValueError(f"a head of more than {MAX_HEAD_BYTES} bytes")
                return
            head = bytes(reading.buffer[:end])
            del reading.buffer[: end + 4]
            self._read_head(reading, head)
        self._read_body(reading)

    def _read_at_once(self, reading: _Reading, data: bytes) -> bool:
        """Take the usual case, a whole answer in one piece, without a copy through the buffer."""
        end = data.find(_END_OF_HEAD)
        if end < 0:
            return False
        self._read_head(reading, data[:end])
        rest = data[end + 4 :]
        if reading.response is not None and reading.length == len(rest):
            self._finish(reading, rest)
        else:
            reading.buffer += rest
            if reading.response is not None:
                self._read_body(reading)
            elif rest:  # what came was only informational
                self._read(reading, b"")
        return True

    def _read_head(self, reading: _Reading, head: bytes) -> None:
        lines = head.split(b"\r\n")
        version, status = lines[0][:8], int(lines[0][9:12])
        if 100 <= status < 200:
            return
        headers: Headers = []
        is_kept = version == b"HTTP/1.1"
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip()
            headers.append((name, value))
            if name == b"content-length":
                reading.length = int(value)
            elif name == b"transfer-encoding":
                reading.is_chunked = value.lower().endswith(b"chunked")
            elif name == b"connection":
                is_kept = value.lower() == b"keep-alive" or (is_kept and value.lower() != b"close")
        if status in _WITHOUT_BODY or reading.is_head_request:
            reading.length, reading.is_chunked = 0, False
        self.is_reusable = is_kept and (reading.is_chunked or reading.length is not None)
        reading.response = Response(status, headers)

    def _read_body(self, reading: _Reading) -> None:
        if reading.is_chunked:
            self._read_chunks(reading)
        elif reading.length is not None and len(reading.buffer) >= reading.length:
            if len(reading.buffer) > reading.length:
                self.is_reusable = False  # more came than was announced
            self._finish(reading, bytes(reading.buffer[: reading.length]))

    def _read_chunks(self, reading: _Reading) -> None:
        while (end := reading.buffer.find(b"\r\n")) >= 0:
            size = int(bytes(reading.buffer[:end]).split(b";")[0], 16)
            needed = end + 2 + size + 2
            if size == 0 and reading.buffer.find(b"\r\n", end + 2) < 0:
                return
            if len(reading.buffer) < needed:
                return
            if size == 0:
                self.is_reusable = self.is_reusable and bytes(reading.buffer[end + 2 :]) == b"\r\n"  # no trailers
                self._finish(reading, b"".join(reading.chunks))
                return
            reading.chunks.append(bytes(reading.buffer[end + 2 : end + 2 + size]))
            del reading.buffer[:needed]

    def _finish(self, reading: _Reading, body: bytes) -> None:
        self._reading = None
        self.has_answered = True
        if not self.is_reusable and self._transport is not None:
            self._transport.close()
        response = reading.response
        if response is not None:
            response.body = body
            reading.take(response)

    def _fail(self, message: str) -> None:
        reading, self._reading = self._reading, None
        self.close()
        if reading is not None:
            has_begun = reading.response is not None or bool(reading.buffer)
            reading.take(ConnectionBrokenError(message, has_begun=has_begun))
