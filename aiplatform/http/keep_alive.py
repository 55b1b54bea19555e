"""Keeps gunicorn from closing connections on which the next request comes quickly.

gunicorn's `asgi` worker readies its parser for the next request a moment after the last byte of an
answer has left. What a quick client has sent by then waits in the parser as a tail, and the C
parser (gunicorn_h1c 0.6.9) keeps at most 64 KiB of one: a longer tail, such as a request with an
image in it, makes gunicorn 27.0.1 close the connection without an answer. The Python parser has
no such limit. Here the tail is kept beside the C parser.
"""

from __future__ import annotations

from typing import Any

MAX_TAIL_BYTES = 4 * 1024 * 1024  # of one connection; what comes in one moment is some hundred KiB


def keep_long_tails() -> bool:
    """Have gunicorn's workers of this process use a parser that keeps long tails; say whether it is in use."""
    from gunicorn.asgi.protocol import ASGIProtocol

    if not ASGIProtocol._check_h1c_protocol_available():
        return False
    ASGIProtocol._h1c_protocol_class = tail_keeping(ASGIProtocol._h1c_protocol_class)
    return True


def tail_keeping(parser: Any) -> type:
    """Return a parser class that holds what follows a complete request until `reset`.

    While there is a tail, which is rare, the parser is of another class: the usual way stays as short as it can be.
    """
    feed = parser.feed

    class TailKeepingParser(parser):  # type: ignore[misc]
        def feed(self, data: bytes) -> None:
            if self.is_complete:
                self._tail = data
                self.__class__ = ParserWithTail
            else:
                feed(self, data)

    class ParserWithTail(TailKeepingParser):
        def feed(self, data: bytes) -> None:
            self._tail += data

        def remaining(self) -> bytes:
            return bytes(super().remaining()) + self._tail

        @property
        def remaining_truncated(self) -> bool:
            return bool(super().remaining_truncated) or len(self._tail) > MAX_TAIL_BYTES

        def reset(self) -> None:
            self._tail = b""
            super().reset()
            self.__class__ = TailKeepingParser

    return TailKeepingParser
