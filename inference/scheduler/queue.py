"""The bounded queue before one engine, and what empties it.

What arrives while the engine is busy is the next batch: no delay is added when there is little
traffic, and batches grow by themselves when there is much. A call that is short runs on the event
loop itself, right after the requests that came in together: waking a thread and being woken by it would take
longer. A call that is long runs in threads, as many as the engine bears, and the loop goes on reading.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import structlog

from aiplatform.artifacts import Padding
from aiplatform.errors import (
    InvalidInputError,
    PlatformError,
    QueueFullError,
    UnavailableError,
)
from aiplatform.tensors import FREE, Signature
from inference.engines.base import Engine
from inference.recording_api import Metrics
from inference.scheduler.batch import is_batchable, run_batch
from inference.scheduler.call_size import best_call_rows
from inference.scheduler.job import (
    Arrays,
    AsyncJob,
    BlockingJob,
    CallbackJob,
    Job,
    Part,
    Priority,
    Result,
    Results,
    TakeResult,
    batch_key,
    cut_job,
    deliver,
)
from inference.scheduler.limits import BatchLimits
from inference.scheduler.pace import Pace
from inference.scheduler.padding import cut_outputs, pad_inputs
from inference.scheduler.refusals import queue_full, refuse_too_large, too_slow
from inference.scheduler.run_delay import run_delay_s
from inference.scheduler.slots import DeviceSlots
from inference.scheduler.waiting import WaitingRows

CLOSE_TIMEOUT_S = 60.0
NO_WAIT_S = 0.02  # what waits no longer than this on the event loop needs no alarm clock
SLOW_CALLS = 3  # so many calls in a row that take several times what they may, and calls leave the loop

log = structlog.get_logger(__name__)


class BatchQueue:
    """Takes rows from any thread or event loop, and runs them in batches."""

    def __init__(
        self,
        *,
        endpoint: str,
        version: int,
        engine: Engine,
        signature: Signature,
        limits: BatchLimits,
        metrics: Metrics,
        call_ms: Mapping[int, float] | None = None,
        padding: Sequence[Padding] = (),
        slots: DeviceSlots | None = None,
        concurrency: int = 1,
    ) -> None:
        """`call_ms` is the engine's time by rows in a call, as measured at load; unknown counts as long.

        `concurrency` is how many calls the engine is given at once when they run in threads.
        """
        self._endpoint = endpoint
        self._version = version
        self._engine = engine
        self._limits = limits
        self._metrics = metrics
        self._padding = tuple(padding)
        self._is_batchable = is_batchable(signature)
        self._has_one_shape = not self._padding and all(FREE not in spec.shape[1:] for spec in signature.inputs)
        self._turn = slots.turn if slots is not None else nullcontext
        self._concurrency = concurrency
        self._waiting = WaitingRows(is_batchable=self._is_batchable)
        self._is_closed = False
        self._drive_due: asyncio.AbstractEventLoop | None = None  # whose list of calls `_drive` stands in
        self._slow_calls = 0
        self._call_rows = best_call_rows(call_ms or {}, limits.max_batch_rows)
        one_row_ms = (call_ms or {}).get(1, float("inf"))
        self._is_inline = one_row_ms <= limits.inline_ms / 2
        self._pace = Pace(one_row_ms / 1000 if self._is_inline else 0.001)
        self._lock = threading.Lock()  # of what waits; the condition's own `with` takes several times as long
        self._wakes = threading.Condition(self._lock)
        self._calls = threading.Lock()  # inline calls and those of threads that wait, one at a time
        self._threads: list[threading.Thread] = []
        if not self._is_inline:
            self._start_threads()

    @property
    def depth(self) -> int:
        """Return how many rows wait."""
        return self._waiting.rows

    @property
    def is_inline(self) -> bool:
        """Say whether the event loop runs the engine itself."""
        return self._is_inline

    def refuse_if_full(self) -> None:
        """Raise QueueFullError, before a request is even decoded, when no row has room."""
        if self._waiting.rows < self._limits.max_queue_rows:
            return
        with self._lock:
            self._waiting.forget_abandoned()
            if self._waiting.rows >= self._limits.max_queue_rows:
                raise self._full(1)

    async def run(self, inputs: Arrays, *, deadline: float, priority: Priority = Priority.NORMAL) -> Arrays:
        """Return the outputs for some rows. `deadline` is on the monotonic clock, in seconds.

        Cancelling the caller takes the rows out of the queue.
        Raises: QueueFullError, DeadlineExceededError, PayloadTooLargeError, UnavailableError once
        closed; PlatformError if the engine fails.
        """
        sizes: tuple[int, ...] = ()
        if self._padding:
            inputs, sizes = pad_inputs(inputs, self._padding)
        job = AsyncJob(inputs, rows=self._count_rows(inputs), deadline=deadline, priority=priority)
        self._enqueue(job)
        timer = None
        if self._is_inline:
            self._ask_for_drive(job.loop)
        if not self._is_inline or self._wait_s > NO_WAIT_S:
            timer = job.loop.call_later(max(0.0, job.patience_s), job.expire)
        try:
            outputs = await job.future
        finally:
            job.is_over = True
            if timer is not None:
                timer.cancel()
        return cut_outputs(outputs, self._padding, sizes) if self._padding else outputs

    def start(
        self, inputs: Arrays, *, deadline: float, take: TakeResult, priority: Priority = Priority.NORMAL
    ) -> CallbackJob:
        """Do the same without a coroutine: `take` gets the outputs or the error, later, on this event loop.

        Raises what `run` raises before rows can wait; the job's `cancel` takes them out of the queue.
        """
        if self._padding:
            inputs, sizes = pad_inputs(inputs, self._padding)
            take = self._cutting(take, sizes)
        job = CallbackJob(inputs, rows=self._count_rows(inputs), deadline=deadline, take=take, priority=priority)
        self._enqueue(job)
        if self._is_inline:
            self._ask_for_drive(job.loop)
        if not self._is_inline or self._wait_s > NO_WAIT_S:
            job.timer = job.loop.call_later(max(0.0, job.patience_s), job.expire)
        return job

    def _cutting(self, take: TakeResult, sizes: tuple[int, ...]) -> TakeResult:
        def cut_and_take(result: Result) -> None:
            take(result if isinstance(result, PlatformError) else cut_outputs(result, self._padding, sizes))

        return cut_and_take

    def run_blocking(self, inputs: Arrays, *, deadline: float, priority: Priority = Priority.NORMAL) -> Arrays:
        """Do the same from a thread that may wait; raises as `run`."""
        sizes: tuple[int, ...] = ()
        if self._padding:
            inputs, sizes = pad_inputs(inputs, self._padding)
        job = BlockingJob(inputs, rows=self._count_rows(inputs), deadline=deadline, priority=priority)
        self._enqueue(job)
        if self._is_inline:
            self._drive_here(job)
        try:
            outputs = job.future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError as error:
            raise job.too_late() from error
        finally:
            job.is_over = True
        return cut_outputs(outputs, self._padding, sizes) if self._padding else outputs

    def close(self) -> None:
        """Fail what waits and end the threads, after the batches that they run now."""
        with self._lock:
            self._is_closed = True
            left = self._waiting.clear()
            self._wakes.notify_all()
        error = UnavailableError(f"version {self._version} of model '{self._endpoint}' is being unloaded; try again")
        deliver([(job, error) for job in left])
        until = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads) or not self._calls.acquire(timeout=CLOSE_TIMEOUT_S):
            log.warning("engine_did_not_stop", endpoint=self._endpoint, version=self._version)
        else:
            self._calls.release()

    def _count_rows(self, inputs: Arrays) -> int:
        if not self._is_batchable:
            return 1
        counts = {len(array) for array in inputs.values()}
        if len(counts) > 1:
            rows = {name: len(array) for name, array in inputs.items()}
            raise InvalidInputError(f"all inputs must have the same number of rows, not {rows}")
        count = counts.pop()
        if count == 0:
            raise InvalidInputError("the request has no rows; at least 1 is needed")
        return count

    def _enqueue(self, job: Job) -> None:
        refuse_too_large(job, self._limits)
        key = () if self._has_one_shape else batch_key(job.inputs)
        parts = cut_job(job, self._call_rows, key)
        with self._lock:
            if self._is_closed:
                raise UnavailableError(f"version {self._version} of model '{self._endpoint}' is being unloaded")
            if not self._has_room(job) or self._comes_too_late(job):
                self._waiting.forget_abandoned()
                if not self._has_room(job):
                    raise self._full(job.rows)
                if self._comes_too_late(job):
                    raise too_slow(self._name, self._waiting, wait_s=self._wait_s, patience_s=job.patience_s)
            self._waiting.add(job, parts)
            if not self._is_inline:
                self._wakes.notify()

    def _has_room(self, job: Job) -> bool:
        waiting, limits = self._waiting, self._limits
        return (
            waiting.rows + job.rows <= limits.max_queue_rows
            and waiting.size_bytes + job.size_bytes <= limits.max_queue_bytes
        )

    @property
    def _wait_s(self) -> float:
        """Return about how long the last row that waits will wait."""
        return self._pace.wait_s(self._waiting.rows)

    def _comes_too_late(self, job: Job) -> bool:
        """Say whether a job would expire before its turn: better refused now than dropped then."""
        rows = self._waiting.rows
        return rows >= self._call_rows and self._pace.is_too_long(rows, job.patience_s)

    def _full(self, rows: int) -> QueueFullError:
        return queue_full(self._name, self._waiting, self._limits, rows, wait_s=self._wait_s)

    @property
    def _name(self) -> str:
        return f"model '{self._endpoint}' version {self._version}"

    # --- on the event loop ------------------------------------------------------------------------

    def _ask_for_drive(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._drive_due is loop:
            return
        self._drive_due = loop
        delay_ms = self._limits.max_queue_delay_ms
        if delay_ms > 0 and self._waiting.rows < self._call_rows:
            loop.call_later(delay_ms / 1000, self._drive, loop)
        else:
            loop.call_soon(self._drive, loop)

    def _drive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run as many rows as the loop may be held for, then let it read what has come in meanwhile."""
        self._drive_due = None
        rows_left = self._affordable_rows()
        while rows_left > 0 and self._waiting and self._is_inline:
            with self._calls:
                rows_left -= self._run_next(min(rows_left, self._call_rows), here=loop) or rows_left
        if not self._is_inline:
            return
        if self._waiting and self._drive_due is None:
            self._drive_due = loop
            loop.call_soon(self._drive, loop)

    def _drive_here(self, job: BlockingJob) -> None:
        """Run batches in the thread that waits for a job, until it is done: what waits behind it is the loop's."""
        while not job.future.done() and self._waiting and self._is_inline:
            with self._calls:
                self._run_next(self._call_rows)

    def _affordable_rows(self) -> int:
        affordable = int(self._limits.inline_ms / 1000 / max(self._pace.engine_row_s, 1e-9))
        return max(1, min(affordable, self._limits.max_batch_rows))

    def _note_inline_call(self, seconds: float) -> None:
        self._slow_calls = self._slow_calls + 1 if seconds > 5 * self._limits.inline_ms / 1000 else 0
        if self._slow_calls < SLOW_CALLS:
            return
        log.warning("engine_leaves_event_loop", endpoint=self._endpoint, version=self._version, call_s=seconds)
        with self._lock:
            self._is_inline = False
            if not self._is_closed:
                self._start_threads()

    # --- in threads -------------------------------------------------------------------------------

    def _start_threads(self) -> None:
        count = self._concurrency
        name = f"engine-{self._endpoint}-{self._version}"
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._waiting and not self._is_closed:
                    self._wakes.wait()
                if self._is_closed:
                    return
                self._await_more_rows()
            with self._turn():
                self._run_next(self._call_rows)

    def _await_more_rows(self) -> None:
        if self._limits.max_queue_delay_ms <= 0:
            return
        until = time.monotonic() + self._limits.max_queue_delay_ms / 1000
        while self._waiting.rows < self._call_rows and not self._is_closed:
            left_s = until - time.monotonic()
            if left_s <= 0 or not self._wakes.wait(left_s):
                return

    # --- both -------------------------------------------------------------------------------------

    def _run_next(self, max_rows: int, *, here: asyncio.AbstractEventLoop | None = None) -> int:
        """Run one call and hand its answers over; return how many rows it had."""
        with self._lock:
            parts, late = self._waiting.take_batch(max_rows, time.monotonic())
            depth = self._waiting.rows
        self._metrics.set_queue_depth(endpoint=self._endpoint, version=self._version, rows=depth)
        if late:
            deliver(late, here=here)
        rows = sum([part.rows for part in parts])
        if parts:
            deliver(self._run(parts, rows), here=here)
        return rows

    def _run(self, parts: list[Part], rows: int) -> Results:
        self._metrics.observe_batch(endpoint=self._endpoint, version=self._version, rows=rows)
        is_suspect = self._slow_calls > 0
        delay_s = run_delay_s() if is_suspect else 0.0
        started = time.monotonic()
        results = run_batch(self._engine, parts)
        ended = time.monotonic()
        seconds = ended - started
        self._pace.note_call(started, ended, rows, left=self._waiting.rows)
        if self._is_inline:
            # On a busy machine a call takes long because others run: a thread would have to wait for them as well.
            self._note_inline_call(seconds - (run_delay_s() - delay_s) if is_suspect else seconds)
        return results
