"""What the gateway's tests share: an ASGI caller, a clock, known tokens, real HTTP servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiplatform.http.lane import Exchange, LaneHandler
from aiplatform.http.lane.head import parse_head
from aiplatform.identity import Identity, Scope
from gateway.identities import KnownToken
from gateway.limits.rates import Allowance, parse_rate
from gateway.secrets import hash_secret

SECRET = "aip_secret"
INTERNAL_SECRET = "an-internal-secret-of-32-characters"


@dataclass
class FakeClock:
    """A clock that stands until it is moved."""

    now_s: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


def known_token(
    secret: str = SECRET,
    *,
    scopes: frozenset[Scope] = frozenset({Scope.PREDICT}),
    predict: str = "1000/min",
    api: str = "1000/min",
    expires_at_s: float = math.inf,
    token_id: str = "7",
) -> KnownToken:
    """Return a token as the snapshot knows it."""
    return KnownToken(
        digest=hash_secret(secret),
        identity=Identity(username="ada", scopes=scopes, token_id=token_id),
        expires_at_s=expires_at_s,
        predict=Allowance(rate=parse_rate(predict), setting="RATE_LIMIT_PREDICT"),
        api=Allowance(rate=parse_rate(api), setting="RATE_LIMIT_API"),
    )


@dataclass
class Reply:
    """An ASGI answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


async def call_asgi(
    application: Any, path: str, *, method: str = "POST", headers: Mapping[str, str] | None = None,
    chunks: tuple[bytes, ...] = (b"{}",), query: bytes = b"",
) -> Reply:  # fmt: skip
    """Send one request to an ASGI application. A body of one chunk declares its length."""
    given = {k.lower().encode(): v.encode() for k, v in (headers or {}).items()}
    if len(chunks) == 1:
        given.setdefault(b"content-length", str(len(chunks[0])).encode())
    else:
        given[b"transfer-encoding"] = b"chunked"
    events = [
        {"type": "http.request", "body": chunk, "more_body": i < len(chunks) - 1} for i, chunk in enumerate(chunks)
    ]
    reply = Reply()

    async def receive() -> dict[str, Any]:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        else:
            reply.body += message.get("body", b"")

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query,
        "headers": list(given.items()),
    }  # fmt: skip
    await application(scope, receive, send)
    return reply


async def call_lane(lane: LaneHandler, application: Any, path: str, **options: Any) -> Reply:
    """Send one request on the lane if it is of the usual form and taken there, else to the application."""
    body = options.get("chunks", (b"{}",))
    if options.get("query") or len(body) > 1:
        return await call_asgi(application, path, **options)
    fields = {"Host": "h", **(options.get("headers") or {}), "Content-Length": str(len(body[0]))}
    lines = [
        f"{options.get('method', 'POST')} {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in fields.items()),
    ]
    head = parse_head("\r\n".join(lines).encode())
    plan = lane.plan(head) if head is not None else None
    line = ReplyLine()
    if plan is None or not lane.start(plan, body[0], Exchange(line)):
        return await call_asgi(application, path, **options)
    return await line.answered


class ReplyLine:
    """A connection of the lane that turns what is written into a reply."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def finish_exchange(self, head: bytes, body: bytes) -> None:
        status_line, *lines = head.decode().strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self.answered.set_result(Reply(status=int(status_line.split()[1]), headers=headers, body=body))


def ask(application: Any, path: str, **options: Any) -> Reply:
    """Send one request from a test without an event loop."""
    return asyncio.run(call_asgi(application, path, **options))


def bearer(secret: str = SECRET) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@dataclass
class Seen:
    """A request as a server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Respond = Callable[[Seen], tuple[int, dict[str, str], bytes]]


@dataclass
class LocalServer:
    """A real HTTP server on a random port."""

    url: str
    seen: list[Seen]
    stop: Callable[[], None]


@contextmanager
def local_server(respond: Respond | None = None) -> Iterator[LocalServer]:
    """Run a server that answers by `respond`, else 200 and {}; `stop` makes it refuse connections."""
    seen: list[Seen] = []
    connections: list[Any] = []
    answer = respond or (lambda request: (200, {"Content-Type": "application/json"}, b"{}"))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Seen(self.command, self.path, dict(self.headers.items()), body)
            seen.append(request)
            status, headers, content = answer(request)
            if status == 0:  # hang up without an answer
                self.close_connection = True
                return
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True  # the caller lost its patience

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815  the library's names

        def log_message(self, *args: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def process_request(self, request: Any, client_address: Any) -> None:
            connections.append(request)
            super().process_request(request, client_address)

        def handle_error(self, *args: Any) -> None:
            return

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    stopped = threading.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            server.shutdown()
            server.server_close()
            for connection in connections:  # a process that dies takes its open connections along
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    try:
        yield LocalServer(f"http://127.0.0.1:{server.server_port}", seen, stop)
    finally:
        stop()
