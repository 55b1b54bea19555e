"""Hands the tally of shadows to monitoring every few seconds: at least once, counted once.

What was sent and not confirmed keeps its id and is sent again; meanwhile the tally goes on adding up
in constant memory, so nothing piles up while monitoring is away. A killed process loses what
it has counted since the last time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from aiplatform.contracts.monitoring import IngestReceipt, RecordComparisons
from aiplatform.errors import PlatformError
from inference.shadow.tally import Tally

log = structlog.get_logger(__name__)

INTERVAL_S = 2.0
MOST_UNSENT = 64

Ship = Callable[[RecordComparisons], IngestReceipt]


class ComparisonShipper:
    """One thread that ships; `start` and `stop` once each."""

    def __init__(self, *, replica: str, tally: Tally, ship: Ship, interval_s: float = INTERVAL_S) -> None:
        self._replica = replica
        self._tally = tally
        self._ship = ship
        self._interval_s = interval_s
        self._unsent: RecordComparisons | None = None
        self._is_away = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow-ship", daemon=True)

    def start(self) -> None:
        """Ship until `stop`."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ship the rest."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def ship(self) -> bool:
        """Send what is there; False if monitoring did not take it."""
        if self._unsent is None:
            counted = tuple(self._tally.take(replica=self._replica))[:MOST_UNSENT]
            self._unsent = RecordComparisons(comparisons=counted) if counted else None
        if self._unsent is None:
            return True
        try:
            self._ship(self._unsent)
        except PlatformError as error:
            if not self._is_away:
                log.warning("comparisons_not_shipped", error=error.message)
            self._is_away = True
            return False
        self._unsent, self._is_away = None, False
        return True

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._ship_safely()
        self._ship_safely()
        self._ship_safely()  # what was counted while the last batch waited

    def _ship_safely(self) -> None:
        try:
            self.ship()
        except Exception:  # a thread that ends would never ship again
            log.exception("comparisons_not_shipped")
