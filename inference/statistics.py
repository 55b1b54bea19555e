"""What this process has counted of each version since it started; read by V2's statistics.

Counted where metrics are, many requests at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from aiplatform.hot_metrics import HotEvents, flush_metrics
from inference.protocols.model_statistics import VersionStatistics
from inference.recording_api import Metrics

MAX_VERSIONS = 1024  # the oldest are forgotten; a process serves far fewer at a time


class _Counts:
    """One version's counts."""

    __slots__ = ("executions", "failed", "failed_s", "inferences", "last_s", "lock", "succeeded", "succeeded_s")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last_s = 0.0
        self.inferences = self.executions = self.succeeded = self.failed = 0
        self.succeeded_s = self.failed_s = 0.0


class ServingStatistics:
    """Counts by endpoint and version, in memory only."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], _Counts] = {}
        self._lock = threading.Lock()

    def count_requests(self, endpoint: str, version: int, latencies_s: Sequence[float], *, has_succeeded: bool) -> None:
        """Count requests that a version was to answer."""
        counts = self._of(endpoint, version)
        with counts.lock:
            if has_succeeded:
                counts.succeeded += len(latencies_s)
                counts.succeeded_s += sum(latencies_s)
            else:
                counts.failed += len(latencies_s)
                counts.failed_s += sum(latencies_s)

    def count_execution(self, endpoint: str, version: int, rows: int) -> None:
        """Count one call of an engine."""
        counts = self._of(endpoint, version)
        with counts.lock:
            counts.executions += 1
            counts.inferences += rows
            counts.last_s = time.time()

    def version(self, endpoint: str, version: int) -> VersionStatistics:
        """Return what was counted of a version until now; zeros if nothing was."""
        flush_metrics()
        counts = self._counts.get((endpoint, version)) or _Counts()
        with counts.lock:
            return VersionStatistics(
                model=endpoint,
                version=version,
                last_inference_ms=int(counts.last_s * 1e3),
                inferences=counts.inferences,
                executions=counts.executions,
                succeeded=counts.succeeded,
                succeeded_ns=int(counts.succeeded_s * 1e9),
                failed=counts.failed,
                failed_ns=int(counts.failed_s * 1e9),
            )

    def _of(self, endpoint: str, version: int) -> _Counts:
        counts = self._counts.get((endpoint, version))
        if counts is not None:
            return counts
        with self._lock:
            while len(self._counts) >= MAX_VERSIONS:
                del self._counts[next(iter(self._counts))]
            return self._counts.setdefault((endpoint, version), _Counts())


class CountedMetrics:
    """Metrics that are also kept as statistics. Version 0 (none was chosen) is no version's."""

    def __init__(self, metrics: Metrics, statistics: ServingStatistics) -> None:
        self._metrics = metrics
        self._statistics = statistics
        self._answered = HotEvents(self._count_requests)

    def count_prediction(self, *, endpoint: str, version: int, http_status: int, latency_s: float) -> None:
        """Count one request."""
        self._metrics.count_prediction(endpoint=endpoint, version=version, http_status=http_status, latency_s=latency_s)
        if version:
            self._answered.add(((endpoint, version, http_status < 400), latency_s))

    def _count_requests(self, key: tuple[str, int, bool], latencies_s: Sequence[float]) -> None:
        endpoint, version, has_succeeded = key
        self._statistics.count_requests(endpoint, version, latencies_s, has_succeeded=has_succeeded)

    def observe_batch(self, *, endpoint: str, version: int, rows: int) -> None:
        """Note the size of a batch."""
        self._metrics.observe_batch(endpoint=endpoint, version=version, rows=rows)
        self._statistics.count_execution(endpoint, version, rows)

    def set_queue_depth(self, *, endpoint: str, version: int, rows: int) -> None:
        """Note the length of a queue."""
        self._metrics.set_queue_depth(endpoint=endpoint, version=version, rows=rows)
