"""A process that was taken for dead can write nothing."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from django.utils import timezone

from training import leases, processes, registry, supervision
from training.heartbeat import STALE_EXIT_CODE
from training.launchers.base import Handle
from training.leases import Claim, StaleFenceError
from training.models import EpochMetrics, ModelVersion, Run
from training.states import ExitClass, RunState

from ..conftest import Bench
from ..sessions import session_of

HANDLE = Handle(host="elsewhere", pid=1, started="1")


def _taken_over(bench: Bench) -> tuple[Run, Claim, Claim]:
    run = bench.create()
    old = leases.claim_run(run.pk)
    assert old is not None
    assert leases.take_back_run(run.pk, old.fence, ExitClass.LOST, message="silent")
    new = leases.claim_run(run.pk)
    assert new is not None
    return run, old, new


@pytest.mark.parametrize(
    "write",
    [
        lambda r, f: leases.write_run(r.pk, f, progress={"epoch": 99}),
        lambda r, f: leases.write_epoch(r.pk, f, 1, {"loss": 0.0}),
        lambda r, f: leases.renew_lease(r.pk, f),
        lambda r, f: leases.confirm_start(r.pk, f),
        lambda r, f: leases.record_process(r.pk, f, HANDLE, oom_kills=None),
        lambda r, f: registry.reserve_version(run_id=r.pk, fence=f, model_name="sleepy"),
    ],
    ids=["run", "epoch", "lease", "start", "process", "version"],
)
def test_a_stale_attempt_cannot_write(bench: Bench, write: Any) -> None:
    run, old, new = _taken_over(bench)
    before = Run.objects.filter(pk=run.pk).values().get()
    with pytest.raises(StaleFenceError):
        write(run, old.fence)
    assert Run.objects.filter(pk=run.pk).values().get() == before
    assert not EpochMetrics.objects.exists()
    assert not ModelVersion.objects.exists()
    write(run, new.fence)  # the holder can


def test_a_stale_attempt_cannot_end_the_run(bench: Bench) -> None:
    run, old, _ = _taken_over(bench)
    assert not leases.end_run(run.pk, old.fence, ExitClass.FAILED, message="too late")
    assert not leases.take_back_run(run.pk, old.fence, ExitClass.LOST, message="too late")
    assert bench.fresh(run).state == RunState.STARTING


def test_a_process_whose_fence_is_stale_ends_itself(bench: Bench) -> None:
    run = bench.until_epoch(bench.start(epochs=1000, step_s=0.02), 1)
    Run.objects.filter(pk=run.pk).update(fence=run.fence + 1)  # another has taken over
    exit_file = bench.work(run).parent / f"exit-{run.fence}.txt"
    bench.until(run, lambda r: exit_file.exists() and exit_file.read_text() != "", supervised=False)
    assert exit_file.read_text() == str(STALE_EXIT_CODE)


def test_a_process_whose_fence_is_stale_takes_with_it_what_it_started(bench: Bench) -> None:
    """So the memory of a run that its own guard has ended is free, whichever of its threads sees the end first."""
    run = bench.until(bench.start(fault="swell"), lambda r: r.pid is not None and len(session_of(r.pid)) == 2)
    Run.objects.filter(pk=run.pk).update(fence=run.fence + 1)  # another has taken over
    bench.until(run, lambda _: not session_of(run.pid), supervised=False)


def test_a_run_of_another_machine_is_taken_back_only_when_its_lease_is_over(bench: Bench) -> None:
    run = bench.create()
    claim = leases.claim_run(run.pk)
    assert claim is not None
    leases.record_process(run.pk, claim.fence, HANDLE, oom_kills=None)
    supervision.supervise_run(bench.fresh(run))
    assert bench.fresh(run).state == RunState.STARTING
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now())
    supervision.supervise_run(bench.fresh(run))
    run = bench.fresh(run)
    assert (run.state, run.fence) == (RunState.QUEUED, claim.fence + 1)


def test_a_process_id_that_is_used_again_is_not_taken_for_the_trainer(bench: Bench) -> None:
    me = os.getpid()
    assert processes.is_alive(me, processes.start_time(me))
    assert not processes.is_alive(me, "12345")
    processes.signal_session(me, "12345", signal.SIGKILL, leader_only=True)  # must not kill this test


def test_a_cancellation_is_not_lost_when_the_process_ends_at_the_same_moment(bench: Bench) -> None:
    for reason in (ExitClass.NONE, ExitClass.LOST):
        run = bench.create()
        claim = leases.claim_run(run.pk)
        assert claim is not None
        leases.order_stop(bench.fresh(run), ExitClass.CANCELLED)
        assert leases.take_back_run(run.pk, claim.fence, reason, message="gone")
        assert bench.fresh(run).state == RunState.CANCELLED
