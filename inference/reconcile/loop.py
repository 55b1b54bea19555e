"""The thread that steps the reconciler, at intervals and as soon as something has changed."""

from __future__ import annotations

import threading
from typing import Protocol

import structlog

from inference.nudge import add_listener, remove_listener

log = structlog.get_logger(__name__)


class Stepped(Protocol):
    """What a loop can drive."""

    def step(self) -> object:
        """Bring what is nearer to what is wanted."""


class ReconcileLoop:
    """Runs `step` until stopped; `wake` brings the next one forward."""

    def __init__(self, *, interval_s: float, name: str = "reconcile") -> None:
        self._interval_s = interval_s
        self._name = name
        self._work = threading.Event()
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, reconciler: Stepped) -> None:
        """Begin to step; orders given in this process wake the loop."""
        add_listener(self.wake)
        self._thread = threading.Thread(target=self._run, args=(reconciler,), name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Step soon."""
        self._work.set()

    def stop(self, timeout_s: float) -> None:
        """Step no more."""
        remove_listener(self.wake)
        self._is_stopping.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, reconciler: Stepped) -> None:
        while not self._is_stopping.is_set():
            self._work.clear()
            try:
                reconciler.step()
            except Exception:  # the loop must outlive any single failure
                log.exception("reconcile_step_failed")
            self._work.wait(self._interval_s)
