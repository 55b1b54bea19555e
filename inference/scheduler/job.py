"""One request in the queue, and the parts it is cut into when it is larger than a batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from enum import IntEnum
from typing import Any

import numpy as np
import structlog

from aiplatform.contracts.predict import DEADLINE_HEADER
from aiplatform.errors import DeadlineExceededError, PlatformError
from inference.recording_api import CallRows

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]
Result = Arrays | PlatformError
Results = list[tuple["Job", Result]]
BatchKey = tuple[tuple[str, str, tuple[int, ...]], ...]
TakeResult = Callable[["Arrays | PlatformError"], None]

log = structlog.get_logger(__name__)


class Priority(IntEnum):
    """Who goes first: all that waits at a smaller number runs before a greater one."""

    HIGH = 0
    NORMAL = 1
    LOW = 2
    SHADOW = 3  # copies and replays: nobody waits for them


class Job:
    """Rows that wait for their outputs. Only the first `resolve` counts."""

    __slots__ = (
        "call",
        "deadline",
        "first_row",
        "inputs",
        "is_over",
        "outputs",
        "parts_left",
        "priority",
        "rows",
        "size_bytes",
        "started",
    )

    def __init__(self, inputs: Arrays, *, rows: int, deadline: float, priority: Priority = Priority.NORMAL) -> None:
        """`deadline` is on the monotonic clock, in seconds."""
        self.inputs = inputs
        self.rows = rows
        self.size_bytes = 0  # what the inputs take in memory
        for array in inputs.values():
            self.size_bytes += array.nbytes
        self.deadline = deadline
        self.priority = priority
        self.started = time.monotonic()
        self.parts_left = 1
        self.outputs: list[Arrays | None] = [None]
        self.is_over = False  # rows of it that have not run yet will not
        self.call: CallRows | None = None  # the engine call that it shared with others,
        self.first_row = 0  # and where its rows stand there

    @property
    def patience_s(self) -> float:
        """Return how long the waiter was ready to wait."""
        return self.deadline - self.started

    @property
    def is_done(self) -> bool:
        """Say whether nobody waits any more: it is answered, or its waiter has gone."""
        return self.is_over

    def resolve(self, result: Result) -> None:
        """Hand over the outputs, or what went wrong, where the waiter waits."""
        raise NotImplementedError

    def expire(self) -> None:
        """Answer that the deadline has passed."""
        self.resolve(self.too_late())

    def too_late(self) -> DeadlineExceededError:
        """Return the error for a deadline that has passed."""
        return DeadlineExceededError(
            f"no answer within {self.patience_s * 1000:.0f} ms ({DEADLINE_HEADER}, else PREDICT_DEADLINE_S)",
            limit="deadline",
            value=round(self.patience_s, 3),
            setting="PREDICT_DEADLINE_S",
        )


class FutureJob(Job):
    """A job whose result goes into a future."""

    __slots__ = ("future",)

    future: asyncio.Future[Arrays] | Future[Arrays]

    @property
    def is_done(self) -> bool:
        """Say so too when the waiter was cancelled a moment ago."""
        return self.is_over or self.future.done()

    def resolve(self, result: Result) -> None:
        """Hand over the outputs, or what went wrong, where the waiter waits."""
        self.is_over = True
        with contextlib.suppress(InvalidStateError, asyncio.InvalidStateError):  # it waits no more
            if isinstance(result, PlatformError):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)


class BlockingJob(FutureJob):
    """A job that a thread waits for."""

    __slots__ = ()

    def __init__(self, inputs: Arrays, *, rows: int, deadline: float, priority: Priority = Priority.NORMAL) -> None:
        super().__init__(inputs, rows=rows, deadline=deadline, priority=priority)
        self.future: Future[Arrays] = Future()


class AsyncJob(FutureJob):
    """A job that a coroutine awaits, in the loop that runs now."""

    __slots__ = ("loop",)

    def __init__(self, inputs: Arrays, *, rows: int, deadline: float, priority: Priority = Priority.NORMAL) -> None:
        super().__init__(inputs, rows=rows, deadline=deadline, priority=priority)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Arrays] = self.loop.create_future()


class CallbackJob(Job):
    """A job of which a function on the event loop takes the result: no task waits for it."""

    __slots__ = ("loop", "take", "timer")

    def __init__(
        self, inputs: Arrays, *, rows: int, deadline: float, take: TakeResult, priority: Priority = Priority.NORMAL
    ) -> None:
        super().__init__(inputs, rows=rows, deadline=deadline, priority=priority)
        self.loop = asyncio.get_running_loop()
        self.take: TakeResult | None = take
        self.timer: asyncio.TimerHandle | None = None

    def resolve(self, result: Result) -> None:
        """Call the function that takes the result, once."""
        take, self.take = self.take, None
        self.cancel()
        if take is None:
            return
        try:
            take(result)
        except Exception:  # one answer that fails must not cost those of its batch
            log.exception("result_not_taken")

    def cancel(self) -> None:
        """Give the rows up: those that have not run will not, and nobody is told."""
        self.is_over = True
        self.take = None
        if self.timer is not None:
            self.timer.cancel()


def deliver(results: Results, *, here: asyncio.AbstractEventLoop | None = None) -> None:
    """Finish jobs, from any thread: one wake-up for each event loop, however many jobs it has here.

    `here` is the loop that calls, if one does: its own jobs are finished at once.
    """
    by_loop: dict[asyncio.AbstractEventLoop, Results] = {}
    for job, result in results:
        job.is_over = True
        if isinstance(job, AsyncJob | CallbackJob) and job.loop is not here:
            by_loop.setdefault(job.loop, []).append((job, result))
        else:
            job.resolve(result)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve_all, group)
        except RuntimeError:  # the loop has ended: nobody is left to tell
            if not loop.is_closed():
                raise


def _resolve_all(results: Results) -> None:
    for job, result in results:
        job.resolve(result)


class Part:
    """Rows `start` to `stop` of a job: what a batch is put together from."""

    __slots__ = ("index", "job", "key", "rows", "start", "stop")

    def __init__(self, job: Job, index: int, start: int, stop: int, key: BatchKey) -> None:
        self.job = job
        self.index = index
        self.start = start
        self.stop = stop
        self.rows = stop - start
        self.key = key

    def inputs(self) -> Arrays:
        """Return the part's rows of each input."""
        if self.rows == self.job.rows:
            return self.job.inputs
        return {name: array[self.start : self.stop] for name, array in self.job.inputs.items()}


def cut_job(job: Job, max_rows: int, key: BatchKey) -> list[Part]:
    """Return the parts of a job, each at most `max_rows` rows."""
    if job.rows <= max_rows:
        return [Part(job, 0, 0, job.rows, key)]
    starts = range(0, job.rows, max_rows)
    job.parts_left = len(starts)
    job.outputs = [None] * len(starts)
    return [Part(job, i, start, min(start + max_rows, job.rows), key) for i, start in enumerate(starts)]


def batch_key(inputs: Arrays) -> BatchKey:
    """Return what rows must have in common to share an engine call."""
    return tuple((name, array.dtype.char, array.shape[1:]) for name, array in inputs.items())
