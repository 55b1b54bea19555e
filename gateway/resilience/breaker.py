"""A circuit breaker for one address: after some failures in a row it is left alone for a while.

closed --failures--> open --time--> half-open --trial succeeds--> closed
                      ^                 |
                      +--trial fails----+
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether requests may go to the address."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Counts failures in a row. Safe under threads; nothing blocks."""

    def __init__(self, *, failures: int, open_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at_s: float | None = None
        self._trial_until_s = 0.0  # a trial whose end is never told must not close the way for ever

    @property
    def state(self) -> BreakerState:
        """Return the present state."""
        if self._opened_at_s is None:
            return BreakerState.CLOSED
        is_over = self._clock() - self._opened_at_s >= self._open_s
        return BreakerState.HALF_OPEN if is_over else BreakerState.OPEN

    @property
    def retry_after_s(self) -> float:
        """Return when the next trial may be made, in seconds."""
        if self._opened_at_s is None:
            return 0.0
        return max(0.0, self._opened_at_s + self._open_s - self._clock())

    def may_try(self) -> bool:
        """Say whether a request would be let through, without asking for it."""
        state = self.state
        return state is BreakerState.CLOSED or (
            state is BreakerState.HALF_OPEN and self._clock() >= self._trial_until_s
        )

    def acquire(self) -> bool:
        """Say whether this request may go; half-open, only one at a time may."""
        if self._opened_at_s is None:
            return True
        with self._lock:
            if not self.may_try():
                return False
            if self._opened_at_s is not None:
                self._trial_until_s = self._clock() + self._open_s
            return True

    def record_success(self) -> None:
        """The address answered, whatever it said."""
        if self._failures or self._opened_at_s is not None:
            with self._lock:
                self._failures, self._opened_at_s, self._trial_until_s = 0, None, 0.0

    def record_failure(self) -> None:
        """The address could not be reached or did not answer."""
        with self._lock:
            self._failures += 1
            if self._opened_at_s is not None or self._failures >= self._limit:
                self._opened_at_s, self._trial_until_s = self._clock(), 0.0
