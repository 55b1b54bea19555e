"""One request on the lane and its answer."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from http.client import responses
from typing import Protocol

from aiplatform.errors import PlatformError
from aiplatform.http.codec import JSON_TYPE, encode_message
from aiplatform.identity import Identity

_JSON = JSON_TYPE.encode()
NoteAnswer = Callable[[int, float], None]


class Line(Protocol):
    """The connection as an exchange sees it."""

    def finish_exchange(self, head: bytes, body: bytes) -> None:
        """Write an answer and go on to the next request."""
        ...


class Exchange:
    """Where a handler answers, once.

    What stands before the handler sets `request_id`, `identity`, `fields` (header lines for any answer) and
    `note`, which is told the status and the seconds that it took. `on_gone` is called if the client leaves before
    its answer. `varying` has the headers that the plan knows nothing of; None: they are in the plan's head.
    """

    __slots__ = ("_line", "_started_s", "fields", "identity", "note", "on_gone", "request_id", "varying")

    def __init__(self, line: Line) -> None:
        self._line: Line | None = line
        self._started_s = time.perf_counter()
        self.request_id = ""
        self.identity: Identity | None = None
        self.fields = b""
        self.note: NoteAnswer | None = None
        self.on_gone: Callable[[], object] | None = None
        self.varying: Mapping[bytes, bytes] | None = None

    @property
    def is_open(self) -> bool:
        """Say whether an answer is still awaited."""
        return self._line is not None

    def answer(self, status: int, body: bytes, *, content_type: bytes = _JSON, fields: bytes = b"") -> None:
        """Send a whole answer; `fields` are further header lines, each with its end."""
        line, self._line, self.on_gone = self._line, None, None
        if line is None:
            return
        head = b"%scontent-type: %s\r\ncontent-length: %d\r\n%s%s" % (
            _status_line(status), content_type, len(body), fields, self.fields,
        )  # fmt: skip
        line.finish_exchange(head, body)
        if self.note is not None:
            self.note(status, time.perf_counter() - self._started_s)

    def refuse(self, error: PlatformError, *, fields: bytes = b"") -> None:
        """Answer an error in the platform's form."""
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            fields += b"retry-after: %d\r\n" % max(1, round(retry_after_s))
        self.answer(error.http_status, encode_message(error.payload()), fields=fields)

    def leave(self) -> None:
        """Tell the handler that the client has gone; nothing can be answered any more."""
        gone, self._line, self.on_gone = self.on_gone, None, None
        if gone is not None:
            gone()


def field_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return headers as lines."""
    return b"".join([b"%s: %s\r\n" % header for header in headers])


@functools.cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {responses.get(status, '')}\r\n".encode()  # one behind a gateway may have its own
