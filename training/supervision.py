"""Sees what no trainer can say of itself: that it died, hangs, takes too long, was never started.

It runs every second or two, in the clock and in each waiting command, in any number at once; every
decision is a conditional UPDATE under the run's fence, so that only one of them counts.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from training import deployment, doorbell, metrics, selectors
from training.failures import Moment, explain_end
from training.launchers import get_launcher
from training.launchers.base import Handle, LaunchOrder, Liveness, ProcessEnd
from training.leases import held_by, order_stop, prolong_start, take_back_run
from training.models import Run
from training.reasons import stop_message
from training.resources.granting import decide_queue, settle_leases
from training.resources.hosts import register_host
from training.resources.ledger import read_ledger
from training.resources.queueing import Decision
from training.run_files import run_folder
from training.searching.advancing import advance_searches
from training.states import ExitClass, RunState

log = structlog.get_logger(__name__)

QUIET_S = 10.0  # between two passes while nothing is trained


class Supervisor:
    """Supervises at each look while anything goes on, once more when it is over, and now and then all the same.

    A pass is some twenty queries, too many every two seconds for a platform on which nothing is trained.
    """

    def __init__(self, *, run: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._was_going_on = True
        self._due_s = 0.0

    def look(self) -> None:
        """Supervise if there is anything to be looked after."""
        is_going_on = selectors.is_training_going_on()
        if is_going_on or self._was_going_on or self._clock() >= self._due_s:
            self._run()
            self._due_s = self._clock() + QUIET_S
        self._was_going_on = is_going_on


@functools.cache
def supervisor() -> Supervisor:
    """Return this process's."""
    return Supervisor(run=supervise)


def supervise() -> None:
    """Look after every active run, ring for those that wait, deploy what is due."""
    for run in selectors.list_active_runs():
        try:
            supervise_run(run)
        except DatabaseError:
            raise
        except Exception:
            log.exception("supervision_failed", run=str(run.pk))
    advance_searches()
    settle_leases()
    register_host(get_launcher())
    ledger = read_ledger()
    decisions = decide_queue(ledger)
    ring_waiting(decisions)
    deployment.deploy_due()
    ready = sum(bool(one.host) for one in decisions)
    metrics.observe_resources(ledger.states(), ready=ready, waiting=len(decisions) - ready)
    metrics.observe_runs(
        selectors.count_runs_by_state(),
        longest_wait_s=selectors.longest_wait_s(),
        longest_run_s=selectors.longest_run_s(),
        last_run_s=selectors.last_run_s(),
    )


def supervise_run(run: Run) -> None:
    """Take back a run whose process is gone; stop one that is over a limit."""
    now = timezone.now()
    liveness = _liveness(run)
    is_expired = run.lease_expires_at is not None and run.lease_expires_at <= now
    if liveness is Liveness.DEAD or (is_expired and liveness is Liveness.UNKNOWN):
        conclude_dead(run)
        return
    if run.state == RunState.STARTING and liveness is Liveness.ALIVE and _wait_on(run):
        is_expired = False
    reason = _limit_reached(run, now, is_expired=is_expired)
    if reason and order_stop(run, reason):
        run.stop_reason, run.stop_ordered_at = reason, now
        log.warning("run_stopped_by_limit", run=str(run.pk), reason=reason.value)
    handle = _handle(run)
    if run.stop_reason and run.stop_ordered_at and handle is not None and liveness is Liveness.ALIVE:
        _press(run, handle, waited_s=(now - run.stop_ordered_at).total_seconds())


def conclude_dead(run: Run) -> None:
    """Decide what becomes of a run whose process is gone."""
    launcher = get_launcher(run.launcher or None)
    order = LaunchOrder(run_id=run.pk, fence=run.fence, folder=run_folder(run.pk))
    end = launcher.describe_end(order, oom_kills_before=run.oom_kills_before)
    reason, message = _why(run, end)
    take_back_run(run.pk, run.fence, reason, message=message)


def ring_waiting(decisions: Iterable[Decision]) -> None:
    """Ring again for runs for which there is room, if their doorbells are lost or were declined."""
    ready = {decision.run_id for decision in decisions if decision.host}
    silent = selectors.list_runs_to_ring(silent_s=settings.TRAINING_RING_AGAIN_S) if ready else []
    waiting = [run for run in silent if run.pk in ready]
    if waiting and not doorbell.count_unanswered():
        for run in waiting:
            log.info("doorbell_rung_again", run=str(run.pk))
            doorbell.ring(run.pk)


def release_local_trainers(*, wait_s: float = 2.5) -> int:
    """Stop this machine's trainers in good order; return how many have not ended within `wait_s`.

    They end after the present step; their runs go back to the queue and go on from a checkpoint when
    the platform starts again.
    """
    launcher = get_launcher()
    if not launcher.ends_with_platform:
        return 0
    handles = [handle for run in selectors.list_active_runs() if (handle := _handle(run)) is not None]
    living = [handle for handle in handles if launcher.check(handle) is Liveness.ALIVE]
    for handle in living:
        launcher.stop(handle, force=False)
    deadline_s = time.monotonic() + wait_s
    while living and time.monotonic() < deadline_s:
        time.sleep(0.05)
        living = [handle for handle in living if launcher.check(handle) is Liveness.ALIVE]
    return len(living)


def _why(run: Run, end: ProcessEnd) -> tuple[ExitClass, str]:
    if run.stop_reason:
        return ExitClass(run.stop_reason), stop_message(ExitClass(run.stop_reason))
    return explain_end(end, _last_moment(run), is_starting=run.state == RunState.STARTING)


def _last_moment(run: Run) -> Moment:
    """Return what was last heard of a process that is gone."""
    progress = run.progress
    usage = selectors.find_usage(run)
    return Moment(
        phase=str(progress.get("phase", "")),
        epoch=int(progress.get("epoch", 0)),
        step=int(progress.get("step", 0)),
        parameters=run.parameters,
        memory_bytes=int(usage.points[-1][2]) if usage and usage.points else 0,
        peak_bytes=usage.memory_peak_bytes if usage else 0,
        limit_bytes=usage.memory_limit_bytes if usage else None,
    )


def _limit_reached(run: Run, now: datetime, *, is_expired: bool) -> ExitClass | None:
    if run.stop_reason:
        return None
    if is_expired:
        return ExitClass.LOST  # it lives and does not answer: suspended, or cut off from the database
    if run.deadline_at is not None and run.deadline_at <= now:
        return ExitClass.TIMED_OUT
    if run.progress_at is not None and run.progress_at + timedelta(seconds=settings.TRAINING_STALL_S) <= now:
        return ExitClass.STALLED
    return None


def _wait_on(run: Run) -> bool:
    """Let a run wait whose trainer has been ordered and has no place yet; say whether it is so."""
    handle = _handle(run)
    why = get_launcher(run.launcher or None).describe_wait(handle) if handle is not None else ""
    return bool(why) and prolong_start(run.pk, run.fence, why)


def _press(run: Run, handle: Handle, *, waited_s: float) -> None:
    """First the flag, which the trainer reads each second; then SIGTERM; then SIGKILL."""
    launcher = get_launcher(run.launcher or None)
    if run.stop_signalled_at is None and waited_s >= settings.TRAINING_STOP_GRACE_S / 3:
        held_by(run.pk, run.fence).update(stop_signalled_at=timezone.now())
        launcher.stop(handle, force=False)
    elif waited_s >= settings.TRAINING_STOP_GRACE_S:
        log.warning("trainer_killed", run=str(run.pk), pid=run.pid, reason=run.stop_reason)
        launcher.stop(handle, force=True)


def _liveness(run: Run) -> Liveness:
    handle = _handle(run)
    return Liveness.UNKNOWN if handle is None else get_launcher(run.launcher or None).check(handle)


def _handle(run: Run) -> Handle | None:
    if run.pid is None:
        return None
    return Handle(host=run.host, pid=run.pid, started=run.process_started)
