"""The gRPC server of one serving process, in the process's own event loop.

Every worker process has a socket of the same port (`listening.py`), and the system shares new connections between them.
Why it is our own, and what it costs: docs/decisions/grpc-server.md.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl

import structlog

from aiplatform.rpc.calls import CallApplication
from aiplatform.rpc.connection import Connection, Service
from aiplatform.rpc.listening import BACKLOG, listen_on

log = structlog.get_logger(__name__)

CARE_S = 2.0  # how often connections are looked after
AGE_S = 600.0  # then a client connects anew, and so finds replicas that came later
AGE_SPREAD = 0.1  # so that connections of one moment do not all end in one


class CallServer:
    """Listens on one address, and gives every unary call to an application."""

    def __init__(
        self,
        application: CallApplication,
        *,
        bind: str,
        max_message_bytes: int,
        tls: ssl.SSLContext | None = None,
        listening: socket.socket | None = None,
        age_s: float = AGE_S,
    ) -> None:
        """`listening` is a socket that listens already; without it one is made for `bind`."""
        self._bind = bind
        self._listening = listening
        self._tls = tls
        self._age_s = age_s
        self._service = Service(application=application, max_message_bytes=max_message_bytes)
        self._connections: dict[Connection, float] = {}  # with the time at which each is asked to end
        self._server: asyncio.Server | None = None
        self._caring: asyncio.TimerHandle | None = None
        self.port = 0

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    async def start(self) -> None:
        """Begin to listen; `port` says where, should the address leave it open.

        Raises: OSError if the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        listening = self._listening or listen_on(self._bind)
        self._server = await loop.create_server(self._connect, sock=listening, ssl=self._tls, backlog=BACKLOG)
        self.port = listening.getsockname()[1]
        self._caring = loop.call_later(CARE_S, self._care)
        log.info("grpc_started", bind=self._bind, port=self.port, tls=self._tls is not None)

    async def stop(self, grace_s: float) -> None:
        """Take no new connections; wait until clients have their answers and are gone; at most `grace_s` seconds."""
        if self._caring is not None:
            self._caring.cancel()
        if self._server is not None:
            self._server.close()
        ends_at_s = asyncio.get_running_loop().time() + grace_s
        for connection in list(self._connections):
            connection.drain()
        while self._connections and asyncio.get_running_loop().time() < ends_at_s:
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    def _connect(self) -> Connection:
        connection = Connection(self._service, self._forget)
        spread = 1 + random.uniform(-AGE_SPREAD, AGE_SPREAD)  # noqa: S311 - no secret
        self._connections[connection] = connection.began_s + self._age_s * spread
        return connection

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)

    def _care(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for connection, ends_at_s in list(self._connections.items()):
            if now_s > ends_at_s:
                connection.drain()
            connection.look_after(now_s)
        self._caring = loop.call_later(CARE_S, self._care)
