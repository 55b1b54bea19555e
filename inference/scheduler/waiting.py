"""The rows that wait before one engine: bounded, by priority, oldest first. The caller holds the lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from inference.scheduler.job import Job, Part, Priority, Results


class WaitingRows:
    """Parts of jobs, until they are taken for a batch."""

    def __init__(self, *, is_batchable: bool) -> None:
        self._is_batchable = is_batchable
        self._lines: tuple[deque[Part], ...] = tuple(deque() for _ in Priority)
        self.rows = 0
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return self.rows > 0

    def add(self, job: Job, parts: Sequence[Part]) -> None:
        """Let a job's parts wait behind those of its priority."""
        self._lines[job.priority].extend(parts)
        self.rows += job.rows
        self.size_bytes += job.size_bytes

    def forget_abandoned(self) -> None:
        """Drop the parts that nobody waits for any more."""
        for line in self._lines:
            left = [part for part in line if not part.job.is_over]
            line.clear()
            line.extend(left)
        self._count()

    def clear(self) -> list[Job]:
        """Drop all; return the jobs that waited."""
        jobs = list({part.job: None for line in self._lines for part in line})
        for line in self._lines:
            line.clear()
        self._count()
        return jobs

    def take_batch(self, max_rows: int, now_s: float) -> tuple[list[Part], Results]:
        """Take the first rows and those behind them that fit in shape and number, and what has expired.

        At least one part is taken, however many rows it has.
        """
        batch: list[Part] = []
        late: Results = []
        rows = 0
        for line in self._lines:
            if line:
                rows, is_full = self._take_from(line, batch, late, rows, max_rows, now_s)
                if is_full:
                    break
        return batch, late

    def _take_from(
        self, line: deque[Part], batch: list[Part], late: Results, rows: int, max_rows: int, now_s: float
    ) -> tuple[int, bool]:
        passed_over: list[Part] = []
        is_full = False
        while line and not is_full:
            part = line.popleft()
            job = part.job
            if job.deadline <= now_s or job.is_done:
                self._expire(part, late)
                continue
            is_alike = not batch or (self._is_batchable and part.key == batch[0].key)
            if is_alike and (not batch or rows + part.rows <= max_rows):
                batch.append(part)
                rows += part.rows
                self._leave(part)
                is_full = rows >= max_rows
            else:
                passed_over.append(part)
                is_full = is_alike or not self._is_batchable  # what is behind keeps its order
        line.extendleft(reversed(passed_over))
        return rows, is_full

    def _expire(self, part: Part, late: Results) -> None:
        self._leave(part)
        if not part.job.is_over:
            part.job.is_over = True  # of a future that is done, nobody takes the answer
            late.append((part.job, part.job.too_late()))

    def _leave(self, part: Part) -> None:
        self.rows -= part.rows
        self.size_bytes -= part.job.size_bytes * part.rows // part.job.rows
        if self.rows <= 0:
            self.rows = self.size_bytes = 0  # shares of a job are rounded

    def _count(self) -> None:
        parts = [part for line in self._lines for part in line]
        self.rows = sum(part.rows for part in parts)
        self.size_bytes = sum(part.job.size_bytes * part.rows // part.job.rows for part in parts)
