"""The half of a connection that writes: answers, as far as the other side's windows allow.

An answer that fits is one write. What does not fit waits here and goes on when a window opens or the
transport has room again, all streams in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from struct import Struct

from aiplatform.rpc.fields import ANSWER_BLOCK
from aiplatform.rpc.flood import FloodGuard
from aiplatform.rpc.frames import (
    DATA,
    DEFAULT_FRAME_SIZE,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    HEADERS,
    LARGEST_WINDOW,
    ConnectionFault,
    ErrorCode,
    StreamFault,
    frame_head,
)
from aiplatform.rpc.messages import PREFIX_SIZE

WRITE_BUFFER_BYTES = 256 * 1024

# The head of HEADERS, its block, the head of DATA, and the prefix of the message, in one go.
_START = Struct(f">IBI{len(ANSWER_BLOCK)}sIBIBI")
_HEADERS_WORD = len(ANSWER_BLOCK) << 8 | HEADERS
_LAST = END_HEADERS | END_STREAM


class _Unsent:
    """What is left of an answer."""

    __slots__ = ("body", "trailers", "window")

    def __init__(self, body: memoryview, trailers: bytes, window: int) -> None:
        self.body = body
        self.trailers = trailers
        self.window = window


class Sender:
    """Writes frames to a transport."""

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        on_end: Callable[[int], None],
        flood: FloodGuard,
        clock: Callable[[], float],
        max_unsent_bytes: int,
    ) -> None:
        """`on_end` is told when an answer that had to wait is on its way."""
        self._on_end = on_end
        self._flood = flood
        self._max_unsent_bytes = max_unsent_bytes
        self._unsent_bytes = 0
        self._clock = clock
        self._moved_s = clock()
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.write = transport.write
        self._window = DEFAULT_WINDOW
        self._frame_size = DEFAULT_FRAME_SIZE
        self.initial_window = DEFAULT_WINDOW
        self.is_paused = False
        self._unsent: dict[int, _Unsent] = {}

    @property
    def stalled_s(self) -> float:
        """Return for how long the client has taken nothing of what waits for it."""
        return self._clock() - self._moved_s if self._unsent or self.is_paused else 0.0

    def answer(self, stream_id: int, window: int, body: bytes, trailers: bytes) -> bool:
        """Send an answer, or the beginning of it; say whether that was all.

        Raises: StreamFault if the client leaves too much waiting already.
        """
        size = len(body) + PREFIX_SIZE
        if size > self._window or size > window or size > self._frame_size or self._unsent or self.is_paused:
            return self._begin(stream_id, window, body, trailers)
        self._window -= size
        self.write(
            b"".join(
                (
                    _START.pack(
                        _HEADERS_WORD, END_HEADERS, stream_id, ANSWER_BLOCK, size << 8, 0, stream_id, 0, len(body)
                    ),
                    body,
                    FRAME_HEAD.pack(len(trailers) << 8 | HEADERS, _LAST, stream_id),
                    trailers,
                )
            )
        )
        return True

    def pause(self) -> None:
        """Write no more answers: the transport is full."""
        self.is_paused = True
        self._moved_s = self._clock()

    def resume(self) -> None:
        """Go on: the transport has room."""
        self.is_paused = False
        self.go_on()

    def end(self, stream_id: int, block: bytes) -> None:
        """Send headers that are the whole answer."""
        self.write(frame_head(HEADERS, len(block), _LAST, stream_id) + block)

    def forget(self, stream_id: int) -> None:
        """Send nothing more of an answer."""
        unsent = self._unsent.pop(stream_id, None)
        if unsent is not None:
            self._unsent_bytes -= len(unsent.body)

    def open_window(self, increment: int) -> None:
        """Take a WINDOW_UPDATE for the connection. Raises: ConnectionFault."""
        if increment == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        self._window += increment
        if self._window > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is too large")
        if self._unsent:
            self.go_on()

    def open_stream(self, stream_id: int, increment: int) -> None:
        """Take a WINDOW_UPDATE for an answer that waits here. Raises: StreamFault."""
        unsent = self._unsent.get(stream_id)
        if unsent is not None:
            unsent.window = widened(unsent.window, increment)
            self.go_on()

    def change_initial_window(self, size: int) -> int:
        """Take a new size for streams' windows; return the difference, which also counts for open ones."""
        change, self.initial_window = size - self.initial_window, size
        for unsent in self._unsent.values():
            unsent.window = _checked(unsent.window + change)
        return change

    def change_frame_size(self, size: int) -> None:
        """Take the largest frame that the other side reads."""
        self._frame_size = size

    def go_on(self) -> None:
        """Send what may be sent of what waits, a frame of each stream in turn."""
        has_sent = True
        while has_sent and self._unsent and self._window > 0:
            has_sent = False
            for stream_id, unsent in list(self._unsent.items()):
                if self.is_paused:
                    return
                has_sent = self._send_frame(stream_id, unsent) or has_sent

    def _begin(self, stream_id: int, window: int, body: bytes, trailers: bytes) -> bool:
        self.write(frame_head(HEADERS, len(ANSWER_BLOCK), END_HEADERS, stream_id) + ANSWER_BLOCK)
        if self._unsent_bytes > self._max_unsent_bytes:
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, f"more than {self._max_unsent_bytes} bytes wait already")
        self._unsent_bytes += len(body) + PREFIX_SIZE
        if not self._unsent:
            self._moved_s = self._clock()
        message = memoryview(b"\0" + len(body).to_bytes(4, "big") + body)
        self._unsent[stream_id] = _Unsent(message, trailers, window)
        self.go_on()
        return stream_id not in self._unsent

    def _send_frame(self, stream_id: int, unsent: _Unsent) -> bool:
        size = min(len(unsent.body), self._window, unsent.window, self._frame_size)
        if size <= 0:
            return False
        self._moved_s = self._clock()
        self._flood.pieces += 1
        self._window -= size
        unsent.window -= size
        self._unsent_bytes -= size
        piece, unsent.body = unsent.body[:size], unsent.body[size:]
        self.write(frame_head(DATA, size, 0, stream_id))
        self.write(piece)
        if not unsent.body:
            del self._unsent[stream_id]
            self.end(stream_id, unsent.trailers)
            self._on_end(stream_id)
        return True


def widened(window: int, increment: int) -> int:
    """Return a stream's window after a WINDOW_UPDATE. Raises: StreamFault."""
    if increment == 0:
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
    if window + increment > LARGEST_WINDOW:
        raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "the stream's window is too large")
    return window + increment


def _checked(window: int) -> int:
    if window > LARGEST_WINDOW:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")
    return window
