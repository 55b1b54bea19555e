"""The recorder: takes events on the hot path, and sees that monitoring gets them.

Two threads, so that a slow monitoring never delays the flush to disk: one turns events into
batches and spools them, one ships the spool.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from aiplatform.contracts.monitoring import IngestReceipt, PredictionBatch, RecordPredictions
from inference.recording.columns import build_batches, event_bytes, event_rows
from inference.recording.shipping import Shipper
from inference.recording.spool import Spool
from inference.recording_api import PredictionEvent

log = structlog.get_logger(__name__)

Ship = Callable[[RecordPredictions], IngestReceipt]


@dataclass(frozen=True, kw_only=True)
class RecorderLimits:
    """How much waits in memory, and how long."""

    queue_bytes: int = 64 * 1024 * 1024
    queue_events: int = 100_000
    flush_interval_s: float = 1.0
    batch_rows: int = 2000


class PredictionRecorder:
    """Keeps every prediction that fits its limits until monitoring has it.

    `on_drop` is told rows and reason of what is lost; `on_spool_bytes` how full the spool is.
    """

    def __init__(
        self,
        *,
        replica: str,
        spool: Spool,
        ship: Ship,
        on_drop: Callable[[int, str], None],
        on_spool_bytes: Callable[[int], None],
        limits: RecorderLimits | None = None,
    ) -> None:
        self._replica = replica
        self._spool = spool
        self._ship = ship
        self._on_drop = on_drop
        self._limits = limits or RecorderLimits()
        self._events: deque[tuple[PredictionEvent, int]] = deque()
        self._waiting_bytes = 0
        self._waiting_rows = 0
        self._lock = threading.Lock()
        self._full = threading.Event()
        self._is_stopping = threading.Event()
        self._has_spool = False
        self._flusher = threading.Thread(target=self._run, name="recorder-flush", daemon=True)
        self._shipper = Shipper(spool=spool, ship=ship, on_spool_bytes=on_spool_bytes)

    def start(self) -> None:
        """Take over what dead processes left, then flush and ship until `stop`."""
        try:
            self._spool.open()
            self._has_spool = True
            self._shipper.start()
        except OSError as error:
            log.error("spool_unusable", error=str(error), consequence="predictions are shipped from memory only")
        self._flusher.start()

    def stop(self, timeout_s: float) -> None:
        """Flush what waits, ship what can be shipped in time, leave the rest in the spool."""
        deadline = time.monotonic() + timeout_s
        self._is_stopping.set()
        self._full.set()
        if self._flusher.ident is not None:
            self._flusher.join(timeout_s)
        if self._has_spool:
            self._shipper.stop(max(0.1, deadline - time.monotonic()))
            self._spool.close()

    def record(self, event: PredictionEvent) -> None:
        """Keep an event for the next flush, or count it as dropped; never blocks, never raises."""
        size, rows = event_bytes(event), event_rows(event)
        with self._lock:
            is_full = (
                self._waiting_bytes + size > self._limits.queue_bytes or len(self._events) >= self._limits.queue_events
            )
            if not is_full:
                self._events.append((event, size))
                self._waiting_bytes += size
                self._waiting_rows += rows
        if is_full:
            self._on_drop(rows, "queue_full")
        elif self._waiting_rows >= self._limits.batch_rows or self._waiting_bytes > self._limits.queue_bytes // 2:
            self._full.set()

    def flush(self) -> int:
        """Move what waits to the spool, or to monitoring if the disk refuses; return the rows."""
        with self._lock:
            events, self._events = self._events, deque()
            self._waiting_bytes = self._waiting_rows = 0
        if not events:
            return 0
        batches = build_batches([event for event, _ in events], replica=self._replica, max_rows=self._limits.batch_rows)
        self._keep(batches)
        return sum(len(batch.prediction_ids) for batch in batches)

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            self._full.wait(self._limits.flush_interval_s)
            self._full.clear()
            self._flush_safely()
        self._flush_safely()

    def _flush_safely(self) -> None:
        try:
            self.flush()
        except Exception:  # one bad flush must not end recording
            log.exception("predictions_not_flushed")

    def _keep(self, batches: list[PredictionBatch]) -> None:
        for order in _orders(batches, self._limits.batch_rows):
            try:
                if not self._has_spool:
                    raise OSError("there is no spool")
                self._spool.append(order)
                self._shipper.wake()
            except OSError as error:
                self._ship_from_memory(order, error)

    def _ship_from_memory(self, order: RecordPredictions, reason: OSError) -> None:
        rows = sum(len(batch.prediction_ids) for batch in order.batches)
        try:
            self._ship(order)
        except Exception as error:  # noqa: BLE001 - neither disk nor monitoring takes it: count, and go on
            log.error("predictions_lost", rows=rows, disk=str(reason), monitoring=str(error))
            self._on_drop(rows, "unwritable")


def _orders(batches: list[PredictionBatch], max_rows: int) -> list[RecordPredictions]:
    orders: list[list[PredictionBatch]] = [[]]
    rows = 0
    for batch in batches:
        if orders[-1] and rows + len(batch.prediction_ids) > max_rows:
            orders.append([])
            rows = 0
        orders[-1].append(batch)
        rows += len(batch.prediction_ids)
    return [RecordPredictions(batches=tuple(some)) for some in orders if some]
