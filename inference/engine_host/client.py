"""A worker's side: an engine that runs in the engine host."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path

import msgspec
import structlog

from aiplatform.artifacts import Manifest, encode_manifest
from aiplatform.errors import DeadlineExceededError, PlatformError, UnavailableError, error_from_payload
from inference.engine_host.wire import (
    Done,
    Failed,
    HostGoneError,
    Load,
    Question,
    Run,
    Segment,
    Unload,
    lay_arrays,
    needed_bytes,
    read_arrays,
    read_reply,
    send_message,
)
from inference.engines.base import Arrays, EngineKind, EngineOptions

log = structlog.get_logger(__name__)

FIRST_SEGMENT_BYTES = 1024 * 1024
CALLS_AT_ONCE = 4  # of one engine by one worker: while the device computes one batch, the next come in
LOAD_TIMEOUT_S = 600.0


class HostConnection:
    """One question at a time; its answer must carry its id, or the connection is given up."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ids = itertools.count(1)
        self._segment: mmap | None = None
        self.loaded: set[str] = set()
        try:
            self._sock.connect(str(path))
        except OSError:
            self._sock.close()
            raise

    def ask(self, question: Question, *, timeout_s: float, fds: tuple[int, ...] = ()) -> Done:
        """Return the answer; raises what the host raised, HostGoneError, TimeoutError."""
        self._sock.settimeout(timeout_s)
        send_message(self._sock, question, fds=fds)
        reply = read_reply(self._sock)
        if reply.id != question.id:
            raise HostGoneError(f"answer {reply.id} came to question {question.id}")
        if isinstance(reply, Failed):
            raise error_from_payload(500, {"code": reply.code, "error": reply.message})
        return reply

    def load(self, order: Load) -> Done:
        """Have an engine loaded for this connection."""
        done = self.ask(order, timeout_s=LOAD_TIMEOUT_S)
        self.loaded.add(order.key)
        return done

    def run(self, key: str, inputs: Arrays, *, timeout_s: float) -> Arrays:
        """Run a batch."""
        segment = self._segment_for(needed_bytes(inputs), timeout_s)
        places = lay_arrays(inputs, segment)
        done = self.ask(Run(next(self._ids), key, places, timeout_s), timeout_s=timeout_s)
        return read_arrays(done.outputs, done.raw or segment, copies=True)

    def unload(self, key: str) -> None:
        """Let an engine go."""
        self.loaded.discard(key)
        self.ask(Unload(next(self._ids), key), timeout_s=LOAD_TIMEOUT_S)

    @property
    def is_alive(self) -> bool:
        """Say whether the host still holds its end."""
        self._sock.settimeout(0)
        try:
            return self._sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def next_id(self) -> int:
        """Return an id for a question."""
        return next(self._ids)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def _segment_for(self, size: int, timeout_s: float) -> mmap:
        if self._segment is None or size > len(self._segment):
            wanted = max(FIRST_SEGMENT_BYTES, 1 << (size - 1).bit_length())
            descriptor = os.memfd_create("aiplatform-engine")
            try:
                os.ftruncate(descriptor, wanted)
                segment = mmap(descriptor, wanted)
                self.ask(Segment(next(self._ids), wanted), timeout_s=timeout_s, fds=(descriptor,))
            finally:
                os.close(descriptor)
            self._segment = segment
        return self._segment


class HostedEngine:
    """Loaded in the host; this side only carries arrays. Reconnects, and loads again, after the host has died.

    One connection does nothing but hold the engine: those that run batches may be given up at any time.
    """

    concurrency = CALLS_AT_ONCE
    releases_gil = True

    def __init__(self, path: Path, *, order: Load, timeout_s: float) -> None:
        self._path = path
        self._order = order
        self._timeout_s = timeout_s
        self._idle: queue.LifoQueue[HostConnection] = queue.LifoQueue()
        self._is_closed = False
        self._holding = threading.Lock()
        self._holder: HostConnection | None = None
        self.name = self._hold()

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order.

        Raises: UnavailableError while the host is away; DeadlineExceededError; what the engine raises.
        """
        with self._connection() as connection:
            if self._order.key not in connection.loaded:
                connection.load(self._new_order(connection))
                self._hold()
            return connection.run(self._order.key, inputs, timeout_s=self._timeout_s)

    def close(self) -> None:
        """Hang up; the host lets the engine go when its last user has."""
        self._is_closed = True
        if self._holder is not None:
            self._holder.close()
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _hold(self) -> str:
        with self._holding:
            if self._holder is not None and self._holder.is_alive:
                return self.name
            if self._holder is not None:
                self._holder.close()
            holder = self._connect()
            try:
                name = holder.load(self._new_order(holder)).name
            except BaseException:
                holder.close()
                raise
            self._holder = holder
            return name

    @contextmanager
    def _connection(self) -> Iterator[HostConnection]:
        connection = self._take()
        try:
            yield connection
        except TimeoutError as error:
            connection.close()  # its answer may still come, and must meet nobody
            raise DeadlineExceededError(
                f"the engine host did not answer within {self._timeout_s:g} s",
                limit="engine call",
                value=self._timeout_s,
            ) from error
        except OSError as error:
            connection.close()
            raise UnavailableError(f"the engine host is away: {error}") from error
        except PlatformError:
            self._give_back(connection)
            raise
        except BaseException:
            connection.close()
            raise
        else:
            self._give_back(connection)

    def _take(self) -> HostConnection:
        with contextlib.suppress(queue.Empty):
            return self._idle.get_nowait()
        return self._connect()

    def _connect(self) -> HostConnection:
        try:
            return HostConnection(self._path)
        except OSError as error:
            raise UnavailableError(f"the engine host cannot be reached at {self._path}: {error}") from error

    def _give_back(self, connection: HostConnection) -> None:
        if self._is_closed:
            connection.close()
        else:
            self._idle.put(connection)

    def _new_order(self, connection: HostConnection) -> Load:
        order = self._order
        return msgspec.structs.replace(order, id=connection.next_id())


def open_hosted(
    path: Path, kind: EngineKind, model: Path, manifest: Manifest, options: EngineOptions, *, timeout_s: float
) -> HostedEngine:
    """Return an engine for the files in a folder, as `open_engine` does, that runs in the host behind a socket.

    Raises: as opening it here would; UnavailableError if there is no host.
    """
    key = f"{kind}|{model}|{options}"
    order = Load(0, key, kind, str(model), encode_manifest(manifest), options.threads, options.max_rows)
    return HostedEngine(path, order=order, timeout_s=timeout_s)
