"""A server of lane connections on a random port, with an application and a handler that echo."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gunicorn.config import Config

from aiplatform.http.lane import Exchange, Head, LaneHandler
from aiplatform.http.lane.protocol import LaneProtocol
from aiplatform.http.server_log import ServerLog
from aiplatform.wiring import Receive, Scope, Send


class EchoHandler:
    """Answers /v1/lane* with what came; holds back while told to; declines what says 'no'."""

    varying = frozenset({b"x-request-id", b"x-platform-signature", b"x-mark"})

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.varied: list[Mapping[bytes, bytes] | None] = []
        self.planned = 0
        self.is_holding = False
        self.held: list[Exchange] = []
        self.gone = 0
        self.arrived = asyncio.Event()

    def plan(self, head: Head) -> str | None:
        self.planned += 1
        return head.path if head.path.startswith("/v1/lane") else None

    def start(self, plan: str, body: bytes, exchange: Exchange) -> bool:
        if body == b"no":
            return False
        self.taken.append(body)
        self.varied.append(exchange.varying)
        self.arrived.set()
        if self.is_holding:
            exchange.on_gone = self._note_gone
            self.held.append(exchange)
        else:
            exchange.answer(200, b"lane:" + body, fields=b"x-way: lane\r\n")
        return True

    def _note_gone(self) -> None:
        self.gone += 1
        self.arrived.set()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as the ordinary way does."""
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    answer = b"app:" + body
    headers = [(b"content-length", b"%d" % len(answer)), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@dataclass
class FakeWorker:
    """What gunicorn's protocol asks of its worker."""

    loop: asyncio.AbstractEventLoop
    cfg: Config = field(default_factory=Config)
    log: Any = field(default_factory=lambda: ServerLog(Config()))
    asgi: Any = echo
    state: dict[str, Any] = field(default_factory=dict)
    nr_conns: int = 0
    nr: int = 0
    max_requests: int = 10**9
    alive: bool = True


@dataclass
class Served:
    """A started server."""

    port: int
    handler: EchoHandler
    worker: FakeWorker
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.opened.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self.opened:
            writer.close()
        for writer in self.opened:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        while self.worker.nr_conns:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def lane_server(
    *, keepalive: float = 30, before: Callable[[LaneHandler], LaneHandler] = lambda handler: handler
) -> AsyncIterator[Served]:
    """Serve until the block ends; `before` puts another handler before the one that echoes."""
    worker = FakeWorker(asyncio.get_running_loop())
    handler = EchoHandler()

    class Protocol(LaneProtocol):
        _known: ClassVar[dict[bytes, Any]] = {}

        def __init__(self) -> None:
            super().__init__(worker)
            self._keepalive = keepalive

    Protocol.handler = before(handler)
    server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", 0)
    served = Served(server.sockets[0].getsockname()[1], handler, worker)
    try:
        yield served
    finally:
        await served.close()
        server.close()
        await server.wait_closed()


def post(body: bytes, *more: bytes, path: bytes = b"/v1/lane") -> bytes:
    """Return a request."""
    fields = [b"Host: h", b"Content-Length: %d" % len(body), *more]
    return b"POST %s HTTP/1.1\r\n%s\r\n\r\n%s" % (path, b"\r\n".join(fields), body)


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return head and body of the next answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return head, await asyncio.wait_for(reader.readexactly(int(length.split(b":")[1])), 10)
