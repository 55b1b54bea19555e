"""The turns of engines on one device: as many calls at once as it has slots, first come first served.

An endpoint with much traffic asks for one turn at a time, as does one with little: so their
batches alternate.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class DeviceSlots:
    """A fair semaphore: who waits longest is next."""

    def __init__(self, count: int) -> None:
        self._free = max(1, count)
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a slot, and hold it meanwhile."""
        self._acquire()
        try:
            yield
        finally:
            self._release()

    def _acquire(self) -> None:
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                return
            called = threading.Event()
            self._waiting.append(called)
        called.wait()

    def _release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()  # the slot changes hands
            else:
                self._free += 1
