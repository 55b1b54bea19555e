"""The kinds of rules, their policies, and quiet hours."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from monitoring.alerts.matchers import parse_matcher
from monitoring.alerts.quiet import is_quiet
from monitoring.alerts.vocabulary import NoDataPolicy
from monitoring.models.alerts import Alert, QuietHours, RuleTarget
from monitoring.statistics import Measurement
from tests.monitoring.alerts.world import START, World, event_kinds, make_channel, make_rule, only_alert, target_state


class Past:
    """Measures one thing now and another before: values and samples by whether the time asked for is earlier."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now: tuple[float | None, int] = (0.0, 1000)
        self.before: tuple[float | None, int] = (0.0, 1000)

    def __call__(self, metric: str, **asked: Any) -> Measurement:
        value, samples = self.now if asked["now"] == self.world.now else self.before
        return Measurement(metric=metric, value=value, samples=samples)


@pytest.fixture
def past(world: World) -> Past:
    """Return the measurements of now and before."""
    past = Past(world)
    world.measure = past  # type: ignore[method-assign]
    return past


def test_a_change_is_judged_against_the_same_window_earlier(world: World, past: Past) -> None:
    make_rule(kind="change", metric="latency_p99_ms", change_unit="relative", threshold=1.0, offset_s=3600)
    past.now, past.before = (150.0, 900), (100.0, 900)
    world.tick()
    assert target_state() == "inactive"
    past.now = (250.0, 900)
    world.tick()
    alert = only_alert()
    assert (alert.state, alert.value) == ("firing", 1.5)
    assert alert.message == "the change of latency_p99_ms is 1.5, above 1 (now 250, 1 h ago 100)"
    assert alert.condition == "change of latency_p99_ms over 5 min, against 1 h ago, above +1 of it"
    assert alert.measured_name == "change of latency_p99_ms", "1.5 is no latency"
    assert alert.detail["before"] == 100


def test_an_absolute_change_downwards(world: World, past: Past) -> None:
    make_rule(kind="change", metric="mean_confidence", comparison="lt", threshold=-0.1)
    past.now, past.before = (0.75, 500), (0.9, 500)
    world.tick()
    assert only_alert().state == "firing"
    assert only_alert().value == pytest.approx(-0.15)


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ((None, 0), "nothing to compare with: 1 d ago, latency_p99_ms has no value"),
        ((100.0, 5), "nothing to compare with: 1 d ago, 5 samples in 5 min, at least 50"),
        ((0.0, 500), "latency_p99_ms was 0 1 d ago: there is no relative change"),
    ],
)
def test_without_a_past_there_is_no_verdict(
    world: World, past: Past, before: tuple[float | None, int], why: str
) -> None:
    make_rule(kind="change", metric="latency_p99_ms", change_unit="relative", threshold=1.0, minimum_samples=50)
    past.now, past.before = (500.0, 900), before
    world.tick()
    assert target_state() == "no_data"
    assert RuleTarget.objects.get().message.startswith(why)


def test_traffic_that_fell_to_nothing_is_a_change_though_it_has_no_samples(world: World, past: Past) -> None:
    make_rule(
        kind="change", metric="prediction_count", change_unit="relative", comparison="le", threshold=-1.0,
        minimum_samples=100,
    )  # fmt: skip
    past.now, past.before = (0.0, 0), (5000.0, 5000)
    world.tick()
    assert only_alert().state == "firing"
    past.before = (20.0, 20)
    world.tick()
    assert target_state() == "firing", "too little to compare with keeps the state"
    assert RuleTarget.objects.get().verdict == "no_data"


def test_traffic_is_not_missed_of_a_version_that_is_no_longer_served(world: World, past: Past) -> None:
    make_rule(kind="change", metric="prediction_count", change_unit="relative", comparison="le", threshold=-1.0)
    past.now, past.before = (0.0, 0), (5000.0, 5000)
    world.serving["mnist"] = frozenset({2})
    world.tick()
    assert not Alert.objects.exists()


def test_absence_is_a_breach_where_data_should_be(world: World, past: Past) -> None:
    make_rule(kind="absence", metric="accuracy", endpoint="mnist", minimum_samples=10, window_s=3600)
    past.now = (0.9, 50)
    world.tick()
    assert target_state() == "inactive"
    past.now = (1.0, 3)
    world.tick()
    assert only_alert().message == "accuracy: 3 samples in 1 h, at least 10 expected"
    assert only_alert().condition == "no accuracy for 1 h"
    past.now = (None, 0)
    world.tick()
    assert target_state() == "firing"


def test_absence_watches_what_is_served_but_has_had_no_prediction_for_hours(world: World, past: Past) -> None:
    make_rule(kind="absence", metric="prediction_count")
    past.now = (0.0, 0)
    recent: list[tuple[str, int]] = []
    long_ago = [("mnist", 1), ("mnist", 7)]
    evaluator = world.evaluator()
    evaluator.list_active_versions = lambda since: recent if (world.now - since).days < 1 else long_ago
    evaluator.run()
    assert only_alert().version == 1, "7 is not served any more"


@pytest.mark.parametrize(
    ("policy", "state"),
    [(NoDataPolicy.KEEP, "error"), (NoDataPolicy.ALERT, "firing"), (NoDataPolicy.OK, "error")],
)
def test_an_error_has_a_policy_of_its_own(world: World, policy: NoDataPolicy, state: str) -> None:
    make_rule(on_error=policy, no_data=NoDataPolicy.ALERT)
    world.values[("mnist", 1)] = RuntimeError("damaged")
    world.tick()
    assert target_state() == state
    assert RuleTarget.objects.get().verdict == "error"


def test_an_error_that_counts_as_well_resolves(world: World) -> None:
    make_rule(on_error=NoDataPolicy.OK)
    world.tick(value=0.2)
    world.values[("mnist", 1)] = RuntimeError("damaged")
    world.tick()
    assert only_alert().state == "resolved"


def test_recovering_is_a_state_and_a_relapse_is_no_new_alert(world: World) -> None:
    make_channel()
    make_rule(keep_firing_for_s=60)
    world.tick(value=0.2)
    world.tick(value=0.0)
    assert (only_alert().state, target_state()) == ("recovering", "recovering")
    world.tick(value=0.2)
    assert only_alert().state == "firing"
    world.value = 0.0
    world.pass_time(60)
    assert event_kinds(only_alert())[-2:] == ["resolved", "notified"] or only_alert().state == "resolved"
    kinds = [kind for kind in event_kinds(only_alert()) if kind != "notified"]
    assert kinds == ["started", "fired", "recovering", "relapsed", "recovering", "resolved"]
    assert len(world.titles()) == 2


ZURICH_NIGHT: dict[str, Any] = {"starts": time(22, 0), "ends": time(6, 0), "time_zone": "Europe/Zurich"}


@pytest.mark.parametrize(
    ("at", "quiet"),
    [
        (datetime(2026, 7, 3, 20, 0, tzinfo=UTC), True),  # Friday 22:00 in Zurich, summer
        (datetime(2026, 7, 3, 19, 59, tzinfo=UTC), False),
        (datetime(2026, 7, 4, 3, 59, tzinfo=UTC), True),  # Saturday 05:59: the night began on Friday
        (datetime(2026, 7, 4, 4, 0, tzinfo=UTC), False),
        (datetime(2026, 7, 4, 20, 30, tzinfo=UTC), False),  # the night of Saturday is not one of the days
        (datetime(2026, 1, 9, 21, 0, tzinfo=UTC), True),  # Friday 22:00 in Zurich, winter
        (datetime(2026, 1, 9, 20, 59, tzinfo=UTC), False),
    ],
)
def test_quiet_hours_keep_the_clock_of_their_zone_and_pass_midnight(at: datetime, quiet: bool) -> None:
    hours = QuietHours(name="nights", days=["fri"], **ZURICH_NIGHT)
    assert is_quiet(hours, at) is quiet


def quiet_now(effect: str) -> QuietHours:
    return QuietHours.objects.create(name=effect, effect=effect, days=["sun"], starts=time(12, 0), ends=time(12, 5))


def test_muted_quiet_hours_evaluate_and_tell_nobody_until_they_end(world: World) -> None:
    assert START.strftime("%a %H:%M") == "Sun 12:00"
    make_channel()
    make_rule().quiet_hours.add(quiet_now("mute"))
    world.tick(value=0.2)
    world.pass_time(200)
    assert only_alert().state == "firing"
    assert only_alert().muted_reason == "quiet hours 'mute'"
    assert world.titles() == []
    world.pass_time(100)
    assert [title.split("]")[0] for title in world.titles()] == ["[FIRING"]
    assert only_alert().muted_reason == ""


def test_paused_quiet_hours_do_not_evaluate_and_start_waiting_anew(world: World) -> None:
    make_rule(for_s=30).quiet_hours.add(quiet_now("pause"))
    world.tick(value=0.2)
    world.pass_time(200)
    assert not world.measured
    assert not RuleTarget.objects.exists()
    world.pass_time(100)
    assert only_alert().state == "pending"
    world.pass_time(30)
    assert only_alert().state == "firing"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"days": []}, "must be some of mon"),
        ({"days": ["someday"]}, "must be some of mon"),
        ({"time_zone": "Mars/Base"}, "must be the name of a zone"),
        ({"time_zone": "../etc/passwd"}, "must be the name of a zone"),
    ],
)
def test_quiet_hours_that_cannot_be_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QuietHours(name="n", starts=time(1), ends=time(2), **fields).clean()


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ('endpoint="a"', {"endpoint": "a"}, True),
        ("endpoint = a ", {"endpoint": "a"}, True),
        ("endpoint!=a", {}, True),
        ('place=""', {}, True),
        ("endpoint=~a|b", {"endpoint": "ab"}, False),
        ("endpoint!~a|b", {"endpoint": "ab"}, True),
        (r'name="say \"hi\""', {"name": 'say "hi"'}, True),
        ("name=~(?i)ABC", {"name": "abc"}, True),
    ],
)
def test_matchers_are_alertmanagers(text: str, labels: dict[str, str], matches: bool) -> None:
    matcher = parse_matcher(text)
    assert matcher.matches(labels) is matches
    assert parse_matcher(str(matcher)) == matcher
