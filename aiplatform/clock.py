"""The clock: runs the jobs that apps announced, each in a thread of its own.

A slow job delays only itself. Jobs bear being run by several clocks, so every container of a
role may have one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog
from django.db import close_old_connections, connections
from prometheus_client import Counter, Histogram

from aiplatform.context import begin_request, choose_request_id
from aiplatform.kept_connections import close_broken_connections, rest_connections
from aiplatform.wiring import Job

log = structlog.get_logger(__name__)

KEPT_WITHIN_S = 10.0  # a job that comes again within this keeps its connection to a database server

JOB_RUNS = Counter("aiplatform_job_runs_total", "Runs of the clock's jobs", ["job", "outcome"])
JOB_SECONDS = Histogram("aiplatform_job_seconds", "Duration of the clock's jobs", ["job"])


class Clock:
    """Repeats jobs until it is stopped."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._stop = threading.Event()

    def stop(self, *_: object) -> None:
        """End `run` after the jobs that are in progress; fit to be a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Run all jobs at their intervals until `stop`."""
        threads = [threading.Thread(target=self._repeat, args=(job,), name=job.name, daemon=True) for job in self._jobs]
        for thread in threads:
            thread.start()
        while not self._stop.wait(0.2):
            pass
        deadline_s = time.monotonic() + 5
        for thread in threads:
            thread.join(timeout=max(0.0, deadline_s - time.monotonic()))
        for job in self._jobs:
            _say_goodbye(job)

    def _repeat(self, job: Job) -> None:
        while not self._stop.is_set():
            started_s = time.monotonic()
            run_job(job)
            self._stop.wait(max(0.05, job.interval_s - (time.monotonic() - started_s)))
        connections.close_all()


def _say_goodbye(job: Job) -> None:
    if job.on_stop is None:
        return
    try:
        job.on_stop()
    except Exception:
        log.exception("job_stop_failed", job=job.name)


def run_job(job: Job) -> bool:
    """Run a job once, count it, and say whether it went well; its error goes to the log."""
    begin_request(choose_request_id(""))
    close_broken_connections()
    outcome = "error"
    with JOB_SECONDS.labels(job.name).time():
        try:
            job.run()
            outcome = "ok"
        except Exception:
            log.exception("job_failed", job=job.name)
    JOB_RUNS.labels(job.name, outcome).inc()
    if job.interval_s > KEPT_WITHIN_S:
        close_old_connections()
    else:
        rest_connections()
    return outcome == "ok"
