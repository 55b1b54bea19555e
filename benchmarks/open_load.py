"""An open load: requests leave at a rate, answered or not, on a bounded number of connections.

Each request is dated when it was due, so that a generator that is late makes latencies longer, not shorter. One that is
due while every connection waits for its answer is not sent; how many these were is told, because a load with many
of them was less than it should have been.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque

from benchmarks.outcomes import NO_ANSWER, Outcome, Outcomes

TICK_S = 0.001
OPENING_AT_ONCE = 32
GIVE_UP_S = 30.0
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CLOSES = re.compile(rb"(?i)\r\nconnection: *close")


class OpenLoad:
    """One request, as bytes, to one address, again and again."""

    def __init__(self, host: str, port: int, request: bytes, *, connections: int) -> None:
        self._host, self._port, self._request = host, port, request
        self._limit = connections
        self._free: deque[_Line] = deque()
        self._lines: set[_Line] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self.outcomes = Outcomes()
        self.unsent = 0
        self.late_s = 0.0  # how far behind its own rate, at worst

    async def offer(self, requests_per_s: float, seconds: float) -> None:
        """Send at a rate for a time. Answers may come later: `finish` waits for them."""
        for start in range(0, self._limit, OPENING_AT_ONCE):
            await asyncio.gather(*(self._open() for _ in range(min(OPENING_AT_ONCE, self._limit - start))))
        began_s = time.monotonic()
        sent = 0
        while (now_s := time.monotonic() - began_s) < seconds:
            due = int(now_s * requests_per_s)
            if due > sent:
                self.late_s = max(self.late_s, now_s - sent / requests_per_s)
            for number in range(sent, due):
                self._send(began_s + number / requests_per_s)
            sent = due
            await asyncio.sleep(TICK_S)

    async def finish(self) -> None:
        """Wait for the answers that are still to come, and close all connections."""
        until = time.monotonic() + GIVE_UP_S
        while any(line.is_busy for line in self._lines) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for line in list(self._lines):
            line.close()
        while self._lines and time.monotonic() < until + 1:
            await asyncio.sleep(0.01)

    def note(self, line: _Line, began_s: float, status: str, *, goes_on: bool) -> None:
        """Keep what became of a request; its connection is free again, or replaced."""
        self.outcomes.all.append(Outcome(began_s, time.monotonic() - began_s, status))
        if goes_on:
            self._free.append(line)
        else:
            line.close()

    def forget(self, line: _Line) -> None:
        """Let go of a connection that has ended."""
        self._lines.discard(line)

    def _send(self, due_s: float) -> None:
        while self._free:
            line = self._free.popleft()
            if line in self._lines:
                line.send(self._request, due_s)
                return
        self.unsent += 1
        if len(self._lines) + len(self._opening) < self._limit:
            opening = asyncio.ensure_future(self._open())
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, line = await loop.create_connection(lambda: _Line(self), self._host, self._port)
        except OSError:
            return  # the next request that finds no free line tries again
        self._lines.add(line)
        self._free.append(line)


class _Line(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, load: OpenLoad) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._began_s: float | None = None
        self._received = b""
        self._whole = 0

    @property
    def is_busy(self) -> bool:
        """Say whether an answer is awaited."""
        return self._began_s is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes, due_s: float) -> None:
        """Send a request that was due then."""
        self._began_s = due_s
        self._received, self._whole = b"", 0
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        self._received += data
        if not self._whole:
            end = self._received.find(_END)
            if end < 0:
                return
            length = _LENGTH.search(self._received, 0, end)
            self._whole = end + len(_END) + (int(length[1]) if length else 0)
        if len(self._received) >= self._whole and self._began_s is not None:
            began_s, self._began_s = self._began_s, None
            closes = _CLOSES.search(self._received, 0, self._received.find(_END))
            self._load.note(self, began_s, self._received[9:12].decode(), goes_on=not closes)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the request that was under way, if there was one, as unanswered."""
        self._load.forget(self)
        if self._began_s is not None:
            began_s, self._began_s = self._began_s, None
            self._load.note(self, began_s, NO_ANSWER, goes_on=False)

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()
