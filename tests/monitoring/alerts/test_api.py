"""The REST API of alerts, over the project's own URLs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from aiplatform.http.codec import encode_message
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, canonical_target, sign_request
from aiplatform.identity import Identity, Scope
from monitoring.ingestion import record_predictions
from monitoring.models.alerts import AlertRule, Channel, Notification
from tests.monitoring.alerts.world import World, make_channel, make_rule, only_alert
from tests.monitoring.factories import make_batch, now

ROOT = "/api/monitoring"


class Caller:
    """Calls the API as the gateway does, under one identity."""

    def __init__(self, settings: Any, *scopes: Scope) -> None:
        self._secret = settings.INTERNAL_SECRETS[0]
        self._identity = encode_message(Identity(username="ada", scopes=frozenset(scopes))).decode()
        self._client = Client()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and decoded answer."""
        response = self._send(method, path, body)
        return response.status_code, response.json() if response.content else None

    def text(self, path: str) -> str:
        """Return the text of a GET that must work."""
        response = self._send("GET", path, None)
        assert response.status_code == 200
        return str(response.content.decode())

    def _send(self, method: str, path: str, body: Any) -> Any:
        raw = encode_message(body) if body is not None else b""
        path, _, query = f"{ROOT}{path}".partition("?")
        signature = sign_request(
            self._secret, method=method, target=canonical_target(path, query), body=raw, identity=self._identity
        )
        return self._client.generic(
            method, f"{path}?{query}" if query else path, raw, content_type="application/json",
            headers={SIGNATURE_HEADER: signature, IDENTITY_HEADER: self._identity},
        )  # fmt: skip

    def get(self, path: str) -> Any:
        """Return the answer of a GET that must work."""
        status, body = self.call("GET", path)
        assert status == 200, body
        return body

    def post(self, path: str, body: Any = None) -> Any:
        """Return the answer of a POST that must work."""
        status, answer = self.call("POST", path, body if body is not None else {})
        assert status in (200, 201), answer
        return answer


@pytest.fixture
def monitor(world: World, settings: Any) -> Caller:
    """Return a caller who may monitor."""
    return Caller(settings, Scope.MONITOR)


@pytest.fixture
def admin(world: World, settings: Any) -> Caller:
    """Return a caller who may do everything."""
    return Caller(settings, Scope.ADMIN)


RULE = {"name": "digits have moved", "endpoint": "mnist", "metric": "drift_psi", "comparison": "gt", "threshold": 0.25}


def test_a_rule_is_made_changed_and_deleted(admin: Caller) -> None:
    rule = admin.post("/rules/", RULE)
    assert rule["condition"] == "drift_psi above 0.25 over 5 min"
    status, changed = admin.call("PATCH", f"/rules/{rule['id']}/", {"threshold": 0.5})
    assert (status, changed["threshold"]) == (200, 0.5)
    assert admin.call("DELETE", f"/rules/{rule['id']}/")[0] == 204


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "nonsense"}, "must be one of error_rate"),
        ({"metric": "error_rate", "feature": "age"}, "is not measured by feature"),
        ({"endpoint": "No Such Name"}, "must be \\* or a name"),
        ({"version_scope": "one"}, "needs a version number"),
        ({"version": 3}, "goes only with version_scope 'one'"),
        ({"endpoint": "*", "version_scope": "one", "version": 1}, "needs one endpoint, not \\*"),
        ({"window_s": 5}, "must be from 10 to 2592000 seconds, not 5"),
        ({"labels": {"severity": "x"}}, "severity is set by the platform"),
        ({"labels": {"1x": "x"}}, "no digit first"),
        ({"labels": [1]}, "must be an object of texts"),
        ({"for_s": -1}, "greater than or equal to 0"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_the_reason(admin: Caller, fields: Any, message: str) -> None:
    status, answer = admin.call("POST", "/rules/", {**RULE, **fields})
    assert (status, answer["code"]) == (400, "invalid_input")
    assert re.search(message, answer["error"]), answer


def test_rules_and_channels_are_read_by_monitors_and_written_by_admins(monitor: Caller) -> None:
    assert monitor.get("/rules/")["count"] == 0
    assert monitor.call("POST", "/rules/", RULE)[0] == 403
    assert monitor.call("POST", "/channels/", {"name": "x", "url": "json://localhost"})[0] == 403


def test_alerts_need_the_monitor_scope(world: World, settings: Any) -> None:
    assert Caller(settings, Scope.PREDICT).call("GET", "/alerts/")[0] == 403
    assert Client().get(f"{ROOT}/alerts/").status_code == 401


def test_alerts_are_listed_firing_first_and_filtered(world: World, monitor: Caller) -> None:
    make_rule(name="info", severity="info")
    make_rule(name="critical", severity="critical")
    make_rule(name="waiting", for_s=600, severity="critical")
    world.active = [("mnist", 1), ("other", 1)]
    world.serving["other"] = frozenset({1})
    world.tick(value=0.2)
    world.values[("other", 1)] = 0.0
    world.tick()
    found = monitor.get("/alerts/")["results"]
    order = [(alert["state"], alert["rule_name"], alert["endpoint"]) for alert in found]
    assert order[:3] == [("firing", "critical", "mnist"), ("firing", "info", "mnist"), ("pending", "waiting", "mnist")]
    assert {state for state, _, _ in order[3:]} == {"resolved"}
    assert monitor.get("/alerts/?state=firing&endpoint=mnist&severity=info")["count"] == 1
    assert monitor.get("/alerts/?state=firing&state=pending")["count"] == 3
    assert monitor.get("/alerts/?is_acknowledged=true")["count"] == 0
    assert monitor.get("/alerts/?page_size=1")["next"]


def test_an_alert_tells_its_story(world: World, monitor: Caller) -> None:
    make_rule()
    world.tick(value=0.2)
    alert = monitor.get(f"/alerts/{only_alert().pk}/")
    assert (alert["value"], alert["threshold"], alert["rule_name"]) == (0.2, 0.05, "errors")
    assert [event["kind"] for event in alert["events"]] == ["started", "fired"]
    assert alert["link"].endswith(f"/admin/monitoring/alert/{alert['id']}/change/")
    assert alert["history"] == [[world.now.timestamp(), 0.2]]
    assert monitor.call("GET", "/alerts/999999/")[0] == 404


def test_an_alert_is_acknowledged_silenced_and_resolved(world: World, monitor: Caller) -> None:
    make_rule()
    world.tick(value=0.2)
    path = f"/alerts/{only_alert().pk}"
    assert monitor.post(f"{path}/acknowledge/", {"note": "seen"})["acknowledged_by"] == "ada"
    silence = monitor.post(f"{path}/silence/", {"duration_s": 60, "reason": "known"})
    assert (silence["created_by"], silence["is_active"]) == ("ada", True)
    assert silence["matchers"] == ['alertname="errors"', 'endpoint="mnist"']
    assert monitor.get(f"{path}/")["is_silenced"]
    assert monitor.post(f"{path}/resolve/", {})["state"] == "resolved"
    status, answer = monitor.call("POST", f"{path}/resolve/", {})
    assert (status, answer["code"]) == (409, "conflict")


def test_a_channel_never_shows_its_secret(admin: Caller) -> None:
    made = admin.post("/channels/", {"name": "hook", "url": "json://user:s3cret@127.0.0.1:9/hook"})
    assert "s3cret" not in str(made)
    assert made["address"].startswith("json://user:****@127.0.0.1:9/")
    assert "s3cret" not in str(admin.get("/channels/"))
    status, answer = admin.call("POST", "/channels/", {"name": "bad", "url": "nonsense://s3cret"})
    assert status == 400
    assert "s3cret" not in str(answer)
    tested = admin.post(f"/channels/{made['id']}/test/")
    assert tested["delivered"] is False
    assert "onnection" in tested["error"]
    assert Channel.objects.get().last_error == tested["error"]


def test_silences_are_made_listed_and_ended(monitor: Caller) -> None:
    ends_at = (timezone.now() + timedelta(hours=1)).isoformat()
    asked = {"matchers": ["endpoint=mnist", "severity=~warn.*"], "ends_at": ends_at, "reason": "load test"}
    silence = monitor.post("/silences/", asked)
    assert silence["is_active"]
    assert silence["matchers"] == ['endpoint="mnist"', 'severity=~"warn.*"']
    assert monitor.get("/silences/?created_by=ada")["count"] == 1
    for matchers in ([], ["endpoint"], ['endpoint=~"("'], ['team=""']):
        assert monitor.call("POST", "/silences/", {**asked, "matchers": matchers})[0] == 400, matchers
    assert monitor.post(f"/silences/{silence['id']}/end/")["is_active"] is False
    past = (timezone.now() - timedelta(hours=1)).isoformat()
    assert monitor.call("POST", "/silences/", {**asked, "ends_at": past})[0] == 400


def test_notifications_show_their_failure_and_are_retried(world: World, monitor: Caller) -> None:
    make_channel()
    make_rule()
    world.tick(value=0.2)
    Notification.objects.update(state="failed", last_error="away")
    (found,) = monitor.get("/notifications/?state=failed")["results"]
    assert (found["channel_name"], found["last_error"]) == ("ops", "away")
    assert monitor.post(f"/notifications/{found['id']}/retry/")["state"] == "pending"
    assert monitor.call("POST", f"/notifications/{found['id']}/retry/", {})[0] == 409


def test_a_rule_shows_what_it_watches(world: World, monitor: Caller) -> None:
    rule = make_rule(minimum_samples=5000)
    world.tick(value=0.2)
    (target,) = monitor.get(f"/rules/{rule.pk}/targets/")["results"]
    assert (target["endpoint"], target["version"], target["state"]) == ("mnist", 1, "no_data")
    assert monitor.get(f"/rules/{rule.pk}/")["firing_count"] == 0
    assert AlertRule.objects.count() == 1


def test_a_rule_is_tried_before_it_is_made_and_after(world: World, admin: Caller, monitor: Caller) -> None:
    record_predictions(batches=[make_batch(200, time=now(), endpoint="mnist", statuses=[500] * 100 + [200] * 100)])
    body = {"name": "draft", "metric": "error_rate", "threshold": 0.05}
    trial = admin.post("/rules/test/", body)
    assert trial["firing_count"] == 1
    [target] = trial["targets"]
    assert (target["endpoint"], target["version"]) == ("mnist", 1)
    assert target["timeline"][-1]["state"] == "firing"
    assert not AlertRule.objects.exists()
    rule = admin.post("/rules/", body)
    assert admin.post(f"/rules/{rule['id']}/test/")["firing_count"] == 1
    assert admin.call("POST", "/rules/test/", {**body, "metric": "x"})[0] == 400


def test_a_rule_needs_a_threshold_unless_it_looks_for_absence(admin: Caller) -> None:
    status, answer = admin.call("POST", "/rules/", {"name": "n", "metric": "error_rate"})
    assert status == 400
    assert "threshold" in answer["error"]
    assert admin.post("/rules/", {"name": "n", "metric": "prediction_count", "kind": "absence"})["id"]


def test_routes_with_escalations_inhibitions_and_quiet_hours(world: World, admin: Caller, monitor: Caller) -> None:
    channel = make_channel()
    body = {"name": "pages", "position": 1, "matchers": ["severity=critical"], "channels": [channel.pk],
            "escalations": [{"after_s": 600, "channels": [channel.pk]}]}  # fmt: skip
    route = admin.post("/routes/", body)
    assert (route["group_wait_s"], route["group_by"]) == (30, ["alertname", "endpoint"])
    assert route["escalations"] == [{"after_s": 600, "channels": [channel.pk]}]
    status, changed = admin.call("PATCH", f"/routes/{route['id']}/", {"escalations": []})
    assert (status, changed["escalations"]) == (200, [])
    assert admin.call("POST", "/routes/", {**body, "name": "x", "matchers": ["a=~("]})[0] == 400
    default = next(one for one in monitor.get("/routes/")["results"] if one["is_default"])
    assert admin.call("DELETE", f"/routes/{default['id']}/")[0] == 409
    assert monitor.call("POST", "/routes/", body)[0] == 403
    inhibition = {"name": "i", "source_matchers": ["severity=critical"], "target_matchers": ["severity=info"]}
    assert admin.post("/inhibitions/", {**inhibition, "equal": ["endpoint"]})["is_enabled"]
    assert admin.call("POST", "/inhibitions/", {**inhibition, "name": "j", "source_matchers": ["a=~.*"]})[0] == 400
    hours = {"name": "nights", "days": ["sat", "sun"], "starts": "22:00", "ends": "06:00", "time_zone": "Asia/Tokyo"}
    assert admin.post("/quiet-hours/", hours)["effect"] == "mute"
    assert admin.call("POST", "/quiet-hours/", {**hours, "name": "x", "time_zone": "Nowhere"})[0] == 400


def test_groups_show_what_was_told(world: World, monitor: Caller) -> None:
    make_channel()
    make_rule()
    world.tick(value=0.2)
    [group] = monitor.get("/groups/")["results"]
    assert group["labels"] == {"alertname": "errors", "endpoint": "mnist"}
    [member] = group["members"]
    assert (member["alert"], member["told"]) == (only_alert().pk, "firing")


def test_templates_are_previewed(admin: Caller) -> None:
    shown = admin.post("/channels/preview/", {"title_template": "{{ count }} {{ status }}"})
    assert (shown["title"], shown["problem"]) == ("2 firing", "")
    assert "error_rate is 0.12" in shown["body"]
    assert "Invalid block tag" in admin.post("/channels/preview/", {"body_template": "{% include 'x' %}"})["problem"]
    status, answer = admin.call("POST", "/channels/", {"name": "c", "url": "json://x", "body_template": "{{ a|safe }}"})
    assert (status, "body_template" in answer["error"]) == (400, True)
    assert admin.call("POST", "/channels/", {"name": "c", "kind": "alertmanager", "url": "json://x"})[0] == 400


def test_the_rules_are_exported_for_prometheus(world: World, monitor: Caller, settings: Any) -> None:
    make_rule(name="errors")
    caller = Caller(settings, Scope.MONITOR)
    assert '- alert: "errors"' in caller.text("/rules/prometheus/")
