"""The bounded queue before one engine, and the thread that empties it.

What arrives while the engine is busy is the next batch: no delay is added when there is little
traffic, and batches grow by themselves when there is much.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import structlog

from aiplatform.errors import (
    InvalidInputError,
    PayloadTooLargeError,
    QueueFullError,
    UnavailableError,
)
from aiplatform.tensors import Signature
from inference.engines.base import Engine
from inference.recording_api import Metrics
from inference.scheduler.batch import is_batchable, run_batch
from inference.scheduler.job import Arrays, AsyncJob, BlockingJob, Job, Part, Results, cut_job, deliver
from inference.scheduler.limits import BatchLimits

CLOSE_TIMEOUT_S = 60.0

log = structlog.get_logger(__name__)


class BatchQueue:
    """Takes rows from any thread or event loop; one thread of its own runs the engine."""

    def __init__(
        self,
        *,
        endpoint: str,
        version: int,
        engine: Engine,
        signature: Signature,
        limits: BatchLimits,
        metrics: Metrics,
    ) -> None:
        self._endpoint = endpoint
        self._version = version
        self._engine = engine
        self._limits = limits
        self._metrics = metrics
        self._is_batchable = is_batchable(signature)
        self._parts: deque[Part] = deque()
        self._rows = 0  # waiting, without those in the engine
        self._seconds_per_row = 0.001  # moving average; for Retry-After only
        self._is_closed = False
        self._wakes = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"engine-{endpoint}-{version}", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Return how many rows wait."""
        return self._rows

    async def run(self, inputs: Arrays, *, deadline: float) -> Arrays:
        """Return the outputs for some rows. `deadline` is on the monotonic clock, in seconds.

        Cancelling the caller takes the rows out of the queue.
        Raises: QueueFullError, DeadlineExceededError, PayloadTooLargeError, UnavailableError once
        closed; PlatformError if the engine fails.
        """
        job = AsyncJob(inputs, rows=self._count_rows(inputs), deadline=deadline)
        self._enqueue(job)
        timer = job.loop.call_later(max(0.0, job.patience_s), job.expire)
        try:
            return await job.future
        finally:
            timer.cancel()
            job.is_over = True

    def run_blocking(self, inputs: Arrays, *, deadline: float) -> Arrays:
        """Do the same from a thread that may wait; raises as `run`."""
        job = BlockingJob(inputs, rows=self._count_rows(inputs), deadline=deadline)
        self._enqueue(job)
        try:
            return job.future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError as error:
            raise job.too_late() from error
        finally:
            job.is_over = True

    def close(self) -> None:
        """Fail what waits and end the thread, after the batch that it runs now."""
        with self._wakes:
            self._is_closed = True
            left = [part.job for part in self._parts]
            self._parts.clear()
            self._rows = 0
            self._wakes.notify_all()
        error = UnavailableError(f"version {self._version} of model '{self._endpoint}' is being unloaded; try again")
        deliver([(job, error) for job in left])
        self._thread.join(timeout=CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            log.warning("engine_did_not_stop", endpoint=self._endpoint, version=self._version)

    def _count_rows(self, inputs: Arrays) -> int:
        if not self._is_batchable:
            return 1
        rows = {name: len(array) for name, array in inputs.items()}
        if len(set(rows.values())) > 1:
            raise InvalidInputError(f"all inputs must have the same number of rows, not {rows}")
        count = next(iter(rows.values()))
        if count == 0:
            raise InvalidInputError("the request has no rows; at least 1 is needed")
        return count

    def _enqueue(self, job: Job) -> None:
        limit = self._limits.max_queue_rows
        if job.rows > limit:
            raise PayloadTooLargeError(
                f"the request has {job.rows} rows; a queue holds {limit} (MAX_QUEUE_ROWS)",
                limit="queued rows",
                value=limit,
                setting="MAX_QUEUE_ROWS",
            )
        parts = cut_job(job, self._limits.max_batch_rows)
        with self._wakes:
            if self._is_closed:
                raise UnavailableError(f"version {self._version} of model '{self._endpoint}' is being unloaded")
            if self._rows + job.rows > limit:
                self._forget_abandoned()
            if self._rows + job.rows > limit:
                raise self._full(limit)
            self._parts.extend(parts)
            self._rows += job.rows
            self._wakes.notify()

    def _forget_abandoned(self) -> None:
        self._parts = deque(part for part in self._parts if not part.job.is_over)
        self._rows = sum(part.rows for part in self._parts)

    def _full(self, limit: int) -> QueueFullError:
        return QueueFullError(
            f"model '{self._endpoint}' version {self._version} is overloaded: {self._rows} rows wait, "
            f"the limit is {limit} (MAX_QUEUE_ROWS)",
            limit="queued rows",
            value=limit,
            setting="MAX_QUEUE_ROWS",
            retry_after_s=max(1.0, round(self._rows * self._seconds_per_row, 1)),
        )

    def _work(self) -> None:
        while True:
            with self._wakes:
                while not self._parts and not self._is_closed:
                    self._wakes.wait()
                if self._is_closed:
                    return
                self._await_more_rows()
                parts, late = self._take_batch()
                depth = self._rows
            self._metrics.set_queue_depth(endpoint=self._endpoint, version=self._version, rows=depth)
            deliver(late)
            if parts:
                deliver(self._run(parts))

    def _await_more_rows(self) -> None:
        if self._limits.max_queue_delay_ms <= 0 or not self._parts:
            return
        until = time.monotonic() + self._limits.max_queue_delay_ms / 1000
        while self._rows < self._limits.max_batch_rows and not self._is_closed:
            left_s = until - time.monotonic()
            if left_s <= 0 or not self._wakes.wait(left_s):
                return

    def _take_batch(self) -> tuple[list[Part], Results]:
        """Take the oldest rows and those behind them that fit in shape and number."""
        now = time.monotonic()
        batch: list[Part] = []
        others: deque[Part] = deque()
        late: Results = []
        rows = 0
        while self._parts and rows < self._limits.max_batch_rows:
            part = self._parts.popleft()
            if part.job.is_over or part.job.deadline <= now:
                self._rows -= part.rows
                if not part.job.is_over:
                    part.job.is_over = True
                    late.append((part.job, part.job.too_late()))
                continue
            fits = not batch or (self._is_batchable and part.key == batch[0].key)
            if fits and rows + part.rows <= self._limits.max_batch_rows:
                batch.append(part)
                rows += part.rows
            else:
                others.append(part)
                if fits or not self._is_batchable:
                    break  # full: what is behind keeps its order
        others.extend(self._parts)
        self._parts = others
        self._rows -= rows
        return batch, late

    def _run(self, parts: list[Part]) -> Results:
        rows = sum(part.rows for part in parts)
        self._metrics.observe_batch(endpoint=self._endpoint, version=self._version, rows=rows)
        started = time.monotonic()
        results = run_batch(self._engine, parts)
        seconds = (time.monotonic() - started) / rows
        self._seconds_per_row += 0.1 * (seconds - self._seconds_per_row)
        return results
