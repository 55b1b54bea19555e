"""An HTTP load in coroutines that knows what became of every single request.

wrk is quicker and tells less. Here each request's start, latency and status are kept, as the tests of
overload and of changes need it. A connection that the server closes is opened anew; a request that was under way
on it counts as one without an answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

NO_ANSWER = "no answer"
_STATUS_AT = slice(9, 12)
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CLOSES = re.compile(rb"(?i)\r\nconnection: *close")
_VERSION = re.compile(rb"(?i)\r\nx-model-version: *(\d+)")
_GIVE_UP_S = 60.0


@dataclass(slots=True)
class Outcome:
    """One request: when it began (time.monotonic), how long it took, and the status or what went wrong."""

    began_s: float
    took_s: float
    status: str
    version: str = ""


@dataclass
class Outcomes:
    """All requests of a load."""

    all: list[Outcome] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[str]:
        """Return how many requests had which status."""
        return Counter(outcome.status for outcome in self.all)

    @property
    def failures(self) -> int:
        """Return how many were not answered with 200."""
        return sum(outcome.status != "200" for outcome in self.all)

    def latencies_ms(self, statuses: Iterable[str] = ("200",)) -> list[float]:
        """Return the latencies of requests with one of the statuses, in order of size."""
        wanted = set(statuses)
        return sorted(outcome.took_s * 1000 for outcome in self.all if outcome.status in wanted)

    def good_between(self, begin_s: float, end_s: float) -> int:
        """Return how many answers with 200 came within a time."""
        return sum(o.status == "200" and begin_s <= o.began_s + o.took_s < end_s for o in self.all)


def quantile(ordered: list[float], share: float) -> float:
    """Return a quantile of values in order; NaN if there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


class HttpLoad:
    """One request, as bytes, to one address."""

    def __init__(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        target = urlsplit(url)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        self._request = head.encode() + body
        self._host, self._port = str(target.hostname), target.port or 80
        self.outcomes = Outcomes()
        self.late_s = 0.0  # how far `offer` was behind its own rate, at worst

    async def run_closed(self, connections: int, is_over: Callable[[], bool]) -> None:
        """Keep so many requests under way until it is over: each connection waits for its answer."""
        await asyncio.gather(*(self._keep_asking(is_over) for _ in range(connections)))

    async def offer(self, requests_per_s: float, seconds: float) -> asyncio.Task[None]:
        """Send requests at a rate, whether or not earlier ones were answered; return what waits for the rest."""
        free: list[Connection] = []
        under_way: set[asyncio.Task[None]] = set()
        began_s = time.monotonic()
        sent = 0
        while (now_s := time.monotonic() - began_s) < seconds:
            self.late_s = max(self.late_s, now_s - sent / requests_per_s)
            for _ in range(int(now_s * requests_per_s) - sent):
                task = asyncio.ensure_future(self._ask_with(free))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                sent += 1
            await asyncio.sleep(0.002)
        return asyncio.ensure_future(_finish(under_way, free))

    async def _keep_asking(self, is_over: Callable[[], bool]) -> None:
        connection = Connection(self._host, self._port)
        while not is_over():
            await self._ask(connection)
        connection.close()

    async def _ask_with(self, free: list[Connection]) -> None:
        connection = free.pop() if free else Connection(self._host, self._port)
        await self._ask(connection)
        free.append(connection)

    async def _ask(self, connection: Connection) -> None:
        began_s = time.monotonic()
        try:
            status, version = await asyncio.wait_for(connection.exchange(self._request), _GIVE_UP_S)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            connection.close()
            status, version = NO_ANSWER, ""
        self.outcomes.all.append(Outcome(began_s, time.monotonic() - began_s, status, version))


async def _finish(under_way: set[asyncio.Task[None]], free: list[Connection]) -> None:
    if under_way:
        await asyncio.wait(set(under_way), timeout=_GIVE_UP_S)
    for connection in free:
        connection.close()


class Connection:
    """One connection, opened when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: bytes) -> tuple[str, str]:
        """Send a request; return the answer's status and the version that it names.

        Raises: OSError or IncompleteReadError if the answer does not come.
        """
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
        if _CLOSES.search(head):
            self.close()
        version = _VERSION.search(head)
        return head[_STATUS_AT].decode(), version[1].decode() if version else ""

    def close(self) -> None:
        """Close it; the next exchange opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
