"""The engine host: loads each artifact once for all its workers, and runs their batches together."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path

import structlog

from aiplatform.artifacts import Manifest, decode_manifest
from aiplatform.errors import PlatformError, UnavailableError
from inference.engine_host.wire import (
    Done,
    Failed,
    HostGoneError,
    Load,
    Question,
    Reply,
    Run,
    Segment,
    Unload,
    lay_arrays,
    needed_bytes,
    read_arrays,
    read_question,
    send_message,
)
from inference.engines import Engine, EngineKind, EngineOptions, open_engine
from inference.recording_api import NoMetrics
from inference.scheduler import BatchLimits, BatchQueue

log = structlog.get_logger(__name__)

EngineOpener = Callable[[EngineKind, Path, Manifest, EngineOptions], Engine]


@dataclass
class _Hosted:
    engine: Engine
    queue: BatchQueue
    users: int = 0


@dataclass
class _Visitor:
    """One connection: its segment, and what it has loaded."""

    sock: socket.socket
    segment: mmap | None = None
    keys: list[str] = field(default_factory=list)


class EngineHost:
    """Answers workers until it is stopped; a thread for each connection."""

    def __init__(self, path: Path, *, opener: EngineOpener = open_engine) -> None:
        self._path = path
        self._open_engine = opener
        self._engines: dict[str, _Hosted] = {}
        self._loading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._visitors: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Listen on the socket, which only this user may reach; what an earlier host left is replaced."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._listener.bind(str(self._path))
        finally:
            os.umask(before)
        self._listener.listen(64)

    def serve(self) -> None:
        """Take connections until `stop`."""
        if self._listener is None:
            self.open()
        while self._listener is not None:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                break  # stopped
            with self._lock:
                self._visitors.add(sock)
            threading.Thread(target=self._attend, args=(_Visitor(sock),), daemon=True).start()

    def stop(self, *_: object) -> None:
        """Close the door and all connections, and give the engines' memory back."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            visitors = list(self._visitors)
        for sock in visitors:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    @property
    def loaded(self) -> dict[str, int]:
        """Return how many users each loaded engine has."""
        with self._lock:
            return {key: hosted.users for key, hosted in self._engines.items()}

    def _attend(self, visitor: _Visitor) -> None:
        try:
            while True:
                question, fds = read_question(visitor.sock)
                send_message(visitor.sock, self._answer_safely(visitor, question, fds))
        except (HostGoneError, OSError):
            return
        except Exception:  # one confused worker must not end the others' host
            log.exception("engine_host_connection_failed")
        finally:
            with self._lock:
                self._visitors.discard(visitor.sock)
            visitor.sock.close()
            for key in visitor.keys:
                self._let_go(key)

    def _answer_safely(self, visitor: _Visitor, question: Question, fds: list[int]) -> Reply:
        try:
            return self._answer(visitor, question, fds)
        except PlatformError as error:
            return Failed(question.id, error.code, error.message)
        except Exception as error:  # a framework may raise anything
            log.exception("engine_host_failed")
            return Failed(question.id, PlatformError.code, f"{type(error).__name__}: {error}")

    def _answer(self, visitor: _Visitor, question: Question, fds: list[int]) -> Reply:
        match question:
            case Segment(id=number, size=size):
                visitor.segment = mmap(fds[0], size)
                os.close(fds[0])
                return Done(number)
            case Load(id=number, key=key):
                hosted = self._load(question)
                visitor.keys.append(key)
                return Done(number, name=hosted.engine.name)
            case Unload(id=number, key=key):
                if key in visitor.keys:
                    visitor.keys.remove(key)
                    self._let_go(key)
                return Done(number)
            case Run():
                return self._run(visitor, question)

    def _load(self, order: Load) -> _Hosted:
        with self._lock:
            loading = self._loading.setdefault(order.key, threading.Lock())
        with loading:  # a second worker waits for the first one's load, and shares it
            with self._lock:
                hosted = self._engines.get(order.key)
                if hosted is not None:
                    hosted.users += 1
                    return hosted
            hosted = self._open(order)
            with self._lock:
                hosted.users += 1
                self._engines[order.key] = hosted
            return hosted

    def _open(self, order: Load) -> _Hosted:
        manifest = decode_manifest(order.manifest)
        options = EngineOptions(threads=order.threads, max_rows=order.max_batch_rows)
        engine = self._open_engine(EngineKind(order.kind), Path(order.model), manifest, options)
        queue = BatchQueue(
            endpoint=manifest.name,
            version=manifest.version,
            engine=engine,
            signature=manifest.signature,
            limits=BatchLimits(max_batch_rows=order.max_batch_rows),
            metrics=NoMetrics(),
            concurrency=engine.concurrency if order.threads == 1 else 1,
        )
        log.info("engine_hosted", model=manifest.name, version=manifest.version)
        return _Hosted(engine, queue)

    def _let_go(self, key: str) -> None:
        with self._lock:
            hosted = self._engines.get(key)
            if hosted is None:
                return
            hosted.users -= 1
            if hosted.users > 0:
                return
            del self._engines[key]
        hosted.queue.close()
        hosted.engine.close()

    def _run(self, visitor: _Visitor, order: Run) -> Done:
        hosted = self._engines.get(order.key)
        if hosted is None or order.key not in visitor.keys:
            raise UnavailableError("the engine is not loaded in the engine host")
        inputs = read_arrays(order.inputs, visitor.segment or b"", copies=False)
        outputs = hosted.queue.run_blocking(inputs, deadline=time.monotonic() + order.timeout_s)
        del inputs
        size = needed_bytes(outputs)
        if visitor.segment is not None and size <= len(visitor.segment):
            return Done(order.id, outputs=lay_arrays(outputs, visitor.segment))
        raw = bytearray(size)
        places = lay_arrays(outputs, raw)
        return Done(order.id, outputs=places, raw=bytes(raw))
