"""Starts compilations from a server: child processes of their own, one at a time, never waited for.

A child leads a session of its own. It is ended with a serving process; one that a trainer started
outlives its trainer, and is bounded by COMPILE_TIMEOUT_S.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from aiplatform.contracts.engines import CompileVersion

log = structlog.get_logger(__name__)

_NOT_INHERITED = ("PROMETHEUS_MULTIPROC_DIR",)
_END_S = 5.0


class CompilerQueue:
    """Any thread may call. `command` makes a child's arguments."""

    def __init__(self, *, command: Callable[[CompileVersion], Sequence[str]], root: Path, logs: Path) -> None:
        self._command = command
        self._root = root
        self._logs = logs
        self._lock = threading.Lock()
        self._waiting: deque[CompileVersion] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._running = ""  # a digest
        self._failures: dict[str, str] = {}
        self._is_stopped = False

    def start(self, order: CompileVersion) -> None:
        """Compile soon, unless it is under way already."""
        digest = order.artifact_digest
        with self._lock:
            if self._is_stopped or digest == self._running or any(o.artifact_digest == digest for o in self._waiting):
                return
            self._failures.pop(digest, None)
            self._waiting.append(order)
            if self._process is None:
                self._start_next()

    def is_busy_with(self, digest: str) -> bool:
        """Say whether an artifact is being compiled from here, or waits for it."""
        with self._lock:
            return digest == self._running or any(order.artifact_digest == digest for order in self._waiting)

    def failure(self, digest: str) -> str:
        """Return why the last compilation of an artifact from here failed; empty if it did not."""
        return self._failures.get(digest, "")

    def stop(self) -> None:
        """Start no more, and end what runs."""
        with self._lock:
            self._is_stopped = True
            self._waiting.clear()
            process = self._process
        if process is None:
            return
        _signal_session(process, signal.SIGTERM)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            _signal_session(process, signal.SIGKILL)

    def _start_next(self) -> None:
        if not self._waiting or self._is_stopped:
            return
        order = self._waiting.popleft()
        self._logs.mkdir(parents=True, exist_ok=True)
        file = self._logs / f"{order.artifact_digest.replace(':', '-')}.log"
        try:
            with file.open("wb") as out:
                self._process = subprocess.Popen(
                    list(self._command(order)),
                    cwd=self._root,
                    env={key: value for key, value in {**os.environ}.items() if key not in _NOT_INHERITED},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            self._failures[order.artifact_digest] = f"the compiling process could not be started: {error}"
            return
        self._running = order.artifact_digest
        log.info("compilation_started", model=order.model, version=order.version, pid=self._process.pid)
        arguments = (self._process, order, file)
        threading.Thread(target=self._reap, args=arguments, name="compile", daemon=True).start()

    def _reap(self, process: subprocess.Popen[bytes], order: CompileVersion, file: Path) -> None:
        code = process.wait()
        with self._lock:
            self._process, self._running = None, ""
            if code:
                self._failures[order.artifact_digest] = _last_line(file) or f"it ended with exit code {code}"
            self._start_next()
            is_stopped = self._is_stopped
        if code and not is_stopped:
            why = self.failure(order.artifact_digest)
            log.warning("compilation_failed", model=order.model, version=order.version, error=why)


def _signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _last_line(file: Path) -> str:
    with contextlib.suppress(OSError):
        lines = file.read_text(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else ""
    return ""
