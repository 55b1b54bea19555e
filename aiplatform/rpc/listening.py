"""Listening sockets of the gRPC port: one a worker, held by the process that starts the workers.

The system shares new connections out between the sockets of a port (SO_REUSEPORT). One that its worker opened would go
with it, and between the old worker's end and the new one's start a client would find nobody. Held by the
arbiter, what connects meanwhile waits, as it does for HTTP. Without an arbiter a server opens its own.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable

BACKLOG = 4096


def listen_on(bind: str) -> socket.socket:
    """Return a socket that listens on host:port, sharing the port with others of this user.

    Raises: OSError, ValueError, OverflowError if the address cannot be listened on.
    """
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol's number: asyncio sends small packets at once only on sockets that have it.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((host, int(port)))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except (OSError, ValueError, OverflowError):
        listening.close()
        raise
    return listening


class HeldListeners:
    """The sockets of all workers, in the arbiter; after the fork, the one that is this worker's."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._own: socket.socket | None = None

    def open(self, bind: str, count: int) -> None:
        """Begin to listen, once for each worker. Raises: OSError, ValueError."""
        self._sockets = [listen_on(bind) for _ in range(max(1, count))]

    def choose(self, taken: Iterable[int | None]) -> int | None:
        """Return which socket a new worker shall have: the one that fewest of the living have. None: there are none."""
        if not self._sockets:
            return None
        users = Counter(taken)
        return min(range(len(self._sockets)), key=lambda place: users[place])

    def keep_own(self, place: int | None) -> None:
        """Be a worker: keep the socket at a place, and close this process's copies of the others."""
        sockets, self._sockets = self._sockets, []
        for index, listening in enumerate(sockets):
            if index == place:
                self._own = listening
            else:
                listening.close()

    def take_own(self) -> socket.socket | None:
        """Return this worker's socket, once; None if nobody holds one for it."""
        own, self._own = self._own, None
        return own


held = HeldListeners()
