"""Lets the clients of a worker that is about to end leave by themselves, so that a restart fails no request.

gunicorn's `asgi` worker, told to end, closes each kept connection after its present answer. It announces that
(`Connection: close`) only if it knew when the answer began, so a client whose answer was under way sends its next
request into a closed socket. Here the worker goes on for a moment in which every answer announces the end;
a client opens its next connection to a worker that lives. Then gunicorn ends it, and finds idle connections only.
While a worker that is to take its place is still starting, it goes on as if nothing had been said.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from aiplatform.http.succession import Succession, succession
from aiplatform.wiring import Send

LEAVE_TIME_S = 0.5
LONGEST_WAIT_S = 60.0  # for a successor: what loads longer is not waited for
LOOK_S = 0.1
_LAST = ((b"connection", b"close"),)


class Leaving:
    """Whether this process has been told to end."""

    def __init__(self, line: Succession | None = None) -> None:
        self.has_begun = False
        self._line = line or succession
        self._waits_until_s: float | None = None

    def delay_end_of(self, worker: Any) -> None:
        """Have gunicorn's worker end LEAVE_TIME_S after it is told to, with all its answers announcing it.

        If another is starting in its place, that begins when the other serves, or after LONGEST_WAIT_S.
        """
        end_now = worker.handle_exit_signal

        def begin() -> None:
            if self._waits_until_s is None:
                self._waits_until_s = worker.loop.time() + LONGEST_WAIT_S
                look()

        def look() -> None:
            if self._line.is_awaited() and worker.loop.time() < (self._waits_until_s or 0.0):
                worker.loop.call_later(LOOK_S, look)
                return
            self.has_begun = True
            worker.loop.call_later(LEAVE_TIME_S, end_now)

        worker.handle_exit_signal = begin


leaving = Leaving()


def last_headers() -> Sequence[tuple[bytes, bytes]]:
    """Return the headers that an answer gets when it begins: those that make it the last, or none."""
    return _LAST if leaving.has_begun else ()


def close_when_leaving(send: Send) -> Send:
    """Return a `send` whose answer is the last on its connection if, when it begins, the worker is to end."""

    async def send_and_close(message: MutableMapping[str, Any]) -> None:
        if leaving.has_begun and message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_LAST]}
        await send(message)

    return send_and_close
