"""How work that nobody waits for keeps out of the way of live requests: it rests in proportion to what it took."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NICE = 19
LONGEST_REST_S = 5.0
YIELD_S = 0.002  # between two looks whether live rows still wait


class Pace:
    """Keeps one thread to a share of a core's time; `stop` ends every rest."""

    def __init__(self, *, share: float) -> None:
        self._rest_factor = 1 / min(1.0, max(0.001, share)) - 1
        self._stopping = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Say whether the thread shall end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Let the thread end soon."""
        self._stopping.set()

    def wait(self, seconds: float) -> None:
        """Rest so long, or until `stop`."""
        self._stopping.wait(seconds)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Time a step of work, then rest."""
        started_s = time.monotonic()
        try:
            yield
        finally:
            took_s = time.monotonic() - started_s
            self.wait(min(LONGEST_REST_S, took_s * self._rest_factor))

    def wait_while(self, is_busy: Callable[[], bool], *, longest_s: float) -> bool:
        """Wait until nothing live waits; False if that took too long."""
        until = time.monotonic() + longest_s
        while is_busy():
            if self.is_stopping or time.monotonic() > until:
                return False
            self.wait(YIELD_S)
        return True


def lower_priority() -> None:
    """Make the calling thread the last that the system runs."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # Linux: of this thread alone
