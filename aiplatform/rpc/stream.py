"""One call as it stands on its connection: what has come of its message, and how it is answered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from aiplatform.context import choose_request_id
from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.rpc.calls import REQUEST_ID_KEY, Call
from aiplatform.rpc.fields import OK_STATUS, error_block, field
from aiplatform.rpc.headers import Head
from aiplatform.rpc.messages import PREFIX_SIZE, message_size
from aiplatform.rpc.statuses import details_of, status_of, trailers_of

if TYPE_CHECKING:
    from aiplatform.rpc.connection import Connection

log = structlog.get_logger(__name__)

_NOT_ONE = "a unary call has exactly one message: {} bytes came, the first message has {}"


class Stream(Call):
    """A call of one connection. `window` is how much may be sent; `unacknowledged` what came and is not given back."""

    __slots__ = (
        "_connection",
        "_parts",
        "head",
        "is_whole",
        "kept_bytes",
        "received",
        "size",
        "stream_id",
        "unacknowledged",
        "window",
    )

    def __init__(self, connection: Connection, stream_id: int, head: Head, window: int) -> None:
        metadata = head.metadata
        request_id = choose_request_id(str(metadata.get(REQUEST_ID_KEY, "")))
        super().__init__(method=head.method, metadata=metadata, request_id=request_id, deadline_s=head.timeout_s)
        self.trailers.append(field(REQUEST_ID_KEY, request_id))
        self.head = head
        self.stream_id = stream_id
        self.window = window
        self.is_whole = False  # its client sends no more
        self.kept_bytes = 0
        self.unacknowledged = 0
        self.received = 0
        self.size = -1  # of the message with its prefix; unknown yet
        self._connection = connection
        self._parts: list[bytes] = []

    @property
    def age_s(self) -> float:
        """Return how long ago the call began."""
        return time.perf_counter() - self.started_s

    def add(self, part: bytes, max_bytes: int) -> None:
        """Keep a part of the message.

        Raises: PayloadTooLargeError, InvalidInputError.
        """
        self.received += len(part)
        self._parts.append(part)
        if self.size < 0 and self.received >= PREFIX_SIZE:
            prefix = b"".join(self._parts)
            self.size = PREFIX_SIZE + message_size(prefix, max_bytes)
        if 0 <= self.size < self.received:
            raise InvalidInputError(_NOT_ONE.format(self.received, self.size))

    def whole(self) -> bytes:
        """Return the message with its prefix, now that all has come.

        Raises: InvalidInputError if it ended too early.
        """
        if self.received != self.size:
            raise InvalidInputError(_NOT_ONE.format(self.received, max(self.size, 0)))
        if self.deadline_s is not None:
            self.deadline_s -= self.age_s
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def send_answer(self, body: bytes) -> None:
        """Write the answer with its trailers."""
        self._connection.send_answer(self, body, OK_STATUS + b"".join(self.trailers))

    def send_error(self, error: PlatformError) -> None:
        """Write an answer that is only an error."""
        details = details_of(error)
        log.info(
            "grpc_call_failed",
            method=self.method,
            code=error.code,
            error=details,
            request_id=self.request_id,
            username=self.identity.username if self.identity else "",
        )
        hints = [field(name, value) for name, value in trailers_of(error)]
        block = error_block(status_of(error), details) + b"".join((*self.trailers, *hints))
        self._connection.send_end(self, block)
