"""Is this process behind? Asked before a body is read: what cannot be answered in time is refused while that is cheap.

A queue refuses by its own bounds. This sees what comes before the queues: a loop that has more to read than it can, so
that requests wait in sockets where no bound counts them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiplatform.errors import QueueFullError

BEAT_S = 0.05


class OverloadGuard:
    """Watches how late an event loop runs, and how many requests are under way. Everything happens on that loop.

    `max_lag_s` is how late the loop may be, `max_under_way` how many requests may be begun and not ended; 0 bounds
    nothing.
    """

    def __init__(
        self, *, max_lag_s: float, max_under_way: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_lag_s = max_lag_s
        self._max_under_way = max_under_way
        self._clock = clock
        self._due_s = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self.under_way = 0

    def start(self) -> None:
        """Begin to watch the loop that runs."""
        self._beat(asyncio.get_running_loop())

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._due_s = None, float("inf")

    @property
    def lag_s(self) -> float:
        """Return how late the loop is now: a beat that should have come and has not is counted already."""
        return max(0.0, self._clock() - self._due_s)

    def is_overloaded(self) -> bool:
        """Say whether a further request should be refused; a clock reading and two comparisons."""
        if self._max_under_way and self.under_way >= self._max_under_way:
            return True
        return bool(self._max_lag_s) and self._clock() - self._due_s > self._max_lag_s

    def refusal(self) -> QueueFullError:
        """Return the error that says why, for a request that is refused now."""
        if self._max_under_way and self.under_way >= self._max_under_way:
            return QueueFullError(
                f"this process is overloaded: {self.under_way} requests are under way, the limit is "
                f"{self._max_under_way}",
                limit="requests under way",
                value=self._max_under_way,
                setting="MAX_REQUESTS_UNDER_WAY",
                retry_after_s=1.0,
            )
        return QueueFullError(
            f"this process is overloaded: it is {self.lag_s * 1000:.0f} ms behind, the limit is "
            f"{self._max_lag_s * 1000:.0f} ms",
            limit="event loop lag",
            value=round(self._max_lag_s * 1000),
            setting="MAX_LOOP_LAG_MS",
            retry_after_s=1.0,
        )

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = self._clock() + BEAT_S
        self._timer = loop.call_later(BEAT_S, self._beat, loop)
