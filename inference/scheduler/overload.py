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
    """Watches how late an event loop runs; everything happens on that loop. `max_lag_s` 0 refuses nothing."""

    def __init__(self, *, max_lag_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_lag_s = max_lag_s
        self._clock = clock
        self._due_s = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch the loop that runs."""
        if self._max_lag_s:
            self._beat(asyncio.get_running_loop())

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._due_s = None, float("inf")

    def refuse_if_behind(self, now_s: float) -> None:
        """Raise QueueFullError if the loop is too late; `now_s` is on the guard's clock.

        A beat that should have come and has not is counted already.
        """
        lag_s = now_s - self._due_s
        if lag_s > self._max_lag_s:
            raise QueueFullError(
                f"this process is overloaded: its event loop is {lag_s * 1000:.0f} ms late, the limit is "
                f"{self._max_lag_s * 1000:.0f} ms (MAX_LOOP_LAG_MS)",
                limit="event loop lag, ms",
                value=round(self._max_lag_s * 1000),
                setting="MAX_LOOP_LAG_MS",
                retry_after_s=1.0,
            )

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = self._clock() + BEAT_S
        self._timer = loop.call_later(BEAT_S, self._beat, loop)
