"""The kept-alive connections of one process to the other apps: opened when needed, bounded, used in turn."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from gateway.forwarding.connection import Headers, Response, Take, UpstreamConnection
from gateway.forwarding.failures import ConnectionBrokenError, ConnectTimeoutError

CONNECT_TIMEOUT_S = 2.0


class _Address:
    """One address: what is open and idle, the newest last, and who waits for a connection."""

    def __init__(self, host: str, port: int, is_tls: bool, host_header: bytes) -> None:
        self.host = host
        self.port = port
        self.is_tls = is_tls
        self.host_header = host_header
        self.idle: list[UpstreamConnection] = []
        self.open_count = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def find_idle(self) -> UpstreamConnection | None:
        """Take an open connection that nobody uses; None if there is none."""
        while self.idle:
            connection = self.idle.pop()
            if connection.is_reusable:
                return connection
        return None


class Upstreams:
    """Sends requests; belongs to the event loop that runs when it is first used."""

    def __init__(self, *, connections: int = 256) -> None:
        """`connections` is the most that are open to one address; further requests wait their turn."""
        self._connections = connections
        self._addresses: dict[str, _Address] = {}
        self._context: ssl.SSLContext | None = None

    async def request(
        self,
        address: str,
        method: str,
        target: str,
        *,
        headers: Headers,
        body: bytes = b"",
        timeout_s: float,
        varying: Headers | None = None,
    ) -> Response:
        """Send one request to an address ('http://host:port') and return its answer.

        A kept connection that the other side closed before it saw the request is replaced once. `varying` are
        headers that stand last. Raises: TimeoutError (ConnectTimeoutError if it did not connect);
        ConnectionBrokenError; OSError.
        """
        known = self._addresses.get(address) or self._add(address)
        request = _encode(method, target, known.host_header, headers, body, varying or [])
        is_head_request = method == "HEAD"
        async with asyncio.timeout(timeout_s):
            connection = await self._take(known)
            try:
                was_used = connection.has_answered
                try:
                    return await _ask(connection, request, is_head_request)
                except ConnectionBrokenError as error:
                    if error.has_begun or not was_used:
                        raise
                connection = await self._open(known)
                return await _ask(connection, request, is_head_request)
            except asyncio.CancelledError:  # also the deadline: its answer may still come, to nobody
                connection.close()
                raise
            finally:
                self._give_back(known, connection)

    def start(
        self, address: str, method: str, target: str, *, headers: Headers, body: bytes, varying: Headers, take: Take
    ) -> UpstreamConnection | None:
        """Send one request at once, if a connection is open and idle; None: nothing was done, and `request` may.

        `take` is given the answer, or the error. To give up, close the connection; `take` hears of that, too.
        """
        known = self._addresses.get(address)
        if known is None or known.open_count >= self._connections:
            return None
        connection = known.find_idle()
        if connection is None:
            return None
        known.open_count += 1

        def give_back(result: Response | ConnectionBrokenError) -> None:
            self._give_back(known, connection)
            take(result)

        connection.send(_encode(method, target, known.host_header, headers, body, varying), give_back)
        return connection

    async def close(self) -> None:
        """Close what is idle; what is in use is closed by its user's end."""
        for known in self._addresses.values():
            for connection in known.idle:
                connection.close()
            known.idle.clear()
        self._addresses.clear()

    def _add(self, address: str) -> _Address:
        parts = urlsplit(address)
        is_tls = parts.scheme == "https"
        known = _Address(
            host=parts.hostname or "",
            port=parts.port or (443 if is_tls else 80),
            is_tls=is_tls,
            host_header=parts.netloc.rpartition("@")[2].encode(),
        )
        self._addresses[address] = known
        return known

    async def _take(self, known: _Address) -> UpstreamConnection:
        while known.open_count >= self._connections:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            known.waiting.append(turn)
            await turn
        known.open_count += 1
        connection = known.find_idle()
        if connection is not None:
            return connection
        try:
            return await self._open(known)
        except BaseException:
            self._leave(known)
            raise

    async def _open(self, known: _Address) -> UpstreamConnection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, protocol = await asyncio.get_running_loop().create_connection(
                    cast(Callable[[], asyncio.Protocol], UpstreamConnection),  # it is one, by its methods
                    known.host,
                    known.port,
                    ssl=self._tls if known.is_tls else None,
                )
        except TimeoutError as error:
            raise ConnectTimeoutError(
                f"no connection to {known.host}:{known.port} within {CONNECT_TIMEOUT_S} s"
            ) from error
        return cast(UpstreamConnection, protocol)

    def _give_back(self, known: _Address, connection: UpstreamConnection) -> None:
        if connection.is_reusable:
            known.idle.append(connection)
        self._leave(known)

    def _leave(self, known: _Address) -> None:
        known.open_count -= 1
        while known.waiting:
            turn = known.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    @property
    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context


async def _ask(connection: UpstreamConnection, request: bytes, is_head_request: bool) -> Response:
    waiter: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def take(result: Response | ConnectionBrokenError) -> None:
        if waiter.done():
            return  # nobody waits any more
        if isinstance(result, Response):
            waiter.set_result(result)
        else:
            waiter.set_exception(result)

    connection.send(request, take, is_head_request=is_head_request)
    return await waiter


def _encode(method: str, target: str, host: bytes, headers: Headers, body: bytes, varying: Headers) -> bytes:
    """Return a request. What is the same for many stands first: the other side knows such a beginning again."""
    lines = [b"%s %s HTTP/1.1\r\nhost: %s" % (method.encode(), target.encode("latin-1"), host)]
    lines += [b"%s: %s" % pair for pair in headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d" % len(body))
    lines += [b"%s: %s" % pair for pair in varying]
    lines.append(b"\r\n")
    return b"\r\n".join(lines) + body
