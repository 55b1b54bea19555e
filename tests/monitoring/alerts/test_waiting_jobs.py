"""Jobs that are run only while there is something to do: what they wait for is all that they work on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aiplatform.lookout import Lookout
from aiplatform.wiring import wiring
from monitoring.alerts.notifications import Backoff
from monitoring.alerts.pushing import push_due_alerts
from monitoring.alerts.vocabulary import ActionKind, ActionState, NotificationState
from monitoring.models.alerts import ActionRun, AlertmanagerPush, Notification
from monitoring.models.retrainings import Retraining
from monitoring.models.rollouts import Rollout
from tests.monitoring.alerts.world import START, World, make_channel, make_rule

WAITING = {"alerts-group", "alerts-push", "alerts-notify", "alerts-act", "rollouts-advance", "retrainings-advance"}


def due() -> set[str]:
    """Return the jobs that have something to do."""
    return {job.name for job in Lookout([job for job in wiring.jobs if job.waiting]).list_due()}


@pytest.mark.django_db
def test_one_statement_looks_for_all_that_six_jobs_could_do(django_assert_num_queries: Any) -> None:
    make_channel("alertmanager", kind="alertmanager")
    jobs = [job for job in wiring.jobs if job.waiting]
    assert {job.name for job in jobs} == WAITING
    with django_assert_num_queries(1):
        assert Lookout(jobs).list_due() == []


@pytest.mark.postgres
def test_what_an_alert_sets_off_is_waited_for_step_by_step(world: World) -> None:
    make_rule(action=ActionKind.FREEZE)
    make_channel(is_default=True)
    world.evaluator().run()
    assert due() == set(), "all is well"
    world.value = 0.2
    world.now += timedelta(seconds=10)
    world.evaluator().run()
    assert due() == {"alerts-group", "alerts-act"}
    world.flush()
    assert due() == {"alerts-group", "alerts-act", "alerts-notify"}, "a group with an alert is looked at on"
    world.send()
    assert due() == {"alerts-group", "alerts-act"}


@pytest.mark.parametrize("state", NotificationState.values)
def test_a_message_is_waited_for_until_it_is_sent_or_given_up(world: World, state: str) -> None:
    make_rule()
    make_channel(is_default=True)
    world.tick(value=0.2)
    Notification.objects.update(state=state)
    assert ("alerts-notify" in due()) is (state in ("pending", "sending"))


@pytest.mark.parametrize("state", ActionState.values)
def test_an_action_is_waited_for_until_it_has_an_outcome(world: World, state: str) -> None:
    make_rule(action=ActionKind.FREEZE)
    world.tick(value=0.2)
    ActionRun.objects.update(state=state)
    assert ("alerts-act" in due()) is (state in ("pending", "running"))


def test_an_alertmanager_is_waited_for_until_it_knows_of_every_end(world: World) -> None:
    channel = make_channel("alertmanager", kind="alertmanager")
    make_rule()

    def push() -> int:
        return push_due_alerts(post=lambda url, alerts: None, clock=lambda: world.now, backoff=Backoff(attempts=3))

    world.tick(value=0.2)
    assert "alerts-push" in due()
    assert push() == 1
    assert "alerts-push" in due(), "it has to be told again"
    world.tick(value=0.0)
    assert AlertmanagerPush.objects.get().told == "firing"
    assert "alerts-push" in due(), "the alert is over, which it does not know"
    assert push() == 1
    assert "alerts-push" not in due()
    world.tick(value=0.2)
    assert "alerts-push" in due()
    channel.is_enabled = False
    channel.save()
    assert "alerts-push" not in due()


@pytest.mark.django_db
def test_rollouts_and_retrainings_are_waited_for_while_they_go_on() -> None:
    shared = {"endpoint": "mnist", "model": "mnist", "created_at": START}
    rollout = Rollout.objects.create(key="r", champion=1, challenger=2, started_by="ann", **shared)
    assert due() == {"rollouts-advance"}
    Retraining.objects.create(key="t", base_version=1, ordered_by="ann", **shared)
    assert due() == {"rollouts-advance", "retrainings-advance"}
    Rollout.objects.filter(pk=rollout.pk).update(state="promoted")
    Retraining.objects.update(state="failed")
    assert due() == set()
