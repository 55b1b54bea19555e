"""Counts requests by key, in memory and under one lock, so that a decision is a few additions.

With several processes the counts are shared through a `CountStore` (Redis) by a background loop;
until the next exchange each process sees only its own, so that N processes can pass a limit by what
they let through in `SHARE_INTERVAL_S` each. With none, each process takes its share of the limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol

import structlog

from gateway.limits.rates import Rate
from gateway.limits.window import Verdict, Window

log = structlog.get_logger(__name__)

Key = tuple[str, str]  # token id, route


class CountStore(Protocol):
    """Adds counts up over processes."""

    def add_counts(self, added: Mapping[str, int], *, keep_s: Mapping[str, int]) -> Sequence[int]:
        """Add to named counters in one step; return their sums, in the order of `added`."""
        ...


class Limiter:
    """Decides, key by key. Safe under threads and event loops: nothing is awaited under its lock."""

    def __init__(
        self, *, processes: int = 1, store: CountStore | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._processes = max(1, processes)
        self._store = store
        self._is_shared = store is not None
        self._clock = clock
        self._windows: dict[Hashable, Window] = {}
        self._lock = threading.Lock()

    @property
    def is_shared(self) -> bool:
        """Say whether the last exchange with the other processes worked."""
        return self._is_shared

    def admit(self, key: Key, rate: Rate) -> Verdict:
        """Count one request if it fits, and say so."""
        now_s = self._clock()
        limit = self._own_limit(rate)
        with self._lock:
            window = self._windows.get(key)
            if window is None or window.rate != rate:
                window = self._windows[key] = Window(rate)
            passed = window.move_to(now_s)
            used = window.used(passed)
            is_allowed = used + 1 <= limit
            if is_allowed:
                window.own += 1
                used += 1
            wait_s = 0.0 if is_allowed else window.retry_after_s(passed, limit)
        return Verdict(
            is_allowed=is_allowed,
            rate=rate,
            limit=limit,
            remaining=max(0, int(limit - used)),
            reset_s=(1 - passed) * rate.window_s,
            retry_after_s=wait_s,
        )

    def share_counts(self) -> None:
        """Exchange counts with the other processes; without them, each takes its share."""
        if self._store is None:
            return
        pending = self._pending()
        added = {name: count for name, (_, count) in pending.items()}
        keep_s = {name: 2 * window.rate.window_s for name, (window, _) in pending.items()}
        try:
            sums = self._store.add_counts(added, keep_s=keep_s) if added else ()
        except OSError as error:
            if self._is_shared:
                log.warning("rate_limits_not_shared", error=str(error), processes=self._processes)
            self._is_shared = False
            return
        self._is_shared = True
        self._take(pending, sums)

    def forget_idle(self) -> None:
        """Drop keys that made no request in two windows."""
        now_s = self._clock()
        with self._lock:
            idle = [k for k, w in self._windows.items() if now_s > (w.index + 2) * w.rate.window_s]
            for key in idle:
                del self._windows[key]

    def _own_limit(self, rate: Rate) -> int:
        return rate.limit if self._is_shared else max(1, rate.limit // self._processes)

    def _pending(self) -> dict[str, tuple[Window, int]]:
        now_s = self._clock()
        with self._lock:
            for window in self._windows.values():
                window.move_to(now_s)
            return {
                f"{key[0]}:{key[1]}:{w.rate.window_s}:{w.index}": (w, w.own - w.sent)  # type: ignore[index]
                for key, w in self._windows.items()
                if w.own or w.others or w.spent
            }

    def _take(self, pending: Mapping[str, tuple[Window, int]], sums: Sequence[int]) -> None:
        with self._lock:
            for (name, (window, count)), total in zip(pending.items(), sums, strict=True):
                if name.rsplit(":", 1)[1] == str(window.index):  # else the window moved on meanwhile
                    window.sent += count
                    window.others = max(0, total - window.sent)
