"""gunicorn's HTTP protocol with the lane before it.

A connection is free for the lane whenever gunicorn has not been given a byte since its last request was
answered. While a request is on the lane, or its body still comes, what arrives is kept here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, ClassVar

import structlog
from gunicorn.asgi.protocol import ASGIProtocol

from aiplatform.http.closing import leaving
from aiplatform.http.lane.exchange import Exchange
from aiplatform.http.lane.handler import LaneHandler, Plan
from aiplatform.http.lane.head import END, KNOWN_HEADS, MAX_HEAD_BYTES, Head, parse_head, split_head
from aiplatform.http.lane.kept import KeptBytes

MAX_BODY_BYTES = 1024 * 1024  # larger ones are read by gunicorn, once their sender is known
MAX_PIPELINED_BYTES = 256 * 1024  # kept while an answer is on its way; then the connection is not read
COPIED_BYTES = 64 * 1024  # a larger body is not copied to stand behind its head
BODY_TIME_S = 10.0  # for a body to come whole; after that gunicorn waits for the rest by its own rules

log = structlog.get_logger(__name__)

Varying = Mapping[bytes, bytes] | None  # headers that a plan knows nothing of; None: they are in its head


class LaneProtocol(ASGIProtocol):  # type: ignore[misc]
    """One connection. `handler` is the process's, set when the application is built."""

    handler: ClassVar[LaneHandler | None] = None
    _request_ready: asyncio.Event | None  # gunicorn's
    _keepalive_handle: asyncio.TimerHandle | None
    # By raw head without the headers that vary; cleared when it is full.
    _known: ClassVar[dict[bytes, tuple[Head, Plan]]] = {}

    def __init__(self, worker: Any) -> None:
        super().__init__(worker)
        self._has_fed = False  # gunicorn has bytes of a request that it has not answered
        self._exchange: Exchange | None = None
        self._kept = KeptBytes()  # a request that is not whole, or what came behind one
        self._kept_whole = 0  # how long the request will be whose beginning is kept; 0: none is
        self._kept_plan: Plan | None = None  # of that request,
        self._kept_varying: Varying = None
        self._kept_body_at = 0  # and where its body begins
        self._is_full = False
        self._last_s = 0.0

    def connection_made(self, transport: Any) -> None:
        """Let gunicorn begin, and learn when it has answered a request."""
        super().connection_made(transport)
        if self._request_ready is not None and type(self).handler is not None:
            self._request_ready = _Marked(self)

    def data_received(self, data: bytes) -> None:
        """Take what has come onto the lane, or pass it on."""
        if self._kept_whole:
            self._kept.add(data)
            if self._kept.size >= self._kept_whole:
                self._take_whole()
        elif self._exchange is not None or self._kept.size:
            self._keep_pipelined(data)
        elif self._has_fed or self.reader is not None or self._websocket is not None:
            super().data_received(data)
        else:
            self._begin(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell who works for this connection that its client has gone."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.leave()
        self._kept.clear()
        super().connection_lost(exc)
        if not self._has_fed and self._request_ready is not None:
            self._request_ready.set()  # gunicorn's task waits for a request; now it ends at once

    def finish_exchange(self, head: bytes, body: bytes) -> None:
        """Write an answer and go on to what has come meanwhile."""
        self._exchange = None
        is_last = self._count_request() or leaving.has_begun
        closing = b"connection: close\r\n" if is_last else b""
        if len(body) < COPIED_BYTES:
            self._safe_write(b"%s%s%s\r\n%s" % (head, closing, _date_line(), body))
        else:
            self._safe_write(b"%s%s%s\r\n" % (head, closing, _date_line()))
            self._safe_write(body)
        if is_last:
            self._close_transport()
            return
        if self._keepalive_handle is None:
            self._arm_keepalive_timer()
        if self._kept.size:
            # Not from here: the answer may come from within the call that took the request.
            self.worker.loop.call_soon(self._take_kept)

    # --- requests ---------------------------------------------------------------------------------

    def _begin(self, data: bytes) -> None:
        """Take a request whose first bytes these are."""
        end = data.find(END, 0, MAX_HEAD_BYTES) if data.startswith(b"POST /v") else -1
        found = self._find_plan(bytes(data[:end])) if end > 0 else None
        if found is None:
            self._pass_on(data)
            return
        head, plan, varying = found
        start = end + len(END)
        whole = start + head.content_length
        if len(data) < whole:
            self._kept_plan, self._kept_varying, self._kept_body_at = plan, varying, start
            self._wait_for_body(data, whole)
        elif len(data) == whole:
            if not self._start(plan, varying, data[start:]):
                self._pass_on(data)
        else:
            self._kept.add(data[whole:])
            if not self._start(plan, varying, data[start:whole]):
                self._pass_on(data[:whole] + self._release_kept())

    def _take_whole(self) -> None:
        """Take the request that has come in pieces; its body is put together once, and the head left out."""
        if self._kept.size > self._kept_whole:  # something is behind it
            self._begin(self._release_kept())
            return
        kept, self._kept, self._kept_whole = self._kept, KeptBytes(), 0
        if not self._start(self._kept_plan, self._kept_varying, kept.tail(self._kept_body_at)):
            self._pass_on(kept.tail(0))

    def _start(self, plan: Plan, varying: Varying, body: bytes) -> bool:
        """Hand a request over; False if its handler leaves it to gunicorn."""
        handler = type(self).handler
        self._exchange = exchange = Exchange(self)
        exchange.varying = varying
        self._last_s = time.monotonic()
        if handler is not None and handler.start(plan, body, exchange):
            return True
        self._exchange = None
        return False

    def _find_plan(self, raw: bytes) -> tuple[Head, Plan, Varying] | None:
        known, handler = type(self)._known, type(self).handler
        if handler is None:
            return None
        found = known.get(raw)
        if found is not None:
            return (*found, None)
        split = split_head(raw, handler.varying)
        fixed, varying = (raw, None) if split is None else split
        found = known.get(fixed)
        if found is not None:
            return (*found, varying)
        head = parse_head(raw)  # whole: no header may be there twice
        if head is None or head.content_length > MAX_BODY_BYTES:
            return None
        if varying is not None and len(handler.varying & head.headers.keys()) != len(varying):
            fixed, varying = raw, None  # some of them stand elsewhere
        plan = handler.plan(head)
        if plan is None:
            return None
        if len(known) >= KNOWN_HEADS:
            known.clear()
        known[fixed] = (head, plan)
        return head, plan, varying

    def _pass_on(self, data: bytes) -> None:
        self._has_fed = True
        super().data_received(data)

    # --- what is kept -----------------------------------------------------------------------------

    def _wait_for_body(self, data: bytes, whole: int) -> None:
        self._kept.add(data)
        self._kept_whole = whole
        self._last_s = time.monotonic()
        if self._keepalive_handle is None:
            self._keepalive_handle = self.worker.loop.call_later(BODY_TIME_S, self._keepalive_timeout)

    def _take_kept(self) -> None:
        """Go on with what is kept, as if it came now."""
        if self._exchange is not None or self._closed or not self._kept.size:
            return
        self._begin(self._release_kept())

    def _release_kept(self) -> bytes:
        data = self._kept.tail(0)
        self._kept.clear()
        self._kept_whole = 0
        if self._is_full:
            self._is_full = False
            self._resume_reading()
        return data

    def _keep_pipelined(self, data: bytes) -> None:
        self._kept.add(data)
        if self._kept.size > MAX_PIPELINED_BYTES and not self._is_full:
            self._is_full = True
            self._pause_reading()

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not take its answers."""
        super().pause_writing()
        if not self._has_fed:
            self._pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        super().resume_writing()
        if not self._has_fed and not self._is_full:
            self._resume_reading()

    def gunicorn_is_done(self) -> None:
        """Note that gunicorn has answered its request, and has nothing of the next."""
        self._has_fed = False

    def _feed_callback_parser(self, data: bytes) -> bool:
        self._has_fed = True
        return bool(super()._feed_callback_parser(data))

    # --- time -------------------------------------------------------------------------------------

    def _keepalive_timeout(self) -> None:
        """Close an idle connection; the timer is not set anew with each request, so look how idle it is."""
        self._keepalive_handle = None
        idle_s = time.monotonic() - self._last_s
        if self._kept_whole and idle_s >= BODY_TIME_S:
            self._pass_on(self._release_kept())
        elif self._exchange is not None or self._kept_whole or idle_s < self._keepalive:
            wait_s = BODY_TIME_S if self._kept_whole else max(1.0, self._keepalive - idle_s)
            self._keepalive_handle = self.worker.loop.call_later(wait_s, self._keepalive_timeout)
        else:
            super()._keepalive_timeout()

    def _count_request(self) -> bool:
        """Count an answer as gunicorn does; say whether it is the connection's last."""
        worker = self.worker
        worker.nr += 1
        if worker.nr >= worker.max_requests:
            log.info("worker_has_served_its_requests", requests=worker.nr)
            worker.alive = False
        return not worker.alive or not self._keepalive


class _Marked(asyncio.Event):
    """gunicorn's sign that a request has come. It is taken down when the request is answered."""

    def __init__(self, line: LaneProtocol) -> None:
        super().__init__()
        self._line = line

    def clear(self) -> None:
        super().clear()
        self._line.gunicorn_is_done()


_date: tuple[int, bytes] = (0, b"")


def _date_line() -> bytes:
    global _date  # one text for the process, made anew once a second
    now_s = int(time.time())
    if _date[0] != now_s:
        _date = (now_s, f"date: {formatdate(now_s, usegmt=True)}\r\n".encode())
    return _date[1]


def use_lane(handler: LaneHandler | None) -> None:
    """Have the lane of this process's connections lead to a handler."""
    LaneProtocol.handler = handler
    LaneProtocol._known.clear()


def open_lane() -> None:
    """Have gunicorn's workers of this process use the lane; gunicorn has no setting for its protocol class."""
    from gunicorn.workers import gasgi

    gasgi.ASGIProtocol = LaneProtocol
