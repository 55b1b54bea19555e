"""The whole life of an alert, on a clock moved by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from monitoring.alerts.vocabulary import NoDataPolicy
from monitoring.models.alerts import Alert, AlertRule, Notification, RuleTarget
from tests.monitoring.alerts.world import START, World, event_kinds, make_channel, make_rule, only_alert, target_state


def test_a_well_version_has_a_target_and_no_alert(world: World) -> None:
    make_rule()
    world.tick(value=0.01)
    target = RuleTarget.objects.get()
    assert (target.state, target.value, target.samples) == ("inactive", 0.01, 1000)
    assert target.message == "error_rate is 0.01, not above 0.05"
    assert not Alert.objects.exists()


def test_an_alert_is_pending_then_fires_then_resolves(world: World) -> None:
    make_rule(for_s=60)
    world.tick(value=0.2)
    assert only_alert().state == "pending"
    world.pass_time(50)
    assert only_alert().state == "pending"
    world.tick(10)
    alert = only_alert()
    assert alert.state == "firing"
    assert (alert.fired_at - alert.started_at).total_seconds() == 60  # type: ignore[operator]
    world.tick(value=0.01)
    alert = only_alert()
    assert alert.state == "resolved"
    assert alert.resolved_at == world.now
    assert event_kinds(alert) == ["started", "fired", "resolved"]


def test_an_alert_tells_what_was_measured(world: World) -> None:
    make_rule(labels={"team": "vision"}, annotations={"runbook": "see {endpoint}"})
    world.tick(value=0.2)
    alert = only_alert()
    assert (alert.value, alert.threshold, alert.samples, alert.metric) == (0.2, 0.05, 1000, "error_rate")
    assert alert.message == "error_rate is 0.2, above 0.05"
    assert alert.summary == "mnist fails"
    assert alert.annotations == {"runbook": "see mnist"}
    assert alert.labels == {
        "team": "vision", "alertname": "errors", "endpoint": "mnist", "version": "1", "severity": "warning",
    }  # fmt: skip


def test_the_value_of_a_resolved_alert_is_the_one_that_was_wrong(world: World) -> None:
    make_rule(keep_firing_for_s=30)
    world.tick(value=0.3)
    world.tick(value=0.01)
    world.pass_time(60)
    alert = only_alert()
    assert alert.state == "resolved"
    assert alert.value == 0.3
    assert [value for _, value in alert.history][:2] == [0.3, 0.01]


def test_a_pending_alert_that_recovers_leaves_nothing_and_tells_nobody(world: World) -> None:
    make_channel()
    make_rule(for_s=60)
    world.tick(value=0.2)
    world.tick(value=0.01)
    assert not Alert.objects.exists()
    assert target_state() == "inactive"
    assert not Notification.objects.exists()


def test_the_wait_starts_again_after_a_dip(world: World) -> None:
    make_rule(for_s=60)
    world.tick(value=0.2)
    world.pass_time(40)
    world.tick(value=0.01)
    world.tick(value=0.2)
    world.pass_time(50)
    assert only_alert().state == "pending"
    world.tick(10)
    assert only_alert().state == "firing"


def test_a_flapping_value_fires_once_while_it_keeps_firing(world: World) -> None:
    make_channel()
    make_rule(keep_firing_for_s=60)
    for _ in range(10):
        world.tick(value=0.2)
        world.tick(value=0.01)
    assert only_alert().state == "recovering"
    world.pass_time(60)
    assert only_alert().state == "resolved"
    assert Notification.objects.count() == 2


def test_a_new_breach_after_the_end_is_a_new_alert(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    world.tick(value=0.01)
    world.tick(value=0.2)
    assert list(Alert.objects.values_list("state", flat=True)) == ["firing", "resolved"]


def test_too_few_samples_are_no_data(world: World) -> None:
    make_rule(minimum_samples=100)
    world.samples = 99
    world.tick(value=0.9)
    assert target_state() == "no_data"
    assert RuleTarget.objects.get().message == "99 samples in 5 min, at least 100 are needed"
    assert not Alert.objects.exists()


def test_no_data_keeps_a_firing_alert_and_says_so(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    world.values[("mnist", 1)] = None
    world.pass_time(30)
    alert = only_alert()
    assert (alert.state, alert.last_verdict) == ("firing", "no_data")
    assert event_kinds(alert) == ["started", "fired", "no_data"]
    world.values.clear()
    world.tick(value=0.2)
    assert event_kinds(only_alert())[-1] == "data_back"


def test_no_data_may_itself_be_wrong(world: World) -> None:
    make_rule(no_data=NoDataPolicy.ALERT, for_s=30)
    world.values[("mnist", 1)] = None
    world.tick()
    assert target_state() == "pending"
    world.pass_time(30)
    alert = only_alert()
    assert (alert.state, alert.reason, alert.value) == ("firing", "no_data", None)


def test_no_data_may_count_as_well(world: World) -> None:
    make_rule(no_data=NoDataPolicy.OK)
    world.tick(value=0.2)
    world.values[("mnist", 1)] = None
    world.tick()
    assert only_alert().state == "resolved"
    assert target_state() == "no_data"


def test_an_error_is_a_state_and_stops_no_other_rule(world: World) -> None:
    make_rule(name="a broken one", endpoint="broken")
    make_rule(name="b sound one", endpoint="mnist")
    world.active = [("broken", 1), ("mnist", 1)]
    world.values[("broken", 1)] = RuntimeError("sketch is damaged")
    world.tick(value=0.2)
    broken = RuleTarget.objects.get(endpoint="broken")
    assert (broken.state, broken.message) == ("error", "RuntimeError: sketch is damaged")
    assert only_alert().endpoint == "mnist"


def test_an_error_neither_resolves_nor_fires(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    world.values[("mnist", 1)] = RuntimeError("no")
    world.pass_time(30)
    assert (only_alert().state, only_alert().last_verdict) == ("firing", "error")


def test_each_version_has_an_alert_of_its_own(world: World) -> None:
    make_rule()
    world.active = [("mnist", 1), ("mnist", 2), ("other", 1)]
    world.values = {("mnist", 1): 0.01, ("mnist", 2): 0.2, ("other", 1): 0.3}
    world.tick()
    assert set(Alert.objects.values_list("endpoint", "version")) == {("mnist", 2), ("other", 1)}


def test_two_evaluators_at_once_make_one_alert_and_one_message(world: World) -> None:
    make_channel()
    make_rule()
    world.value = 0.2
    other = world.evaluator()

    first = world.evaluator()
    plain_measure = world.measure

    def measure_and_be_overtaken(metric: str, **asked: Any) -> object:
        first.measure = plain_measure
        other.run()
        return plain_measure(metric, **asked)

    first.measure = measure_and_be_overtaken  # type: ignore[assignment]
    first.run()
    world.flush()
    assert Alert.objects.count() == 1
    assert Notification.objects.count() == 1
    assert first.steps["fired"] == 0
    assert other.steps["fired"] == 1


def test_a_slot_is_evaluated_once_and_for_the_moment_at_which_it_ends(world: World) -> None:
    make_rule()
    world.tick(0, slot_s=10)
    world.tick(1, slot_s=10)
    assert len(world.measured) == 1
    world.tick(9, slot_s=10)
    assert [asked["now"] for asked in world.measured] == [START, START + timedelta(seconds=10)]


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_jump_fires_nothing(world: World, jump_s: float) -> None:
    make_rule(for_s=300)
    world.tick(value=0.2)
    world.tick(jump_s)
    assert only_alert().state == "pending"
    world.pass_time(300)
    assert only_alert().state == "firing"


def test_a_clock_jump_resolves_nothing_that_shall_keep_firing(world: World) -> None:
    make_rule(keep_firing_for_s=300)
    world.tick(value=0.2)
    world.tick(3600, value=0.01)
    assert only_alert().state == "recovering"
    world.pass_time(300)
    assert only_alert().state == "resolved"


def test_a_version_that_lost_its_traffic_resolves_when_its_data_ends(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    world.serving["mnist"] = frozenset({2})
    world.tick()
    assert only_alert().state == "firing"
    world.values[("mnist", 1)] = None
    world.tick()
    alert = only_alert()
    assert alert.state == "resolved"
    assert alert.events.last().text == "version 1 of mnist has no traffic any more"  # type: ignore[union-attr]


def test_a_firing_version_without_predictions_that_should_have_some_keeps_firing(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    world.active, world.values = [], {("mnist", 1): None}
    world.tick()
    assert only_alert().state == "firing"


def test_nothing_resolves_because_inference_cannot_be_asked(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    world.active, world.values, world.serving = [], {("mnist", 1): None}, {"mnist": None}
    world.tick()
    assert only_alert().state == "firing"


def test_a_quiet_version_is_forgotten(world: World) -> None:
    make_rule()
    world.tick(value=0.01)
    world.active = []
    world.tick()
    assert not RuleTarget.objects.exists()


def test_a_disabled_or_deleted_rule_resolves_its_alerts(world: World) -> None:
    disabled = make_rule(name="to be disabled")
    deleted = make_rule(name="to be deleted")
    world.tick(value=0.2)
    AlertRule.objects.filter(pk=disabled.pk).update(is_enabled=False)
    deleted.delete()
    world.tick()
    texts = {alert.rule_name: alert.events.last().text for alert in Alert.objects.filter(state="resolved")}  # type: ignore[union-attr]
    assert texts == {"to be disabled": "the rule was disabled", "to be deleted": "the rule was deleted"}


def test_a_rule_for_one_version_watches_it_without_predictions(world: World) -> None:
    make_rule(endpoint="mnist", version_scope="one", version=7)
    world.values[("mnist", 7)] = None
    world.tick()
    assert (RuleTarget.objects.get().version, target_state()) == (7, "no_data")


def test_a_rule_for_serving_versions_leaves_the_others_alone(world: World) -> None:
    make_rule(version_scope="serving")
    world.active = [("mnist", 1), ("mnist", 2)]
    world.tick(value=0.2)
    assert only_alert().version == 1


def test_no_traffic_at_all_can_be_alerted(world: World) -> None:
    make_rule(endpoint="mnist", metric="prediction_count", comparison="lt", threshold=1, for_s=20)
    world.active, world.samples = [], 0
    world.tick(value=0.0)
    world.pass_time(20)
    assert only_alert().state == "firing"


def test_a_feature_is_handed_on_to_the_measurement(world: World) -> None:
    make_rule(metric="drift_psi", feature="age", window_s=600)
    world.tick()
    assert world.measured[0] == {
        "metric": "drift_psi", "endpoint": "mnist", "version": 1, "window_s": 600, "now": world.now, "feature": "age",
    }  # fmt: skip


def test_a_value_that_is_not_finite_is_kept_and_shown(world: World) -> None:
    make_rule(metric="drift_psi", threshold=0.25)
    world.detail = {"feature": "age", "statistic": float("nan"), "at": world.now}
    world.tick(value=float("inf"))
    alert = only_alert()
    assert (alert.state, alert.value) == ("firing", float("inf"))
    assert alert.history[0][1] is None
    assert alert.detail == {"feature": "age", "statistic": "NaN", "at": str(START)}


def test_no_data_says_why(world: World) -> None:
    make_rule(metric="drift_psi")
    world.detail = {"reason": "the artifact has no profile"}
    world.values[("mnist", 1)] = None
    world.tick()
    assert RuleTarget.objects.get().message == "drift_psi has no value in the last 5 min: the artifact has no profile"


def test_a_rule_that_cannot_be_written_stops_no_other(world: World) -> None:
    make_rule(name="a broken one")
    make_rule(name="b sound one")
    evaluator = world.evaluator()
    world.value = 0.2
    serving: list[str] = []

    def list_active_once_broken(endpoint: str) -> frozenset[int]:
        serving.append(endpoint)
        if len(serving) == 1:
            raise ValueError("damaged")
        return frozenset({1})

    evaluator.serving_versions = list_active_once_broken
    AlertRule.objects.update(version_scope="serving")
    evaluator.run()
    assert evaluator.steps["failed"] == 1
    assert only_alert().rule_name == "b sound one"
