"""A command that waits for a run shows each epoch once, and asks only for those it may not have seen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from aiplatform.kept_connections import close_broken_connections
from training import selectors
from training.cli.views import RunView
from training.cli.waiting import CLOCKS_DIFFER, RunWaiter
from training.models import EpochMetrics, Run
from training.states import RunState

pytestmark = pytest.mark.django_db

LONG_AGO = timezone.now() - 3 * CLOCKS_DIFFER


class Shown(RunView):
    """Notes the epochs that are shown."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def update(self, run: Run, waits: str = "") -> None:
        """Show nothing."""

    def end_epoch(self, run: Run, epoch: EpochMetrics) -> None:
        """Note the epoch."""
        self.epochs.append(epoch.epoch)

    def end(self, run: Run) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Hold nothing."""


def record(run: Run, epoch: int, at: datetime) -> None:
    """Write an epoch as a trainer does; an epoch that is learned again replaces the one before."""
    EpochMetrics.objects.update_or_create(run=run, epoch=epoch, defaults={"values": {"loss": 1.0}, "recorded_at": at})


def ended_run() -> Run:
    """Return a run that needs no look after it."""
    return Run.objects.create(recipe="r", data_uri="digits", model_name="m", state=RunState.SUCCEEDED)


def test_each_epoch_is_shown_once_and_again_when_it_was_learned_again() -> None:
    run, shown = ended_run(), Shown()
    waiter = RunWaiter(run.pk, shown)
    record(run, 1, LONG_AGO)
    record(run, 2, LONG_AGO + timedelta(seconds=1))
    waiter._show(run)
    waiter._show(run)
    record(run, 2, LONG_AGO + timedelta(seconds=60))
    record(run, 3, LONG_AGO + timedelta(seconds=61))
    waiter._show(run)
    assert shown.epochs == [1, 2, 2, 3]


def test_an_epoch_from_a_machine_whose_clock_is_late_is_shown_too() -> None:
    run, shown = ended_run(), Shown()
    waiter = RunWaiter(run.pk, shown)
    record(run, 1, LONG_AGO)
    waiter._show(run)
    record(run, 2, LONG_AGO - CLOCKS_DIFFER + timedelta(seconds=1))
    waiter._show(run)
    assert shown.epochs == [1, 2]


def test_epochs_of_long_ago_are_not_read_again() -> None:
    run = ended_run()
    record(run, 1, LONG_AGO)
    record(run, 2, LONG_AGO + timedelta(seconds=10))
    since = LONG_AGO + timedelta(seconds=5)
    assert [epoch.epoch for epoch in selectors.list_epochs(run, since=since)] == [2]


def test_while_a_trainer_is_heard_its_command_supervises_seldom_and_soon_when_it_falls_silent(settings: Any) -> None:
    settings.TRAINING_SUPERVISE_S = 2.0
    run = Run(state=RunState.RUNNING, heartbeat_at=LONG_AGO)
    waiter = RunWaiter(run.pk, Shown())
    waiter._supervised_s = 100.0
    for second in range(101, 110):
        run.heartbeat_at = LONG_AGO + timedelta(seconds=second)
        assert not waiter._is_supervision_due(run, float(second))
    assert waiter._is_supervision_due(run, 110.0)  # also what is well is looked after
    waiter._supervised_s = 110.0
    assert [waiter._is_supervision_due(run, 110.0 + after) for after in (1.0, 1.9, 2.0)] == [False, False, True]


def test_a_run_that_nobody_trains_is_supervised_at_the_usual_pace(settings: Any) -> None:
    settings.TRAINING_SUPERVISE_S = 2.0
    waiter = RunWaiter(Run().pk, Shown())
    waiter._supervised_s = 100.0
    queued = Run(state=RunState.QUEUED)
    assert [waiter._is_supervision_due(queued, 100.0 + after) for after in (1.9, 2.0)] == [False, True]


@pytest.mark.django_db(transaction=True)
def test_a_sound_connection_is_kept_and_a_broken_one_is_closed() -> None:
    connection.ensure_connection()
    before = connection.connection
    close_broken_connections()
    assert connection.connection is before
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM there_is_no_such_table")
    close_broken_connections()
    assert connection.connection is not before
    assert Run.objects.count() == 0
