"""The queue's only part in training: someone rings, and the run that waits is claimed and started.

A doorbell carries nothing but the run's id, so it may be lost, late or rung a hundred times: the
claim is one conditional UPDATE, supervision rings again for what still waits, and the task returns
at once because the training is a process of its own.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from django.db import DatabaseError
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.tasks import async_task

from aiplatform.errors import PlatformError
from training import selectors
from training.launchers import get_launcher
from training.launchers.base import LaunchOrder
from training.leases import Claim, StaleFenceError, end_run, record_process
from training.models import Run
from training.resources.amounts import Ask, Grant
from training.resources.granting import claim_with_grant
from training.resources.hosts import register_host
from training.resources.ledger import ask_of
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
    """Return how many doorbells lie in the queue and nobody has taken; those are late, not lost.

    One that was taken is answered at once, or its worker has died: then the queue gives it out again much later.
    """
    return int(get_broker().queue_size())


def answer(run_id: str) -> str:
    """Start the run if it waits and may start here; return what was done, or why not, for the queue's log."""
    run = selectors.find_run(UUID(run_id))
    if run is None or run.state != RunState.QUEUED:
        return "nothing waits"
    here = register_host(get_launcher())
    claimed = claim_with_grant(run.pk, here)
    if isinstance(claimed, str):
        return claimed
    claim, grant = claimed
    return start_trainer(claim, grant, ask_of(run))


def start_trainer(claim: Claim, grant: Grant | None = None, ask: Ask | None = None) -> str:
    """Start the process for a claimed run; a start that fails ends the run."""
    order = LaunchOrder(
        run_id=claim.run_id, fence=claim.fence, folder=run_folder(claim.run_id), grant=grant, ask=ask or Ask(),
        workers=selectors.count_workers(claim.run_id),
    )  # fmt: skip
    try:
        launcher = get_launcher()
        oom_kills = launcher.count_oom_kills()
        handle = launcher.launch(order)
    except (OSError, PlatformError) as error:
        end_run(claim.run_id, claim.fence, ExitClass.FAILED, message=f"the trainer could not be started: {error}")
        return "could not start"
    try:
        record_process(claim.run_id, claim.fence, handle, oom_kills=oom_kills)
    except StaleFenceError:
        return "started and ended"  # a short run is over before its process id is noted
    log.info("trainer_started", run=str(claim.run_id), attempt=claim.attempt, pid=handle.pid)
    return f"started attempt {claim.attempt}"
