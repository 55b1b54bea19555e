"""Every change of an active run, as one conditional UPDATE: the fence decides, not the timing.

A run is claimed by one process; the claim raises the fence and sets a lease. All that the process
writes names its fence. A process that was taken for dead finds its fence stale, can write nothing,
and ends itself. No lock is held between statements, so any number of processes may try anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from aiplatform.errors import ConflictError
from training.launchers.base import Handle
from training.models import EpochMetrics, Run, RunData, RunEvaluation
from training.reasons import stop_message
from training.states import ACTIVE_STATES, RETRIED_CLASSES, ExitClass, RunState

log = structlog.get_logger(__name__)

START_ALLOWANCE_S = 30.0  # until a new process beats for the first time, on a busy machine
MESSAGE_LENGTH = 1000
TRACEBACK_LENGTH = 20_000

# What a run forgets when no process holds it any more.
_NOBODY: dict[str, Any] = {
    "lease_expires_at": None,
    "pid": None,
    "process_started": "",
    "host": "",
    "oom_kills_before": None,
    "stop_signalled_at": None,
}


class StaleFenceError(ConflictError):
    """Another process, or nobody, holds the run now; the caller must end without writing."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to write to a run, until someone raises the fence."""

    run_id: UUID
    fence: int
    attempt: int


def held_by(run_id: UUID, fence: int) -> QuerySet[Run]:
    """Return the run as a query that is empty if the fence is stale."""
    return Run.objects.filter(pk=run_id, fence=fence, state__in=ACTIVE_STATES)


def claim_run(run_id: UUID) -> Claim | None:
    """Claim a queued run: count the attempt, raise the fence, start the lease; None if it does not wait."""
    run = Run.objects.filter(pk=run_id, state=RunState.QUEUED, attempts_left__gt=0).first()
    if run is None:
        return None
    now = timezone.now()
    deadline_at = run.deadline_at or _after(now, settings.TRAINING_WALL_CLOCK_S)
    claimed = Run.objects.filter(pk=run_id, state=RunState.QUEUED, fence=run.fence).update(
        state=RunState.STARTING,
        fence=run.fence + 1,
        attempt=F("attempt") + 1,
        attempts_left=F("attempts_left") - 1,
        lease_expires_at=_after(now, settings.TRAINING_LEASE_S + START_ALLOWANCE_S),
        heartbeat_at=now,
        progress_at=None,  # a process that comes up slowly has not stalled yet
        progress={"phase": "starting"},
        deadline_at=deadline_at,
        started_at=run.started_at or now,
    )
    return Claim(run_id=run_id, fence=run.fence + 1, attempt=run.attempt + 1) if claimed else None


def record_process(run_id: UUID, fence: int, handle: Handle, *, oom_kills: int | None) -> None:
    """Note which process trains.

    Raises: StaleFenceError if the claim is no longer good.
    """
    write_run(
        run_id,
        fence,
        host=handle.host,
        pid=handle.pid,
        process_started=handle.started,
        launcher=settings.TRAINING_LAUNCHER,
        oom_kills_before=oom_kills,
    )


def confirm_start(run_id: UUID, fence: int) -> None:
    """Say that the training process has come up.

    Raises: StaleFenceError if the claim is no longer good.
    """
    starting = held_by(run_id, fence).filter(state=RunState.STARTING)
    if not starting.update(state=RunState.RUNNING, progress_at=timezone.now()):
        write_run(run_id, fence)  # being stopped already is fine, being someone else's is not


def prolong_start(run_id: UUID, fence: int, why: str) -> bool:
    """Let a run that is being started wait longer, and say for what; False if it has started, or the fence is stale."""
    now = timezone.now()
    starting = held_by(run_id, fence).filter(state=RunState.STARTING)
    lease = _after(now, settings.TRAINING_LEASE_S + START_ALLOWANCE_S)
    return bool(starting.update(lease_expires_at=lease, heartbeat_at=now, progress={"phase": why}))


def renew_lease(run_id: UUID, fence: int) -> ExitClass:
    """Prolong the lease; return why the run shall stop, or NONE.

    Raises: StaleFenceError if the claim is no longer good.
    """
    now = timezone.now()
    write_run(run_id, fence, heartbeat_at=now, lease_expires_at=_after(now, settings.TRAINING_LEASE_S))
    reason = held_by(run_id, fence).values_list("stop_reason", flat=True).first()
    return ExitClass(reason or "")


def write_run(run_id: UUID, fence: int, **changes: Any) -> None:
    """Change columns of a run.

    Raises: StaleFenceError if the claim is no longer good; then nothing is written.
    """
    if not held_by(run_id, fence).update(**(changes or {"fence": fence})):
        raise StaleFenceError(f"run {run_id}: fence {fence} is stale")


def write_epoch(run_id: UUID, fence: int, epoch: int, values: Mapping[str, float | None], **changes: Any) -> None:
    """Keep an epoch's metrics and change columns of the run, together.

    Raises: StaleFenceError if the claim is no longer good; then nothing is written.
    """
    with transaction.atomic():
        write_run(run_id, fence, **changes)
        EpochMetrics.objects.update_or_create(
            run_id=run_id, epoch=epoch, defaults={"values": dict(values), "recorded_at": timezone.now()}
        )


def complete_trial(run_id: UUID, fence: int, *, data_fingerprint: str) -> None:
    """End a run well that registers no version.

    Raises: StaleFenceError if the claim is no longer good.
    """
    ended = held_by(run_id, fence).update(
        **_NOBODY, state=RunState.SUCCEEDED, fence=F("fence") + 1, ended_at=timezone.now(), stop_reason="",
        exit_class="", exit_message="", exit_traceback="", data_fingerprint=data_fingerprint,
        progress={"phase": "done"},
    )  # fmt: skip
    if not ended:
        raise StaleFenceError(f"run {run_id}: fence {fence} is stale")
    log.info("trial_ended", run=str(run_id))


def write_evaluation(
    run_id: UUID,
    fence: int,
    *,
    metrics: Mapping[str, float],
    labels: Sequence[str],
    matrix: Sequence[Sequence[int]],
) -> None:
    """Keep a run's test metrics and confusion matrix: counts, shape (classes, classes), rows are true classes.

    Raises: StaleFenceError if the claim is no longer good; then nothing is written.
    """
    with transaction.atomic():
        write_run(run_id, fence)
        RunEvaluation.objects.update_or_create(
            run_id=run_id,
            defaults={
                "metrics": {name: value if math.isfinite(value) else None for name, value in metrics.items()},
                "labels": list(labels),
                "confusion_matrix": [list(row) for row in matrix],
            },
        )


def write_data(run_id: UUID, fence: int, sources: list[dict[str, Any]]) -> None:
    """Keep what a run found in its data; an attempt that looks again overwrites it.

    Raises: StaleFenceError if the claim is no longer good; then nothing is written.
    """
    with transaction.atomic():
        write_run(run_id, fence)
        RunData.objects.update_or_create(run_id=run_id, defaults={"sources": sources})


def order_stop(run: Run, reason: ExitClass) -> bool:
    """Ask the process of an active run to stop; the first reason stays. Say whether it was this one."""
    now = timezone.now()
    return bool(
        held_by(run.pk, run.fence)
        .filter(stop_reason="")
        .update(
            state=RunState.STOPPING,
            stop_reason=reason,
            stop_ordered_at=now,
            cancel_requested_at=now if reason == ExitClass.CANCELLED else None,
        )
    )


def end_run(run_id: UUID, fence: int, reason: ExitClass, *, message: str = "", traceback: str = "") -> bool:
    """End an active run other than well; False if the fence is stale."""
    state = RunState.CANCELLED if reason == ExitClass.CANCELLED else RunState.FAILED
    ended = held_by(run_id, fence).update(
        **_NOBODY,
        state=state,
        fence=F("fence") + 1,
        exit_class=reason,
        exit_message=message[:MESSAGE_LENGTH],
        exit_traceback=traceback[-TRACEBACK_LENGTH:],
        ended_at=timezone.now(),
    )
    if ended:
        log.info("run_ended", run=str(run_id), state=state.value, exit_class=reason.value, message=message)
    return bool(ended)


def take_back_run(run_id: UUID, fence: int, reason: ExitClass, *, message: str) -> bool:
    """Take an active run from its process: queue it again if it may go on, else end it.

    An orderly stop (`reason` NONE) gives the attempt back. A reason that stands in the row goes
    before the given one, so that a cancellation is not lost. False if the fence is stale.
    """
    ordered = held_by(run_id, fence).values_list("stop_reason", flat=True).first()
    if ordered is None:
        return False
    if ordered and ordered != reason:
        reason = ExitClass(ordered)
        message = stop_message(reason)
    is_orderly = reason == ExitClass.NONE
    if (is_orderly or reason in RETRIED_CLASSES) and _requeue(run_id, fence, ordered, message, is_orderly=is_orderly):
        log.info("run_requeued", run=str(run_id), reason=reason.value or "shutdown", message=message)
        return True
    if not held_by(run_id, fence).filter(stop_reason=ordered).exists():
        return take_back_run(run_id, fence, reason, message=message)  # a stop was ordered just now
    return end_run(run_id, fence, reason or ExitClass.LOST, message=message)


def _requeue(run_id: UUID, fence: int, ordered: str, message: str, *, is_orderly: bool) -> bool:
    held = held_by(run_id, fence).filter(stop_reason=ordered)
    return bool(
        held.filter(Q() if is_orderly else Q(attempts_left__gt=0)).update(
            **_NOBODY,
            state=RunState.QUEUED,
            fence=F("fence") + 1,
            attempts_left=F("attempts_left") + int(is_orderly),
            stop_reason="",
            stop_ordered_at=None,
            progress={"phase": "waiting to go on"},
            exit_message=message[:MESSAGE_LENGTH],
            rung_at=timezone.now(),
        )
    )


def _after(moment: datetime, seconds: float) -> datetime:
    return moment + timedelta(seconds=seconds)
