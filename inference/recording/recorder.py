"""The recorder of one serving process: takes events on the hot path, and writes them to the spool.

`record` appends to a deque. Under much traffic what waits is also turned into columns where it is recorded, 64
requests at a time, which costs less there than in a thread: the arrays are still in the processor's cache, and the
interpreter's lock need not change hands at each step. On an event loop that is done once the answers of the moment
are on their way. Under little traffic one thread does it, a few times a second: each time that it computes beside
an event loop, answers wait for the interpreter's lock. Only the thread writes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from aiplatform.contracts.monitoring import IngestReceipt, PredictionBatch, RecordPredictions
from inference.recording.columns import CHUNK_ROWS, Part, assemble_batches, digest_events
from inference.recording.keeping import RowKeeper
from inference.recording.spool import Spool
from inference.recording.watching import WatchedRows
from inference.recording_api import PredictionEvent

log = structlog.get_logger(__name__)

Ship = Callable[[RecordPredictions], IngestReceipt]
LOOK_S = 0.25  # between two looks at the queue, in which fewer wait than are a step
REST_S = 0.0005  # after each step
STEP_EVENTS = 64  # are enough for a step
STEP_BYTES = 1024 * 1024  # and so are such of arrays
MAX_HERE_BYTES = 2 * 1024 * 1024  # more than this, most of it one large request's, is left to the thread
ORDER_BYTES = 8 * 1024 * 1024  # of columns in one spool file and one call to monitoring
MAX_KEPT_STEPS = 64  # of which rows wait to be kept whole: no more steps but the thread's


@dataclass(frozen=True, kw_only=True)
class RecorderLimits:
    """How much waits in memory, and how long; and of how many rows a second the features are computed (0: of all)."""

    queue_bytes: int = 64 * 1024 * 1024
    queue_events: int = 100_000
    flush_interval_s: float = 1.0
    batch_rows: int = 10_000
    watched_rows_per_s: int = 0


class PredictionRecorder:
    """Keeps every prediction that fits its limits until the spool has it.

    `on_drop` is told rows and reason of what is lost. `ship` takes what the disk refuses. `keeper` keeps
    some whole, for the prediction store.
    """

    def __init__(
        self,
        *,
        replica: str,
        spool: Spool,
        ship: Ship,
        on_drop: Callable[[int, str], None],
        limits: RecorderLimits | None = None,
        keeper: RowKeeper | None = None,
    ) -> None:
        self._replica = replica
        self._spool = spool
        self._ship = ship
        self._on_drop = on_drop
        self._limits = limits or RecorderLimits()
        self._keeper = keeper
        self._watch = WatchedRows(self._limits.watched_rows_per_s)
        self._events: deque[PredictionEvent] = deque()
        self._max_events = self._limits.queue_events
        self._max_bytes = self._limits.queue_bytes
        # Bytes that came and went, each counted by one side; several threads in `record` may lose a
        # few from the count, which is put right whenever the queue is empty.
        self._bytes_in = 0
        self._bytes_out = 0
        self._to_keep: deque[list[PredictionEvent]] = deque()
        self._parts: list[Part] = []
        self._part_rows = 0
        self._part_bytes = 0
        self._step_due: asyncio.AbstractEventLoop | None = None  # whose list of calls `_step_on_loop` stands in
        self._steps_here = 0  # that callers and event loops have digested
        self._digesting = threading.Lock()
        self._writing = threading.Lock()
        self._hurry = threading.Event()
        self._is_stopping = threading.Event()
        self._has_spool = False
        self._flusher = threading.Thread(target=self._run, name="recorder-flush", daemon=True)

    def start(self) -> None:
        """Flush until `stop`."""
        try:
            self._spool.open()
            self._has_spool = True
        except OSError as error:
            log.error("spool_unusable", error=str(error), consequence="predictions are shipped from memory only")
        if self._keeper is not None:
            self._keeper.start()
        self._flusher.start()

    def stop(self, timeout_s: float) -> None:
        """Flush what waits."""
        self._is_stopping.set()
        self._hurry.set()
        if self._flusher.ident is not None:
            self._flusher.join(timeout_s)
        if self._has_spool:
            self._spool.close()
        if self._keeper is not None:
            self._keeper.stop()

    def record(self, event: PredictionEvent) -> None:
        """Keep an event for the next flush, or count it as dropped; never waits, never raises."""
        taken = self._bytes_in + event.size_bytes
        waiting = taken - self._bytes_out
        if waiting > self._max_bytes or len(self._events) >= self._max_events:
            self._on_drop(event.rows, "queue_full")
            return
        self._bytes_in = taken
        self._events.append(event)
        if len(self._events) >= STEP_EVENTS or waiting > STEP_BYTES:
            self._ask_for_step()

    def _ask_for_step(self) -> None:
        """Have a step done by this thread: at once, or after the event loop has sent what it is about to answer."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread that waits for its prediction
            self._step_here()
            return
        if self._step_due is not loop:
            self._step_due = loop
            loop.call_soon(self._step_on_loop)

    def _step_on_loop(self) -> None:
        self._step_due = None
        self._step_here()

    def _step_here(self) -> None:
        """Digest a step in the caller's thread, unless it is long, another does so, or there is a file to write."""
        is_long = self._bytes_in - self._bytes_out > MAX_HERE_BYTES or len(self._to_keep) > MAX_KEPT_STEPS
        if is_long or self._is_full or not self._digesting.acquire(blocking=False):
            self._hurry.set()
            return
        try:
            self._steps_here += 1
            self._digest_next()
        except Exception:  # one bad step must not end recording
            log.exception("predictions_not_digested")
        finally:
            self._digesting.release()

    def flush(self) -> None:
        """Move what waits to the spool, or to monitoring if the disk refuses; rests, beside an event loop."""
        self._digest(len(self._events))
        time.sleep(REST_S)
        self._write()
        if self._keeper is not None:
            time.sleep(REST_S)
            self._keep_rows(self._keeper)
            time.sleep(REST_S)
            with self._writing:
                self._keeper.write()

    def _run(self) -> None:
        due = time.monotonic() + self._limits.flush_interval_s
        steps_seen = 0
        while not self._is_stopping.is_set():
            is_asked = self._hurry.wait(min(LOOK_S, max(0.0, due - time.monotonic())))
            self._hurry.clear()
            is_due = self._is_full or time.monotonic() >= due
            if is_due:
                due = time.monotonic() + self._limits.flush_interval_s
            steps, steps_seen = self._steps_here - steps_seen, self._steps_here
            if is_due or is_asked or steps == 0:  # else they digest themselves, and what is to be kept can wait
                self._step_safely(is_due=is_due)
        self._step_safely(is_due=True)

    def _step_safely(self, *, is_due: bool) -> None:
        try:
            if is_due:
                self.flush()
            elif self._events or self._to_keep:
                self._digest(len(self._events))
        except Exception:  # one bad flush must not end recording
            log.exception("predictions_not_flushed")

    def _digest(self, count: int) -> None:
        """Turn the first `count` events into columns, in short steps, and write when there is enough."""
        if self._keeper is not None:
            self._keep_rows(self._keeper)
        while count > 0:
            with self._digesting:
                count -= self._digest_next()
            if self._is_full:
                self._write()
            if self._keeper is not None:
                self._keep_rows(self._keeper)
            if count > 0:
                time.sleep(REST_S)

    def _digest_next(self) -> int:
        """Turn the first events into columns, as many as are one step; return how many."""
        some, size = self._take_step()
        try:
            if self._keeper is not None:
                self._to_keep.append(self._keeper.choose(some))
            for part in digest_events(some, max_rows=min(CHUNK_ROWS, self._limits.batch_rows), watch=self._watch):
                self._parts.append(part)
                self._part_rows += part.row_count
                self._part_bytes += part.size_bytes
        finally:
            self._bytes_out += size
            if not self._events:
                self._bytes_out = self._bytes_in
        return max(1, len(some))

    def _keep_rows(self, keeper: RowKeeper) -> None:
        """Have the keeper take what it has chosen: it may write, so that is the thread's."""
        with self._writing:
            while self._to_keep:
                keeper.keep(self._take_to_keep())

    def _take_to_keep(self) -> list[PredictionEvent]:
        """Return what is to be kept of some steps: few rows of each, which cost less to pack together."""
        some: list[PredictionEvent] = []
        size = 0
        while self._to_keep and size < STEP_BYTES:
            chosen = self._to_keep.popleft()
            some += chosen
            size += sum([event.size_bytes for event in chosen])
        return some

    def _take_step(self) -> tuple[list[PredictionEvent], int]:
        """Return the first events, up to CHUNK_ROWS rows or STEP_BYTES, and how many bytes they hold."""
        some: list[PredictionEvent] = []
        rows = size = 0
        while self._events and rows < CHUNK_ROWS and size < STEP_BYTES:
            event = self._events.popleft()
            some.append(event)
            rows += event.rows
            size += event.size_bytes
        return some, size

    @property
    def _is_full(self) -> bool:
        """Say whether there are columns enough for a file."""
        return self._part_rows >= self._limits.batch_rows or self._part_bytes >= ORDER_BYTES

    def _write(self) -> None:
        with self._writing:
            with self._digesting:
                parts = self._parts
                self._parts, self._part_rows, self._part_bytes = [], 0, 0
            batches = assemble_batches(parts, replica=self._replica, max_rows=self._limits.batch_rows)
            time.sleep(REST_S)
            for order in _orders(batches, self._limits.batch_rows):
                self._keep(order)

    def _keep(self, order: RecordPredictions) -> None:
        try:
            if not self._has_spool:
                raise OSError("there is no spool")
            self._spool.append(order)
        except OSError as error:
            self._ship_from_memory(order, error)

    def _ship_from_memory(self, order: RecordPredictions, reason: OSError) -> None:
        rows = sum(batch.row_count for batch in order.batches)
        try:
            self._ship(order)
        except Exception as error:  # noqa: BLE001 - neither disk nor monitoring takes it: count, and go on
            log.error("predictions_lost", rows=rows, disk=str(reason), monitoring=str(error))
            self._on_drop(rows, "unwritable")


def _orders(batches: list[PredictionBatch], max_rows: int) -> list[RecordPredictions]:
    orders: list[list[PredictionBatch]] = [[]]
    rows = 0
    for batch in batches:
        if orders[-1] and rows + batch.row_count > max_rows:
            orders.append([])
            rows = 0
        orders[-1].append(batch)
        rows += batch.row_count
    return [RecordPredictions(batches=tuple(some)) for some in orders if some]
