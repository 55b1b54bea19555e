"""Alerts are told in groups, by Alertmanager's rules and with its times."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aiplatform.errors import UnavailableError
from monitoring.alerts import marks
from monitoring.models.alerts import AlertGroup, Escalation, GroupMember, Inhibition, Notification, Route
from tests.monitoring.alerts.world import World, event_kinds, make_channel, make_rule, only_alert, set_route

pytestmark = pytest.mark.long


@pytest.fixture
def grouped(world: World) -> World:
    """Return a world with a channel and Alertmanager's own times."""
    set_route(group_wait_s=30, group_interval_s=300, repeat_interval_s=14_400)
    make_channel()
    return world


def heads(world: World) -> list[str]:
    """Return the heads of what was sent so far."""
    return [title[1:].split("]")[0] for title in world.titles()]


def on_two_endpoints(world: World) -> None:
    world.active = [("mnist", 1), ("other", 1)]
    world.serving["other"] = frozenset({1})
    world.values = {("mnist", 1): 0.2, ("other", 1): 0.0}


def test_the_defaults_are_alertmanagers(grouped: World) -> None:
    route = Route(name="new")
    assert (route.group_wait_s, route.group_interval_s, route.repeat_interval_s) == (30, 300, 14_400)


def test_alerts_that_come_within_the_group_wait_are_one_message(grouped: World) -> None:
    set_route(group_by=["alertname"])
    on_two_endpoints(grouped)
    make_rule()
    grouped.tick()
    grouped.values[("other", 1)] = 0.3
    grouped.tick(10)
    assert heads(grouped) == [], "the group waits"
    grouped.tick(20)
    assert heads(grouped) == ["FIRING: 2"]
    assert grouped.deliveries[0].title == "[FIRING: 2] alertname errors"
    for part in ("FIRING: errors on mnist version 1", "FIRING: errors on other version 1"):
        assert part in grouped.deliveries[0].body


def test_what_was_resolved_within_the_group_wait_is_told_to_nobody(grouped: World) -> None:
    make_rule()
    grouped.tick(value=0.2)
    grouped.tick(value=0.0)
    grouped.pass_time(700)
    assert heads(grouped) == []
    assert not GroupMember.objects.exists()
    assert AlertGroup.objects.get().next_flush_at is None


def test_a_change_is_told_after_the_group_interval_and_not_before(grouped: World) -> None:
    set_route(group_by=["alertname"])
    on_two_endpoints(grouped)
    make_rule()
    grouped.pass_time(40)
    assert heads(grouped) == ["FIRING"]
    grouped.values[("other", 1)] = 0.3
    grouped.pass_time(290)
    assert heads(grouped) == ["FIRING"], "290 s after the first message"
    grouped.pass_time(10)
    assert heads(grouped) == ["FIRING", "FIRING: 2"]
    grouped.values[("mnist", 1)] = 0.0
    grouped.pass_time(300)
    assert heads(grouped)[2:] == ["FIRING: 1, RESOLVED: 1"]
    grouped.values[("other", 1)] = 0.0
    grouped.pass_time(300)
    assert heads(grouped)[3:] == ["RESOLVED"]
    grouped.pass_time(1000)
    assert len(heads(grouped)) == 4


def test_an_unchanged_group_is_told_again_after_the_repeat_interval(grouped: World) -> None:
    set_route(repeat_interval_s=3600)
    make_rule()
    grouped.tick(value=0.2)
    for _ in range(70):
        grouped.tick(60)
    assert heads(grouped) == ["FIRING", "STILL FIRING"]


def test_the_same_labels_firing_again_before_the_end_was_told_are_no_news(grouped: World) -> None:
    make_rule()
    grouped.tick(value=0.2)
    grouped.pass_time(40)
    for value in (0.0, 0.2, 0.0, 0.2):
        grouped.tick(10, value=value)
    grouped.pass_time(600)
    assert heads(grouped) == ["FIRING"]
    grouped.tick(value=0.0)
    grouped.pass_time(300)
    assert heads(grouped) == ["FIRING", "RESOLVED"]


def test_the_first_matching_route_takes_an_alert_and_goes_on_only_if_it_says_so(grouped: World) -> None:
    pager, chat = make_channel("pager", is_default=False), make_channel("chat", is_default=False)
    for position, (channel, continues) in enumerate(((pager, True), (chat, False), (pager, False))):
        route = Route.objects.create(
            name=f"route {position}", position=position, matchers=["severity=critical"], continues=continues,
            group_wait_s=0,
        )  # fmt: skip
        route.channels.add(channel)
    make_rule(severity="critical")
    grouped.tick(value=0.2)
    assert sorted(Notification.objects.values_list("channel__name", flat=True)) == ["chat", "pager"]


def test_an_inhibited_alert_is_told_to_nobody_until_its_source_is_over(grouped: World) -> None:
    set_route(group_wait_s=0, group_interval_s=10)
    Inhibition.objects.create(
        name="an outage says enough", source_matchers=["severity=critical"], target_matchers=["severity=warning"],
        equal=["endpoint", "version"],
    )  # fmt: skip
    make_rule(name="outage", severity="critical", metric="error_rate", threshold=0.5)
    make_rule(name="errors", severity="warning")
    grouped.tick(value=0.9)
    grouped.pass_time(60)
    assert [title for title in grouped.titles() if "errors" in title] == []
    grouped.value = 0.2
    grouped.pass_time(60)
    assert [title.split("]")[0] for title in grouped.titles() if "errors" in title] == ["[FIRING"]


def test_an_alert_cannot_inhibit_itself_nor_its_like(grouped: World) -> None:
    set_route(group_wait_s=0)
    Inhibition.objects.create(
        name="all of one endpoint", source_matchers=["endpoint=mnist"], target_matchers=["endpoint=mnist"]
    )
    make_rule(name="errors a")
    make_rule(name="errors b")
    grouped.tick(value=0.2)
    assert len(grouped.titles()) == 2


def test_an_alert_of_another_endpoint_inhibits_only_without_equal_labels(grouped: World) -> None:
    set_route(group_wait_s=0)
    rule = Inhibition.objects.create(
        name="i", source_matchers=["endpoint=mnist"], target_matchers=["endpoint=other"], equal=["endpoint"]
    )
    on_two_endpoints(grouped)
    grouped.values[("other", 1)] = 0.3
    make_rule()
    grouped.tick()
    assert len(grouped.titles()) == 2
    rule.equal = []
    rule.save()
    make_rule(name="later")
    grouped.tick()
    assert [title for title in grouped.titles() if "later on other" in title] == []


def test_nobody_acknowledges_and_others_are_told_and_told_of_the_end(grouped: World) -> None:
    set_route(group_wait_s=0, group_interval_s=60, repeat_interval_s=0)
    chief = make_channel("chief", is_default=False)
    Escalation.objects.create(route=Route.objects.get(is_default=True), after_s=600).channels.add(chief)
    make_rule()
    grouped.tick(value=0.2)
    grouped.pass_time(590)
    assert heads(grouped) == ["FIRING"]
    grouped.pass_time(10)
    assert heads(grouped) == ["FIRING", "ESCALATION"]
    assert Notification.objects.get(kind="escalation").channel == chief
    assert "escalated" in event_kinds(only_alert())
    grouped.pass_time(600)
    assert len(heads(grouped)) == 2, "each escalation is done once"
    grouped.value = 0.0
    grouped.pass_time(120)
    told = Notification.objects.filter(kind="resolved").values_list("channel__name", flat=True)
    assert sorted(told) == ["chief", "ops"]


def test_who_acknowledges_in_time_keeps_the_others_asleep(grouped: World) -> None:
    set_route(group_wait_s=0)
    chief = make_channel("chief", is_default=False)
    Escalation.objects.create(route=Route.objects.get(is_default=True), after_s=600).channels.add(chief)
    make_rule()
    grouped.tick(value=0.2)
    grouped.pass_time(300)
    marks.acknowledge_alert(only_alert(), by="ada", note="on it", now=grouped.now)
    grouped.pass_time(900)
    assert heads(grouped) == ["FIRING"]


@pytest.mark.parametrize("jump_s", [36_000, -36_000, 3600])
def test_a_jump_of_the_clock_or_an_outage_repeats_and_escalates_nothing(grouped: World, jump_s: int) -> None:
    set_route(group_wait_s=0)
    chief = make_channel("chief", is_default=False)
    Escalation.objects.create(route=Route.objects.get(is_default=True), after_s=1200).channels.add(chief)
    make_rule()
    grouped.tick(value=0.2)
    grouped.pass_time(60)
    grouped.tick(jump_s)
    grouped.pass_time(600)
    assert heads(grouped) == ["FIRING"]
    grouped.value = 0.0
    grouped.pass_time(620)
    assert heads(grouped) == ["FIRING", "RESOLVED"], "the group is alive in spite of the jump"


@pytest.mark.postgres
def test_a_clock_killed_between_decision_and_sending_loses_nothing(grouped: World) -> None:
    set_route(group_wait_s=0)
    make_rule()
    grouped.tick(value=0.2)
    assert Notification.objects.get().state == "pending", "decided and written; then the process died"
    grouped.delivery_error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        grouped.send()
    grouped.delivery_error = UnavailableError("away")
    grouped.now += timedelta(seconds=121)
    grouped.send()
    grouped.delivery_error = None
    grouped.now += timedelta(seconds=60)
    assert heads(grouped) == ["FIRING"]
    assert Notification.objects.get().attempts == 3


@pytest.mark.postgres
def test_two_clocks_that_flush_at_once_tell_once(grouped: World) -> None:
    set_route(group_wait_s=0)
    make_rule()
    grouped.evaluator().run()
    stale = list(AlertGroup.objects.select_related("route"))
    grouped.value = 0.2
    grouped.now += timedelta(seconds=10)
    grouped.evaluator().run()
    from monitoring.alerts.groups import _look_at
    from monitoring.alerts.muting import Muting

    stale = list(AlertGroup.objects.select_related("route"))
    assert grouped.flush() == 1
    assert not _look_at(stale[0], Muting.read(grouped.now), grouped.now), "it read the group before the other wrote"
    assert Notification.objects.count() == 1
