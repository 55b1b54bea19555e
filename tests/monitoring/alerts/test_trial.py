"""A trial shows what a rule would have done over the last week, and does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any

from monitoring.alerts.trial import Past, Trial, run_trial
from monitoring.models.alerts import Alert, AlertRule, Notification, QuietHours, RuleTarget
from monitoring.statistics import Measurement
from tests.monitoring.alerts.world import START, World, make_channel, make_rule, set_route

DAY = timedelta(days=1)
Stretch = tuple[datetime, datetime]


class History:
    """A version with a window every minute for days, wrong within some stretches."""

    def __init__(self, wrong: Sequence[Stretch], silent: Sequence[Stretch] = ()) -> None:
        self.wrong, self.silent = wrong, silent
        self.measured = 0

    def measure(self, metric: str, **asked: Any) -> Measurement:
        self.measured += 1
        now = asked["now"]
        if _within(now, self.silent):
            return Measurement(metric=metric, value=None, samples=0)
        return Measurement(metric=metric, value=0.2 if _within(now, self.wrong) else 0.0, samples=500)

    def window_starts(self, endpoint: str, version: int, start: datetime, end: datetime) -> list[datetime]:
        minutes = int((end - start).total_seconds() // 60)
        all_starts = [start.replace(second=0, microsecond=0) + timedelta(minutes=m) for m in range(minutes + 1)]
        return [one for one in all_starts if not _within(one, self.silent)]

    def past(self) -> Past:
        return Past(
            measure=self.measure, list_active_versions=lambda since: [("mnist", 1)], window_starts=self.window_starts
        )


def _within(moment: datetime, stretches: Sequence[Stretch]) -> bool:
    return any(start <= moment < end for start, end in stretches)


def at(days_ago: float, minutes: float) -> Stretch:
    """Return a stretch of so many minutes that began so many days ago."""
    start = START - timedelta(days=days_ago)
    return start, start + timedelta(minutes=minutes)


def try_rule(rule: AlertRule, history: History, **options: Any) -> Trial:
    return run_trial(rule, history.past(), now=START, **options)


def test_a_trial_shows_firings_and_messages_and_writes_nothing(world: World) -> None:
    set_route(group_wait_s=30, group_interval_s=300, repeat_interval_s=14_400)
    make_channel()
    rule = make_rule(for_s=300, keep_firing_for_s=600)
    history = History([at(5, 60), at(3, 3), at(1, 600)])
    trial = try_rule(rule, history, budget=20_000)
    assert trial.step_s == 60
    [target] = trial.targets
    began = [(firing.fired_at, firing.resolved_at) for firing in target.firings]
    assert began == [
        (at(5, 5)[1], at(5, 69)[1]),  # 5 minutes of `for`; 10 of `keep_firing_for` after the last breach
        (at(1, 5)[1], at(1, 609)[1]),
    ]
    states = {moment.state for moment in target.moments}
    assert states == {"inactive", "pending", "firing", "recovering"}
    kinds = [(message.kind.value, message.channels) for message in trial.messages]
    assert kinds == [(kind, ("ops",)) for kind in ("firing", "resolved", "firing", "repeat", "repeat", "resolved")]
    assert trial.messages[0].at == at(5, 5)[1] + timedelta(seconds=30)
    assert not Alert.objects.exists()
    assert not Notification.objects.exists()
    assert not RuleTarget.objects.exists()


def test_a_trial_measures_no_more_than_its_budget(world: World) -> None:
    history = History([at(2, 120)])
    trial = try_rule(make_rule(for_s=600), history, budget=500)
    assert history.measured <= 520
    assert trial.step_s > 60
    assert trial.firing_count == 1


def test_where_nothing_came_or_went_nothing_is_measured_again(world: World) -> None:
    history = History([], silent=[(START - 8 * DAY, START - timedelta(minutes=30))])
    trial = try_rule(make_rule(window_s=300), history)
    assert trial.step_s == 60
    assert history.measured <= 40
    assert {moment.state for moment in trial.targets[0].moments} == {"no_data", "inactive"}


def test_a_trial_of_a_rule_that_is_not_stored(world: World) -> None:
    draft = AlertRule(name="draft", metric="error_rate", threshold=0.05)
    trial = try_rule(draft, History([at(1, 30)]), budget=20_000)
    assert trial.firing_count == 1


def test_a_trial_regards_quiet_hours(world: World) -> None:
    make_channel()
    rule = make_rule()
    hours = {"days": ["sat"], "starts": time(11, 0), "ends": time(14, 0)}
    rule.quiet_hours.add(QuietHours.objects.create(name="muted", effect="mute", **hours))
    history = History([at(1, 30)])  # Saturday, 12:00
    muted = try_rule(rule, history, budget=20_000)
    assert (muted.firing_count, len(muted.messages)) == (1, 0)
    QuietHours.objects.update(effect="pause")
    paused = try_rule(AlertRule.objects.get(), history, budget=20_000)
    assert (paused.firing_count, len(paused.messages)) == (0, 0)
    assert "paused" in {moment.state for moment in paused.targets[0].moments}
