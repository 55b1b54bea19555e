"""The clock: runs the jobs that apps announced, each in a thread of its own.

A slow job delays only itself. Jobs bear being run by several clocks, so every container of a
role may have one. Jobs that say what they wait for are run only while it is there: the clock looks
for all of them together (`aiplatform.lookout`), since most looks find nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import structlog
from django.db import close_old_connections, connections
from prometheus_client import Counter, Histogram

from aiplatform.context import begin_request, choose_request_id
from aiplatform.kept_connections import close_broken_connections, rest_connections
from aiplatform.lookout import Lookout
from aiplatform.wiring import Job

log = structlog.get_logger(__name__)

KEPT_WITHIN_S = 10.0  # a job that comes again within this keeps its connection to a database server

LOOKOUT = "look-out"  # the job that looks whether others have anything to do

JOB_RUNS = Counter(
    "aiplatform_job_runs_total", "Runs of the clock's jobs, looks that found nothing to do left out", ["job", "outcome"]
)
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
        sleepers = [_Sleeper(job) for job in self._jobs if job.waiting]
        busy = [job for job in self._jobs if not job.waiting] + _lookouts(sleepers)
        threads = [self._thread(job.name, self._repeat, job) for job in busy]
        threads += [self._thread(sleeper.job.name, self._run_when_woken, sleeper) for sleeper in sleepers]
        for thread in threads:
            thread.start()
        while not self._stop.wait(0.2):
            pass
        for sleeper in sleepers:
            sleeper.wake.set()
        deadline_s = time.monotonic() + 5
        for thread in threads:
            thread.join(timeout=max(0.0, deadline_s - time.monotonic()))
        for job in self._jobs:
            _say_goodbye(job)

    def _thread(self, name: str, target: Callable[..., None], argument: object) -> threading.Thread:
        return threading.Thread(target=target, args=(argument,), name=name, daemon=True)

    def _run_when_woken(self, sleeper: _Sleeper) -> None:
        while sleeper.wake.wait() and not self._stop.is_set():
            sleeper.wake.clear()
            run_job(sleeper.job)
        connections.close_all()

    def _repeat(self, job: Job) -> None:
        while not self._stop.is_set():
            started_s = time.monotonic()
            run_job(job)
            self._stop.wait(max(0.05, job.interval_s - (time.monotonic() - started_s)))
        connections.close_all()


@dataclass(frozen=True)
class _Sleeper:
    """A job that is run when it is woken."""

    job: Job
    wake: threading.Event = field(default_factory=threading.Event)


def _lookouts(sleepers: Sequence[_Sleeper]) -> list[Job]:
    """Return a job for each interval, which wakes those of its jobs that have something to do."""

    def interval_of(sleeper: _Sleeper) -> float:
        return sleeper.job.interval_s

    return [
        _lookout(interval_s, list(some)) for interval_s, some in groupby(sorted(sleepers, key=interval_of), interval_of)
    ]


def _lookout(interval_s: float, sleepers: Sequence[_Sleeper]) -> Job:
    wakes = {sleeper.job.name: sleeper.wake for sleeper in sleepers}
    lookout = Lookout([sleeper.job for sleeper in sleepers])

    def look() -> None:
        due = set(wakes)  # if nobody can tell: each then says for itself what is wrong
        try:
            due = {job.name for job in lookout.list_due()}
        finally:
            for name in due:
                wakes[name].set()

    return Job(name=LOOKOUT, interval_s=interval_s, run=look)


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
