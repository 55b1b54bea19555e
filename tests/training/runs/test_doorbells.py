"""One claim for one run, however often and wherever its doorbell is rung."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone
from django_q.models import OrmQ

from training import doorbell, selectors, supervision
from training.leases import claim_run
from training.models import ModelVersion, Run
from training.states import RunState

from ..conftest import Bench


def test_two_doorbells_at_once_start_one_process(bench: Bench) -> None:
    run = bench.create(epochs=1, step_s=0.02)
    barrier = threading.Barrier(8)
    answers: list[str] = []

    def ring() -> None:
        barrier.wait()
        answers.append(doorbell.answer(str(run.pk)))
        connections.close_all()

    threads = [threading.Thread(target=ring) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer.startswith("started") for answer in answers) == 1, answers
    run = bench.until_ended(run)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1), bench.log(run)
    assert ModelVersion.objects.count() == 1


def test_a_doorbell_rung_a_hundred_times_is_harmless(bench: Bench) -> None:
    run = bench.until_ended(bench.start(epochs=1))
    assert {doorbell.answer(str(run.pk)) for _ in range(100)} == {"nothing waits"}
    assert bench.fresh(run).attempt == 1


def test_a_claim_is_given_once(bench: Bench) -> None:
    run = bench.create()
    claim = claim_run(run.pk)
    assert claim is not None
    assert (claim.fence, claim.attempt) == (1, 1)
    assert claim_run(run.pk) is None


def test_a_doorbell_for_a_run_that_is_not_there_is_harmless(bench: Bench) -> None:
    assert doorbell.answer("00000000-0000-0000-0000-000000000000") == "nothing waits"


def test_a_lost_doorbell_is_rung_again_and_a_late_one_is_not(bench: Bench) -> None:
    run = bench.create()
    bench.until(run, lambda r: r.rung_at is not None, supervised=False)
    time.sleep(bench.settings.TRAINING_RING_AGAIN_S)
    bench.ring_waiting()
    assert OrmQ.objects.count() == 1  # the first still lies in the queue
    OrmQ.objects.all().delete()
    bench.ring_waiting()
    assert OrmQ.objects.count() == 1


def test_a_doorbell_that_was_taken_by_a_worker_that_died_is_rung_again(bench: Bench) -> None:
    run = bench.create()
    bench.until(run, lambda r: r.rung_at is not None, supervised=False)
    OrmQ.objects.update(lock=timezone.now() + timedelta(seconds=110))  # taken; it is given out again that late
    time.sleep(bench.settings.TRAINING_RING_AGAIN_S)
    bench.ring_waiting()
    assert OrmQ.objects.count() == 2
    time.sleep(bench.settings.TRAINING_RING_AGAIN_S)
    bench.ring_waiting()
    assert OrmQ.objects.count() == 2  # nobody has taken the second one yet


@pytest.mark.e2e
def test_a_killed_queue_worker_loses_neither_a_running_nor_a_waiting_run(bench: Bench) -> None:
    worker = _start_worker()
    try:
        running = bench.until(bench.create(epochs=4, step_s=0.05), lambda r: r.pid is not None, supervised=False)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        waiting = bench.create(epochs=1)
        running = bench.until_ended(running, supervised=False)
        assert (running.state, running.attempt) == (RunState.SUCCEEDED, 1), bench.log(running)
        worker = _start_worker()
        waiting = _until_ended_by_worker(bench, waiting)
        assert (waiting.state, waiting.attempt) == (RunState.SUCCEEDED, 1), bench.log(waiting)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _start_worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "qcluster"], cwd=settings.BASE_DIR, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _until_ended_by_worker(bench: Bench, run: Run) -> Run:
    deadline_s = time.monotonic() + 30
    while not (found := selectors.get_run(run.pk)).is_ended:
        assert time.monotonic() < deadline_s, (found.state, bench.log(run))
        supervision.supervise()  # rings again, but never answers
        time.sleep(0.1)
    return found
