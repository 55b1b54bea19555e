"""What each kind of action orders; and what keeps a rule from acting."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from aiplatform.contracts.inference import (
    EndpointInfo,
    FreezeEndpoint,
    OrderReceipt,
    RollBackEndpoint,
    SwitchEndpoint,
    TrafficShare,
)
from gateway.models import AuditRecord
from monitoring.actions.performers import make_performers
from monitoring.alerts.actions import run_due_actions
from monitoring.alerts.notifications import Backoff
from monitoring.models.alerts import ActionRun
from monitoring.models.retrainings import Retraining
from monitoring.models.rollouts import Rollout
from monitoring.rollouts.holds import lift_hold, place_hold
from tests.monitoring.alerts.world import World, make_rule

pytestmark = pytest.mark.django_db


@dataclass
class Inference:
    """Keeps its orders."""

    orders: list[Any] = field(default_factory=list)

    def get_endpoint(self, name: str) -> EndpointInfo:
        share = TrafficShare(version=2, weight=100)
        return EndpointInfo(name=name, model="mnist", generation=3, traffic=(share,), replicas=(), is_ready=True)

    def roll_back_endpoint(self, order: RollBackEndpoint) -> EndpointInfo:
        self.orders.append(order)
        return self.get_endpoint(order.endpoint)

    def freeze(self, order: FreezeEndpoint) -> OrderReceipt:
        self.orders.append(order)
        return OrderReceipt(generation=4, is_repeat=False, endpoint=self.get_endpoint(order.endpoint))

    def switch(self, order: SwitchEndpoint) -> OrderReceipt:
        self.orders.append(order)
        return OrderReceipt(generation=4, is_repeat=False, endpoint=self.get_endpoint(order.endpoint))

    def act(self, world: World) -> None:
        run_due_actions(
            performers=make_performers(self, lambda: world.now), clock=lambda: world.now, backoff=Backoff(attempts=3)
        )


def fire(world: World, **fields: Any) -> None:
    make_rule(**fields)
    world.active, world.serving = [("mnist", 2)], {"mnist": frozenset({2})}
    world.tick(value=0.2)


def only_run() -> ActionRun:
    return ActionRun.objects.get()


def test_freeze_and_switch_off_name_the_alert_and_carry_the_runs_key(world: World) -> None:
    inference = Inference()
    fire(world, action="freeze")
    inference.act(world)
    (order,) = inference.orders
    assert (order.is_frozen, order.idempotency_key) == (True, only_run().idempotency_key)
    assert "error_rate is 0.2" in order.reason


@pytest.mark.postgres
def test_switching_off_is_ordered_once(world: World) -> None:
    inference = Inference()
    fire(world, action="switch_off")
    inference.act(world)
    inference.act(world)
    (order,) = inference.orders
    assert (order.is_on, only_run().state) == (False, "succeeded")


def test_an_action_leaves_an_audit_record_with_the_evidence(world: World) -> None:
    fire(world, action="freeze")
    Inference().act(world)
    record = AuditRecord.objects.get(action="action.freeze.succeeded")
    assert record.object == "endpoint:mnist"
    assert record.after is not None
    assert (record.after["value"], record.after["result"]) == (0.2, {"generation": 4})


def test_retrain_orders_one_retraining_on_the_rules_source(world: World) -> None:
    fire(world, action="retrain", action_source="s3://bucket/new.csv")
    Inference().act(world)
    row = Retraining.objects.get()
    assert (row.base_version, row.model, row.source, row.key) == (
        2, "mnist", "s3://bucket/new.csv", only_run().idempotency_key,
    )  # fmt: skip
    assert only_run().result == {"retraining": row.pk}


def test_a_dry_run_writes_down_what_it_would_do_and_does_nothing(world: World) -> None:
    inference = Inference()
    fire(world, action="switch_off", action_is_dry_run=True)
    inference.act(world)
    assert (inference.orders, only_run().state) == ([], "dry_run")
    assert only_run().result == {"would": "switch the endpoint off: mnist, because of version 2"}


def test_a_hold_keeps_an_action_waiting_and_it_is_done_once_that_is_lifted(world: World) -> None:
    inference = Inference()
    place_hold(endpoint="mnist", reason="we look", actor="eve", now=world.now)
    fire(world, action="freeze")
    inference.act(world)
    assert (inference.orders, only_run().state, only_run().attempts) == ([], "pending", 0)
    assert "held for 'mnist' by eve: we look" in only_run().error
    lift_hold(endpoint="mnist", actor="eve", now=world.now)
    world.pass_time(10)
    inference.act(world)
    assert (len(inference.orders), only_run().state) == (1, "succeeded")


def test_a_hold_of_another_endpoint_holds_nothing_here(world: World) -> None:
    place_hold(endpoint="other", reason="we look", actor="eve", now=world.now)
    inference = Inference()
    fire(world, action="freeze")
    inference.act(world)
    assert len(inference.orders) == 1


@pytest.mark.postgres
def test_a_rule_acts_no_more_often_a_day_than_it_may(world: World) -> None:
    inference = Inference()
    fire(world, action="freeze", action_cooldown_s=0, action_limit_per_day=1)
    inference.act(world)
    world.active, world.serving = [("other", 2)], {"other": frozenset({2})}
    world.tick(value=0.2)
    inference.act(world)
    last = ActionRun.objects.get(endpoint="other")
    assert (len(inference.orders), last.state) == (1, "skipped")
    assert "1 actions of this rule in 24 hours" in last.error


def test_a_rollback_because_of_a_challenger_aborts_its_rollout(world: World) -> None:
    rollout = Rollout.objects.create(
        key="k", endpoint="mnist", model="mnist", champion=1, challenger=2, started_by="ann", created_at=world.now
    )
    inference = Inference()
    fire(world, action="rollback")
    inference.act(world)
    rollout.refresh_from_db()
    assert (rollout.order, inference.orders) == ("abort", [])
    assert only_run().result == {"rollout": rollout.pk}


@pytest.mark.postgres
def test_a_crash_between_doing_and_noting_repeats_with_the_same_key(world: World) -> None:
    inference = Inference()
    fire(world, action="retrain")
    ActionRun.objects.update(state="running", attempts=1, claimed_until=world.now)
    world.pass_time(1)
    inference.act(world)
    ActionRun.objects.update(state="running", claimed_until=world.now - timedelta(seconds=1))
    inference.act(world)
    assert (Retraining.objects.count(), only_run().state) == (1, "succeeded")
