"""One request in the queue, and the parts it is cut into when it is larger than a batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.contracts.predict import DEADLINE_HEADER
from aiplatform.errors import DeadlineExceededError, PlatformError

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]
Result = Arrays | PlatformError
Results = list[tuple["Job", Result]]
BatchKey = tuple[tuple[str, str, tuple[int, ...]], ...]


class Job:
    """Rows that wait for their outputs. Only the first `resolve` counts."""

    future: asyncio.Future[Arrays] | Future[Arrays]

    def __init__(self, inputs: Arrays, *, rows: int, deadline: float) -> None:
        """`deadline` is on the monotonic clock, in seconds."""
        self.inputs = inputs
        self.rows = rows
        self.deadline = deadline
        self.patience_s = deadline - time.monotonic()
        self.parts_left = 1
        self.outputs: list[Arrays | None] = [None]
        self.is_over = False  # rows of it that have not run yet will not

    def resolve(self, result: Result) -> None:
        """Hand over the outputs, or what went wrong, where the waiter waits."""
        self.is_over = True
        with contextlib.suppress(InvalidStateError, asyncio.InvalidStateError):  # it waits no more
            if isinstance(result, PlatformError):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)

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


class BlockingJob(Job):
    """A job that a thread waits for."""

    def __init__(self, inputs: Arrays, *, rows: int, deadline: float) -> None:
        super().__init__(inputs, rows=rows, deadline=deadline)
        self.future: Future[Arrays] = Future()


class AsyncJob(Job):
    """A job that a coroutine awaits, in the loop that runs now."""

    def __init__(self, inputs: Arrays, *, rows: int, deadline: float) -> None:
        super().__init__(inputs, rows=rows, deadline=deadline)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Arrays] = self.loop.create_future()


def deliver(results: Results) -> None:
    """Finish jobs, from any thread: one wake-up for each event loop, however many jobs it has here."""
    by_loop: dict[asyncio.AbstractEventLoop, Results] = {}
    for job, result in results:
        job.is_over = True
        if isinstance(job, AsyncJob):
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


@dataclass(slots=True)
class Part:
    """Rows `start` to `stop` of a job: what a batch is put together from."""

    job: Job
    index: int
    start: int
    stop: int
    key: BatchKey

    @property
    def rows(self) -> int:
        """Return how many rows the part has."""
        return self.stop - self.start

    def inputs(self) -> Arrays:
        """Return the part's rows of each input."""
        if self.stop - self.start == self.job.rows:
            return self.job.inputs
        return {name: array[self.start : self.stop] for name, array in self.job.inputs.items()}


def cut_job(job: Job, max_rows: int) -> list[Part]:
    """Return the parts of a job, each at most `max_rows` rows."""
    key = tuple((name, array.dtype.char, array.shape[1:]) for name, array in job.inputs.items())
    starts = range(0, job.rows, max_rows)
    job.parts_left = len(starts)
    job.outputs = [None] * len(starts)
    return [Part(job, i, start, min(start + max_rows, job.rows), key) for i, start in enumerate(starts)]
