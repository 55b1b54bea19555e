"""A real Alertmanager is told of alerts, believes them as long as it must, and agrees on matchers and routes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aiplatform.errors import InvalidInputError, UnavailableError
from monitoring.alerts.alertmanager import check_alertmanager_url, mask_alertmanager_url, post_alerts
from monitoring.alerts.channels import send_test_message
from monitoring.alerts.notifications import Backoff
from monitoring.alerts.pushing import BELIEVED_S, push_due_alerts
from monitoring.alerts.routing import ensure_default_route, routes_of
from monitoring.models.alerts import AlertmanagerPush, Channel, Notification, Route
from tests.monitoring.alerts.prometheus_tools import (
    alerts_of,
    amtool_alerts,
    free_port,
    run_tool,
    started_alertmanager,
)
from tests.monitoring.alerts.test_silences_and_marks import silence_for
from tests.monitoring.alerts.world import World, make_rule, only_alert


def push(world: World) -> int:
    return push_due_alerts(post=post_alerts, clock=lambda: world.now, backoff=Backoff(attempts=3, first_s=5))


def is_close(shown: str, expected: datetime) -> bool:
    """Say whether it is the same time; Alertmanager has milliseconds."""
    return abs((datetime.fromisoformat(shown) - expected).total_seconds()) < 0.001


def make_alertmanager(url: str) -> Channel:
    return Channel.objects.create(name="alertmanager", kind="alertmanager", url=url)


@pytest.mark.e2e
def test_an_alertmanager_shows_what_fires_and_what_was_resolved(world: World, tmp_path: Path) -> None:
    world.now = datetime.now(UTC) - timedelta(seconds=61)
    make_rule(labels={"team": "vision"}, annotations={"runbook": "see {endpoint}"})
    with started_alertmanager(tmp_path) as url:
        make_alertmanager(url)
        world.tick(0, value=0.2)
        assert push(world) == 1
        [shown] = alerts_of(url)
        assert shown["labels"] == only_alert().labels
        assert shown["annotations"]["description"] == "error_rate is 0.2, above 0.05"
        assert shown["annotations"]["runbook"] == "see mnist"
        fired_at = only_alert().fired_at
        assert fired_at
        assert is_close(shown["startsAt"], fired_at)
        assert is_close(shown["endsAt"], world.now + timedelta(seconds=BELIEVED_S))
        assert shown["generatorURL"].endswith(f"/admin/monitoring/alert/{only_alert().pk}/change/")
        assert [found["labels"]["alertname"] for found in amtool_alerts(url)] == ["errors"]
        assert push(world) == 0, "it need not be told again yet"
        world.tick(60)
        assert push(world) == 1
        [again] = alerts_of(url)
        assert again["fingerprint"] == shown["fingerprint"]
        assert again["endsAt"] > shown["endsAt"], "told again, so that it does not expire"
        world.tick(0.001, value=0.0)
        assert push(world) == 1
        assert alerts_of(url) == []
        assert amtool_alerts(url) == []
        assert push(world) == 0
    assert not Notification.objects.exists(), "an Alertmanager gets alerts, not messages"


@pytest.mark.e2e
def test_an_alertmanager_that_is_away_is_a_visible_error_and_is_told_when_it_is_back(
    world: World, tmp_path: Path
) -> None:
    world.now = datetime.now(UTC)
    port = free_port()
    channel = make_alertmanager(f"http://127.0.0.1:{port}")
    make_rule()
    world.tick(0, value=0.2)
    assert push(world) == 0
    channel.refresh_from_db()
    assert "127.0.0.1" in channel.last_error
    assert channel.push_failures == 1
    assert push(world) == 0
    channel.refresh_from_db()
    assert channel.push_failures == 1, "it waits before it tries again"
    with started_alertmanager(tmp_path, port=port) as url:
        world.now += timedelta(seconds=5)
        assert push(world) == 1
        assert len(alerts_of(url)) == 1
        channel.refresh_from_db()
        assert (channel.last_error, channel.push_failures) == ("", 0)
        send_test_message(channel, by="ada", now=datetime.now(UTC))
        assert {alert["labels"]["alertname"] for alert in alerts_of(url)} == {"errors", "AiplatformTest"}


def test_what_is_silenced_or_goes_elsewhere_is_not_pushed(world: World) -> None:
    pushed: list[Any] = []

    def post(url: str, alerts: Any) -> None:
        pushed.extend(alerts)

    channel = make_alertmanager("http://127.0.0.1:9")
    other = Channel.objects.create(name="other", url="json://127.0.0.1:9", is_default=False)
    make_rule(name="silenced")
    make_rule(name="elsewhere").channels.add(other)
    make_rule(name="here").channels.add(channel)
    silence_for(world, 600, "alertname=silenced")
    world.tick(value=0.2)
    push_due_alerts(post=post, clock=lambda: world.now, backoff=Backoff(attempts=3))
    assert [alert["labels"]["alertname"] for alert in pushed] == ["here"]


def test_an_end_that_could_not_be_told_is_given_up_after_a_while(world: World) -> None:
    make_alertmanager("http://127.0.0.1:9")
    make_rule()
    world.tick(value=0.2)
    backoff = Backoff(attempts=3, first_s=1, longest_s=1)
    assert push_due_alerts(post=lambda url, alerts: None, clock=lambda: world.now, backoff=backoff) == 1
    world.tick(value=0.0)

    def away(url: str, alerts: Any) -> None:
        raise UnavailableError("away")

    assert push_due_alerts(post=away, clock=lambda: world.now, backoff=backoff) == 0
    assert AlertmanagerPush.objects.get().told == "firing"
    world.now += timedelta(minutes=16)
    assert push_due_alerts(post=lambda url, alerts: None, clock=lambda: world.now, backoff=backoff) == 0


@pytest.mark.parametrize("url", ["json://host", "http://", "http://host:99999", "http://host?x=1", "ftp://host"])
def test_an_address_that_is_no_alertmanagers_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        check_alertmanager_url(url)


def test_an_alertmanagers_password_is_not_shown() -> None:
    assert mask_alertmanager_url("https://user:s3cret@host:9093/am/") == "https://host:9093/am"


LABEL_SETS: list[dict[str, str]] = [
    {"alertname": "errors", "endpoint": "digits", "severity": "critical"},
    {"alertname": "errors", "endpoint": "digits", "severity": "warning", "team": "vision"},
    {"alertname": "drift", "endpoint": "credit", "severity": "info"},
    {"alertname": "drift", "endpoint": "digits-2", "severity": "critical", "team": "x"},
    {"alertname": "other"},
]
ROUTES: list[tuple[list[str], bool]] = [
    (['severity="critical"'], True),
    (['endpoint=~"digits"', 'team=""'], False),
    (['endpoint=~"digits.*"', 'severity!="critical"'], False),
    (['team!~"vision|sound"', 'alertname=~"dr.+"'], True),
    (['alertname!="drift"', 'endpoint=~".+"'], False),
]


@pytest.mark.django_db
def test_amtool_takes_the_same_routes(tmp_path: Path) -> None:
    ensure_default_route()
    routes = []
    for position, (matchers, continues) in enumerate(ROUTES):
        Route.objects.create(name=f"r{position}", position=position, matchers=matchers, continues=continues)
        routes.append({"receiver": f"r{position}", "matchers": matchers, "continue": continues})
    receivers = [{"name": name} for name in ("default", *(f"r{index}" for index in range(len(ROUTES))))]
    config = {"route": {"receiver": "default", "routes": routes}, "receivers": receivers}
    (tmp_path / "am.yml").write_text(json.dumps(config))  # JSON is YAML
    run_tool("amtool", "check-config", "am.yml", cwd=tmp_path)
    for labels in LABEL_SETS:
        words = [f"{name}={value}" for name, value in labels.items()]
        theirs = run_tool("amtool", "config", "routes", "test", "--config.file=am.yml", *words, cwd=tmp_path)
        ours = ["default" if route.is_default else route.name for route in routes_of(labels)]
        assert ",".join(ours) == theirs.strip(), labels
