"""A run's measurements over time in a bounded number of points, kept under its fence."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from training.leases import write_run
from training.memory_guard import MemoryGuard
from training.models import RunUsage
from training.usage import Usage, UsageMeter, memory_limit_bytes, peak_gpu_bytes, peak_memory_bytes

MOST_POINTS = 240
FIRST_INTERVAL_S = 1.0
WRITE_EVERY_S = 5.0


@dataclass(kw_only=True)
class UsageSeries:
    """Points [seconds since the epoch, cores, memory bytes, GPU share, GPU bytes]; a full series halves its rate."""

    points: list[list[float | None]] = field(default_factory=list)
    interval_s: float = FIRST_INTERVAL_S

    def add(self, at_s: float, usage: Usage) -> bool:
        """Keep a measurement if it is time for the next one; say whether it was."""
        if self.points and at_s - float(self.points[-1][0] or 0) < self.interval_s * 0.9:
            return False
        self.points.append([
            round(at_s, 1), round(usage.cpu_cores, 2), usage.memory_bytes, usage.gpu_share, usage.gpu_memory_bytes,
        ])  # fmt: skip
        if len(self.points) > MOST_POINTS:
            self.points = self.points[::2]
            self.interval_s *= 2
        return True


class UsageRecorder:
    """Measures this process's session and writes the series into the run's row of usage."""

    def __init__(self, run_id: UUID, fence: int) -> None:
        self._run_id, self._fence = run_id, fence
        self._meter = UsageMeter()
        self._series: UsageSeries | None = None
        self._peak_bytes, self._written_s, self._writes = 0, 0.0, 0
        self._cpu_seconds = 0.0
        self._guard: MemoryGuard | None = None

    def guard_memory(self, guard: MemoryGuard) -> None:
        """Have each measurement looked at by the guard, and this process's own memory between them."""
        self._guard = guard
        guard.start(record=self._note)

    def beat(self) -> None:
        """Measure; write now and then. Raises StaleFenceError if the claim is no longer good."""
        usage = self._measure()
        if self._guard is not None and self._guard.is_exceeded(usage.memory_bytes):
            self._guard.end(usage.memory_bytes, record=self.write)
        pause_s = min(WRITE_EVERY_S, FIRST_INTERVAL_S * self._writes)  # soon at first: memory may run out early
        if time.monotonic() - self._written_s >= pause_s:
            self.write()

    def _measure(self) -> Usage:
        usage = self._meter.measure()
        self._cpu_seconds = max(self._cpu_seconds, usage.cpu_seconds)
        if self._series is None:
            self._series = self._load()
        self._series.add(time.time(), usage)
        self._peak_bytes = max(self._peak_bytes, usage.memory_bytes, peak_memory_bytes())
        return usage

    def _note(self) -> None:
        """Measure once more and write: a run may go over its limit before it was ever measured."""
        self._measure()
        self.write()

    def write(self) -> None:
        """Write what was measured."""
        if self._series is None:
            return
        values: dict[str, Any] = {
            "points": self._series.points,
            "interval_s": self._series.interval_s,
            "memory_peak_bytes": self._peak_bytes,
            "memory_limit_bytes": memory_limit_bytes(),
            "gpu_peak_bytes": peak_gpu_bytes(),
            "cpu_seconds": self._cpu_seconds,
            "measured_at": timezone.now(),
        }
        with transaction.atomic():
            write_run(self._run_id, self._fence)
            RunUsage.objects.update_or_create(run_id=self._run_id, defaults=values)
        self._written_s, self._writes = time.monotonic(), self._writes + 1

    def _load(self) -> UsageSeries:
        """Go on with the series of an earlier attempt."""
        known = RunUsage.objects.filter(run_id=self._run_id).first()
        if known is None:
            return UsageSeries()
        self._peak_bytes = 0  # of this attempt
        return UsageSeries(points=list(known.points), interval_s=known.interval_s)
