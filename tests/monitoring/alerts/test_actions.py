"""A rule that rolls back: once a firing, not too often, and honest about what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from aiplatform.contracts.inference import EndpointInfo, RollBackEndpoint, TrafficShare
from aiplatform.errors import ConflictError, NotFoundError, UnavailableError
from monitoring.actions.performers import roll_back_performer
from monitoring.alerts.actions import run_due_actions
from monitoring.alerts.notifications import Backoff
from monitoring.models.alerts import ActionRun, Alert
from tests.monitoring.alerts.world import World, event_kinds, make_channel, make_rule, only_alert


@dataclass
class Inference:
    """Takes orders to roll back; `error` is raised once it has the order, and a refusal of an idle version."""

    orders: list[RollBackEndpoint] = field(default_factory=list)
    error: BaseException | None = None
    idle_version: int | None = None

    def roll_back(self, order: RollBackEndpoint) -> EndpointInfo:
        """Keep the order and answer as told."""
        self.orders.append(order)
        if self.error:
            raise self.error
        if order.from_version == self.idle_version:
            raise ConflictError(f"version {self.idle_version} has no traffic any more")
        share = TrafficShare(version=1, weight=100)
        return EndpointInfo(
            name=order.endpoint, model="mnist", generation=3, traffic=(share,), replicas=(), is_ready=True
        )

    def act(self, world: World, attempts: int = 3) -> int:
        """Carry out what is due."""
        return run_due_actions(
            performers={"rollback": roll_back_performer(self.roll_back)},
            clock=lambda: world.now,
            backoff=Backoff(attempts=attempts, first_s=5),
        )


def fire(world: World, **fields: object) -> None:
    """Have version 2 of mnist break a rule that rolls back."""
    make_rule(action="rollback", **fields)
    world.active, world.serving = [("mnist", 2)], {"mnist": frozenset({2})}
    world.tick(value=0.2)


def test_a_rollback_is_ordered_once_a_firing(world: World) -> None:
    make_channel()
    inference = Inference()
    fire(world)
    assert inference.act(world) == 1
    world.pass_time(60)
    assert inference.act(world) == 0
    (order,) = inference.orders
    run = ActionRun.objects.get()
    assert (order.endpoint, order.from_version, order.idempotency_key) == ("mnist", 2, run.idempotency_key)
    assert "error_rate is 0.2, above 0.05" in order.reason
    assert (run.state, run.result["traffic"]) == ("succeeded", [{"version": 1, "weight": 100}])
    assert run.evidence["value"] == 0.2
    assert run.evidence["history"]
    assert "action" in event_kinds(only_alert())
    world.titles()
    assert world.titles()[-1].startswith("[ACTION]")
    assert "rollback of mnist from version 2 succeeded" in world.deliveries[-1].body


def test_nothing_to_roll_back_to_is_recorded_as_refused(world: World) -> None:
    inference = Inference(error=ConflictError("mnist has no earlier traffic"))
    fire(world)
    inference.act(world)
    assert inference.act(world) == 0
    run = ActionRun.objects.get()
    assert (run.state, run.error, run.attempts) == ("refused", "mnist has no earlier traffic", 1)


def test_an_unknown_endpoint_fails_at_once(world: World) -> None:
    inference = Inference(error=NotFoundError("there is no endpoint mnist"))
    fire(world)
    inference.act(world)
    assert ActionRun.objects.get().state == "failed"


def test_inference_away_is_tried_again_with_the_same_key(world: World) -> None:
    inference = Inference(error=UnavailableError("inference cannot be reached"))
    fire(world)
    inference.act(world)
    run = ActionRun.objects.get()
    assert (run.state, run.error) == ("pending", "inference cannot be reached")
    assert inference.act(world) == 0, "it waits before it tries again"
    inference.error = None
    world.tick(10)
    assert inference.act(world) == 1
    assert ActionRun.objects.get().state == "succeeded"
    assert len({order.idempotency_key for order in inference.orders}) == 1


def test_it_gives_up_after_its_attempts(world: World) -> None:
    inference = Inference(error=UnavailableError("away"))
    fire(world)
    for _ in range(10):
        inference.act(world, attempts=3)
        world.tick(30)
    run = ActionRun.objects.get()
    assert (run.state, run.attempts) == ("failed", 3)


def test_a_crash_in_the_middle_repeats_the_same_order(world: World) -> None:
    inference = Inference(error=KeyboardInterrupt())
    fire(world)
    try:
        inference.act(world)
    except KeyboardInterrupt:
        inference.error = None
    assert ActionRun.objects.get().state == "running"
    assert inference.act(world) == 0
    world.now += timedelta(seconds=61)
    assert inference.act(world) == 1
    assert ActionRun.objects.get().state == "succeeded"
    assert len({order.idempotency_key for order in inference.orders}) == 1


def test_an_alert_that_is_over_is_not_acted_on(world: World) -> None:
    inference = Inference()
    fire(world)
    world.tick(value=0.01)
    assert inference.act(world) == 1
    assert inference.orders == []
    assert ActionRun.objects.get().state == "skipped"


def test_a_second_firing_within_the_cooldown_is_skipped_and_one_after_it_acts(world: World) -> None:
    inference = Inference()
    fire(world, action_cooldown_s=600)
    inference.act(world)
    world.tick(value=0.01)
    world.tick(value=0.2)
    assert inference.act(world) == 0
    skipped = ActionRun.objects.get(alert__state="firing")
    assert skipped.state == "skipped"
    assert skipped.error.startswith("cooldown: rollback of mnist was ordered at")
    world.tick(value=0.01)
    world.tick(600)
    world.tick(value=0.2)
    assert inference.act(world) == 1
    assert Alert.objects.count() == 3
    assert len(inference.orders) == 2


def fire_two_versions(world: World) -> None:
    """Have an idle version and the one that serves break a rule in the same instant; the idle one is told first."""
    make_rule(action="rollback", action_cooldown_s=600)
    world.active, world.serving = [("mnist", 1), ("mnist", 2)], {"mnist": frozenset({2})}
    world.tick(value=0.2)


def test_a_refused_order_from_an_idle_version_does_not_hold_back_the_one_that_serves(world: World) -> None:
    inference = Inference(idle_version=1)
    fire_two_versions(world)
    assert inference.act(world) == 2
    idle, serving = ActionRun.objects.order_by("pk")
    assert (idle.version, idle.state) == (1, "refused")
    assert (serving.version, serving.state) == (2, "succeeded")


def test_an_order_waits_for_the_one_before_it_and_is_skipped_if_that_succeeds(world: World) -> None:
    inference = Inference(error=UnavailableError("inference cannot be reached"))
    fire_two_versions(world)
    assert inference.act(world) == 1, "the second waits for what becomes of the first"
    inference.error = None
    world.tick(10)
    assert inference.act(world) == 2
    first, second = ActionRun.objects.order_by("pk")
    assert (first.state, second.state) == ("succeeded", "skipped")
    assert second.error.startswith("cooldown: rollback of mnist was ordered at")
    assert len({order.idempotency_key for order in inference.orders}) == 1
