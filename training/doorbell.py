"""The queue's only part in training: someone rings, and the run that waits is claimed and started.

A doorbell carries nothing but the run's id, so it may be lost, late or rung a hundred times: the
claim is one conditional UPDATE, supervision rings again for what still waits, and the task returns
at once because the training is a process of its own.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.tasks import async_task

from aiplatform.errors import PlatformError
from training import selectors
from training.launchers import get_launcher
from training.launchers.base import LaunchOrder
from training.leases import Claim, StaleFenceError, claim_run, end_run, record_process
from training.models import Run
from training.run_files import run_folder
from training.states import ExitClass, RunState

log = structlog.get_logger(__name__)

ANSWER = "training.doorbell.answer"


def ring(run_id: UUID) -> None:
    """Ask the queue to start a run; if the queue cannot be reached, supervision rings again."""
    Run.objects.filter(pk=run_id, state=RunState.QUEUED).update(rung_at=timezone.now())
    try:
        async_task(ANSWER, str(run_id), task_name=f"start run {str(run_id)[:8]}")
    except (DatabaseError, OSError) as error:
        log.warning("doorbell_not_rung", run=str(run_id), error=str(error))


def count_unanswered() -> int:
    """Return how many doorbells lie in the queue; those in it are late, not lost."""
    broker = get_broker()
    return int(broker.queue_size()) + int(broker.lock_size())


def answer(run_id: str) -> str:
    """Start the run if it waits and there is room; return what was done, for the queue's log."""
    run = selectors.find_run(UUID(run_id))
    if run is None or run.state != RunState.QUEUED:
        return "nothing waits"
    if selectors.count_active_runs() >= settings.TRAINING_SLOTS:
        return "no room; supervision rings again"
    claim = claim_run(run.pk)
    if claim is None:
        return "claimed by another"
    return start_trainer(claim)


def start_trainer(claim: Claim) -> str:
    """Start the process for a claimed run; a start that fails ends the run."""
    folder = run_folder(claim.run_id)
    try:
        launcher = get_launcher()
        oom_kills = launcher.count_oom_kills()
        workers = selectors.count_workers(claim.run_id)
        handle = launcher.launch(LaunchOrder(run_id=claim.run_id, fence=claim.fence, folder=folder, workers=workers))
    except (OSError, PlatformError) as error:
        end_run(claim.run_id, claim.fence, ExitClass.FAILED, message=f"the trainer could not be started: {error}")
        return "could not start"
    try:
        record_process(claim.run_id, claim.fence, handle, oom_kills=oom_kills)
    except StaleFenceError:
        return "started and ended"  # a short run is over before its process id is noted
    log.info("trainer_started", run=str(claim.run_id), attempt=claim.attempt, pid=handle.pid)
    return f"started attempt {claim.attempt}"
