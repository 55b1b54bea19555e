"""An HTTP load in coroutines that knows what became of every single request.

wrk is quicker and tells less. Here each request's start, latency and status are kept, as the tests of
overload and of changes need it. A connection that the server closes is opened anew; a request that was under way
on it counts as one without an answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from benchmarks.open_load import OpenLoad
from benchmarks.outcomes import NO_ANSWER, Outcome, Outcomes

_STATUS_AT = slice(9, 12)
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CLOSES = re.compile(rb"(?i)\r\nconnection: *close")
_VERSION = re.compile(rb"(?i)\r\nx-model-version: *(\d+)")
_GIVE_UP_S = 60.0


class HttpLoad:
    """One request, as bytes, to one address."""

    def __init__(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        target = urlsplit(url)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        self._request = head.encode() + body
        self._host, self._port = str(target.hostname), target.port or 80
        self.outcomes = Outcomes()

    async def run_closed(self, connections: int, is_over: Callable[[], bool]) -> None:
        """Keep so many requests under way until it is over: each connection waits for its answer."""
        await asyncio.gather(*(self._keep_asking(is_over) for _ in range(connections)))

    def open(self, *, connections: int) -> OpenLoad:
        """Return the same request as an open load."""
        return OpenLoad(self._host, self._port, self._request, connections=connections)

    async def _keep_asking(self, is_over: Callable[[], bool]) -> None:
        connection = Connection(self._host, self._port)
        while not is_over():
            await self._ask(connection)
        connection.close()

    async def _ask(self, connection: Connection) -> None:
        began_s = time.monotonic()
        try:
            status, version = await asyncio.wait_for(connection.exchange(self._request), _GIVE_UP_S)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            connection.close()
            status, version = NO_ANSWER, ""
        self.outcomes.all.append(Outcome(began_s, time.monotonic() - began_s, status, version))


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
