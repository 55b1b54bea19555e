"""What people do: silence, acknowledge, resolve."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aiplatform.errors import ConflictError, InvalidInputError
from monitoring.alerts import marks, silences
from monitoring.models.alerts import ActionRun, Alert, RuleTarget, Silence
from tests.monitoring.alerts.world import World, event_kinds, make_channel, make_rule, only_alert


def silence_for(world: World, seconds: float, *matchers: str, **fields: Any) -> Silence:
    """Return a silence from now on; of mnist, if nothing else is said."""
    return silences.create_silence(
        created_by="ada", reason="maintenance", starts_at=world.now, now=world.now,
        ends_at=world.now + timedelta(seconds=seconds), matchers=matchers or ["endpoint=mnist"], **fields,
    )  # fmt: skip


def test_a_silenced_alert_tells_nobody_until_the_silence_ends(world: World) -> None:
    make_channel()
    make_rule()
    silence_for(world, 60)
    world.tick(value=0.2)
    assert (only_alert().state, only_alert().is_silenced) == ("firing", True)
    assert world.titles() == []
    world.pass_time(60)
    assert not only_alert().is_silenced
    assert world.titles() == ["[FIRING] warning: errors on mnist version 1"]
    assert event_kinds(only_alert()) == ["started", "fired", "silenced", "unsilenced", "notified"]


def test_an_alert_that_came_and_went_in_silence_tells_nobody(world: World) -> None:
    make_channel()
    make_rule()
    silence_for(world, 600)
    world.tick(value=0.2)
    world.tick(value=0.01)
    assert only_alert().state == "resolved"
    assert world.titles() == []


def test_a_silence_matches_by_labels(world: World) -> None:
    make_rule(severity="critical", labels={"team": "vision"})
    world.tick(value=0.2)
    alert = only_alert()
    cases: list[tuple[list[str], bool]] = [
        (['endpoint="mnist"'], True),
        (["endpoint=other"], False),
        (["alertname=errors", "severity=critical"], True),
        (["alertname=errors", "severity=info"], False),
        (["endpoint!=other", "alertname=errors"], True),
        (["endpoint=~mn"], False),
        (["endpoint=~mn.*|other"], True),
        (["severity!~info|warning", "team=~.+"], True),
        (["place=", "team=vision"], True),
    ]
    for matchers, matches in cases:
        silence = silence_for(world, 60, *matchers)
        assert (silences.find_silence(alert, world.now) == silence) is matches, matchers
        silence.delete()


def test_a_future_silence_does_not_hold_yet(world: World) -> None:
    make_rule()
    silences.create_silence(
        created_by="ada", reason="tonight", now=world.now, matchers=["endpoint=mnist"],
        starts_at=world.now + timedelta(hours=1), ends_at=world.now + timedelta(hours=2),
    )  # fmt: skip
    world.tick(value=0.2)
    assert not only_alert().is_silenced


def test_a_silence_must_end_after_it_starts_and_say_why(world: World) -> None:
    with pytest.raises(InvalidInputError, match="must be after starts_at"):
        silence_for(world, -5)
    with pytest.raises(InvalidInputError):
        silences.create_silence(
            created_by="ada",
            reason="",
            starts_at=world.now,
            ends_at=world.now + timedelta(hours=1),
            now=world.now,
            matchers=["endpoint=mnist"],
        )


def test_silencing_from_an_alert_marks_it_at_once_and_ending_unmarks_it(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    silence = silences.silence_alert(only_alert(), by="ada", reason="known", duration_s=60, now=world.now)
    assert only_alert().is_silenced
    silences.end_silence(silence, by="ada", now=world.now + timedelta(seconds=1))
    assert not only_alert().is_silenced
    with pytest.raises(ConflictError, match="ended at"):
        silences.end_silence(silence, by="ada", now=world.now + timedelta(seconds=2))


def test_a_silence_holds_actions_unless_it_says_otherwise(world: World) -> None:
    make_rule(action="rollback")
    silence = silence_for(world, 600)
    world.tick(value=0.2)
    assert not ActionRun.objects.exists()
    Silence.objects.filter(pk=silence.pk).update(holds_actions=False)
    world.tick()
    assert ActionRun.objects.get().state == "pending"


def test_acknowledging_keeps_who_and_why(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    alert = marks.acknowledge_alert(only_alert(), by="ada", note="looking into it", now=world.now)
    assert (alert.state, alert.acknowledged_by, alert.acknowledgement_note) == ("firing", "ada", "looking into it")
    assert event_kinds(alert)[-1] == "acknowledged"


def test_an_alert_that_is_over_can_be_neither_acknowledged_nor_resolved(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    world.tick(value=0.01)
    with pytest.raises(ConflictError, match="nothing to acknowledge"):
        marks.acknowledge_alert(only_alert(), by="ada", now=world.now)
    with pytest.raises(ConflictError, match="resolved already"):
        marks.resolve_alert(only_alert(), by="ada", now=world.now)


def test_resolving_by_hand_tells_those_who_were_told_and_the_alert_may_come_back(world: World) -> None:
    make_channel()
    make_rule(for_s=30)
    world.tick(value=0.2)
    world.pass_time(30)
    alert = marks.resolve_alert(only_alert(), by="ada", note="replaced the camera", now=world.now)
    assert (alert.state, alert.resolved_by) == ("resolved", "ada")
    assert RuleTarget.objects.get().phase == "inactive"
    world.now += timedelta(seconds=1)
    world.flush()
    assert world.send() == 2
    assert world.titles()[-1].startswith("[RESOLVED]")
    assert "Resolved by ada: replaced the camera" in world.deliveries[-1].body
    world.tick()
    assert list(Alert.objects.values_list("state", flat=True).order_by("pk")) == ["resolved", "pending"]


def test_an_evaluator_does_not_undo_what_a_person_did_meanwhile(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    world.now += timedelta(seconds=10)
    evaluator = world.evaluator()
    measure = world.measure

    def measure_while_a_person_resolves(metric: str, **asked: Any) -> object:
        marks.resolve_alert(only_alert(), by="ada", now=world.now)
        return measure(metric, **asked)

    evaluator.measure = measure_while_a_person_resolves  # type: ignore[assignment]
    evaluator.run()
    assert (only_alert().state, only_alert().resolved_by) == ("resolved", "ada")
