"""Waits for a run in a command, and does the queue's and the clock's work if nobody else does.

So `train run` works with nothing but a database: if the doorbell is not answered within a second (or nobody can be
there to answer it), the command answers it itself, by the same claim as the queue's worker, and it supervises while it
waits. A worker or clock that does exist is not disturbed: every step is conditional.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError

from aiplatform.kept_connections import close_broken_connections
from aiplatform.queue_presence import may_queue_answer
from aiplatform.roles import TRAINING
from training import doorbell, selectors, supervision
from training.cli.views import RunView
from training.models import Run
from training.resources.granting import find_decision
from training.states import DeployState, RunState

log = structlog.get_logger(__name__)

POLL_S = 0.2
LONG_POLL_S = 1.0  # of a run that takes its time: each look costs processor time that the run could use
PATIENT_AFTER_S = 10.0
SUPERVISED_LESS = 5  # a run whose trainer was heard just now is looked after so many times more seldom
CLOCKS_DIFFER = timedelta(minutes=5)  # of machines that train one run after the other, at most
ANSWER_AFTER_S = 1.0
ASK_WHY_EVERY_S = 2.0
DEPLOY_PATIENCE_S = 15.0


class RunWaiter:
    """Follows one run to its end."""

    def __init__(self, run_id: UUID, view: RunView) -> None:
        self._run_id, self._view = run_id, view
        self._began_s = time.monotonic()
        self._seen_epochs: dict[int, datetime] = {}
        self._seen_until: datetime | None = None
        self._queued_s: float | None = None
        self._supervised_s = 0.0
        self._beat: datetime | None = None
        self._heard_s = 0.0
        self._ended_s: float | None = None
        self._waits, self._ask_again_s = "", 0.0

    def wait(self) -> Run:
        """Return the run when it has ended and its deployment, if any, is taken or overdue."""
        while True:
            run = self._look()
            if run is not None and self._is_over(run):
                self._view.end(run)
                return run
            is_long = time.monotonic() - self._began_s > PATIENT_AFTER_S
            time.sleep(LONG_POLL_S if is_long else POLL_S)

    def _look(self) -> Run | None:
        try:
            close_broken_connections()
            run = selectors.get_run(self._run_id)
            self._show(run)
            if TRAINING in settings.ROLES:
                self._help(run)
        except DatabaseError as error:
            log.warning("database_away_while_waiting", error=str(error))
            return None
        return run

    def _show(self, run: Run) -> None:
        since = self._seen_until and self._seen_until - CLOCKS_DIFFER
        for epoch in selectors.list_epochs(run, since=since):
            if self._seen_epochs.get(epoch.epoch) != epoch.recorded_at:
                self._seen_epochs[epoch.epoch] = epoch.recorded_at
                self._view.end_epoch(run, epoch)
            self._seen_until = max(self._seen_until or epoch.recorded_at, epoch.recorded_at)
        self._view.update(run, self._why_it_waits(run))

    def _why_it_waits(self, run: Run) -> str:
        """Return why nothing happens yet, asked now and then; a run that starts at once does not say it."""
        if run.state != RunState.QUEUED:
            self._waits = ""
        elif self._queued_s is not None and time.monotonic() >= self._ask_again_s:
            self._ask_again_s = time.monotonic() + ASK_WHY_EVERY_S
            decision = find_decision(run.pk)
            self._waits = decision.reason if decision and not decision.host else ""
        return self._waits

    def _help(self, run: Run) -> None:
        now_s = time.monotonic()
        if run.state != RunState.QUEUED:
            self._queued_s = None
        elif self._queued_s is None:
            self._queued_s = now_s
        if self._queued_s is not None and (now_s - self._queued_s >= ANSWER_AFTER_S or not may_queue_answer()):
            doorbell.answer(str(run.pk))
        if self._is_supervision_due(run, now_s):
            self._supervised_s = now_s
            supervision.supervise()

    def _is_supervision_due(self, run: Run, now_s: float) -> bool:
        """Say whether it is time to look after all runs; it costs more than all else that a waiting command does."""
        pause_s = settings.TRAINING_SUPERVISE_S
        if run.state == RunState.RUNNING and run.heartbeat_at != self._beat:
            self._beat, self._heard_s = run.heartbeat_at, now_s
        if run.state == RunState.RUNNING and now_s - self._heard_s < max(pause_s, 2 * LONG_POLL_S):
            pause_s *= SUPERVISED_LESS
        return now_s - self._supervised_s >= pause_s

    def _is_over(self, run: Run) -> bool:
        if not run.is_ended:
            return False
        if run.deploy_state != DeployState.PENDING:
            return True
        self._ended_s = self._ended_s or time.monotonic()
        return time.monotonic() - self._ended_s > DEPLOY_PATIENCE_S
